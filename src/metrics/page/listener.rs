//! A listener on the page.

use std::time::Duration;

use serde_json::Value;

use super::chart::{self, Frame};
use super::hour::{Hour, Past, key_of_times, minutes_ago, within};
use super::html::Html;
use super::table::Table;
use super::words::{lasting, percent, rate};
use super::{count, each, swatch, text, word};
use crate::metrics::history::{ListenerStep, VERDICTS};

/// The verdicts as the history counts them: names, and classes of the style.
const NAMES: [&str; VERDICTS] = ["accept", "reject", "defer", "abstain"];

/// Writes the card of the listener at this place.
pub(super) fn card(html: &mut Html, hour: &Hour, at: usize, it: &Value) {
    html.markup("<article aria-labelledby=\"l")
        .text(at)
        .markup("-name\"><h3 id=\"l");
    html.text(at)
        .markup("-name\">")
        .outside(text(&it["name"]))
        .markup(" <small>")
        .text(text(&it["protocol"]))
        .markup("</small></h3>");
    facts(html, it);
    let past = hour.of(|step| step.listeners.get(text(&it["name"])));
    let id = format!("l{at}");
    let sum = past.sum();
    if sum.answers() > 0 {
        html.markup("<h4>Answers, by verdict</h4>")
            .piece(&answers(&id, &past, &sum));
        last_hour(html, &past, &sum);
        let title = "Time from a question to its verdict";
        html.markup("<h4>Time to a verdict</h4>")
            .piece(&past.times(&format!("{id}-took"), title, |step| &step.took));
        key_of_times(html);
    } else if !past.is_empty() {
        html.markup("<p>No questions in the time shown.</p>");
    }
    html.markup("<details><summary>In numbers</summary>");
    if sum.answers() > 0 {
        numbers(html, &past);
    }
    since_start(html, it);
    html.markup("</details></article>");
}

fn facts(html: &mut Html, it: &Value) {
    let mut facts = Table::facts("The listener");
    facts.fact("Socket", |html| {
        html.path(text(&it["socket"]));
    });
    let (open, most) = (it["connections"].as_u64(), it["max-connections"].as_u64());
    let connections = |html: &mut Html| {
        html.text(word(&it["connections"]))
            .markup(" of at most ")
            .text(word(&it["max-connections"]));
    };
    if open >= most && open > Some(0) {
        facts.warning("Connections", |html| {
            connections(html);
            html.markup(": others are closed at once (max-connections)");
        });
    } else {
        facts.fact("Connections", connections);
    }
    for (member, name) in [
        ("refused", "Connections refused (limit)"),
        ("strangers", "Connections refused (peers)"),
        ("delayed", "Answers delayed (penalty)"),
    ] {
        if let Some(number @ 1..) = it[member].as_u64() {
            facts.fact(name, |html| {
                html.text(count(number));
            });
        }
    }
    facts.end(html);
}

/// How many there were in a second of such a step.
fn a_second(took: Duration, count: u64) -> f64 {
    count as f64 / took.as_secs_f64().max(1.0)
}

fn answers(id: &str, past: &Past<'_, ListenerStep>, sum: &ListenerStep) -> Html {
    let rates = past.steps.iter().map(|(took, it)| a_second(*took, it.answers()));
    let rates: Vec<_> = rates.collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    // Below one a second, the scale counts by the minute: its numbers are round in what is shown.
    let unit = if most < 1.0 { 60.0 } else { 1.0 };
    let top = chart::top(most * unit) / unit;
    let layers = std::array::from_fn::<_, VERDICTS, _>(|verdict| {
        let count = |it: &ListenerStep| it.verdicts.get(verdict).copied().unwrap_or_default();
        let shares = past
            .steps
            .iter()
            .map(|(took, it)| a_second(*took, count(it)) / top);
        (
            NAMES.get(verdict).copied().unwrap_or_default(),
            shares.collect::<Vec<_>>(),
        )
    });
    let verdicts = NAMES.iter().zip(sum.verdicts);
    let verdicts: Vec<_> = verdicts
        .map(|(name, number)| format!("{} {name}", count(number)))
        .collect();
    let description = format!(
        "Lately {}, at most {}. In all: {}.",
        rate(rates.last().copied().unwrap_or_default()),
        rate(most),
        verdicts.join(", ")
    );
    let frame = Frame {
        id: &format!("{id}-answers"),
        title: "Answers over time, by verdict",
        description: &description,
        height: 112,
        levels: &[(1.0, rate(top)), (0.5, rate(top / 2.0))],
        begins: past.begins,
    };
    chart::chart(&frame, &chart::areas(id, &past.spans, &layers))
}

/// What the areas of the chart are, and how much of each there was.
fn last_hour(html: &mut Html, past: &Past<'_, ListenerStep>, sum: &ListenerStep) {
    let nothing = ListenerStep::default();
    let (took, lately) = past.steps.last().copied().unwrap_or((Duration::ZERO, &nothing));
    let mut table = Table::numbers("In the time shown", &["verdict", "answers", "share", "lately"]);
    for ((name, number), lately) in NAMES.into_iter().zip(sum.verdicts).zip(lately.verdicts) {
        let cells = [
            count(number),
            percent(number, sum.answers()),
            rate(a_second(took, lately)),
        ];
        table.row(
            |html| {
                swatch(html, name);
                html.markup(name);
            },
            &cells,
        );
    }
    table.end_numbers(html);
}

fn numbers(html: &mut Html, past: &Past<'_, ListenerStep>) {
    let mut table = Table::numbers(
        "The last hour, by five minutes",
        &[
            "when", "accept", "reject", "defer", "abstain", "median", "95 % within",
        ],
    );
    for (minutes, it) in past.rows() {
        let mut cells: Vec<_> = it.verdicts.iter().map(|number| count(*number)).collect();
        cells.extend([0.5, 0.95].map(|share| within(&it.took, share)));
        table.row(
            |html| {
                html.text(minutes_ago(minutes));
            },
            &cells,
        );
    }
    table.end_numbers(html);
}

/// What the report has since the start of the process.
fn since_start(html: &mut Html, it: &Value) {
    let mut table = Table::numbers(
        "Since it was opened",
        &["verdict", "answers", "median", "99 % within"],
    );
    let micros = |value: &Value| {
        value
            .as_u64()
            .map_or("–".to_owned(), |us| lasting(Duration::from_micros(us)))
    };
    for row in each(&it["verdicts"]) {
        let cells = [
            word(&row["count"]),
            micros(&row["us"]["p50"]),
            micros(&row["us"]["p99"]),
        ];
        table.row(
            |html| {
                html.text(text(&row["verdict"]));
            },
            &cells,
        );
    }
    table.end_numbers(html);
    let mut table = Table::numbers(
        "By cause and source, since it was opened",
        &["verdict", "cause", "source", "answers"],
    );
    let mut any = false;
    for row in each(&it["reasons"]) {
        any = true;
        let cells = [
            text(&row["cause"]).to_owned(),
            text(&row["source"]).to_owned(),
            word(&row["count"]),
        ];
        table.row(
            |html| {
                html.text(text(&row["verdict"]));
            },
            &cells,
        );
    }
    if any {
        table.end_numbers(html);
    }
}
