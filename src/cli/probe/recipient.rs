//! `vouch probe recipient`: do these recipients exist?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};

use super::super::{ConfigFile, fail, is_watched, print, runtime, status};
use super::{Answer, Asker, Common, Reasons, Words, line, object, status_of, worst};
use crate::address::Address;
use crate::config::Config;
use crate::engine::{Decision, Source};
use crate::unseen::escaped;
use crate::verdict::{Abstention, Client, Kind, Question, Verdict};

/// Bound (commands): addresses that vouch probe asks about at once. Beyond: the others wait. Why: each directory's
/// sessions bound what is really sent.
const AT_ONCE: usize = 64;

/// Bound (commands, bytes): file of addresses. Beyond: it is refused. Why: two million addresses fit.
pub(super) const LONGEST_FILE: u64 = 64 << 20;

const WORDS: Words = Words {
    yes: "exists",
    no: "unknown",
    what: "recipients",
};

/// Arguments of `vouch probe recipient`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The addresses
    #[arg(value_name = "ADDR", required_unless_present = "file_of_addresses")]
    addresses: Vec<String>,
    /// File of more addresses, one per line; empty lines and lines with # are skipped; - is standard input
    #[arg(long = "file", value_name = "F", id = "file_of_addresses")]
    more: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Asks about all addresses and prints the answers in their order.
pub(crate) fn run(arguments: &Arguments, file: &ConfigFile) -> ExitCode {
    match answers(arguments, file) {
        Ok(status) => ExitCode::from(status),
        Err(status) => status,
    }
}

fn answers(arguments: &Arguments, file: &ConfigFile) -> Result<u8, ExitCode> {
    let mut addresses = arguments.addresses.clone();
    if let Some(path) = &arguments.more {
        addresses.extend(
            super::lines_of(path, LONGEST_FILE, |line| {
                !line.is_empty() && !line.starts_with('#')
            })
            .map_err(|error| {
                fail(
                    status::NO_INPUT,
                    &format!("vouch probe recipient: {}: {error}", path.display()),
                )
            })?,
        );
    }
    let asker = arguments.common.asker(file, None)?;
    let runtime = runtime()?;
    // Interleaved dialogs would be unreadable.
    let at_once = if arguments.common.trace { 1 } else { AT_ONCE };
    let bar = progress(addresses.len(), arguments.common.trace);
    let worst = runtime.block_on(async {
        let mut asked = stream::iter(&addresses)
            .map(|address| {
                let asker = &asker;
                async move { (address, ask(asker, address).await) }
            })
            .buffered(at_once);
        let (mut status, mut said) = (0, Reasons::default());
        while let Some((address, answer)) = asked.next().await {
            let text = if arguments.common.json {
                format!("{}\n", object("address", address, &answer))
            } else if let Err(error) = Address::from_typed(address) {
                format!("{}: not asked: not an address: {error}\n", escaped(address))
            } else {
                line(address, &answer, &WORDS, &mut said)
            };
            bar.suspend(|| print(&text))?;
            bar.inc(1);
            status = worst(status, status_of(&answer.decision.verdict));
        }
        Ok(status)
    });
    bar.finish_and_clear();
    runtime.shutdown_background();
    worst
}

/// Asks the only directory of a configuration about one recipient, for `vouch init`.
///
/// # Errors
/// When it cannot be asked.
pub(in crate::cli) fn once(config: &Config, address: &str) -> Result<(String, Verdict), ExitCode> {
    let recipient = Address::from_typed(address)
        .map_err(|error| fail(status::USAGE, &format!("vouch init: {address}: {error}")))?;
    let question = Question {
        kind: Kind::Recipient(recipient),
        client: Client::default(),
    };
    super::once(config, address, question, &WORDS)
}

async fn ask(asker: &Asker, address: &str) -> Answer {
    let (began, mut server) = (Instant::now(), None);
    let decision = match Address::from_typed(address) {
        Ok(address) => {
            let kind = Kind::Recipient(address);
            server = asker.server_for(&kind);
            let client = Client::default();
            asker.ask(Question { kind, client }).await
        }
        Err(_) => {
            let verdict = Verdict::Abstain(Abstention::NotOurs);
            Decision {
                verdict,
                source: Source::Local,
                directory: None,
            }
        }
    };
    Answer {
        decision,
        took: began.elapsed(),
        server,
    }
}

/// A progress bar, for several addresses and on a terminal.
fn progress(addresses: usize, trace: bool) -> ProgressBar {
    if addresses < 2 || trace || !is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(addresses as u64);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} addresses, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
