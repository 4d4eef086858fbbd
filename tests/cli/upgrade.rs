//! The daemon is replaced while it is asked, over sockets that outlive it: no question is lost.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::Protocol;

use crate::outside::{PASSWORD, World, directory, listener, people, wait_until};
use crate::serve::{Daemon, JANE};
use crate::support::handed_over::held;
use crate::systemd::{handed_over, serve_with};

fn connect(socket: &Path) -> io::Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(BufReader::new(stream))
}

/// Asks as Postfix does: on one connection as long as it lasts; on a new one, once more, if it is lost
/// (`smtpd_policy_service_try_limit` is 2).
struct Postfix {
    socket: PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

impl Postfix {
    fn ask(&mut self, recipient: &str) -> io::Result<String> {
        let first = self.once(recipient);
        first.or_else(|_| {
            self.stream = None;
            self.once(recipient)
        })
    }

    fn once(&mut self, recipient: &str) -> io::Result<String> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => empty.insert(connect(&self.socket)?),
        };
        let request = format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\n\n");
        stream.get_mut().write_all(request.as_bytes())?;
        let mut answer = String::new();
        while !answer.ends_with("\n\n") {
            if stream.read_line(&mut answer)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(answer)
    }
}

/// Of each client's questions one in ten is about somebody new, so that some are with the remote whenever the daemon
/// is replaced.
#[test]
fn an_upgrade_under_load_loses_no_question() {
    const CLIENTS: usize = 8;
    const UPGRADES: usize = 5;
    /// Of all clients together, at the least.
    const QUESTIONS: usize = 10_000;
    let (world, _remote) = handed_over("limits.rcpt-errors = \"unlimited\"\nlimits.rcpt = \"unlimited\"\n");
    let path = world.scratch.path("policy");
    let socket = UnixListener::bind(&path).unwrap();
    let sockets = [("policy", held(&socket))];
    let (asked, upgraded) = (AtomicUsize::new(0), AtomicBool::new(false));
    let lost = thread::scope(|scope| {
        let client = |id: usize| {
            let (asked, upgraded, socket) = (&asked, &upgraded, path.clone());
            move || {
                let mut postfix = Postfix { socket, stream: None };
                let mut lost = Vec::new();
                for number in 0.. {
                    if upgraded.load(Ordering::Relaxed) && asked.load(Ordering::Relaxed) >= QUESTIONS {
                        break;
                    }
                    let (recipient, right) = match number % 10 {
                        0 => (
                            format!("nobody-{id}-{number}@example.org"),
                            "action=550 5.1.1 User unknown\n\n",
                        ),
                        _ => (JANE.to_owned(), "action=DUNNO\n\n"),
                    };
                    match postfix.ask(&recipient) {
                        Ok(answer) if answer == right => {}
                        wrong => lost.push(format!("{recipient}: {wrong:?}")),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                lost
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|id| scope.spawn(client(id))).collect();
        for upgrade in 0..=UPGRADES {
            let daemon = Daemon::run(&world, &mut serve_with(&world, &sockets));
            let (before, share) = (asked.load(Ordering::Relaxed), QUESTIONS / (UPGRADES + 1));
            wait_until("some questions", || {
                asked.load(Ordering::Relaxed) >= before + share
            });
            if upgrade == UPGRADES {
                upgraded.store(true, Ordering::Relaxed);
                let lost: Vec<String> = clients
                    .into_iter()
                    .flat_map(|client| client.join().unwrap())
                    .collect();
                assert_eq!(daemon.ends_by("TERM"), Some(0));
                return lost;
            }
            assert_eq!(daemon.ends_by("TERM"), Some(0));
        }
        unreachable!("the last daemon returns")
    });
    let asked = asked.into_inner();
    println!("{asked} questions, {UPGRADES} upgrades, {} lost", lost.len());
    assert!(asked >= QUESTIONS);
    assert_eq!(lost, [""; 0]);
}

/// Asks about logins as Postfix does (`xsasl_dovecot_server.c`): on a new connection where the old one takes nothing
/// more; never again what was sent.
struct Sasl {
    socket: PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

impl Sasl {
    fn login(&mut self, id: usize) -> io::Result<String> {
        let response = BASE64_STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
        let request = format!("AUTH\t{id}\tPLAIN\tservice=smtp\tresp={response}\n");
        if let Some(stream) = &mut self.stream
            && stream.get_mut().write_all(request.as_bytes()).is_err()
        {
            self.stream = None;
        }
        if self.stream.is_none() {
            let mut stream = self.connect()?;
            stream.get_mut().write_all(request.as_bytes())?;
            self.stream = Some(stream);
        }
        let mut reply = String::new();
        if let Some(stream) = &mut self.stream
            && stream.read_line(&mut reply)? == 0
        {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(reply)
    }

    fn connect(&self) -> io::Result<BufReader<UnixStream>> {
        let mut stream = connect(&self.socket)?;
        stream.get_mut().write_all(b"VERSION\t1\t1\nCPID\t7\n")?;
        let mut line = String::new();
        while line != "DONE\n" {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(stream)
    }
}

#[test]
fn no_login_is_lost_by_an_upgrade() {
    const CLIENTS: usize = 8;
    const UPGRADES: usize = 10;
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let listener = listener("logins", "auth", Path::new("systemd:auth"), "remote");
    world.config(
        &(directory("remote", "imap", remote.port()) + "cache.credentials.positive = \"1h\"\n" + &listener),
    );
    let path = world.scratch.path("auth");
    let socket = UnixListener::bind(&path).unwrap();
    let sockets = [("auth", held(&socket))];
    let (asked, upgraded) = (AtomicUsize::new(0), AtomicBool::new(false));
    let lost: Vec<String> = thread::scope(|scope| {
        let client = || {
            let mut sasl = Sasl {
                socket: path.clone(),
                stream: None,
            };
            let mut lost = Vec::new();
            for id in 1.. {
                if upgraded.load(Ordering::Relaxed) {
                    break;
                }
                match sasl.login(id) {
                    Ok(reply) if reply == format!("OK\t{id}\tuser={JANE}\n") => {}
                    wrong => {
                        lost.push(format!("{wrong:?}"));
                        sasl.stream = None;
                    }
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
            lost
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for _ in 0..=UPGRADES {
            let daemon = Daemon::run(&world, &mut serve_with(&world, &sockets));
            let before = asked.load(Ordering::Relaxed);
            wait_until("some logins", || asked.load(Ordering::Relaxed) >= before + 200);
            assert_eq!(daemon.ends_by("TERM"), Some(0));
        }
        // Clients that wait in the socket have one more daemon to ask.
        let daemon = Daemon::run(&world, &mut serve_with(&world, &sockets));
        upgraded.store(true, Ordering::Relaxed);
        let lost = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        assert_eq!(daemon.ends_by("TERM"), Some(0));
        lost
    });
    println!(
        "{} logins, {UPGRADES} upgrades, {} lost",
        asked.into_inner(),
        lost.len()
    );
    assert_eq!(lost, [""; 0]);
}
