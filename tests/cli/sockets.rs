//! Sockets that somebody removes while the daemon listens on them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use remote::{Fault, Protocol, Server};

use crate::outside::{World, directory, listener, people, wait_until};
use crate::serve::{Daemon, JANE, ask};
use crate::support::handed_over::held;
use crate::systemd::{handed_over, serve_with};

const YES: &str = "action=DUNNO\n\n";

/// A policy listener, the control socket and that of metrics.
struct Stage {
    world: World,
    remote: Server,
    policy: PathBuf,
    control: PathBuf,
    metrics: PathBuf,
}

impl Stage {
    fn new(more: &str) -> Self {
        let world = World::new();
        let remote = world.remote(people(Protocol::Lmtp));
        let [policy, control, metrics] =
            ["policy", "control", "metrics"].map(|name| world.scratch.path(name));
        let listener = listener("recipients", "policy", &policy, "remote");
        world.config(&format!(
            "{}{listener}mode = \"0640\"\n{more}[control]\nsocket = \"{}\"\n[metrics]\nlisten = \"{}\"\n",
            directory("remote", "lmtp", remote.port()),
            control.display(),
            metrics.display(),
        ));
        Self {
            world,
            remote,
            policy,
            control,
            metrics,
        }
    }

    fn status(&self) -> String {
        self.world.vouch(&["status"]).ended(0).unfolded()
    }
}

/// A client that stays: asks, and takes the answer.
fn question(stream: &mut BufReader<UnixStream>, recipient: &str) -> String {
    let request = format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\n\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\n\n") {
        assert_ne!(
            stream.read_line(&mut answer).unwrap(),
            0,
            "closed after {answer:?}"
        );
    }
    answer
}

fn staying(socket: &Path) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    BufReader::new(stream)
}

#[test]
fn what_somebody_removed_is_bound_anew_and_who_is_inside_stays() {
    let stage = Stage::new("");
    let daemon = Daemon::start(&stage.world);
    let mut client = staying(&stage.policy);
    assert_eq!(question(&mut client, JANE), YES);
    for (path, of) in [
        (&stage.policy, "listener \"recipients\""),
        (&stage.control, "control.socket"),
        (&stage.metrics, "metrics.listen"),
    ] {
        let mode = |path: &Path| fs::metadata(path).map(|it| it.permissions().mode() & 0o7777).ok();
        let before = mode(path);
        fs::remove_file(path).unwrap();
        wait_until("another socket", || UnixStream::connect(path).is_ok());
        assert_eq!(mode(path), before);
        daemon.logged(&["WARN", of, "somebody removed its socket", "it is bound anew"]);
    }
    assert_eq!(ask(&stage.policy, JANE), YES);
    assert_eq!(question(&mut client, JANE), YES, "over the connection of before");
    assert!(!stage.status().contains("removed its socket"));
    let mut scrape = UnixStream::connect(&stage.metrics).unwrap();
    scrape
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut line = String::new();
    BufReader::new(&scrape).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    drop(client);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    for path in [&stage.policy, &stage.control, &stage.metrics] {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[test]
fn what_somebody_put_in_the_place_of_a_socket_is_told_of_and_goes_by_order() {
    let stage = Stage::new("");
    let daemon = Daemon::start(&stage.world);
    fs::remove_file(&stage.policy).unwrap();
    let other = UnixListener::bind(&stage.policy).unwrap();
    let inode = || fs::metadata(&stage.policy).unwrap().ino();
    let theirs = inode();
    daemon.logged(&[
        "ERROR", "listener \"recipients\": no client can connect", "something else in the place",
    ]);
    let told = "listener \"recipients\": somebody has put something else in the place of its socket";
    wait_until("the status", || {
        stage.status().replace("\n  ", " ").contains(told)
    });
    // By order what somebody listens on is left, and what nobody does is replaced.
    assert!(daemon.process.signal("HUP"));
    daemon.logged(&[
        "ERROR", "cannot be bound anew", "another process", "listens there",
    ]);
    daemon.logged(&["INFO", "reloaded"]);
    assert_eq!(inode(), theirs);
    drop(other);
    assert!(daemon.process.signal("HUP"));
    // Its inode may be that of the one before.
    daemon.logged(&[
        "WARN", "listener \"recipients\": somebody removed its socket", "it is bound anew",
    ]);
    assert_eq!(ask(&stage.policy, JANE), YES);
    wait_until("a status that is well", || {
        !stage.status().contains("no client can connect")
    });
    // One that was only moved is found again.
    let aside = stage.world.scratch.path("aside");
    let file = stage.world.scratch.path("file");
    fs::write(&file, "").unwrap();
    fs::rename(&stage.policy, &aside).unwrap();
    fs::rename(&file, &stage.policy).unwrap();
    wait_until("the status", || stage.status().contains("no client can connect"));
    fs::rename(&aside, &stage.policy).unwrap();
    daemon.logged(&[
        "INFO", "listener \"recipients\": its socket is in its place again",
    ]);
    assert_eq!(ask(&stage.policy, JANE), YES);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_reload_binds_at_once_what_was_removed() {
    let stage = Stage::new("");
    let daemon = Daemon::start(&stage.world);
    fs::remove_file(&stage.policy).unwrap();
    assert!(daemon.process.signal("HUP"));
    wait_until("another socket", || UnixStream::connect(&stage.policy).is_ok());
    assert_eq!(ask(&stage.policy, JANE), YES);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// Longer than the daemon looks away, while a question is under way.
#[test]
fn a_daemon_that_drains_binds_nothing() {
    let stage = Stage::new("deadline = \"12s\"\n");
    let daemon = Daemon::start(&stage.world);
    stage.remote.set_fault(Fault::HangBeforeReply.at("RCPT"));
    let mut client = staying(&stage.policy);
    let request = format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={JANE}\n\n");
    client.get_mut().write_all(request.as_bytes()).unwrap();
    wait_until("the question", || stage.remote.count("RCPT") > 0);
    assert!(daemon.process.signal("TERM"));
    wait_until("the drain", || !stage.policy.exists());
    for _ in 0..70 {
        assert!(!stage.policy.exists());
        thread::sleep(Duration::from_millis(100));
    }
    let mut answer = String::new();
    client.read_line(&mut answer).unwrap();
    assert!(answer.starts_with("action=DEFER_IF_PERMIT"), "{answer}");
    assert!(!stage.policy.exists());
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn what_systemd_has_bound_is_told_of_and_left_to_it() {
    let (world, _remote) = handed_over("");
    let path = world.scratch.path("policy");
    let socket = UnixListener::bind(&path).unwrap();
    let daemon = Daemon::run(&world, &mut serve_with(&world, &[("policy", held(&socket))]));
    assert_eq!(ask(&path, JANE), YES);
    fs::remove_file(&path).unwrap();
    daemon.logged(&[
        "ERROR", "listener \"recipients\": no client can connect", "which systemd has bound",
    ]);
    assert!(!path.exists());
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
