//! The manual pages: whole, true, and without a complaint of mandoc.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use skip::skipped;
use vouch::config::{read, show};
use vouch::manual::configuration::{Table, tables};
use vouch::manual::program::LOG_FIELDS;

mod bounds;
mod scan;
#[path = "../support/skip.rs"]
mod skip;

fn man(page: &str) -> String {
    let printed = Command::new(env!("CARGO_BIN_EXE_vouch"))
        .args(["man", page])
        .output()
        .unwrap();
    assert!(printed.status.success());
    String::from_utf8(printed.stdout).unwrap()
}

/// Words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The keys that the page has in a table, and the tables below it.
fn described(table: &Table) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = table.keys.iter().map(|key| key.name.to_owned()).collect();
    keys.extend(table.remarks.iter().flat_map(|remark| quoted(remark)));
    let below = tables();
    let below = below
        .iter()
        .filter_map(|other| other.name.strip_prefix(&table.name)?.strip_prefix('.'));
    keys.extend(below.filter(|name| !name.contains('.')).map(str::to_owned));
    keys
}

/// The keys that the reader knows in a table: it names them all where it meets one that is like none.
fn accepted(table: &str) -> BTreeSet<String> {
    let base = [
        ("directory.NAME", "type = \"lmtp\"\naddress = \"a.example\"\n"),
        (
            "listener.NAME",
            "protocol = \"policy\"\nsocket = \"/s\"\ndirectory = [\"NAME\"]\n",
        ),
    ];
    let mut text = String::new();
    for (name, keys) in base {
        let wrong = if name == table {
            "qqqqqqqqqqqqqqqq = 1\n"
        } else {
            ""
        };
        text.push_str(&format!("[{name}]\n{keys}{wrong}"));
    }
    if !base.iter().any(|(name, _)| *name == table) {
        text.push_str(&format!("[{table}]\nqqqqqqqqqqqqqqqq = 1\n"));
    }
    let error = read::parse(Path::new("a.toml"), &text).unwrap_err().to_string();
    let (_, keys) = error
        .split_once("its keys are: ")
        .unwrap_or_else(|| panic!("{table}: {error}"));
    let keys = keys.lines().next().unwrap();
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_that_the_reader_accepts_is_in_the_page_and_no_other() {
    for table in tables() {
        // Its names are the file's to choose.
        if table.name == "listener.NAME.ok" {
            continue;
        }
        let (described, accepted) = (described(&table), accepted(&table.name));
        let missing: Vec<_> = accepted.difference(&described).collect();
        assert!(
            missing.is_empty(),
            "[{}]: accepted, and not described: {missing:?}",
            table.name
        );
        for key in &table.keys {
            assert!(
                accepted.contains(key.name),
                "[{}]: described, and not accepted: {}",
                table.name,
                key.name
            );
        }
    }
}

/// A value as both the page and the program may write it.
fn bare(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '`'))
        .collect()
}

#[test]
fn the_page_tells_the_defaults_that_are() {
    let mut told = BTreeMap::new();
    for table in tables() {
        for key in &table.keys {
            told.insert(format!("{}.{}", table.name, key.name), key.text.clone());
        }
    }
    let mut compared = 0;
    for (kind, protocol) in [("lmtp", "policy"), ("imap", "auth"), ("lmtp", "userdb")] {
        let text = format!(
            "[directory.NAME]\ntype = \"{kind}\"\naddress = \"a.example\"\n\
             [listener.NAME]\nprotocol = \"{protocol}\"\nsocket = \"/s\"\ndirectory = [\"NAME\"]\n"
        );
        let (config, notes) = read::parse(Path::new("a.toml"), &text).unwrap();
        let shown = show::describe(&config, &notes, true);
        let (_, keys) = shown
            .split_once("Every key, with its effective value:\n")
            .unwrap();
        let mut table = String::new();
        for line in keys.lines().take_while(|line| !line.starts_with("Notes")) {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_end_matches(['.', ']']).replace('"', "");
                continue;
            }
            // What has no value is told in words.
            let Some((key, value)) = line.split_once(" = ").filter(|_| line.contains("# default")) else {
                continue;
            };
            let value = value.rsplit_once(" #").unwrap().0.trim();
            if key == "ok" {
                continue; // A table of its own, whose names the file chooses.
            }
            let text = told
                .get(&format!("{table}.{key}"))
                .unwrap_or_else(|| panic!("{table}.{key}"));
            let lists = matches!(value, "[]" | "{}" | "\"\"");
            let is_told = match key {
                // By the type of directory; in words.
                "port" | "mechanisms" => true,
                _ if lists => text.contains("Default none") || text.contains("Default empty"),
                _ => bare(text).contains(&bare(value)),
            };
            compared += 1;
            assert!(
                is_told,
                "{table}.{key}: its default is {value}, and the page says: {text}"
            );
        }
    }
    assert!(compared > 90, "{compared}");
}

#[test]
fn the_pages_have_what_people_look_for() {
    let page = man("vouch");
    for section in [
        "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "SIGNALS", "FILES", "LOG",
        "LIMITS", "SECURITY", "EXAMPLES", "SEE ALSO",
    ] {
        assert!(page.contains(&format!("\n.SH \"{section}\"\n")), "{section}");
    }
    for command in [
        "serve", "check", "probe recipient", "probe login", "dovecot\\-service", "man", "completions",
    ] {
        assert!(
            page.contains(&format!("\n.SS \"vouch {command}\"\n")),
            "{command}"
        );
    }
    let page = man("vouch.toml");
    for table in tables() {
        assert!(
            page.contains(&format!("\n.SS \"[{}]\"\n", table.name)),
            "{}",
            table.name
        );
    }
}

/// The fields of a verdict's line, as the program writes them.
#[test]
fn the_fields_of_the_log_are_those_of_the_page() {
    let source = include_str!("../../src/telemetry/log.rs");
    let (_, fields) = source.split_once("target: \"vouch::verdict\",").unwrap();
    let (fields, _) = fields.split_once(");").unwrap();
    let fields: Vec<&str> = fields
        .split(",\n")
        .map(|field| field.split('=').next().unwrap().trim())
        .filter(|field| !field.is_empty())
        .collect();
    let told: Vec<&str> = LOG_FIELDS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != "-")
        .collect();
    assert_eq!(told, fields);
}

#[test]
fn every_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let command = Command::new(env!("CARGO_BIN_EXE_vouch"))
            .args(["completions", shell])
            .output()
            .unwrap();
        let script = String::from_utf8(command.stdout).unwrap();
        assert!(
            command.status.success() && script.contains("dovecot-service"),
            "{shell}"
        );
    }
}

/// Whether a program that is asked so is there; if not, says so past the capture of test output, or fails where it must be
/// there.
fn available(program: &str, question: &str) -> bool {
    let there = Command::new(program)
        .arg(question)
        .stdin(Stdio::null())
        .output()
        .is_ok();
    let wish = std::env::var("VOUCH_PEERS").unwrap_or_default();
    assert!(
        there || wish != "required",
        "VOUCH_PEERS=required, but {program} is not installed"
    );
    if !there {
        skipped(&format!("not installed: {program}"));
    }
    there
}

/// What a program that reads pages from its standard input prints of each, and the complaints.
fn read_by(program: &str, arguments: &[&str]) -> [(String, String); 2] {
    ["vouch", "vouch.toml"].map(|page| {
        let mut reader = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = reader.stdin.take().unwrap();
        let text = man(page);
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
        let output = reader.wait_with_output().unwrap();
        writer.join().unwrap();
        let [said, complaints] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (said, complaints)
    })
}

#[test]
fn mandoc_has_no_complaint() {
    if available("mandoc", "-Tlint") {
        for (said, complaints) in read_by("mandoc", &["-Tlint", "-Wwarning"]) {
            assert_eq!((said.as_str(), complaints.as_str()), ("", ""));
        }
    }
}

#[test]
fn man_has_no_complaint() {
    if available("man", "--version") {
        let arguments = ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"];
        for (said, complaints) in read_by("man", &arguments) {
            // The language of groff's devices: it has set the page.
            assert!(said.starts_with("x T utf8\n"), "{complaints}");
            assert_eq!(complaints, "");
        }
    }
}
