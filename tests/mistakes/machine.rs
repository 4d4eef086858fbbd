//! The machine does not allow it: names, users, folders, sockets.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use remote::Protocol;

use crate::outside::{World, people};
use crate::remotes::asking;
use crate::stage::{Asked, JANE, Mistake};
use crate::support::another::{NOBODY, can_be_become};
use crate::support::{program, skipped};

/// A world with an LMTP remote in order, and its configuration.
fn in_order(world: &World) -> (remote::Server, String) {
    let remote = world.remote(people(Protocol::Lmtp));
    let config = asking(world, "lmtp", remote.port(), "");
    (remote, config)
}

/// Becomes that user, as by a unit with `User=`.
const AS_NOBODY: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Whether another user can be become.
fn is_root() -> bool {
    let tool = program("setpriv").is_some();
    if !tool {
        skipped("not installed: setpriv");
    }
    tool && can_be_become("what another user may not do")
}

#[test]
fn the_folder_of_the_socket_is_not_there() {
    let world = World::new();
    let (remote, config) = in_order(&world);
    let config = config.replace("/policy\"", "/none/policy\"");
    Mistake::new(&world, config, Asked::Nothing)
        .port(remote.port())
        .told("socket-folder-missing");
}

#[test]
fn the_folder_of_the_socket_is_anothers() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let (remote, config) = in_order(&world);
    let folder = world.scratch.folder("others");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let own = world.scratch.folder("own");
    chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    let config = config.replace("/policy\"", "/others/policy\"");
    let control = format!("[control]\nsocket = \"{}\"\n", own.join("control").display());
    let mut mistake = Mistake::new(&world, config + &control, Asked::Nothing).port(remote.port());
    mistake.shell = Some((AS_NOBODY, String::new()));
    mistake.told("socket-folder-of-others");
}

#[test]
fn the_file_of_the_authority_is_anothers() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let (remote, config) = in_order(&world);
    let ca = world.scratch.write("ca.pem", "");
    fs::set_permissions(&ca, fs::Permissions::from_mode(0o600)).unwrap();
    let own = world.scratch.folder("own");
    chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    let key = format!("tls.ca-file = \"{}\"\nlookup.domains", ca.display());
    let config = config
        .replace("lookup.domains", &key)
        .replace("/policy\"", "/own/policy\"");
    let config = config + &format!("[control]\nsocket = \"{}\"\n", own.join("control").display());
    let mut mistake = Mistake::new(&world, config, Asked::Nothing).port(remote.port());
    mistake.shell = Some((AS_NOBODY, String::new()));
    mistake.told("ca-file-of-others");
}

#[test]
fn somebody_listens_at_the_socket() {
    let world = World::new();
    let (remote, config) = in_order(&world);
    let _held = UnixListener::bind(world.scratch.path("policy")).unwrap();
    let mut mistake = Mistake::new(&world, config, Asked::Nothing).port(remote.port());
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    mistake.replaced.push((format!("({})", name.trim()), "(vouch)"));
    mistake.told("socket-taken");
}

#[test]
fn something_else_is_in_the_place_of_the_socket() {
    let world = World::new();
    let (remote, config) = in_order(&world);
    world.scratch.write("policy", "");
    Mistake::new(&world, config, Asked::Nothing)
        .port(remote.port())
        .told("socket-is-a-file");
}

#[test]
fn the_user_of_the_service_is_nobody() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let (remote, config) = in_order(&world);
    let config = config + "[service]\nuser = \"vouch-of-a-test\"\n";
    Mistake::new(&world, config, Asked::Nothing)
        .port(remote.port())
        .told("service-user-missing");
}

#[test]
fn the_folder_of_the_control_socket_is_not_there() {
    let world = World::new();
    let (remote, config) = in_order(&world);
    let control = format!("[control]\nsocket = \"{}\"\n", world.scratch.text("none/control"));
    Mistake::new(&world, config + &control, Asked::Nothing)
        .port(remote.port())
        .told("control-folder-missing");
}

/// In a mount namespace of its own the resolver knows a hosts file and nothing else, on any machine.
#[test]
fn the_name_of_the_remote_is_unknown() {
    let namespaces = Command::new("unshare")
        .args(["-m", "true"])
        .stderr(Stdio::null())
        .status();
    if !namespaces.is_ok_and(|status| status.success()) {
        skipped("a name that nobody knows, which takes root and unshare");
        return;
    }
    let world = World::new();
    let (_remote, config) = in_order(&world);
    let hosts = world.scratch.write("hosts", "127.0.0.1 localhost\n");
    let switch = world.scratch.write("nsswitch.conf", "hosts: files\n");
    let config = config.replace("\"127.0.0.1\"", "\"mail.exmaple.org\"");
    let port = config
        .lines()
        .find_map(|line| line.strip_prefix("port = "))
        .unwrap()
        .to_owned();
    let mut mistake = Mistake::new(&world, config, Asked::Recipient(JANE)).port(port.parse().unwrap());
    let script = format!(
        "mount --bind {} /etc/hosts\nif [ -e /etc/nsswitch.conf ]; then mount --bind {} /etc/nsswitch.conf; fi",
        hosts.display(),
        switch.display()
    );
    mistake.shell = Some((&["unshare", "-m"], script));
    mistake.told("name-unknown");
}
