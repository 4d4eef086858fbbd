//! A fleet, all on this machine: three edges with `vouch`, the store that they share, and the mail server that they ask.
//!
//! `cargo run --profile demo --example fleet` starts them, shows what they do for each other, what becomes of it when the
//! mail server or the store hangs, each time with the command, and serves until Ctrl-C. In its folder the program is
//! `./vouch`, with all commands, and `./ask EDGE ADDRESS`, which asks an edge as its Postfix would.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use remote::{Account, Options, Protocol, Server};
use tokio::runtime::Runtime;

use member::{Member, within};
use scratch::Scratch;
use shared::{Failed, end, exchange, say};

#[path = "demo/member.rs"]
mod member;
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the tests need more of it"
)]
#[path = "../tests/support/scratch.rs"]
mod scratch;
#[path = "demo/shared.rs"]
mod shared;

/// The argument that makes this program the mail server.
const MAIL_SERVER: &str = "mail-server";

const EDGES: [&str; 3] = ["a", "b", "c"];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().collect();
    let called = Path::new(arguments.first().map_or("", String::as_str)).file_name();
    let done = match &arguments[..] {
        [_] => demo(),
        [_, edge, address] if called.is_some_and(|name| name == "ask") => ask(edge, address),
        [_, role] if role == MAIL_SERVER => mail_server(),
        _ => return vouch::cli::main(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), Failed> {
    let store = ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| program(name));
    let store = store.ok_or(
        "redis-server is not installed. It is the store that the edges share: apt-get install redis-server \
         (or valkey-server), and run this again",
    )?;
    let runtime = Runtime::new()?;
    let fleet = Fleet::start(&store)?;
    fleet.tell()?;
    runtime.block_on(end())?;
    Ok(())
}

/// The program of that name in the path.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// All that runs. What is first ends first.
struct Fleet {
    edges: Vec<Member>,
    /// Where each edge has its status page.
    pages: Vec<u16>,
    mail_server: Member,
    store: Member,
    scratch: Scratch,
}

impl Fleet {
    fn start(store: &Path) -> Result<Self, Failed> {
        let (scratch, ourselves) = (Scratch::new(), env::current_exe()?);
        let folder = scratch.path("store.sock");
        let folder = folder.parent().unwrap_or(&folder);
        symlink(&ourselves, scratch.path("vouch"))?;
        symlink(&ourselves, scratch.path("ask"))?;
        let config = format!(
            "port 0\nunixsocket {0}/store.sock\nunixsocketperm 700\nsave \"\"\nappendonly no\ndir {0}\n",
            folder.display()
        );
        let config = scratch.write("store.conf", config);
        let store = Member::start(&scratch, "store", Command::new(store).arg(config))?;
        within(|| Ok(UnixStream::connect(scratch.path("store.sock")).ok()))?;
        let mail_server = Member::start(&scratch, "mail-server", Command::new(&ourselves).arg(MAIL_SERVER))?;
        let port = mail_server.printed("port ")?;
        let made = Command::new(&ourselves)
            .args(["fleet", "key"])
            .arg(scratch.path("fleet.key"))
            .output()?;
        if !made.status.success() {
            return Err(format!("no key: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let (mut edges, mut pages) = (Vec::new(), Vec::new());
        for edge in EDGES {
            let page = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let config = configuration(folder, edge, port.trim(), page);
            let file = scratch.write(&format!("{edge}.toml"), config);
            let mut command = Command::new(&ourselves);
            command
                .args(["serve", "-c"])
                .arg(file)
                .env_remove("JOURNAL_STREAM");
            edges.push(Member::start(&scratch, edge, &mut command)?);
            pages.push(page);
        }
        for edge in &edges {
            edge.printed(" ready ")?;
            edge.printed("the store of the fleet is used")?;
        }
        Ok(Self {
            edges,
            pages,
            mail_server,
            store,
            scratch,
        })
    }
}

/// The configuration of an edge: the same on all but for its paths, as on hosts of their own it would be the same at all.
fn configuration(folder: &Path, edge: &str, mail_server: &str, page: u16) -> String {
    let folder = folder.display();
    // Root would else become the user vouch, who may not write to the folder.
    let service = if nix::unistd::geteuid().is_root() {
        "\n[service]\nuser = \"root\"\n"
    } else {
        ""
    };
    format!(
        r#"[fleet]
store = "unix:{folder}/store.sock"
key-file = "{folder}/fleet.key"
patience = "500ms"  # for a machine on which all of this runs; the default, 5ms, is for mail

[directory."mailboxes"]
type = "lmtp"
address = "127.0.0.1"
port = {mail_server}
lookup.domains = ["example.org"]

[listener."recipients"]
protocol = "policy"
socket = "{folder}/{edge}.policy"
directory = ["mailboxes"]
deadline = "3s"

[metrics]
listen = "127.0.0.1:{page}"

[control]
socket = "{folder}/{edge}.control"
{service}"#
    )
}

impl Fleet {
    /// Shows what the edges do for each other, and where to try it.
    fn tell(&self) -> Result<(), Failed> {
        let folder = self.scratch.path("store.sock");
        let folder = folder.parent().unwrap_or(&folder).display();
        let config = fs::read_to_string(self.scratch.path("a.toml"))?;
        let (mail_server, store) = (self.mail_server.id(), self.store.id());
        say(&format!(
            "Three edges with vouch, called a, b and c, the store that they share, and the mail server that they ask\n\
             are running on this machine. This is a.toml; b.toml and c.toml differ in paths and ports:\n\n{config}\n\
             ./ask EDGE ADDRESS asks an edge as its Postfix would. It shows the answer, and of the line in the log where\n\
             it is from: source=probe is the mail server, source=fleet is another edge, by the store.\n\n"
        ))?;

        self.part("a asks the mail server; b has it from a")?;
        self.run("./ask a jane@example.org")?;
        self.stored(1)?;
        self.run("./ask b jane@example.org")?;

        self.part(
            "The mail server hangs: c accepts jane, whom it has never asked about; of bob nobody knows yet",
        )?;
        self.run(&format!("kill -STOP {mail_server}    # the mail server"))?;
        self.run("./ask c jane@example.org")?;
        self.run("./ask c bob@example.org")?;
        self.run(&format!("kill -CONT {mail_server}"))?;

        self.part("jane is purged at a: b has forgotten her as well, and asks the mail server again")?;
        self.run("./vouch cache purge jane@example.org -c a.toml")?;
        self.purged("b")?;
        self.run("./ask b jane@example.org")?;
        self.run("grep 'order of another edge' b.log")?;

        self.part(
            "The store hangs: a waits for it no longer than `patience`, and after three times not at all",
        )?;
        self.run(&format!("kill -STOP {store}    # the store"))?;
        self.run("./ask a bob@example.org")?;
        self.noticed("not used")?;
        self.run("./ask a user1@example.org")?;
        self.run("./vouch status -c a.toml | grep -A1 'fleet:'")?;

        self.part("The store is back: what a has found meanwhile has waited, and b has it")?;
        self.run(&format!("kill -CONT {store}"))?;
        self.noticed("used again")?;
        // Of three recipients, and the record of what was purged.
        self.stored(4)?;
        self.run("./ask b user1@example.org")?;
        self.run("grep 'store of the fleet' a.log")?;

        let pages = EDGES.iter().zip(&self.pages);
        let pages: String = pages
            .map(|(edge, port)| format!("   {edge}: http://127.0.0.1:{port}/\n"))
            .collect();
        say(&format!(
            "Type any of it in another terminal, in the folder of all this:\n\n   cd {folder}\n\n\
             jane, bob, and user1 to user99 have a mailbox, nobody else. The status page of each edge:\n\n{pages}\n\
             How to set it up on hosts of your own: docs/fleet.md\n\nServing until Ctrl-C.\n"
        ))?;
        Ok(())
    }

    /// Waits until this is the last that each edge has logged of the store, which it looks after also without a question.
    fn noticed(&self, state: &str) -> Result<(), Failed> {
        self.edges.iter().try_for_each(|edge| {
            within(|| {
                let log = fs::read_to_string(&edge.log)?;
                let mut lines = log.lines().rev();
                let last = lines.find_map(|line| line.split_once("the store of the fleet is "));
                Ok(last.filter(|(_, now)| now.starts_with(state)).map(drop))
            })
        })
    }

    /// Waits until an edge has heard of a purge at another one, which takes it a second at the most.
    fn purged(&self, edge: &str) -> Result<(), Failed> {
        let log = self.scratch.path(&format!("{edge}.log"));
        within(|| {
            Ok(fs::read_to_string(&log)?
                .contains("order of another edge")
                .then_some(()))
        })
    }

    fn part(&self, title: &str) -> io::Result<()> {
        say(&format!("== {title}\n\n"))
    }

    /// Shows a line for the shell, and what it prints.
    fn run(&self, line: &str) -> Result<(), Failed> {
        say(&format!("   $ {line}\n"))?;
        let mut shell = Command::new("sh");
        let ran = shell
            .args(["-c", &format!("{line} 2>&1")])
            .current_dir(self.scratch.path(""))
            .output()?;
        for printed in String::from_utf8_lossy(&ran.stdout).lines() {
            say(&format!("   {printed}\n"))?;
        }
        if !ran.status.success() {
            return Err(format!("{line}: {}", ran.status).into());
        }
        Ok(say("\n")?)
    }

    /// Waits until the store has so many values: an edge does not wait for what it tells the others.
    fn stored(&self, values: usize) -> Result<(), Failed> {
        within(|| {
            let mut store = UnixStream::connect(self.scratch.path("store.sock"))?;
            store.write_all(b"DBSIZE\r\n")?;
            store.shutdown(std::net::Shutdown::Write)?;
            let mut size = String::new();
            store.read_to_string(&mut size)?;
            let size = size.trim().trim_start_matches(':').parse().unwrap_or(0);
            Ok((size >= values).then_some(()))
        })
    }
}

/// The mail server, whose port is printed. It serves until it is killed.
fn mail_server() -> Result<(), Failed> {
    Runtime::new()?.block_on(async {
        let names = ["jane", "bob"].map(str::to_owned).into_iter();
        let names = names.chain((1..100).map(|number| format!("user{number}")));
        let mut options = Options::new(Protocol::Lmtp);
        options.accounts = names
            .map(|name| Account::new(&format!("{name}@example.org"), "s3cret"))
            .collect();
        let server = Server::start(options)?;
        say(&format!("port {}\n", server.port()))?;
        end().await?;
        Ok(())
    })
}

/// Asks an edge, in the folder of the fleet, as its Postfix would; shows the answer, and what it has logged.
fn ask(edge: &str, address: &str) -> Result<(), Failed> {
    let log = PathBuf::from(format!("{edge}.log"));
    let before = fs::read(&log)
        .map_err(|_| "ask a, b or c, in the folder that the demo has printed")?
        .len();
    let question = format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={address}\n\n");
    let mut answer = Vec::new();
    exchange(
        Path::new(&format!("{edge}.policy")),
        &mut question.as_bytes(),
        &mut answer,
    )?;
    say(&format!("{}\n", String::from_utf8_lossy(&answer).trim_end()))?;
    let about = format!(" about={address} ");
    let logged = within(|| {
        let logged = fs::read(&log)?;
        let logged = String::from_utf8_lossy(logged.get(before..).unwrap_or_default()).into_owned();
        let line = logged
            .lines()
            .find(|line| line.contains(&about) && line.contains(" verdict="));
        Ok(line.map(str::to_owned))
    })?;
    let (_, logged) = logged.split_once(&about).unwrap_or_default();
    let (found, rest) = logged.split_once(" client=").unwrap_or((logged, ""));
    let detail = match rest.split_once(" detail=") {
        Some((_, detail)) if detail != "-" => format!(" detail={detail}"),
        _ => String::new(),
    };
    Ok(say(&format!("{edge}.log: … {found} …{detail}\n"))?)
}
