//! The status page: what `vouch status` says, and the last hour, as one HTML page without scripts.
//!
//! Everything on it comes from the report of the control socket and from [`History`]. The page leaves out remotes'
//! replies, canaries and domains of the report: they may name a user, and every client that can connect may read the
//! page.

mod chart;
mod directory;
mod fleet;
mod hour;
mod html;
mod listener;
mod words;

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use tokio::time::Instant;

use super::history::{EVERY, History};
use crate::report::{Directory, Report, State};
use crate::telemetry::clock;
use crate::telemetry::words::{spoken, thousands};
use hour::Hour;
use html::{class, fact, facts, outside, seen, sign, warning};

/// How it looks. Its digest is in [`policy`].
const STYLE: &str = include_str!("style.css");

/// Small drawings that several places share.
const DEFINITIONS: &str = include_str!("definitions.svg");

/// What a browser may do with the page: apply this very style, and nothing else.
pub(super) fn policy() -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::prelude::{BASE64_STANDARD, Engine};
    let style = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page about a report of this host. It loads itself again now and then, if it `refreshes`.
pub(super) fn page(report: &Report, history: &History, host: Option<&str>, refreshes: bool) -> String {
    let hour = Hour::new(history, Instant::now());
    let mut directories: Vec<_> = report.directories.iter().collect();
    // What needs attention comes first.
    directories.sort_by_key(|it| std::cmp::Reverse(it.state.max(State::Answers)));
    let states: Vec<_> = directories.iter().map(|it| it.state).collect();
    let main = cards(report, &hour, &directories);
    let page = html! {
        (DOCTYPE) "\n"
        html lang="en" {
            (head(host, &states, refreshes))
            body {
                (PreEscaped(DEFINITIONS))
                header {
                    h1 { "vouch" @if let Some(host) = host { " " small { "on " (outside(host)) } } }
                    (summary(report, &directories, &states))
                    @match main.0.matches(html::WARNING).count() {
                        0 => {}
                        1 => p { "1 item below needs attention." }
                        more => p { (more) " items below need attention." }
                    }
                    (freshness(&hour, refreshes))
                }
                main { (main) }
                footer {
                    p {
                        "All numbers: " a href="metrics" { "metrics" } ". In the terminal: " code { "vouch status" }
                        ", which has the remotes\u{2019} own words as well; they may name users, so they are not on this page."
                    }
                }
            }
        }
        "\n"
    };
    page.0
}

/// Everything below the header.
fn cards(report: &Report, hour: &Hour, directories: &[&Directory]) -> Markup {
    let directories = directories.iter().enumerate();
    let listeners = report.listeners.iter().enumerate();
    html! {
        (section("Directories", directories.map(|(at, it)| directory::card(hour, at, it))))
        (section("Listeners", listeners.map(|(at, it)| listener::card(hour, at, it))))
        (section("Fleet", fleet::cards(report)))
        (process(report))
    }
}

fn head(host: Option<&str>, states: &[State], refreshes: bool) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            @if refreshes { meta http-equiv="refresh" content=(EVERY.as_secs()); }
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { "vouch" @if let Some(host) = host { " on " (seen(host)) } ": " (headline(states)) }
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// How the directories are, in one sentence.
fn headline(states: &[State]) -> String {
    let all = states.len();
    let count = |wanted: State| states.iter().filter(|&&state| state == wanted).count();
    let are = |some: usize, one: &str, more: &str| match (some, all) {
        (1, 1) => format!("the directory {one}"),
        (_, _) if some == all => format!("all {all} directories {more}"),
        (1, _) => format!("1 of {all} directories {one}"),
        _ => format!("{some} of {all} directories {more}"),
    };
    match (count(State::Silent), count(State::Falters), count(State::Unasked)) {
        _ if all == 0 => "no directory is known".to_owned(),
        (0, 0, unasked) if unasked == all => "no directory was asked yet".to_owned(),
        (0, 0, 0) => are(all, "answers", "answer"),
        (0, 0, unasked) => format!(
            "{}, the others were not asked yet",
            are(all - unasked, "answers", "answer")
        ),
        (0, troubled, _) => are(
            troubled, "leaves some questions without an answer", "leave some questions without an answer",
        ),
        (silent, _, _) => are(silent, "gives no answer", "give no answer"),
    }
}

fn summary(report: &Report, directories: &[&Directory], states: &[State]) -> Markup {
    let worst = states.iter().copied().max().unwrap_or_default();
    let sentence = headline(states);
    let mut letters = sentence.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let sick = directories
        .iter()
        .enumerate()
        .filter(|(_, it)| it.state >= State::Falters);
    html! {
        p.summary.(class(worst)) {
            (sign(worst)) (first.chain(letters).collect::<String>())
            @for (nth, (at, it)) in sick.enumerate() {
                @if nth == 0 { ": " } @else { ", " }
                a href={ "#d" (at) } { (outside(&it.name)) }
                @if it.state != worst { " (in part)" }
            }
            "."
        }
        @if report.draining {
            p.summary.troubled { (sign(State::Falters)) "Shutting down: new connections are refused." }
        }
    }
}

/// When the page was made, and whether it stays so.
fn freshness(hour: &Hour, refreshes: bool) -> Markup {
    let began = html! { (spoken(hour.age)) " ago, with this process." };
    html! {
        p {
            "As of " time { (clock::second()) } ". "
            @if refreshes {
                "Refreshes every " (EVERY.as_secs()) "\u{a0}s (" a href="?still" { "pause" } ")."
            } @else {
                "Paused (" a href="." { "refresh every " (EVERY.as_secs()) "\u{a0}s" } ")."
            }
        }
        p {
            @if hour.is_empty() {
                "No history yet: it began " (began)
            } @else if hour.begins > 0.0 {
                "The history began " (began)
            }
            " The charts show the last hour, in steps of " (EVERY.as_secs()) "\u{a0}s."
        }
    }
}

/// Cards below a heading; nothing where there is none.
fn section(title: &str, cards: impl ExactSizeIterator<Item = Markup>) -> Markup {
    html! {
        @if cards.len() > 0 {
            section { h2 { (title) } div.cards { @for card in cards { (card) } } }
        }
    }
}

fn process(report: &Report) -> Markup {
    let log = &report.log;
    let rows = html! {
        (fact("Version", &html! { (report.version) }))
        (fact("Process", &html! { (report.process) }))
        (fact("Up", &html! { (ago(report.uptime)) }))
        (fact("Configuration", &html! { "read " (ago(report.configuration.ago)) " ago" }))
        // Why one was refused may quote it, and the log has it.
        @if let Some(refused) = &report.configuration.refused {
            (warning("Not reloaded", &html! {
                "a changed file was rejected " (ago(refused.ago)) " ago; see the log or vouch status"
            }))
        }
        @if let Some(memory) = report.memory {
            (fact("Memory", &html! { (format!("{:.1} MiB", memory as f64 / 1_048_576.0)) }))
        }
        (fact("Log level", &html! {
            (log.level) @if log.level != log.configured { "; the configuration sets " (log.configured) }
        }))
        @if log.lines_lost > 0 {
            (warning("Log lines lost", &html! { (thousands(log.lines_lost)) ": standard error was not read in time" }))
        }
    };
    html! { section { h2 { "Process" } div.cards { article { (facts("The process", &rows)) } } } }
}

/// How long something is ago or has lasted, from seconds.
fn ago(seconds: u64) -> String {
    spoken(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_tells_how_all_directories_are() {
        use State::{Answers as Well, Falters as Troubled, Silent, Unasked};
        let cases: [(&[State], &str); 12] = [
            (&[], "no directory is known"),
            (&[Unasked], "no directory was asked yet"),
            (&[Unasked, Unasked], "no directory was asked yet"),
            (&[Well], "the directory answers"),
            (&[Well, Well], "all 2 directories answer"),
            (
                &[Well, Unasked],
                "1 of 2 directories answers, the others were not asked yet",
            ),
            (
                &[Troubled],
                "the directory leaves some questions without an answer",
            ),
            (
                &[Well, Troubled, Unasked],
                "1 of 3 directories leaves some questions without an answer",
            ),
            (&[Silent], "the directory gives no answer"),
            (&[Silent, Well], "1 of 2 directories gives no answer"),
            (&[Silent, Troubled, Silent], "2 of 3 directories give no answer"),
            (&[Silent, Silent], "all 2 directories give no answer"),
        ];
        for (states, expected) in cases {
            assert_eq!(headline(states), expected, "{states:?}");
        }
    }

    #[tokio::test]
    async fn a_report_without_anything_is_shown_too() {
        let page = page(&Report::default(), &History::new(), None, true);
        assert!(
            page.contains("No directory is known.") && page.ends_with("</body></html>\n"),
            "{page}"
        );
    }
}
