//! Text to [`Config`]: every key is read, checked alone and then together with the others.
//!
//! The reader walks the table with its places instead of deriving it: so it tells every problem of a file
//! at once, notes Stalwart's names where they stand, and knows where two things collide.

mod directory;
mod duplicate;
mod listener;
mod relay;
mod routes;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::Config;
pub use crate::settings::domains::STANDARD_INPUT;
use crate::settings::domains::read_text;
use crate::settings::dovecot::{self, Dovecot};
use crate::settings::fleet::{Fleet, StoreAddress};
use crate::settings::key::Keys;
use crate::settings::listener::Listener;
pub use crate::settings::problem::Error;
use crate::settings::problem::Problem;
use crate::settings::process::{LogFormat, Metrics};
use crate::settings::protocol::Protocol;
use crate::settings::socket::ListenAddress;
use crate::settings::table::{Findings, Place, Table};

/// Something about a configuration that is no error and that its author should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The line it is about, from 1; `None` when it is about something that is not there.
    pub line: Option<usize>,
    /// One sentence or two.
    pub text: String,
}

/// Reads a configuration file, or [`STANDARD_INPUT`], and the files of domains that it names.
///
/// # Errors
/// When the file cannot be read, is longer than 64 MiB, or as [`parse`].
pub fn load(path: &Path) -> Result<(Config, Vec<Note>), Error> {
    parse(
        path,
        &read_text(path).map_err(|why| Error::whole_file(path, &why))?,
    )
}

/// Reads a configuration's text; `path` is for messages.
///
/// # Errors
/// When the text is not TOML, a key is unknown, missing or given twice, a value cannot be used, or two of
/// them contradict each other. The error shows each place.
pub fn parse(path: &Path, text: &str) -> Result<(Config, Vec<Note>), Error> {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => return Err(Error::render(path, text, vec![syntax(text, &error)])),
    };
    let mut found = Findings::default();
    let config = file(&mut found, document.get_ref());
    if found.problems.is_empty() {
        Ok((config, notes(found, text)))
    } else {
        Err(Error::render(path, text, found.problems))
    }
}

/// What the TOML parser did not like.
fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let place = error.span().unwrap_or(0..0);
    if error.message() == "duplicate key" {
        return duplicate::problem(text, place);
    }
    let (title, label) = match error.message().split_once(", expected ") {
        Some((title @ "string values must be quoted", _)) => {
            (title, "put this between double quotes".to_owned())
        }
        Some((title, expected)) => (title, format!("expected {expected}")),
        None => (error.message(), String::new()),
    };
    Problem::new(title, place, label)
}

/// The notes in the order of the file, those about the whole file first.
fn notes(mut found: Findings, text: &str) -> Vec<Note> {
    found
        .notes
        .sort_by_key(|(place, _)| place.as_ref().map(|place| place.start));
    let line = |place: Place| {
        let before = text.bytes().take(place.start);
        before.filter(|byte| *byte == b'\n').count() + 1
    };
    let notes = found.notes.into_iter();
    notes
        .map(|(place, text)| Note {
            line: place.map(line),
            text,
        })
        .collect()
}

fn file(found: &mut Findings, document: &DeTable<'_>) -> Config {
    let mut config = Config::default();
    let mut file = Table::new("", 0..0, document);
    let mut places = HashMap::new();
    if let Some(tables) = file.table(found, "directory") {
        for (name, table) in tables.tables(found) {
            places.insert(name.clone(), table.place.clone());
            config.directory.push(directory::read(found, &name, table));
        }
    }
    let mut listeners: Vec<(Listener, Place)> = Vec::new();
    if let Some(tables) = file.table(found, "listener") {
        for (name, table) in tables.tables(found) {
            let place = table.place.clone();
            listeners.extend(listener::read(found, &name, table).map(|listener| (listener, place)));
        }
    }
    let dovecot = file.table(found, "dovecot").map(|table| {
        let place = table.place.clone();
        (dovecot(found, table), place)
    });
    if listeners.is_empty() && dovecot.is_none() && found.problems.is_empty() {
        found.notes.push((
            None,
            "no listener: no client can connect, and `vouch serve` does not start; `vouch probe` works"
                .to_owned(),
        ));
    }
    if config.directory.is_empty() {
        found.notes.push((
            None,
            "no directory: there is no server that could be asked".to_owned(),
        ));
    }
    for (of, place) in &listeners {
        let table = format!("listener.\"{}\"", of.name);
        listener::check_directories(found, &config, of, &format!("{table}.directory"), place);
        relay::check(found, &config, of, &table);
    }
    config.dovecot = dovecot.map(|(dovecot, place)| {
        for (key, protocol) in [
            ("dovecot.logins", Protocol::Login),
            ("dovecot.users", Protocol::Master),
        ] {
            let listener = dovecot.listener("dovecot", protocol, 1);
            listener::check_directories(found, &config, &listener, key, &place);
            if protocol == Protocol::Login {
                relay::check(found, &config, &listener, "dovecot");
            }
        }
        dovecot
    });
    listener::check_sockets(found, &listeners);
    config.listener = listeners.into_iter().map(|(listener, _)| listener).collect();
    config.fleet = file.table(found, "fleet").map(|table| fleet(found, table));
    process(found, &mut file, &mut config);
    for listener in &config.listener {
        let table = format!("listener.\"{}\"", listener.name);
        routes::check_logins(found, &config, listener, &table, "directory");
    }
    if let Some(dovecot) = &config.dovecot {
        let listener = dovecot.listener("dovecot", Protocol::Login, 1);
        routes::check_logins(found, &config, &listener, "dovecot", "logins");
    }
    file.finish(found);
    for directory in &config.directory {
        if let Some(place) = places.get(&directory.name) {
            directory::notes(found, directory, place);
        }
    }
    config
}

/// Reads `[dovecot]`.
fn dovecot(found: &mut Findings, mut table: Table<'_>) -> Dovecot {
    let mut dovecot = Dovecot::new(Vec::new(), Vec::new());
    table.context.keys = dovecot::names;
    dovecot.read_keys(found, &mut table);
    table.context.protocol = Some(Protocol::Login);
    table.context.dovecot = true;
    dovecot.keys.read_keys(found, &mut table);
    listener::check(found, &dovecot.keys, "dovecot");
    table.finish(found);
    dovecot
}

/// Reads `[fleet]`.
fn fleet(found: &mut Findings, mut table: Table<'_>) -> Fleet {
    let mut fleet = Fleet::new(Vec::new(), PathBuf::new());
    fleet.read_keys(found, &mut table);
    let place = table.place.clone();
    if cfg!(not(feature = "fleet")) {
        let problem = Problem::new(
            "`[fleet]` needs what this program was built without", place, "no such part",
        );
        found.problem(problem.help("build vouch with the cargo feature `fleet`, or remove the table"));
    }
    if let (Some(user), None) = (found.given("fleet.user"), &fleet.password_file) {
        let problem = Problem::new(
            "`fleet.user` has no password",
            user.value.clone(),
            "this user has one",
        );
        found.problem(problem.help("name the file that holds it by `password-file`"));
    }
    let has_tls = fleet.store.iter().any(StoreAddress::may_have_tls);
    for key in ["fleet.ca-file", "fleet.server-name"] {
        if let (false, Some(given)) = (has_tls, found.given(key)) {
            let place = given.key.clone();
            found.note(
                &place,
                format!(
                    "`{key}`: no store is at `tls://` or `sentinel:`, so there is no certificate to check"
                ),
            );
        }
    }
    table.finish(found);
    fleet
}

/// Reads the tables of the process itself.
fn process(found: &mut Findings, file: &mut Table<'_>, config: &mut Config) {
    if let Some(mut table) = file.table(found, "metrics") {
        let mut metrics = Metrics::new(ListenAddress::Dovecot);
        metrics.read_keys(found, &mut table);
        metrics_socket(found, config, &metrics.listen);
        config.metrics = Some(metrics).filter(|metrics| metrics.listen != ListenAddress::Dovecot);
        table.finish(found);
    }
    if let Some(mut table) = file.table(found, "control") {
        config.control.read_keys(found, &mut table);
        table.finish(found);
    }
    if let Some(mut table) = file.table(found, "log") {
        config.log.read_keys(found, &mut table);
        table.finish(found);
    }
    if let (Some(file), LogFormat::Journal) = (found.given("log.file"), config.log.format) {
        let title = "`log.file` is for a log that does not go to the journal";
        let problem = Problem::new(title, file.key.clone(), "`log.format` is `\"journal\"`");
        found.problem(problem.help("leave one of the two out"));
    }
    if let Some(mut table) = file.table(found, "service") {
        config.service.read_keys(found, &mut table);
        table.finish(found);
    }
}

/// No listener uses it, and a note names the users that can read there.
fn metrics_socket(found: &mut Findings, config: &Config, listen: &ListenAddress) {
    let Some(at) = found.given("metrics.listen").map(|given| given.key.clone()) else {
        return;
    };
    let mut listeners = config.listener.iter();
    if let Some(listener) = listeners.find(|listener| listener.socket == *listen) {
        let title = format!("`metrics.listen` is the socket of listener \"{}\"", listener.name);
        found.problem(
            Problem::new(title, at.clone(), "given to both")
                .help("give the metrics a socket of their own, such as `\"127.0.0.1:9143\"`"),
        );
    }
    if let ListenAddress::Tcp(address) = listen
        && !address.ip().is_loopback()
    {
        let text = format!(
            "`metrics.listen`: every host that can reach {address} may read the numbers of questions, and the addresses \
             and health of the remotes, but no user"
        );
        found.note(&at, text);
    }
}
