//! Dovecot as the front, which asks `vouch`: with the configuration in `contrib/dovecot`, both ways.

mod reload;
mod replaced;
mod ways;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::fd::RawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::unistd::User;

use crate::dialog::{Dialog, assert_starts, plain};
use crate::dovecot::Dovecot;
use crate::language::Language;
use crate::people::{KNOWN, RIGHT};
use crate::support::another::binary_for_all;
use crate::support::handed_over::{held, script};
use crate::support::process::wait_until;
use crate::support::{Authority, Process, Scratch, Vouch, free_port, program};

/// How `vouch` comes to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Dovecot starts it.
    Service,
    /// It runs by itself.
    Standalone,
    /// The same, on sockets that outlive it.
    HandedOver,
}

const SERVICE: &str = include_str!("../../../contrib/dovecot/service.conf");
const STANDALONE: &str = include_str!("../../../contrib/dovecot/standalone.conf");
const VOUCH: &str = include_str!("../../../contrib/dovecot/vouch.toml");

/// As whom Dovecot runs `vouch` here; there is no user of that name.
const USER: &str = "nobody";

/// The sockets of a `vouch` that runs by itself, as `contrib` has them.
const NAMES: [&str; 3] = ["login", "auth-master", "auth-userdb"];

/// A running Dovecot with `vouch` for its auth service.
#[derive(Debug)]
pub(crate) struct Front {
    _process: Process,
    vouch: Option<Vouch>,
    /// Its sockets, where they outlive it.
    handed_over: Option<[(&'static str, RawFd); 3]>,
    imap: u16,
    pop3: u16,
    submission: u16,
    sieve: u16,
    /// TCP, at which a Dovecot that starts `vouch` has it asked as well.
    auth: u16,
    lmtp: PathBuf,
    /// The sockets at which it is asked: login, auth-master, auth-userdb.
    sockets: [PathBuf; 3],
    /// For Postfix, where Dovecot starts `vouch`.
    private: PathBuf,
    config: PathBuf,
    log: PathBuf,
    /// What `vouch` reads.
    toml: PathBuf,
    /// Where the mail is by the fields of the userdb listener.
    mail: PathBuf,
}

impl Front {
    /// Starts it in front of `remote`. `relay` is the SMTP port that submission hands mail on to.
    pub(crate) fn start(
        scratch: &Scratch,
        authority: &Authority,
        remote: &Dovecot,
        way: Way,
        relay: u16,
    ) -> Self {
        let [imap, pop3, submission, sieve, auth] = [(); 5].map(|()| free_port());
        let owner = scratch.folder_of("front-mail", "mail");
        let user = User::from_name(USER).unwrap().unwrap();
        let sockets = scratch.folder("sockets");
        chown(&sockets, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        let binary = binary_for_all(scratch);

        let placed = |text: &str| placed(text, scratch, authority, remote, &binary);
        let toml = placed(VOUCH);
        let standalone = Language::installed().standalone(STANDALONE);
        scratch.folder("front");
        let base = scratch.path("front/run");
        let paths = |folder: &Path, names: [&str; 3]| names.map(|name| folder.join(name));
        let mut inet = String::new();
        let mut handed_over = None;
        let (contrib, sockets, vouch) = match way {
            Way::Service => {
                inet = format!("service auth {{\n  inet_listener postfix {{\n    port = {auth}\n  }}\n}}\n");
                scratch.write("vouch.toml", &toml);
                (
                    SERVICE,
                    paths(&base, ["auth-login", "auth-master", "auth-userdb"]),
                    None,
                )
            }
            Way::Standalone | Way::HandedOver => {
                let sockets = paths(&sockets, NAMES);
                handed_over = (way == Way::HandedOver).then(|| NAMES.map(|name| hold(scratch, name)));
                let vouch = match &handed_over {
                    Some(held) => serve_on(scratch, &toml, held),
                    None => Vouch::serve(scratch, &toml, &sockets.each_ref().map(PathBuf::as_path)),
                };
                // As the notes say, for managesieve.
                fs::create_dir(&base).unwrap();
                symlink(&sockets[1], base.join("auth-master")).unwrap();
                (&*standalone, sockets, Some(vouch))
            }
        };
        let config = scratch.write(
            "front.conf",
            [
                config(scratch, owner, [imap, pop3, submission, sieve], relay),
                placed(contrib),
                inet,
            ]
            .concat(),
        );
        let mut command = Command::new(program("dovecot").unwrap());
        command.arg("-F").arg("-c").arg(&config);
        let mut process = Process::start(scratch, "front-master", &mut command);
        for port in [imap, pop3, submission, sieve] {
            process.wait_for_port(port);
        }
        let (lmtp, private) = (scratch.path("front-lmtp"), scratch.path("private-auth"));
        for socket in sockets.iter().chain([&lmtp]) {
            process.wait_for_socket(socket);
        }
        if way == Way::Service {
            process.wait_for_socket(&private);
        }
        Self {
            _process: process,
            vouch,
            handed_over,
            imap,
            pop3,
            submission,
            sieve,
            auth,
            lmtp,
            sockets,
            private,
            config,
            log: scratch.path("front.log"),
            toml: scratch.path("vouch.toml"),
            mail: scratch.path("front-mail"),
        }
    }

    /// A greeted IMAP connection.
    fn imap(&self) -> Dialog {
        let mut dialog = Dialog::tcp(self.imap);
        assert_starts(&dialog.line(), "* OK");
        dialog
    }

    /// What `doveadm` says, asked at this Dovecot.
    fn doveadm(&self, arguments: &[&str]) -> Output {
        doveadm(&self.config, arguments)
    }

    /// Has it reload, and waits until the new `vouch` is there.
    fn reload(&self) {
        let before = self.who_answers();
        assert!(self.doveadm(&["reload"]).status.success());
        // Not by its log: after two reloads in a row Dovecot may read nothing of what the new process writes there.
        wait_until("the new vouch", Duration::from_secs(30), || {
            self.who_answers().is_some_and(|now| Some(now) != before)
        });
    }

    /// The process of `vouch` that answers at the login socket: the first part of its cookie.
    fn who_answers(&self) -> Option<String> {
        let stream = UnixStream::connect(&self.sockets[0]).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let greeting = BufReader::new(stream).lines().map_while(Result::ok);
        let cookie = greeting.filter_map(|line| Some(line.strip_prefix("COOKIE\t")?[..8].to_owned()));
        cookie.take(1).next()
    }

    /// Waits until it has started `vouch` for the `times`th time, by its log.
    fn wait_for_vouch(&self, times: usize) {
        wait_until("the new vouch", Duration::from_secs(30), || {
            self.log().matches("auth: Info: ready ").count() >= times
        });
    }

    /// What is in its log.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

/// The socket of this name, to be handed over. Everybody may connect.
fn hold(scratch: &Scratch, name: &'static str) -> (&'static str, RawFd) {
    let path = scratch.path(&format!("sockets/{name}"));
    let socket = UnixListener::bind(&path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    (name, held(&socket))
}

/// Starts `vouch` on sockets that are handed over.
fn serve_on(scratch: &Scratch, toml: &str, sockets: &[(&str, RawFd)]) -> Vouch {
    let handed = sockets.iter().fold(toml.to_owned(), |toml, (name, _)| {
        toml.replace(
            &format!("socket = \"{}\"", scratch.text(&format!("sockets/{name}"))),
            &format!("socket = \"systemd:{name}\""),
        )
    });
    // The shell of `serve_in` knows no descriptor above 9.
    let script = format!("exec bash -ec '{}' bash \"$@\"", script(sockets));
    Vouch::serve_in(scratch, &handed, &[], &[], &script)
}

/// What `doveadm` says, asked at the Dovecot of that configuration.
pub(crate) fn doveadm(config: &Path, arguments: &[&str]) -> Output {
    Command::new(program("doveadm").unwrap())
        .arg("-c")
        .arg(config)
        .args(arguments)
        .output()
        .unwrap()
}

/// What a login process says and keeps, as the test plays one.
struct LoginProcess {
    dialog: Dialog,
    cpid: u32,
    cookie: String,
    spid: String,
}

impl LoginProcess {
    /// Connects, and reads the greeting.
    fn connect(socket: &Path, cpid: u32) -> Self {
        let mut dialog = Dialog::unix(socket);
        dialog.send(format!("VERSION\t1\t2\nCPID\t{cpid}\n").as_bytes());
        let greeting: Vec<String> = std::iter::from_fn(|| Some(dialog.line()))
            .take_while(|line| line != "DONE")
            .collect();
        let field = |name: &str| {
            let line = greeting
                .iter()
                .find_map(|line| line.strip_prefix(&format!("{name}\t")));
            line.unwrap_or_else(|| panic!("no {name} in {greeting:?}"))
                .to_owned()
        };
        let (cookie, spid) = (field("COOKIE"), field("SPID"));
        Self {
            dialog,
            cpid,
            cookie,
            spid,
        }
    }

    /// A good login, under this id.
    fn log_in(&mut self, id: u32) {
        let response = plain(KNOWN, RIGHT);
        self.dialog
            .send(format!("AUTH\t{id}\tPLAIN\tservice=imap\tresp={response}\n").as_bytes());
        assert_eq!(self.dialog.line(), format!("OK\t{id}\tuser={KNOWN}"));
    }

    /// What a mail process asks that it hands this login to.
    fn request(&self, id: u32, login: u32) -> String {
        let Self { cpid, cookie, .. } = self;
        format!("REQUEST\t{id}\t{cpid}\t{login}\t{cookie}\n")
    }
}

/// A file of `contrib` with the paths, the ports and the user of the test; everything else stays as it is.
fn placed(text: &str, scratch: &Scratch, authority: &Authority, remote: &Dovecot, binary: &Path) -> String {
    let ca = format!("tls.ca-file = \"{}\"\n", authority.ca.display());
    let mut text = text
        .replace("/usr/bin/vouch", binary.to_str().unwrap())
        .replace("/etc/vouch/vouch.toml", &scratch.text("vouch.toml"))
        .replace("/run/vouch/dovecot", &scratch.text("sockets"))
        .replace("/var/spool/postfix/private/auth", &scratch.text("private-auth"))
        .replace("/srv/mail", &scratch.text("front-mail"))
        .replace("user = vouch\n", &format!("user = {USER}\n"))
        .replace("port = 24\n", &format!("port = {}\n", remote.lmtp));
    for (name, port) in [("imap", Some(remote.imap)), ("mail", None)] {
        let port = port.map_or(String::new(), |port| format!("port = {port}\n"));
        text = text.replace(
            &format!("address = \"{name}.example.org\"\n"),
            &format!("address = \"127.0.0.1\"\n{port}{ca}"),
        );
    }
    text
}

/// What a Dovecot of its own in a scratch directory needs; the rest is the file of `contrib`.
fn config(scratch: &Scratch, (uid, gid): (u32, u32), ports: [u16; 4], relay: u16) -> String {
    let scratch = scratch.text("");
    let scratch = scratch.trim_end_matches('/');
    let language = Language::installed();
    let mut config = format!(
        "{head}protocols = imap pop3 submission sieve lmtp
mail_uid = {uid}
mail_gid = {gid}
{maildir}ssl = no
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
hostname = mail.example.org
service imap {{
  # Mail processes that are not new: of the others, Dovecot loses one now and then when it reloads.
  process_min_avail = 20
}}
service lmtp {{
  unix_listener {scratch}/front-lmtp {{
    mode = 0666
  }}
}}
",
        head = language.head(format!("{scratch}/front"), format!("{scratch}/front.log")),
        maildir = language.maildir(),
    );
    let services = ["imap", "pop3", "submission", "managesieve"]
        .into_iter()
        .zip(["imap", "pop3", "submission", "sieve"]);
    for ((service, listener), port) in services.zip(ports) {
        config +=
            &format!("service {service}-login {{\n  inet_listener {listener} {{\n    port = {port}\n  }}\n");
        if matches!(listener, "imap" | "pop3") {
            config += &format!("  inet_listener {listener}s {{\n    port = 0\n  }}\n");
        }
        config += "}\n";
    }
    config
}

/// A greeted POP3 connection with a login: the reply to it.
fn pop3_login(port: u16, name: &str, password: &[u8]) -> String {
    let mut dialog = Dialog::tcp(port);
    assert_starts(&dialog.line(), "+OK");
    dialog.send(format!("AUTH PLAIN {}\r\n", plain(name, password)).as_bytes());
    dialog.line()
}
