//! vouch.toml(5).

use super::roff::{Page, sentence};
use crate::config::directory::{
    Auth, Cache, CatchAll, Code252, Credentials, Directory, KeyExchange, Kind, Limits, LoginMethod, Lookup,
    Policy, Pool, Rcpt, Replies, StartTls, Tls, Ttl,
};
use crate::config::dovecot::Dovecot;
use crate::config::listener::{
    Action, Any, ClientLimits, Exists, Listener, Mechanism, OkFields, Protocol, TempFail,
};
use crate::config::{Control, Described, Log, LogAddresses, LogFormat, LogLevel, Metrics, Penalty, Service};

/// A table of the file.
#[derive(Debug)]
pub struct Table {
    /// Its name, in which NAME stands for one that the file chooses.
    pub name: &'static str,
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
    /// Its name, or names, between backticks.
    pub name: String,
    /// What it means.
    pub text: String,
}

/// Words that a key may hold, and what each means.
type Words = &'static [(&'static str, &'static str)];

/// Keys that hold one of a few words.
const WORDS: [(&str, &str, Words); 15] = [
    ("directory.NAME", "`type`", Kind::MEANINGS),
    ("directory.NAME.tls", "`starttls`", StartTls::MEANINGS),
    ("directory.NAME.tls", "`key-exchange`", KeyExchange::MEANINGS),
    ("directory.NAME.lookup", "`catch-all`", CatchAll::MEANINGS),
    ("directory.NAME.rcpt", "`code-252`", Code252::MEANINGS),
    ("directory.NAME.rcpt", "`policy`", Policy::MEANINGS),
    ("directory.NAME.auth", "`mechanism`", LoginMethod::MEANINGS),
    ("listener.NAME", "`protocol`", Protocol::MEANINGS),
    ("listener.NAME", "`mechanisms`", Mechanism::MEANINGS),
    ("listener.NAME", "`tempfail`", TempFail::MEANINGS),
    ("listener.NAME", "`any`", Any::MEANINGS),
    ("listener.NAME", "`exists`", Exists::MEANINGS),
    ("log", "`level`", LogLevel::MEANINGS),
    ("log", "`format`", LogFormat::MEANINGS),
    ("log", "`addresses`", LogAddresses::MEANINGS),
];

/// Every table, in the order of the page.
pub fn tables() -> Vec<Table> {
    vec![
        table("directory.NAME", &Directory::DESCRIBED),
        table("directory.NAME.tls", &Tls::DESCRIBED),
        table("directory.NAME.limits", &Limits::DESCRIBED),
        table("directory.NAME.lookup", &Lookup::DESCRIBED),
        table("directory.NAME.rcpt", &Rcpt::DESCRIBED),
        table("directory.NAME.replies", &Replies::DESCRIBED),
        table("directory.NAME.auth", &Auth::DESCRIBED),
        table("directory.NAME.pool", &Pool::DESCRIBED),
        table("directory.NAME.cache", &Cache::DESCRIBED),
        table("directory.NAME.cache.ttl", &Ttl::DESCRIBED),
        table("directory.NAME.cache.credentials", &Credentials::DESCRIBED),
        table("listener.NAME", &Listener::DESCRIBED),
        table("listener.NAME.limits", &ClientLimits::DESCRIBED),
        table("listener.NAME.penalty", &Penalty::DESCRIBED),
        table("listener.NAME.action", &Action::DESCRIBED),
        table("listener.NAME.ok", &OkFields::DESCRIBED),
        table("dovecot", &Dovecot::DESCRIBED),
        table("metrics", &Metrics::DESCRIBED),
        table("control", &Control::DESCRIBED),
        table("log", &Log::DESCRIBED),
        table("service", &Service::DESCRIBED),
    ]
}

fn table(name: &'static str, described: &Described) -> Table {
    let (mut keys, mut remarks) = (Vec::new(), Vec::new());
    for described in described.keys.iter().map(|text| text.trim()) {
        match described.split_once(": ") {
            // A table of its own, which has its own part.
            _ if described.starts_with("`[") => {}
            Some((name, text)) if name.starts_with('`') && name.ends_with('`') => keys.push(Key {
                name: name.to_owned(),
                text: sentence(text),
            }),
            _ => remarks.push(described.to_owned()),
        }
    }
    // The name stands in the heading.
    let about = described.about.trim();
    let (_, about) = about.split_once("`: ").unwrap_or(("", ""));
    Table {
        name,
        about: sentence(about),
        keys,
        remarks,
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
            page.item(&key.name, &key.text);
            let words = WORDS
                .iter()
                .filter(|(of, name, _)| *of == table.name && *name == key.name);
            for (word, meaning) in words.flat_map(|(_, _, words)| *words) {
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
