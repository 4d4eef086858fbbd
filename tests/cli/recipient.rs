//! `vouch probe recipient`.

use std::time::Duration;

use remote::{Account, Options, Protocol};
use serde_json::Value;

use crate::outside::{PASSWORD, World, directory, people};
use crate::support::free_port;

/// A world with an LMTP remote `mailbox` for `example.org`.
fn world() -> (World, remote::Server) {
    let world = World::new();
    let remote = world.remote(people(Protocol::Lmtp));
    world.config(&directory("mailbox", "lmtp", remote.port()));
    (world, remote)
}

const JANE: &str = "jane@example.org";
const NOBODY: &str = "nobody@example.org";
const OFF: &str = "off@example.org";
const TROUBLE: &str = "trouble@example.org";
const ELSEWHERE: &str = "jane@example.net";

#[test]
fn the_status_is_that_of_the_worst_answer() {
    let (world, remote) = world();
    for (addresses, status) in [
        (&[JANE][..], 0),
        (&[JANE, "JANE@EXAMPLE.ORG"], 0),
        (&[NOBODY], 1),
        (&[OFF], 1),
        (&[TROUBLE], 75),
        (&[ELSEWHERE], 69),
        (&[JANE, NOBODY], 1),
        (&[NOBODY, JANE], 1),
        (&[JANE, ELSEWHERE], 69),
        (&[ELSEWHERE, NOBODY, JANE], 1),
        (&[JANE, TROUBLE, NOBODY, ELSEWHERE], 75),
    ] {
        let ran = world
            .vouch(&[&["probe", "recipient"], addresses].concat())
            .ended(status);
        assert_eq!(ran.out.lines().count(), addresses.len(), "{ran:#?}");
        ran.complains_of_nothing();
    }
    assert_eq!(remote.violations(), [""; 0]);
    world.stop(&remote);
    let ran = world.vouch(&["probe", "recipient", JANE]).ended(75);
    ran.says(&["jane@example.org: no answer (mailbox, ", "Connection refused"]);
}

#[test]
fn a_dead_server_is_told_once() {
    let world = World::new();
    let port = free_port();
    // Both of its addresses, where it has two.
    let config = directory("mailbox", "lmtp", port).replace("127.0.0.1", "localhost");
    world.config(&config);
    for more in [&[][..], &["--trace"]] {
        let asked = [&["probe", "recipient", JANE, NOBODY, OFF, TROUBLE], more].concat();
        let ran = world.vouch(&asked).ended(75);
        let all = ran.out.clone() + &ran.err;
        assert_eq!(all.matches("refused").count(), 1, "{all}");
        assert_eq!(all.matches("does a server listen there?").count(), 1, "{all}");
        assert_eq!(ran.out.matches("unreachable: as above").count(), 3, "{all}");
        ran.complains_of_nothing();
    }
}

#[test]
fn a_server_without_smtputf8_is_told_as_such() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp).offering(&["PIPELINING"]));
    world.config(&directory("mailbox", "smtp", remote.port()));
    let ran = world
        .vouch(&["probe", "recipient", "j\u{fc}rgen@example.org"])
        .ended(75);
    ran.says(&[
        "the address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531), so it was not asked",
        "have SMTPUTF8 enabled there",
    ]);
    assert_eq!(remote.count("RCPT"), 0);
}

#[test]
fn an_answer_for_people_says_the_word_the_directory_and_why() {
    let (world, _remote) = world();
    let ran = world
        .vouch(&["probe", "recipient", JANE, NOBODY, OFF, TROUBLE, ELSEWHERE])
        .ended(75);
    for (line, (start, words)) in ran.out.lines().zip([
        ("jane@example.org: exists (mailbox, ", &[" ms)"][..]),
        (
            "nobody@example.org: unknown (mailbox, ",
            &["unknown-user: 550 5.1.1"],
        ),
        ("off@example.org: unknown (mailbox, ", &["disabled: 550 5.2.1"]),
        (
            "trouble@example.org: no answer (mailbox, ",
            &["temporary: 451 4.3.0"],
        ),
        (
            "jane@example.net: not asked: no directory ",
            &["serves example.net (lookup.domains, lookup.routes)", "-d NAME"],
        ),
    ]) {
        assert!(line.starts_with(start), "{line}");
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    }
}

#[test]
fn what_is_no_address_is_told_as_such_and_asked_nowhere() {
    let (world, remote) = world();
    for wrong in ["jane", "", "@example.org", "jane@", "jane@exa mple.org"] {
        let ran = world.vouch(&["probe", "recipient", wrong]).ended(69);
        ran.says(&[": not asked: not an address: "]);
    }
    assert_eq!(remote.accepted(), 0);
}

#[test]
fn a_directory_that_is_named_is_asked_whatever_its_domains() {
    let world = World::new();
    let one = world.remote(people(Protocol::Smtp));
    let other = world.remote(Options::new(Protocol::Lmtp).account(Account::new(ELSEWHERE, PASSWORD)));
    let text = directory("one", "smtp", one.port()) + &directory("other", "lmtp", other.port());
    world.config(&text.replacen("lookup.domains", "timeout = \"9s\"\nlookup.domains", 1));
    world.vouch(&["probe", "recipient", ELSEWHERE]).ended(69);
    let named = world
        .vouch(&["probe", "recipient", ELSEWHERE, "-d", "other"])
        .ended(0);
    named.says(&["exists (other, "]);
    assert_eq!((one.accepted(), other.accepted()), (0, 1));

    for kind in ["recipient", "login"] {
        let unknown = world
            .vouch(&["probe", kind, ELSEWHERE, "-d", "nowhere"])
            .ended(64);
        unknown
            .says_nothing()
            .complains(&["no directory \"nowhere\"", "one, other"]);
    }
}

#[test]
fn a_directory_that_knows_no_recipients_has_no_opinion() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    world.config(&directory("imap", "imap", remote.port()));
    for arguments in [
        &["probe", "recipient", JANE][..],
        &["probe", "recipient", JANE, "-d", "imap"],
    ] {
        world.vouch(arguments).ended(69).says(&["not asked: "]);
    }
    let named = world.vouch(&["probe", "recipient", JANE, "-d", "imap"]).ended(69);
    named.says(&[": imap knows no recipients"]);
    assert_eq!(remote.accepted(), 0);
}

// Fills probe::LONGEST_FILE.
#[test]
fn addresses_come_from_arguments_then_from_a_file_or_standard_input() {
    let (world, _remote) = world();
    let list = "# the list\n\n  jane@example.org  \r\nnobody@example.org\n";
    world.scratch.write("list", list);
    let file = world.scratch.text("list");
    for (ran, expected) in [
        (
            world.vouch(&["probe", "recipient", "--file", &file]),
            &[JANE, NOBODY][..],
        ),
        (
            world.vouch(&["probe", "recipient", OFF, "--file", &file]),
            &[OFF, JANE, NOBODY],
        ),
        (
            world.vouch_reading(&["probe", "recipient", "--file", "-"], list),
            &[JANE, NOBODY],
        ),
        (
            world.vouch_reading(&["probe", "recipient", "--file", "-"], "nobody@example.org"),
            &[NOBODY],
        ),
    ] {
        let ran = ran.ended(1);
        let asked: Vec<&str> = ran
            .out
            .lines()
            .filter_map(|line| line.split(": ").next())
            .collect();
        assert_eq!(asked, expected);
    }
    let missing = world
        .vouch(&["probe", "recipient", "--file", "/nonexistent/list"])
        .ended(66);
    missing
        .says_nothing()
        .complains(&["/nonexistent/list", "No such file"]);
    let endless = world
        .vouch(&["probe", "recipient", "--file", "/dev/zero"])
        .ended(66);
    endless
        .says_nothing()
        .complains(&["/dev/zero: longer than 64 MiB"]);
}

// Fills recipient::AT_ONCE.
#[test]
fn two_hundred_answers_come_in_the_order_of_their_questions() {
    let world = World::new();
    let mut options = Options::new(Protocol::Lmtp);
    for number in 0..200 {
        // The earlier ones of each group take longer: an answer that waits for none would overtake.
        let mut account = Account::new(&format!("user{number}@example.org"), PASSWORD);
        account.delay = Duration::from_millis(20 - number % 20);
        if number % 3 > 0 {
            options = options.account(account);
        }
    }
    let remote = world.remote(options);
    let generous = "limits.rcpt = 1000\nlimits.rcpt-errors = 1000\n";
    world.config(&(directory("mailbox", "lmtp", remote.port()) + generous));
    let asked: Vec<String> = (0..200)
        .map(|number| format!("user{number}@example.org"))
        .collect();
    let arguments: Vec<&str> = ["probe", "recipient"]
        .into_iter()
        .chain(asked.iter().map(String::as_str))
        .collect();
    let ran = world.vouch(&arguments).ended(1);
    ran.complains_of_nothing();
    let answered: Vec<&str> = ran
        .out
        .lines()
        .map(|line| line.split(" (").next().unwrap())
        .collect();
    let expected: Vec<String> = (0..200)
        .map(|number| {
            format!(
                "user{number}@example.org: {}",
                if number % 3 > 0 { "exists" } else { "unknown" }
            )
        })
        .collect();
    assert_eq!(answered, expected);
    assert!(remote.most_open() > 1, "asked one after the other");
}

#[test]
fn json_is_one_object_a_line_with_these_fields_and_no_others() {
    let (world, _remote) = world();
    let addresses = [JANE, NOBODY, TROUBLE, ELSEWHERE];
    let ran = world
        .vouch(&[&["probe", "recipient", "--json"][..], &addresses].concat())
        .ended(75);
    ran.complains_of_nothing();
    let objects: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for ((object, address), (verdict, cause, status, directory, source)) in
        objects.iter().zip(addresses).zip([
            ("accept", "-", Value::Null, "mailbox".into(), "probe"),
            (
                "reject",
                "unknown-user",
                "550 5.1.1".into(),
                "mailbox".into(),
                "probe",
            ),
            (
                "defer",
                "temporary",
                "451 4.3.0".into(),
                "mailbox".into(),
                "probe",
            ),
            ("abstain", "not-ours", Value::Null, Value::Null, "local"),
        ])
    {
        let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "address", "cause", "directory", "server", "source", "status", "text", "us", "verdict"
            ]
        );
        assert_eq!(object["address"], address);
        assert_eq!(object["verdict"], verdict);
        assert_eq!(object["cause"], cause);
        assert_eq!(object["status"], status);
        assert_eq!(object["directory"], directory);
        assert_eq!(object["source"], source);
        assert!(object["us"].is_u64());
    }
    assert_eq!(objects.len(), addresses.len());
    assert!(
        objects[1]["text"].as_str().unwrap().contains("No such user"),
        "{}",
        objects[1]
    );
}

#[test]
fn trace_shows_the_dialog_on_standard_error_and_answers_stay_alone_on_standard_output() {
    let (world, remote) = world();
    let ran = world
        .vouch(&["probe", "recipient", "--trace", JANE, NOBODY])
        .ended(1);
    ran.complains(&[
        " S: 220", " C: LHLO ", " C: MAIL FROM:<>", " C: RCPT TO:<jane@example.org>", " S: 250 2.1.5",
        " C: RCPT TO:<nobody@example.org>", " S: 550 5.1.1", "mailbox (127.0.0.1:",
    ]);
    assert_eq!(ran.out.lines().count(), 2);
    // One question after the other, in one session: two dialogs in each other could be read by nobody.
    let dialog: Vec<&str> = ran
        .err
        .lines()
        .filter(|line| line.contains("RCPT") || line.contains("S: 250 2.1.5") || line.contains("S: 550"))
        .filter_map(|line| line.split_once(") ").map(|(_, said)| &said[..6]))
        .collect();
    assert_eq!(dialog, ["C: RCP", "S: 250", "C: RCP", "S: 550"]);
    assert_eq!(remote.accepted(), 1);
}

#[test]
fn what_nobody_sees_in_a_name_or_a_reply_is_not_shown_as_it_is() {
    let (world, remote) = world();
    let unseen = "\u{202e}\u{200b}\u{2066}";
    let file = world
        .scratch
        .write("names", format!("ja{unseen}ne@example.org\nno{unseen}name\n"));
    let mut account = Account::new("odd@example.org", PASSWORD);
    account.state = remote::State::Says(format!("550 5.1.1 no such {unseen} user"));
    remote.set_account(account);
    let reply = format!("550 5.1.1 unheard{unseen}of");
    for arguments in [
        &["probe", "recipient", "--file", file.to_str().unwrap()][..],
        &["probe", "recipient", "--trace", "odd@example.org"],
        &["probe", "reply", "--type", "smtp", &reply],
    ] {
        let ran = world.vouch(arguments);
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(shown.contains("\\u{202e}") || shown.contains('?'), "{shown:?}");
        assert!(!shown.contains(|letter| unseen.contains(letter)), "{shown:?}");
    }
}
