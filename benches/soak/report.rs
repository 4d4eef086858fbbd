//! What is printed, and what is complained about.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::stage::Usage;
use crate::tally::Tally;
use crate::truth::Listener;

/// Memory that may be there in the end beyond what was after the warm-up. The allocator gives back what it likes, and
/// as much as this may lie between two moments of rest; a leak of a hundred bytes a question would be more.
const MORE_MEMORY: u64 = 16 * 1024 * 1024;

/// The same for descriptors: a session that is about to take its leave for each directory.
const MORE_DESCRIPTORS: usize = 4;

/// All days, and what the daemon held before and after.
pub(crate) struct Report {
    /// The warm-up, the day of polite clients alone, and the one with rude ones.
    pub(crate) days: Vec<Arc<Tally>>,
    pub(crate) before: Usage,
    pub(crate) after: Usage,
}

impl Report {
    /// What is not as it should be. `log` is the daemon's.
    pub(crate) fn complaints(&self, log: &str) -> Vec<String> {
        let mut complaints: Vec<String> = self.days.iter().flat_map(|day| day.words()).collect();
        for day in &self.days {
            let [asked, answered, _, wrong, lost] = day.counts();
            if wrong + lost > 0 || asked != answered {
                complaints.push(format!(
                    "{}: of {asked} questions {answered} were answered, {wrong} wrongly, and {lost} lost",
                    day.day
                ));
            }
            if asked == 0 {
                complaints.push(format!("{}: nothing was asked", day.day));
            }
        }
        let (before, after) = (self.before, self.after);
        if after.memory > before.memory + MORE_MEMORY {
            complaints.push(format!("memory grew by more than {:.0} MiB", mib(MORE_MEMORY)));
        }
        let grown = before.descriptors.zip(after.descriptors);
        if grown.is_some_and(|(before, after)| after > before + MORE_DESCRIPTORS) {
            complaints.push(format!("descriptors grew by more than {MORE_DESCRIPTORS}"));
        }
        if log.contains("panicked") {
            complaints.push("the daemon panicked, see its log".into());
        }
        complaints
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| day | asked | answered | later (sick remotes) | wrong | lost | rude visits | faults |\n\
             |---|---|---|---|---|---|---|---|"
        )?;
        for day in &self.days {
            let [asked, answered, later, wrong, lost] = day.counts();
            let (rude, faults) = (
                day.rude.load(Ordering::Relaxed),
                day.faults.load(Ordering::Relaxed),
            );
            writeln!(
                f,
                "| {} | {asked} | {answered} | {later} | {wrong} | {lost} | {rude} | {faults} |",
                day.day
            )?;
        }
        writeln!(
            f,
            "\n| answers of remotes that are well | polite clients alone: median, p99 | with rude ones | p99, times |\n\
             |---|---|---|---|"
        )?;
        for (listener, name, ..) in Listener::ALL {
            let remote = if listener.asks_logins() { "IMAP" } else { "LMTP" };
            let times = |day: usize| [50, 99].map(|percent| self.days[day].percentile(listener, percent));
            let (alone, rude) = (times(1), times(2));
            writeln!(
                f,
                "| {name}, {remote} | {} ms, {} ms | {} ms, {} ms | {:.1} |",
                ms(alone[0]),
                ms(alone[1]),
                ms(rude[0]),
                ms(rude[1]),
                rude[1].as_secs_f64() / alone[1].as_secs_f64().max(1e-6)
            )?;
        }
        let (before, after) = (self.before, self.after);
        writeln!(
            f,
            "\n| the daemon at rest | after the warm-up | in the end |\n|---|---|---|\n\
             | memory | {:.1} MiB | {:.1} MiB |\n| descriptors | {} | {} |\n",
            mib(before.memory),
            mib(after.memory),
            number(before.descriptors),
            number(after.descriptors)
        )?;
        match after.descriptors {
            Some(_) => Ok(()),
            None => writeln!(f, "SKIPPED: the daemon's descriptors: only root may count them\n"),
        }
    }
}

fn number(count: Option<usize>) -> String {
    count.map_or_else(|| "\u{2013}".to_owned(), |count| count.to_string())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
