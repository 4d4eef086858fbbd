//! The addresses of a host's name.
//!
//! The system's resolver holds the thread that asks it for as long as it likes. So each look-up has a thread of its
//! own, and each name one look-up at a time: names that nobody answers for take nothing from the others.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, oneshot};
use tokio::time::{Instant, timeout};

use super::interfaces::is_own;
use crate::telemetry::faults::EVERY;

/// Bound (sessions): time for which the addresses of a server's name are used again. Beyond: the name is looked up
/// again. Why: with a session for each login, the resolver would be asked hundreds of times a second.
const KNOWN: Duration = Duration::from_secs(1);

/// Bound (sessions): wait for a name that had addresses before. Beyond: the old addresses are used, and no question
/// waits until the resolver answers again. Why: RFC 8767 section 5.
///
/// The old addresses have no greatest age: without them there is no answer at all, the log says how old they are, and
/// whether the server is still there is for its certificate to show.
const RESOLVER_WAIT: Duration = Duration::from_millis(1800);

/// Bound (sessions): addresses of a name that are tried. Beyond: the others are ignored. Why: no mail server has
/// more, and the name's owner could make vouch connect to thousands.
const ADDRESSES: usize = 16;

/// Bound (sessions): time for which an address that failed while another worked is tried last. Beyond: the resolver's
/// order applies again. Why: a server that was overloaded or restarted is back by then.
const WORSE: Duration = Duration::from_secs(60);

/// What the C library says of a name that has no address, GNU's and musl's: of all errors, only this one comes from
/// the name's own servers. [`std`] hands its words on, and not its number.
const NO_SUCH_NAME: [&str; 4] = [
    "Name or service not known", "No address associated with hostname", "Name does not resolve",
    "Name has no usable address",
];

/// Finds the addresses of a name, with this port; blocks.
type Resolver = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// A host by name or address, and a port.
pub struct Host {
    name: Arc<str>,
    port: u16,
    /// It is never this machine: asking itself would be a loop.
    is_elsewhere: bool,
    resolver: Arc<Resolver>,
    /// The turn to ask the resolver: a thread waits for it for as long as it takes, and the caller may be gone by
    /// then. One thread is enough.
    turn: Arc<Turn<()>>,
    /// Addresses that accepted and were of no use when another was, and when that was.
    worse: Mutex<Vec<(SocketAddr, Instant)>>,
    known: Arc<Known>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    found: Option<Found>,
    /// When the resolver first had no answer, if it had one before and none since.
    silent: Option<Instant>,
    /// Which of these times was logged last: a name that fails repeatedly is treated like the faults of remotes.
    told: Option<Instant>,
    /// When it last had none.
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Found {
    addresses: Vec<SocketAddr>,
    at: Instant,
    /// One of them may be there still.
    good: bool,
}

impl Host {
    /// A host that was not looked up yet; `port` is 1 to 65535.
    pub fn new(name: &str, port: u16) -> Self {
        let resolver = |name: &str, port| Ok(tried((name, port).to_socket_addrs()?));
        Self::asking(name, port, Arc::new(resolver))
    }

    /// The same, which is an error where it has an address of this machine.
    pub fn elsewhere(self) -> Self {
        Self {
            is_elsewhere: true,
            ..self
        }
    }

    fn asking(name: &str, port: u16, resolver: Arc<Resolver>) -> Self {
        Self {
            name: name.into(),
            port,
            is_elsewhere: false,
            resolver,
            turn: Arc::default(),
            worse: Mutex::default(),
            known: Arc::default(),
        }
    }

    /// Its addresses in the order of the system's resolver, found within the last
    /// second, or the last there were while the resolver does not answer; those that were [worse](Self::is_worse) come
    /// last.
    ///
    /// # Errors
    /// What the resolver said.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = self.in_order().await?;
        if self.is_elsewhere && addresses.iter().any(|it| is_own(it.ip())) {
            return Err(io::Error::other("it is this machine: asking it would be a loop"));
        }
        let mut worse = self.worse.lock();
        worse.retain(|(_, since)| since.elapsed() < WORSE);
        addresses.sort_by_key(|address| worse.iter().any(|(one, _)| one == address));
        Ok(addresses)
    }

    /// An address accepted and was of no use, and another was: it comes last for a while.
    pub(super) fn is_worse(&self, address: SocketAddr) {
        let mut worse = self.worse.lock();
        worse.retain(|(one, since)| *one != address && since.elapsed() < WORSE);
        if worse.len() < ADDRESSES {
            worse.push((address, Instant::now()));
        }
    }

    async fn in_order(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        if let Some(addresses) = self.known.lately() {
            return Ok(addresses);
        }
        let Some((last, patience)) = self.known.last() else {
            return self.look_up().await;
        };
        match timeout(patience, self.look_up()).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) if is_no_such_name(&error) => Err(error),
            // The look-up itself has noted it.
            Ok(Err(_)) => Ok(last),
            Err(_) => {
                self.known.has_no_answer(&self.name, "no answer in time");
                Ok(last)
            }
        }
    }

    /// Asks the resolver in turn, unless an earlier caller has; the look-up runs to its end in any case.
    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let turn = self.turn.clone().lock_owned().await;
        if let Some(addresses) = self.known.lately() {
            return Ok(addresses);
        }
        let asking = ask(
            self.resolver.clone(),
            self.name.clone(),
            self.port,
            self.known.clone(),
            turn,
        );
        tokio::spawn(asking).await.map_err(io::Error::other)?
    }

    /// None of the addresses answered: the next look-up is a new one.
    pub(super) fn forget(&self) {
        if let Some(found) = &mut self.known.state().found {
            found.good = false;
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// One look-up, in a thread of its own.
async fn ask(
    resolver: Arc<Resolver>,
    name: Arc<str>,
    port: u16,
    known: Arc<Known>,
    turn: OwnedMutexGuard<()>,
) -> io::Result<Vec<SocketAddr>> {
    let (tell, told) = oneshot::channel();
    let asked = name.clone();
    let started = thread::Builder::new().name("vouch-name".into()).spawn(move || {
        // Nobody may wait any more.
        let _ = tell.send(resolver(&asked, port));
    });
    let found = match started {
        Ok(_) => told.await.map_err(io::Error::other).flatten(),
        Err(error) => Err(error),
    };
    match &found {
        Ok(addresses) => known.has_answer(&name, addresses),
        Err(error) if is_no_such_name(error) => known.has_nothing(),
        Err(error) => known.has_no_answer(&name, &error.to_string()),
    }
    drop(turn);
    found
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// The addresses, if they are as good as new, or were just asked for in vain.
    fn lately(&self) -> Option<Vec<SocketAddr>> {
        let state = self.state();
        let found = state.found.as_ref()?;
        let lately = |at: Instant| at.elapsed() < KNOWN;
        (found.good && lately(found.at) || state.failed.is_some_and(lately)).then(|| found.addresses.clone())
    }

    /// The last addresses, and how long an answer may take before they serve on.
    fn last(&self) -> Option<(Vec<SocketAddr>, Duration)> {
        let state = self.state();
        let found = state.found.as_ref()?;
        let patience = state.silent.map_or(RESOLVER_WAIT, |_| Duration::ZERO);
        Some((found.addresses.clone(), patience))
    }

    fn has_answer(&self, name: &str, addresses: &[SocketAddr]) {
        let mut state = self.state();
        let over = state.silent.take().filter(|since| state.told == Some(*since));
        state.failed = None;
        state.found = Some(Found {
            addresses: addresses.to_vec(),
            at: Instant::now(),
            good: true,
        });
        drop(state);
        if let Some(since) = over {
            let seconds = since.elapsed().as_secs();
            tracing::info!("this host's resolver answers for {name} again, after {seconds} s");
        }
    }

    /// There is no such name any more.
    fn has_nothing(&self) {
        *self.state() = State::default();
    }

    fn has_no_answer(&self, name: &str, why: &str) {
        let mut state = self.state();
        let now = Instant::now();
        state.failed = Some(now);
        let Some(found) = &state.found else {
            return;
        };
        let seconds = now.duration_since(found.at).as_secs();
        if state.silent.is_some() {
            return;
        }
        state.silent = Some(now);
        if state.told.is_none_or(|told| told.elapsed() >= EVERY) {
            state.told = Some(now);
            drop(state);
            tracing::warn!(
                "this host's resolver does not answer for {name} ({why}); the addresses of {seconds} s ago remain in use"
            );
        }
    }
}

pub(super) fn is_no_such_name(error: &io::Error) -> bool {
    let said = error.to_string();
    NO_SUCH_NAME.iter().any(|words| said.ends_with(words))
}

fn tried(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    found.take(ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;

    use tokio::runtime::Builder;

    use super::*;

    impl Host {
        /// One whose addresses need not be asked for.
        pub(in crate::session) fn at(addresses: Vec<SocketAddr>) -> Self {
            let host = Self::new("nobody.invalid", 1);
            host.known.state().found = Some(Found {
                addresses,
                at: Instant::now() + Duration::from_secs(86_400),
                good: true,
            });
            host
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// A scripted resolver, silent until then.
    fn puppet(name: &str) -> (Host, mpsc::Sender<io::Result<Vec<SocketAddr>>>) {
        let (say, said) = mpsc::channel();
        let said = Mutex::new(said);
        let silence = |_| io::Error::other("over");
        let resolver = move |_: &str, _| said.lock().recv().map_err(silence).flatten();
        (Host::asking(name, 25, Arc::new(resolver)), say)
    }

    fn servfail() -> io::Error {
        io::Error::other("failed to lookup address information: Temporary failure in name resolution")
    }

    /// The last answer is now too old to be used without asking.
    fn age(host: &Host) {
        host.forget();
        host.known.state().failed = None;
    }

    // Fills lookup::ADDRESSES.
    #[test]
    fn of_a_name_with_thousands_of_addresses_a_few_are_tried() {
        let tried = tried((1..=10_000).map(address));
        assert_eq!(tried.len(), ADDRESSES);
        assert_eq!(tried.first().map(SocketAddr::port), Some(1));
    }

    #[test]
    fn the_words_for_no_such_name_are_those_of_this_system() {
        // No resolver is asked for a label of more than 63 bytes.
        let name = format!("{}.test", "a".repeat(64));
        let error = (&*name, 25).to_socket_addrs().unwrap_err();
        assert!(is_no_such_name(&error), "{error}");
        assert!(!is_no_such_name(&servfail()));
    }

    // Fills LOOKUP_TIMEOUT.
    #[tokio::test(start_paused = true)]
    async fn one_look_up_at_a_time_and_who_waits_has_its_answer() {
        let (host, say) = puppet("mail.test");
        let turn = host.turn.clone().lock_owned().await;
        let waiting = timeout(Duration::from_secs(60), host.addresses()).await;
        assert!(waiting.is_err(), "a look-up is under way");
        let ended = async {
            host.known.has_answer("mail.test", &[address(25)]);
            drop(turn);
        };
        let (addresses, ()) = tokio::join!(host.addresses(), ended);
        assert_eq!(addresses.unwrap(), [address(25)]);
        drop(say);
    }

    // Fills KNOWN.
    #[tokio::test]
    async fn an_address_is_used_again_for_a_second() {
        let (host, say) = puppet("mail.test");
        say.send(Ok(vec![address(26)])).unwrap();
        assert_eq!(host.addresses().await.unwrap(), [address(26)]);
        say.send(Ok(vec![address(27)])).unwrap();
        assert_eq!(host.addresses().await.unwrap(), [address(26)]);
        host.known.state().found.as_mut().unwrap().at -= KNOWN;
        assert_eq!(host.addresses().await.unwrap(), [address(27)]);
    }

    #[test]
    fn names_that_nobody_answers_for_hold_up_no_other() {
        // Threads that all share are none of theirs.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build();
        runtime.unwrap().block_on(with_silent_names());
    }

    async fn with_silent_names() {
        let silent: Vec<_> = (0..40).map(|number| puppet(&format!("{number}.test"))).collect();
        let (hosts, says): (Vec<_>, Vec<_>) = silent.into_iter().unzip();
        let hosts: Vec<_> = hosts.into_iter().map(Arc::new).collect();
        // As many as like ask for each.
        let asking: Vec<_> = hosts
            .iter()
            .chain(&hosts)
            .map(|host| {
                let host = host.clone();
                tokio::spawn(async move { host.addresses().await })
            })
            .collect();
        tokio::task::yield_now().await;
        let (good, say) = puppet("good.test");
        say.send(Ok(vec![address(25)])).unwrap();
        let found = timeout(Duration::from_secs(60), good.addresses()).await;
        assert_eq!(found.unwrap().unwrap(), [address(25)]);
        assert!(asking.iter().all(|asking| !asking.is_finished()));
        assert!(hosts.iter().all(|host| host.turn.try_lock().is_err()));
        // Each has one thread, which is at its end with the answer.
        for say in says {
            say.send(Ok(vec![address(26)])).unwrap();
        }
        for asking in asking {
            assert_eq!(asking.await.unwrap().unwrap(), [address(26)]);
        }
    }

    #[tokio::test]
    async fn the_last_addresses_serve_on_until_the_name_is_gone() {
        let (host, say) = puppet("mail.test");
        say.send(Err(servfail())).unwrap();
        assert!(host.addresses().await.is_err(), "there are none yet");
        say.send(Ok(vec![address(25)])).unwrap();
        assert_eq!(host.addresses().await.unwrap(), [address(25)]);

        age(&host);
        say.send(Err(servfail())).unwrap();
        assert_eq!(host.addresses().await.unwrap(), [address(25)]);
        let since = host.known.state().silent;
        assert!(since.is_some());
        // It is not asked for each login, and nobody waits for it any more.
        assert_eq!(host.addresses().await.unwrap(), [address(25)]);
        age(&host);
        assert_eq!(host.addresses().await.unwrap(), [address(25)]);
        assert_eq!(host.known.state().silent, since);
        assert!(host.turn.try_lock().is_err(), "asked, and not waited for");

        say.send(Ok(vec![address(26)])).unwrap();
        drop(host.turn.lock().await);
        assert_eq!(host.addresses().await.unwrap(), [address(26)]);
        assert!(host.known.state().silent.is_none());

        age(&host);
        let gone = "failed to lookup address information: Name or service not known";
        say.send(Err(io::Error::other(gone))).unwrap();
        assert_eq!(host.addresses().await.unwrap_err().to_string(), gone);
        say.send(Err(servfail())).unwrap();
        assert!(host.addresses().await.is_err(), "nothing of it is kept");
    }

    // Fills RESOLVER_WAIT.
    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_is_waited_for_once_where_there_are_addresses() {
        let (host, _say) = puppet("mail.test");
        host.known.has_answer("mail.test", &[address(25)]);
        tokio::time::advance(KNOWN).await;
        for waited in [RESOLVER_WAIT, Duration::ZERO, Duration::ZERO] {
            let began = Instant::now();
            assert_eq!(host.addresses().await.unwrap(), [address(25)]);
            assert_eq!(began.elapsed(), waited);
            tokio::time::advance(KNOWN).await;
        }
    }
}
