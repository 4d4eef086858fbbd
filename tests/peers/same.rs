//! Dovecot's own auth service and our listeners are told the same, and answer the same: `dialogs.txt`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::available;
use crate::dialog::plain;
use crate::dovecot::Dovecot;
use crate::language::Language;
use crate::people::{FAILING_MAILBOX, KNOWN, RIGHT};
use crate::support::{Authority, Process, Scratch, Vouch, program};

const DIALOGS: &str = include_str!("dialogs.txt");

/// Dovecot holds some answers back for half a second, whatever its settings.
const PATIENCE: Duration = Duration::from_secs(5);

const SOCKETS: [&str; 4] = ["client", "login", "userdb", "master"];

/// One of the dialogs.
#[derive(Default)]
struct Dialog {
    name: String,
    steps: Vec<String>,
    /// What we answer, where that is something else than Dovecot does.
    ours: Vec<String>,
    why: String,
}

#[test]
fn our_listeners_answer_as_dovecot_does() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    let home = scratch.folder("home").display().to_string();
    let _reference = reference(&scratch, &home);
    let _vouch = vouch(&scratch, &authority, &remote, &home);
    let mut wrong = Vec::new();
    for dialog in dialogs(Language::installed()) {
        let theirs = play(&dialog, |socket| scratch.path(&format!("auth-{socket}")));
        let ours = play(&dialog, |socket| scratch.path(&format!("vouch-{socket}")));
        let Dialog { name, why, .. } = &dialog;
        let lines = |lines: &[String]| lines.join("\n    ");
        let told = format!(
            "{name}\n  Dovecot:\n    {}\n  vouch:\n    {}",
            lines(&theirs),
            lines(&ours)
        );
        if dialog.ours.is_empty() {
            if ours != theirs {
                wrong.push(told);
            }
            continue;
        }
        let expected: Vec<_> = dialog.ours.iter().map(|line| normal(line)).collect();
        println!("differs: {told}\n  because {why}\n");
        if theirs == expected {
            wrong.push(format!("{told}\n  is no difference any more"));
        } else if ours != expected {
            wrong.push(format!("{told}\n  expected of vouch:\n    {}", lines(&expected)));
        }
        assert!(!why.is_empty(), "{name}: why?");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A Dovecot that is an auth service and nothing else.
fn reference(scratch: &Scratch, home: &str) -> Process {
    let user = |name: &str, fields: &str| {
        let local = name.split('@').next().unwrap();
        let password = BASE64_STANDARD.encode(RIGHT);
        format!("{name}:{{PLAIN.B64}}{password}:8:8::{home}/example.org/{local}::{fields}\n")
    };
    let users = user(KNOWN, "") + &user(FAILING_MAILBOX, "userdb_tempfail=yes");
    let users = scratch.write("reference-users", users);
    let users = users.display();
    let language = Language::installed();
    let sockets = SOCKETS.map(|socket| {
        let path = scratch.text(&format!("auth-{socket}"));
        language.auth_socket(path, socket, "0600")
    });
    let folder = scratch.folder("reference").display().to_string();
    let config = [
        &language.head(&folder, format!("{folder}.log")),
        language.no_protocol(),
        "ssl = no\nauth_mechanisms = plain login\n",
        language.failures_at_once(),
        &language.default_domain("example.org"),
        language.failing(),
        &language.users(users),
        "service auth {\n",
        &sockets.concat(),
        "}\n",
    ]
    .concat();
    let file = scratch.write("reference.conf", config);
    let mut command = Command::new(program("dovecot").unwrap());
    command.arg("-F").arg("-c").arg(file);
    let mut process = Process::start(scratch, "reference-master", &mut command);
    for socket in SOCKETS {
        process.wait_for_socket(&scratch.path(&format!("auth-{socket}")));
    }
    process
}

fn vouch(scratch: &Scratch, authority: &Authority, remote: &Dovecot, home: &str) -> Vouch {
    let (imap, lmtp, ca) = (remote.imap, remote.lmtp, authority.ca.display());
    let mut config = format!(
        "[control]
socket = \"{}\"
[directory.imap]
type = \"imap\"
address = \"127.0.0.1\"
port = {imap}
tls.ca-file = \"{ca}\"
[directory.lmtp]
type = \"lmtp\"
address = \"127.0.0.1\"
port = {lmtp}
tls.ca-file = \"{ca}\"
lookup.domains = [\"example.org\"]
",
        scratch.text("control")
    );
    let mut paths = Vec::new();
    for (socket, protocol, directory, more) in [
        ("client", "auth", "imap", "limits.auth-errors = \"unlimited\""),
        ("login", "login", "imap", "limits.auth-errors = \"unlimited\""),
        ("userdb", "userdb", "lmtp", ""),
        ("master", "master", "lmtp", ""),
    ] {
        let path = scratch.path(&format!("vouch-{socket}"));
        config += &format!(
            "[listener.{socket}]
protocol = \"{protocol}\"
socket = \"{}\"
directory = [\"{directory}\"]
default-domain = \"example.org\"
{more}
",
            path.display()
        );
        if directory == "lmtp" {
            config +=
                &format!("fields = {{ uid = \"8\", gid = \"8\", home = \"{home}/{{domain}}/{{local}}\" }}\n");
        }
        paths.push(path);
    }
    let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
    Vouch::serve(scratch, &config, &paths)
}

/// Those that are played to this Dovecot.
fn dialogs(language: Language) -> Vec<Dialog> {
    let mut dialogs: Vec<Dialog> = Vec::new();
    for line in DIALOGS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix("== ") {
            dialogs.push(Dialog {
                name: name.to_owned(),
                ..Dialog::default()
            });
            continue;
        }
        let dialog = dialogs.last_mut().expect("a dialog begins with its name");
        if let Some(ours) = line.strip_prefix("ours ") {
            dialog.ours.push(unescape(ours));
        } else if let Some(why) = line.strip_prefix("why ") {
            dialog.why = why.trim().to_owned();
        } else {
            dialog.steps.push(line.to_owned());
        }
    }
    let other = if language.is_new() { "[2.3]" } else { "[2.4]" };
    dialogs.retain(|dialog| !dialog.name.ends_with(other));
    dialogs
}

/// Plays a dialog; what was heard, line by line.
fn play(dialog: &Dialog, socket: impl Fn(&str) -> PathBuf) -> Vec<String> {
    let mut connections: BTreeMap<&str, Connection> = BTreeMap::new();
    let (mut heard, mut cookie) = (Vec::new(), String::new());
    for step in &dialog.steps {
        let (name, step) = step.split_once(' ').unwrap();
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "opens" => {
                connections.insert(name, Connection::open(&socket(kind)));
            }
            "hello" => {
                let mut connection = Connection::open(&socket(kind));
                let trusted = matches!(kind, "userdb" | "master");
                // Dovecot 2.4 greets nobody who has not said this.
                connection.say(&format!("VERSION\t1\t{rest}"));
                if !trusted {
                    connection.say("CPID\t4711");
                }
                let last = if trusted { "SPID\t" } else { "DONE" };
                loop {
                    let line = connection.hear();
                    assert!(!line.starts_with('('), "{}: no greeting: {line}", dialog.name);
                    if let Some(said) = line.strip_prefix("COOKIE\t").filter(|_| kind == "login") {
                        cookie = said.to_owned();
                    }
                    if line.starts_with(last) {
                        break;
                    }
                }
                connections.insert(name, connection);
            }
            ">" => {
                let line = filled(rest, &cookie);
                connections.get_mut(name).expect("it is connected").say(&line);
            }
            "<" => {
                let connection = connections.get_mut(name).expect("it is connected");
                for _ in 0..rest.parse().unwrap_or(1) {
                    heard.push(normal(&connection.hear()));
                }
            }
            "leaves" => drop(connections.remove(name)),
            _ => panic!("{}: {step}?", dialog.name),
        }
    }
    heard
}

struct Connection(BufReader<UnixStream>);

impl Connection {
    fn open(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn say(&mut self, line: &str) {
        // A client that was disconnected learns it when it reads.
        let _ = self.0.get_mut().write_all(format!("{line}\n").as_bytes());
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => "(end)".to_owned(),
            Ok(_) => line.trim_end_matches('\n').to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => "(end)".to_owned(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => "(nothing)".to_owned(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A line with what differs by its nature left out, and the fields of a user in one order: it means nothing.
fn normal(line: &str) -> String {
    let mut fields: Vec<_> = line.split('\t').map(str::to_owned).collect();
    let word = fields[0].clone();
    if matches!(&*word, "SPID" | "CUID" | "COOKIE") {
        return format!("{word}\t{{any}}");
    }
    if word == "VERSION" {
        return format!("VERSION\t{}\t{{any}}", fields[1]);
    }
    if word == "USER" {
        fields.retain(|field| !field.is_empty());
        for field in &mut fields {
            if field.starts_with("auth_token=") {
                "auth_token={any}".clone_into(field);
            }
        }
        if let Some(told) = fields.get_mut(3..) {
            told.sort();
        }
    }
    fields.join("\t")
}

/// The line with its places filled in.
fn filled(line: &str, cookie: &str) -> String {
    let mut line = line.to_owned();
    while let Some((before, rest)) = line.split_once('{') {
        let (place, after) = rest.split_once('}').unwrap();
        let (word, value) = place.split_once(' ').unwrap_or((place, ""));
        let value = match word {
            "cookie" => cookie.to_owned(),
            "pid" => std::process::id().to_string(),
            "b64" => BASE64_STANDARD.encode(unescape(value)),
            "plain" => {
                let (user, password) = value.split_once(' ').unwrap();
                plain(user, password.as_bytes())
            }
            repeated => {
                let (what, count) = repeated.split_once('*').unwrap();
                what.repeat(count.parse().unwrap())
            }
        };
        line = [before, &value, after].concat();
    }
    unescape(&line)
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t")
        .replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\0", "\0")
        .replace("\\x01", "\u{1}")
}
