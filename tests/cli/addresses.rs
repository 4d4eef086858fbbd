//! `[log] addresses`: whom the log does not name.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::outside::{PASSWORD, World, directory, listener};
use crate::serve::{Daemon, ask, exchange};

/// Part of every name here, and of nothing else.
const MARK: &str = "zqmark";

const RECIPIENTS: [&str; 9] = [
    "zqmark@example.org", "\"zqmark doe\"@example.org", "\"zqmark\\\"x\"@example.org",
    "o'zqmark@example.org", "zqmark+list@example.org", "zqmärk.zqmark@example.org", "a=zqmark/x@example.org",
    "zqmark.busy@example.org", "zqmark.gone@example.org",
];

/// A server that quotes whoever it is asked about, whole and in part, in every reply.
fn quoting() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        socket
            .incoming()
            .for_each(|stream| drop(thread::spawn(|| serve(stream.unwrap()))));
    });
    port
}

fn serve(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut say = |text: String| stream.write_all(format!("{text}\r\n").as_bytes()).is_ok();
    say("220 quoting".into());
    while let Some(Ok(line)) = lines.next() {
        let word = line.get(..4).unwrap_or_default().to_uppercase();
        let goes_on = match &*word {
            "EHLO" => say("250-quoting\r\n250-SMTPUTF8\r\n250 AUTH PLAIN".into()),
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                let local = address
                    .rsplit_once('@')
                    .unwrap()
                    .0
                    .trim_matches('"')
                    .replace('\\', "");
                say(if local.ends_with("busy") {
                    format!("451 4.3.0 mailbox {local} of {address} is busy")
                } else if local.ends_with("gone") {
                    format!("421 4.7.0 {} asks too much of <{address}>", local.to_uppercase())
                } else {
                    format!("550 5.1.1 {local}: no such user here: <{address}>, \"{local}\" unknown")
                })
            }
            "AUTH" => {
                let message = BASE64_STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap();
                let user =
                    String::from_utf8_lossy(message.split(|byte| *byte == 0).nth(1).unwrap()).into_owned();
                say(format!(
                    "535 5.7.8 password of {user} (user {}) is wrong",
                    user.to_uppercase()
                ))
            }
            "QUIT" => return,
            _ => say("250 2.0.0 ok".into()),
        };
        if !goes_on {
            return;
        }
    }
}

struct Stage {
    world: World,
    daemon: Daemon,
}

impl Stage {
    fn new(addresses: &str, format: &str) -> Self {
        let world = World::new();
        let socket = |name| world.scratch.path(name);
        let mut config = directory("quoting", "smtp", quoting()).replace("127.0.0.1", "localhost");
        config += "auth.allow-cleartext = true\nlookup.canary = [\"zqmark.canary@example.org\"]\n";
        config += &listener("recipients", "policy", &socket("recipients"), "quoting");
        config += "action.reject = \"550 5.1.1 {reply}\"\n";
        for (name, protocol) in [("logins", "auth"), ("users", "userdb"), ("maps", "socketmap")] {
            config += &listener(name, protocol, &socket(name), "quoting");
            if protocol == "userdb" {
                config += "fields = { home = \"/srv/{domain}/{local}\" }\nexists = \"domain\"\n";
            }
            if protocol == "auth" {
                config += "penalty = { after = 1, delay = \"1ms\", max-delay = \"1ms\" }\n";
            }
        }
        config += &format!("[control]\nsocket = \"{}\"\n", socket("control").display());
        config += &format!("[log]\nlevel = \"trace\"\nformat = \"{format}\"\naddresses = \"{addresses}\"\n");
        world.config(&config);
        let daemon = Daemon::start(&world);
        let stage = Self { world, daemon };
        stage.ask_everything();
        stage
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.world.scratch.path(name)
    }

    fn ask_everything(&self) {
        for recipient in RECIPIENTS {
            ask(&self.socket("recipients"), recipient);
            let lookup = format!("VERSION\t1\t0\nUSER\t1\t{recipient}\tservice=lmtp\nNEW\t2\t{recipient}\n");
            exchange(&self.socket("users"), lookup.as_bytes());
            let question = format!("recipients {recipient}");
            let question = format!("{}:{question},", question.len());
            exchange(&self.socket("maps"), question.as_bytes());
        }
        exchange(
            &self.socket("users"),
            b"VERSION\t1\t0\nUSER\t1\tzqmark\tservice=lmtp\n",
        );
        exchange(&self.socket("maps"), b"19:domains example.net,");
        for user in [
            "zqmark@example.org", "zqmark", "ZQmark.Upper@example.org", "zqmark x@example.org",
        ] {
            for password in [PASSWORD, "wrong", "wronger"] {
                let response = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
                let login = format!(
                    "VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tsession=s\trip=192.0.2.7\tresp={response}\n"
                );
                exchange(&self.socket("logins"), login.as_bytes());
            }
        }
        self.world
            .vouch(&["cache", "purge", "zqmark@example.org"])
            .ended(0);
        self.daemon.logged(&["the memory was purged"]);
    }

    /// The whole log, at the end.
    fn log(self) -> String {
        let path = self.world.scratch.path("serve.log");
        assert_eq!(self.daemon.ends_by("TERM"), Some(0));
        std::fs::read_to_string(path).unwrap()
    }
}

/// The values of a key in plain lines.
fn values<'l>(log: &'l str, key: &str) -> BTreeSet<&'l str> {
    let words = log.split_whitespace();
    words.filter_map(|word| word.strip_prefix(key)).collect()
}

#[test]
fn hidden_addresses_are_nowhere_in_the_log() {
    for (addresses, format) in [
        ("hashed", "plain"),
        ("domain", "plain"),
        ("hashed", "json"),
        ("domain", "json"),
    ] {
        let log = Stage::new(addresses, format).log();
        let named: Vec<_> = log
            .lines()
            .filter(|line| line.to_lowercase().contains(MARK))
            .collect();
        assert!(named.is_empty(), "{addresses} {format}: {named:#?}");
        for shown in [
            "no such user here", "is wrong", "refusals of this user", "the canary is refused",
            "withheld: log.addresses",
        ] {
            assert!(log.contains(shown), "{addresses}: no {shown} in {log}");
        }
        if (addresses, format) == ("domain", "plain") {
            assert_eq!(
                values(&log, "about="),
                ["@", "@example.net", "@example.org"].into()
            );
        } else if format == "plain" {
            let hashes: BTreeSet<_> = values(&log, "about=")
                .into_iter()
                .filter(|it| it.starts_with('#'))
                .collect();
            // Each user has one, in whatever question or case.
            let users = RECIPIENTS.len() + ["zqmark", "zqmark.upper", "zqmark x"].len();
            assert_eq!(hashes.len(), users, "{hashes:?}");
        }
    }
}

#[test]
fn by_default_the_log_names_them() {
    let log = Stage::new("full", "plain").log();
    assert!(
        log.contains("about=zqmark@example.org") && log.contains("no such user here: <zqmark@example.org>")
    );
    assert!(log.contains("C: RCPT TO:<zqmark@example.org>"));
}
