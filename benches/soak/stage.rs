//! The remotes, the daemon, and what the system says of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use remote::{Account, Options, Protocol, Server};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::support::{Scratch, Vouch};
use crate::truth::{Listener, PASSWORD, SICK, USERS, WELL};

/// `directory.NAME.timeout` of the sick ones: a remote that hangs is not to hold its sessions for long.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// The deadline of every listener. Longer than anybody is patient, since a machine that is busy with others is slow: that a
/// remote which is well has no answer by then would be a fault of ours.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// Remotes and the daemon that asks them.
pub(crate) struct Stage {
    vouch: Vouch,
    pub(crate) sick: Vec<Arc<Server>>,
    _well: Vec<Server>,
    pub(crate) listeners: Listeners,
    scratch: Scratch,
    pub(crate) runtime: Runtime,
}

/// The sockets.
#[derive(Clone)]
pub(crate) struct Listeners(Arc<[PathBuf; 5]>);

/// What the daemon holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    /// Open descriptors; `None` where only root may count them, as the daemon is closed to others.
    pub(crate) descriptors: Option<usize>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let scratch = Scratch::new();
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let remote =
            |protocol, domain| runtime.block_on(async { Server::start(options(protocol, domain)).unwrap() });
        let sick = [Protocol::Lmtp, Protocol::Imap].map(|protocol| Arc::new(remote(protocol, SICK)));
        let well = [Protocol::Lmtp, Protocol::Imap].map(|protocol| remote(protocol, WELL));
        let sockets = Listener::ALL.map(|(_, name, ..)| scratch.path(name));
        let config = config(
            [sick[0].port(), sick[1].port()],
            [well[0].port(), well[1].port()],
            &sockets,
        );
        let paths: Vec<&Path> = sockets.iter().map(PathBuf::as_path).collect();
        let vouch = Vouch::serve(&scratch, &config, &paths);
        Self {
            vouch,
            sick: sick.into(),
            _well: well.into(),
            listeners: Listeners(Arc::new(sockets)),
            scratch,
            runtime,
        }
    }

    /// What the daemon holds now.
    pub(crate) fn usage(&self) -> Usage {
        let process = PathBuf::from(format!("/proc/{}", self.vouch.id()));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        Usage {
            memory: resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024,
            descriptors: match fs::read_dir(process.join("fd")) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
                descriptors => Some(descriptors.unwrap().count()),
            },
        }
    }

    /// Ends the daemon. Everything that it has printed, and how it ended.
    pub(crate) fn stop(self) -> String {
        let status = self.vouch.stop();
        let log = fs::read(self.scratch.path("vouch.log")).unwrap();
        let log = String::from_utf8_lossy(&log).into_owned();
        match status {
            Some(status) if status.success() => log,
            status => format!("{log}\npanicked or hung: it ended with {status:?}"),
        }
    }
}

impl Listeners {
    /// Connects to a listener; where the kernel's queue of it is full, again and again.
    pub(crate) async fn connect(&self, listener: Listener) -> io::Result<UnixStream> {
        loop {
            match UnixStream::connect(&self.0[listener as usize]).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(Duration::from_millis(20)).await;
                }
                connected => return connected,
            }
        }
    }
}

fn options(protocol: Protocol, domain: &str) -> Options {
    let mut options = Options::new(protocol);
    options.accounts = (0..USERS)
        .map(|number| Account::new(&format!("user{number}@{domain}"), PASSWORD))
        .collect();
    options.domains = vec![domain.to_owned()];
    options.record = false;
    options
}

/// Little is remembered, so that most questions are asked: of remotes that are well, nothing.
fn config(sick: [u16; 2], well: [u16; 2], sockets: &[PathBuf; 5]) -> String {
    const NOTHING: &str = "ttl = { positive = \"0s\", refresh = \"0s\", negative = \"0s\", stale = \"0s\" }";
    const LITTLE: &str = "ttl = { positive = \"2s\", refresh = \"1s\", negative = \"1s\", stale = \"4s\" }";
    let mut config = String::from("[log]\nlevel = \"warn\"\n");
    for (name, domain, ports, cache) in [("sick", SICK, sick, LITTLE), ("well", WELL, well, NOTHING)] {
        for ((what, kind), port) in [("recipients", "lmtp"), ("logins", "imap")]
            .into_iter()
            .zip(ports)
        {
            let timeout = if name == "sick" { COMMAND_TIMEOUT } else { DEADLINE };
            config.push_str(&format!(
                "[directory.{name}-{what}]\ntype = \"{kind}\"\naddress = \"127.0.0.1\"\nport = {port}\n\
                 timeout = \"{}s\"\nlookup.domains = [\"{domain}\"]\npool.idle-timeout = \"2s\"\n\
                 pool.warm-sessions = 0\ncache.{cache}\ncache.entries = 200\ncache.credentials.negative = \"1s\"\n",
                timeout.as_secs()
            ));
        }
    }
    for ((_, name, what, keys), socket) in Listener::ALL.into_iter().zip(sockets) {
        config.push_str(&format!(
            "[listener.{name}]\nprotocol = \"{name}\"\nsocket = \"{}\"\n\
             directory = [\"sick-{what}\", \"well-{what}\"]\ndeadline = \"{}s\"\n{keys}",
            socket.display(),
            DEADLINE.as_secs()
        ));
    }
    config
}
