//! Configuration files: any text is a configuration, or problems that can be shown.

use std::path::Path;

use vouch::config::Config;
use vouch::config::read::{Error, parse};
use vouch::config::show::describe;

use crate::input;

/// A password in a file where none belongs.
const SECRET: &str = "c4n4ry";

/// A file.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    // The reader would open these.
    if text.contains("file:") {
        return;
    }
    let path = Path::new("vouch.toml");
    match parse(path, &text) {
        Ok((config, notes)) => {
            for note in &notes {
                assert!(
                    note.line
                        .is_none_or(|line| (1..=text.lines().count().max(1)).contains(&line))
                );
            }
            reads_back(&config, &describe(&config, &notes, true));
        }
        Err(error) => is_fit_to_show(&error),
    }
    for text in [
        format!("{text}\npassword = \"{SECRET}\"\n"),
        format!("auth-token = '{SECRET}'\n{text}"),
    ] {
        match parse(path, &text) {
            Ok(_) => panic!("an unknown key was read"),
            Err(error) => {
                is_fit_to_show(&error);
                assert!(!error.to_string().contains(SECRET), "{error}");
            }
        }
    }
}

/// What `vouch check` shows of the keys is a file, of the same configuration.
fn reads_back(config: &Config, shown: &str) {
    let head = "Every key, with its effective value:\n";
    let Some((_, keys)) = shown.rsplit_once(head) else {
        panic!("no keys are shown: {shown}");
    };
    let keys = keys.rsplit_once("\nNotes:").map_or(keys, |(keys, _)| keys);
    match parse(Path::new("shown.toml"), keys) {
        Ok((again, _)) => assert_eq!(&again, config, "{keys}"),
        Err(error) => panic!("{error}\n{keys}"),
    }
}

/// Whole lines for a terminal.
fn is_fit_to_show(error: &Error) {
    let shown = error.to_string();
    assert!(shown.starts_with("error: ") && !shown.ends_with('\n'), "{shown}");
    assert!(
        !shown.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')),
        "{shown:?}"
    );
}
