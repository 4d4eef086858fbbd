//! `vouch check`, and what every command says to a configuration that cannot be used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use remote::Protocol;
use vouch::config::{read, show};

use crate::outside::{World, directory, listener, people, plain, run};
use crate::serve::Daemon;
use crate::support::another::{NOBODY, binary_for_all, can_be_become};

/// A file of the repository.
fn kept(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `vouch check` on a file of the repository.
fn check(path: &str) -> crate::outside::Ran {
    run([Path::new("check"), Path::new("-c"), &kept(path)], "")
}

/// The same of one that is good. Whether it could be served here, the folders of this machine decide.
fn checked(path: &str) -> crate::outside::Ran {
    let ran = check(path);
    let is_without_folder = ran.out.contains("does not exist; make it by `install -d");
    ran.ended(if is_without_folder { 71 } else { 0 })
}

/// The commands that read a configuration.
const READERS: [&[&str]; 5] = [
    &["serve"],
    &["check"],
    &["check", "--online"],
    &["probe", "recipient", "jane@example.org"],
    &["probe", "login", "jane@example.org", "--password-file", "-"],
];

#[test]
fn a_bad_configuration_ends_every_command_with_78_and_the_place_on_standard_error() {
    let world = World::new();
    world.config("[directory.\"remote\"]\ntype = \"imap\"\nadress = \"127.0.0.1\"\n");
    for arguments in READERS {
        let ran = world.vouch(arguments).ended(78);
        ran.says_nothing()
            .complains(&["unknown key", "vouch.toml:3:1", "did you mean `address`?"]);
    }
}

#[test]
fn a_configuration_that_is_not_there_ends_every_command_with_78_and_its_name() {
    let world = World::new();
    for arguments in READERS {
        let ran = world.vouch(arguments).ended(78);
        ran.says_nothing()
            .complains(&["cannot read", "vouch.toml", "No such file"]);
    }
}

#[test]
fn a_ca_file_that_is_missing_or_empty_ends_every_command_with_78_and_names_file_and_directory() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let file = world.scratch.path("ca.pem");
    world.config(
        &(directory("remote", "imap", remote.port())
            + &format!("tls.ca-file = \"{}\"\n", file.display())
            + &listener("logins", "auth", &world.scratch.path("auth"), "remote")),
    );
    for content in [None, Some("no certificate\n")] {
        if let Some(content) = content {
            world.scratch.write("ca.pem", content);
        }
        for arguments in READERS {
            let ran = world.vouch(arguments).ended(78);
            ran.complains(&[file.to_str().unwrap(), "\"remote\""]);
        }
    }
    assert_eq!(remote.accepted(), 0, "nothing was asked");
    assert!(!world.scratch.path("auth").exists(), "no socket is left behind");
}

#[test]
fn the_published_stalwart_example_passes_once_its_table_is_mended_and_unmended_names_both_lines() {
    let mended = check("tests/configs/good/stalwart-example.toml").ended(78);
    mended.complains(&["no [listener.\"NAME\"]"]);
    mended.says(&[
        "no listener: no client can connect", "`directory.\"imap\"`: no `lookup.domains`",
        "`directory.\"lmtp\"`: no `lookup.domains`",
    ]);
    let unmended = check("tests/configs/bad/stalwart-example-table-twice.toml").ended(78);
    unmended.says_nothing().complains(&[
        "given twice", "\n 6 | [directory.\"imap\".tls]", "\n15 | [directory.\"imap\".tls]",
    ]);
}

#[test]
fn a_configuration_without_a_listener_is_checked_and_not_served() {
    let world = World::new();
    world.config(&directory("remote", "smtp", 25));
    let why = "no [listener.\"NAME\"], so no client could connect";
    let checked = world.vouch(&["check"]).ended(78);
    checked
        .complains(&["vouch serve would not start: ", why])
        .says(&["no listener: no client can connect"]);
    let served = world.vouch(&["serve"]).ended(78);
    served.says_nothing().complains(&[why]);
    // Dovecot's own service needs none.
    world.config(
        &(directory("remote", "smtp", 25) + "[dovecot]\nlogins = [\"remote\"]\nusers = [\"remote\"]\n"),
    );
    world.vouch(&["check"]).ended(0);
}

#[test]
fn standard_input_is_checked_and_not_served() {
    let world = World::new();
    let socket = world.scratch.path("policy");
    let text = directory("remote", "smtp", 25) + &listener("recipients", "policy", &socket, "remote");
    for arguments in [["check", "-"], ["check", "-c-"]] {
        run(arguments, &text).ended(0).says(&["Listener \"recipients\""]);
        let broken = run(arguments, "[directory.a]\ntype = \"imap\"\n").ended(78);
        broken.says_nothing().complains(&["-:1:", "address"]);
    }
    // A file is named in the same way.
    let file = world.config(&text);
    run(["check", file.to_str().unwrap()], "").ended(0);
    for command in ["serve", "dovecot-service"] {
        let ran = run(["-c", "-", command], &text);
        assert_eq!(ran.status, 64, "{ran:?}");
        ran.says_nothing();
    }
    let served = run(["serve", "-c", "-"], &text).ended(64);
    served.complains(&["standard input cannot be read again at SIGHUP"]);
}

#[test]
fn the_example_configuration_passes_without_a_complaint() {
    let ran = checked("contrib/vouch.toml");
    ran.says(&[
        "Listener \"recipients\": Postfix asks if recipients exist",
        "check_policy_service { unix:vouch/policy",
        "Listener \"logins\": Postfix, Exim and others ask if logins are good",
        "smtpd_sasl_path = vouch/auth",
        "Directory \"mailbox\": knows recipients.",
        "Directory \"imap\": knows logins.",
        "\nNotes: none.",
    ]);
}

#[test]
fn the_example_for_dovecot_passes() {
    let ran = checked("contrib/dovecot/vouch.toml");
    ran.says(&[
        "As Dovecot's auth service: Dovecot and its clients ask if logins are good.",
        "Listener \"dovecot-master\": ",
    ]);
}

#[test]
fn the_example_configuration_shows_every_key_and_its_default() {
    let example = fs::read_to_string(kept("contrib/vouch.toml")).unwrap();
    // Prose is "# like this", a key that is off "#like = this".
    let switched_on: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|first: char| first == '[' || first.is_ascii_lowercase()) => {
                format!("{key}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let given = given_keys("", &toml::from_str(&switched_on).unwrap());
    let plain = effective_keys(&example);
    // A map takes the place of other keys.
    let full = effective_keys(&switched_on.replace("\nroutes = ", "\n#routes = "));
    assert!(plain.len() > 80, "only {} keys were shown", plain.len());
    for (place, line) in plain {
        let key = without_name(&place);
        assert!(given.contains(&key), "the example lacks {key}");
        // What the example gives for a key that is off is what the key is without it.
        if line.contains("# default") && !line.starts_with('#') {
            assert_eq!(full.get(&place), Some(&line), "{place}");
        }
    }
}

/// What `vouch check` shows of each key, by its full name.
fn effective_keys(text: &str) -> BTreeMap<String, String> {
    let (config, notes) = read::parse(Path::new("vouch.toml"), text).unwrap();
    let shown = show::describe(&config, &notes, true);
    let (_, keys) = shown
        .split_once("Every key, with its effective value:\n")
        .unwrap();
    let (keys, _) = keys.split_once("\nNotes:").unwrap();
    let mut table = "";
    let mut effective = BTreeMap::new();
    for line in keys.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.strip_suffix(']').unwrap();
            continue;
        }
        let key = line.trim_start_matches("# ").split(' ').next().unwrap();
        effective.insert(format!("{}.{key}", table.replace('"', "")), line.to_owned());
    }
    effective
}

/// `directory.mailbox.tls.implicit` without the `mailbox`: each key need be shown at one directory only.
fn without_name(key: &str) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    match parts[..] {
        [part @ ("directory" | "listener"), _, ref rest @ ..] => format!("{part}.{}", rest.join(".")),
        _ => key.to_owned(),
    }
}

/// The full names of all keys of a table, without the names of directories and listeners.
fn given_keys(table: &str, content: &toml::Table) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (key, value) in content {
        let full = if table.is_empty() {
            key.clone()
        } else {
            format!("{table}.{key}")
        };
        if let Some(content) = value.as_table() {
            keys.extend(given_keys(&full, content));
        }
        keys.insert(without_name(&full));
    }
    keys
}

/// Fails unless `check` and `serve` both end with 71 and say why.
#[track_caller]
fn refused(world: &World, why: &str) {
    let ran = world.vouch(&["check"]).ended(71);
    ran.says(&["On this machine: ", why])
        .complains(&["vouch serve would not start: a socket could not be bound"]);
    world.vouch(&["serve"]).ended(71).complains(&[why]);
}

#[test]
fn what_serve_would_refuse_ends_check_with_71() {
    let world = World::new();
    let remote = directory("remote", "smtp", 25);
    let at = |socket: &str| listener("recipients", "policy", Path::new(socket), "remote");
    let inside = |name: &str| world.scratch.text(name);

    world.config(&(remote.clone() + &at(&inside("none/policy"))));
    refused(&world, "the folder ");
    world.scratch.folder("none");
    world.vouch(&["check"]).ended(0);

    world.scratch.write("file", "");
    world.config(&(remote.clone() + &at(&inside("file"))));
    refused(&world, "something that is not a socket is there already");

    world.config(&(remote.clone() + &at(&inside("file/policy"))));
    refused(&world, "Not a directory");

    // This process is no vouch.
    let _listening = UnixListener::bind(inside("other")).unwrap();
    world.config(&(remote.clone() + &at(&inside("other"))));
    refused(&world, &format!("another process {} (", std::process::id()));

    // Of a documentation network, which no host has.
    let tcp = at("").replace(
        "socket = \"\"", "socket = \"192.0.2.1:10024\"\nallow = [\"192.0.2.0/24\"]",
    );
    world.config(&(remote.clone() + &tcp));
    refused(&world, "no interface of this host has it");

    let good = remote + &at(&inside("policy"));
    let metrics = format!("[metrics]\nlisten = \"{}\"\n", inside("gone/metrics"));
    world.config(&(good.clone() + &metrics));
    refused(&world, "the folder ");
    let control = format!("[control]\nsocket = \"{}\"\n", inside("file"));
    world.config(&(good + &control));
    refused(&world, "something that is not a socket is there already");
}

#[test]
fn a_vouch_that_runs_keeps_nobody_from_checking_its_configuration() {
    let world = World::new();
    let socket = world.scratch.path("policy");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let tcp = listener("near", "policy", Path::new("here"), "remote")
        .replace("\"here\"", &format!("\"127.0.0.1:{port}\""));
    world.config(
        &(directory("remote", "smtp", 25) + &listener("recipients", "policy", &socket, "remote") + &tcp),
    );
    let daemon = Daemon::start(&world);
    world.vouch(&["check"]).ended(0);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_socket_for_another_user_is_refused_to_an_ordinary_one() {
    if !can_be_become("a start by another user") {
        return;
    }
    let world = World::new();
    let vouch = binary_for_all(&world.scratch);
    let socket = world.scratch.path("policy");
    let text = directory("remote", "smtp", 25) + &listener("recipients", "policy", &socket, "remote");
    let folder = socket.parent().unwrap();
    std::os::unix::fs::chown(folder, Some(NOBODY), None).unwrap();
    for (more, status) in [("", 0), ("owner = \"root\"\n", 71), ("group = \"root\"\n", 71)] {
        let config = world.scratch.write("vouch.toml", text.clone() + more);
        for command in ["check", "serve"] {
            if (command, status) == ("serve", 0) {
                continue;
            }
            let ran = plain(Command::new(&vouch))
                .args([command, "-c"])
                .arg(&config)
                .uid(NOBODY)
                .gid(NOBODY)
                .output()
                .unwrap();
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&ran.stdout),
                String::from_utf8_lossy(&ran.stderr)
            );
            assert_eq!(ran.status.code(), Some(status), "{more}{said}");
            assert!(
                status == 0 || said.contains("cannot give it to its owner or group"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_directory_behind_another_of_the_same_domain_is_told_to_be_asked_never() {
    let world = World::new();
    let more = |name: &str, domains: &str| directory(name, "lmtp", 24).replace("[\"example.org\"]", domains);
    let listener = listener("recipients", "policy", &world.scratch.path("policy"), "a");
    world.config(
        &(more("a", "[\"example.org\", \"example.net\"]")
            + &more("b", "[\"example.net\", \"example.com\"]")
            + &more("c", "[\"example.org\", \"example.com\"]")
            + &listener.replace("[\"a\"]", "[\"a\", \"b\", \"c\"]")),
    );
    let ran = world.vouch(&["check"]).ended(0);
    ran.says(&[
        "Asks \"a\" for example.net, example.org.",
        "Asks \"b\" for example.com; not for example.net, as \"a\" comes first;",
        "Never asks \"c\": \"a\" and \"b\" come first for example.com, example.org;",
    ]);
    assert!(!ran.out.contains("Every key"), "{}", ran.out);
    world
        .vouch(&["check", "--all"])
        .ended(0)
        .says(&["Every key, with its effective value:"]);
}
