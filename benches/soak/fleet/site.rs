//! The remote, the store and the edges.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remote::{Account, Options, Protocol, Server};
use tokio::runtime::Runtime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::redis::Redis;
use crate::stage::DEADLINE;
use crate::support::{Scratch, Vouch, vouch};
use crate::truth::Answer;

/// Where each mailbox is there all day, or never; and where they come and go.
pub(super) const STEADY: &str = "steady.example";
pub(super) const MOVING: &str = "moving.example";

/// Mailboxes of the steady domain, and as many that are none.
pub(super) const USERS: u64 = 2000;

/// Mailboxes of the other.
pub(super) const MOVERS: u64 = 200;

/// One of these comes or goes so often, so that each stays as it is for longer than anything is remembered.
const MOVES: Duration = Duration::from_secs(1);

/// How long an edge remembers.
const NEGATIVE: Duration = Duration::from_secs(30);
const STALE: Duration = Duration::from_secs(60);

/// An answer may be older by so much, for its way and for times that are told in whole seconds.
const ROUNDED: Duration = Duration::from_secs(5);

/// All that runs.
pub(super) struct Site {
    remote: Server,
    pub(super) redis: Mutex<Redis>,
    pub(super) edges: Vec<Edge>,
    /// Whether each of the moving is there, and since when.
    movers: Mutex<Vec<(bool, Instant)>>,
    _key: Scratch,
}

/// One edge.
pub(super) struct Edge {
    _vouch: Vouch,
    scratch: Scratch,
}

impl Site {
    pub(super) fn new(runtime: &Runtime) -> Self {
        let mut options = Options::new(Protocol::Lmtp);
        options.accounts = (0..USERS)
            .map(|number| Account::new(&format!("user{number}@{STEADY}"), "x"))
            .collect();
        options.domains = vec![STEADY.to_owned(), MOVING.to_owned()];
        options.record = false;
        let remote = runtime.block_on(async { Server::start(options).unwrap() });
        let (key, redis) = (Scratch::new(), Redis::start());
        let file = key.path("fleet.key");
        let made = Command::new(vouch::binary())
            .args(["fleet", "key"])
            .arg(&file)
            .output();
        assert!(made.unwrap().status.success());
        let edge = |_| Edge::start(&redis.fleet(&file), remote.port());
        let edges = (0..3).map(edge).collect();
        let began = Instant::now();
        for number in (0..MOVERS).step_by(2) {
            remote.set_account(Account::new(&mover(number), "x"));
        }
        Self {
            remote,
            redis: Mutex::new(redis),
            edges,
            movers: Mutex::new((0..MOVERS).map(|number| (number % 2 == 0, began)).collect()),
            _key: key,
        }
    }

    /// Has mailboxes come and go until the evening.
    pub(super) async fn moves(self: Arc<Self>, evening: CancellationToken) {
        for number in (0..MOVERS).cycle() {
            tokio::select! {
                () = sleep(MOVES) => {}
                () = evening.cancelled() => return,
            }
            let mut movers = self.movers.lock().unwrap();
            let (is_there, since) = &mut movers[number as usize];
            if *is_there {
                self.remote.remove_account(&mover(number));
            } else {
                self.remote.set_account(Account::new(&mover(number), "x"));
            }
            (*is_there, *since) = (!*is_there, Instant::now());
        }
    }

    /// Whether an answer about a moving mailbox that took so long is one that nobody may give any more.
    pub(super) fn is_outdated(&self, number: u64, answer: Answer, took: Duration) -> bool {
        let (is_there, since) = self.movers.lock().unwrap()[number as usize];
        let time = since.elapsed().saturating_sub(took + ROUNDED);
        match answer {
            Answer::Yes => !is_there && time > STALE,
            Answer::No => is_there && time > NEGATIVE,
            Answer::Later => false,
        }
    }

    /// Recipients that the remote was asked about.
    pub(super) fn probes(&self) -> u64 {
        self.remote.count("RCPT")
    }

    /// What each edge has to report of the store.
    pub(super) fn stores(&self) -> Vec<serde_json::Value> {
        self.edges.iter().map(Edge::store).collect()
    }
}

pub(super) fn mover(number: u64) -> String {
    format!("user{number}@{MOVING}")
}

impl Edge {
    fn start(fleet: &str, port: u16) -> Self {
        let scratch = Scratch::new();
        let (listener, seconds) = (scratch.path("policy"), |time: Duration| time.as_secs());
        // The patience of a busy machine: how a slow store is left alone is seen as well with a longer one. Few are
        // remembered, so that most questions are for the store.
        let config = format!(
            "{fleet}[log]\nlevel = \"warn\"\n[control]\nsocket = \"{}\"\n\
             [listener.policy]\nprotocol = \"policy\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n\
             deadline = \"{}s\"\nlimits.rcpt = \"unlimited\"\nlimits.rcpt-errors = \"unlimited\"\n\
             [directory.remote]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {port}\n\
             lookup.domains = [\"{STEADY}\", \"{MOVING}\"]\ntimeout = \"{}s\"\ncache.entries = 300\n\
             cache.ttl = {{ positive = \"30s\", refresh = \"15s\", negative = \"{}s\", stale = \"{}s\" }}\n",
            scratch.text("control"),
            listener.display(),
            seconds(DEADLINE),
            seconds(DEADLINE),
            seconds(NEGATIVE),
            seconds(STALE),
        );
        let fast = config.replace("patience = \"500ms\"", "patience = \"50ms\"");
        assert_ne!(fast, config);
        Self {
            _vouch: Vouch::serve(&scratch, &fast, &[&listener]),
            scratch,
        }
    }

    pub(super) fn listener(&self) -> std::path::PathBuf {
        self.scratch.path("policy")
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path("vouch.log")).unwrap()
    }

    fn store(&self) -> serde_json::Value {
        let mut command = Command::new(vouch::binary());
        let status = command
            .args(["status", "--json", "-c"])
            .arg(self.scratch.path("vouch.toml"));
        let status = status.output().unwrap().stdout;
        let mut status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        status["fleet"][0].take()
    }
}
