//! `vouch status`: what the running daemon says of itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::outside::{World, skipped, vouch};
use crate::serve::{Daemon, JANE, ask, refused, world};

/// A world as of `serve`, with a control socket.
fn controlled() -> (World, remote::Server, PathBuf, PathBuf) {
    let (world, remote, socket) = world("");
    let control = world.scratch.path("control");
    let text = fs::read_to_string(world.scratch.path("vouch.toml")).unwrap();
    world.config(&format!("{text}[control]\nsocket = \"{}\"\n", control.display()));
    (world, remote, socket, control)
}

#[test]
fn it_shows_listeners_and_directories_to_people_and_to_programs() {
    let (world, remote, socket, control) = controlled();
    let daemon = Daemon::start(&world);
    assert_eq!(
        fs::metadata(&control).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert_eq!(
        fs::metadata(&control).unwrap().uid(),
        nix::unistd::geteuid().as_raw()
    );

    let ran = world.vouch(&["status"]).ended(0);
    ran.complains_of_nothing().says(&[
        &format!("vouch 0.1.0, process {}, up ", daemon.process.id()),
        "recipients  policy    0 of 10000   ",
        "remote     smtp  ",
        "never        never",
    ]);

    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert!(ask(&socket, "trouble@example.org").starts_with("action=DEFER_IF_PERMIT 4.4.3 "));
    let ran = world.vouch(&["status", "--json"]).ended(0);
    let status: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(status["process"], daemon.process.id());
    assert_eq!(status["draining"], false);
    let listener = &status["listeners"][0];
    assert_eq!(listener["socket"], socket.to_str().unwrap());
    assert_eq!(listener["max-connections"], 10000);
    let directory = &status["directories"][0];
    assert_eq!(directory["address"], format!("127.0.0.1:{}", remote.port()));
    assert_eq!(directory["sessions"]["recipients"]["max"], 10);
    assert!(directory["last-answer"].is_u64(), "{directory}");
    let why = directory["last-failure"]["why"].as_str().unwrap();
    assert!(why.starts_with("temporary: 451 4.3.0 "), "{why}");
    assert_eq!(directory["last-failure"]["class"], "temporary");
    assert_eq!(directory["last-failure"]["status"], "451 4.3.0");
    world
        .vouch(&["status"])
        .ended(0)
        .says(&["\nremote, ", " ago: temporary: 451 4.3.0 "]);

    assert_eq!(daemon.ends_by("TERM"), Some(0));
    assert!(!control.exists());
    let ran = world.vouch(&["status"]).ended(69);
    ran.says_nothing()
        .complains(&["no vouch is running", control.to_str().unwrap()]);
}

#[test]
fn a_second_daemon_finds_the_control_socket_taken() {
    let (world, _remote, socket, control) = controlled();
    let daemon = Daemon::start(&world);
    let text = fs::read_to_string(world.scratch.path("vouch.toml")).unwrap();
    let other = world.scratch.path("other");
    world.config(&text.replace(socket.to_str().unwrap(), other.to_str().unwrap()));
    let (status, err) = refused(&world);
    assert_eq!(status, 71, "{err}");
    for word in [
        "control.socket: ",
        control.to_str().unwrap(),
        "(vouch) listens there",
    ] {
        assert!(err.contains(word), "no {word:?} in {err}");
    }
    assert!(!other.exists(), "no socket is left behind");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_control_socket_that_is_asked_for_must_be_there_and_the_default_need_not() {
    let (world, _remote, _socket, control) = controlled();
    let text = fs::read_to_string(world.scratch.path("vouch.toml")).unwrap();
    let missing = world.scratch.path("missing/control");
    world.config(&text.replace(control.to_str().unwrap(), missing.to_str().unwrap()));
    let (status, err) = refused(&world);
    assert_eq!(status, 71, "{err}");
    assert!(
        err.contains("control.socket: ") && err.contains("missing does not exist; create it"),
        "{err}"
    );

    // A machine on which vouch is installed has the folder.
    if !Path::new("/run/vouch").exists() {
        let (world, _remote, _socket) = crate::serve::world("");
        let daemon = Daemon::start(&world);
        daemon.logged(&[
            " WARN ", "`vouch status` will find nobody", "/run/vouch does not exist", "control.socket",
        ]);
        assert_eq!(daemon.ends_by("TERM"), Some(0));
    }
}

#[test]
fn nobody_but_root_and_its_own_user_is_answered() {
    if !nix::unistd::geteuid().is_root() {
        skipped("asking as another user, which takes root");
        return;
    }
    let (world, _remote, _socket, control) = controlled();
    let daemon = Daemon::start(&world);
    for mode in [0o600, 0o666] {
        fs::set_permissions(&control, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = vouch();
        command
            .args(["status", "-c"])
            .arg(world.scratch.path("vouch.toml"));
        let output = command.uid(65534).gid(65534).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{err}");
        assert!(err.contains("only root and the user of vouch may ask"), "{err}");
        assert!(output.stdout.is_empty());
    }
    daemon.logged(&["control socket: closed: user 65534 may not ask"]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
