//! Reads `[directory."NAME".lookup]`.

use std::path::{Path, PathBuf};

use super::{
    directory::KEYS,
    problem::{Problem, is_denied},
    read_text,
    table::{Field, Findings, Table, strings},
    value::{self, Wrong},
};
use crate::{
    address::{Address, Domain},
    config::directory::{CatchAll, Domains, Lookup},
};

/// Bound (process): domains in one file. Beyond: it is refused at the start. Why: a provider of more has several
/// directories.
const DOMAINS: usize = 1_000_000;

/// So much of a line that is no domain is shown, in characters.
const LINE_SHOWN: usize = 60;

/// Reads `[….lookup]`.
pub(super) fn lookup(found: &mut Findings, mut table: Table<'_>, lookup: &mut Lookup) {
    if let Some(field) = table.field("domains") {
        domains(found, &field, &mut lookup.domains);
    }
    if let Some(field) = table.field("canary") {
        lookup.canary = canary(found, &field, &lookup.domains);
    }
    table.read(
        found,
        "catch-all",
        &mut lookup.catch_all,
        value::word(CatchAll::ALL),
    );
    table.read(found, "fold-case", &mut lookup.fold_case, value::flag);
    table.read(
        found,
        "recipient-delimiter",
        &mut lookup.recipient_delimiter,
        |value| {
            let text = value::text(value)?;
            if text.chars().count() > 8 || text.contains(['@', ' ']) {
                return Err(Wrong::new(
                    "is not a delimiter", "at most 8 characters, none of them `@` or a space",
                ));
            }
            Ok(text)
        },
    );
    table.finish(found, KEYS);
}

fn domains(found: &mut Findings, field: &Field<'_>, domains: &mut Domains) {
    for (text, place) in strings(found, field, "`[\"example.org\"]`, or `\"file:///path\"`", true) {
        if let Some(path) = text.strip_prefix("file://") {
            match read_domains(Path::new(path)) {
                Ok(read) => domains.all.extend(read),
                Err(unusable) => {
                    let title = format!("`{}` names a file that cannot be used", field.name);
                    let label = format!("{path}{}", unusable.why);
                    let problem = Problem::new(title, place, label).help(unusable.help);
                    found.problem(problem.denied(unusable.denied));
                }
            }
            domains.files.push(PathBuf::from(path));
            continue;
        }
        match Domain::parse(&text) {
            Ok(domain) => {
                domains.all.insert(domain.clone());
                domains.listed.push(domain);
            }
            Err(_) => {
                let title = format!("`{}` holds what is not a domain", field.name);
                found
                    .problem(Problem::new(title, place, "not a domain name").help(
                        "write it as in `\"example.org\"`; an address has none of its local part here",
                    ));
            }
        }
    }
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

fn canary(found: &mut Findings, field: &Field<'_>, domains: &Domains) -> Vec<Address> {
    let mut addresses = Vec::new();
    for (text, place) in strings(found, field, "`[\"postmaster@example.org\"]`", false) {
        match Address::from_typed(&text) {
            Ok(address) if address.fault().is_none() => {
                if !domains.all.contains(address.domain()) {
                    let (name, domain) = (&field.name, address.domain());
                    found.note(
                        &place,
                        format!("`{name}`: {domain} is not in `lookup.domains`: no recipient is refused there, and vouch \
                        never asks about {text}"),
                    );
                }
                addresses.push(address);
            }
            _ => {
                let title = format!("`{}` holds what is not an address", field.name);
                found.problem(Problem::new(
                    title, place, "must be as in `\"postmaster@example.org\"`",
                ));
            }
        }
    }
    addresses
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

    #[test]
    fn files_and_names_make_one_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("domains");
        std::fs::write(&path, "example.net\nexample.org\n").unwrap();
        let (head, file) = (
            "[directory.a]\ntype = 'lmtp'\naddress = 'a.example'\n",
            path.display(),
        );
        let text = format!("{head}lookup.domains = ['example.org', 'file://{file}']\n");
        let (config, _) = crate::config::read::parse(Path::new("a.toml"), &text).unwrap();
        let domains = &config.directory[0].lookup.domains;
        assert_eq!(
            domains.all.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["example.net", "example.org"]
        );
        assert_eq!((domains.listed.len(), &domains.files), (1, &vec![path.clone()]));
        let alone = format!("{head}lookup.domains = 'file://{file}'\n");
        let (config, _) = crate::config::read::parse(Path::new("a.toml"), &alone).unwrap();
        assert_eq!(config.directory[0].lookup.domains.all.len(), 2);
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
