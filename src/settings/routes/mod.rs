//! `lookup.routes`: a map in a file, of domains to the servers that know their users.

pub mod map;
mod mistake;
mod place;
mod plain;
mod transport;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeValue;

use super::domains::LONGEST_FILE;
use super::key::{Shown, Value};
use super::kind::Kind;
use super::problem::is_denied;
use super::scalar::{Bound, Wrong, filled, quoted};
use super::table::{Field, Findings};
use map::Map;
use mistake::Fault;

/// Mistakes in a map that are shown at once; the others are counted.
const FAULTS_SHOWN: usize = 5;

/// What a file of routes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `DOMAIN HOST[:PORT] …`.
    Plain,
    /// The text of a transport(5) table.
    Transport,
}

impl Format {
    /// What stands before the path.
    const ALL: [(&'static str, Self); 2] = [("file://", Self::Plain), ("transport://", Self::Transport)];

    fn scheme(self) -> &'static str {
        let [plain, transport] = Self::ALL;
        if self == plain.1 { plain.0 } else { transport.0 }
    }
}

/// A map, and where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// What the file holds.
    pub format: Format,
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub map: Arc<Map>,
    /// Whose the file is, and its permissions.
    pub owner: Owner,
}

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The number of the user.
    pub uid: u32,
    /// The permissions, as of chmod(1).
    pub mode: u32,
}

impl Owner {
    /// The others that may write the file, besides root and users of these numbers.
    pub fn others(self, ours: &[u32]) -> Option<String> {
        if self.uid != 0 && !ours.contains(&self.uid) {
            return Some(format!("it belongs to the user of number {}", self.uid));
        }
        match (self.mode & 0o020 != 0, self.mode & 0o002 != 0) {
            (_, true) => Some("everybody may write it".to_owned()),
            (true, false) => Some("its group may write it".to_owned()),
            (false, false) => None,
        }
    }
}

impl std::fmt::Display for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.format.scheme(), self.path.display())
    }
}

impl Value for Option<Routes> {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        // Without a usable type there is an error already.
        let kind = field.context.kind.unwrap_or(Kind::Smtp);
        match routes(field.value, kind) {
            Ok(routes) => *self = Some(routes),
            Err((wrong, denied)) => {
                found.problem(field.problem(field.place.clone(), wrong).denied(denied));
            }
        }
    }

    fn show(&self) -> Shown {
        self.as_ref()
            .map_or(Shown::Unset(String::new()), |routes| Shown::Set(quoted(routes)))
    }
}

/// Reads the file that a value names. An error says whether the system did not let us.
fn routes(value: &DeValue<'_>, kind: Kind) -> Result<Routes, (Wrong, bool)> {
    let text = filled(value).map_err(|wrong| (wrong, false))?;
    let named = |(scheme, format): (&str, Format)| Some((text.strip_prefix(scheme)?, format));
    let Some((path, format)) = Format::ALL.into_iter().find_map(named) else {
        let wrong = Wrong::new("names no file", "must begin with `file://` or `transport://`").help(
            "write `\"file:///etc/vouch/routes\"` for lines `DOMAIN HOST`, or `\"transport:///etc/postfix/transport\"` for the \
             text of a transport(5) table",
        );
        return Err((wrong, false));
    };
    if format == Format::Transport && kind == Kind::Imap {
        let label = "its servers take mail: they are asked by SMTP and LMTP";
        let help = "write the map of an `imap` directory as `\"file:///path\"`, with lines `DOMAIN HOST`";
        let wrong = Wrong::new("cannot be a transport(5) table for type `imap`", label).help(help);
        return Err((wrong, false));
    }
    let unusable = |why: String, help: &str, denied| {
        let wrong = Wrong::new("names a file that cannot be used", format!("{path}{why}")).help(help);
        (wrong, denied)
    };
    let path = Path::new(path);
    if !path.is_absolute() {
        let why = ": the path must be absolute: three slashes".to_owned();
        return Err(unusable(why, HELP, false));
    }
    let (text, owner) = read(path).map_err(|why| unusable(format!(": {why}"), HELP, is_denied(&why)))?;
    let map = match format {
        Format::Plain => plain::parse(&text, kind),
        Format::Transport => transport::parse(&text),
    };
    let map = map.map_err(|faults| {
        unusable(
            told(&faults),
            "correct these lines: a map is used as a whole or not at all",
            false,
        )
    })?;
    Ok(Routes {
        format,
        path: path.to_owned(),
        map: Arc::new(map),
        owner,
    })
}

/// What a file must be.
const HELP: &str = "an absolute path as in `\"file:///etc/vouch/routes\"`";

/// The text of a file, and whose it is.
fn read(path: &Path) -> io::Result<(String, Owner)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = String::new();
    if file.take(LONGEST_FILE + 1).read_to_string(&mut text)? as u64 > LONGEST_FILE {
        return Err(io::Error::other("longer than 64 MiB"));
    }
    let owner = Owner {
        uid: metadata.uid(),
        mode: metadata.mode() & 0o7777,
    };
    Ok((text, owner))
}

/// The lines that cannot be used, in a row.
fn told(faults: &[Fault]) -> String {
    let mut told = String::new();
    for Fault { line, why } in faults.iter().take(FAULTS_SHOWN) {
        told.push_str(&format!(
            "{} line {line}: {why}",
            if told.is_empty() { "," } else { ";" }
        ));
    }
    match faults.len().saturating_sub(FAULTS_SHOWN) {
        0 => told,
        more => format!("{told}; and {more} more"),
    }
}

/// The map that a transport(5) table is.
#[cfg(test)]
pub(crate) fn map_of_tests(text: &str) -> Arc<Map> {
    let map = transport::parse(text);
    assert!(map.is_ok(), "{map:?}");
    Arc::new(map.unwrap_or_default())
}
