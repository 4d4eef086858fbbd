//! A remote, a daemon in front of it, and what the system says of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use remote::{Account, Options, Protocol, Server};
use tokio::runtime::{Builder, Runtime};

use crate::support::{Scratch, Vouch};

/// Users of every remote here: `user0@example.org` and so on.
pub(crate) const USERS: usize = 2000;

/// The password of them all.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The name of a user.
pub(crate) fn user(number: usize) -> String {
    format!("user{}@example.org", number % USERS)
}

/// A remote that knows the users, answers at once and notes nothing but counts.
pub(crate) fn options(protocol: Protocol) -> Options {
    let mut options = Options::new(protocol);
    options.accounts = (0..USERS)
        .map(|number| Account::new(&user(number), PASSWORD))
        .collect();
    options.domains = vec!["example.org".to_owned()];
    options.record = false;
    options
}

/// A remote and the daemon that asks it. The listener's socket has the name of its protocol.
pub(crate) struct Stage {
    pub(crate) vouch: Vouch,
    pub(crate) remote: Server,
    pub(crate) scratch: Scratch,
    /// Where clients and the remote run.
    pub(crate) runtime: Runtime,
}

impl Stage {
    /// `directory` and `listener` are further keys of the two tables, one a line.
    pub(crate) fn new(options: Options, protocol: &str, directory: &str, keys: &str) -> Self {
        Self::set(Scratch::new(), options, protocol, directory, keys, Vouch::serve)
    }

    /// The same in a scratch directory that has something in it, with a daemon that is started so.
    pub(crate) fn set(
        scratch: Scratch,
        options: Options,
        protocol: &str,
        directory: &str,
        keys: &str,
        serve: impl FnOnce(&Scratch, &str, &[&Path]) -> Vouch,
    ) -> Self {
        let runtime = runtime();
        let kind = match options.protocol {
            Protocol::Imap => "imap",
            Protocol::Smtp => "smtp",
            Protocol::Lmtp => "lmtp",
        };
        let remote = runtime.block_on(async { Server::start(options).unwrap() });
        let config = format!(
            "[directory.remote]\ntype = \"{kind}\"\naddress = \"localhost\"\nport = {}\n\
             lookup.domains = [\"example.org\"]\n{directory}\n\
             [listener.listener]\nprotocol = \"{protocol}\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n{keys}\n",
            remote.port(),
            scratch.text(protocol)
        );
        let socket = scratch.path(protocol);
        let vouch = serve(&scratch, &config, &[&socket]);
        Self {
            vouch,
            remote,
            scratch,
            runtime,
        }
    }

    /// The listener's socket.
    pub(crate) fn listener(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }
}

/// Where a measurement's clients and remotes run: as many threads as a daemon's.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Processor time that a process has used, all of its threads together.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let spent = tasks.filter_map(|task| {
        // A thread may end between the two.
        let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Memory of a process that is resident, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// The middle one.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// How many a second.
pub(crate) fn rate(count: u64, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}
