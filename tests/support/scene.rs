//! `vouch serve` as a process between a remote that is served in the test and clients that the test plays.

use std::path::PathBuf;
use std::time::Duration;

use remote::{Account, Options, Protocol, Server};
use tokio::time::{sleep, timeout};

use crate::asker::{Answer, Client, Login, Rcpt, meaning};
use crate::support::{Scratch, Vouch};

/// How long a line may take to reach the log, or a remote to see the end of a session.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The user and mailbox that every remote here knows.
pub(crate) const JANE: &str = "jane@example.org";
pub(crate) const PASSWORD: &str = "s3cret-0f-jane";

/// A mailbox that no remote here knows.
pub(crate) const NOBODY: &str = "nobody@example.org";

/// Options of a remote that knows [`JANE`].
pub(crate) fn options(protocol: Protocol) -> Options {
    Options::new(protocol).account(Account::new(JANE, PASSWORD))
}

/// Every question goes to the remote.
const FORGETFUL: &str = "cache.credentials.negative = \"0s\"\n\
                         cache.ttl = { positive = \"0s\", refresh = \"0s\", negative = \"0s\", stale = \"0s\" }\n";

/// What is to be configured besides the addresses: keys of TOML tables, one a line.
pub(crate) struct Setup {
    options: Options,
    address: &'static str,
    directory: String,
    listeners: String,
    auth: String,
    also: Vec<&'static str>,
    level: &'static str,
}

impl Setup {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            address: "127.0.0.1",
            directory: String::new(),
            listeners: String::new(),
            auth: String::new(),
            also: Vec::new(),
            level: "debug",
        }
    }

    /// Another name for the loopback address of the remote.
    pub(crate) fn address(mut self, address: &'static str) -> Self {
        self.address = address;
        self
    }

    /// Keys of the directory.
    pub(crate) fn directory(mut self, keys: &str) -> Self {
        self.directory.push_str(keys);
        self.directory.push('\n');
        self
    }

    /// Keys of every listener.
    pub(crate) fn listeners(mut self, keys: &str) -> Self {
        self.listeners.push_str(keys);
        self.listeners.push('\n');
        self
    }

    /// Keys of the auth listener alone.
    pub(crate) fn auth(mut self, keys: &str) -> Self {
        self.auth.push_str(keys);
        self.auth.push('\n');
        self
    }

    /// One more listener, of this protocol, with its keys as they are by default.
    pub(crate) fn also(mut self, protocol: &'static str) -> Self {
        self.also.push(protocol);
        self
    }

    /// The level of the log.
    pub(crate) fn level(mut self, level: &'static str) -> Self {
        self.level = level;
        self
    }

    /// Starts the remote, then the daemon with each listener that such a remote can stand behind.
    pub(crate) async fn start(self) -> Scene {
        let scratch = Scratch::new();
        let protocol = self.options.protocol;
        let remote = Server::start(self.options).unwrap();
        let (kind, recipients, logins) = match protocol {
            Protocol::Imap => ("imap", false, true),
            Protocol::Smtp => ("smtp", true, true),
            Protocol::Lmtp => ("lmtp", true, false),
        };
        // No session is opened but for a question, unless the test says otherwise.
        let warm = match self.directory.contains("pool.warm-sessions") {
            true => "",
            false => "pool.warm-sessions = 0\n",
        };
        let mut config = format!(
            "[log]\nlevel = \"{}\"\n[directory.remote]\ntype = \"{kind}\"\naddress = \"{}\"\nport = {}\n\
             lookup.domains = [\"example.org\"]\n{FORGETFUL}{warm}{}",
            self.level,
            self.address,
            remote.port(),
            self.directory
        );
        // Tests fail logins by the hundred, and only those of the penalty want to wait for it.
        let penalised = self.auth.contains("penalty") || self.listeners.contains("penalty");
        let off = if penalised { "" } else { "penalty = \"off\"\n" };
        let auth = format!("{}{off}", self.auth);
        let listeners = [("policy", recipients, ""), ("auth", logins, auth.as_str())];
        let mut sockets = Vec::new();
        for (protocol, _, keys) in listeners.into_iter().filter(|(_, open, _)| *open) {
            let socket = scratch.path(protocol);
            config.push_str(&format!(
                "[listener.{protocol}]\nprotocol = \"{protocol}\"\nsocket = \"{}\"\n\
                 directory = [\"remote\"]\n{}{keys}",
                socket.display(),
                self.listeners
            ));
            sockets.push(socket);
        }
        for protocol in self.also {
            let socket = scratch.path(protocol);
            config.push_str(&format!(
                "[listener.{protocol}]\nprotocol = \"{protocol}\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n",
                socket.display()
            ));
            sockets.push(socket);
        }
        let serving = tokio::task::spawn_blocking(move || {
            let paths: Vec<_> = sockets.iter().map(PathBuf::as_path).collect();
            (Vouch::serve(&scratch, &config, &paths), scratch)
        });
        let (vouch, scratch) = serving.await.unwrap();
        Scene {
            vouch: Some(vouch),
            remote,
            scratch,
        }
    }
}

/// A daemon, its remote and its listeners.
pub(crate) struct Scene {
    // Ends before the remote does.
    vouch: Option<Vouch>,
    pub(crate) remote: Server,
    scratch: Scratch,
}

impl Scene {
    pub(crate) fn policy_socket(&self) -> PathBuf {
        self.scratch.path("policy")
    }

    pub(crate) fn auth_socket(&self) -> PathBuf {
        self.scratch.path("auth")
    }

    /// Connects to the listener of this protocol.
    pub(crate) async fn listener(&self, protocol: &str) -> Client {
        Client::connect(&self.scratch.path(protocol)).await
    }

    pub(crate) async fn policy(&self) -> Client {
        Client::connect(&self.policy_socket()).await
    }

    pub(crate) async fn auth(&self) -> Client {
        Client::auth(&self.auth_socket()).await
    }

    /// Asks about a recipient on a connection of its own.
    pub(crate) async fn recipient<T: AsRef<[u8]> + ?Sized>(&self, recipient: &T) -> Answer {
        meaning(&self.policy().await.recipient(&Rcpt::to(recipient)).await)
    }

    /// Asks about a login on a connection of its own.
    pub(crate) async fn login(&self, user: &str, password: &str) -> Answer {
        self.auth().await.login(&Login::of(user, password)).await
    }

    /// Everything that the daemon has printed.
    pub(crate) fn log(&self) -> String {
        // Lines are gathered for a few milliseconds before they are written.
        std::thread::sleep(Duration::from_millis(100));
        let log = std::fs::read(self.scratch.path("vouch.log")).unwrap();
        String::from_utf8(log).expect("a log is text")
    }

    /// Waits for a line of the log that holds `part`.
    pub(crate) async fn logged(&self, part: &str) -> String {
        let looking = async {
            loop {
                if let Some(line) = self.log().lines().find(|line| line.contains(part)) {
                    return line.to_owned();
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let found = timeout(PATIENCE, looking).await;
        found.unwrap_or_else(|_| panic!("no line with {part:?} in\n{}", self.log()))
    }

    /// Waits until every session is over at the remote.
    pub(crate) async fn sessions_end(&self) {
        let ended = self
            .remote
            .wait_until(PATIENCE, |remote| remote.open() == 0)
            .await;
        assert!(ended, "{} sessions are open still", self.remote.open());
    }

    /// The daemon.
    pub(crate) fn daemon(&self) -> &Vouch {
        self.vouch.as_ref().expect("it runs")
    }

    /// Asks the daemon to end; whether it did so with success.
    pub(crate) async fn stop(&mut self) -> bool {
        let vouch = self.vouch.take().expect("it runs");
        let stopping = tokio::task::spawn_blocking(move || vouch.stop());
        stopping.await.unwrap().is_some_and(|status| status.success())
    }
}
