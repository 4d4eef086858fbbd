//! An edge: `vouch serve` with a fleet, in front of a remote that several share.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use remote::{Account, Options, Protocol, Server};
use tokio::time::{sleep, timeout};

use crate::asker::{Answer, Client, Login, Rcpt, meaning};
use crate::is_available;
use crate::redis::{PATIENCE, Redis};
use crate::support::{Scratch, Vouch, vouch};

pub(crate) const JANE: &str = "jane@example.org";
pub(crate) const JOE: &str = "joe@example.org";
pub(crate) const NOBODY: &str = "nobody@example.org";

/// The key of the fleet, made by the program.
pub(crate) struct Key {
    scratch: Scratch,
}

impl Key {
    pub(crate) fn new() -> Self {
        let key = Self {
            scratch: Scratch::new(),
        };
        let made = command(&["fleet", "key", &key.scratch.text("fleet.key")]);
        assert!(made.status.success(), "{made:?}");
        key
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path("fleet.key")
    }
}

/// Runs the program to its end.
pub(crate) fn command(arguments: &[&str]) -> Output {
    Command::new(vouch::binary()).args(arguments).output().unwrap()
}

/// A remote that knows Jane and Joe.
pub(crate) fn remote() -> Server {
    let options = Options::new(Protocol::Lmtp)
        .account(Account::new(JANE, "x"))
        .account(Account::new(JOE, "x"));
    Server::start(options).unwrap()
}

/// A store, the key of a fleet, and a remote that its edges share.
pub(crate) struct Site {
    pub(crate) redis: Redis,
    pub(crate) key: Key,
    pub(crate) remote: Server,
}

impl Site {
    /// One without an edge yet; `None` where there is no store to be run.
    pub(crate) fn start() -> Option<Self> {
        is_available().then(|| Self {
            redis: Redis::start(),
            key: Key::new(),
            remote: remote(),
        })
    }

    /// An edge of it, with these keys of the directory besides.
    pub(crate) async fn edge(&self, keys: &str) -> Edge {
        Edge::start(&self.redis, &self.key, &self.remote, keys).await
    }

    /// So many more recipients, whom the remote knows from now on.
    pub(crate) fn people(&self, many: usize) -> Vec<String> {
        let people = (0..many).map(|number| format!("user{number}@example.org"));
        let known = |user: &String| self.remote.set_account(Account::new(user, "x"));
        people.inspect(known).collect()
    }
}

/// A running edge.
pub(crate) struct Edge {
    daemon: Vouch,
    scratch: Scratch,
}

impl Edge {
    /// One of a fleet, with the keys of a directory besides those that all have.
    pub(crate) async fn start(redis: &Redis, key: &Key, remote: &Server, keys: &str) -> Self {
        Self::with(&redis.fleet(&key.path()), remote, keys).await
    }

    /// One with this table `[fleet]`.
    pub(crate) async fn with(fleet: &str, remote: &Server, keys: &str) -> Self {
        let scratch = Scratch::new();
        let config = config(&scratch, fleet, remote, keys);
        Self::serve(scratch, config, "policy").await
    }

    /// One that checks logins for an auth listener with these keys, and with others of its directory.
    pub(crate) async fn of_logins(
        redis: &Redis,
        key: &Key,
        remote: &Server,
        (keys, more): (&str, &str),
    ) -> Self {
        let scratch = Scratch::new();
        let config = format!(
            "{}[control]\nsocket = \"{}\"\n\
             [listener.auth]\nprotocol = \"auth\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n\
             deadline = \"30s\"\nlimits.auth-errors = \"unlimited\"\n{keys}\n\
             [directory.remote]\ntype = \"imap\"\naddress = \"127.0.0.1\"\nport = {}\n\
             lookup.domains = [\"example.org\"]\n{more}\n",
            redis.fleet(&key.path()),
            scratch.text("control"),
            scratch.text("auth"),
            remote.port(),
        );
        Self::serve(scratch, config, "auth").await
    }

    async fn serve(scratch: Scratch, config: String, listener: &'static str) -> Self {
        let serving = tokio::task::spawn_blocking(move || {
            let listener = scratch.path(listener);
            (Vouch::serve(&scratch, &config, &[&listener]), scratch)
        });
        let (daemon, scratch) = serving.await.unwrap();
        let edge = Self { daemon, scratch };
        // Its socket is there before it has read what the next one may write anew.
        edge.logged(" ready ms=").await;
        edge
    }

    /// Has it read another configuration.
    pub(crate) async fn change(&self, fleet: &str, remote: &Server, keys: &str) {
        let config = vouch::staying_root(&config(&self.scratch, fleet, remote, keys));
        self.scratch.write("vouch.toml", config);
        self.daemon.reload();
        self.logged("reloaded: ").await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.scratch.path("policy")).await
    }

    /// Asks about a login on a connection of its own.
    pub(crate) async fn login(&self, login: &Login<'_>) -> Answer {
        let mut client = Client::auth(&self.scratch.path("auth")).await;
        client.login(login).await
    }

    pub(crate) async fn ask(&self, recipient: &str) -> Answer {
        meaning(&self.client().await.recipient(&Rcpt::to(recipient)).await)
    }

    /// Asks the running daemon by a command.
    pub(crate) fn order(&self, arguments: &[&str]) -> Output {
        let config = self.scratch.text("vouch.toml");
        command(&[arguments, &["-c", &config]].concat())
    }

    /// Ends it in order.
    pub(crate) fn stop(self) {
        let ended = self.daemon.stop();
        assert!(ended.is_some_and(|ended| ended.success()));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path("vouch.log")).unwrap()
    }

    /// Waits for a line of the log that holds `part`.
    pub(crate) async fn logged(&self, part: &str) -> String {
        let looking = async {
            loop {
                if let Some(line) = self.log().lines().find(|line| line.contains(part)) {
                    return line.to_owned();
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let found = timeout(PATIENCE, looking).await;
        found.unwrap_or_else(|_| panic!("no line with {part:?} in\n{}", self.log()))
    }
}

fn config(scratch: &Scratch, fleet: &str, remote: &Server, keys: &str) -> String {
    // A map of routes takes the place of an address.
    let remote = match keys.contains("lookup.routes") {
        true => String::new(),
        false => format!(
            "address = \"127.0.0.1\"\nport = {}\nlookup.domains = [\"example.org\"]\n",
            remote.port()
        ),
    };
    format!(
        "{fleet}[control]\nsocket = \"{}\"\n\
         [listener.policy]\nprotocol = \"policy\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n\
         deadline = \"5s\"\nlimits.rcpt = \"unlimited\"\nlimits.rcpt-errors = \"unlimited\"\n\
         [directory.remote]\ntype = \"lmtp\"\n{remote}{keys}\n",
        scratch.text("control"),
        scratch.text("policy"),
    )
}
