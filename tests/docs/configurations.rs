//! What people are to write into the configuration.

use std::collections::BTreeSet;
use std::path::Path;

use vouch::config::read;

use crate::page::pages;
use crate::settle;

#[test]
fn each_configuration_is_read_by_the_reader() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        // A page that names a map shows it.
        let folder = tempfile::tempdir().unwrap();
        let maps: Vec<_> = [
            ("routes", "file:///etc/vouch/routes"),
            ("transport", "transport:///etc/postfix/transport"),
        ]
        .into_iter()
        .filter_map(|(language, named)| {
            let (_, map) = page.blocks(language).into_iter().next()?;
            let path = folder.path().join(language);
            std::fs::write(&path, map).unwrap();
            let scheme = named.split_once("///").unwrap().0;
            Some((named, format!("{scheme}//{}", path.display())))
        })
        .collect();
        let whole_ones = page.blocks("toml").into_iter();
        let fragments = page
            .blocks("toml fragment")
            .into_iter()
            .map(|(at, text)| (at, whole(&text)));
        for (number, text) in whole_ones.chain(fragments) {
            seen += 1;
            let text = maps
                .iter()
                .fold(text, |text, (named, kept)| text.replace(named, kept));
            if let Err(error) = read::parse(Path::new("block.toml"), &text) {
                wrong.push(format!("{}: {error}", page.at(number)));
            }
        }
    }
    settle(seen, 20, &wrong);
}

/// A fragment, with what every directory and listener needs where it does not say so itself, and with the directories
/// that its listeners ask.
fn whole(fragment: &str) -> String {
    let said: toml::Table = toml::from_str(fragment).unwrap_or_else(|error| panic!("{error}\n{fragment}"));
    let mut text = String::new();
    let mut done = BTreeSet::new();
    let mut asked = BTreeSet::new();
    let in_part = |part: &str| {
        said.get(part)
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default()
    };
    let lacking = |part: &str, name: &str| {
        let own = in_part(part)
            .get(name)
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default();
        let usual = usual_keys(part, name);
        usual
            .into_iter()
            .filter(|(key, _)| !own.contains_key(*key))
            .fold(String::new(), |text, (key, value)| {
                format!("{text}{key} = {value}\n")
            })
    };
    for line in fragment.lines() {
        let header = line.split('#').next().unwrap().trim();
        let path = header
            .strip_prefix('[')
            .and_then(|header| header.strip_suffix(']'));
        let path: Vec<String> = path
            .unwrap_or_default()
            .split('.')
            .map(|word| word.trim_matches('"').to_owned())
            .collect();
        if let [part, name, below @ ..] = path.as_slice()
            && (part == "directory" || part == "listener")
            && done.insert((part.clone(), name.clone()))
        {
            text.push_str(&format!("[{part}.\"{name}\"]\n{}", lacking(part, name)));
            if below.is_empty() {
                continue;
            }
        }
        text.push_str(&format!("{line}\n"));
    }
    for (name, listener) in in_part("listener") {
        let own = listener.get("directory").and_then(toml::Value::as_array).cloned();
        let names = own.unwrap_or_else(|| vec![toml::Value::String(usual_directory(&name).to_owned())]);
        asked.extend(names.iter().filter_map(toml::Value::as_str).map(str::to_owned));
    }
    for name in asked
        .into_iter()
        .filter(|name| !in_part("directory").contains_key(name))
    {
        text.push_str(&format!(
            "[directory.\"{name}\"]\n{}",
            lacking("directory", &name)
        ));
    }
    text
}

/// A directory whose name has "imap" in it knows logins; a listener whose name has "log" in it asks for them.
fn usual_directory(listener: &str) -> &'static str {
    if listener.contains("log") {
        "imap"
    } else {
        "mailbox"
    }
}

fn usual_keys(part: &str, name: &str) -> Vec<(&'static str, String)> {
    if part == "directory" {
        let kind = if name.contains("imap") { "imap" } else { "lmtp" };
        return vec![
            ("type", format!("\"{kind}\"")),
            ("address", "\"mail.example.org\"".to_owned()),
        ];
    }
    let directory = usual_directory(name);
    let protocol = if directory == "imap" { "auth" } else { "policy" };
    vec![
        ("protocol", format!("\"{protocol}\"")),
        ("socket", format!("\"/run/vouch/{name}\"")),
        ("directory", format!("[\"{directory}\"]")),
    ]
}

#[test]
fn a_fragment_becomes_whole_and_stays_what_it_says() {
    let text = whole("[listener.\"recipients\".limits]\nrcpt-errors = 7\n");
    let (config, _) = read::parse(Path::new("a.toml"), &text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.listener[0].limits.rcpt_errors.to_string(), "7");
    assert_eq!(config.directory[0].name, "mailbox");
}
