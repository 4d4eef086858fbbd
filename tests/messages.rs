//! docs/messages.md is true: every warning and error that the source can log is in it, and
//! nothing that it cannot say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use strum::VariantArray;
use vouch::verdict::Class;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The product's files, each without its tests, which stand last or in a file of their own.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.starts_with("tests") {
            let text = fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod ").next().unwrap();
            files.push((path, product.to_owned()));
        }
    }
    files
}

/// The string literals of a text up to the bracket that closes it, each with the character
/// before it, and unescaped.
fn literals(text: &str) -> Vec<(char, String)> {
    let mut found = Vec::new();
    let (mut depth, mut before) = (1, '(');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' => {
                let mut literal = String::new();
                while let Some(inner) = characters.next().filter(|inner| *inner != '"') {
                    if inner != '\\' {
                        literal.push(inner);
                        continue;
                    }
                    match characters.next().unwrap() {
                        // A line that goes on, without what it is indented by.
                        '\n' => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                        'n' => literal.push('\n'),
                        other => literal.push(other),
                    }
                }
                found.push((before, literal));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if !character.is_whitespace() {
            before = character;
        }
    }
    found
}

/// The texts behind each `start` in the source, such as `warn!(`, with their places.
fn texts(start: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        for (at, _) in text.match_indices(start) {
            let line = text[..at].matches('\n').count() + 1;
            let place = format!("{}:{line}", path.strip_prefix(root()).unwrap().display());
            // A field's value stands behind `=`, a target behind `:`.
            let literals = literals(&text[at + start.len()..]);
            let message = literals.into_iter().find(|(before, _)| "(,".contains(*before));
            if let Some((_, message)) = message {
                found.push((place, message));
            }
        }
    }
    found
}

/// A text in which what is filled in has no name: the source and the manual call it differently.
fn bare(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        bare.push_str(before);
        bare.push_str("{}");
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    bare + rest
}

/// What the manual lists: a heading, or the first cell of a table's row, that is code.
fn catalogue() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/messages.md")).unwrap();
    let code = |line: &str| {
        // A text may hold a backtick itself, so it ends where its heading or cell does.
        let (cell, end) = match line.strip_prefix("### ") {
            Some(heading) => (heading, heading.len()),
            None => {
                let cell = line.strip_prefix("| ")?;
                (cell, cell.find(" | ")?)
            }
        };
        // What holds a backtick stands between two, and a space sets it off where it begins or ends with one.
        let ticks = if cell.starts_with("``") { "``" } else { "`" };
        let code = cell[..end].strip_prefix(ticks)?.strip_suffix(ticks)?;
        let set_off = code.strip_prefix(' ').and_then(|code| code.strip_suffix(' '));
        Some(bare(set_off.unwrap_or(code)))
    };
    text.lines().filter_map(code).collect()
}

/// Whether it says anything by itself.
fn has_words(text: &str) -> bool {
    bare(text).replace("{}", "").chars().any(char::is_alphabetic)
}

#[test]
fn each_warning_and_error_is_in_the_manual() {
    let catalogue = catalogue();
    let mut missing = Vec::new();
    let mut seen = 0;
    for start in ["warn!(", "error!(", "#[error("] {
        for (place, text) in texts(start) {
            seen += 1;
            if has_words(&text) && !catalogue.contains(&bare(&text)) {
                missing.push(format!("{place}: {text}"));
            }
        }
    }
    assert!(seen > 50, "only {seen} messages were found");
    assert!(
        missing.is_empty(),
        "docs/messages.md lacks, as a heading ### `…` or a row | `…` |:\n{}",
        missing.join("\n")
    );
}

#[test]
fn the_manual_lists_nothing_that_is_not_said() {
    // Those that are no literals.
    let mut said: String = Class::VARIANTS.iter().map(|class| class.name()).collect();
    for (_, text) in sources(&root().join("src")) {
        for (at, _) in text.match_indices('"') {
            let (_, literal) = literals(&text[at..]).swap_remove(0);
            said.push_str(&bare(&literal));
            said.push('\n');
        }
    }
    let unsaid: Vec<_> = catalogue()
        .into_iter()
        .filter(|entry| !entry.split("{}").all(|part| said.contains(part)))
        .collect();
    assert!(
        unsaid.is_empty(),
        "no longer in the source:\n{}",
        unsaid.join("\n")
    );
}

#[test]
fn each_message_says_what_it_means_and_what_to_do() {
    let text = fs::read_to_string(root().join("docs/messages.md")).unwrap();
    for entry in text.split("\n### ").skip(1) {
        let heading = entry.lines().next().unwrap();
        for word in ["**Means**", "**Do**"] {
            assert!(entry.contains(word), "{heading}: no {word}");
        }
    }
}

#[test]
fn a_text_is_read_as_the_compiler_reads_it() {
    let read = literals("\n  listener = \"x\",\n  %a,\n  \"one \\\n     \\\"two\\\" {b}\", c(d)\n) \"no\"");
    assert_eq!(read, [('=', "x".to_owned()), (',', "one \"two\" {b}".to_owned())]);
    assert_eq!(bare("a {b} c {d:?}; {}"), "a {} c {}; {}");
}
