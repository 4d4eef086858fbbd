//! The history as the charts and tables want it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::chart::{self, Decades, Frame, Span};
use super::html::Html;
use super::words::lasting;
use crate::metrics::history::{History, Step};
use crate::telemetry::histogram::Durations;

/// Rows of the tables that say in numbers what the charts show: of five minutes each.
const ROWS: usize = 12;

/// The last hour.
pub(super) struct Hour {
    pub(super) steps: Vec<Arc<Step>>,
    /// Where they lie.
    pub(super) spans: Vec<Span>,
    /// Where the history begins, as a share of the hour: 0 where it is older.
    pub(super) begins: f64,
    /// How long ago it began.
    pub(super) age: Duration,
}

impl Hour {
    pub(super) fn new(history: &History, now: Instant) -> Self {
        let steps = history.steps();
        let span = |step: &Arc<Step>| Span::new(now.duration_since(step.at), step.took);
        let age = now.duration_since(history.since());
        Self {
            spans: steps.iter().map(span).collect(),
            begins: Span::new(age, Duration::ZERO).to,
            age,
            steps,
        }
    }

    /// Nothing is known yet.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What is true of one listener or directory, of each step.
    pub(super) fn of<'a, T>(&'a self, one: impl Fn(&'a Step) -> Option<&'a T>) -> Vec<(&'a Step, &'a T)> {
        let both = self.steps.iter().filter_map(|step| Some((&**step, one(step)?)));
        both.collect()
    }

    /// The same, summed up for each five minutes, the latest first, with how many minutes ago they ended.
    pub(super) fn rows<T: Default>(&self, of: &[(&Step, &T)], add: impl Fn(&mut T, &T)) -> Vec<(usize, T)> {
        let mut rows: Vec<Option<T>> = (0..ROWS).map(|_| None).collect();
        for (span, (_, step)) in self.spans.iter().zip(of) {
            // By its middle: an end may be as new as now, or an hour old.
            let ago = 1.0 - f64::midpoint(span.from, span.to);
            let row = ((ago * ROWS as f64) as usize).min(ROWS - 1);
            if let Some(row) = rows.get_mut(row) {
                add(row.get_or_insert_default(), step);
            }
        }
        let minutes = |(row, sum): (usize, Option<T>)| Some((row * 60 / ROWS, sum?));
        rows.into_iter().enumerate().filter_map(minutes).collect()
    }

    /// A chart of how long things took: within which time half of them were over, and 95 of a hundred.
    pub(super) fn times(&self, id: &str, title: &str, took: &[&Durations]) -> Html {
        let within = |share: f64| -> Vec<_> { took.iter().map(|took| took.quantile(share)).collect() };
        let (half, most) = (within(0.5), within(0.95));
        let scale = Decades::of(half.iter().chain(&most).flatten().copied());
        let shares = |times: &[Option<Duration>]| -> Vec<_> {
            let share = |time: &Option<Duration>| time.map(|time| scale.share(time));
            times.iter().map(share).collect()
        };
        let mut marks = chart::line("most", &self.spans, &shares(&most));
        marks.piece(&chart::line("half", &self.spans, &shares(&half)));
        let mut all = Durations::default();
        took.iter().for_each(|took| all.add(took));
        let description = match (all.quantile(0.5), all.quantile(0.95)) {
            (Some(half), Some(most)) => format!(
                "In all, half within {}, 95 % within {}. At worst, 95 % within {}.",
                lasting(half),
                lasting(most),
                lasting(most_of(&within(0.95)).unwrap_or(most))
            ),
            _ => "Nothing was asked.".to_owned(),
        };
        let frame = Frame {
            id,
            title,
            description: &description,
            height: 96,
            levels: &scale.levels(),
            begins: self.begins,
        };
        chart::chart(&frame, &marks)
    }
}

fn most_of(times: &[Option<Duration>]) -> Option<Duration> {
    times.iter().flatten().max().copied()
}

/// What the two lines of a chart of times are.
pub(super) fn key_of_times(html: &mut Html) {
    html.markup("<p class=\"key\">");
    for (class, words) in [
        ("half", "half within this time"),
        ("most", "95\u{a0}% within this time"),
    ] {
        html.markup("<span><svg aria-hidden=\"true\" width=\"28\" height=\"10\"><line x2=\"28\" y1=\"5\" y2=\"5\" class=\"")
            .markup(class)
            .markup("\"/></svg> ")
            .markup(words)
            .markup("</span> ");
    }
    html.markup("</p>");
}

/// `5–10 min ago`
pub(super) fn minutes_ago(minutes: usize) -> String {
    format!("{minutes}–{} min ago", minutes + 60 / ROWS)
}
