//! The domains of a directory, and the addresses in them that must exist.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::key::{Item, Shown, Value, array};
use super::problem::is_denied;
use super::scalar::{Bound, Wrong};
use super::table::{Field, Findings, strings};
use crate::address::{Address, Domain};

/// The domains of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Domains {
    /// Those written in the configuration itself.
    pub listed: Vec<Domain>,
    /// The files named there.
    pub files: Vec<PathBuf>,
    /// All of them, from both.
    pub all: BTreeSet<Domain>,
}

/// Bound (process): domains in one file. Beyond: it is refused at the start. Why: a provider of more has several
/// directories.
const DOMAINS: usize = 1_000_000;

/// So much of a line that is no domain is shown, in characters.
const LINE_SHOWN: usize = 60;

impl Value for Domains {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        for (text, place) in strings(found, field, "`[\"example.org\"]`, or `\"file:///path\"`", true) {
            if let Some(path) = text.strip_prefix("file://") {
                match read_domains(Path::new(path)) {
                    Ok(read) => self.all.extend(read),
                    Err(unusable) => {
                        let label = format!("{path}{}", unusable.why);
                        let wrong = Wrong::new("names a file that cannot be used", label).help(unusable.help);
                        found.problem(field.problem(place, wrong).denied(unusable.denied));
                    }
                }
                self.files.push(PathBuf::from(path));
            } else if let Ok(domain) = Domain::parse(&text) {
                self.all.insert(domain.clone());
                self.listed.push(domain);
            } else {
                let wrong = Wrong::new("holds what is not a domain", "not a domain name")
                    .help("write it as in `\"example.org\"`; an address has none of its local part here");
                found.problem(field.problem(place, wrong));
            }
        }
    }

    fn show(&self) -> Shown {
        let files = self.files.iter().map(|file| format!("file://{}", file.display()));
        Shown::Set(array(self.listed.iter().map(ToString::to_string).chain(files)))
    }
}

/// `canary`.
impl Item for Address {
    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>) {
        for (text, place) in strings(found, field, "`[\"postmaster@example.org\"]`", false) {
            match Self::from_typed(&text) {
                Ok(address) if address.fault().is_none() => {
                    list.push(address);
                    found.takes(field, place);
                }
                _ => {
                    let label = "must be as in `\"postmaster@example.org\"`";
                    found.problem(field.problem(place, Wrong::new("holds what is not an address", label)));
                }
            }
        }
    }
}

/// Bound (process, bytes): configuration, and each file of domains or routes. Beyond: it is refused at the start. Why:
/// a million domains fit.
pub(super) const LONGEST_FILE: u64 = 64 << 20;

/// The name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// A whole text file within [`LONGEST_FILE`].
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
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

/// Why a file of domains cannot be used.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    /// Goes behind the path: with the line, where there is one.
    why: String,
    /// What to do.
    help: &'static str,
    /// The system does not let us read it.
    denied: bool,
}

impl Unusable {
    fn new(why: String) -> Self {
        Self {
            why,
            help: "an absolute path as in `\"file:///etc/vouch/domains\"`: one domain a line, `#` starts a comment",
            denied: false,
        }
    }
}

/// A file of domains: one a line, `#` starts a comment.
///
/// # Errors
/// What is wrong, and what to do.
fn read_domains(path: &Path) -> Result<Vec<Domain>, Unusable> {
    if !path.is_absolute() {
        return Err(Unusable::new(
            ": the path must be absolute: three slashes".to_owned(),
        ));
    }
    let text = read_text(path).map_err(|why| Unusable {
        denied: is_denied(&why),
        ..Unusable::new(format!(": {why}"))
    })?;
    let mut domains = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let bad = |_| {
                let shown: String = line.chars().take(LINE_SHOWN).collect();
                Unusable::new(format!(", line {}: `{shown}` is not a domain", number + 1))
            };
            domains.push(Domain::parse(line).map_err(bad)?);
            if domains.len() > DOMAINS {
                return Err(Unusable {
                    help: "split it, and name each part",
                    ..Unusable::new(format!(": more than {DOMAINS} domains in one file"))
                });
            }
        }
    }
    Ok(domains)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of_domains(text: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("domains");
        std::fs::write(&path, text).unwrap();
        let domains = read_domains(&path).map_err(|unusable| unusable.why)?;
        Ok(domains.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_holds_one_domain_a_line() {
        let text = "# ours\nexample.org\n\n  Bücher.Example # sold\r\nexample.net".as_bytes();
        let domains = file_of_domains(text).unwrap();
        assert_eq!(domains, ["example.org", "xn--bcher-kva.example", "example.net"]);
        assert_eq!(file_of_domains(b"").unwrap(), Vec::<String>::new());
        let bad = file_of_domains(b"example.org\nbob@example.org\n").unwrap_err();
        assert_eq!(bad, ", line 2: `bob@example.org` is not a domain");
        assert!(file_of_domains(b"\xff\xfe\n").is_err());
        assert!(read_domains(Path::new("domains")).is_err());
    }

    // Fills DOMAINS.
    #[test]
    fn a_file_holds_so_many_domains_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("domains");
        std::fs::write(&path, "a\n".repeat(DOMAINS)).unwrap();
        assert_eq!(read_domains(&path).map(|read| read.len()), Ok(DOMAINS));
        std::fs::write(&path, "a\n".repeat(DOMAINS + 1)).unwrap();
        let Unusable { why, .. } = read_domains(&path).unwrap_err();
        assert_eq!(why, ": more than 1000000 domains in one file");
    }
}
