//! Measures how refusals are read whose reason is known:
//! `cargo run --example measure-replies -- FILE [--misses]`.
//!
//! FILE holds `reason<TAB>phrase` lines, such as the table of reasons of a public bounce classifier. Each phrase is read as
//! a reply to RCPT TO with 550 in front, with 550 5.1.1 and with 550 5.7.1. `userunknown` is about the user, `mailboxfull` is
//! a full mailbox, and those of `LEFT_OUT` are either or neither; every other reason is about something else, so that a
//! "no" would be a mistake.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people: its answer is what it prints"
)]

use std::process::ExitCode;

use vouch::directory::judge::explain::{Command, explain};
use vouch::directory::judge::recipient::Settings;

/// Reasons of which neither a yes nor a no would be a mistake.
const LEFT_OUT: [&str; 6] = [
    "suspend", "hasmoved", "filtered", "vacation", "onhold", "syntaxerror",
];

/// What a kind of phrase should come to, and how often it does.
struct Kind {
    name: &'static str,
    wanted: &'static str,
    all: usize,
    so: usize,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(text) = arguments
        .next()
        .and_then(|file| std::fs::read_to_string(file).ok())
    else {
        eprintln!("measure-replies: name a readable file of `reason<TAB>phrase` lines");
        return ExitCode::from(66);
    };
    let misses = arguments.next().is_some_and(|flag| flag == "--misses");
    for code in ["550", "550 5.1.1", "550 5.7.1"] {
        for kind in measured(code, &text, misses) {
            println!(
                "{code}: {}: {} of {} read as {}",
                kind.name, kind.so, kind.all, kind.wanted
            );
        }
    }
    ExitCode::SUCCESS
}

fn measured(code: &str, text: &str, misses: bool) -> [Kind; 3] {
    let kind = |name, wanted| Kind {
        name,
        wanted,
        all: 0,
        so: 0,
    };
    let mut kinds = [
        kind("about the user", "reject"),
        kind("a full mailbox", "accept"),
        kind("about something else", "reject"),
    ];
    let settings = Settings::default();
    for (reason, phrase) in text.lines().filter_map(|line| line.split_once('\t')) {
        let at = match reason {
            "userunknown" => 0,
            "mailboxfull" => 1,
            reason if LEFT_OUT.contains(&reason) => continue,
            _ => 2,
        };
        let Ok(read) = explain(
            Command::Rcpt,
            &settings,
            b"kijitora@example.net",
            &format!("{code} {phrase}"),
        ) else {
            continue;
        };
        let kind = &mut kinds[at];
        kind.all += 1;
        let so = read.verdict.name() == kind.wanted;
        kind.so += usize::from(so);
        // Of the last kind each "no" is the mistake.
        if misses && so == (at == 2) {
            println!(
                "  {code} {phrase} ({reason}): {} ({})",
                read.verdict.name(),
                read.verdict.reason()
            );
        }
    }
    kinds
}
