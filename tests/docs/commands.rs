//! What people are to type.

use clap::error::ErrorKind;

use crate::page::{Place, pages};
use crate::settle;

/// The words of a command as a shell would part them; nothing is filled in.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut any) = (String::new(), None, false);
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => (quote, any) = (Some(character), true),
            (None, ' ' | '\t') => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            // A comment, and what else is not for the command.
            (None, '#') if word.is_empty() => break,
            _ => word.push(character),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The calls of vouch in a line for a shell.
pub(crate) fn calls(line: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    let mut call: Option<Vec<String>> = None;
    let mut first = true;
    for word in words(line) {
        match word.as_str() {
            "|" | "&&" | "||" | ";" | "&" => {
                calls.extend(call.take());
                first = true;
            }
            "sudo" if first => {}
            "vouch" if first => {
                call = Some(vec![word]);
                first = false;
            }
            _ if word.starts_with(['>', '<']) || word.starts_with("2>") => calls.extend(call.take()),
            _ => {
                first = false;
                if let Some(call) = &mut call {
                    call.push(word);
                }
            }
        }
    }
    calls.extend(call);
    calls
}

#[test]
fn each_command_is_one() {
    let (mut seen, mut wrong) = (0, Vec::new());
    let parse = |call: &[String]| {
        vouch::cli::command()
            .try_get_matches_from(call)
            .map_err(|error| (error.kind(), error))
    };
    for page in pages() {
        for line in &page.lines {
            if !matches!(&line.place, Place::Block(kind, _) if kind == "sh") {
                continue;
            }
            for call in calls(&line.text) {
                seen += 1;
                if let Err((_, error)) = parse(&call) {
                    wrong.push(format!("{}: {call:?}: {error}", page.at(line.number)));
                }
            }
        }
        // There, code is what vouch says.
        let code = if page.path.ends_with("messages.md") {
            Vec::new()
        } else {
            page.code()
        };
        for (number, code) in code.into_iter().filter(|(_, code)| code.starts_with("vouch ")) {
            for call in calls(&code) {
                seen += 1;
                // A text may name a command without all that it takes.
                let named = [
                    ErrorKind::DisplayHelp,
                    ErrorKind::DisplayVersion,
                    ErrorKind::MissingRequiredArgument,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                    ErrorKind::MissingSubcommand,
                ];
                if let Err((kind, error)) = parse(&call)
                    && !named.contains(&kind)
                {
                    wrong.push(format!("{}: {call:?}: {error}", page.at(number)));
                }
            }
        }
    }
    settle(seen, 40, &wrong);
}

#[test]
fn a_line_for_the_shell_is_parted_as_the_shell_parts_it() {
    let line = "sudo vouch check -c 'a b' --online | head && vouch man # vouch nonsense";
    assert_eq!(
        calls(line),
        [
            vec!["vouch", "check", "-c", "a b", "--online"],
            vec!["vouch", "man"]
        ]
    );
    assert_eq!(
        calls("printf 'vouch x' | vouch probe recipient --file - >out"),
        [vec!["vouch", "probe", "recipient", "--file", "-"]]
    );
    assert_eq!(calls("journalctl -u vouch -p warning"), Vec::<Vec<String>>::new());
}
