//! Reads refusals that carry no code which says what they mean.
//!
//! Whole words and phrases, in any case. What the remote repeats of the address
//! or the user name is cut out first: `blocked@example.org` may well be unknown.

/// What the text of a refused `RCPT TO` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailbox {
    /// There is no such mailbox.
    Unknown,
    /// It is closed.
    Disabled,
    /// It exists and is full.
    Full,
    /// Try again.
    Later,
    /// The remote wants something that only a change of configuration gives.
    Config,
    /// The remote refuses us, the sender, the client or the message.
    Policy,
}

/// What the text of a refused login is about, other than the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Something is out of order, or there are too many of us.
    Temporary,
    /// The password must be changed.
    Expired,
    /// The account is closed or locked.
    Disabled,
    /// The remote wants something that only a change of configuration gives.
    Config,
}

/// Read first: such a text says nothing about the mailbox, even where it names
/// it. `550 relay not permitted: unknown user` is about relaying.
const MAILBOX_POLICY: &[&str] = &[
    "relay",
    "relaying",
    "denied",
    "prohibited",
    "prohibition",
    "policy",
    "blocked",
    "block",
    "list",
    "listed",
    "spam",
    "sender",
    "auth",
    "authentication",
    "authenticate",
    "helo",
    "ehlo",
    "spf",
];
const MAILBOX_FULL: &[&str] = &["over quota", "quota exceeded", "mailbox full", "mailbox is full"];
const MAILBOX_DISABLED: &[&str] = &["account disabled", "mailbox disabled", "user disabled"];
const MAILBOX_UNKNOWN: &[&str] = &[
    "user unknown",
    "unknown user",
    "no such user",
    "user not found",
    "no such mailbox",
    "mailbox unavailable",
    "does not exist",
    "unrouteable address",
];
const MAILBOX_LATER: &[&str] = &["greylisted", "try again", "temporarily"];
const MAILBOX_CONFIG: &[&str] = &["must issue a starttls command first"];

const ACCOUNT_TEMPORARY: &[&str] = &[
    "too many",
    "simultaneous",
    "try again",
    "temporary",
    "temporarily",
    "unavailable",
    "generic failure",
    "transient",
    "no memory",
    "timeout",
    "rate limit",
    "throttled",
    "blocked",
    "internal",
    "server",
    "service",
    "database",
    "down",
    "limit",
];
const ACCOUNT_EXPIRED: &[&str] = &["expired"];
const ACCOUNT_DISABLED: &[&str] = &["disabled", "locked", "suspended"];
const ACCOUNT_CONFIG: &[&str] = &[
    "mechanism too weak for this user",
    "encryption needed to use mechanism",
];

/// What the text of a refused `RCPT TO` says, where it says something that we
/// understand.
pub fn mailbox(text: &str, address: &str) -> Option<Mailbox> {
    let words = Words::without(text, address);
    let has = |phrases| words.have_one_of(phrases);
    if has(MAILBOX_CONFIG) {
        Some(Mailbox::Config)
    } else if has(MAILBOX_LATER) {
        Some(Mailbox::Later)
    } else if has(MAILBOX_POLICY) {
        Some(Mailbox::Policy)
    } else if has(MAILBOX_FULL) {
        Some(Mailbox::Full)
    } else if has(MAILBOX_DISABLED) {
        Some(Mailbox::Disabled)
    } else if has(MAILBOX_UNKNOWN) {
        Some(Mailbox::Unknown)
    } else {
        None
    }
}

/// Whether a 452 or 552 is about how many recipients there were (Exim,
/// `smtp_in.c`).
pub fn too_many_recipients(text: &str) -> bool {
    Words::of(text).have_one_of(&["too many recipients"])
}

/// What the text of a refused login says beside "no".
pub fn account(text: &str, user: &str) -> Option<Account> {
    let words = Words::without(text, user);
    let has = |phrases| words.have_one_of(phrases);
    if has(ACCOUNT_CONFIG) {
        Some(Account::Config)
    } else if has(ACCOUNT_EXPIRED) {
        Some(Account::Expired)
    } else if has(ACCOUNT_DISABLED) {
        Some(Account::Disabled)
    } else if has(ACCOUNT_TEMPORARY) {
        Some(Account::Temporary)
    } else {
        None
    }
}

/// A text as lower-case words, one space around each.
struct Words(String);

impl Words {
    fn of(text: &str) -> Self {
        let mut words = String::with_capacity(text.len() + 2);
        words.push(' ');
        for character in text.chars() {
            if character.is_alphanumeric() {
                words.extend(character.to_lowercase());
            } else if matches!(character, '\'' | '\u{2019}') {
                // "doesn't" is one word, with or without its mark.
            } else if !words.ends_with(' ') {
                words.push(' ');
            }
        }
        if !words.ends_with(' ') {
            words.push(' ');
        }
        Self(words)
    }

    /// The words of `text` without those of a name that it repeats.
    fn without(text: &str, name: &str) -> Self {
        let words = Self::of(text);
        let (name, local) = (
            Self::of(name),
            Self::of(name.rsplit_once('@').map_or(name, |(local, _)| local)),
        );
        let mut cut = words.0;
        for repeated in [name, local] {
            if repeated.0.len() > 2 {
                cut = cut.replace(&repeated.0, "  ");
            }
        }
        Self(cut)
    }

    fn have_one_of(&self, phrases: &[&str]) -> bool {
        phrases
            .iter()
            .any(|phrase| self.0.contains(&format!(" {phrase} ")))
    }
}
