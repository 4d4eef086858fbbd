//! What the daemon gives up: root's rights, and files that are none of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use remote::{Authority, Protocol};

use crate::outside::{World, directory, listener, people};
use crate::serve::{Daemon, JANE, ask, refused, world};
use crate::support::another::can_be_become;

/// A user that every system has and nobody is.
const USER: &str = "nobody";

/// The words after `name:` in the status of a process.
fn of_process(id: u32, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn root_becomes_the_configured_user_and_has_nothing_left_of_root() {
    if !can_be_become("what is given up for another user") {
        return;
    }
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    let (uid, gid) = world.scratch.folder_of("sockets", USER);
    let (uid, gid) = (uid.to_string(), gid.to_string());
    let (socket, control) = (
        world.scratch.path("sockets/policy"),
        world.scratch.path("sockets/control"),
    );
    let cache = world.scratch.path("sockets/cache");
    world.config(
        &(directory("remote", "smtp", remote.port())
            + &format!("cache.file = \"{}\"\n", cache.display())
            + &listener("recipients", "policy", &socket, "remote")
            + &format!(
                "[control]\nsocket = \"{}\"\n[service]\nuser = \"{USER}\"\n",
                control.display()
            )),
    );
    let daemon = Daemon::start(&world);
    daemon.logged(&[" INFO ", "runs as user nobody", "without new privileges"]);
    let id = daemon.process.id();
    assert_eq!(of_process(id, "Uid"), [&*uid; 4]);
    assert_eq!(of_process(id, "Gid"), [&*gid; 4]);
    assert!(!of_process(id, "Groups").contains(&"0".to_owned()));
    assert_eq!(of_process(id, "NoNewPrivs"), ["1"]);
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(of_process(id, set), ["0000000000000000"], "{set}");
    }
    for path in [&socket, &control] {
        assert_eq!(
            fs::metadata(path).unwrap().uid().to_string(),
            uid,
            "{}",
            path.display()
        );
    }
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    world.vouch(&["status"]).ended(0).says(&["recipients", "remote"]);
    daemon.logged(&["cache: read"]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    assert!(
        !socket.exists() && !control.exists(),
        "it could still take them away"
    );
    assert_eq!(fs::metadata(&cache).unwrap().uid().to_string(), uid);
}

#[test]
fn a_user_who_is_nobody_is_refused_by_serve_and_check() {
    if !can_be_become("what is given up for another user") {
        return;
    }
    let (world, _remote, socket) = world("[service]\nuser = \"no-such-user\"\n");
    let (status, err) = refused(&world);
    assert_eq!(status, 78, "{err}");
    assert!(
        err.contains("service.user: there is no user no-such-user; make it by `useradd "),
        "{err}"
    );
    assert!(!socket.exists());
    world
        .vouch(&["check"])
        .ended(78)
        .complains(&["service.user: there is no user no-such-user; make it by"]);
}

#[test]
fn a_key_that_only_root_can_read_is_refused_by_serve_and_check() {
    if !can_be_become("what is given up for another user") {
        return;
    }
    let world = World::new();
    let authority = Authority::new().unwrap();
    let ca = world.scratch.write("ca.pem", authority.pem());
    let text = |user: &str| {
        directory("remote", "smtp", 25)
            + &format!("tls.ca-file = \"{}\"\n", ca.display())
            + &listener("recipients", "policy", &world.scratch.path("policy"), "remote")
            + &format!("[service]\nuser = \"{user}\"\n")
    };
    fs::set_permissions(&ca, fs::Permissions::from_mode(0o600)).unwrap();
    world.config(&text(USER));
    let (status, err) = refused(&world);
    assert_eq!(status, 78, "{err}");
    for word in [ca.to_str().unwrap(), "user 65534 may not read it"] {
        assert!(err.contains(word), "no {word:?} in {err}");
    }
    world
        .vouch(&["check"])
        .ended(78)
        .complains(&[ca.to_str().unwrap(), "user 65534 may not read it"]);
    world.config(&text("root"));
    world.vouch(&["check"]).ended(0).complains_of_nothing();
}

#[test]
fn a_cache_file_that_the_user_cannot_write_is_told_by_check() {
    if !can_be_become("what is given up for another user") {
        return;
    }
    let world = World::new();
    let file = world.scratch.path("mailbox.redb");
    world.config(
        &(directory("remote", "smtp", 25)
            + &format!("cache.file = \"{}\"\n", file.display())
            + &listener("recipients", "policy", &world.scratch.path("policy"), "remote")
            + &format!("[service]\nuser = \"{USER}\"\n")),
    );
    let ran = world.vouch(&["check"]).ended(0);
    ran.says(&[
        "On this machine: directory \"remote\": recipients will not survive a restart",
        "user 65534 may not write to",
    ]);
}

#[test]
fn a_configuration_that_the_user_cannot_read_again_is_told_by_check_and_reload() {
    if !can_be_become("what is given up for another user") {
        return;
    }
    let world = World::new();
    let socket = world.scratch.path("policy");
    let file = world.config(
        &(directory("remote", "smtp", 25)
            + &listener("recipients", "policy", &socket, "remote")
            + &format!("[service]\nuser = \"{USER}\"\n")),
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let hint = format!(
        "a running vouch may not read {}, as user 65534: give the file to a group of theirs (chgrp, chmod 640)",
        file.display()
    );
    let check = world.vouch(&["check"]).ended(0);
    check.says(&[&format!("On this machine: SIGHUP will change nothing: {hint}")]);
    let daemon = Daemon::start(&world);
    assert!(daemon.process.signal("HUP"));
    daemon.logged(&[
        "ERROR", "not reloaded, the previous configuration stays in force", &hint, ", or restart vouch",
    ]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(daemon.process.signal("HUP"));
    daemon.logged(&["INFO", "reloaded: no listener is any different"]);
    // So it is with a file that the configuration names.
    let domains = world.scratch.write("domains", "example.org\n");
    fs::set_permissions(&domains, fs::Permissions::from_mode(0o600)).unwrap();
    let (text, domains) = (fs::read_to_string(&file).unwrap(), domains.display());
    world.config(&text.replace("[\"example.org\"]", &format!("[\"file://{domains}\"]")));
    assert!(daemon.process.signal("HUP"));
    daemon.logged(&[
        &format!("names a file that cannot be used: {domains}: Permission denied"),
        "; what its user and Landlock keep from a running vouch, a restart can open",
    ]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// With a remote by name, whose address the resolver must find.
#[test]
fn it_says_what_is_in_force_and_serves_with_and_without_landlock() {
    for (key, words) in [
        ("true", "Landlock"),
        ("false", "Landlock is switched off (service.landlock)"),
    ] {
        let world = World::new();
        let remote = world.remote(people(Protocol::Smtp));
        let socket = world.scratch.path("policy");
        let cache = world.scratch.path("cache");
        let text = directory("remote", "smtp", remote.port()).replace("\"127.0.0.1\"", "\"localhost\"");
        world.config(
            &(text
                + &format!("cache.file = \"{}\"\n", cache.display())
                + &listener("recipients", "policy", &socket, "remote")
                + &format!("[service]\nlandlock = {key}\n")),
        );
        let daemon = Daemon::start(&world);
        daemon.logged(&[" INFO ", words]);
        daemon.logged(&["cache: read"]);
        assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
        assert_eq!(daemon.ends_by("TERM"), Some(0));
        assert!(!socket.exists() && Path::new(&cache).exists());
    }
}
