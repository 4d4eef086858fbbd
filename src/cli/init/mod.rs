//! `vouch init`: a first configuration, tried out, and the matching Postfix, Exim or Dovecot lines.

mod answers;
mod ask;
mod draft;
mod lines;
mod place;
mod typed;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::answers::Answers;
use self::ask::Ask;
use super::probe::{login, recipient};
use super::{ConfigFile, failed, online, print, status};
use crate::config::Config;
use crate::config::read;
use crate::settings::kind::Kind;
use crate::verdict::Verdict;

/// Where the daemon looks by default.
const OUTPUT: &str = "/etc/vouch/vouch.toml";

/// Arguments of `vouch init`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The protocol of the mail server that holds the accounts
    #[arg(long, value_enum, value_name = "TYPE")]
    behind: Option<Behind>,
    /// The mail server's host name or IP address; for lmtp also the path of its socket
    #[arg(long, value_name = "HOST", value_parser = typed::host)]
    host: Option<String>,
    /// In place of HOST and DOMAIN, a map of many domains to their servers: transport:///etc/postfix/transport as Postfix has
    /// it, or file:///etc/vouch/routes
    #[arg(long, value_name = "MAP", conflicts_with_all = ["host", "port", "domains"])]
    routes: Option<String>,
    /// The mail server's port [default: the usual one for TYPE and TLS]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// How TLS begins [default: implicit for imap and ports 465 and 993; else starttls for logins, if-available for
    /// recipients and on this machine]
    #[arg(long, value_enum, value_name = "HOW")]
    tls: Option<Tls>,
    /// PEM file of the certificate's issuer, if the system does not trust it
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The name in the certificate, if that is not HOST
    #[arg(long, value_name = "NAME", value_parser = typed::name)]
    server_name: Option<String>,
    /// Send passwords without TLS: anyone on the network path can read them
    #[arg(long)]
    allow_cleartext: bool,
    /// A domain that the mail server holds; for several, separate them by commas or repeat the option
    #[arg(long = "domain", value_name = "DOMAIN", value_delimiter = ',', value_parser = typed::domain)]
    domains: Vec<String>,
    /// The software that will ask; for several, separate them by commas or repeat the option
    #[arg(long, value_enum, value_name = "SOFTWARE", value_delimiter = ',')]
    front: Vec<Front>,
    /// The folder of the sockets [default: for Postfix, vouch in its queue directory; else /run/vouch]
    #[arg(long, value_name = "FOLDER")]
    sockets: Option<PathBuf>,
    /// Also ask the mail server about this recipient, or, if only logins are served, about this user's password
    #[arg(long = "try", value_name = "ADDRESS", id = "try")]
    attempt: Option<String>,
    /// Read the password for --try from the first line of this file; - is standard input [default: ask on the terminal]
    #[arg(long, value_name = "F", requires = "try")]
    password_file: Option<PathBuf>,
    /// Write the file without trying the mail server
    #[arg(long, conflicts_with = "try")]
    offline: bool,
    /// The configuration file to write [default: that of --config]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite an existing configuration
    #[arg(long)]
    force: bool,
}

/// The kind of mail server to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Behind {
    /// It knows logins
    Imap,
    /// It knows recipients, and logins by SMTP AUTH
    Smtp,
    /// It knows recipients
    Lmtp,
}

impl Behind {
    const fn kind(self) -> Kind {
        match self {
            Self::Imap => Kind::Imap,
            Self::Smtp => Kind::Smtp,
            Self::Lmtp => Kind::Lmtp,
        }
    }
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tls {
    /// From the first byte, as on ports 993 and 465
    Implicit,
    /// By STARTTLS; without it, nothing is answered
    Starttls,
    /// By STARTTLS where the server offers it
    IfAvailable,
    /// Never
    None,
}

/// The software that asks vouch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Front {
    /// Postfix asks which recipients exist (policy service)
    PostfixRecipients,
    /// Postfix asks whether logins are good (SASL)
    PostfixLogins,
    /// Exim asks whether logins are good
    Exim,
    /// Dovecot starts vouch as its own auth service
    Dovecot,
}

impl Front {
    const fn is_postfix(self) -> bool {
        matches!(self, Self::PostfixRecipients | Self::PostfixLogins)
    }

    /// Whether it asks about logins.
    const fn asks_logins(self) -> bool {
        !matches!(self, Self::PostfixRecipients)
    }

    /// Whether a server of that kind knows what it asks.
    fn can_ask(self, kind: Kind) -> bool {
        match self {
            Self::PostfixRecipients => kind.knows_recipients(),
            Self::PostfixLogins | Self::Exim | Self::Dovecot => kind.knows_logins(),
        }
    }
}

/// Writes a configuration, and prints what else is to be done.
pub(super) fn run(mut arguments: Arguments, file: &ConfigFile) -> Result<(), ExitCode> {
    let output = arguments
        .output
        .get_or_insert_with(|| file.config.clone())
        .clone();
    set_up(&arguments, &output)
}

fn set_up(arguments: &Arguments, output: &Path) -> Result<(), ExitCode> {
    let mut ask = Ask::new();
    place::may_be_written(output, arguments.force, &mut ask)?;
    let answers = Answers::of(arguments, &mut ask)?;
    let text = draft::draft(&answers, output);
    // Its notes are about what was chosen, and `vouch check` shows them.
    let (config, _) = read::parse(output, &text).map_err(|error| {
        complain(
            status::USAGE,
            format!("these answers make no configuration:\n{error}"),
        )
    })?;
    if !arguments.offline {
        try_out(&config, arguments, &answers, &mut ask)?;
    }
    place::write(output, &text).map_err(|error| {
        let path = output.display();
        complain(status::CANNOT_CREATE, format!("cannot write {path}: {error}"))
    })?;
    print(&format!(
        "\nWritten: {}\n{}{}",
        output.display(),
        lines::of(&answers, output),
        lines::next(&answers, output)
    ))
}

/// Opens a session to the server as the daemon would, and asks about the address of `--try`.
fn try_out(config: &Config, arguments: &Arguments, answers: &Answers, ask: &mut Ask) -> Result<(), ExitCode> {
    let all_the_same = "Write the file anyway?";
    if !online::look(config, "init")? {
        return if ask.agrees(all_the_same)? {
            Ok(())
        } else {
            let advice =
                "nothing is written: fix the problem above, or write the file untested with --offline";
            Err(complain(
                status::UNAVAILABLE,
                with_options(advice, arguments, answers, ask),
            ))
        };
    }
    let Some(about) = &arguments.attempt else {
        return Ok(());
    };
    let (said, verdict) = if answers.fronts.iter().all(|front| front.asks_logins()) {
        login::once(config, about, arguments.password_file.as_deref())?
    } else {
        recipient::once(config, about)?
    };
    print(&format!("\n{said}"))?;
    if !matches!(verdict, Verdict::Defer(_)) || ask.agrees(all_the_same)? {
        return Ok(());
    }
    let advice = "nothing is written: fix the problem above, or omit --try";
    Err(complain(
        status::TEMPORARY,
        with_options(advice, arguments, answers, ask),
    ))
}

/// Adds the options that repeat the answers, so that they need not be typed again.
fn with_options(advice: &str, arguments: &Arguments, answers: &Answers, ask: &Ask) -> String {
    if !ask.terminal {
        return advice.to_owned();
    }
    format!(
        "{advice}\nTo run it again with the same answers, and change what is wrong:\n\n  vouch init {}\n",
        answers.options(arguments)
    )
}

fn complain(status: u8, what: impl Display) -> ExitCode {
    failed("init", status, what)
}
