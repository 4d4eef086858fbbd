//! What the text of a refused login is about, beside the credential.

use super::Words;

/// What a text is about.
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

/// Temporary, although they name limits and passwords in one breath.
const BUSY: &[&str] = &["frequency limited", "is busy", "too many times"];

/// Trouble behind the remote, which may well call its own credentials invalid.
const TROUBLE: &[&str] = &[
    "internal", "database", "ldap", "backend", "server error", "could not connect", "configuration error",
    "out of memory", "connection refused", "connection closed", "cannot fork", "crashed", "overloaded",
];

/// Plainly about the credential.
const CREDENTIAL: &[&str] = &[
    "web browser", "application specific password", "invalid credentials", "credentials invalid", "incorrect",
];

const CONFIG: &[&str] = &[
    "no mechanism available", "too weak", "encryption needed", "plaintext password",
    "parsing configuration file", "passwords are not permitted", "under a layer", "clear text", "cleartext",
    "plain login", "not enabled", "access is disabled for your domain", "imap access enabled",
    "imap access is disabled for", "not implemented", "unsupported", "not supported",
    "mechanism is unsupported", "anonymous", "unknown authentication method",
    "basic authentication is disabled", "disabled for the tenant", "disabled for the mailbox",
    "did not meet the criteria", "not allowed on", "server has been suspended", "requires tls", "ssl tls",
    "starttls", "not enabled for imap", "referral",
];

/// Cyrus SASL's own troubles (`lib/common.c`, `sasl_errstring`).
const SASL: &[&str] = &[
    "generic failure", "no memory available", "overflowed buffer", "transient failure",
    "another step is needed", "bad protocol", "integrity check failed", "not initialized",
    "version mismatch", "undefined error", "server unavailable", "channel binding",
    "invalid parameter supplied", "sasl error", "canonification",
];

const EXPIRED: &[&str] = &[
    "expired", "password must be changed", "password change required", "has to be reset", "must change",
];

const DISABLED: &[&str] = &["disabled", "locked", "suspended", "deactivated"];

const TEMPORARY: &[&str] = &[
    "too many", "too often", "simultaneous", "concurrent", "try again", "try later", "later", "temporar*",
    "transient", "unavailable", "timeout", "timed out", "rate", "limit", "limits", "limited", "throttl*",
    "bandwidth", "busy", "internal", "maintenance", "server error", "server", "service", "down", "no memory",
    "could not connect", "could not determine", "backend", "database", "blacklisted", "blocked",
    "configuration error", "system", "error authenticating", "moved to another server", "protocol error",
    "aborted", "cancel*", "unsafe login", "not valid in this state", "wildcards", "not authenticated state",
    "login failed 13", "unable to", "not running", "too much load", "resource shortage", "unexpected error",
    "failure in", "ldap failure", "pam error", "worker", "mechanism failed", "no such file", "not allowed",
    "banned", "not authorized from", "greylist*", "quota", "in use", "daemon", "connection", "connections",
    "i o error",
];

/// What a text says beside "no", where it says something that we understand. A
/// text that means something else once the user's name is taken out of it means
/// what is no "no": there are users called `system`.
pub fn read(text: &str, user: &str) -> Option<Account> {
    let (with, without) = (reading(&Words::of(text)), reading(&Words::without(text, user)));
    let careful = |one: &Option<Account>| match one {
        Some(Account::Temporary) => 3,
        Some(Account::Config) => 2,
        Some(Account::Expired | Account::Disabled) => 1,
        None => 0,
    };
    if careful(&with) >= careful(&without) {
        with
    } else {
        without
    }
}

fn reading(words: &Words) -> Option<Account> {
    if words.have(BUSY) || words.have(TROUBLE) {
        Some(Account::Temporary)
    } else if words.have(CREDENTIAL) && !words.have(SASL) {
        None
    } else if words.have(CONFIG) {
        Some(Account::Config)
    } else if words.have(SASL) {
        Some(Account::Temporary)
    } else if words.have(EXPIRED) {
        Some(Account::Expired)
    } else if words.have(DISABLED) {
        Some(Account::Disabled)
    } else if words.have(TEMPORARY) {
        Some(Account::Temporary)
    } else {
        None
    }
}

/// Whether a text is plainly about the credential.
pub fn names_credential(text: &str) -> bool {
    let words = Words::of(text);
    words.have(CREDENTIAL) && !words.have(TROUBLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_no_wrong_password() {
        for text in [
            "Internal error: LDAP bind: invalid credentials", "database credentials incorrect",
            "invalid parameter supplied", "Connection refused", "connection closed",
            "Unable to contact authd", "Authentication daemon not running", "out of memory", "Cannot fork",
            "Too much load", "overloaded", "Resource shortage", "Unexpected error", "LDAP failure",
            "PAM error", "auth worker crashed", "Authentication mechanism failed",
            "Unable to open this mailbox.", "No such file or directory", "Host not allowed",
            "Your IP is banned", "Not authorized from this address", "greylisted", "Quota exceeded",
            "Account in use",
        ] {
            assert_eq!(read(text, "jane@e.org"), Some(Account::Temporary), "{text}");
        }
    }

    #[test]
    fn a_name_decides_nothing() {
        assert_eq!(read("System error", "system@e.org"), Some(Account::Temporary));
        assert_eq!(read("Server error", "server"), Some(Account::Temporary));
        assert_eq!(read("Login failed for locked", "locked"), Some(Account::Disabled));
        assert_eq!(read("Login failed for jane", "jane"), None);
    }
}
