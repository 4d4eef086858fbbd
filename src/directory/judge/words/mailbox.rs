//! What the text of a refused `RCPT TO` is about.

use super::Words;

/// What a text is about.
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

/// About the sender or the client, whatever else it names: Exim's sender
/// verification quotes the sender's own "User unknown". Such a text is stronger
/// than a code.
const SENDER_OR_CLIENT: &[&str] = &[
    "sender", "senders", "mail from", "mailfrom", "from domain", "verification failed", "verify failed",
    "verify failure", "callout", "callback", "reverse dns", "rdns", "ptr", "helo", "ehlo", "spf", "dkim",
    "dmarc", "spamhaus", "blacklist*", "black list", "black listed", "blocklist*", "block list", "dnsbl",
    "rbl", "is listed", "listed at", "listed in", "listed on", "listed by", "client host", "client ip",
    "client address", "sending ip", "ip address", "your ip", "this ip", "bad ip", "sent too many",
    "sent to too many", "recipient preferences", "not accepting email", "spam", "spammer", "spammed",
    "return address", "return path", "reverse path", "originator", "envelope from", "from address",
    "from user", "address family", "mail command", "poor reputation", "bad reputation", "reputation",
    "tls connection", "not allowed to send",
];

/// About the remote's own state, whatever it calls unknown or unavailable for
/// want of it. Such a text is stronger than a code, too.
const TROUBLE: &[&str] = &[
    "internal", "database", "backend", "ldap", "lookup failed", "lookup failure", "lookup error",
    "queue down", "local error", "system error", "server error", "out of memory", "connection refused",
    "timed out",
];

const LATER: &[&str] = &[
    "receiving mail at a rate", "receiving email at a rate", "too quickly", "greylist*", "graylist*",
];

/// The text itself does not know which.
const EITHER: &[&str] = &[
    "or mailbox full", "or mailbox is full", "exist or blocked", "or blocked or",
];

const DISABLED: &[&str] = &[
    "account inactive", "account is not active", "account has been disabled", "account has been suspended",
    "account disabled", "account administratively disabled", "account closed", "account is blocked",
    "account blocked", "account not activated", "mailbox disabled", "mailbox was disabled",
    "mailbox is disabled", "mailbox is frozen", "mailbox is inactive", "mailbox is blocked",
    "mailbox is locked", "deactivated mailbox", "inactive user", "user is inactive",
    "user mailbox is inactive", "user suspended", "user status is locked", "user inactive",
    "mail receiving disabled", "is now disabled", "disabled recipient address",
    "email account that you tried to reach is disabled", "email account that you tried to reach is inactive",
];
const FOR_NOW: &[&str] = &["temporar*", "try again", "currently"];

const FULL: &[&str] = &[
    "over quota", "overquota", "mailbox full", "mailbox is full", "quota exceeded for", "exceeds quota",
    "exceeded quota", "storage full", "out of storage space", "not have enough space",
    "mailbox would exceed",
];

const CONFIG: &[&str] = &[
    "authentication required", "requires authentication", "authentication is required",
    "smtp authentication", "must authenticate", "authenticate first",
];

/// About us or about rules. Weaker than a code, stronger than the words for an
/// unknown user: `relay not permitted: unknown user` is about relaying.
const POLICY: &[&str] = &[
    "dns", "domain name", "host", "server", "relay", "relays", "relaying", "gateway for", "not a gateway",
    "denied", "deny", "forbidden", "prohibit*", "not permitted", "permit", "polic*", "not allowed",
    "not accepted", "not authorized", "unauthorized", "unauthenticated", "authentication", "auth",
    "permission", "banned", "block", "blocked", "blocking", "listed", "refused", "refuse", "protected",
    "restricted", "administrative*", "local user only", "not local host", "not our", "temporar*",
    "try again", "later", "too many", "limited", "limit", "rate", "frequency", "mismatch*", "forgery",
    "country", "or blocked", "or mailbox full", "access", "verified",
];

const NOUNS: &[&str] = &[
    "user", "users", "mailbox", "mail box", "recipient", "account", "address", "addressee", "local part",
    "alias", "person", "email address", "destination address", "destination mailbox address", "rcpt",
];
const BEFORE_NOUN: &[&str] = &[
    "unknown", "unrouteable", "unroutable", "invalid", "no such", "no such email", "no such virtual",
    "unknown or illegal", "unknown invalid", "bad", "undeliverable", "illegal",
];
const AFTER_NOUN: &[&str] = &[
    "unknown", "not found", "unavailable", "unrouteable", "does not exist", "doesn't exist", "not exist",
    "does not exists", "invalid", "not known", "not a valid", "no longer exists", "not listed in",
    "not a member",
];
const UNKNOWN: &[&str] = &[
    "no mailbox", "no account by that name", "no recipient", "no recipients", "no valid recipient",
    "no valid recipients", "not a valid recipient", "not a valid mailbox", "not have an account",
    "user doesn't have a", "user not local", "not a registered",
    "account that you tried to reach does not exist", "no longer on server", "no user here",
];

/// Domino's way to say unknown; "listed" in it is not about a blocklist.
const DOMINO: &[&str] = &["not listed in domino"];

/// What a text without a useful code says of the mailbox, where it says
/// something that we understand.
pub fn read(text: &str, address: &str) -> Option<Mailbox> {
    agreed(text, address, |words| {
        if words.have(DOMINO) {
            return Some(Mailbox::Unknown);
        }
        if let Some(stronger) = not_about_it(words) {
            return Some(stronger);
        }
        if words.have(DISABLED) && !words.have(FOR_NOW) {
            Some(Mailbox::Disabled)
        } else if words.have(FULL) {
            Some(Mailbox::Full)
        } else if words.have(CONFIG) {
            Some(Mailbox::Config)
        } else if words.have(POLICY) {
            Some(Mailbox::Policy)
        } else if words.have(UNKNOWN)
            || words.have_near(BEFORE_NOUN, NOUNS)
            || words.have_near(NOUNS, AFTER_NOUN)
        {
            Some(Mailbox::Unknown)
        } else {
            None
        }
    })
}

/// What a text says that is not about the mailbox although its code is: real
/// servers send 5.1.1 for a client's bad name, and 5.2.1 for a busy hour.
pub fn overrules_code(text: &str, address: &str) -> Option<Mailbox> {
    agreed(text, address, |words| {
        if words.have(DOMINO) {
            None
        } else {
            not_about_it(words)
        }
    })
}

/// Whether an address is refused without any word about why: with 5.1.0, the
/// answer of Cisco's gateways to a recipient who is in no directory of theirs.
pub fn says_address_rejected(text: &str) -> bool {
    Words::of(text).have(&["address rejected"])
}

/// Whether a text with a code about storage is really about a full mailbox.
pub fn says_full(text: &str) -> bool {
    Words::of(text).have(FULL)
}

/// Whether the remote wants us to log in first.
pub fn wants_login(text: &str) -> bool {
    Words::of(text).have(CONFIG)
}

/// Whether a disabled account is named.
pub fn says_disabled(text: &str) -> bool {
    Words::of(text).have(DISABLED)
}

/// Whether a 452 or 552 is about how many recipients there were (Exim
/// `src/smtp_in.c`).
pub fn too_many_recipients(text: &str) -> bool {
    Words::of(text).have(&["too many recipients"])
}

fn not_about_it(words: &Words) -> Option<Mailbox> {
    if words.have(SENDER_OR_CLIENT) {
        Some(Mailbox::Policy)
    } else if words.have(LATER) || words.have(TROUBLE) {
        Some(Mailbox::Later)
    } else if words.have(EITHER) {
        Some(Mailbox::Policy)
    } else {
        None
    }
}

/// The reading of a text with the mailbox's name in it, and without it. Where
/// they differ, the one that is no "no" is taken. A mailbox may well be called
/// `user`: such a word decides nothing by itself, and stays.
fn agreed(text: &str, address: &str, read: impl Fn(&Words) -> Option<Mailbox>) -> Option<Mailbox> {
    let with = read(&Words::of(text));
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    if NOUNS.contains(&local) {
        return with;
    }
    let without = read(&Words::without(text, address));
    let says_no = |reading: Option<Mailbox>| matches!(reading, Some(Mailbox::Unknown | Mailbox::Disabled));
    match (with, without) {
        (with, without) if with == without => with,
        (with, without) if says_no(with) && says_no(without) => Some(Mailbox::Unknown),
        (with, without) if says_no(with) => without,
        (with, None) => with,
        (with, without) if says_no(without) => with,
        (_, without) => without,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_decides_nothing() {
        for (text, address, expected) in [
            ("Sender rejected", "sender@e.org", Some(Mailbox::Policy)),
            ("user unknown", "user@e.org", Some(Mailbox::Unknown)),
            ("no such user: blocked", "blocked@e.org", Some(Mailbox::Policy)),
            ("no such user: jane", "jane@e.org", Some(Mailbox::Unknown)),
            ("rejected: unknown user", "unknown@e.org", None),
        ] {
            assert_eq!(read(text, address), expected, "{text} about {address}");
        }
        assert_eq!(
            overrules_code("Helo rejected", "helo@e.org"),
            Some(Mailbox::Policy)
        );
    }

    #[test]
    fn trouble_and_senders_are_not_about_the_mailbox() {
        for text in [
            "mailbox unavailable: queue down", "account unavailable, internal error",
            "user unknown; LDAP lookup failed", "recipient address unavailable due to backend failure",
            "Invalid recipient: database error", "unknown user lookup failure", "bad return address",
            "bad reverse path address unknown", "originator address unknown",
            "Envelope from address unknown", "invalid address in MAIL command",
            "unknown address family of client", "From user unknown",
        ] {
            let reading = read(text, "x@e.org");
            assert!(
                matches!(reading, Some(Mailbox::Later | Mailbox::Policy)),
                "{text}: {reading:?}"
            );
        }
        assert_eq!(
            overrules_code("LDAP lookup failure", "x@e.org"),
            Some(Mailbox::Later)
        );
        assert_eq!(
            overrules_code("From address does not exist", "x@e.org"),
            Some(Mailbox::Policy)
        );
    }
}
