//! Repeated faults: each is logged at once, then counted, and summed up once per
//! minute; and once more when all is well again.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use super::words::{spoken, thousands};

/// Under which these lines are logged.
pub(super) const TARGET: &str = module_path!();

/// Bound (process): time between two lines about one fault of a peer. Beyond: each line has the count since the last.
/// Why: a fault of every question would fill the log.
pub(crate) const EVERY: Duration = Duration::from_secs(60);

/// Bound (process): faults of one peer that are logged separately. Beyond: they are counted together. Why: a peer
/// fails at a handful of steps.
const MOST: usize = 32;

/// What is said when a peer is well again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording {
    /// What it does: "answers again".
    pub again: &'static str,
    /// What went without meanwhile: "questions without an answer".
    pub without: &'static str,
}

/// One fault, as it is met.
pub(crate) struct Fault<'a> {
    /// What was being done.
    pub step: &'static str,
    /// What kind of fault it is. With the step, it tells one fault from another.
    pub class: &'static str,
    /// Peer, step, and what went wrong.
    pub text: &'a dyn Display,
    /// What to do about it; empty where the text says so.
    pub advice: &'a str,
    /// It stays until somebody changes something: an error, else a warning. And that another
    /// question was answered does not end it.
    pub lasting: bool,
}

/// The faults of one peer.
pub(crate) struct Faults(Arc<Inner>);

struct Inner {
    peer: Arc<str>,
    wording: Wording,
    /// What is asked at each success, without the lock.
    failing: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// At most [`MOST`].
    entries: Vec<Entry>,
    /// A task looks at the entries once a minute, while there are any.
    is_watched: bool,
    /// Since the last success: the first fault's time, and how many there were.
    outage: Option<(Instant, u64)>,
    /// When it was last said that all is well.
    well: Option<Instant>,
    /// An outage whose end was not said: the last one was within a minute.
    unsaid: Option<(Instant, u64)>,
}

struct Entry {
    step: &'static str,
    class: &'static str,
    lasting: bool,
    text: String,
    /// Since the last line.
    times: u64,
    line: Instant,
}

impl Faults {
    /// Of `peer`, which has none so far.
    pub(crate) fn new(peer: Arc<str>, wording: Wording) -> Self {
        Self(Arc::new(Inner {
            peer,
            wording,
            failing: AtomicBool::new(false),
            table: Mutex::default(),
        }))
    }

    /// Tells or counts a fault. Needs a runtime.
    pub(crate) fn failed(&self, fault: &Fault<'_>) {
        let now = Instant::now();
        let mut table = self.0.table();
        if !fault.lasting {
            self.0.failing.store(true, Ordering::Relaxed);
            let (since, count) = table.outage.or_else(|| table.unsaid.take()).unwrap_or((now, 0));
            table.outage = Some((since, count + 1));
        }
        let is_it = |entry: &&mut Entry| entry.step == fault.step && entry.class == fault.class;
        if let Some(entry) = table.entries.iter_mut().find(is_it) {
            entry.times += 1;
            entry.text = fault.text.to_string();
            return;
        }
        if table.entries.len() >= MOST {
            return;
        }
        let entry = Entry {
            step: fault.step,
            class: fault.class,
            lasting: fault.lasting,
            text: fault.text.to_string(),
            times: 0,
            line: now,
        };
        let advice = if fault.advice.is_empty() { "" } else { "; " };
        entry.tell(&format!("{}{advice}{}", entry.text, fault.advice), 1);
        table.entries.push(entry);
        if !std::mem::replace(&mut table.is_watched, true) {
            tokio::spawn(watch(Arc::downgrade(&self.0)));
        }
    }

    /// Notes a success.
    pub(crate) fn worked(&self) {
        if self.0.failing.load(Ordering::Relaxed) {
            self.0.worked();
        }
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    fn worked(&self) {
        let mut table = self.table();
        self.failing.store(false, Ordering::Relaxed);
        let Some(outage) = table.outage.take() else { return };
        if table.well.is_some_and(|well| well.elapsed() < EVERY) {
            table.unsaid = Some(outage);
        } else {
            self.tell_well(&mut table, outage);
        }
    }

    fn tell_well(&self, table: &mut Table, (since, count): (Instant, u64)) {
        table.well = Some(Instant::now());
        let Wording { again, without } = self.wording;
        let (peer, lasted, times) = (&self.peer, spoken(since.elapsed()), thousands(count));
        tracing::info!(
            times = count,
            "{peer} {again}, after {lasted} and {times} {without}"
        );
    }

    /// Sums up the last minute. Whether there is more to watch.
    fn sum_up(&self) -> bool {
        let mut table = self.table();
        let now = Instant::now();
        table.entries.retain_mut(|entry| {
            if entry.times > 0 {
                let times = std::mem::take(&mut entry.times);
                entry.line = now;
                let (text, count, seconds) = (&entry.text, thousands(times), EVERY.as_secs());
                let what = if times == 1 { "once more" } else { "times more" };
                let count = if times == 1 { String::new() } else { count + " " };
                entry.tell(&format!("{text}; {count}{what} in the last {seconds} s"), times);
                return true;
            }
            now - entry.line < EVERY
        });
        if let Some(outage) = table.unsaid.take() {
            self.tell_well(&mut table, outage);
        }
        table.is_watched = !table.entries.is_empty();
        table.is_watched
    }
}

impl Entry {
    fn tell(&self, text: &str, times: u64) {
        let Self { step, class, .. } = *self;
        if self.lasting {
            tracing::error!(step, class, times, "{text}");
        } else {
            tracing::warn!(step, class, times, "{text}");
        }
    }
}

/// Sums up once a minute, until there is nothing more to say or nobody whom it is about.
async fn watch(faults: Weak<Inner>) {
    loop {
        sleep(EVERY).await;
        if !faults.upgrade().is_some_and(|faults| faults.sum_up()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::advance;
    use tracing::subscriber::DefaultGuard;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::line;
    use super::super::log::Records;
    use super::*;

    /// Keeps what is logged on this thread.
    struct Log {
        lines: Arc<Mutex<Vec<String>>>,
        _guard: DefaultGuard,
    }

    impl Log {
        fn new() -> Self {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let keep = lines.clone();
            let records = Records {
                record: |text: &mut String, event: &tracing::Event<'_>| line::write(text, event),
                out: move |line: &str| keep.lock().unwrap().push(line.to_owned()),
            };
            let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(records));
            Self { lines, _guard }
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.lines.lock().unwrap())
        }
    }

    fn faults() -> Faults {
        let wording = Wording {
            again: "answers again",
            without: "questions without an answer",
        };
        Faults::new("mailbox (127.0.0.1:24)".into(), wording)
    }

    fn fault(step: &'static str, lasting: bool) -> Fault<'static> {
        Fault {
            step,
            class: "unreachable",
            text: &"mailbox (127.0.0.1:24): connect: refused",
            advice: "does it run?",
            lasting,
        }
    }

    /// Lets time pass, and the task see it.
    async fn pass(seconds: u64) {
        for _ in 0..seconds {
            advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_counted_and_ended() {
        let (log, faults) = (Log::new(), faults());
        faults.worked();
        faults.failed(&fault("connect", false));
        let line =
            "mailbox (127.0.0.1:24): connect: refused; does it run? step=connect class=unreachable times=1";
        assert_eq!(log.take(), [line]);
        for _ in 0..512 {
            faults.failed(&fault("connect", false));
        }
        assert_eq!(log.take(), Vec::<String>::new());
        pass(61).await;
        let line = "mailbox (127.0.0.1:24): connect: refused; 512 times more in the last 60 s step=connect \
                    class=unreachable times=512";
        assert_eq!(log.take(), [line]);
        for _ in 0..511 {
            faults.failed(&fault("connect", false));
        }
        pass(120).await;
        assert_eq!(log.take().len(), 1);
        faults.worked();
        faults.worked();
        let line = "mailbox (127.0.0.1:24) answers again, after 3 min and 1,024 questions without an answer times=1024";
        assert_eq!(log.take(), [line]);
        // Nothing is watched any more, and the next fault is a new one.
        pass(600).await;
        faults.failed(&fault("connect", false));
        assert_eq!(log.take().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_and_goes_has_few_lines_a_minute() {
        let (log, faults) = (Log::new(), faults());
        for _ in 0..600 {
            for _ in 0..10 {
                faults.failed(&fault("connect", false));
                faults.worked();
            }
            pass(1).await;
        }
        let lines = log.take();
        let (well, ill): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains("answers again"));
        assert!(well.len() <= 11 && ill.len() <= 11, "{lines:#?}");
        pass(200).await;
        assert!(log.take().last().unwrap().contains("answers again"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_not_ended_by_another_question() {
        let (log, faults) = (Log::new(), faults());
        faults.failed(&fault("login", true));
        faults.worked();
        faults.failed(&fault("login", true));
        assert_eq!(log.take().len(), 1);
        pass(61).await;
        assert!(log.take()[0].contains("once more in the last 60 s"));
    }

    // Fills faults::MOST, faults::EVERY.
    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded() {
        let (log, faults) = (Log::new(), faults());
        for number in 0..2 * MOST {
            let step: &'static str = Box::leak(number.to_string().into_boxed_str());
            faults.failed(&fault(step, false));
        }
        assert_eq!((log.take().len(), faults.0.table().entries.len()), (MOST, MOST));
        faults.worked();
        assert!(log.take()[0].contains("64 questions without an answer"));
    }
}
