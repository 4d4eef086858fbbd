//! The dialog with a remote, as events for `vouch probe --trace` and the log at
//! level `trace`.
//!
//! Commands mask their secrets in their own `Display`. A remote may still send
//! a password back to us ("BAD unknown command: hunter2"), so what it says in
//! answer to one is searched for it.

use std::fmt::Display;

use protocol::secret::Secret;

/// The name under which the dialog is logged.
pub const TARGET: &str = "vouch::dialog";

/// We sent this.
pub(super) fn said(peer: &str, what: &dyn Display) {
    tracing::trace!(target: TARGET, "{peer} C: {what}");
}

/// The remote sent this.
pub(super) fn heard(peer: &str, what: &dyn Display) {
    tracing::trace!(target: TARGET, "{peer} S: {what}");
}

/// The remote sent this to us after it had been told `secret`.
pub(super) fn heard_after(peer: &str, what: &dyn Display, secret: &Secret<[u8]>) {
    if tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        tracing::trace!(target: TARGET, "{peer} S: {}", masked(&what.to_string(), secret));
    }
}

/// `text` without `secret`, should a remote have put it there.
pub fn masked(text: &str, secret: &Secret<[u8]>) -> String {
    let plain = String::from_utf8_lossy(secret.expose());
    let encoded = protocol::sasl::base64_encode(secret.expose());
    let encoded = String::from_utf8_lossy(encoded.expose());
    let mut text = text.to_owned();
    for secret in [plain, encoded] {
        if !secret.is_empty() && text.contains(secret.as_ref()) {
            text = text.replace(secret.as_ref(), "[secret]");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echoed_password_is_masked_in_both_forms() {
        let secret = Secret::copy_from(b"hunter2");
        let text = masked("unknown command: hunter2 (aHVudGVyMg==)", &secret);
        assert_eq!(text, "unknown command: [secret] ([secret])");
    }
}
