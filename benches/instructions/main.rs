//! How many instructions the answers take, and the steps of them: the same on a busy machine as on an idle one, so that a
//! change that costs something shows at once.
//!
//! ```sh
//! cargo bench --bench instructions             # all rows, as a table in Markdown
//! cargo bench --bench instructions -- policy:  # those whose name begins so
//! ```
//!
//! Valgrind counts two lives of a process that differ in the number of answers alone: what is between them is the answers'.
//! The kernel's part is not in it. Other compilers and processors have other figures: compare two commits on one machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement stops at the first surprise and prints what it saw"
)]

mod answers;
mod callgrind;
#[allow(dead_code, reason = "other measurements need more of it")]
#[path = "../goals/clients.rs"]
mod clients;
#[path = "../goals/edge.rs"]
mod edge;
mod inputs;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/fleet/redis.rs"]
mod redis;
#[allow(dead_code, reason = "other measurements need more of it")]
#[path = "../goals/stage.rs"]
mod stage;
mod steps;
#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

/// The page that has the figures of the last time.
const PAGE: &str = include_str!("../../docs/performance.md");

/// Lives of each length. A start takes more or fewer instructions by chance, never fewer than it must.
const LIVES: usize = 3;

/// How one figure is found.
struct Life {
    /// The answers in the shorter and in the longer life.
    answers: [usize; 2],
    /// The instructions of a life with so many answers.
    counted: Box<dyn Fn(usize) -> u64>,
}

impl Life {
    fn new(answers: [usize; 2], counted: impl Fn(usize) -> u64 + 'static) -> Self {
        Self {
            answers,
            counted: Box::new(counted),
        }
    }

    /// The instructions of one answer.
    fn per_answer(&self) -> f64 {
        let least = |answers| {
            (0..LIVES)
                .map(|_| (self.counted)(answers))
                .min()
                .unwrap_or_default()
        };
        let [short, long] = self.answers.map(least);
        (long as f64 - short as f64) / (self.answers[1] - self.answers[0]) as f64
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    if let [role, what, count] = &arguments[..]
        && role == steps::ROLE
    {
        return steps::take(what, count);
    }
    if let Some(why) = callgrind::missing() {
        return println!("SKIPPED: instructions: {why}");
    }
    if cfg!(debug_assertions) {
        println!("These are the figures of a debug build: cargo bench has those that count.\n");
    }
    println!("| what | instructions | in docs/performance.md | |\n|---|---|---|---|");
    let wanted = |what: &str| arguments.is_empty() || arguments.iter().any(|name| what.starts_with(name));
    let rows = steps::rows().chain(answers::rows());
    for (what, life) in rows.filter(|(what, _)| wanted(what)) {
        let figure = life.per_answer();
        let (then, change) = match recorded(what) {
            Some(then) => (
                thousands(then),
                format!("{:+.1} %", (figure / then - 1.0) * 100.0),
            ),
            None => ("–".to_owned(), String::new()),
        };
        println!("| {what} | {} | {then} | {change} |", thousands(figure));
    }
}

/// What the page has in its row of these words.
fn recorded(what: &str) -> Option<f64> {
    let row = PAGE
        .lines()
        .find_map(|line| line.strip_prefix("| ")?.strip_prefix(what)?.strip_prefix(" | "));
    row?.split(' ').next()?.replace(',', "").parse().ok()
}

/// A whole number, its thousands apart.
fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let apart = |(place, digit)| {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            format!(",{digit}")
        } else {
            String::from(digit)
        }
    };
    digits.chars().enumerate().map(apart).collect()
}
