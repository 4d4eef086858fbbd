//! A daemon in front of an LMTP remote, on a machine that has a bad day.

use std::path::PathBuf;
use std::time::Duration;

use remote::{Account, Options, Protocol};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::asker::{Answer, Client, Rcpt, meaning};
use crate::support::{Scratch, Vouch, skipped};

/// The mailbox that the remote knows, and one that it does not.
pub(crate) const JANE: &str = "jane@example.org";
pub(crate) const NOBODY: &str = "nobody@example.org";

/// How long a state may take to come about on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Nothing is remembered: every question goes to the remote.
pub(crate) const FORGETFUL: &str =
    "cache.ttl = { positive = \"0s\", refresh = \"0s\", negative = \"0s\", stale = \"0s\" }\n";

/// Options of the remote.
pub(crate) fn options() -> Options {
    Options::new(Protocol::Lmtp).account(Account::new(JANE, "x"))
}

/// A daemon with a policy listener.
pub(crate) struct Machine {
    // Ends before its folder goes.
    vouch: Option<Vouch>,
    pub(crate) scratch: Scratch,
    config: String,
}

impl Machine {
    /// One that is not switched on yet. Its remote is at `address`, a host and a port or a socket; `directory` are
    /// further keys, one a line.
    pub(crate) fn new(scratch: Scratch, address: &str, directory: &str) -> Self {
        let address = match address.rsplit_once(':') {
            Some((host, port)) => format!("address = \"{host}\"\nport = {port}"),
            None => format!("address = \"{address}\""),
        };
        let config = format!(
            "[directory.remote]\ntype = \"lmtp\"\n{address}\nlookup.domains = [\"example.org\"]\n{directory}\
             [listener.listener]\nprotocol = \"policy\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n\
             deadline = \"20s\"\nlimits = {{ rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }}\n",
            scratch.text("policy")
        );
        Self {
            vouch: None,
            scratch,
            config,
        }
    }

    /// Starts the daemon behind a script, which `outer` runs, see [`Vouch::serve_in`].
    pub(crate) async fn start(self, outer: &[&str], script: &str) -> Self {
        let outer: Vec<String> = outer.iter().map(ToString::to_string).collect();
        let script = script.to_owned();
        let starting = spawn_blocking(move || {
            let outer: Vec<&str> = outer.iter().map(String::as_str).collect();
            let listener = self.listener();
            let vouch = Vouch::serve_in(&self.scratch, &self.config, &[&listener], &outer, &script);
            Self {
                vouch: Some(vouch),
                ..self
            }
        });
        starting.await.unwrap()
    }

    /// Asks the daemon to end, which it does with success.
    pub(crate) async fn stop(mut self) -> Self {
        let vouch = self.vouch.take().expect("it runs");
        let status = spawn_blocking(move || vouch.stop()).await.unwrap();
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.vouch.as_ref().expect("it runs").id()
    }

    fn listener(&self) -> PathBuf {
        self.scratch.path("policy")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.listener()).await
    }

    /// Asks on a connection of its own.
    pub(crate) async fn ask(&self, recipient: &str) -> Answer {
        meaning(&self.client().await.recipient(&Rcpt::to(recipient)).await)
    }

    /// Asks until the answers are right again.
    pub(crate) async fn is_right_again(&self) {
        let end = Instant::now() + PATIENCE;
        while self.ask(JANE).await != Answer::Yes {
            assert!(Instant::now() < end, "no right answer in\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.ask(NOBODY).await, Answer::No);
    }

    /// Everything that the daemon has printed since it was started last.
    pub(crate) fn log(&self) -> String {
        // Lines are gathered for a few milliseconds before they are written.
        std::thread::sleep(Duration::from_millis(100));
        std::fs::read_to_string(self.scratch.path("vouch.log")).unwrap()
    }

    /// How many lines of the log hold `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.log().lines().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line of the log that holds `part`, while `meanwhile` is done again and again.
    pub(crate) async fn logged(&self, part: &str, mut meanwhile: impl AsyncFnMut()) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.log().lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            assert!(Instant::now() < end, "no line with {part:?} in\n{}", self.log());
            meanwhile().await;
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether namespaces of its own can be had, in which a test lays files over the machine's; says so if not.
pub(crate) fn has_namespaces() -> bool {
    let tried = std::process::Command::new("unshare")
        .args(["-m", "true"])
        .stderr(std::process::Stdio::null())
        .status();
    let has = tried.is_ok_and(|status| status.success());
    if !has {
        skipped("only root may have a mount namespace, and unshare must be installed");
    }
    has
}
