//! A server as a process of the test: started in a group of its own, waited for, stopped by that group.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Scratch;

/// How long a server may take to answer after its start. Postfix takes 2 s alone, and many at once share two cores.
const START: Duration = Duration::from_secs(40);

/// How long a server may take to end when asked, before it is killed.
const STOP: Duration = Duration::from_secs(5);

/// A running server. It is ended, and all of its group, when the value is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The process groups to end, each with the note that the guard of the directory reads.
    groups: Vec<(u32, PathBuf)>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, without input; what it prints goes to `name.log`.
    pub(crate) fn start(scratch: &Scratch, name: &str, command: &mut Command) -> Self {
        let log = scratch.path(&format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let mut process = Self {
            child,
            groups: Vec::new(),
            log,
        };
        process.adopt(scratch, process.child.id());
        process
    }

    /// Takes charge of a process group that the server has made for itself, named by its leader.
    pub(crate) fn adopt(&mut self, scratch: &Scratch, leader: u32) {
        self.groups.push((leader, scratch.note_running(leader)));
    }

    /// The process that was started.
    #[allow(dead_code, reason = "a test seldom asks the system about it")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status of the process that was started, once it has ended.
    #[allow(dead_code, reason = "most servers run until they are stopped")]
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until something accepts connections on `port` of 127.0.0.1.
    pub(crate) fn wait_for_port(&mut self, port: u16) {
        self.wait_for(&format!("port {port}"), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
    }

    /// Waits until something accepts connections on the socket `path`.
    pub(crate) fn wait_for_socket(&mut self, path: &Path) {
        self.wait_for(&path.display().to_string(), || UnixStream::connect(path).is_ok());
    }

    /// Asks all of it to end, and kills what does not within five seconds. Returns when it is gone, with the exit
    /// status of the process that was started.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        let mut status = None;
        for name in ["TERM", "KILL"] {
            let end = Instant::now() + STOP;
            self.signal(name);
            while Instant::now() < end {
                status = status.or_else(|| self.child.try_wait().ok().flatten());
                // Signal 0 asks whether anyone is left: the first process may end before its children do.
                if status.is_some() && !self.signal("0") {
                    for (_, note) in self.groups.drain(..) {
                        let _ = fs::remove_file(note);
                    }
                    return status;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        status
    }

    fn wait_for(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let child = &mut self.child;
        let log = &self.log;
        wait_until(what, START, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!(
                    "ended ({status}) before {what} answered:\n{}",
                    fs::read_to_string(log).unwrap_or_default()
                );
            }
            ready()
        });
    }

    /// Sends a signal to the groups; true if anyone was there to get it.
    pub(crate) fn signal(&self, name: &str) -> bool {
        let send = |group: &u32| {
            Command::new("/bin/sh")
                .args([
                    "-c",
                    r#"kill -s "$1" -- "-$2" 2>/dev/null"#,
                    "kill",
                    name,
                    &group.to_string(),
                ])
                .status()
                .is_ok_and(|status| status.success())
        };
        // Every group gets it, also after one that had someone in it.
        self.groups.iter().filter(|(group, _)| send(group)).count() > 0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.groups.is_empty() {
            self.stop();
        }
    }
}

/// Asks every 20 ms until `ready`; fails the test after `limit`.
pub(crate) fn wait_until(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !ready() {
        assert!(Instant::now() < end, "waited {limit:?} for {what} in vain");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Raises this process's limit of descriptors as far as it goes; what it is then.
#[allow(dead_code, reason = "most tests need few")]
pub(crate) fn raise_descriptors() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    usize::try_from(hard).unwrap_or(usize::MAX)
}

/// A TCP port of 127.0.0.1 that is free and stays so, for servers that cannot be told to take any.
///
/// It lies below the range from which the kernel takes the ports of outgoing connections and of sockets bound to
/// port 0, so that neither is given it before its server binds it. Other tests, in this process or in others, are kept
/// off it by an abstract socket of its number, which lives as long as the process.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const PAST: u16 = 32_768;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different places, lest each walks through what the others have taken.
    let begin = std::process::id() as usize * 97;
    for _ in FIRST..PAST {
        let step = begin + usize::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(step % usize::from(PAST - FIRST)).unwrap();
        let name = SocketAddr::from_abstract_name(format!("vouch-test-port-{port}")).unwrap();
        let Ok(reserved) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            std::mem::forget(reserved);
            return port;
        }
    }
    panic!("no port of {FIRST}–{PAST} is free");
}

/// Where `contrib/test` has unpacked the package `name`, which excludes an installed one.
pub(crate) fn unpacked(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("peers")
        .join(name)
}

/// Where the program `name` is installed or unpacked. Looks in the system's directories too, which the path of a user
/// may lack, and in those of Dovecot's services, each of which may be a package of its own.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [
        "/usr/local/sbin", "/usr/sbin", "/usr/bin", "/usr/lib/dovecot", "/usr/libexec/dovecot",
    ];
    let folders = std::env::split_paths(&path)
        .chain(system.map(PathBuf::from))
        .chain(["usr/sbin", "usr/bin"].map(|folder| unpacked(name).join(folder)));
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
