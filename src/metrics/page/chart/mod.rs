//! Charts of the last hour: points in, SVG out.
//!
//! Places are shares of the whole, from 0 to 1, so that a chart is as wide as there is room, and its letters are as large as
//! those around it. Whatever a colour shows, a pattern or dashes show as well, and words.

mod scale;

use std::fmt::Write;
use std::time::Duration;

use maud::{Markup, html};

pub(super) use scale::{Decades, Level, top};

/// Pixels below a chart, for the time.
const BELOW: u32 = 18;

/// Where a step lies in the hour: 0 is an hour ago, 1 is now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Span {
    /// Of a step that took so long and ended so long ago. What is older than an hour is left out.
    pub(super) fn new(ended: Duration, took: Duration) -> Self {
        let share = |ago: Duration| (1.0 - ago.as_secs_f64() / 3600.0).clamp(0.0, 1.0);
        Self {
            from: share(ended + took),
            to: share(ended),
        }
    }

    /// Nothing lies between it and the one before.
    fn follows(&self, before: &Self) -> bool {
        self.from - before.to < 0.001
    }
}

/// What is around the marks of a chart.
pub(super) struct Frame<'a> {
    /// Tells it from others of the page.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// What there is to see, for those who do not.
    pub(super) description: &'a str,
    /// Pixels of height.
    pub(super) height: u32,
    pub(super) levels: &'a [Level],
    /// Where what is known begins.
    pub(super) begins: f64,
}

/// Draws `marks` in a frame.
pub(super) fn chart(frame: &Frame<'_>, marks: &Markup) -> Markup {
    let Frame {
        id, height, begins, ..
    } = *frame;
    html! {
        div.plot {
            (scale(frame))
            svg.chart role="img" height=(height + BELOW) aria-labelledby={ (id) "-t" } aria-describedby={ (id) "-d" } {
                title id={ (id) "-t" } { (frame.title) }
                desc id={ (id) "-d" } { (frame.description) }
                svg width="100%" height=(height) {
                    @if begins > 0.0 { rect.unknown height="100%" width=(percent(begins)) {} }
                    @for (at, _) in frame.levels {
                        line.level x2="100%" y1=(percent(1.0 - at)) y2=(percent(1.0 - at)) {}
                    }
                    (marks)
                }
                line.axis x2="100%" y1=(height) y2=(height) {}
                (times(frame))
            }
        }
    }
}

/// What the levels stand for, beside the chart. They are in the description as well.
fn scale(frame: &Frame<'_>) -> Markup {
    // The middle of a letter on the line, and all of it inside.
    let y = |at: f64| ((1.0 - at) * f64::from(frame.height) + 4.0).max(9.0);
    html! {
        svg.scale aria-hidden="true" width="46" height=(frame.height + BELOW) {
            @for (at, label) in frame.levels { text x="40" text-anchor="end" y=(short(y(*at))) { (label) } }
        }
    }
}

fn times(frame: &Frame<'_>) -> Markup {
    let labels = [
        ("0", "start", "1 h ago"),
        ("50%", "middle", "30 min"),
        ("100%", "end", "now"),
    ];
    html! {
        g aria-hidden="true" {
            @if frame.begins > 0.3 {
                text.note text-anchor="middle" x=(percent(frame.begins / 2.0)) y=(frame.height / 2 + 4) { "no data yet" }
            }
            @for (x, anchor, label) in labels { text x=(x) text-anchor=(anchor) y=(frame.height + 14) { (label) } }
        }
    }
}

/// Areas that stand on one another: of each, its class and a share of the height for each span.
pub(super) fn areas(id: &str, spans: &[Span], layers: &[(&'static str, Vec<f64>)]) -> Markup {
    let mut low = vec![0.0; spans.len()];
    let areas = layers.iter().map(|(class, shares)| {
        let high: Vec<f64> = low.iter().zip(shares).map(|(low, share)| low + share).collect();
        let path = area(spans, &low, &high);
        low = high;
        (class, path)
    });
    // The clip is stretched to the chart; what fills it is not, and so its pattern stays what it is.
    html! {
        @for (class, path) in areas.filter(|(_, path)| !path.is_empty()) {
            clipPath clipPathUnits="objectBoundingBox" id={ (id) "-" (class) } { path d=(path) {} }
            rect width="100%" height="100%" class=(class) clip-path={ "url(#" (id) "-" (class) ")" } {}
        }
    }
}

/// The outline of what lies between two edges, in steps. Where they meet there is nothing.
fn area(spans: &[Span], low: &[f64], high: &[f64]) -> String {
    let steps: Vec<_> = spans.iter().zip(low.iter().zip(high)).collect();
    let runs = steps.chunk_by(|(span, before), (next, after)| {
        (before.1 > before.0) == (after.1 > after.0) && next.follows(span)
    });
    let mut path = String::new();
    for run in runs {
        let Some((first, (low, high))) = run.first() else {
            continue;
        };
        if high <= low {
            continue;
        }
        // Writing to a string cannot fail, here and below.
        let _ = write!(path, "M{} {}", short(first.from), down(**low));
        for (span, (_, high)) in run {
            let _ = write!(path, "V{}H{}", down(**high), short(span.to));
        }
        for (span, (low, _)) in run.iter().rev() {
            let _ = write!(path, "V{}H{}", down(**low), short(span.from));
        }
        path.push('Z');
    }
    path
}

/// A line, in steps: a share of the height for each span, and a gap where there is none.
pub(super) fn line(class: &'static str, spans: &[Span], shares: &[Option<f64>]) -> Markup {
    let mut path = String::new();
    let mut before: Option<&Span> = None;
    for (span, share) in spans.iter().zip(shares) {
        if let Some(share) = share {
            let (x, y) = (short(span.from), down(*share));
            let _ = if before.is_some_and(|before| span.follows(before)) {
                write!(path, "V{y}")
            } else {
                write!(path, "M{x} {y}")
            };
            let _ = write!(path, "H{}", short(span.to));
        }
        before = share.map(|_| span);
    }
    html! {
        @if !path.is_empty() {
            svg width="100%" height="100%" viewBox="0 0 1 1" preserveAspectRatio="none" { path class=(class) d=(path) {} }
        }
    }
}

/// A share of the height as SVG counts it: from the top.
fn down(share: f64) -> String {
    short(1.0 - share)
}

fn percent(share: f64) -> String {
    format!("{}%", short(100.0 * share))
}

/// Four digits behind the point are a twentieth of a pixel.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(count: u32) -> Vec<Span> {
        let share = |at: u32| f64::from(at) / f64::from(count);
        (0..count)
            .map(|at| Span {
                from: share(at),
                to: share(at + 1),
            })
            .collect()
    }

    #[test]
    fn a_step_lies_where_it_was() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let span = |ended, took| {
            let span = Span::new(minutes(ended), minutes(took));
            (short(span.from), short(span.to))
        };
        assert_eq!(span(0, 30), ("0.5".into(), "1".into()));
        assert_eq!(span(45, 30), ("0".into(), "0.25".into()));
        assert_eq!(span(90, 1), ("0".into(), "0".into()));
    }

    #[test]
    fn areas_stand_on_one_another() {
        let layers = [
            ("low", vec![0.5, 0.5, 0.0, 0.0]),
            ("high", vec![0.0, 0.25, 0.25, 0.0]),
            ("none", vec![0.0; 4]),
        ];
        let svg = areas("x", &spans(4), &layers).0;
        assert!(
            svg.contains("id=\"x-low\"><path d=\"M0 1V0.5H0.25V0.5H0.5V1H0.25V1H0Z\"></path>"),
            "{svg}"
        );
        assert!(
            svg.contains("id=\"x-high\"><path d=\"M0.25 0.5V0.25H0.5V0.75H0.75V1H0.5V0.5H0.25Z\"></path>"),
            "{svg}"
        );
        assert!(svg.contains("class=\"high\" clip-path=\"url(#x-high)\""), "{svg}");
        assert!(!svg.contains("none"), "{svg}");
    }

    #[test]
    fn an_area_has_gaps() {
        let low = [0.0; 5];
        let path = area(&spans(5), &low, &[1.0, 0.0, 0.0, 0.5, 0.0]);
        assert_eq!(path, "M0 1V0H0.2V1H0ZM0.6 1V0.5H0.8V1H0.6Z");
        assert_eq!(area(&spans(5), &low, &low), "");
        let mut apart = spans(5);
        apart.remove(1);
        assert_eq!(
            area(&apart[..2], &[0.0; 2], &[1.0; 2]),
            "M0 1V0H0.2V1H0ZM0.4 1V0H0.6V1H0.4Z"
        );
        assert_eq!(area(&[], &[], &[]), "");
    }

    #[test]
    fn a_line_has_gaps() {
        let shares = [Some(0.0), Some(1.0), None, Some(0.5)];
        let svg = line("median", &spans(4), &shares).0;
        assert!(
            svg.contains("<path class=\"median\" d=\"M0 1H0.25V0H0.5M0.75 0.5H1\"></path>"),
            "{svg}"
        );
        assert_eq!(line("median", &spans(2), &[None, None]).0, "");
        let mut apart = spans(4);
        apart.remove(1);
        let svg = line("median", &apart, &[Some(0.0), Some(1.0)]).0;
        assert!(svg.contains("d=\"M0 1H0.25M0.5 0H0.75\""), "{svg}");
    }

    #[test]
    fn a_chart_names_itself_and_says_what_there_is_to_see() {
        let frame = Frame {
            id: "c",
            title: "<Answers>",
            description: "Four & more",
            height: 100,
            levels: &[(1.0, "20/s".to_owned()), (0.5, "10/s".to_owned())],
            begins: 0.4,
        };
        let svg = chart(&frame, &Markup::default()).0;
        for part in [
            "role=\"img\" height=\"118\" aria-labelledby=\"c-t\" aria-describedby=\"c-d\"",
            "<title id=\"c-t\">&lt;Answers&gt;</title><desc id=\"c-d\">Four &amp; more</desc>",
            "<rect class=\"unknown\" height=\"100%\" width=\"40%\"></rect>",
            "y1=\"50%\"",
            ">no data yet</text>",
            ">20/s</text>",
        ] {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
    }
}
