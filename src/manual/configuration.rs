//! vouch.toml(5).

use std::path::PathBuf;

use super::roff::{Page, sentence};
use crate::settings::address::Addresses;
use crate::settings::directory::Directory;
use crate::settings::dovecot::Dovecot;
use crate::settings::fleet::Fleet;
use crate::settings::key::{About, Entry, Keyed, Shown};
use crate::settings::kind::Kind;
use crate::settings::listener::Listener;
use crate::settings::process::{Control, Log, Metrics, Service};
use crate::settings::protocol::Protocol;
use crate::settings::scalar::{Bound, Words};
use crate::settings::socket::ListenAddress;

/// A table of the file.
#[derive(Debug)]
pub struct Table {
    /// Its name, in which NAME stands for one that the file chooses.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Its keys.
    pub keys: Vec<Key>,
    /// Further remarks.
    pub remarks: Vec<String>,
}

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub text: String,
    /// The words that it may be, with their meaning, where it is one of a few.
    pub words: Words,
}

/// Every table, in the order of the page.
pub fn tables() -> Vec<Table> {
    let nowhere = ListenAddress::Dovecot;
    let directories = Kind::ALL.iter().map(|(word, kind)| {
        let remote = Addresses::nowhere();
        (*word, Directory::new("", *kind, remote).every_key())
    });
    let listeners = Protocol::ALL.iter().map(|(word, protocol)| {
        let listener = Listener::new("", *protocol, nowhere.clone(), Vec::new());
        (*word, listener.every_key())
    });
    let mut tables = Vec::new();
    add(
        &mut tables,
        "directory.NAME",
        "for",
        &directories.collect::<Vec<_>>(),
    );
    add(&mut tables, "listener.NAME", "at", &listeners.collect::<Vec<_>>());
    let dovecot = Dovecot::new(Vec::new(), Vec::new());
    let (keys, others): (Vec<_>, Vec<_>) = {
        let keyed = dovecot.keyed();
        keyed.keys.into_iter().partition(|entry| !entry.key.dovecot)
    };
    let about = dovecot.keyed().about;
    add(
        &mut tables,
        "dovecot",
        "",
        &[(
            "",
            Keyed {
                about,
                inline: None,
                keys,
            },
        )],
    );
    if let Some(table) = tables.last_mut() {
        let others: Vec<_> = others
            .iter()
            .map(|entry| format!("`{}`", entry.key.name))
            .collect();
        table.remarks.push(format!(
            "The other keys are those of a listener of protocol `login`, with the same meaning: {}.",
            others.join(", ")
        ));
    }
    for (name, keyed) in [
        ("fleet", Fleet::new(Vec::new(), PathBuf::new()).every_key()),
        ("metrics", Metrics::new(nowhere).every_key()),
        ("control", Control::new().every_key()),
        ("log", Log::new().every_key()),
        ("service", Service::new().every_key()),
    ] {
        add(&mut tables, name, "", &[("", keyed)]);
    }
    tables
}

/// Adds a table, and those below it. It is there once for each type of directory or protocol of a listener, as its
/// defaults may differ: `of` is what stands before that word.
fn add(tables: &mut Vec<Table>, name: &str, of: &str, cases: &[(&str, Keyed)]) {
    let Some((_, keyed)) = cases.first() else { return };
    let at = tables.len();
    tables.push(Table {
        name: name.to_owned(),
        about: sentence(keyed.about.trim()),
        keys: Vec::new(),
        remarks: Vec::new(),
    });
    for (number, Entry { key, .. }) in keyed.keys.iter().enumerate() {
        let has = |word: &str| key.at.is_empty() || key.at.iter().any(|protocol| protocol.as_str() == word);
        let cases: Vec<(&str, &Shown)> = cases
            .iter()
            .filter(|(word, _)| has(word))
            .filter_map(|(word, keyed)| Some((*word, &keyed.keys.get(number)?.value)))
            .collect();
        let below: Vec<(&str, Keyed)> = cases
            .iter()
            .filter_map(|(word, value)| match value {
                Shown::Table(keyed) => Some((*word, keyed.clone())),
                _ => None,
            })
            .collect();
        let has_lines = below.iter().any(|(_, keyed)| keyed.inline.is_none());
        if !has_lines && let Some(table) = tables.get_mut(at) {
            table.keys.push(Key {
                name: key.name,
                text: text(key, of, &cases),
                words: key.words,
            });
        }
        let next = tables.len();
        add(tables, &format!("{name}.{}", key.name), of, &below);
        if let (Some(table), true) = (tables.get_mut(next), has_lines) {
            table.about = joined(&[&table.about, &only(key)]);
        }
    }
}

/// What is said of a key.
fn text(key: &About, of: &str, cases: &[(&str, &Shown)]) -> String {
    let bound = match &key.bound {
        Bound::None => String::new(),
        bound => format!("From {bound}."),
    };
    let alias = key.alias.map_or(String::new(), |alias| {
        format!("`{alias}` is another name for it.")
    });
    let default = match (key.required, key.default) {
        (Some(_), _) => match key.unless {
            None => "Required.".to_owned(),
            Some(other) => format!("Required, unless `{other}` is given."),
        },
        (None, Some(words)) => words.to_owned(),
        (None, None) => default(of, cases),
    };
    joined(&[&sentence(key.text.trim()), &bound, &default, &only(key), &alias])
}

/// Sentences, those left out that are none.
fn joined(sentences: &[&str]) -> String {
    let sentences: Vec<_> = sentences
        .iter()
        .filter(|text| !text.is_empty())
        .copied()
        .collect();
    sentences.join(" ")
}

/// Which listeners have a key.
fn only(key: &About) -> String {
    let names: Vec<_> = key.at.iter().map(|protocol| format!("`{protocol}`")).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => format!("{last} only."),
        Some((last, first)) => format!("{} and {last} only.", first.join(", ")),
    }
}

/// The default: the most frequent one first, then the others.
fn default(of: &str, cases: &[(&str, &Shown)]) -> String {
    let mut groups: Vec<(&Shown, Vec<&str>)> = Vec::new();
    for (word, value) in cases {
        match groups.iter_mut().find(|(known, _)| known == value) {
            Some((_, words)) => words.push(word),
            None => groups.push((value, vec![word])),
        }
    }
    groups.sort_by_key(|(_, words)| std::cmp::Reverse(words.len()));
    let texts: Vec<_> = groups
        .iter()
        .enumerate()
        .map(|(number, (value, words))| {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            let value = match value {
                Shown::Set(value)
                | Shown::Table(Keyed {
                    inline: Some(value), ..
                }) => match value.as_str() {
                    "[]" | "{}" | "\"\"" => "none".to_owned(),
                    value => format!("`{value}`"),
                },
                Shown::Unset(words) if words.is_empty() => return String::new(),
                Shown::Unset(words) if number == 0 => format!(": {words}"),
                Shown::Unset(words) => words.clone(),
                Shown::Table(_) => String::new(),
            };
            match number {
                0 => value,
                _ => format!("{of} {} {value}", words.join(", ")),
            }
        })
        .collect();
    match texts.join("; ").as_str() {
        "" => String::new(),
        texts => format!("Default {texts}.").replace("Default : ", "Default: "),
    }
}

/// The page.
pub fn page() -> String {
    let mut page = Page::new("vouch.toml", 5, "File Formats Manual");
    page.section("NAME");
    page.text("vouch.toml - configuration of vouch");
    description(&mut page);
    page.section("KEYS");
    for table in tables() {
        page.part(&format!("[{}]", table.name));
        if !table.about.is_empty() {
            page.text(&table.about);
        }
        table.remarks.iter().for_each(|remark| page.text(remark));
        for key in &table.keys {
            page.item(&format!("`{}`", key.name), &key.text);
            for (word, meaning) in key.words {
                page.word(word, meaning);
            }
        }
    }
    examples(&mut page);
    page.section("FILES");
    page.item("`/etc/vouch/vouch.toml`", "Read if no other file is named.");
    page.section("SEE ALSO");
    page.text("`vouch`(8)");
    page.into_text()
}

fn description(page: &mut Page) {
    page.section("DESCRIPTION");
    page.text(
        "The file names the mail servers to ask (a directory each) and the sockets on which mail software may ask (a \
         listener each). It is TOML: tables in brackets, each followed by its keys. NAME is any name: the log uses it \
         for the directory or listener, and listeners name their directories by it. Write it in double quotes if it \
         contains anything but letters, digits, - and _.",
    );
    page.text(
        "`vouch check` reads the file and explains what vouch will do; `--all` adds the value of every key. It refuses \
         unknown keys, with the line and the key that was probably meant. Every key that is not marked as required has a \
         safe default.",
    );
    page.item(
        "Times",
        "A number and one unit, in double quotes: \"500ms\", \"30s\", \"5m\", \"2h\" or \"7d\".",
    );
    page.item(
        "Limits",
        "A number from 1, or \"unlimited\". There is no 0, which could mean none, or no limit.",
    );
    page.item("Files and sockets", "Absolute paths, in double quotes.");
    page.item(
        "Templates",
        "`{user}` is the whole name, `{local}` and `{domain}` the parts before and after the last @. In fields of \
         an answer, `{service}`, `{rip}` (the client's address) and `{session}` come from the request.",
    );
    page.item(
        "Names beyond ASCII",
        "A local part is compared byte by byte, as only its server knows which of them are equal: a letter with an \
         accent, as one character (NFC) or as two (NFD), makes two mailboxes, each asked about and cached for itself, and \
         `lookup.fold-case` folds ASCII letters only. A domain may be written in letters or as A-label (xn--...). It is \
         compared, cached and logged as A-label, and `{domain}` in the `fields` of a user is the A-label: homes are named by it.",
    );
    page.text(
        "Stalwart Mail Server's names for keys of a directory are accepted too, with a note: `host`, `tls.enable`, \
         `pool.max-connections`. Other names of Stalwart are ignored, with a note that gives the reason.",
    );
}

fn examples(page: &mut Page) {
    page.section("EXAMPLES");
    page.text("Postfix asks which recipients a mailbox server knows:");
    page.example(
        "[directory.\"mailbox\"]\n\
         type = \"lmtp\"\n\
         address = \"mail.example.org\"\n\
         lookup.domains = [\"example.org\"]\n\
         \n\
         [listener.\"recipients\"]\n\
         protocol = \"policy\"\n\
         socket = \"/var/spool/postfix/vouch/policy\"\n\
         directory = [\"mailbox\"]",
    );
    page.text("Postfix asks an IMAP server whether a password is right:");
    page.example(
        "[directory.\"imap\"]\n\
         type = \"imap\"\n\
         address = \"imap.example.org\"\n\
         tls.implicit = true\n\
         \n\
         [listener.\"logins\"]\n\
         protocol = \"auth\"\n\
         socket = \"/var/spool/postfix/vouch/auth\"\n\
         directory = [\"imap\"]",
    );
}
