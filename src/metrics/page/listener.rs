//! A listener on the page.

use serde_json::Value;

use super::chart::{self, Frame};
use super::hour::{Hour, key_of_times, minutes_ago};
use super::html::Html;
use super::table::Table;
use super::words::{lasting, percent, rate};
use super::{count, each, swatch, text, word};
use crate::metrics::history::{DoorStep, Step, VERDICTS};

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
    let steps = hour.of(|step| step.doors.get(at));
    let id = format!("l{at}");
    if !steps.is_empty() {
        html.markup("<h4>Answers, by verdict</h4>")
            .piece(&answers(hour, &id, &steps));
        last_hour(html, &steps);
    }
    let took: Vec<_> = steps.iter().map(|(_, step)| &step.took).collect();
    if took.iter().any(|took| took.count() > 0) {
        let title = "Time from a question to its verdict";
        html.markup("<h4>Time to a verdict</h4>")
            .piece(&hour.times(&format!("{id}-took"), title, &took));
        key_of_times(html);
    }
    html.markup("<details><summary>In numbers</summary>");
    if !steps.is_empty() {
        numbers(html, hour, &steps);
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
        ("refused", "Turned away so far"),
        ("strangers", "Strangers so far"),
        ("delayed", "Answers held back so far"),
    ] {
        if let Some(number @ 1..) = it[member].as_u64() {
            facts.fact(name, |html| {
                html.text(count(number));
            });
        }
    }
    facts.end(html);
}

fn answers(hour: &Hour, id: &str, steps: &[(&Step, &DoorStep)]) -> Html {
    let a_second = |step: &Step, count: u64| count as f64 / step.took.as_secs_f64().max(1.0);
    let rates: Vec<_> = steps
        .iter()
        .map(|(step, it)| a_second(step, it.answers()))
        .collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    // Below one a second, the scale counts by the minute: its numbers are round in what is shown.
    let unit = if most < 1.0 { 60.0 } else { 1.0 };
    let top = chart::top(most * unit) / unit;
    let layers = std::array::from_fn::<_, VERDICTS, _>(|verdict| {
        let shares = steps.iter().map(|(step, it)| {
            let count = it.verdicts.get(verdict).copied().unwrap_or_default();
            a_second(step, count) / top
        });
        (
            NAMES.get(verdict).copied().unwrap_or_default(),
            shares.collect::<Vec<_>>(),
        )
    });
    let sum = sum(steps);
    let verdicts = NAMES.iter().zip(sum.verdicts);
    let verdicts: Vec<_> = verdicts
        .map(|(name, number)| format!("{} {name}", count(number)))
        .collect();
    let description = format!(
        "{}, at most {}. In all: {}.",
        rates
            .last()
            .map_or_else(String::new, |last| format!("Lately {}", rate(*last))),
        rate(most),
        verdicts.join(", ")
    );
    let frame = Frame {
        id: &format!("{id}-answers"),
        title: "Answers over time, by verdict",
        description: &description,
        height: 112,
        levels: &[(1.0, rate(top)), (0.5, rate(top / 2.0))],
        begins: hour.begins,
    };
    chart::chart(&frame, &chart::areas(id, &hour.spans, &layers))
}

fn sum(steps: &[(&Step, &DoorStep)]) -> DoorStep {
    let mut sum = DoorStep::default();
    steps.iter().for_each(|(_, step)| sum.add(step));
    sum
}

/// What the areas of the chart are, and how much of each there was.
fn last_hour(html: &mut Html, steps: &[(&Step, &DoorStep)]) {
    let sum = sum(steps);
    let lately = steps.last();
    let mut table = Table::numbers("In the last hour", &["verdict", "answers", "share", "lately"]);
    for (name, number) in NAMES.iter().zip(sum.verdicts) {
        let lately = lately.map_or(0.0, |(step, it)| {
            let of_it = NAMES.iter().zip(it.verdicts).find(|(other, _)| *other == name);
            of_it.map_or(0, |(_, count)| count) as f64 / step.took.as_secs_f64().max(1.0)
        });
        let cells = [count(number), percent(number, sum.answers()), rate(lately)];
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

fn numbers(html: &mut Html, hour: &Hour, steps: &[(&Step, &DoorStep)]) {
    let mut table = Table::numbers(
        "The last hour, by five minutes",
        &[
            "when", "accept", "reject", "defer", "abstain", "half within", "95 % within",
        ],
    );
    for (minutes, it) in hour.rows(steps, DoorStep::add) {
        let mut cells: Vec<_> = it.verdicts.iter().map(|number| count(*number)).collect();
        cells.extend([0.5, 0.95].map(|share| it.took.quantile(share).map_or("–".to_owned(), lasting)));
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
        "Since the start",
        &["verdict", "answers", "half within", "99 % within"],
    );
    let micros = |value: &Value| {
        value.as_u64().map_or("–".to_owned(), |us| {
            lasting(std::time::Duration::from_micros(us))
        })
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
        "Why, and by whom, since the start",
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
