//! Keys that an earlier version of vouch had, or Stalwart, and what to write today. A key that is renamed or goes gets
//! its row here: an operator who upgrades learns what changed from the file, not from a list of releases.

/// A key that is none any more.
pub(super) struct Earlier {
    /// The table that it stands in, with `NAME` for names; empty for the file's own.
    table: &'static str,
    key: &'static str,
    /// Whose key it was.
    of: &'static str,
    /// What to write instead, or why nothing.
    now: &'static str,
}

impl Earlier {
    /// What stands beside the key.
    pub(super) fn label(&self) -> String {
        format!("a key of {}", self.of)
    }

    /// What to do.
    pub(super) const fn help(&self) -> &'static str {
        self.now
    }
}

const STALWART: &str = "Stalwart, and none here";

/// Version 0.1.0 is the first: of vouch itself there is none yet.
const EARLIER: [Earlier; 16] = [
    of_stalwart(
        "",
        "server",
        "write `[listener.\"NAME\"]` for each socket at which mail software asks",
    ),
    of_stalwart(
        "",
        "session",
        "Stalwart asks nobody any more: the mail server in front asks at a `[listener.\"NAME\"]`",
    ),
    of_stalwart(
        "", "storage", "each listener names what it asks: `directory = [\"NAME\"]`",
    ),
    of_stalwart(
        "",
        "store",
        "leave it out: `directory.NAME.cache.file` keeps recipients on disk",
    ),
    of_stalwart("", "tracer", "write `[log]`"),
    of_stalwart(
        "",
        "certificate",
        "leave it out: own certificates are `directory.NAME.tls.cert-file` and `key-file`",
    ),
    of_stalwart(
        "", "resolver", "leave it out: names are looked up as the system has it",
    ),
    of_stalwart(
        "",
        "authentication",
        "passwords are guessed at by clients of a listener: `listener.NAME.penalty`",
    ),
    of_stalwart("directory.NAME", "protocol", "write `type`"),
    of_stalwart(
        "directory.NAME", "options", "write `lookup.catch-all` and `lookup.recipient-delimiter`",
    ),
    of_stalwart(
        "directory.NAME", "principals", "users are known by the directory's server alone",
    ),
    of_stalwart(
        "directory.NAME",
        "columns",
        "SQL is not asked here: name the IMAP, SMTP or LMTP server that has the accounts",
    ),
    of_stalwart(
        "directory.NAME",
        "store",
        "SQL is not asked here: name the IMAP, SMTP or LMTP server that has the accounts",
    ),
    of_stalwart(
        "directory.NAME",
        "bind",
        "LDAP is not asked here: name the IMAP, SMTP or LMTP server that has the accounts",
    ),
    of_stalwart(
        "directory.NAME",
        "filter",
        "LDAP is not asked here: name the IMAP, SMTP or LMTP server that has the accounts",
    ),
    of_stalwart(
        "directory.NAME",
        "base-dn",
        "LDAP is not asked here: name the IMAP, SMTP or LMTP server that has the accounts",
    ),
];

const fn of_stalwart(table: &'static str, key: &'static str, now: &'static str) -> Earlier {
    Earlier {
        table,
        key,
        of: STALWART,
        now,
    }
}

/// What is known of a key that is none, in the table of this full name.
pub(super) fn earlier(table: &str, key: &str) -> Option<&'static Earlier> {
    let table = without_name(table);
    EARLIER
        .iter()
        .find(|earlier| earlier.table == table && earlier.key == key)
}

/// `directory."mailbox".tls` as `directory.NAME.tls`.
fn without_name(table: &str) -> String {
    let named = table.split_once(".\"");
    let named = named.and_then(|(kind, rest)| Some((kind, rest.rsplit_once('"')?.1)));
    named.map_or_else(|| table.to_owned(), |(kind, rest)| format!("{kind}.NAME{rest}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::read::parse;

    #[test]
    fn the_name_of_a_table_does_not_matter() {
        for (table, general) in [
            ("", ""),
            ("log", "log"),
            ("directory.\"a\"", "directory.NAME"),
            ("directory.\"a.b\\\"c\".pool", "directory.NAME.pool"),
        ] {
            assert_eq!(without_name(table), general);
        }
    }

    #[test]
    fn each_says_what_to_write() {
        for Earlier { table, key, now, .. } in &EARLIER {
            let table = table.replace("NAME", "\"a b\"");
            let text = if table.is_empty() {
                format!("[{key}.x]\ny = 1\n")
            } else {
                format!("[{table}]\ntype = 'lmtp'\naddress = 'a.example'\n{key} = 1\n")
            };
            let error = parse(Path::new("old.toml"), &text).unwrap_err();
            let shown = error.to_string();
            assert!(
                shown.contains("a key of Stalwart") && shown.contains(now),
                "{shown}"
            );
            assert!(error.brief().contains(now), "{}", error.brief());
        }
    }

    /// `tests/configs/earlier` has a file with every key of each version that was released: none of them is lost
    /// without a word.
    #[test]
    fn every_key_of_an_earlier_version_is_read_or_said_to_have_changed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/earlier");
        let mut files = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let Err(error) = parse(&path, &text) else { continue };
            let shown = error.to_string();
            let unknown = shown.matches("error: unknown key").count();
            assert_eq!(unknown, shown.matches(" a key of ").count(), "{shown}");
        }
        assert!(files > 0);
    }
}
