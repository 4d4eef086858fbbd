//! `vouch probe`: one question or many, asked directly with the daemon's engine.

pub(super) mod login;
pub(super) mod recipient;
pub(super) mod reply;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, failed, runtime, status, unknown_directory};
use crate::config::{Config, Directory};
use crate::daemon;
use crate::directory::routed::Lead;
use crate::engine::{CachedDirectory, Decision, Engine};
use crate::session::trace;
use crate::settings::directory::LoginMethod;
use crate::settings::kind::Kind as Type;
use crate::telemetry::log;
use crate::telemetry::words::named;
use crate::unseen::escaped;
use crate::verdict::{Abstention, Client, Kind, Question, Verdict};

/// Bound (commands): answer to vouch probe. Beyond: no answer. Why: no client hangs up meanwhile, so a slow server
/// may take its time.
const DEADLINE: Duration = Duration::from_secs(60);

/// Bound (commands, bytes): file of addresses. Beyond: it is refused. Why: two million addresses fit.
const LONGEST_FILE: u64 = 64 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Probe {
    /// Ask whether recipients exist
    #[command(
        after_help = "Exit status: 0 all exist, 1 one is unknown, 75 one got no answer, 69 no directory serves the address."
    )]
    Recipient(recipient::Arguments),
    /// Ask whether a login is good
    #[command(
        after_help = "Exit status: 0 accepted, 1 refused, 75 no answer, 69 no directory serves the user."
    )]
    Login(login::Arguments),
    /// Explain how vouch interprets a server's reply; contacts no server
    #[command(after_help = "Exit status: 0, or 64 for a text that is no reply.")]
    Reply(reply::Arguments),
}

/// What both kinds of probe take.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Ask this directory, whatever its domains [default: by domain, as a listener with all directories]
    #[arg(short, long, value_name = "NAME")]
    directory: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Show the dialog with the remote on standard error, secrets masked
    #[arg(long)]
    trace: bool,
}

/// Asks, and answers with the exit status.
pub(super) fn run(probe: &Probe, file: &ConfigFile) -> Result<(), ExitCode> {
    match probe {
        Probe::Recipient(arguments) => recipient::run(arguments, file),
        Probe::Login(arguments) => login::run(arguments, file),
        Probe::Reply(arguments) => reply::run(arguments, file),
    }
}

impl Common {
    fn asker(&self, file: &ConfigFile, method: Option<LoginMethod>) -> Result<Asker, ExitCode> {
        let (config, _) = file.load()?;
        if self.trace {
            log::start_trace(trace::TARGET);
        } else {
            log::start_warnings();
        }
        let asked = |it: &&Directory| self.directory.as_ref().is_none_or(|name| *name == it.name);
        let mut asked = config.directory.iter().filter(asked);
        if let (Some(LoginMethod::LoginCommand), Some(smtp)) =
            (method, asked.find(|it| it.kind == Type::Smtp))
        {
            let why = format_args!(
                "login-command is of IMAP, and directory \"{}\" of type smtp; -d NAME asks another",
                smtp.name
            );
            return Err(failed("probe", status::USAGE, why));
        }
        let members =
            daemon::members(&config, method).map_err(|error| failed("probe", status::CONFIG, error))?;
        match &self.directory {
            None => Ok(Asker::ByDomain(Engine::new(members, None))),
            Some(name) => match members.into_iter().find(|member| **member.name() == **name) {
                Some(member) => Ok(Asker::Directory(member)),
                None => Err(unknown_directory("probe", name, &config)),
            },
        }
    }
}

/// The lines of the file that a command was given, if any, without the space around them and without empty ones; `-` is
/// standard input.
fn lines_of(command: &str, path: Option<&Path>) -> Result<Vec<String>, ExitCode> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    read_lines(path).map_err(|error| {
        failed(
            command,
            status::NO_INPUT,
            format_args!("{}: {error}", path.display()),
        )
    })
}

fn read_lines(path: &Path) -> io::Result<Vec<String>> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(path)?)
    };
    let mut lines = Vec::new();
    let mut input = BufReader::new(input.take(LONGEST_FILE + 1));
    for line in input.by_ref().lines() {
        let line = line?;
        let line = line.trim();
        if !line.is_empty() {
            lines.push(line.to_owned());
        }
    }
    if input.get_ref().limit() == 0 {
        return Err(io::Error::other(format!(
            "longer than {} MiB",
            LONGEST_FILE >> 20
        )));
    }
    Ok(lines)
}

/// Asks the only directory of a configuration; the answer for people, and the verdict.
fn once(config: &Config, about: &str, question: Kind, words: &Words) -> Result<(String, Verdict), ExitCode> {
    let unusable = |why: &dyn Display| failed("init", status::CONFIG, why);
    let members = daemon::members(config, None).map_err(|error| unusable(&error))?;
    let Some(member) = members.into_iter().next() else {
        return Err(unusable(&"there is no directory to ask"));
    };
    let runtime = runtime()?;
    let answer = runtime.block_on(Asker::Directory(member).ask(question));
    runtime.shutdown_background();
    let text = line(about, &answer, words, &mut Reasons::default());
    Ok((text, answer.decision.verdict))
}

/// The directories that a probe asks.
enum Asker {
    ByDomain(Engine),
    Directory(Arc<CachedDirectory>),
}

impl Asker {
    async fn ask(&self, kind: Kind) -> Answer {
        let began = Instant::now();
        let deadline = tokio::time::Instant::from_std(began) + DEADLINE;
        let client = Client::default();
        let (server, decision) = match self {
            Self::ByDomain(engine) => (
                engine.server_for(&kind),
                engine.decide(Question { kind, client }, deadline).await,
            ),
            Self::Directory(member) => (
                member.server_for(&kind),
                member.decide(Question { kind, client }, deadline).await,
            ),
        };
        Answer {
            decision,
            took: began.elapsed(),
            server,
        }
    }
}

/// What a probe has found.
struct Answer {
    decision: Decision,
    took: Duration,
    /// The server that a map has led to, or why it has led to none; `None` without a map.
    server: Option<Lead>,
}

/// What answers of one kind are called.
struct Words {
    yes: &'static str,
    no: &'static str,
    /// What is asked about.
    what: &'static str,
}

/// Why each directory gave no answer, as it was last said: of a dead server, every question has the same reason.
#[derive(Debug, Default)]
struct Reasons(BTreeMap<String, String>);

/// One answer, for people.
fn line(about: &str, answer: &Answer, words: &Words, said: &mut Reasons) -> String {
    let Answer {
        decision,
        took,
        server,
    } = answer;
    // A name may come from an untrusted file.
    let about = &*escaped(about);
    let word = match &decision.verdict {
        Verdict::Accept(_) => words.yes,
        Verdict::Reject(_) => words.no,
        Verdict::Defer(_) => "no answer",
        Verdict::Abstain(abstention) => {
            return format!("{about}: {}\n", nobody(about, answer, *abstention, words.what));
        }
    };
    let directory = decision.directory.as_deref().unwrap_or("no directory");
    let directory = match server {
        Some(Lead::Server(server)) => &format!("{directory}, {server}"),
        _ => directory,
    };
    let cause = decision.verdict.cause();
    let mut why = cause
        .map(|cause| escaped(&format!(", {cause}")))
        .unwrap_or_default();
    if let Verdict::Defer(cause) = &decision.verdict
        && !cause.advice().is_empty()
    {
        why.push_str("; ");
        why.push_str(&named(cause.advice(), directory));
    }
    if let Verdict::Defer(cause) = &decision.verdict {
        let last = said.0.insert(directory.to_owned(), why.clone());
        if last.is_some_and(|last| last == why) {
            why = format!(", {}: as above", cause.class);
        }
    }
    format!("{about}: {word} ({directory}, {} ms{why})\n", took.as_millis())
}

/// Why no directory was asked, or none has an answer.
fn nobody(about: &str, answer: &Answer, abstention: Abstention, what: &str) -> String {
    let decision = &answer.decision;
    if let (Some(directory), Some(Lead::Nowhere(why))) = (decision.directory.as_deref(), &answer.server) {
        return format!("not asked: {directory}: {why}");
    }
    match (decision.directory.as_deref(), abstention, about.rsplit_once('@')) {
        (Some(directory), Abstention::NoOpinion, _) => {
            format!("undecided: {directory} accepts every address")
        }
        (Some(directory), Abstention::NotOurs, _) => format!("not asked: {directory} knows no {what}"),
        (None, _, Some((_, domain))) => format!(
            "not asked: no directory for {what} serves {domain} (lookup.domains, lookup.routes); -d NAME asks one anyway"
        ),
        (None, _, None) => {
            "not asked: it has no domain, so no directory serves it; -d NAME asks one anyway".into()
        }
    }
}

/// One answer, for programs.
fn object(kind: &str, about: &str, answer: &Answer) -> Value {
    let Answer {
        decision,
        took,
        server,
    } = answer;
    let cause = decision.verdict.cause();
    json!({
        kind: about,
        "verdict": decision.verdict.name(),
        "cause": decision.verdict.reason(),
        "status": cause.and_then(|cause| cause.status.as_deref()),
        "text": cause.map(|cause| cause.text.as_str()),
        "directory": decision.directory.as_deref(),
        "server": match server {
            Some(Lead::Server(server)) => Some(server),
            Some(Lead::Nowhere(_)) | None => None,
        },
        "source": decision.source.name(),
        "us": took.as_micros() as u64,
    })
}

/// How a probe ends, the worst of several answers last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Yes,
    Undecided,
    No,
    NoAnswer,
}

impl From<&Answer> for End {
    fn from(answer: &Answer) -> Self {
        match answer.decision.verdict {
            Verdict::Accept(_) => Self::Yes,
            Verdict::Reject(_) => Self::No,
            Verdict::Defer(_) => Self::NoAnswer,
            Verdict::Abstain(_) => Self::Undecided,
        }
    }
}

impl End {
    fn into_status(self) -> Result<(), ExitCode> {
        let status = match self {
            Self::Yes => return Ok(()),
            Self::Undecided => status::UNAVAILABLE,
            Self::No => status::REFUSED,
            Self::NoAnswer => status::TEMPORARY,
        };
        Err(status.into())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use tokio::time::{Instant, sleep_until};

    use super::*;
    use crate::config::read;
    use crate::session::connect::{Dial, Dialled};
    use crate::session::{Error, Kind};
    use crate::verdict;

    /// A way on which nobody ever answers.
    struct Nowhere;

    impl Dial for Nowhere {
        fn dial<'a>(
            &'a self,
            peer: &'a Arc<str>,
            deadline: Instant,
        ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
            Box::pin(async move {
                sleep_until(deadline).await;
                Err(Error::new(Kind::Timeout, peer, "connect", "no answer in time"))
            })
        }
    }

    // Fills DEADLINE.
    #[tokio::test(start_paused = true)]
    async fn a_probe_has_its_own_patience() {
        let text = "[directory.a]\ntype = 'lmtp'\naddress = 'a.example'\ntimeout = '1h'\n";
        let (config, _) = read::parse(Path::new("a.toml"), text).unwrap();
        let members = daemon::members_by(&config, None, None, &Default::default(), |_, remote| {
            remote.dial = Arc::new(Nowhere);
        });
        let members = members.unwrap();
        let asker = Asker::Directory(members[0].clone());
        let began = Instant::now();
        let kind = verdict::Kind::Recipient(crate::address::Address::from_typed("jane@example.org").unwrap());
        let decision = asker.ask(kind).await.decision;
        assert!(matches!(decision.verdict, Verdict::Defer(_)), "{decision:?}");
        assert_eq!(began.elapsed().as_secs(), DEADLINE.as_secs());
    }
}
