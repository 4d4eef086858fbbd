//! What systemd and the daemon tell each other, with this process in systemd's place: sockets that are handed over,
//! `READY=1` and the other notifications, the watchdog.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpListener;
use std::os::fd::RawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use remote::Protocol;

use crate::outside::{World, directory, listener, people, plain, wait_until};
use crate::serve::{Daemon, JANE, ask, world};
use crate::support::handed_over::{held, script};

/// `vouch serve` as systemd starts it: with these sockets, by their names, from descriptor 3 on.
pub(crate) fn serve_with(world: &World, sockets: &[(&str, RawFd)]) -> Command {
    let mut command = plain(Command::new("bash"));
    command
        .args([
            "-c",
            &script(sockets),
            "bash",
            env!("CARGO_BIN_EXE_vouch"),
            "serve",
            "-c",
        ])
        .arg(world.scratch.path("vouch.toml"));
    command
}

/// A remote, and a policy listener that systemd opens; `more` for the listener.
pub(crate) fn handed_over(more: &str) -> (World, remote::Server) {
    let world = World::new();
    let remote = world.remote(people(Protocol::Lmtp));
    let listener = listener("recipients", "policy", Path::new("systemd:policy"), "remote");
    world.config(&(directory("remote", "lmtp", remote.port()) + &listener + more));
    (world, remote)
}

#[test]
fn sockets_are_taken_by_their_names_and_left_where_they_are() {
    let (world, _remote) = handed_over("");
    let path = world.scratch.path("policy");
    let (policy, spare) = (
        UnixListener::bind(&path).unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let sockets = [("spare", held(&spare)), ("policy", held(&policy))];
    let daemon = Daemon::run(&world, &mut serve_with(&world, &sockets));
    // A client that comes before the daemon is there waits.
    assert_eq!(ask(&path, JANE), "action=DUNNO\n\n");
    daemon.logged(&[
        "INFO", "listening", "listener=recipients", "socket=systemd:policy",
    ]);
    daemon.logged(&[
        "WARN",
        "systemd handed over a socket \"spare\" that no listener names",
    ]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    // It was not ours to take away, and the next daemon finds who waits in it.
    let early = UnixStream::connect(&path).unwrap();
    (&early)
        .write_all(
            format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={JANE}\n\n").as_bytes(),
        )
        .unwrap();
    let daemon = Daemon::run(&world, &mut serve_with(&world, &sockets));
    let mut answer = String::new();
    BufReader::new(&early).read_line(&mut answer).unwrap();
    assert_eq!(answer, "action=DUNNO\n");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_socket_that_is_not_handed_over_is_missed_by_its_name() {
    let (world, _remote) = handed_over("");
    let other = held(TcpListener::bind("127.0.0.1:0").unwrap());
    for (sockets, words) in [
        (
            &[][..],
            "systemd:policy: no socket was handed over: start vouch by systemd, with an enabled socket unit",
        ),
        (
            &[("auth", other)][..],
            "systemd:policy: no socket of that name was handed over, only auth: enable a socket unit with \
             FileDescriptorName=policy",
        ),
    ] {
        let mut daemon = Daemon::run(&world, &mut serve_with(&world, sockets));
        daemon.logged(&["ERROR", "cannot start: listener \"recipients\"", words]);
        assert_eq!(daemon.process.stop().and_then(|status| status.code()), Some(71));
    }
}

/// What systemd hears: one entry for each message, its lines sorted.
struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Systemd {
    fn new(world: &World) -> Self {
        let path = world.scratch.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { socket, path }
    }

    /// Starts the daemon, which is to be heard from every so many microseconds, if a watchdog wants it.
    fn starts(&self, world: &World, watchdog: Option<&str>) -> Daemon {
        let mut command = crate::outside::vouch();
        command
            .args(["serve", "-c"])
            .arg(world.scratch.path("vouch.toml"))
            .env("NOTIFY_SOCKET", &self.path)
            .envs(watchdog.map(|every| ("WATCHDOG_USEC", every)));
        Daemon::run(world, &mut command)
    }

    /// The next message that has a line `state`.
    fn hears(&self, state: &str) -> Vec<String> {
        let mut bytes = [0; 4096];
        loop {
            let length = match self.socket.recv(&mut bytes) {
                // A signal to this process, of a child that ended, is no message.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                received => received.unwrap(),
            };
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            println!("{lines:?}");
            if lines.iter().any(|line| line == state) {
                return lines;
            }
        }
    }
}

#[test]
fn systemd_is_told_when_it_is_ready_reads_anew_and_ends() {
    let (world, _remote, socket) = world("");
    let systemd = Systemd::new(&world);
    let daemon = systemd.starts(&world, Some("200000"));
    let lines = systemd.hears("READY=1");
    let status = "STATUS=listeners: 1; every directory answers";
    assert!(lines.iter().any(|line| line == status), "{lines:?}");
    // Not before whoever connects is answered.
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    for _ in 0..3 {
        systemd.hears("WATCHDOG=1");
    }
    let config = std::fs::read_to_string(world.scratch.path("vouch.toml")).unwrap();
    for (text, remark) in [
        (
            config.clone() + "[nonsense]\n",
            "unknown key `nonsense`: not a key of the file",
        ),
        (config, ""),
    ] {
        std::fs::write(world.scratch.path("vouch.toml"), text).unwrap();
        assert!(daemon.process.signal("HUP"));
        let lines = systemd.hears("RELOADING=1");
        let clock = lines.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(
            clock.is_some_and(|clock| clock.parse::<u64>().is_ok()),
            "{lines:?}"
        );
        let lines = systemd.hears("READY=1");
        let told = lines.iter().find_map(|line| line.strip_prefix(status));
        let begin = if remark.is_empty() {
            ""
        } else {
            "; not reloaded: /"
        };
        assert!(
            told.is_some_and(|told| told.starts_with(begin) && told.ends_with(remark)),
            "{lines:?}"
        );
        assert_eq!(told == Some(""), remark.is_empty(), "{lines:?}");
    }
    assert!(daemon.process.signal("TERM"));
    systemd.hears("STOPPING=1");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn systemd_is_told_which_directory_is_sick() {
    let (world, remote, socket) = world("");
    let systemd = Systemd::new(&world);
    let daemon = systemd.starts(&world, None);
    systemd.hears("READY=1");
    world.stop(&remote);
    assert!(ask(&socket, JANE).starts_with("action=DEFER_IF_PERMIT"));
    systemd.hears("STATUS=listeners: 1; no answer last from remote");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

// Fills notify::WAITING.
#[test]
fn a_systemd_that_reads_nothing_holds_up_nobody() {
    let (world, _remote, socket) = world("");
    let systemd = Systemd::new(&world);
    // A message each millisecond: its queue is full after some hundred (net.unix.max_dgram_qlen).
    let daemon = systemd.starts(&world, Some("2000"));
    wait_until("the daemon", || daemon.log().contains(" ready "));
    thread::sleep(Duration::from_secs(1));
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert!(daemon.process.signal("HUP"));
    daemon.logged(&["reloaded: no listener is any different"]);
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
