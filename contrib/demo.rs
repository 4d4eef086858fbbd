//! A mail server in a nutshell with `vouch` in front of it, all on this machine.
//!
//! `cargo run --release --example demo` starts a small IMAP, SMTP and LMTP server
//! and the daemon, asks one question of each kind, shows the bytes that went to
//! and fro, prints the `socat` lines that ask them again, and serves until Ctrl-C.

use std::error::Error;
use std::io::{Read, Write, stdout};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use remote::{Account, Authority, Options, Protocol, Security, Server, State};
use vouch::config::read;
use vouch::daemon;

type Failed = Box<dyn Error + Send + Sync>;

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

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let folder = tempfile::Builder::new().prefix("vouch-").tempdir()?;
    let authority = Authority::new()?;
    let ca_file = folder.path().join("ca.pem");
    authority.write_pem(&ca_file)?;
    let imap = start(
        Protocol::Imap,
        Security::Implicit(authority.issue(&["localhost"])?),
    )?;
    let smtp = start(
        Protocol::Smtp,
        Security::StartTls(authority.issue(&["localhost"])?),
    )?;
    let lmtp = start(Protocol::Lmtp, Security::None)?;

    let text = configuration(folder.path(), &ca_file, [imap.port(), smtp.port(), lmtp.port()]);
    let file = folder.path().join("vouch.toml");
    std::fs::write(&file, &text)?;
    let (config, _) = read::parse(&file, &text).map_err(|error| error.to_string())?;
    let prepared = daemon::bind(&config, &daemon::ServiceUser::ours())?;
    let daemon = tokio::spawn(async move { daemon::run(&config, &[], prepared).await });
    let sockets = ["policy", "imap-logins", "smtp-logins"].map(|name| folder.path().join(name));
    for socket in &sockets {
        while !socket.exists() {
            if daemon.is_finished() {
                return Err(daemon
                    .await?
                    .err()
                    .map_or("the daemon ended".into(), |error| error.to_string())
                    .into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    let shown = text.clone();
    let asked = tokio::task::spawn_blocking(move || show(&shown, &sockets));
    asked.await??;
    say(&format!(
        "Serving until Ctrl-C. The configuration: {}\nAsk by hand: cargo run --release -- probe recipient -c {} jane@example.org\n",
        file.display(),
        file.display()
    ))?;
    // SIGINT reaches the daemon, which drains and removes its sockets.
    daemon.await??;
    Ok(())
}

fn configuration(folder: &Path, ca_file: &Path, [imap, smtp, lmtp]: [u16; 3]) -> String {
    let (folder, ca_file) = (folder.display(), ca_file.display());
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
"#
    )
}

/// Asks each kind of question once and shows how to ask it again.
fn show(configuration: &str, sockets: &[std::path::PathBuf; 3]) -> Result<(), Failed> {
    let [policy, imap, smtp] = sockets;
    say(&format!(
        "A small mail server and vouch in front of it are running on this machine.\n\n{configuration}\n"
    ))?;
    for (about, expected) in [
        ("jane@example.org", "she exists"),
        ("nobody@example.org", "no such user"),
        (
            "busy@example.org", "the server cannot say just now: that is never a no",
        ),
        ("jane@example.com", "not a domain of ours, so no opinion"),
    ] {
        let question = format!("request=smtpd_access_policy\\nprotocol_state=RCPT\\nrecipient={about}\\n\\n");
        ask(&format!("Recipient {about}: {expected}"), &question, policy)?;
    }
    for (socket, kind) in [(imap, "IMAP over TLS"), (smtp, "SMTP AUTH after STARTTLS")] {
        for (password, expected) in [("s3cret", "right"), ("wrong", "wrong")] {
            let plain =
                base64::engine::general_purpose::STANDARD.encode(format!("\0jane@example.org\0{password}"));
            let question =
                format!("VERSION\\t1\\t2\\nCPID\\t1\\nAUTH\\t1\\tPLAIN\\tservice=imap\\tresp={plain}\\n");
            ask(
                &format!("Login jane@example.org by {kind}: the {expected} password"),
                &question,
                socket,
            )?;
        }
    }
    Ok(())
}

/// Sends a question as `printf` would, shows it with its answer, and prints the
/// line that asks it again.
fn ask(title: &str, question: &str, socket: &Path) -> Result<(), Failed> {
    let bytes = question.replace("\\n", "\n").replace("\\t", "\t");
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(bytes.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let mut text = format!("== {title}\n");
    for line in bytes.lines() {
        text.push_str(&format!("   > {}\n", line.replace('\t', "<TAB>")));
    }
    for line in answer.lines() {
        text.push_str(&format!("   < {}\n", line.replace('\t', "<TAB>")));
    }
    text.push_str(&format!(
        "   printf '{question}' | socat -t 30 - UNIX-CONNECT:{}\n\n",
        socket.display()
    ));
    Ok(say(&text)?)
}

fn say(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
