//! Logins go on while Dovecot reloads: none is lost.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Front, LoginProcess, USER, Way};
use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, RIGHT};
use crate::postfix::Postfix;
use crate::support::process::wait_until;
use crate::support::{Authority, Scratch};

/// So many reloads, one after another while the processes of the last ones still answer.
const RELOADS: usize = 5;

/// From one reload to the next.
const PAUSE: Duration = Duration::from_millis(1500);

/// Logins of each kind of client that say something, and how long they may take.
const ENOUGH: usize = 25;
const LONGEST: Duration = Duration::from_secs(120);

/// A client that takes its time between the greeting and its login: a reload comes in between.
const SLOW: Duration = Duration::from_secs(1);

#[test]
fn the_configuration_is_read_anew_and_a_wrong_one_is_told_in_dovecots_log() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    let front = Front::start(&scratch, &authority, &remote, Way::Service, 9);
    let toml = fs::read_to_string(&front.toml).unwrap();
    assert_starts(&front.imap().imap_login(KNOWN, RIGHT), "T OK");
    let write = |text: &str| fs::write(&front.toml, text).unwrap();
    let logged = |text: &str| {
        wait_until(text, Duration::from_secs(20), || front.log().contains(text));
    };

    write(&toml.replace("[dovecot]\nlogins", "[dovecot]\nlogin"));
    assert!(front.doveadm(&["reload"]).status.success());
    logged("auth: Error: error: unknown key `dovecot.login`");
    logged("returned error 78");
    scratch.folder_of("memory", USER);
    let with_file = format!(
        "\ncache.file = \"{}\"\nlookup.domains =",
        scratch.text("memory/mailbox")
    );
    write(&toml.replacen("\nlookup.domains =", &with_file, 1));
    // Dovecot tries again by itself, after 2, 4, 8 seconds.
    front.wait_for_vouch(2);
    assert_starts(&front.imap().imap_login(KNOWN, RIGHT), "T OK");
    assert!(front.doveadm(&["user", KNOWN]).status.success());

    // What was found is handed on in the file, though both have it open for a moment.
    front.reload();
    logged("read directory=mailbox recipients=1 ");
    assert!(!front.log().contains("in use by another vouch"));
}

/// What a client got: whether its login was good, and the reply.
type Login<'a> = &'a (dyn Fn() -> (bool, String) + Sync);

#[test]
fn a_login_on_its_way_is_handed_over_by_the_process_that_accepted_it() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    let front = Front::start(&scratch, &authority, &remote, Way::Service, 9);
    let [login, master, _] = &front.sockets;

    let mut before = LoginProcess::connect(login, 77);
    before.log_in(1);
    let mut kept = Dialog::unix(master);
    assert_starts(&kept.line(), "VERSION\t1\t");
    assert_starts(&kept.line(), "SPID\t");
    kept.send(b"VERSION\t1\t1\n");
    for _ in 0..2 {
        front.reload();
        let mut after = LoginProcess::connect(login, 78);
        after.log_in(1);
        assert_eq!(before.spid, after.spid, "one server to Dovecot");
        // The old process still answers who is connected.
        before.log_in(2);
        for (process, id) in [(&before, 1), (&before, 2), (&after, 1)] {
            let request = process.request(9, id);
            let mut new = Dialog::unix(master);
            assert_starts(&new.line(), "VERSION\t1\t");
            assert_eq!(new.line(), format!("SPID\t{}", process.spid));
            // Wherever a mail process asks: a wrong cookie gets nothing, the right one gets the user, once.
            let guess = request.replace(&process.cookie[8..], &"0".repeat(24));
            new.send(format!("VERSION\t1\t1\n{guess}").as_bytes());
            assert_eq!(new.line(), "FAIL\t9");
            let ask = if id == 2 { &mut kept } else { &mut new };
            ask.send(request.as_bytes());
            let answer = ask.line();
            assert_starts(&answer, &format!("USER\t9\t{KNOWN}\t"));
            assert!(answer.contains("/example.org/known\t"), "{answer}");
            ask.send(request.as_bytes());
            assert_eq!(ask.line(), "FAIL\t9");
        }
        before.log_in(1);
    }
}

#[test]
fn no_login_is_lost_when_dovecot_reloads() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    let front = Front::start(&scratch, &authority, &remote, Way::Service, 9);
    // smtpd keeps its connection from one session to the next, over the reloads.
    let postfix = Postfix::front(&scratch, None, Some(&front.private));
    // Both are started before the first reload, and stay: at its start it needs the socket, which Dovecot takes away for
    // a moment.
    let smtpds = [(); 2].map(|()| Dialog::tcp(postfix.smtp).hello("EHLO", None));
    drop(smtpds);

    let (stop, enough) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    let imap = |pause: Duration| {
        let mut dialog = greeted(&front);
        thread::sleep(pause);
        let reply = dialog.imap_login(KNOWN, RIGHT);
        if reply.starts_with("T OK") {
            dialog.imap("LOGOUT");
        }
        (reply.starts_with("T OK"), reply)
    };
    let smtp = || {
        let mut dialog = Dialog::tcp(postfix.smtp).hello("EHLO", None);
        let reply = dialog.auth_plain(KNOWN, RIGHT);
        assert_starts(&dialog.command("QUIT"), "221 ");
        (reply.starts_with("235 "), reply)
    };
    let clients: [(&str, usize, Login<'_>); 3] = [
        ("quick IMAP", 3, &|| imap(Duration::ZERO)),
        ("slow IMAP", 12, &|| imap(SLOW)),
        ("SMTP", 2, &smtp),
    ];
    let tally = thread::scope(|scope| {
        let mut running = Vec::new();
        for ((kind, count, login), done) in clients.into_iter().zip(&enough) {
            for _ in 0..count {
                let stop = &stop;
                let run = move || {
                    let (mut good, mut lost) = (0, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        match login() {
                            (true, _) => {
                                good += 1;
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                            (false, reply) => lost.push(reply),
                        }
                    }
                    (good, lost)
                };
                running.push((kind, scope.spawn(run)));
            }
        }
        for _ in 0..RELOADS {
            thread::sleep(PAUSE);
            front.reload();
        }
        // On a machine that does a lot besides, it takes longer until there is something to count.
        wait_until("enough logins", LONGEST, || {
            enough.iter().all(|done| done.load(Ordering::Relaxed) >= ENOUGH)
        });
        stop.store(true, Ordering::Relaxed);
        let joined = running
            .into_iter()
            .map(|(kind, client)| (kind, client.join().unwrap()));
        joined.collect::<Vec<_>>()
    });

    let log = front.log();
    // Dovecot makes the sockets of all its services anew at each reload, and ends mail processes that were about to take
    // a client: some logins that were good come to nothing after vouch. What is lost on the way to it or back is
    // called by other words.
    let missing = "failed: No such file or directory";
    let own = |line: &&str| line.contains("imap-login: Error: master(imap): ") || line.contains(missing);
    let (own, others): (Vec<&str>, Vec<&str>) = log.lines().partition(own);
    for word in [
        "auth-client: ", "auth-master: ", "Auth server restarted", "Auth process broken", "REQUEST refused",
        "auth: Error",
    ] {
        let found = others.iter().find(|line| line.contains(word));
        assert!(found.is_none(), "{found:?}");
    }
    for (kind, ..) in clients {
        let of_kind = tally.iter().filter(|(of, _)| *of == kind);
        let (good, lost) = of_kind.fold((0, Vec::new()), |(good, lost), (_, (more, replies))| {
            (good + more, [lost, replies.clone()].concat())
        });
        println!(
            "{kind}: {good} good, {} lost {lost:?}, {} by Dovecot itself",
            lost.len(),
            own.len()
        );
        assert!(good >= ENOUGH, "{kind}: only {good} logins");
        let own = if kind == "SMTP" { 0 } else { own.len() };
        assert!(lost.len() <= own, "{kind}: lost {lost:?}");
    }
}

/// A connection whose greeting says that one may log in. A login process that is told to end before it has reached its
/// auth service turns clients away.
fn greeted(front: &Front) -> Dialog {
    loop {
        let mut dialog = Dialog::tcp(front.imap);
        let greeting = dialog.line();
        // Dovecot 2.3 and 2.4.
        if !["* BYE Shutting down", "* BYE Server shutting down"].contains(&&*greeting) {
            assert_starts(&greeting, "* OK");
            return dialog;
        }
    }
}
