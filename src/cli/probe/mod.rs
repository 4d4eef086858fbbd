//! `vouch probe`: one question or many, asked directly with the daemon's engine.

pub(super) mod login;
pub(super) mod recipient;
pub(super) mod reply;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, fail, runtime, status, unknown_directory};
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
use crate::verdict::{Abstention, Kind, Question, Verdict};

/// Bound (commands): answer to vouch probe. Beyond: no answer. Why: no client hangs up meanwhile, so a slow server
/// may take its time.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is probed.
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
pub(super) fn run(probe: &Probe, file: &ConfigFile) -> ExitCode {
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
            let why = format!(
                "vouch probe: login-command is of IMAP, and directory \"{}\" of type smtp; -d NAME asks another",
                smtp.name
            );
            return Err(fail(status::USAGE, &why));
        }
        let members = daemon::members(&config, method)
            .map_err(|error| fail(status::CONFIG, &format!("vouch probe: {error}")))?;
        match &self.directory {
            None => Ok(Asker::ByDomain(Engine::new(members, None))),
            Some(name) => match members.into_iter().find(|member| **member.name() == **name) {
                Some(member) => Ok(Asker::Directory(member)),
                None => Err(unknown_directory("probe", name, &config)),
            },
        }
    }
}

/// The lines of a file of at most `longest` bytes that are `wanted`, without the space around them; `-` is standard
/// input.
fn lines_of(path: &Path, longest: u64, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(path)?)
    };
    let mut lines = Vec::new();
    let mut input = BufReader::new(input.take(longest + 1));
    for line in input.by_ref().lines() {
        let line = line?;
        let line = line.trim();
        if wanted(line) {
            lines.push(line.to_owned());
        }
    }
    if input.get_ref().limit() == 0 {
        return Err(io::Error::other(format!("longer than {} MiB", longest >> 20)));
    }
    Ok(lines)
}

/// Asks the only directory of a configuration; the answer for people, and the verdict.
fn once(
    config: &Config,
    about: &str,
    question: Question,
    words: &Words,
) -> Result<(String, Verdict), ExitCode> {
    let members = daemon::members(config, None)
        .map_err(|error| fail(status::CONFIG, &format!("vouch init: {error}")))?;
    let Some(member) = members.into_iter().next() else {
        return Err(fail(status::CONFIG, "vouch init: there is no directory to ask"));
    };
    let runtime = runtime()?;
    let began = Instant::now();
    let asker = Asker::Directory(member);
    let server = asker.server_for(&question.kind);
    let decision = runtime.block_on(asker.ask(question));
    let answer = Answer {
        decision,
        took: began.elapsed(),
        server,
    };
    runtime.shutdown_background();
    let text = line(about, &answer, words, &mut Reasons::default());
    let decision = answer.decision;
    Ok((text, decision.verdict))
}

/// The directories that a probe asks.
enum Asker {
    ByDomain(Engine),
    Directory(Arc<CachedDirectory>),
}

impl Asker {
    async fn ask(&self, question: Question) -> Decision {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        match self {
            Self::ByDomain(engine) => engine.decide(question, deadline).await,
            Self::Directory(member) => member.decide(question, deadline).await,
        }
    }

    /// The server that a map leads a question to, or why it leads to none; `None` without a map.
    fn server_for(&self, kind: &Kind) -> Option<Lead> {
        match self {
            Self::ByDomain(engine) => engine.server_for(kind),
            Self::Directory(member) => member.server_for(kind),
        }
    }
}

/// What a probe has found.
struct Answer {
    decision: Decision,
    took: Duration,
    /// The server that a map has led to, or why it has led to none.
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
    // A name may come from a file of somebody else's.
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

/// The worst of several statuses: no answer, then no, then undecided, then yes.
fn worst(one: u8, other: u8) -> u8 {
    let rank = |status: u8| match status {
        status::TEMPORARY => 3,
        status::REFUSED => 2,
        status::UNAVAILABLE => 1,
        _ => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

const fn status_of(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Accept(_) => 0,
        Verdict::Reject(_) => status::REFUSED,
        Verdict::Defer(_) => status::TEMPORARY,
        Verdict::Abstain(_) => status::UNAVAILABLE,
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
        let members = daemon::members_by(&config, None, &Default::default(), |_, remote| {
            remote.dial = Arc::new(Nowhere);
        });
        let members = members.unwrap();
        let asker = Asker::Directory(members[0].clone());
        let began = Instant::now();
        let kind = verdict::Kind::Recipient(crate::address::Address::from_typed("jane@example.org").unwrap());
        let client = verdict::Client::default();
        let decision = asker.ask(Question { kind, client }).await;
        assert!(matches!(decision.verdict, Verdict::Defer(_)), "{decision:?}");
        assert_eq!(began.elapsed().as_secs(), DEADLINE.as_secs());
    }
}
