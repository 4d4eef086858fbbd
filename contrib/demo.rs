//! A mail server in a nutshell with `vouch` in front of it, all on this machine.
//!
//! `cargo run --profile demo --example demo` starts a small IMAP, SMTP and LMTP server
//! and the daemon, asks one question of each kind, shows the bytes that went to and fro
//! and what the daemon logged, prints the lines that ask them again, and serves until
//! Ctrl-C.
//! The program also acts as `vouch`: `demo probe`, `demo status` and all other
//! commands work as with `vouch`, which need not be built. `demo ask SOCKET` sends its
//! input there and prints the answer, where there is no `socat`.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use base64::Engine as _;
use nix::sys::signal::{Signal, raise};
use remote::{Account, Authority, Options, Protocol, Security, Server, State};
use tokio::runtime::Runtime;

use shared::{Failed, PATIENCE, end, exchange, say};

#[path = "demo/shared.rs"]
mod shared;

/// Tells a child that it is to end when its input does.
const HELD: &str = "VOUCH_DEMO_HELD";

/// What the demo's answers mean to the software that asks.
const MEANINGS: &str = "\
What the answers mean

   DUNNO             Postfix goes on: the recipient exists, or no directory serves its domain
   550               Postfix rejects the recipient, as the mail server does
   DEFER_IF_PERMIT   there is no answer now: Postfix asks the sender to try again later
   OK                the login is good
   FAIL              the login is refused; with \"temp\" there is no answer now

   Logins use Dovecot's auth protocol, whose server greets with the lines from VERSION to DONE.

";

fn main() -> ExitCode {
    if env::var_os(HELD).is_some() {
        thread::spawn(end_with_input);
    }
    let mut arguments = env::args_os().skip(1);
    let done = match (arguments.next(), arguments.next()) {
        (None, _) => demo(),
        (Some(word), Some(socket)) if word == "ask" => pass_on(Path::new(&socket)),
        _ => return vouch::cli::main(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The accounts of the small server: one of each kind that matters.
fn accounts() -> Vec<Account> {
    vec![
        Account::new("jane@example.org", "s3cret"),
        Account::new("bob@example.org", "pass word"),
        Account::new("closed@example.org", "s3cret").state(State::Disabled),
        Account::new("full@example.org", "s3cret").state(State::Full),
        Account::new("busy@example.org", "s3cret").state(State::TempFail),
    ]
}

fn start(protocol: Protocol, security: Security) -> Result<Server, Failed> {
    let mut options = Options::new(protocol);
    options.accounts = accounts();
    options.security = security;
    Ok(Server::start(options)?)
}

fn demo() -> Result<(), Failed> {
    let runtime = Runtime::new()?;
    let _inside = runtime.enter();
    let folder = tempfile::Builder::new().prefix("vouch-").tempdir()?;
    let authority = Authority::new()?;
    let ca_file = folder.path().join("ca.pem");
    authority.write_pem(&ca_file)?;
    let implicit = Security::Implicit(authority.issue(&["localhost"])?);
    let starttls = Security::StartTls(authority.issue(&["localhost"])?);
    let imap = start(Protocol::Imap, implicit)?;
    let smtp = start(Protocol::Smtp, starttls)?;
    let lmtp = start(Protocol::Lmtp, Security::None)?;

    let text = configuration(folder.path(), &ca_file, [imap.port(), smtp.port(), lmtp.port()]);
    let file = folder.path().join("vouch.toml");
    std::fs::write(&file, &text)?;
    let ourselves = env::current_exe()?;
    let (daemon, log) = Daemon::start(&ourselves, &file)?;
    say(&format!(
        "A small mail server and vouch in front of it are running on this machine.\n\n{text}\n{MEANINGS}"
    ))?;
    Demo {
        folder: folder.path(),
        ourselves: &ourselves,
        log: &log,
    }
    .show()?;
    let program = quoted(&ourselves);
    let file = quoted(&file);
    say(&format!(
        "The same program is vouch as well:\n\n   {program} probe recipient -c {file} jane@example.org\n   \
         {program} status -c {file}\n   {program} --help\n\nServing until Ctrl-C; what is logged comes here.\n\n"
    ))?;
    thread::spawn(move || {
        log.0
            .iter()
            .try_for_each(|line| say(&format!("   log: {line}\n")))
    });
    runtime.block_on(end())?;
    daemon.stop()
}

fn configuration(folder: &Path, ca_file: &Path, [imap, smtp, lmtp]: [u16; 3]) -> String {
    let (folder, ca_file) = (folder.display(), ca_file.display());
    // Root would else become the user vouch, who may not write to the folder.
    let service = if nix::unistd::geteuid().is_root() {
        "\n[service]\nuser = \"root\"\n"
    } else {
        ""
    };
    format!(
        r#"[directory."mailboxes"]
type = "lmtp"
address = "127.0.0.1"
port = {lmtp}
lookup.domains = ["example.org"]

[directory."imap"]
type = "imap"
address = "localhost"
port = {imap}
tls = {{ implicit = true, ca-file = "{ca_file}" }}

[directory."smtp"]
type = "smtp"
address = "localhost"
port = {smtp}
tls = {{ starttls = "required", ca-file = "{ca_file}" }}

[listener."recipients"]
protocol = "policy"
socket = "{folder}/policy"
directory = ["mailboxes"]

[listener."imap-logins"]
protocol = "auth"
socket = "{folder}/imap-logins"
directory = ["imap"]

[listener."smtp-logins"]
protocol = "auth"
socket = "{folder}/smtp-logins"
directory = ["smtp"]

[control]
socket = "{folder}/control"
{service}"#
    )
}

/// The daemon, as a process of its own: this program, told to serve.
struct Daemon(Child);

/// The lines that it logs.
struct Log(Receiver<String>);

impl Daemon {
    /// Starts it, and waits until it is ready.
    fn start(program: &Path, configuration: &Path) -> Result<(Self, Log), Failed> {
        let mut child = Command::new(program)
            .args([OsStr::new("serve"), OsStr::new("-c"), configuration.as_os_str()])
            .env(HELD, "yes")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // What the terminal sends is for the demo, which ends it.
            .process_group(0)
            .spawn()?;
        let output = child.stderr.take().ok_or("its log cannot be read")?;
        let log = Log::of(output);
        log.next_with(" ready ")?;
        Ok((Self(child), log))
    }

    /// Has it answer what is asked, and end.
    fn stop(mut self) -> Result<(), Failed> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the daemon ended with {status}").into())
        }
    }
}

impl Log {
    fn of(output: ChildStderr) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody may want it any more; it is read on, lest the daemon waits for that.
                let _ = sender.send(line);
            }
        });
        Self(receiver)
    }

    /// The next line that holds `part`.
    fn next_with(&self, part: &str) -> Result<String, Failed> {
        let mut said = String::new();
        while let Ok(line) = self.0.recv_timeout(PATIENCE) {
            if line.contains(part) {
                return Ok(line);
            }
            said = said + &line + "\n";
        }
        Err(format!("the daemon said nothing with {part:?}, but\n{said}").into())
    }
}

/// In the daemon: ends it when whoever holds its input is gone, however that came.
fn end_with_input() {
    let _ = io::copy(&mut stdin().lock(), &mut io::sink());
    let _ = raise(Signal::SIGTERM);
}

/// What asks, and shows what it asked.
struct Demo<'a> {
    folder: &'a Path,
    ourselves: &'a Path,
    log: &'a Log,
}

impl Demo<'_> {
    /// Asks each kind of question once and shows how to ask it again.
    fn show(&self) -> Result<(), Failed> {
        for (about, expected) in [
            ("jane@example.org", "she exists"),
            ("nobody@example.org", "no such user"),
            (
                "busy@example.org", "the server cannot say just now: that is never a no",
            ),
            ("jane@example.com", "no directory serves this domain"),
        ] {
            let question =
                format!("request=smtpd_access_policy\\nprotocol_state=RCPT\\nrecipient={about}\\n\\n");
            self.ask(&format!("Recipient {about}: {expected}"), &question, "policy")?;
        }
        for (socket, kind) in [
            ("imap-logins", "IMAP over TLS"),
            ("smtp-logins", "SMTP AUTH after STARTTLS"),
        ] {
            for (password, expected) in [("s3cret", "right"), ("wrong", "wrong")] {
                let plain = base64::engine::general_purpose::STANDARD
                    .encode(format!("\0jane@example.org\0{password}"));
                let question =
                    format!("VERSION\\t1\\t2\\nCPID\\t1\\nAUTH\\t1\\tPLAIN\\tservice=imap\\tresp={plain}\\n");
                self.ask(
                    &format!("Login jane@example.org by {kind}: the {expected} password"),
                    &question,
                    socket,
                )?;
            }
        }
        Ok(())
    }

    /// Sends a question as `printf` would, shows it with its answer and the line that was
    /// logged, and prints the line that asks it again.
    fn ask(&self, title: &str, question: &str, socket: &str) -> Result<(), Failed> {
        let socket = self.folder.join(socket);
        let bytes = question.replace("\\n", "\n").replace("\\t", "\t");
        let mut answer = Vec::new();
        exchange(&socket, &mut bytes.as_bytes(), &mut answer)?;
        let mut text = format!("== {title}\n");
        for line in bytes.lines() {
            text.push_str(&format!("   > {}\n", line.replace('\t', "<TAB>")));
        }
        for line in String::from_utf8_lossy(&answer).lines() {
            text.push_str(&format!("   < {}\n", line.replace('\t', "<TAB>")));
        }
        let logged = self.log.next_with(" verdict=")?;
        let by = if has_socat() {
            format!("socat -t 30 - UNIX-CONNECT:{}", quoted(&socket))
        } else {
            format!("{} ask {}", quoted(self.ourselves), quoted(&socket))
        };
        text.push_str(&format!("   log: {logged}\n   printf '{question}' | {by}\n\n"));
        Ok(say(&text)?)
    }
}

/// `socat`, as far as the demo needs it.
fn pass_on(socket: &Path) -> Result<(), Failed> {
    Ok(exchange(socket, &mut stdin().lock(), &mut stdout().lock())?)
}

fn has_socat() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join("socat").is_file())
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
