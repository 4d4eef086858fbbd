//! `[log] file`: the log without a journal.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use remote::{Protocol, Server};

use crate::outside::{World, directory, listener, people, vouch, wait_until};
use crate::serve::{Daemon, JANE, ask};
use crate::support::another::can_be_become;

/// A daemon whose log goes to `file`; it is ready once that says so, or standard error where it cannot.
fn start(world: &World, remote: &Server, file: &Path, more: &str) -> (Daemon, PathBuf) {
    let socket = world.scratch.path("policy");
    world.config(
        &(directory("remote", "smtp", remote.port())
            + &listener("recipients", "policy", &socket, "remote")
            + &format!("[log]\nfile = \"{}\"\n{more}", file.display())),
    );
    let mut command = vouch();
    command
        .args(["serve", "-c"])
        .arg(world.scratch.path("vouch.toml"));
    let daemon = Daemon::run(world, &mut command);
    let said = |log: &Path| fs::read_to_string(log).is_ok_and(|log| log.contains("ready"));
    wait_until("the daemon", || {
        said(file) || said(&world.scratch.path("serve.log"))
    });
    (daemon, socket)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// As another user, confined, after root has opened the file.
#[test]
fn a_renamed_log_is_left_at_sighup() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    let (mut more, mut owner) = (String::new(), None);
    if can_be_become("a log of another user") {
        more = "[service]\nuser = \"nobody\"\n".to_owned();
        owner = Some(world.scratch.folder_of("logs", "nobody").0);
    } else {
        world.scratch.folder("logs");
    }
    let (log, renamed) = (
        world.scratch.path("logs/vouch.log"),
        world.scratch.path("logs/vouch.log.1"),
    );
    let (mut daemon, socket) = start(&world, &remote, &log, &more);
    assert_eq!(
        read(&world.scratch.path("serve.log")),
        "",
        "nothing is on standard error"
    );
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    daemon.logs_to(log.clone());
    daemon.logged(&[" INFO listener=recipients", "about=jane@example.org"]);
    let made = fs::metadata(&log).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o640);
    assert_eq!(made.uid(), owner.unwrap_or(made.uid()));

    fs::rename(&log, &renamed).unwrap();
    assert!(daemon.process.signal("HUP"));
    wait_until("the new file", || read(&log).contains("reloaded"));
    assert!(!read(&renamed).contains("reloaded"));
    ask(&socket, "nobody@example.org");
    daemon.logged(&["about=nobody@example.org"]);

    // One that cannot be opened anew costs nothing: the log goes on where it was.
    let goes_on = world.scratch.path("logs/goes-on.log");
    fs::rename(&log, &goes_on).unwrap();
    fs::create_dir(&log).unwrap();
    assert!(daemon.process.signal("HUP"));
    daemon.logs_to(goes_on);
    daemon.logged(&[
        "ERROR", "cannot be reopened (", "the log continues in the old file",
    ]);
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    fs::remove_dir(&log).unwrap();
    assert!(daemon.process.signal("HUP"));
    wait_until("another new file", || read(&log).contains("reloaded"));
    daemon.logs_to(log);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    let log = world.scratch.path("not-there/vouch.log");
    let (mut daemon, socket) = start(&world, &remote, &log, "");
    let told = daemon.logged(&["ERROR", "log.file", "cannot be opened (No such file or directory"]);
    assert!(
        told.contains("the log goes to standard error until a SIGHUP"),
        "{told}"
    );
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    daemon.logged(&["about=jane@example.org"]);
    world.scratch.folder("not-there");
    assert!(daemon.process.signal("HUP"));
    // Landlock has closed what was not there at the start, where the kernel has it.
    if read(&world.scratch.path("serve.log")).contains("Landlock keeps it") {
        assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    } else {
        wait_until("the file", || read(&log).contains("reloaded"));
        daemon.logs_to(log);
    }
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn who_starts_it_learns_why_it_did_not_start() {
    let world = World::new();
    let log = world.scratch.path("vouch.log");
    world.config(
        &(directory("remote", "smtp", 25)
            + &listener(
                "recipients",
                "policy",
                &world.scratch.path("none/policy"),
                "remote",
            )
            + &format!("[log]\nfile = \"{}\"\n", log.display())),
    );
    let ran = world.vouch(&["serve"]).ended(71);
    ran.complains(&["vouch serve: cannot start: listener \"recipients\": "]);
    assert!(read(&log).contains("ERROR cannot start: listener"));
}
