//! The table of results, as Markdown.

use std::fmt;

/// Rows in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: &'static str,
    goal: Goal,
    /// `None` where it could not be measured.
    measured: Option<f64>,
    unit: &'static str,
    /// The figures behind it, or why there are none.
    seen: String,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Table {
    /// A result; `seen` are the figures behind it.
    pub(crate) fn row(
        &mut self,
        what: &'static str,
        goal: Goal,
        measured: f64,
        unit: &'static str,
        seen: String,
    ) {
        eprintln!("  {what}: {measured:.3} {unit} ({seen})");
        self.rows.push(Row {
            what,
            goal,
            measured: Some(measured),
            unit,
            seen,
        });
    }

    /// A row that cannot be measured here, and why.
    pub(crate) fn skipped(&mut self, what: &'static str, goal: Goal, why: String) {
        eprintln!("SKIPPED: {what}: {why}");
        self.rows.push(Row {
            what,
            goal,
            measured: None,
            unit: "",
            seen: why,
        });
    }
}

impl Goal {
    fn met(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(least) => measured >= least,
            Self::AtMost(most) => measured <= most,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", machine())?;
        writeln!(
            f,
            "| what | goal | measured | | behind it |\n|---|---|---|---|---|"
        )?;
        for Row {
            what,
            goal,
            measured,
            unit,
            seen,
        } in &self.rows
        {
            let (figure, met) = match measured {
                None => ("skipped".to_owned(), "–"),
                Some(figure) => (
                    short(*figure),
                    if goal.met(*figure) { "met" } else { "**missed**" },
                ),
            };
            let (space, goal_unit) = if unit.is_empty() { ("", "") } else { (" ", *unit) };
            writeln!(
                f,
                "| {what} | {goal}{space}{goal_unit} | {figure}{space}{unit} | {met} | {seen} |"
            )?;
        }
        Ok(())
    }
}

/// Three digits that count.
pub(crate) fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

/// The machine that was measured on.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("an unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}
