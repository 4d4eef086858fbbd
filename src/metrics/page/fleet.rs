//! The fleet on the page: its stores, and the edges that doubt.

use maud::{Markup, html};

use super::ago;
use super::html::{class, fact, facts, outside, path, sign, warning};
use super::words::{lasting, percent};
use crate::report::{Doubting, Report, State, Store};
use crate::telemetry::words::thousands;

/// A card of each store; the last one has what other edges doubt.
pub(super) fn cards(report: &Report) -> impl ExactSizeIterator<Item = Markup> {
    let doubts = (!report.doubting.is_empty()).then(|| doubts(&report.doubting));
    let cards: Vec<_> = report.fleet.iter().map(card).chain(doubts).collect();
    cards.into_iter()
}

fn card(it: &Store) -> Markup {
    let (state, words) = match (it.used, &it.trouble) {
        (false, _) => (State::Silent, "not used"),
        (true, Some(_)) => (State::Falters, "used in part"),
        (true, None) => (State::Answers, "used"),
    };
    html! {
        article {
            h3 { (path(&it.store)) " " small { "store" } }
            p.state.(class(state)) { (sign(state)) (words) }
            (facts("The store", &rows(it)))
        }
    }
}

fn rows(it: &Store) -> Markup {
    let took = &it.round_trip.took;
    html! {
        @if let Some(why) = &it.trouble { (warning("Trouble", &outside(why))) }
        (fact("Answers", &html! {
            (thousands(it.answered))
            @if it.answered > 0 { ", " (percent(it.found, it.answered)) " with a finding of another edge" }
        }))
        @if let (Some(half), Some(most)) = (took.quantile(0.5), took.quantile(0.99)) {
            (fact("Time to its answer", &html! { (lasting(half)) " in the median, 99\u{a0}% within " (lasting(most)) }))
        }
        @if it.failed + it.spared > 0 {
            (fact("Without an answer", &html! {
                (thousands(it.failed)) " questions; " (thousands(it.spared)) " were not asked while it was left alone"
            }))
        }
        (fact("Findings", &html! {
            (thousands(it.written)) " written"
            @if it.unwritten > 0 { ", " (thousands(it.unwritten)) " not" }
        }))
    }
}

/// Domains are not on the page, see [`super`].
fn doubts(doubting: &[Doubting]) -> Markup {
    let rows = html! {
        @for it in doubting {
            (warning("Canary refused", &html! {
                "at the edge " (outside(&it.edge)) ", " (ago(it.ago)) " ago: refusals in "
                @if it.domains == 1 { "its domain" } @else { (thousands(it.domains)) " domains" }
                " are deferred here as well"
            }))
        }
    };
    html! { article { h3 { "Other edges" } (facts("Other edges", &rows)) } }
}
