//! The status page: what `vouch status` says, and the last hour, as one HTML page without scripts.
//!
//! Everything on it comes from the report of the control socket and from [`History`]. The page leaves out remotes'
//! replies, canaries and domains of the report: they may name a user, and every client that can connect may read the
//! page.

mod chart;
mod directory;
mod hour;
mod html;
mod listener;
mod table;
mod words;

use serde_json::Value;
use tokio::time::Instant;

use super::history::{EVERY, History};
use crate::telemetry::clock;
use crate::telemetry::words::spoken;
use directory::State;
use hour::Hour;
use html::Html;
use table::Table;

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
pub(super) fn page(report: &Value, history: &History, host: Option<&str>, refreshes: bool) -> String {
    let hour = Hour::new(history, Instant::now());
    let mut directories: Vec<_> = each(&report["directories"]).collect();
    // What somebody should see to comes first.
    directories.sort_by_key(|it| std::cmp::Reverse(State::of(it).max(State::Well)));
    let states: Vec<_> = directories.iter().map(|it| State::of(it)).collect();
    let mut html = Html::default();
    let main = cards(report, &hour, &directories, &states);
    head(&mut html, host, &states, refreshes);
    html.markup("<body>")
        .markup(DEFINITIONS)
        .markup("<header><h1>vouch");
    if let Some(host) = host {
        html.markup(" <small>on ").outside(host).markup("</small>");
    }
    html.markup("</h1>");
    summary(&mut html, report, &directories, &states);
    match main.count(table::WARNING) {
        0 => &mut html,
        1 => html.markup("<p>1 item below needs attention.</p>"),
        more => html
            .markup("<p>")
            .text(more)
            .markup(" items below need attention.</p>"),
    };
    freshness(&mut html, &hour, refreshes);
    html.markup("</header><main>").piece(&main);
    html.markup(
        "</main><footer><p>All numbers: <a href=\"metrics\">metrics</a>. In the terminal: <code>vouch status</code>, which has the \
         remotes\u{2019} own words as well; they may name users, so they are not on this page.</p></footer></body></html>\n",
    );
    html.end()
}

/// Everything below the header.
fn cards(report: &Value, hour: &Hour, directories: &[&Value], states: &[State]) -> Html {
    let mut html = Html::default();
    let shown = directories.iter().zip(states).enumerate();
    section(&mut html, "Directories", shown, |html, (at, (it, state))| {
        directory::card(html, hour, at, it, *state);
    });
    let listeners = each(&report["listeners"]).enumerate();
    section(&mut html, "Listeners", listeners, |html, (at, it)| {
        listener::card(html, hour, at, it);
    });
    process(&mut html, report);
    html
}

fn head(html: &mut Html, host: Option<&str>, states: &[State], refreshes: bool) {
    html.markup("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    if refreshes {
        html.markup("<meta http-equiv=\"refresh\" content=\"")
            .text(EVERY.as_secs())
            .markup("\">");
    }
    html.markup(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>vouch",
    );
    if let Some(host) = host {
        html.markup(" on ").text(host);
    }
    html.markup(": ")
        .text(headline(states))
        .markup("</title><style>")
        .markup(STYLE)
        .markup("</style></head>");
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
    match (
        count(State::Silent),
        count(State::Troubled),
        count(State::Unasked),
    ) {
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

fn summary(html: &mut Html, report: &Value, directories: &[&Value], states: &[State]) {
    let worst = states.iter().copied().max().unwrap_or(State::Unasked);
    html.markup("<p class=\"summary ")
        .markup(worst.class())
        .markup("\">");
    worst.sign(html);
    let sentence = headline(states);
    let mut letters = sentence.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    html.text(first.chain(letters).collect::<String>());
    let named = directories.iter().zip(states).enumerate();
    let mut before = ": ";
    for (at, (it, state)) in named.filter(|(_, (_, state))| **state >= State::Troubled) {
        html.markup(before).markup("<a href=\"#d").text(at).markup("\">");
        html.outside(text(&it["name"])).markup("</a>");
        if *state != worst {
            html.markup(" (in part)");
        }
        before = ", ";
    }
    html.markup(".</p>");
    if report["draining"] == true {
        html.markup("<p class=\"summary troubled\">");
        State::Troubled.sign(html);
        html.markup("Shutting down: new connections are refused.</p>");
    }
}

/// When the page was made, and whether it stays so.
fn freshness(html: &mut Html, hour: &Hour, refreshes: bool) {
    html.markup("<p>As of <time>")
        .text(clock::second())
        .markup("</time>. ");
    if refreshes {
        html.markup("Refreshes every ")
            .text(EVERY.as_secs())
            .markup("\u{a0}s (<a href=\"?still\">pause</a>).");
    } else {
        html.markup("Paused (<a href=\".\">refresh every ")
            .text(EVERY.as_secs())
            .markup("\u{a0}s</a>).");
    }
    html.markup("</p><p>");
    let began = |html: &mut Html| {
        html.text(spoken(hour.age)).markup(" ago, with this process");
    };
    if hour.is_empty() {
        html.markup("No history yet: it began ");
        began(html);
        html.markup(".");
    } else if hour.begins > 0.0 {
        html.markup("The history began ");
        began(html);
        html.markup(".");
    }
    html.markup(" The charts show the last hour, in steps of ")
        .text(EVERY.as_secs())
        .markup("\u{a0}s.</p>");
}

/// Cards below a heading; nothing where there is none.
fn section<T>(
    html: &mut Html,
    title: &'static str,
    items: impl Iterator<Item = T>,
    card: impl Fn(&mut Html, T),
) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    html.markup("<section><h2>")
        .markup(title)
        .markup("</h2><div class=\"cards\">");
    items.for_each(|item| card(html, item));
    html.markup("</div></section>");
}

fn process(html: &mut Html, report: &Value) {
    html.markup("<section><h2>Process</h2><div class=\"cards\"><article>");
    let mut facts = Table::facts("The process");
    facts.fact("Version", |html| {
        html.text(word(&report["version"]));
    });
    facts.fact("Process", |html| {
        html.text(&report["process"]);
    });
    if let Some(up) = report["uptime"].as_u64() {
        facts.fact("Up", |html| {
            html.text(ago(up));
        });
    }
    configuration(&mut facts, &report["configuration"]);
    if let Some(memory) = report["memory"].as_u64() {
        facts.fact("Memory", |html| {
            html.text(format_args!("{:.1} MiB", memory as f64 / 1_048_576.0));
        });
    }
    let log = &report["log"];
    if let Some(level) = log["level"].as_str() {
        facts.fact("Log level", |html| {
            html.text(level);
            if log["level"] != log["configured"] {
                html.markup("; the configuration sets ")
                    .text(word(&log["configured"]));
            }
        });
    }
    if let Some(lost @ 1..) = log["lines-lost"].as_u64() {
        facts.warning("Log lines lost", |html| {
            html.text(count(lost))
                .markup(": standard error was not read in time");
        });
    }
    facts.end(html);
    html.markup("</article></div></section>");
}

/// Why one was refused may quote it, and the log has it.
fn configuration(facts: &mut Table, it: &Value) {
    if let Some(read) = it["ago"].as_u64() {
        facts.fact("Configuration", |html| {
            html.markup("read ").text(ago(read)).markup(" ago");
        });
    }
    if let Some(refused) = it["refused"]["ago"].as_u64() {
        facts.warning("Not reloaded", |html| {
            html.markup("a changed file was rejected ")
                .text(ago(refused))
                .markup(" ago; see the log or vouch status");
        });
    }
}

/// A small piece of what fills an area of a chart.
fn swatch(html: &mut Html, class: &'static str) {
    html.markup(
        "<svg class=\"swatch\" aria-hidden=\"true\" width=\"22\" height=\"12\"><rect width=\"100%\" height=\"100%\" class=\"",
    )
    .markup(class)
    .markup("\"/></svg> ");
}

/// The members of a list.
fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// A word or a number; `-` for what is neither.
fn word(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), count),
        other => text(other).to_owned(),
    }
}

fn count(number: u64) -> String {
    crate::telemetry::words::thousands(number)
}

/// How long something is ago or has lasted, from seconds.
fn ago(seconds: u64) -> String {
    spoken(std::time::Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_tells_how_all_directories_are() {
        use State::{Silent, Troubled, Unasked, Well};
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
        let page = page(&Value::Null, &History::new(), None, true);
        assert!(
            page.contains("No directory is known.") && page.ends_with("</body></html>\n"),
            "{page}"
        );
    }
}
