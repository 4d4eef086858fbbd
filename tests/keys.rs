//! What is made of the entries of the keys, and that an entry is all that a key needs: the commented example in
//! `contrib/vouch.toml`, the words of the fuzzer's dictionary, and how many other places name a key.
//! `VOUCH_BLESS=1 cargo test --test keys` writes the first two anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use vouch::settings::address::RemoteAddress;
use vouch::settings::directory::Directory;
use vouch::settings::dovecot::Dovecot;
use vouch::settings::fleet::Fleet;
use vouch::settings::key::{Entry, Keyed, Shown};
use vouch::settings::kind::Kind;
use vouch::settings::listener::Listener;
use vouch::settings::process::{Control, Log, Metrics, Service};
use vouch::settings::protocol::Protocol;
use vouch::settings::socket::ListenAddress;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn blessing() -> bool {
    std::env::var_os("VOUCH_BLESS").is_some_and(|value| value == "1")
}

/// A file of ours is as it should be, or becomes so.
fn same(path: &str, wanted: &str) {
    let path = root().join(path);
    if blessing() {
        fs::write(path, wanted).unwrap();
        return;
    }
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines().zip(wanted.lines()).enumerate();
    let first = lines.find(|(_, (is, wanted))| is != wanted);
    assert!(
        text == wanted,
        "{}: run `VOUCH_BLESS=1 cargo test --test keys`: {first:?}",
        path.display()
    );
}

/// The keys of every table, by the table's name; those of directories and listeners with their defaults for this one.
fn tables(kind: Kind, protocol: Protocol) -> BTreeMap<String, Keyed> {
    let nowhere = ListenAddress::Systemd("nowhere".into());
    let names = || vec!["mailbox".to_owned()];
    let directory = Directory::new(
        "NAME",
        kind,
        RemoteAddress::parse("mail.example.org").unwrap().into(),
    );
    let listener = Listener::new("NAME", protocol, nowhere.clone(), names());
    let mut tables = BTreeMap::new();
    for (name, keyed) in [
        ("directory.NAME", directory.every_key()),
        ("listener.NAME", listener.every_key()),
        ("dovecot", Dovecot::new(names(), names()).every_key()),
        (
            "fleet",
            Fleet::new(Vec::new(), "/etc/vouch/fleet.key".into()).every_key(),
        ),
        ("metrics", Metrics::new(nowhere).every_key()),
        ("control", Control::new().every_key()),
        ("log", Log::new().every_key()),
        ("service", Service::new().every_key()),
    ] {
        add(&mut tables, name, keyed);
    }
    tables
}

fn add(tables: &mut BTreeMap<String, Keyed>, name: &str, keyed: Keyed) {
    for entry in &keyed.keys {
        if let Shown::Table(below) = &entry.value {
            add(tables, &format!("{name}.{}", entry.key.name), below.clone());
        }
    }
    tables.insert(name.to_owned(), keyed);
}

#[test]
fn the_fuzzer_knows_every_key() {
    let path = "protocol/fuzz/dictionaries/config.dict";
    let text = fs::read_to_string(root().join(path)).unwrap();
    let is_key = |line: &&str| line.ends_with(" = \"");
    let others = text.lines().filter(|line| !is_key(line));
    let mut wanted: String = others.map(|line| format!("{line}\n")).collect();
    let tables = tables(Kind::Imap, Protocol::Auth);
    let entries = tables.values().flat_map(|table| &table.keys);
    let names: BTreeSet<_> = entries.map(|entry| entry.key.name).collect();
    for name in names {
        wanted.push_str(&format!("\"{name} = \"\n"));
    }
    same(path, &wanted);
}

/// Where the remark on a key begins in the example, and where it ends at the latest.
const COLUMNS: (usize, usize) = (44, 128);

/// The lines that show a key: off, unless `given` is what the example gives it.
fn shown(entry: &Entry, given: Option<&str>) -> Vec<String> {
    let default = match &entry.value {
        Shown::Set(value)
        | Shown::Table(Keyed {
            inline: Some(value), ..
        }) => value.clone(),
        Shown::Table(table) => table.to_inline(),
        Shown::Unset(_) => String::new(),
    };
    let value = match given {
        Some(given) => format!("{} = {given}", entry.key.name),
        None => format!("#{} = {}", entry.key.name, entry.key.example.unwrap_or(&default)),
    };
    let (begin, end) = COLUMNS;
    let mut words = entry.key.hint.split_whitespace();
    let Some(first) = words.next() else {
        return vec![value];
    };
    let mut lines = vec![format!("{:begin$}# {first}", value + " ")];
    for word in words {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + 1 + word.chars().count() <= end {
            line.push_str(&format!(" {word}"));
        } else {
            lines.push(format!("{:begin$}# {word}", ""));
        }
    }
    lines
}

/// A line of the example that shows a key: whether it is on, its name, and its value.
fn key_line(line: &str) -> Option<(bool, &str, &str)> {
    let (name, rest) = line.split_once(" = ")?;
    let (on, name) = name.strip_prefix('#').map_or((true, name), |name| (false, name));
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    // A remark begins behind the value, and outside of its quotes.
    let mut quoted = false;
    let end = rest.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '#' && !quoted
    });
    let value = end.map_or(rest, |(at, _)| &rest[..at]).trim_end();
    is_name.then_some((on, name, value))
}

/// The table that a line begins, with NAME for names, and its own name.
fn header(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix('#').unwrap_or(line);
    let path = line.strip_prefix('[')?.split(']').next()?;
    let mut words: Vec<&str> = path.split('.').collect();
    let name = words.iter().position(|word| word.starts_with('"'));
    let name = name.map(|at| std::mem::replace(&mut words[at], "NAME"));
    Some((words.join("."), name.unwrap_or_default().to_owned()))
}

/// The example with the first line of each key as its entry has it, and with the keys that it lacks.
fn example(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let word = |name: &str, key: &str| {
        let at = lines.iter().position(|line| line.ends_with(&format!(".{name}]")));
        let mut below = lines[at?..].iter().take_while(|line| !line.is_empty());
        below.find_map(|line| {
            key_line(line)
                .filter(|(_, found, _)| *found == key)
                .map(|(.., value)| value)
        })
    };
    let protocol_of =
        |name: &str| word(name, "protocol").and_then(|word| word.trim_matches('"').parse_word(Protocol::ALL));
    let of = |name: &str| {
        let kind = word(name, "type").and_then(|word| word.trim_matches('"').parse_word(Kind::ALL));
        tables(
            kind.unwrap_or(Kind::Lmtp),
            protocol_of(name).unwrap_or(Protocol::Auth),
        )
    };
    let every = tables(Kind::Lmtp, Protocol::Policy);
    let (mut seen, mut out) = (BTreeSet::new(), Vec::<String>::new());
    // Behind each key: its table, the protocol of that, and the place.
    let mut behind: Vec<(String, Option<Protocol>, usize)> = Vec::new();
    let (mut table, mut name) = (String::new(), String::new());
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if let Some((found, of)) = header(line) {
            (table, name) = (found, of);
        }
        let known = key_line(line).and_then(|(on, key, value)| {
            let entry = every
                .get(&table)?
                .keys
                .iter()
                .find(|entry| entry.key.name == key)?;
            let full = format!("{table}.{key}");
            // One that has lines of its own is shown by those.
            let has_lines = matches!(&entry.value, Shown::Table(below) if below.inline.is_none())
                && seen
                    .iter()
                    .any(|seen: &String| seen.starts_with(&format!("{full}.")));
            (!has_lines && seen.insert(full)).then_some((on, key, value))
        });
        let Some((on, key, value)) = known else {
            out.push((*line).to_owned());
            continue;
        };
        let tables = of(&name);
        let entry = tables[&table]
            .keys
            .iter()
            .find(|entry| entry.key.name == key)
            .unwrap();
        if let Shown::Table(below) = &entry.value {
            seen.extend(
                below
                    .keys
                    .iter()
                    .map(|below| format!("{table}.{key}.{}", below.key.name)),
            );
        }
        out.extend(shown(entry, on.then_some(value)));
        behind.push((table.clone(), protocol_of(&name), out.len()));
        while lines.get(at).is_some_and(|line| line.starts_with("     ")) {
            at += 1;
        }
    }
    let missing: Vec<(String, &Entry)> = every
        .iter()
        .flat_map(|(table, keyed)| keyed.keys.iter().map(move |entry| (table.clone(), entry)))
        .filter(|(table, entry)| {
            let is_table = matches!(&entry.value, Shown::Table(below) if below.inline.is_none());
            !is_table && !seen.contains(&format!("{table}.{}", entry.key.name))
        })
        .collect();
    let place = |(table, entry): (String, &Entry)| {
        let has = |protocol: &Option<Protocol>| protocol.is_none_or(|it| entry.key.at.contains(&it));
        let takes = |(other, protocol, _): &&(String, Option<Protocol>, usize)| {
            *other == table && (entry.key.at.is_empty() || has(protocol))
        };
        match behind.iter().rfind(takes) {
            Some((.., at)) => (*at, shown(entry, None)),
            None => panic!("contrib/vouch.toml has no [{table}] for {}", entry.key.name),
        }
    };
    let mut added: Vec<_> = missing.into_iter().map(place).collect();
    added.sort_by_key(|(at, _)| *at);
    for (at, lines) in added.into_iter().rev() {
        out.splice(at..at, lines);
    }
    out.join("\n") + "\n"
}

trait Word {
    fn parse_word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T>;
}

impl Word for str {
    fn parse_word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        words
            .iter()
            .find(|(word, _)| *word == self)
            .map(|(_, meaning)| *meaning)
    }
}

#[test]
fn the_example_shows_every_key_as_its_entry_has_it() {
    let path = "contrib/vouch.toml";
    let text = fs::read_to_string(root().join(path)).unwrap();
    same(path, &example(&text));
}

#[test]
fn a_key_that_the_example_lacks_is_added() {
    let path = root().join("contrib/vouch.toml");
    let text = fs::read_to_string(path).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("#idle-timeout"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(text, without);
    assert!(example(&without).contains("\n#idle-timeout = \"30s\""));
}

/// It goes to a listener that has it, wherever in the file that is.
#[test]
fn a_key_of_some_listeners_is_added_to_one_of_these() {
    let text = fs::read_to_string(root().join("contrib/vouch.toml")).unwrap();
    let key = "#any-login";
    let others = text.lines().filter(|line| !line.starts_with(key));
    let without: String = others.map(|line| format!("{line}\n")).collect();
    assert_ne!(text, without);
    let added = example(&without);
    let (before, _) = added.split_once(key).unwrap();
    let (_, protocol) = before.rsplit_once("protocol = ").unwrap();
    let has_it = ["\"auth\"", "\"login\"", "\"saslauthd\""];
    assert!(has_it.iter().any(|word| protocol.starts_with(word)), "{protocol}");
}

/// Files of the program, with their code alone: no comment, no test.
fn code() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let program = program.split("#[cfg(test)]\nfn ").next().unwrap();
                let lines = program
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                files.push((path, lines.map(|line| format!("{line}\n")).collect()));
            }
        }
    }
    files
}

/// The files that name a key or its field, but for that with its entry.
fn places<'c>(code: &'c [(PathBuf, String)], key: &str) -> Vec<&'c Path> {
    let field = key.replace('-', "_");
    let names = |text: &str| {
        text.match_indices(&field).any(|(at, _)| {
            let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !is_word(text[..at].chars().next_back()) && !is_word(text[at + field.len()..].chars().next())
        }) || text.contains(&format!("\"{key}\""))
    };
    let entry = format!("\"{key}\" {field}: ");
    let other = code
        .iter()
        .filter(|(_, text)| !text.contains(&entry) && names(text));
    other
        .map(|(path, _)| path.strip_prefix(root()).unwrap())
        .collect()
}

/// Keys with a name that nothing else has. What else may name one: the file that uses it, and a sentence of `vouch check`.
const SAMPLE: [&str; 7] = [
    "idle-timeout", "max-age", "fold-case", "recipient-delimiter", "join-realm", "vrfy", "refuse-after",
];

#[test]
fn a_key_is_its_entry_and_the_line_that_uses_it() {
    let code = code();
    let entries = tables(Kind::Imap, Protocol::Auth);
    let entries: BTreeSet<_> = entries
        .values()
        .flat_map(|table| &table.keys)
        .map(|it| it.key.name)
        .collect();
    for key in SAMPLE {
        assert!(entries.contains(key), "{key}");
        let places = places(&code, key);
        let users = places.iter().filter(|path| !path.starts_with("src/config/show"));
        assert_eq!(users.count(), 1, "{key}: {places:?}");
        assert!(places.len() <= 2, "{key}: {places:?}");
    }
}

#[test]
fn each_place_that_names_a_key_counts() {
    let file = |name: &str, text: &str| (root().join(name), text.to_owned());
    let code = [
        file(
            "src/settings/a.rs", "\"idle-timeout\" idle_timeout: Duration = 1;\n",
        ),
        file("src/b.rs", "let idle = keys.idle_timeout;\n"),
        file("src/c.rs", "Limits { idle_timeout, ..limits }\n"),
        file("src/d.rs", "table.read(\"idle-timeout\")\n"),
        file("src/e.rs", "is_idle_timeout(idle_timeouts)\n"),
    ];
    let found = places(&code, "idle-timeout");
    assert_eq!(found, ["src/b.rs", "src/c.rs", "src/d.rs"].map(Path::new));
}
