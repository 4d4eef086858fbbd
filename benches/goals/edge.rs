//! An edge of a fleet, or one that is alone: a daemon in front of a remote that it shares with others.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clients::policy_request;
use crate::redis::{Redis, private};
use crate::support::process::wait_until;
use crate::support::vouch::binary;
use crate::support::{Scratch, Vouch};

/// How long an edge may take for what it does by itself; valgrind makes it fifty times slower.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running edge.
pub(crate) struct Edge {
    pub(crate) vouch: Vouch,
    scratch: Scratch,
}

impl Edge {
    /// An edge in front of the remote of that `kind` at `port`, which is asked nothing but what clients ask, and they as much
    /// as they like. `patience` is that with its store; it is there once it uses it.
    pub(crate) fn start(
        (kind, port): (&str, u16),
        store: Option<(&Redis, &str)>,
        serve: impl FnOnce(&Scratch, &str, &[&Path]) -> Vouch,
    ) -> Self {
        let scratch = Scratch::new();
        let (directory, listener) = match kind {
            "imap" => (
                "cache.credentials.negative = \"0s\"", "protocol = \"auth\"\npenalty = \"off\"",
            ),
            _ => (
                "lookup.catch-all = \"off\"", "protocol = \"policy\"\nlimits.rcpt = \"unlimited\"",
            ),
        };
        let fleet = store.map_or_else(String::new, |(store, patience)| {
            let key = private(store.scratch(), "fleet.key", &"5".repeat(64));
            store.fleet(&key).replace("\"500ms\"", &format!("\"{patience}\""))
        });
        let config = format!(
            "{fleet}[control]\nsocket = \"{}\"\n[directory.remote]\ntype = \"{kind}\"\naddress = \"127.0.0.1\"\nport = {port}\n\
             lookup.domains = [\"example.org\"]\n{directory}\n\
             [listener.listener]\nsocket = \"{}\"\ndirectory = [\"remote\"]\n{listener}\n",
            scratch.text("control"),
            scratch.text("listener"),
        );
        let listener = scratch.path("listener");
        let edge = Self {
            vouch: serve(&scratch, &config, &[&listener]),
            scratch,
        };
        if store.is_some() {
            let used = || edge.log().contains("the store of the fleet is used");
            wait_until("the store to be used", PATIENCE, used);
        }
        edge
    }

    /// Its socket.
    pub(crate) fn listener(&self) -> PathBuf {
        self.scratch.path("listener")
    }

    /// Has it forget a recipient, and all edges of its fleet.
    #[allow(dead_code, reason = "one that is alone shows nothing by it")]
    pub(crate) fn purge(&self, recipient: &str) {
        let config = self.scratch.text("vouch.toml");
        let mut purge = Command::new(binary());
        let purged = purge
            .args(["cache", "purge", recipient, "-c", &config])
            .output()
            .unwrap();
        assert!(purged.status.success(), "{purged:?}");
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scratch.path("vouch.log")).unwrap()
    }
}

/// A client with one question at a time.
pub(crate) struct Asker(UnixStream);

impl Asker {
    pub(crate) fn of(listener: &Path) -> Self {
        Self(UnixStream::connect(listener).unwrap())
    }

    /// Asks about a recipient, who exists; how many milliseconds the answer takes.
    pub(crate) fn ask(&mut self, recipient: &str) -> f64 {
        const YES: &[u8] = b"action=DUNNO\n\n";
        let (request, mut answer) = (policy_request(recipient), [0; YES.len()]);
        let began = Instant::now();
        self.0.write_all(&request).unwrap();
        self.0.read_exact(&mut answer).unwrap();
        let took = began.elapsed();
        assert_eq!(answer, YES, "{}", answer.escape_ascii());
        took.as_secs_f64() * 1e3
    }
}
