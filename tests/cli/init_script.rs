//! `/etc/init.d/vouch`, for a Debian without systemd.

use std::path::{Path, PathBuf};
use std::process::Command;

use remote::Protocol;

use crate::outside::{World, directory, listener, people};
use crate::support::another::{binary_for_all, can_be_become};
use crate::support::{program, skipped};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/debian/vouch.init")
}

/// What is done as an administrator does it, on a machine whose `/run` and `/etc/default` are empty: both are in a
/// namespace of its own, and all that runs there ends with it.
const ADMINISTRATOR: &str = r#"
mount -t tmpfs none /run
mount -t tmpfs none /etc/default
cp "$1/default" /etc/default/vouch
until_there() { for _ in $(seq 400); do [ ! -S "$1" ] || return 0; sleep 0.1; done; cat "$2/output"; return 1; }
sh "$2" status || echo "status $?"
sh "$2" start
until_there /run/vouch/control "$1"
stat -c 'folder %U %a' /run/vouch
user=$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$(cat /run/vouch.pid)/status")
[ "$user" != "$(id -u nobody)" ] || echo 'runs as nobody'
"$3" status -c "$1/vouch.toml" | head -n 1
sh "$2" start
sh "$2" status
sh "$2" reload
for _ in $(seq 400); do ! grep -q reloaded "$1/output" || break; sleep 0.1; done
sh "$2" stop
sh "$2" status || echo "status $?"
tail -n 1 "$1/output"
"#;

#[test]
fn the_init_script_makes_its_folder_and_starts_reloads_and_stops() {
    if !can_be_become("an init script starts a daemon of another user") {
        return;
    }
    let namespaces = Command::new("unshare").args(["-m", "true"]).status();
    if !namespaces.is_ok_and(|status| status.success()) || program("start-stop-daemon").is_none() {
        return skipped("an init script in a namespace of its own: no unshare, or no start-stop-daemon");
    }
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    let binary = binary_for_all(&world.scratch);
    let text = directory("remote", "smtp", remote.port())
        + &listener("recipients", "policy", Path::new("/run/vouch/policy"), "remote")
        + "[service]\nuser = \"nobody\"\n";
    let config = world.config(&text);
    let (folder, output) = (config.parent().unwrap(), world.scratch.path("output"));
    world.scratch.write(
        "default",
        format!(
            "DAEMON={}\nCONFIG={}\nRUN_AS=nobody\nOUTPUT={}\n",
            binary.display(),
            config.display(),
            output.display()
        ),
    );
    let ran = Command::new("unshare")
        .args([
            "-m", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-euc", ADMINISTRATOR, "sh",
        ])
        .args([folder, &script(), &binary])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    for line in [
        "vouch is not running", "status 3", "folder nobody 755", "runs as nobody",
        "vouch is running: process ",
    ] {
        assert!(said.contains(line), "no {line} in {said}");
    }
    assert!(
        ran.status.success() && said.trim_end().ends_with("drained"),
        "{said}"
    );
    assert!(said.matches("status 3").count() == 2, "{said}");
    world.config(&directory("remote", "smtp", remote.port()));
}

/// As the package has it at first.
#[test]
fn without_a_listener_the_init_script_starts_nothing() {
    let text = std::fs::read_to_string(script()).unwrap();
    let unit = include_str!("../../contrib/systemd/vouch.service");
    let question = "grep -Eqs '^[[:space:]]*[[]?[[:space:]]*[^#[:alnum:]]?listener'";
    for asker in [
        &*text,
        &unit.replace("\"^", "'^").replace("listener\"", "listener'"),
    ] {
        assert!(asker.contains(question));
    }
}
