//! What each test stands on: a scratch directory, remotes in this process, and `vouch` as another one.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use remote::{Account, Options, Protocol, Server, State};
use tokio::runtime::Runtime;

use crate::support::Scratch;
use crate::support::vouch::staying_root;

/// No command of a test takes that long, on a machine that does a lot besides.
const PATIENCE: Duration = Duration::from_secs(60);

/// The password of every account.
pub(crate) const PASSWORD: &str = "correct horse";

/// A scratch directory, and a runtime for remotes.
pub(crate) struct World {
    runtime: Runtime,
    pub(crate) scratch: Scratch,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            runtime: Runtime::new().unwrap(),
            scratch: Scratch::new(),
        }
    }

    /// Starts a remote in this process.
    pub(crate) fn remote(&self, options: Options) -> Server {
        let _inside = self.runtime.enter();
        Server::start(options).unwrap()
    }

    /// Stops a remote: its port refuses connections, and stays its own.
    pub(crate) fn stop(&self, remote: &Server) {
        self.runtime.block_on(remote.stop());
    }

    /// Writes the configuration.
    pub(crate) fn config(&self, text: &str) -> PathBuf {
        self.scratch.write("vouch.toml", staying_root(text))
    }

    /// `vouch` with these arguments and `-c` for the configuration, run to its end without input.
    pub(crate) fn vouch(&self, arguments: &[&str]) -> Ran {
        self.vouch_reading(arguments, "")
    }

    /// The same with this standard input.
    pub(crate) fn vouch_reading(&self, arguments: &[&str], input: &str) -> Ran {
        let config = self.scratch.text("vouch.toml");
        run(arguments.iter().copied().chain(["-c", config.as_str()]), input)
    }
}

/// A remote of `protocol` with one account in each state that a test asks about, all of `example.org`.
pub(crate) fn people(protocol: Protocol) -> Options {
    let account = |name: &str| Account::new(&format!("{name}@example.org"), PASSWORD);
    Options::new(protocol)
        .account(account("jane"))
        .account(account("off").state(State::Disabled))
        .account(account("trouble").state(State::TempFail))
}

/// A directory `name` of `kind` on `port` of 127.0.0.1, for `example.org`, as TOML.
pub(crate) fn directory(name: &str, kind: &str, port: u16) -> String {
    format!(
        "[directory.\"{name}\"]\ntype = \"{kind}\"\naddress = \"127.0.0.1\"\nport = {port}\n\
         lookup.domains = [\"example.org\"]\n"
    )
}

/// A listener `name` on `socket`, as TOML.
pub(crate) fn listener(name: &str, protocol: &str, socket: &Path, directory: &str) -> String {
    format!(
        "[listener.\"{name}\"]\nprotocol = \"{protocol}\"\nsocket = \"{}\"\ndirectory = [\"{directory}\"]\n",
        socket.display()
    )
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit status.
    pub(crate) status: i32,
    /// What it wrote to standard output.
    pub(crate) out: String,
    /// What it wrote to standard error.
    pub(crate) err: String,
}

impl Ran {
    /// Fails the test unless the command ended so, and shows all that it wrote.
    #[track_caller]
    pub(crate) fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Fails the test unless each of `words` is on standard error.
    #[track_caller]
    pub(crate) fn complains(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }

    /// Fails the test unless each of `words` is on standard output, wherever its lines are folded.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            let said = self.out.contains(word) || self.unfolded().contains(word);
            assert!(said, "no {word:?} in {self:#?}");
        }
        self
    }

    /// Standard output with each sentence in one line.
    pub(crate) fn unfolded(&self) -> String {
        self.out.replace("\n  ", " ")
    }

    /// Fails the test unless standard output is empty: nothing there for a script to take for an answer.
    #[track_caller]
    pub(crate) fn says_nothing(&self) -> &Self {
        assert_eq!(self.out, "", "{self:#?}");
        self
    }

    /// Fails the test unless standard error is empty.
    #[track_caller]
    pub(crate) fn complains_of_nothing(&self) -> &Self {
        assert_eq!(self.err, "", "{self:#?}");
        self
    }
}

/// `vouch`, to be started from a directory that means nothing, with an environment that changes nothing.
pub(crate) fn vouch() -> Command {
    plain(Command::new(env!("CARGO_BIN_EXE_vouch")))
}

/// The same for a program that starts it.
pub(crate) fn plain(mut command: Command) -> Command {
    command.current_dir("/").env("TERM", "xterm");
    for name in ["JOURNAL_STREAM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

/// `vouch` with these arguments, run to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>, input: &str) -> Ran {
    let mut command = assert_cmd::Command::from_std(vouch());
    command.args(arguments).write_stdin(input).timeout(PATIENCE);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran = Ran {
        status: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    println!("{command:?}\n{}{}=> {}\n", ran.out, ran.err, ran.status);
    ran
}

/// A process that ends with the test at the latest.
pub(crate) struct Bounded(pub(crate) Child);

impl Bounded {
    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the end of vouch", || {
            ended = self.0.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `vouch` with these arguments and a standard output that nobody reads: a pipe closed at the other end.
pub(crate) fn run_unread(arguments: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    run_into(arguments, writer.into())
}

/// `vouch` with these arguments and this standard output.
pub(crate) fn run_into(arguments: &[&str], out: Stdio) -> Ran {
    let mut command = vouch();
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(out)
        .stderr(Stdio::piped());
    let mut child = Bounded(command.spawn().unwrap());
    // A password, for those who want one; the others may be gone already.
    let _ = child.0.stdin.take().unwrap().write_all(PASSWORD.as_bytes());
    let mut err = String::new();
    let status = child.ended();
    child.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    Ran {
        status: status.code().unwrap_or(-1),
        out: String::new(),
        err,
    }
}

/// Asks every 20 ms until `ready`; fails the test after a minute.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what} in vain");
        thread::sleep(Duration::from_millis(20));
    }
}
