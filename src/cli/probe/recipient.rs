//! `vouch probe recipient`: do these recipients exist?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};

use super::super::{ConfigFile, failed, is_watched, print, runtime, status};
use super::{Answer, Asker, Common, End, Reasons, Words, line, lines_of, object};
use crate::address::Address;
use crate::config::Config;
use crate::engine::{Decision, Source};
use crate::unseen::escaped;
use crate::verdict::{Abstention, Kind, Verdict};

/// Bound (commands): addresses that vouch probe asks about at once. Beyond: the others wait. Why: each directory's
/// sessions bound what is really sent.
const AT_ONCE: usize = 64;

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
pub(crate) fn run(arguments: &Arguments, file: &ConfigFile) -> Result<(), ExitCode> {
    let mut addresses = arguments.addresses.clone();
    let more = lines_of("probe recipient", arguments.more.as_deref())?;
    addresses.extend(more.into_iter().filter(|line| !line.starts_with('#')));
    let asker = arguments.common.asker(file, None)?;
    let runtime = runtime()?;
    // Interleaved dialogs would be unreadable.
    let at_once = if arguments.common.trace { 1 } else { AT_ONCE };
    let bar = progress(addresses.len(), arguments.common.trace);
    let worst: Result<End, ExitCode> = runtime.block_on(async {
        let mut asked = stream::iter(&addresses)
            .map(|address| {
                let asker = &asker;
                async move { (address, ask(asker, address).await) }
            })
            .buffered(at_once);
        let (mut end, mut said) = (End::Yes, Reasons::default());
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
            end = end.max(End::from(&answer));
        }
        Ok(end)
    });
    bar.finish_and_clear();
    runtime.shutdown_background();
    worst?.into_status()
}

/// Asks the only directory of a configuration about one recipient, for `vouch init`.
///
/// # Errors
/// When it cannot be asked.
pub(in crate::cli) fn once(config: &Config, address: &str) -> Result<(String, Verdict), ExitCode> {
    let recipient = Address::from_typed(address)
        .map_err(|error| failed("init", status::USAGE, format_args!("{address}: {error}")))?;
    super::once(config, address, Kind::Recipient(recipient), &WORDS)
}

async fn ask(asker: &Asker, address: &str) -> Answer {
    match Address::from_typed(address) {
        Ok(address) => asker.ask(Kind::Recipient(address)).await,
        Err(_) => Answer {
            decision: Decision {
                verdict: Verdict::Abstain(Abstention::NotOurs),
                source: Source::Local,
                directory: None,
            },
            took: Duration::ZERO,
            server: None,
        },
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
