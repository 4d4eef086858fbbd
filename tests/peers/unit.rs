//! The units for systemd, judged by systemd's own tools; no systemd need run.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use remote::{Account, Options, Protocol, Server};
use tokio::runtime::Runtime;

use crate::runnable;
use crate::support::process::wait_until;
use crate::support::vouch::binary;
use crate::support::{Process, Scratch, program};

/// The most that `systemd-analyze security` may say of the unit, of 10.
const EXPOSURE: f64 = 2.0;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd/vouch.service")
}

/// What `systemd-analyze` says, and whether it is content.
fn analyze(arguments: &[&str], unit: &Path) -> (String, bool) {
    let mut command = Command::new(program("systemd-analyze").unwrap());
    command
        .args(arguments)
        .arg(unit)
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_EMOJI", "0");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.success(),
    )
}

#[test]
fn the_unit_leaves_little_exposed() {
    if !runnable(&["systemd-analyze"]) {
        return;
    }
    let (said, _) = analyze(&["security", "--offline=true", "--no-pager"], &unit());
    let exposure: f64 = said
        .split_once("Overall exposure level for vouch.service: ")
        .and_then(|(_, after)| after.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    println!("exposure {exposure}");
    assert!(exposure < EXPOSURE, "{said}");
}

#[test]
fn the_unit_says_nothing_that_systemd_does_not_know() {
    if !runnable(&["systemd-analyze"]) {
        return;
    }
    let scratch = Scratch::new();
    let text = std::fs::read_to_string(unit()).unwrap();
    // Here it is not installed.
    let installed = "ExecStart=/usr/bin/vouch ";
    assert_eq!(text.matches(installed).count(), 1);
    let here = format!("ExecStart={} ", binary().display());
    let copy = scratch.write("vouch.service", text.replace(installed, &here));
    let socket = unit().with_file_name("vouch@.socket");
    let socket = scratch.write("vouch@policy.socket", std::fs::read_to_string(socket).unwrap());
    for unit in [copy, socket] {
        let (said, content) = analyze(&["verify", "--man=no"], &unit);
        let about: Vec<_> = said.lines().filter(|line| line.contains("vouch")).collect();
        assert!(content && about.is_empty(), "{said}");
    }
}

/// systemd's own way of handing a socket over: it waits for the first client, and becomes the daemon then.
#[test]
fn a_socket_of_systemd_s_is_served() {
    if !runnable(&["systemd-socket-activate"]) {
        return;
    }
    let scratch = Scratch::new();
    let world = Runtime::new().unwrap();
    let remote = {
        let _inside = world.enter();
        let jane = Account::new("jane@example.org", "secret");
        Server::start(Options::new(Protocol::Lmtp).account(jane)).unwrap()
    };
    let config = format!(
        "[directory.\"remote\"]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\n\
         lookup.domains = [\"example.org\"]\n\
         [listener.\"recipients\"]\nprotocol = \"policy\"\nsocket = \"systemd:policy\"\ndirectory = [\"remote\"]\n\
         [service]\nuser = \"root\"\n",
        remote.port()
    );
    let config = scratch.write("vouch.toml", config);
    let socket = scratch.path("policy");
    let mut command = Command::new(program("systemd-socket-activate").unwrap());
    command
        .args(["--fdname=policy", "--listen"])
        .arg(&socket)
        .arg(binary())
        .args(["serve", "-c"])
        .arg(config);
    let _systemd = Process::start(&scratch, "activated", &mut command);
    wait_until("the socket", Duration::from_secs(40), || socket.exists());
    let mut client = UnixStream::connect(&socket).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    for (recipient, answer) in [
        ("jane@example.org", "action=DUNNO\n\n"),
        ("nobody@example.org", "action=550 5.1.1 User unknown\n\n"),
    ] {
        let request = format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\n\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut said = vec![0; answer.len()];
        client.read_exact(&mut said).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), answer);
    }
}
