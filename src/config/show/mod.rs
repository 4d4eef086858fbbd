//! The explanation of a configuration, for `vouch check`.

mod directory;
mod dovecot;
mod fleet;
mod keys;
mod limits;
mod listener;
mod servers;
mod trust;

use std::fmt::Write;

use super::{Config, read::Note};
use crate::settings::limit::Limit;
use crate::settings::process::Metrics;
use crate::settings::socket::ListenAddress;

/// Explains each listener, each directory, the effective value of every key, where `keys` are wanted, and
/// the notes. Plain text of whole lines; the keys read back as TOML to the same configuration.
pub fn describe(config: &Config, notes: &[Note], keys: bool) -> String {
    let mut text = Text::default();
    for listener in &config.listener {
        listener::words(&mut text, config, listener);
    }
    if let Some(dovecot) = &config.dovecot {
        dovecot::words(&mut text, config, dovecot);
    }
    for directory in &config.directory {
        directory::words(&mut text, config, directory);
    }
    if let Some(fleet) = &config.fleet {
        fleet::words(&mut text, config, fleet);
    }
    if let Some(metrics) = &config.metrics {
        metrics_words(&mut text, config, metrics);
    }
    if keys {
        text.head("Every key, with its effective value:");
        text.out.push_str(&keys::all(config));
    }
    if notes.is_empty() {
        text.head("Notes: none.");
    } else {
        text.head("Notes:");
        for note in notes {
            match note.line {
                Some(line) => text.say(format!("line {line}: {}", note.text)),
                None => text.say(note.text.as_str()),
            }
        }
    }
    text.out
}

/// Items as a sentence lists them.
fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

fn metrics_words(text: &mut Text, config: &Config, metrics: &Metrics) {
    text.head("Metrics");
    match &metrics.listen {
        ListenAddress::Path(path) => text.say(format!(
            "By HTTP on the Unix socket {}, mode 0660, the group of its folder: at /metrics, and the status page at /.",
            path.display()
        )),
        address => text.say(format!("At http://{address}/metrics, and the status page at http://{address}/.")),
    }
    text.say("As OpenMetrics text, or Prometheus's own where that is requested. They name no user, address or domain.");
    text.say("The page names no user either, but the listeners' sockets and the directories' addresses.");
    if config.dovecot.is_some() {
        text.say("Only `vouch serve` serves them, not `vouch dovecot-service`.");
    }
}

/// Headings, each with indented lines below.
#[derive(Default)]
struct Text {
    out: String,
}

impl Text {
    fn head(&mut self, line: impl std::fmt::Display) {
        let gap = if self.out.is_empty() { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{gap}{line}");
    }

    fn say(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.out, "  {line}");
    }
}

fn at_most(limit: Limit) -> String {
    match limit {
        Limit::Unlimited => "any number of".to_owned(),
        Limit::At(most) => format!("at most {most}"),
    }
}
