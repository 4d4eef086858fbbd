//! Metrics as text: OpenMetrics 1.0, or the format of Prometheus that came before
//! it (version 0.0.4). The two differ in how the family of a counter is called and
//! in how the text ends.

use std::fmt::{Display, Write};

use crate::telemetry::histogram::{BOUNDS, Durations};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Plain,
}

impl Format {
    /// What an HTTP answer calls it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The one that suits who accepts this; OpenMetrics, unless another kind of text
    /// is asked for by name.
    pub(crate) fn accepted_by(accept: &str) -> Self {
        let names = |name: &str| accept.contains(name);
        if names("text/") && !names("application/openmetrics-text") {
            Self::Plain
        } else {
            Self::OpenMetrics
        }
    }
}

/// Text that grows family by family.
#[derive(Debug)]
pub(super) struct Text {
    out: String,
    format: Format,
    name: &'static str,
}

/// Names and values that tell the samples of a family apart.
pub(super) type Labels<'a> = [(&'static str, &'a str)];

/// Things of one kind, each behind the labels that name it.
pub(super) type Named<'a, T> = Vec<(Vec<(&'static str, &'a str)>, &'a T)>;

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self {
            // Two listeners and two directories make some 20 KB of it.
            out: String::with_capacity(32 * 1024),
            format,
            name: "",
        }
    }

    /// Begins a family of what only goes up. Its name ends in `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) {
        self.begin("counter", name, help);
    }

    /// Begins a family of what goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) {
        self.begin("gauge", name, help);
    }

    /// Begins a family of durations by size. Its name ends in `_seconds`.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) {
        self.begin("histogram", name, help);
    }

    /// Adds a sample to the family that was begun.
    pub(super) fn sample(&mut self, labels: &Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// The same, with what was counted by size.
    pub(super) fn durations(&mut self, labels: &Labels<'_>, durations: &Durations) {
        let bounds = BOUNDS.iter().map(|&bound| seconds(bound));
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, up_to) in bounds.zip(durations.up_to) {
            self.line("_bucket", labels, Some(&bound), up_to);
        }
        self.line("_sum", labels, None, durations.sum.as_secs_f64());
        self.line("_count", labels, None, durations.count());
    }

    /// Adds the number of each thing.
    pub(super) fn each<T, V: Display>(&mut self, things: &Named<'_, T>, number: impl Fn(&T) -> V) {
        for (labels, thing) in things {
            self.sample(labels, number(thing));
        }
    }

    /// Adds the numbers of each thing, which the value of one more `label` tells apart.
    pub(super) fn each_by<'t, T, N: IntoIterator<Item = (&'t str, u64)>>(
        &mut self,
        things: &Named<'t, T>,
        label: &'static str,
        numbers: impl Fn(&'t T) -> N,
    ) {
        for (labels, thing) in things {
            for (value, number) in numbers(thing) {
                self.sample(&[&labels[..], &[(label, value)]].concat(), number);
            }
        }
    }

    /// Adds the durations of each thing.
    pub(super) fn each_took<T>(&mut self, things: &Named<'_, T>, took: impl Fn(&T) -> &Durations) {
        for (labels, thing) in things {
            self.durations(labels, took(thing));
        }
    }

    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn begin(&mut self, kind: &str, name: &'static str, help: &str) {
        self.name = name;
        let family = match self.format {
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Format::Plain => name,
        };
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.out, "# HELP {family} {help}\n# TYPE {family} {kind}");
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| family.ends_with(unit));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            let _ = writeln!(self.out, "# UNIT {family} {unit}");
        }
    }

    fn line(&mut self, suffix: &str, labels: &Labels<'_>, bound: Option<&str>, value: impl Display) {
        let out = &mut self.out;
        out.push_str(self.name);
        out.push_str(suffix);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (name, value) in all {
            out.push(before);
            let _ = write!(out, "{name}=\"");
            escape(out, value);
            out.push('"');
            before = ',';
        }
        if before == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {value}");
    }
}

/// Escapes what would end a label's value.
fn escape(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// Microseconds as seconds, with at least one digit behind the point: each bound has
/// one spelling, whatever the format.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') {
        format!("{short}0")
    } else {
        short.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::histogram::Histogram;

    fn text(format: Format) -> String {
        let mut text = Text::new(format);
        text.counter("vouch_things_total", "Things, by listener.");
        text.sample(&[("listener", "in\"\\\n{}"), ("kind", "a")], 7);
        text.gauge("vouch_size_bytes", "How large.");
        text.sample(&[], 0.5);
        text.histogram("vouch_took_seconds", "How long.");
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(1500));
        text.durations(&[("listener", "in")], &histogram.get());
        text.end()
    }

    #[test]
    fn the_two_formats_differ_in_the_names_of_counters_and_in_the_end() {
        let (open, plain) = (text(Format::OpenMetrics), text(Format::Plain));
        let begin = "# HELP vouch_things Things, by listener.\n# TYPE vouch_things counter\n\
                     vouch_things_total{listener=\"in\\\"\\\\\\n{}\",kind=\"a\"} 7\n\
                     # HELP vouch_size_bytes How large.\n# TYPE vouch_size_bytes gauge\n# UNIT vouch_size_bytes bytes\n\
                     vouch_size_bytes 0.5\n";
        assert!(open.starts_with(begin), "{open}");
        assert!(
            open.ends_with("vouch_took_seconds_count{listener=\"in\"} 1\n# EOF\n"),
            "{open}"
        );
        let same = open
            .replace(" vouch_things ", " vouch_things_total ")
            .replace("# UNIT vouch_size_bytes bytes\n", "")
            .replace("# UNIT vouch_took_seconds seconds\n", "")
            .replace("# EOF\n", "");
        assert_eq!(same, plain);
    }

    #[test]
    fn buckets_hold_all_that_are_smaller() {
        let text = text(Format::Plain);
        for line in [
            "vouch_took_seconds_bucket{listener=\"in\",le=\"0.00005\"} 0",
            "vouch_took_seconds_bucket{listener=\"in\",le=\"1.0\"} 0",
            "vouch_took_seconds_bucket{listener=\"in\",le=\"2.5\"} 1",
            "vouch_took_seconds_bucket{listener=\"in\",le=\"60.0\"} 1",
            "vouch_took_seconds_bucket{listener=\"in\",le=\"+Inf\"} 1",
            "vouch_took_seconds_sum{listener=\"in\"} 1.5",
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is not in\n{text}"
            );
        }
    }

    #[test]
    fn open_metrics_unless_another_text_is_asked_for() {
        // Prometheus 2.42, Prometheus 2.0, curl, VictoriaMetrics, a browser.
        for (accept, format) in [
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Plain),
            ("*/*", Format::OpenMetrics),
            ("", Format::OpenMetrics),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Plain),
        ] {
            assert_eq!(Format::accepted_by(accept), format, "{accept}");
        }
    }
}
