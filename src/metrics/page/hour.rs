//! The history as the charts and tables want it.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};
use tokio::time::Instant;

use super::chart::{self, Decades, Frame, Span};
use super::words::lasting;
use crate::metrics::history::{History, Step};
use crate::telemetry::histogram::Durations;

/// Rows of the tables that say in numbers what the charts show: of five minutes each.
const ROWS: usize = 12;

/// A history that begins before this share of the hour is of the whole hour: the oldest step is on its way out.
const BEGIN: f64 = 0.02;

/// The last hour.
pub(super) struct Hour {
    steps: Vec<(Span, Arc<Step>)>,
    /// Where the history begins, as a share of the hour: 0 where it is older.
    pub(super) begins: f64,
    /// How long ago it began.
    pub(super) age: Duration,
}

/// What one listener or directory did in the last hour.
pub(super) struct Past<'a, T> {
    /// Where its steps lie.
    pub(super) spans: Vec<Span>,
    /// How long each lasted, and what happened.
    pub(super) steps: Vec<(Duration, &'a T)>,
    /// Where what is known of it begins.
    pub(super) begins: f64,
}

impl Hour {
    pub(super) fn new(history: &History, now: Instant) -> Self {
        let span = |step: &Arc<Step>| Span::new(now.duration_since(step.at), step.took);
        let age = now.duration_since(history.since());
        let steps = history.steps().into_iter();
        Self {
            steps: steps.map(|step| (span(&step), step)).collect(),
            begins: Span::new(age, Duration::ZERO).to,
            age,
        }
    }

    /// Nothing is known yet.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What is known of one, where there was one in a step.
    pub(super) fn of<'a, T>(&'a self, one: impl Fn(&'a Step) -> Option<&'a T>) -> Past<'a, T> {
        let known = self.steps.iter();
        let known = known.filter_map(|(span, step)| Some((*span, (step.took, one(step)?))));
        let (spans, steps): (Vec<Span>, Vec<_>) = known.unzip();
        let first = spans.first().map_or(1.0, |first| first.from);
        Past {
            begins: if self.begins > 0.0 || first > BEGIN {
                first
            } else {
                0.0
            },
            spans,
            steps,
        }
    }
}

impl<T: Default + for<'b> AddAssign<&'b T>> Past<'_, T> {
    /// All of it together.
    pub(super) fn sum(&self) -> T {
        let mut sum = T::default();
        self.steps.iter().for_each(|(_, step)| sum += *step);
        sum
    }

    /// The same for each five minutes, the latest first, with how many minutes ago they ended.
    pub(super) fn rows(&self) -> Vec<(usize, T)> {
        let mut rows: Vec<Option<T>> = (0..ROWS).map(|_| None).collect();
        for (span, (_, step)) in self.spans.iter().zip(&self.steps) {
            // By its middle: an end may be as new as now, or an hour old.
            let ago = 1.0 - f64::midpoint(span.from, span.to);
            let row = ((ago * ROWS as f64) as usize).min(ROWS - 1);
            if let Some(row) = rows.get_mut(row) {
                *row.get_or_insert_default() += *step;
            }
        }
        let minutes = |(row, sum): (usize, Option<T>)| Some((row * 60 / ROWS, sum?));
        rows.into_iter().enumerate().filter_map(minutes).collect()
    }
}

impl<T> Past<'_, T> {
    /// Nothing is known of it.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// A chart of how long things took: within which time half of them were over, and 95 of a hundred.
    pub(super) fn times(&self, id: &str, title: &str, took: impl Fn(&T) -> &Durations) -> Markup {
        let took: Vec<_> = self.steps.iter().map(|(_, step)| took(step)).collect();
        let within = |share: f64| -> Vec<_> { took.iter().map(|took| took.quantile(share)).collect() };
        let (half, most) = (within(0.5), within(0.95));
        let scale = Decades::of(half.iter().chain(&most).flatten().copied());
        let shares = |times: &[Option<Duration>]| -> Vec<_> {
            let share = |time: &Option<Duration>| time.map(|time| scale.share(time));
            times.iter().map(share).collect()
        };
        let marks = html! {
            (chart::line("most", &self.spans, &shares(&most)))
            (chart::line("half", &self.spans, &shares(&half)))
        };
        let mut all = Durations::default();
        took.iter().for_each(|took| all.add(took));
        let description = match (all.quantile(0.5), all.quantile(0.95)) {
            (Some(half), Some(most)) => format!(
                "In all: median {}, 95 % within {}. At worst, 95 % within {}.",
                lasting(half),
                lasting(most),
                lasting(most_of(&within(0.95)).unwrap_or(most))
            ),
            _ => "No questions.".to_owned(),
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
pub(super) fn key_of_times() -> Markup {
    html! {
        p.key {
            @for (class, words) in [("half", "median"), ("most", "95\u{a0}% within this time")] {
                span {
                    svg aria-hidden="true" width="28" height="10" { line x2="28" y1="5" y2="5" class=(class) {} } " " (words)
                }
                " "
            }
        }
    }
}

/// Within which time a share of these were over; a dash where there were none.
pub(super) fn within(took: &Durations, share: f64) -> String {
    took.quantile(share).map_or("–".to_owned(), lasting)
}

/// `5–10 min ago`
pub(super) fn minutes_ago(minutes: usize) -> String {
    format!("{minutes}–{} min ago", minutes + 60 / ROWS)
}
