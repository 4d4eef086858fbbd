//! `vouch probe reply`: how is a reply read, and why? No remote is asked.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::super::{ConfigFile, failed, print, status, unknown_directory};
use super::lines_of;
use crate::directory::judge::explain::{Command, Explanation, explain};
use crate::directory::judge::recipient::Settings;
use crate::directory::judge::statement::{Found, Statement};
use crate::settings::kind::Kind;
use crate::unseen::escaped;
use crate::verdict::Verdict;

/// What a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplyType {
    /// RCPT TO, by SMTP
    Smtp,
    /// RCPT TO, by LMTP
    Lmtp,
    /// A login, by IMAP
    Imap,
    /// A login, by SMTP AUTH
    SmtpAuth,
}

/// Arguments of `vouch probe reply`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    // Not as documentation, where brackets are links.
    #[arg(
        value_name = "TEXT",
        required_unless_present = "file_of_replies",
        help = "The replies, each as one text: '550 5.1.1 User unknown', 'NO [UNAVAILABLE] Later'; \\n is a line end"
    )]
    replies: Vec<String>,
    /// File of more replies, one per line; empty lines are skipped; - is standard input
    #[arg(long = "file", value_name = "F", id = "file_of_replies")]
    more: Option<PathBuf>,
    /// What they answer [default: RCPT TO of an smtp or lmtp directory, a login of an imap one]
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "directory")]
    kind: Option<ReplyType>,
    /// Read them as this directory does, with its rcpt and replies keys
    #[arg(short, long, value_name = "NAME")]
    directory: Option<String>,
    /// The address or user that was asked about, which is ignored where a reply repeats it
    #[arg(long, value_name = "NAME", default_value = "")]
    asked: String,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Reads the replies and explains each reading.
pub(crate) fn run(arguments: &Arguments, file: &ConfigFile) -> Result<(), ExitCode> {
    let (command, settings) = how(arguments, file)?;
    let mut replies = arguments.replies.clone();
    replies.extend(lines_of("probe reply", arguments.more.as_deref())?);
    for reply in &replies {
        let explanation = explain(command, &settings, arguments.asked.as_bytes(), reply)
            .map_err(|why| failed("probe reply", status::USAGE, format_args!("{reply:?}: {why}")))?;
        if arguments.json {
            print(&format!("{}\n", object(reply, &explanation)))?;
        } else {
            print(&text(command, reply, &explanation))?;
        }
    }
    Ok(())
}

/// What the replies answer, and how the directory reads them.
fn how(arguments: &Arguments, file: &ConfigFile) -> Result<(Command, Settings), ExitCode> {
    let command = |kind| match kind {
        ReplyType::Smtp | ReplyType::Lmtp => Command::Rcpt,
        ReplyType::Imap => Command::ImapLogin,
        ReplyType::SmtpAuth => Command::SmtpAuth,
    };
    let given = arguments.kind.map(command);
    let Some(name) = &arguments.directory else {
        return Ok((given.unwrap_or(Command::Rcpt), Settings::default()));
    };
    let (config, _) = file.load()?;
    let Some(directory) = config.directory.iter().find(|directory| directory.name == *name) else {
        return Err(unknown_directory("probe", name, &config));
    };
    let own = match directory.kind {
        Kind::Imap => Command::ImapLogin,
        Kind::Smtp | Kind::Lmtp => Command::Rcpt,
    };
    Ok((given.unwrap_or(own), Settings::from(directory)))
}

/// The verdict, as the client receives it.
fn meaning(command: Command, explanation: &Explanation) -> String {
    let word = match (&explanation.verdict, command) {
        (Verdict::Accept(_), Command::Rcpt) => "exists",
        (Verdict::Reject(_), Command::Rcpt) => "unknown",
        (Verdict::Accept(_), _) => "accepted",
        (Verdict::Reject(_), _) => "refused",
        (Verdict::Defer(_) | Verdict::Abstain(_), _) => "no answer",
    };
    match explanation.verdict.cause() {
        Some(cause) => format!("{word} ({})", cause.class),
        None => word.to_owned(),
    }
}

fn text(command: Command, reply: &str, explanation: &Explanation) -> String {
    let mut text = format!("{}: {}\n", escaped(reply), meaning(command, explanation));
    let mut line = |what: &str, statement: Option<&Statement>| {
        let decided = if statement.is_some() && statement == explanation.decided.as_ref() {
            ", which decides"
        } else {
            ""
        };
        let says = statement.map_or_else(
            || "means nothing that vouch knows".to_owned(),
            ToString::to_string,
        );
        // A `String` takes whatever is written.
        let _ = writeln!(text, "  {what}: {says}{decided}");
    };
    for clause in &explanation.reading.clauses {
        let statements = explanation.reading.statements_of(clause);
        if statements.is_empty() && !matches!(clause.words.as_str(), "" | "\u{2026}") {
            line(&format!("\"{}\"", escaped(&clause.words)), None);
        }
        for statement in statements {
            line(&found(&statement.found), Some(statement));
        }
    }
    if let Some(statement) = &explanation.by_code {
        line(&found(&statement.found), Some(statement));
    }
    if let Some(statement) = explanation
        .decided
        .as_ref()
        .filter(|one| matches!(one.found, Found::Operator(_)))
    {
        line(&found(&statement.found), Some(statement));
    }
    text
}

fn found(found: &Found) -> String {
    match found {
        Found::Code(code) => code.clone(),
        Found::Words(words) => format!("\"{words}\""),
        Found::Operator(phrase) => format!("your phrase \"{phrase}\""),
    }
}

fn object(reply: &str, explanation: &Explanation) -> Value {
    let statement = |one: &Statement| {
        let (by, text) = match &one.found {
            Found::Code(code) => ("code", code),
            Found::Words(words) => ("words", words),
            Found::Operator(phrase) => ("phrase", phrase),
        };
        json!({ "about": one.about.name(), "what": one.what.name(), "by": by, "text": text })
    };
    let clauses: Vec<Value> = explanation
        .reading
        .clauses
        .iter()
        .map(|clause| {
            json!({
                "words": clause.words,
                "statements": explanation.reading.statements_of(clause).iter().map(statement).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "reply": reply,
        "verdict": explanation.verdict.name(),
        "cause": explanation.verdict.reason(),
        "clauses": clauses,
        "code": explanation.by_code.as_ref().map(statement),
        "decided": explanation.decided.as_ref().map(statement),
    })
}
