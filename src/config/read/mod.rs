//! Text to [`Config`]: every key is read, checked alone and then together with the others.
//!
//! The reader walks the table with its places instead of deriving it: so it tells every problem of a file
//! at once, notes Stalwart's names where they stand, and knows where two things collide.

mod action;
pub(crate) mod directory;
mod dovecot;
mod duplicate;
mod earlier;
mod endpoint;
mod fields;
mod listener;
pub(crate) mod lookup;
mod peers;
pub(crate) mod problem;
mod relay;
mod table;
mod trust;
pub(crate) mod value;

use std::{collections::HashMap, io::Read, path::Path};

use toml::de::{DeTable, DeValue};

pub use self::problem::Error;
use self::{
    problem::{Problem, nearest},
    table::{Findings, Place, Table},
    value::Wrong,
};
use super::{
    Config, ListenAddress, Listener, LogAddresses, LogFormat, LogLevel, Metrics, listener::Protocol,
};

/// Bound (process, bytes): configuration, and each file of domains. Beyond: it is refused at the start. Why: a
/// million domains fit.
const LONGEST_FILE: u64 = 64 << 20;

/// Something about a configuration that is no error and that its author should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The line it is about, from 1; `None` when it is about something that is not there.
    pub line: Option<usize>,
    /// One sentence or two.
    pub text: String,
}

/// The name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

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
        Ok((config, found.into_notes(text)))
    } else {
        Err(Error::render(path, text, found.problems))
    }
}

/// A whole text file within [`LONGEST_FILE`].
fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let input: Box<dyn Read> = if path == Path::new(STANDARD_INPUT) {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path)?)
    };
    let read = input.take(LONGEST_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > LONGEST_FILE {
        return Err(std::io::Error::other("longer than 64 MiB"));
    }
    Ok(text)
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
    let mut listeners: Vec<(Listener, listener::Places)> = Vec::new();
    if let Some(tables) = file.table(found, "listener") {
        for (name, table) in tables.tables(found) {
            listeners.extend(listener::read(found, &name, table));
        }
    }
    let dovecot = file
        .table(found, "dovecot")
        .map(|table| dovecot::read(found, table));
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
    for (listener, places) in &listeners {
        let key = format!("listener.\"{}\".directory", listener.name);
        listener_asks(found, &config, listener, &key, places);
        relay::check(found, &config, listener, places);
    }
    config.dovecot = dovecot.map(|(dovecot, places)| {
        let asking = [
            ("dovecot.logins", Protocol::Login),
            ("dovecot.users", Protocol::Master),
        ];
        for ((key, protocol), places) in asking.into_iter().zip(&places) {
            let listener = dovecot.listener("dovecot", protocol, 1);
            listener_asks(found, &config, &listener, key, places);
            relay::check(found, &config, &listener, places);
        }
        dovecot
    });
    own_sockets(found, &listeners);
    config.listener = listeners.into_iter().map(|(listener, _)| listener).collect();
    metrics(found, &mut file, &mut config);
    if let Some(mut table) = file.table(found, "control") {
        table.read_some(found, "socket", &mut config.control.socket, value::socket_path);
        table.finish(found, &["control.socket"]);
    }
    log(found, &mut file, &mut config);
    if let Some(mut table) = file.table(found, "service") {
        table.read_some(found, "user", &mut config.service.user, value::filled);
        table.read(found, "landlock", &mut config.service.landlock, value::flag);
        table.finish(found, &["service.user", "service.landlock"]);
    }
    file.finish(found, &[]);
    for directory in &config.directory {
        if let Some(place) = places.get(&directory.name) {
            directory::notes(found, directory, place);
        }
    }
    config
}

fn metrics(found: &mut Findings, file: &mut Table<'_>, config: &mut Config) {
    let Some(mut table) = file.table(found, "metrics") else {
        return;
    };
    let mut listen = None;
    let at = table.read_some(found, "listen", &mut listen, address_or_path);
    match (&listen, &at) {
        (Some(listen), Some(at)) => metrics_socket(found, config, listen, at),
        (None, None) => {
            let what = "an address such as `\"127.0.0.1:9143\"`, or the path of a socket";
            missing(found, &table, "listen", what);
        }
        _ => {}
    }
    config.metrics = listen.map(|listen| Metrics { listen });
    table.finish(found, &["metrics.listen"]);
}

/// No listener uses it, and a note names the users that can read there.
fn metrics_socket(found: &mut Findings, config: &Config, listen: &ListenAddress, at: &Place) {
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
        found.note(at, text);
    }
}

/// `IP ":" port`, or an absolute path.
fn address_or_path(value: &DeValue<'_>) -> Result<ListenAddress, Wrong> {
    let text = value::filled(value)?;
    if text.starts_with('/') {
        return value::socket_path(value).map(ListenAddress::Path);
    }
    match text.parse::<std::net::SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(ListenAddress::Tcp(address)),
        Ok(_) => Err(Wrong::new("cannot have port 0", "a port from 1 to 65535, please")),
        Err(_) => Err(Wrong::new(
            "is no address", "neither an IP address with port nor an absolute path",
        )
        .help("write `\"127.0.0.1:9143\"` or `\"/run/vouch/metrics\"`")),
    }
}

fn log(found: &mut Findings, file: &mut Table<'_>, config: &mut Config) {
    let Some(mut table) = file.table(found, "log") else {
        return;
    };
    table.read(found, "level", &mut config.log.level, value::word(LogLevel::ALL));
    table.read(
        found,
        "format",
        &mut config.log.format,
        value::word(LogFormat::ALL),
    );
    let at = table.read_some(found, "file", &mut config.log.file, value::path);
    if let (Some(at), LogFormat::Journal) = (at, config.log.format) {
        let title = "`log.file` is for a log that does not go to the journal";
        found.problem(
            Problem::new(title, at, "`log.format` is `\"journal\"`").help("leave one of the two out"),
        );
    }
    table.read(
        found,
        "addresses",
        &mut config.log.addresses,
        value::word(LogAddresses::ALL),
    );
    table.finish(found, &["log.level", "log.format", "log.file", "log.addresses"]);
}

/// Says that a key must be there.
fn missing(found: &mut Findings, table: &Table<'_>, key: &str, what: &str) {
    let title = format!("`{}` is missing", table.full(key));
    found.problem(
        Problem::new(title, table.place.clone(), format!("this needs `{key}`")).help(format!("give {what}")),
    );
}

/// Each name under the key `full` must be a directory's, and one of these must be able to answer.
fn listener_asks(
    found: &mut Findings,
    config: &Config,
    listener: &Listener,
    full: &str,
    places: &listener::Places,
) {
    let mut known = Vec::new();
    for (name, place) in listener.directory.iter().zip(&places.names) {
        match config.directory(name) {
            Some(directory) => known.push((directory, place)),
            None => {
                let problem = Problem::new(
                    format!("`{full}` names an unknown directory"),
                    place.clone(),
                    "no such directory",
                );
                let all = || config.directory.iter().map(|directory| directory.name.as_str());
                found.problem(match nearest(name, all()) {
                    Some(near) => problem.help(format!("did you mean `\"{near}\"`?")),
                    None if config.directory.is_empty() => problem.help("the file has no directory at all"),
                    None => problem.help(format!("there are: {}", all().collect::<Vec<_>>().join(", "))),
                });
            }
        }
    }
    let (kind, wanted) = if listener.protocol.asks_logins() {
        ("logins", "`imap` or `smtp`")
    } else {
        ("recipients", "`smtp` or `lmtp`")
    };
    let able = |directory: &super::Directory| listener.can_ask(directory.kind);
    if known.len() == listener.directory.len() && !known.iter().any(|(directory, _)| able(directory)) {
        let Some(place) = &places.directory else { return };
        let title = format!("`{full}` names no directory that can answer about {kind}");
        let label = format!("protocol `{}` asks about {kind}", listener.protocol);
        found.problem(
            Problem::new(title, place.clone(), label).help(format!("name a directory of type {wanted}")),
        );
        return;
    }
    for (directory, place) in &known {
        if !able(directory) {
            let text = format!(
                "`{full}`: \"{}\" is never asked here: type `{}` knows no {kind}",
                directory.name, directory.kind
            );
            found.note(place, text);
        }
    }
    let unlisted = |directory: &super::Directory| directory.lookup.domains.all.is_empty();
    let mut answering = known
        .iter()
        .map(|(directory, _)| *directory)
        .filter(|directory| able(directory))
        .peekable();
    if kind == "recipients" && answering.peek().is_some() && answering.all(unlisted) {
        let text =
            format!("`{full}`: none of these has `lookup.domains`: no recipient is ever asked for here");
        found.note(&places.listener, text);
    }
}

/// No two listeners on one socket.
fn own_sockets(found: &mut Findings, listeners: &[(Listener, listener::Places)]) {
    let mut taken: HashMap<_, (&str, Place)> = HashMap::new();
    for (listener, places) in listeners {
        let Some(place) = &places.socket else { continue };
        if let Some((other, first)) = taken.get(&listener.socket) {
            let title = format!(
                "listeners \"{other}\" and \"{}\" have the same socket",
                listener.name
            );
            found.problem(
                Problem::new(title, place.clone(), "given again here")
                    .also(first.clone(), "first given here")
                    .help("give each listener a socket of its own"),
            );
        } else {
            taken.insert(&listener.socket, (&listener.name, place.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds every key.
    const FULL: &str = include_str!("../../../tests/configs/good/full.toml");

    #[test]
    fn no_text_makes_it_panic() {
        // Cut anywhere, and every byte changed into what TOML minds.
        for at in 0..FULL.len() {
            if let Some(cut) = FULL.get(..at) {
                let _ = parse(Path::new("cut.toml"), cut).map_err(|error| error.to_string());
            }
        }
        for noise in ["\"", "[", "]", "{", "=", ".", "\n", "0", "\u{fc}", "\u{0}"] {
            for at in (0..FULL.len()).step_by(7).filter(|at| FULL.is_char_boundary(*at)) {
                let (before, after) = FULL.split_at(at);
                let text = format!("{before}{noise}{after}");
                let _ = parse(Path::new("noise.toml"), &text).map_err(|error| error.to_string());
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vouch.toml");
        let error = load(&path).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "error: cannot read {}: No such file or directory (os error 2)",
                path.display()
            )
        );
        std::fs::write(&path, b"\xff").unwrap();
        assert!(load(&path).is_err());
        std::fs::write(&path, "").unwrap();
        assert!(load(&path).is_ok());
    }

    // Fills MOST_PROBLEMS.
    #[test]
    fn many_errors_are_told_in_part() {
        let text: String = (0..50).map(|number| format!("key-{number} = 1\n")).collect();
        let error = parse(Path::new("many.toml"), &text).unwrap_err().to_string();
        assert_eq!(error.matches("unknown key").count(), 20);
        assert!(error.ends_with("error: and 30 more"), "{error}");
    }

    // Fills read::LONGEST_FILE.
    #[test]
    fn a_file_that_is_too_long_is_not_read_to_its_end() {
        let error = load(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "error: cannot read /dev/zero: longer than 64 MiB");
    }
}
