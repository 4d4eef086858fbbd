//! The people of the remote server: those with plain names and those who test every layer of quoting.

/// The password of [`KNOWN`].
pub(crate) const RIGHT: &[u8] = b"right";

/// Someone with a mailbox and a login.
pub(crate) const KNOWN: &str = "known@example.org";

/// Has a mailbox that always fails for a while: LMTP says 451.
pub(crate) const FAILING_MAILBOX: &str = "failing@example.org";

/// A login whose user database is always out of order: IMAP says `NO [UNAVAILABLE]`.
pub(crate) const FAILING_LOGIN: &str = "someone@failing.example.org";

/// A login that its administrator has disabled: IMAP says `NO [CONTACTADMIN]`. Its password is [`RIGHT`].
pub(crate) const DISABLED: &str = "disabled@example.org";

/// Someone nobody knows.
pub(crate) const NOBODY: &str = "nobody@example.org";

/// Names with a mailbox as SMTP writes them in `RCPT TO:<…>`, all legal without SMTPUTF8.
pub(crate) const MAILBOXES: [&str; 9] = [
    KNOWN, "known+detail@example.org", "KNOWN@Example.ORG", "\"known\"@example.org", "o'brien@example.org",
    "\"quoted local\"@example.org", "\"two  spaces, a comma\"@example.org", "sub.domain@mail.example.org",
    "x#$&*/=?^_`{|}~-y@example.org",
];

/// The same kinds of names, without a mailbox.
pub(crate) const STRANGERS: [&str; 6] = [
    NOBODY, "nobody+detail@example.org", "NOBODY@Example.ORG", "\"not here\"@example.org",
    "o'nobody@example.org", "known@mail.example.org",
];

/// A mailbox with a name in UTF-8, and a stranger with one. Only a remote with SMTPUTF8 can be asked.
pub(crate) const UTF8: [&str; 2] = ["jörg@example.org", "jürgen@example.org"];

/// Names as they are, unquoted: what the remote keeps in its tables.
pub(crate) const NAMES: [&str; 6] = [
    KNOWN, "o'brien@example.org", "quoted local@example.org", "two  spaces, a comma@example.org",
    "sub.domain@mail.example.org", "x#$&*/=?^_`{|}~-y@example.org",
];

/// Logins with their passwords: every way to go wrong between the client and the remote's table.
pub(crate) fn logins() -> Vec<(String, Vec<u8>)> {
    let long = "0123456789".repeat(20);
    let passwords: [&[u8]; 16] = [
        RIGHT,
        b" spaces at both ends ",
        b"two  spaces",
        b"\"quoted\"",
        b"back\\slash\\\\two\\",
        b"100%s%u%%",
        b"a:b=c",
        b"{PLAIN}braces{5}",
        b"a",
        b"*",
        b"~!@#$^&()[]<>;,.?/|'`",
        "pässwörd ☃ 🔑".as_bytes(),
        b"latin-1 caf\xe9",
        long.as_bytes(),
        b"NIL",
        b"$HOME",
    ];
    let odd = passwords.iter().enumerate().map(|(number, password)| {
        let name = if number == 0 {
            KNOWN.to_owned()
        } else {
            format!("odd{number}@example.org")
        };
        (name, password.to_vec())
    });
    let names = NAMES
        .iter()
        .skip(1)
        .map(|name| ((*name).to_owned(), RIGHT.to_vec()));
    odd.chain(names)
        .chain([("local".to_owned(), RIGHT.to_vec())])
        .collect()
}
