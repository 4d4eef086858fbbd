//! A listener on the page.

use std::time::Duration;

use maud::{Markup, html};

use super::chart::{self, Frame};
use super::hour::{Hour, Past, key_of_times, minutes_ago, within};
use super::html::{fact, facts, numbers, outside, path, swatch, warning};
use super::words::{lasting, percent, rate};
use crate::metrics::history::{ListenerStep, VERDICTS};
use crate::report::Listener;
use crate::telemetry::words::thousands;

/// The verdicts as the history counts them: names, and classes of the style.
const NAMES: [&str; VERDICTS] = ["accept", "reject", "defer", "abstain"];

/// The card of the listener at this place.
pub(super) fn card(hour: &Hour, at: usize, it: &Listener) -> Markup {
    let past = hour.of(|step| step.listeners.get(&it.name));
    let (id, sum) = (format!("l{at}"), past.sum());
    html! {
        article aria-labelledby={ (id) "-name" } {
            h3 id={ (id) "-name" } { (outside(&it.name)) " " small { (it.protocol) } }
            (facts("The listener", &rows(it)))
            @if sum.answers() > 0 {
                h4 { "Answers, by verdict" }
                (answers(&id, &past, &sum))
                (last_hour(&past, &sum))
                h4 { "Time to a verdict" }
                (past.times(&format!("{id}-took"), "Time from a question to its verdict", |step| &step.took))
                (key_of_times())
            } @else if !past.is_empty() {
                p { "No questions in the time shown." }
            }
            details {
                summary { "In numbers" }
                @if sum.answers() > 0 { (by_five_minutes(&past)) }
                (since_start(it))
            }
        }
    }
}

fn rows(it: &Listener) -> Markup {
    let connections = html! { (thousands(it.connections)) " of at most " (thousands(it.max_connections)) };
    html! {
        (fact("Socket", &path(&it.socket)))
        @if it.is_full() {
            (warning("Connections", &html! { (connections) ": others are closed at once (max-connections)" }))
        } @else {
            (fact("Connections", &connections))
        }
        @for (number, name) in [
            (it.refused, "Connections refused (limit)"),
            (it.strangers, "Connections refused (peers)"),
            (it.delayed, "Answers delayed (penalty)"),
        ] {
            @if number > 0 { (fact(name, &html! { (thousands(number)) })) }
        }
    }
}

/// How many there were in a second of such a step.
fn a_second(took: Duration, count: u64) -> f64 {
    count as f64 / took.as_secs_f64().max(1.0)
}

fn answers(id: &str, past: &Past<'_, ListenerStep>, sum: &ListenerStep) -> Markup {
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
        .map(|(name, number)| format!("{} {name}", thousands(number)))
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
fn last_hour(past: &Past<'_, ListenerStep>, sum: &ListenerStep) -> Markup {
    let nothing = ListenerStep::default();
    let (took, lately) = past.steps.last().copied().unwrap_or((Duration::ZERO, &nothing));
    let verdicts = NAMES.into_iter().zip(sum.verdicts).zip(lately.verdicts);
    let rows = verdicts.map(|((name, number), lately)| {
        let cells = vec![
            thousands(number),
            percent(number, sum.answers()),
            rate(a_second(took, lately)),
        ];
        (html! { (swatch(name)) (name) }, cells)
    });
    numbers(
        "In the time shown",
        &["verdict", "answers", "share", "lately"],
        rows,
    )
}

fn by_five_minutes(past: &Past<'_, ListenerStep>) -> Markup {
    let rows = past.rows().into_iter().map(|(minutes, it)| {
        let mut cells: Vec<_> = it.verdicts.map(thousands).into();
        cells.extend([0.5, 0.95].map(|share| within(&it.took, share)));
        (html! { (minutes_ago(minutes)) }, cells)
    });
    numbers(
        "The last hour, by five minutes",
        &[
            "when", "accept", "reject", "defer", "abstain", "median", "95 % within",
        ],
        rows,
    )
}

/// What the report has since the start of the process.
fn since_start(it: &Listener) -> Markup {
    let micros = |us: Option<u64>| us.map_or("–".to_owned(), |us| lasting(Duration::from_micros(us)));
    let verdicts = it.verdicts.iter().map(|row| {
        let cells = vec![thousands(row.count), micros(row.us.p50), micros(row.us.p99)];
        (html! { (row.verdict) }, cells)
    });
    let reasons = it.reasons.iter().map(|row| {
        let cells = vec![row.cause.clone(), row.source.clone(), thousands(row.count)];
        (html! { (row.verdict) }, cells)
    });
    html! {
        (numbers("Since it was opened", &["verdict", "answers", "median", "99 % within"], verdicts))
        @if !it.reasons.is_empty() {
            (numbers(
                "By cause and source, since it was opened",
                &["verdict", "cause", "source", "answers"],
                reasons,
            ))
        }
    }
}
