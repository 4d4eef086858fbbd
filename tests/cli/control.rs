//! `vouch status`: what the running daemon says of itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use vouch::report::members;

use crate::outside::{Bounded, World, plain, vouch, wait_until};
use crate::serve::{Daemon, JANE, ask, refused, world};
use crate::support::another::{NOBODY, binary_for_all, can_be_become};
use crate::terminal::{Terminal, logged_in_at};

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
        " MiB of memory, log level info\n\nLISTENER ",
        "\nrecipients  policy              0  10000        0  ",
        "\nremote     smtp  not asked     never   never     -  127.0.0.1:",
        "\nremote    recipients     0     0        0       0   10        0  ",
    ]);

    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert!(ask(&socket, "trouble@example.org").starts_with("action=DEFER_IF_PERMIT 4.4.3 "));
    world
        .vouch(&["status", "--quiet"])
        .ended(0)
        .says_nothing()
        .complains_of_nothing();
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
    // A temporary refusal of one mailbox is an answer.
    assert_eq!(directory["state"], "answers");
    assert_eq!(directory["unanswered"], 0);
    assert_eq!(status["attention"], serde_json::json!([]));
    let failure = &directory["last-failure"];
    assert_eq!(failure["class"], "temporary");
    assert_eq!(failure["status"], "451 4.3.0");
    let why = failure["why"].as_str().unwrap();
    assert!(why.starts_with("temporary: 451 4.3.0 "), "{why}");
    let ran = world.vouch(&["status"]).ended(0);
    ran.says(&[
        "  answers ", "\nLAST FAILURE\nremote, ", " ago: temporary: 451 4.3.0 ",
    ]);

    // It answers again: nothing needs attention, and the failure is history.
    assert_eq!(
        ask(&socket, "nobody@example.org"),
        "action=550 5.1.1 User unknown\n\n"
    );
    let ran = world.vouch(&["status"]).ended(0);
    ran.says(&[
        "  answers ", "\nLAST FAILURE\nremote, ", " ago: temporary: 451 4.3.0 ",
    ]);
    assert!(!ran.out.contains("\n! "), "{}", ran.out);

    world.stop(&remote);
    for number in 1..=3 {
        let answer = ask(&socket, &format!("new{number}@example.org"));
        assert!(answer.starts_with("action=DEFER_IF_PERMIT 4.4.3 "), "{answer}");
    }
    let words = "remote: no answer to 3 questions for ";
    let ran = world.vouch(&["status"]).ended(0);
    ran.says(&[
        &format!("\n! {words}"),
        " ago: unreachable: ",
        "  answers in part ",
    ]);

    let memory = status["memory"].as_u64().unwrap();
    assert!((1 << 20..1 << 30).contains(&memory), "{memory}");
    assert_eq!(status["log"]["level"], "info");
    let of = |verdict: &str| {
        let verdicts = listener["verdicts"].as_array().unwrap();
        verdicts.iter().find(|row| row["verdict"] == verdict).unwrap()
    };
    assert_eq!(
        (&of("accept")["count"], &of("reject")["count"]),
        (&1.into(), &0.into())
    );
    assert!(of("accept")["us"]["p50"].as_u64() <= of("accept")["us"]["p99"].as_u64());
    assert!(of("reject")["us"]["p50"].is_null());
    let expected = json!([
        { "verdict": "accept", "cause": "-", "source": "probe", "count": 1 },
        { "verdict": "defer", "cause": "temporary", "source": "probe", "count": 1 },
    ]);
    assert_eq!(listener["reasons"], expected);
    let remembered = &directory["remembered"]["recipients"];
    assert_eq!(
        (&remembered["entries"], &remembered["max"]),
        (&1.into(), &100_000.into())
    );

    assert_eq!(daemon.ends_by("TERM"), Some(0));
    assert!(!control.exists());
    for arguments in [&["status"][..], &["status", "--quiet"]] {
        let ran = world.vouch(arguments).ended(69);
        ran.says_nothing()
            .complains(&["no vouch is running", control.to_str().unwrap()]);
    }
}

/// A daemon that is not there is waited for, and one that went away too.
#[test]
fn it_is_watched_until_somebody_ends_it() {
    let (world, _remote, _socket, control) = controlled();
    let out = world.scratch.path("watched");
    let err = world.scratch.path("complaints");
    let mut command = vouch();
    command
        .args(["status", "--watch", "1", "-c"])
        .arg(world.scratch.path("vouch.toml"))
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap());
    let mut watching = Bounded(command.spawn().unwrap());
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let heads = || read(&out).matches("vouch 0.1.0, process ").count();
    let complaints = || read(&err).matches("no vouch is running").count();
    wait_until("the first complaint", || complaints() == 1);

    let daemon = Daemon::start(&world);
    wait_until("two reports", || heads() >= 2);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    wait_until("the second complaint", || complaints() == 2);
    let text = read(&err);
    assert!(
        text.contains(control.to_str().unwrap()) && text.ends_with("; retrying\n"),
        "{text}"
    );

    let before = heads();
    let daemon = Daemon::start(&world);
    wait_until("a report of the next daemon", || heads() > before);
    let pid = nix::unistd::Pid::from_raw(watching.0.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(watching.ended().code(), Some(0));
    // Each report is whole, and nothing in it is for a screen.
    let text = read(&out);
    assert!(text.ends_with("\n\n") && !text.contains('\u{1b}'), "{text:?}");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
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
        err.contains("control.socket: ") && err.contains("missing does not exist; make it by `install -d "),
        "{err}"
    );

    // A machine on which vouch is installed has the folder.
    if !Path::new("/run/vouch").exists() {
        let (world, _remote, _socket) = crate::serve::world("");
        let daemon = Daemon::start(&world);
        daemon.logged(&[
            " WARN ", "`vouch status` will not work", "/run/vouch does not exist", "control.socket",
        ]);
        assert_eq!(daemon.ends_by("TERM"), Some(0));
    }
}

#[test]
fn nobody_but_root_and_its_own_user_is_answered() {
    if !can_be_become("a question of another user") {
        return;
    }
    let (world, _remote, _socket, control) = controlled();
    let daemon = Daemon::start(&world);
    for mode in [0o600, 0o666] {
        fs::set_permissions(&control, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = plain(Command::new(binary_for_all(&world.scratch)));
        command
            .args(["status", "-c"])
            .arg(world.scratch.path("vouch.toml"));
        let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{err}");
        assert!(err.contains("only root and the user of vouch may ask"), "{err}");
        assert!(output.stdout.is_empty());
    }
    daemon.logged(&["control socket: closed: user 65534 may not ask"]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// Every place in a report, as the manual writes it: `[]` for an element, and `*` for a member where it has that.
fn places(value: &Value, path: &str, told: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value {
        // What is explained as a whole has no more of its own.
        _ if told.contains(path) && !told.iter().any(|member| member.starts_with(&format!("{path}."))) => {
            found.insert(path.to_owned());
        }
        Value::Object(members) => {
            for (name, member) in members {
                let below = |name: &str| format!("{path}.{name}").trim_start_matches('.').to_owned();
                let any = below("*");
                let is_any = told.iter().any(|member| member.starts_with(&any));
                places(member, &if is_any { any } else { below(name) }, told, found);
            }
        }
        Value::Array(elements) => {
            // Of none, what one would have is as told.
            let each = format!("{path}[]");
            let members: Vec<_> = told.iter().filter(|told| told.starts_with(&each)).collect();
            if elements.is_empty() && members.is_empty() {
                found.insert(each);
            } else if elements.is_empty() {
                found.extend(members.into_iter().cloned());
            }
            elements
                .iter()
                .for_each(|element| places(element, &format!("{path}[]"), told, found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_manual_tells_every_member_of_the_report() {
    let (world, _remote, socket, _control) = controlled();
    let text = fs::read_to_string(world.scratch.path("vouch.toml")).unwrap();
    let key = world.scratch.text("fleet.key");
    world.vouch(&["fleet", "key", &key]).ended(0);
    let fleet = format!("[fleet]\nstore = \"unix:{key}.sock\"\nkey-file = \"{key}\"\n");
    world.config(&(fleet + &text.replace("lookup.domains", "lookup.catch-all = \"detect\"\nlookup.domains")));
    let daemon = Daemon::start(&world);
    ask(&socket, "trouble@example.org");
    let ran = world.vouch(&["status", "--json"]).ended(0);
    let told: BTreeSet<String> = members().into_iter().map(|(member, _)| member).collect();
    let mut said = BTreeSet::new();
    places(&serde_json::from_str(&ran.out).unwrap(), "", &told, &mut said);
    let untold: Vec<_> = said.difference(&told).collect();
    assert!(untold.is_empty(), "the manual does not tell {untold:?}");
    let unsaid: Vec<_> = told
        .difference(&said)
        .filter(|told| !said.iter().any(|said| said.starts_with(&format!("{told}."))))
        .collect();
    assert!(unsaid.is_empty(), "the report does not have {unsaid:?}");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// On a terminal each report takes the place of the last one, and the last one stays while nobody answers.
#[test]
fn on_a_terminal_it_is_watched_in_one_place() {
    let (world, _remote, _socket, _control) = controlled();
    let daemon = Daemon::start(&world);
    let mut terminal = Terminal::new();
    let Some(mut command) = logged_in_at(&terminal) else {
        return;
    };
    command
        .args(["status", "--watch", "1", "-c"])
        .arg(world.scratch.path("vouch.toml"))
        .stdout(terminal.stream())
        .stderr(terminal.stream());
    let mut watching = Bounded(command.spawn().unwrap());
    let reports = || {
        terminal
            .shown()
            .matches("\u{1b}[2J\u{1b}[Hvouch 0.1.0, process ")
            .count()
    };
    wait_until("two reports", || reports() >= 2);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    let gone = || {
        let shown = terminal.shown();
        let last = shown
            .rsplit("\u{1b}[2J\u{1b}[H")
            .next()
            .unwrap_or_default()
            .to_owned();
        last.starts_with("no vouch is running") && last.contains(" The last answer:\r\n\r\nvouch 0.1.0, ")
    };
    wait_until("the last report below the complaint", gone);
    terminal.types("\u{3}");
    assert_eq!(watching.ended().code(), Some(0));
}

#[test]
fn what_needs_attention_is_coloured_on_a_terminal_unless_no_color_is_set() {
    let (world, remote, socket, _control) = controlled();
    let daemon = Daemon::start(&world);
    world.stop(&remote);
    assert!(ask(&socket, JANE).starts_with("action=DEFER_IF_PERMIT "));
    let shown = |no_color: &str| {
        let terminal = Terminal::new();
        let mut command = vouch();
        command
            .args(["status", "-c"])
            .arg(world.scratch.path("vouch.toml"))
            .env("NO_COLOR", no_color)
            .stdout(terminal.stream());
        assert_eq!(Bounded(command.spawn().unwrap()).ended().code(), Some(0));
        wait_until("the report", || terminal.shown().contains("LISTENER"));
        terminal.shown()
    };
    let coloured = shown("");
    assert!(
        coloured.contains("\n\u{1b}[1;31m!\u{1b}[0m remote: "),
        "{coloured}"
    );
    let plain = shown("1");
    assert!(
        plain.contains("\n! remote: ") && !plain.contains('\u{1b}'),
        "{plain}"
    );
    let piped = world.vouch(&["status"]).ended(0);
    piped.says(&["\n! remote: "]);
    assert!(!piped.out.contains('\u{1b}'), "{piped:?}");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
