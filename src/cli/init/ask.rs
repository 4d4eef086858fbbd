//! Questions on the terminal, where there is one.

use std::fmt::{Display, Write as _};
use std::io::{self, BufRead, IsTerminal, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::{complain, status};

/// Asks on the terminal for what the command line leaves out.
pub(super) struct Ask {
    /// Standard input is a terminal.
    pub(super) terminal: bool,
}

impl Ask {
    /// Standard input.
    pub(super) fn new() -> Self {
        Self {
            terminal: io::stdin().is_terminal(),
        }
    }

    /// Asks until the answer passes `check`; an empty answer takes `default`, where there is one.
    ///
    /// # Errors
    /// When the input ends.
    pub(super) fn line<T, E: Display>(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ExitCode> {
        loop {
            let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            let typed = typed(&format!("{question}{shown}: "))?;
            let answer = match (typed.trim(), default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            match check(answer) {
                Ok(answer) => return Ok(answer),
                Err(why) => show(&format!("  {why}\n")),
            }
        }
    }

    /// Asks for one of these words, and explains each.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(super) fn word<T: ValueEnum + Copy>(
        &mut self,
        question: &str,
        words: &[T],
        default: Option<T>,
    ) -> Result<T, ExitCode> {
        let answers = self.words(question, words, default, |text| vec![text])?;
        // One word was asked for, so there is one.
        Ok(*answers.first().unwrap_or(&words[0]))
    }

    /// Asks for some of these words, with commas between them.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(super) fn some_words<T: ValueEnum + Copy>(
        &mut self,
        question: &str,
        words: &[T],
        default: Option<T>,
    ) -> Result<Vec<T>, ExitCode> {
        self.words(question, words, default, |text| text.split(',').collect())
    }

    fn words<T: ValueEnum + Copy>(
        &mut self,
        question: &str,
        words: &[T],
        default: Option<T>,
        parts: impl Fn(&str) -> Vec<&str>,
    ) -> Result<Vec<T>, ExitCode> {
        let names: Vec<_> = words.iter().filter_map(ValueEnum::to_possible_value).collect();
        let wide = names.iter().map(|name| name.get_name().len()).max().unwrap_or(0);
        let mut text = format!("\n{question}\n");
        for name in &names {
            let meaning = name.get_help().map(ToString::to_string).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:wide$}  {meaning}", name.get_name());
        }
        show(&text);
        let default = default.and_then(|word| word.to_possible_value());
        let known = |word: &str| {
            let at = names.iter().position(|name| name.matches(word.trim(), true));
            at.map(|at| words[at])
                .ok_or_else(|| format!("enter one of these words, not \"{}\"", word.trim()))
        };
        self.line("Which", default.as_ref().map(PossibleValue::get_name), |answer| {
            parts(answer).into_iter().map(known).collect()
        })
    }

    /// Whether the user at the terminal agrees; without a terminal, no.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(super) fn agrees(&mut self, question: &str) -> Result<bool, ExitCode> {
        if !self.terminal {
            return Ok(false);
        }
        self.line(question, Some("no"), |answer| {
            match answer.to_ascii_lowercase().as_str() {
                "y" | "yes" => Ok(true),
                "n" | "no" => Ok(false),
                _ => Err("yes or no, please".to_owned()),
            }
        })
    }
}

/// A line from the terminal, which bounds its length (4,096 bytes, termios(3)).
fn typed(prompt: &str) -> Result<String, ExitCode> {
    show(prompt);
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(1..) => Ok(line),
        Ok(0) => Err(complain(status::USAGE, "the input has ended; nothing is written")),
        Err(error) => Err(complain(
            status::USAGE,
            format!("cannot read the answer: {error}; nothing is written"),
        )),
    }
}

/// To standard error: standard output is for the lines to paste.
fn show(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
