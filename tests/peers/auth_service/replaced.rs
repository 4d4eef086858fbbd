//! Logins go on while `vouch` changes behind its listeners, or is replaced by another: none is refused, and none is lost but
//! what Dovecot says in the moment of the change.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Front, Way, hold, serve_on};
use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, RIGHT};
use crate::postfix::Postfix;
use crate::support::process::wait_until;
use crate::support::vouch::staying_root;
use crate::support::{Authority, Scratch, Vouch};

const RELOADS: usize = 100;
const UPGRADES: usize = 10;

/// So many log in at once by IMAP, and so many by SMTP.
const BY_IMAP: usize = 25;
const BY_SMTP: usize = 5;

/// Logins from one change to the next.
const MEANWHILE: usize = 5;

/// Logins of all clients and upgrades together that may come just then.
const FEW: usize = 5;

/// Some clients take this time between the greeting and their login.
const SLOW: Duration = Duration::from_millis(500);

/// What Postfix asks, beside what Dovecot asks.
fn for_postfix(scratch: &Scratch) -> String {
    let (auth, policy) = (scratch.text("sockets/postfix"), scratch.text("sockets/policy"));
    format!(
        "
[listener.\"postfix\"]
protocol = \"auth\"
socket = \"{auth}\"
mode = \"0666\"
directory = [\"imap\"]

[listener.\"policy\"]
protocol = \"policy\"
socket = \"{policy}\"
mode = \"0666\"
directory = [\"mailbox\"]
limits.rcpt = \"unlimited\"
limits.rcpt-errors = \"unlimited\"
"
    )
}

#[test]
fn no_login_is_lost_when_a_directory_changes() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    let front = Front::start(&scratch, &authority, &remote, Way::Standalone, 9);
    let toml = fs::read_to_string(&front.toml).unwrap() + &for_postfix(&scratch);
    // Another timeout: another directory, with sessions of its own.
    let reload = |number: usize| {
        let timeout = format!("\ntimeout = \"{}s\"\ntls.starttls", 20 + number % 10);
        fs::write(
            &front.toml,
            staying_root(&toml.replace("\ntls.starttls", &timeout)),
        )
        .unwrap();
        let before = reloads(&scratch);
        front.vouch.as_ref().unwrap().reload();
        wait_until("the reload", Duration::from_secs(60), || {
            reloads(&scratch) > before
        });
    };
    reload(0);
    let (auth, policy) = (scratch.path("sockets/postfix"), scratch.path("sockets/policy"));
    let postfix = Postfix::front(&scratch, Some(&policy), Some(&auth));
    let lost = while_they_log_in(&front, Some(&postfix), |meanwhile| {
        for number in 1..=RELOADS {
            reload(number);
            meanwhile();
        }
    });
    let log = fs::read_to_string(scratch.path("vouch.log")).unwrap();
    assert!(!log.contains("not reloaded"), "{log}");
    assert_eq!(lost, [""; 0]);
}

#[test]
fn no_login_is_refused_when_another_vouch_takes_the_sockets_over() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    let mut front = Front::start(&scratch, &authority, &remote, Way::HandedOver, 9);
    let toml = fs::read_to_string(&front.toml).unwrap() + &for_postfix(&scratch);
    let more = ["postfix", "policy"].map(|name| hold(&scratch, name));
    let sockets = [&front.handed_over.unwrap()[..], &more].concat();
    let replace = |before: Option<Vouch>| {
        let ended = before.and_then(Vouch::stop);
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        Some(serve_on(&scratch, &toml, &sockets))
    };
    let mut vouch = replace(front.vouch.take());
    let (auth, policy) = (scratch.path("sockets/postfix"), scratch.path("sockets/policy"));
    let postfix = Postfix::front(&scratch, Some(&policy), Some(&auth));
    let lost = while_they_log_in(&front, Some(&postfix), |meanwhile| {
        for _ in 0..UPGRADES {
            vouch = replace(vouch.take());
            meanwhile();
        }
    });
    // What a login process sends in the moment in which vouch closes its connection, nobody reads: it reports so many to
    // its log, and to its clients a failure that passes.
    let unread = front
        .log()
        .matches("Auth connection closed with 1 pending requests")
        .count();
    assert!(lost.len() <= unread.min(FEW), "{unread} unread, {lost:?}");
    for reply in lost {
        assert_starts(&reply, "T NO [UNAVAILABLE]");
    }
}

fn reloads(scratch: &Scratch) -> usize {
    let log = fs::read_to_string(scratch.path("vouch.log")).unwrap();
    log.lines().filter(|line| line.contains("reloaded")).count()
}

/// Has clients log in, each again and again, while `change` does what it does; it may wait meanwhile, until some more
/// have. The replies to good logins that are no OK.
fn while_they_log_in(
    front: &Front,
    postfix: Option<&Postfix>,
    change: impl FnOnce(&dyn Fn()),
) -> Vec<String> {
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let imap = |pause: Duration| {
        let mut dialog = front.imap();
        thread::sleep(pause);
        let reply = dialog.imap_login(KNOWN, RIGHT);
        let good = reply.starts_with("T OK");
        if good {
            dialog.imap("LOGOUT");
        }
        (good, reply)
    };
    let smtp = || {
        let port = postfix.map_or(0, |postfix| postfix.smtp);
        let mut dialog = Dialog::tcp(port).hello("EHLO", None);
        let mut reply = dialog.auth_plain(KNOWN, RIGHT);
        let mut good = reply.starts_with("235 ");
        if good {
            assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
            reply = dialog.command(&format!("RCPT TO:<{KNOWN}>"));
            good = reply.starts_with("250 ");
        }
        dialog.command("QUIT");
        (good, reply)
    };
    let by_smtp = if postfix.is_some() { BY_SMTP } else { 0 };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..BY_IMAP + by_smtp)
            .map(|client| {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || {
                    let mut lost = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let (good, reply) = match client {
                            BY_IMAP.. => smtp(),
                            _ if client % 5 == 0 => imap(SLOW),
                            _ => imap(Duration::ZERO),
                        };
                        done.fetch_add(1, Ordering::Relaxed);
                        if !good {
                            lost.push(reply);
                        }
                    }
                    lost
                })
            })
            .collect();
        let meanwhile = || {
            let before = done.load(Ordering::Relaxed);
            wait_until("some logins", Duration::from_secs(60), || {
                done.load(Ordering::Relaxed) >= before + MEANWHILE
            });
        };
        meanwhile();
        change(&meanwhile);
        stop.store(true, Ordering::Relaxed);
        let lost: Vec<String> = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        println!("{} logins, {} lost", done.load(Ordering::Relaxed), lost.len());
        lost
    })
}
