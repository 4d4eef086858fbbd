//! `cache.file`: what was found survives a restart and a crash, and nothing that becomes of the file keeps the daemon
//! from starting or makes an answer wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/asker.rs"]
mod asker;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use asker::{Answer, Client, Rcpt, meaning};
use remote::{Account, Options, Protocol, Server};
use support::{Scratch, Vouch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

const JANE: &str = "jane@example.org";
const NOBODY: &str = "nobody@example.org";

/// What was found is on disk after a second; this is later, on a busy machine too.
const COMMITTED: Duration = Duration::from_millis(2500);

/// What the log says before the number of recipients that were read.
const READ: &str = ": read directory=remote recipients=";

const PATIENCE: Duration = Duration::from_secs(10);

/// A remote, and a daemon now and then.
struct Stage {
    scratch: Scratch,
    remote: Server,
    config: String,
}

impl Stage {
    fn new(accounts: impl IntoIterator<Item = String>) -> Self {
        let mut options = Options::new(Protocol::Lmtp).account(Account::new(JANE, "x"));
        options
            .accounts
            .extend(accounts.into_iter().map(|name| Account::new(&name, "x")));
        let (scratch, remote) = (Scratch::new(), Server::start(options).unwrap());
        let config = config(&scratch, &scratch.path("cache.redb"), remote.port());
        Self {
            scratch,
            remote,
            config,
        }
    }

    fn start(&self) -> Vouch {
        Vouch::serve(&self.scratch, &self.config, &[&self.listener()])
    }

    fn listener(&self) -> PathBuf {
        self.scratch.path("policy")
    }

    fn file(&self) -> PathBuf {
        self.scratch.path("cache.redb")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scratch.path("vouch.log")).unwrap()
    }

    /// How many recipients the daemon that runs has read from its file.
    async fn read(&self) -> usize {
        logged(&self.scratch, READ).await
    }

    async fn ask(&self, recipient: &str) -> Answer {
        let mut client = Client::connect(&self.listener()).await;
        meaning(&client.recipient(&Rcpt::to(recipient)).await)
    }

    /// Files that were found corrupt.
    fn set_aside(&self) -> usize {
        let entries = fs::read_dir(self.scratch.path("")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("corrupt")).count()
    }
}

fn config(scratch: &Scratch, file: &Path, port: u16) -> String {
    format!(
        "[directory.remote]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {port}\n\
         lookup.domains = [\"example.org\"]\ncache.file = \"{}\"\ncache.ttl.negative = \"1h\"\n\
         [listener.policy]\nprotocol = \"policy\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n\
         deadline = \"3s\"\nlimits.rcpt = \"unlimited\"\nlimits.rcpt-errors = \"unlimited\"\n",
        file.display(),
        scratch.path("policy").display()
    )
}

/// The number behind `part` in the log, once it is there.
async fn logged(scratch: &Scratch, part: &str) -> usize {
    let looking = async {
        loop {
            let log = fs::read_to_string(scratch.path("vouch.log")).unwrap();
            if let Some((_, rest)) = log.split_once(part) {
                let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
                return number.parse().unwrap();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let found = timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("no {part:?} in the log"))
}

/// What is remembered is answered without the remote, and what is not is deferred.
async fn remembers(stage: &mut Stage) {
    stage.remote.stop().await;
    assert_eq!(stage.read().await, 2);
    assert_eq!(stage.ask(JANE).await, Answer::Yes);
    assert_eq!(stage.ask(NOBODY).await, Answer::No);
    assert_eq!(stage.ask("other@example.org").await, Answer::Later);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_survives_sigterm() {
    let mut stage = Stage::new([]);
    let vouch = stage.start();
    assert_eq!(stage.read().await, 0);
    assert_eq!(stage.ask(JANE).await, Answer::Yes);
    assert_eq!(stage.ask(NOBODY).await, Answer::No);
    assert!(vouch.stop().unwrap().success());
    let vouch = stage.start();
    remembers(&mut stage).await;
    assert!(vouch.stop().unwrap().success());
}

// Fills BATCH, COMMIT.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_survives_sigkill_a_little_later() {
    let mut stage = Stage::new([]);
    let vouch = stage.start();
    assert_eq!(stage.ask(JANE).await, Answer::Yes);
    assert_eq!(stage.ask(NOBODY).await, Answer::No);
    sleep(COMMITTED).await;
    vouch.kill();
    let vouch = stage.start();
    remembers(&mut stage).await;
    assert!(vouch.stop().unwrap().success());
    assert_eq!(stage.set_aside(), 0);
}

/// Asks about one recipient after the other until the daemon is killed. Those with an even number exist.
async fn press(listener: PathBuf, first: usize) -> usize {
    let mut stream = UnixStream::connect(listener).await.unwrap();
    let mut answered = 0;
    for number in (first..).step_by(7) {
        let recipient = format!("user{}@example.org", number % 1000);
        if stream.write_all(&Rcpt::to(&recipient).bytes()).await.is_err() {
            break;
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n\n") {
            match stream.read_buf(&mut answer).await {
                Ok(0) | Err(_) => return answered,
                Ok(_) => {}
            }
        }
        let answer = String::from_utf8(answer).unwrap();
        let answer = meaning(answer.trim().strip_prefix("action=").unwrap());
        let right = [Answer::Yes, Answer::No][number % 1000 % 2];
        assert_eq!(answer, right, "{recipient}");
        answered += 1;
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_under_load_harms_nothing() {
    let stage = Stage::new(
        (0..1000)
            .step_by(2)
            .map(|number| format!("user{number}@example.org")),
    );
    let (mut answered, mut most) = (0, 0);
    for round in 0..100 {
        let vouch = stage.start();
        let clients: Vec<_> = (0..8)
            .map(|client| tokio::spawn(press(stage.listener(), round * 31 + client * 17)))
            .collect();
        // Into the reading at the start, and around the first commit.
        sleep(Duration::from_millis(match round % 3 {
            0 => 950 + round as u64 * 6,
            _ => round as u64 * 2,
        }))
        .await;
        let log = stage.log();
        vouch.kill();
        for client in clients {
            answered += client.await.unwrap();
        }
        assert!(!log.contains("ERROR"), "round {round}:\n{log}");
        assert_eq!(stage.set_aside(), 0, "round {round}:\n{log}");
        if let Some((_, rest)) = log.split_once(READ) {
            let count: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let count = count.parse::<usize>().unwrap();
            assert!(count >= most, "round {round}: {count} of {most} are left");
            most = count;
        }
    }
    assert!(
        answered > 1000 && most > 500,
        "{answered} answers, {most} remembered"
    );
    let vouch = stage.start();
    assert!(stage.read().await >= most);
    assert!(vouch.stop().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_file_is_set_aside_with_an_error() {
    let mut stage = Stage::new([]);
    fs::write(stage.file(), "this was a file once".repeat(1000)).unwrap();
    let vouch = stage.start();
    assert_eq!(stage.ask(JANE).await, Answer::Yes);
    assert_eq!(stage.ask(NOBODY).await, Answer::No);
    assert_eq!(stage.read().await, 0);
    let log = stage.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(
        errors.len() == 1 && errors[0].contains("it is corrupt") && errors[0].contains("set aside as"),
        "{log}"
    );
    assert_eq!(stage.set_aside(), 1);
    assert!(vouch.stop().unwrap().success());
    let vouch = stage.start();
    remembers(&mut stage).await;
    assert!(vouch.stop().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_that_of_one_daemon_and_of_no_other_command() {
    let mut stage = Stage::new([]);
    let toml = stage.scratch.write("vouch.toml", &stage.config);
    for arguments in [&["check"][..], &["probe", "recipient", JANE]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
        let output = command.args(arguments).arg("-c").arg(&toml).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(!stage.file().exists(), "{arguments:?}");
    }
    let vouch = stage.start();
    assert_eq!(stage.ask(JANE).await, Answer::Yes);
    assert_eq!(stage.ask(NOBODY).await, Answer::No);
    let beside = Scratch::new();
    let listener = beside.path("policy");
    let second = Vouch::serve(
        &beside,
        &config(&beside, &stage.file(), stage.remote.port()),
        &[&listener],
    );
    let mut client = Client::connect(&listener).await;
    assert_eq!(meaning(&client.recipient(&Rcpt::to(JANE)).await), Answer::Yes);
    let end = tokio::time::Instant::now() + PATIENCE;
    let in_use = || {
        fs::read_to_string(beside.path("vouch.log"))
            .unwrap()
            .contains("it is in use by another vouch")
    };
    while !in_use() {
        assert!(tokio::time::Instant::now() < end);
        sleep(Duration::from_millis(10)).await;
    }
    drop(client);
    assert!(second.stop().unwrap().success());
    assert!(vouch.stop().unwrap().success());
    let vouch = stage.start();
    remembers(&mut stage).await;
    assert!(vouch.stop().unwrap().success());
}
