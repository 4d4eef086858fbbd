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
    "version mismatch", "undefined error", "server unavailable", "channel binding", "sasl error",
    "canonification",
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
    "login failed 13", "connections", "i o error",
];

/// What a text says beside "no", where it says something that we understand.
pub fn read(text: &str, user: &str) -> Option<Account> {
    let words = Words::without(text, user, &[]);
    if words.have(BUSY) {
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
pub fn names_credential(text: &str, user: &str) -> bool {
    Words::without(text, user, &[]).have(CREDENTIAL)
}
