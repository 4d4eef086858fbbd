//! Keys that an earlier version of vouch had, or Stalwart, and what to write today. A key that is renamed or goes gets
//! its row here: an operator who upgrades learns what changed from the file, not from a list of releases.

/// A key that is none any more.
pub(crate) struct Earlier {
    /// The table that it stands in, with `NAME` for names; empty for the file's own.
    pub(crate) table: &'static str,
    pub(crate) key: &'static str,
    /// Whose key it was.
    of: &'static str,
    /// What to write instead, or why nothing.
    pub(crate) now: &'static str,
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
pub(crate) const EARLIER: [Earlier; 16] = [
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

/// Keys of Stalwart's that make no difference here: the table, the key, and why it is ignored.
const IGNORED: [(&str, &str, &str); 5] = [
    (
        "directory.NAME.pool",
        "min-connections",
        "sessions are opened when asked for; `warm-sessions` keeps some ready",
    ),
    (
        "directory.NAME.pool",
        "max-lifetime",
        "a session lives as long as servers bear one that has not logged in; `max-age` sets it",
    ),
    (
        "directory.NAME.pool", "connect-timeout", "the directory's `timeout` bounds connecting too",
    ),
    (
        "directory.NAME.pool",
        "timeout",
        "the directory's `timeout` bounds connecting and each command, the listener's `deadline` the whole answer",
    ),
    (
        "directory.NAME.cache",
        "size",
        "bytes are not counted here; `entries` bounds the recipients remembered",
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

/// Why a key is ignored, in the table of this full name; none if it is not.
pub(super) fn ignored(table: &str, key: &str) -> Option<&'static str> {
    let table = without_name(table);
    let row = IGNORED.iter().find(|(of, name, _)| *of == table && *name == key);
    row.map(|(.., why)| *why)
}

/// `directory."mailbox".tls` as `directory.NAME.tls`.
fn without_name(table: &str) -> String {
    let named = table.split_once(".\"");
    let named = named.and_then(|(kind, rest)| Some((kind, rest.rsplit_once('"')?.1)));
    named.map_or_else(|| table.to_owned(), |(kind, rest)| format!("{kind}.NAME{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
