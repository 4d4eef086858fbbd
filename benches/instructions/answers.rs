//! Whole answers of the daemon, as clients get them: it runs under valgrind, clients and remote do not.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use remote::{Options, Protocol, Server};
use tokio::runtime::Runtime;

use crate::edge::{Asker, Edge, PATIENCE};
use crate::redis::{Redis, named};
use crate::stage::{self, PASSWORD, options};
use crate::support::process::wait_until;
use crate::support::{Scratch, Vouch, available};
use crate::{Life, callgrind};

/// Lives in which an edge may find its store too slow.
const TRIES: usize = 10;

/// The rows of the daemon.
pub(crate) fn rows() -> Vec<(&'static str, Life)> {
    let (many, some) = ([2_000, 20_000], [500, 5_000]);
    let mut rows = vec![
        (
            "policy: a recipient that is remembered",
            Life::new(many, remembered),
        ),
        (
            "policy: a recipient that an LMTP server is asked about",
            Life::new(some, asked),
        ),
        ("auth: a login by IMAP without TLS", Life::new(some, login)),
    ];
    let programs = ["server", "cli"].map(named);
    if available(&programs.each_ref().map(String::as_str), || None) {
        rows.extend([
            (
                "policy: a recipient that is remembered, in a fleet",
                Life::new(many, remembered_in_a_fleet),
            ),
            (
                "policy: a recipient that another edge has found",
                Life::new(some, found_by_another),
            ),
        ]);
    }
    rows
}

fn remembered(count: usize) -> u64 {
    let remote = Remote::start(Protocol::Lmtp);
    let edge = remote.edge(None, counted);
    ask(&edge, count, |_| 0);
    collected(&edge)
}

fn asked(count: usize) -> u64 {
    let remote = Remote::start(Protocol::Lmtp);
    let edge = remote.edge(None, counted);
    ask(&edge, count, |number| number);
    collected(&edge)
}

fn login(count: usize) -> u64 {
    let remote = Remote::start(Protocol::Imap);
    let edge = remote.edge(None, counted);
    log_in(&edge, count);
    collected(&edge)
}

fn remembered_in_a_fleet(count: usize) -> u64 {
    let (remote, store) = (Remote::start(Protocol::Lmtp), Redis::start());
    let edge = remote.edge(Some(&store), counted);
    ask(&edge, count, |_| 0);
    collected(&edge)
}

fn found_by_another(count: usize) -> u64 {
    let mut tries = (0..TRIES).filter_map(|_| try_to_find(count));
    tries.next().expect("a store that answers in time")
}

/// Nothing where the machine was so busy that the edge has asked the remote itself.
fn try_to_find(count: usize) -> Option<u64> {
    let (remote, store) = (Remote::start(Protocol::Lmtp), Redis::start());
    let other = remote.edge(Some(&store), Vouch::serve);
    ask(&other, count, |number| number);
    store.holds(count);
    let probes = remote.server.count("RCPT");
    let edge = remote.edge(Some(&store), counted);
    ask(&edge, count, |number| number);
    let collected = collected(&edge);
    (remote.server.count("RCPT") == probes).then_some(collected)
}

/// A server that accepts everybody, and where it runs.
struct Remote {
    server: Server,
    kind: &'static str,
    _runtime: Runtime,
}

impl Remote {
    fn start(protocol: Protocol) -> Self {
        let kind = match protocol {
            Protocol::Imap => "imap",
            Protocol::Smtp => "smtp",
            Protocol::Lmtp => "lmtp",
        };
        let runtime = stage::runtime();
        let options = Options {
            catch_all: protocol == Protocol::Lmtp,
            ..options(protocol)
        };
        let server = runtime.block_on(async { Server::start(options).unwrap() });
        Self {
            server,
            kind,
            _runtime: runtime,
        }
    }

    /// One in front of it; its patience with its store is one that valgrind leaves it.
    fn edge(&self, store: Option<&Redis>, serve: impl FnOnce(&Scratch, &str, &[&Path]) -> Vouch) -> Edge {
        let remote = (self.kind, self.server.port());
        Edge::start(remote, store.map(|store| (store, "1s")), serve)
    }
}

/// Asks about so many recipients, one after the other.
fn ask(edge: &Edge, count: usize, recipient: impl Fn(usize) -> usize) {
    let mut asker = Asker::of(&edge.listener());
    for number in 0..count {
        asker.ask(&format!("firstname.lastname{}@example.org", recipient(number)));
    }
}

/// Logs in so often, as Dovecot's login processes do on one connection.
fn log_in(edge: &Edge, count: usize) {
    let mut stream = UnixStream::connect(edge.listener()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"VERSION\t1\t2\nCPID\t77\n").unwrap();
    while lines.next().unwrap().unwrap() != "DONE" {}
    let resp = BASE64_STANDARD.encode(format!("\0{}\0{PASSWORD}", stage::user(0)));
    for id in 1..=count {
        let login = format!("AUTH\t{id}\tPLAIN\tservice=imap\tnologin\tresp={resp}\n");
        stream.write_all(login.as_bytes()).unwrap();
        let answer = lines.next().unwrap().unwrap();
        assert!(answer.starts_with("OK\t"), "{answer}");
    }
}

/// Ends it; what valgrind has counted.
fn collected(edge: &Edge) -> u64 {
    let pid = i32::try_from(edge.vouch.id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let count = || callgrind::count(&edge.log());
    wait_until("the count of valgrind", PATIENCE, || count().is_some());
    count().unwrap()
}

/// The daemon under valgrind, with one thread: else it is chance which of them is woken.
fn counted(scratch: &Scratch, config: &str, sockets: &[&Path]) -> Vouch {
    let words = callgrind::WORDS.join(" ");
    let script = format!("export TOKIO_WORKER_THREADS=1\nexec {words} \"$@\"");
    Vouch::serve_in(scratch, config, sockets, &[], &script)
}
