//! What the last challenge of a dialog says of a refusal: trouble of the remote's own is no word about the client,
//! whatever stands on the final line.

use serde_json::Value;
use vouch_protocol::sasl::RelayedMechanism;

/// The trouble that a challenge tells of, in the words of its mechanism; `None` where it tells of none.
pub(super) fn trouble(mechanism: RelayedMechanism, challenge: &[u8]) -> Option<String> {
    match mechanism {
        RelayedMechanism::XOauth2 | RelayedMechanism::OAuthBearer => of_token(challenge),
        RelayedMechanism::ScramSha1 | RelayedMechanism::ScramSha256 => of_scram(challenge),
        RelayedMechanism::CramMd5 | RelayedMechanism::DigestMd5 => None,
    }
}

/// `{"status":"invalid_token",…}` (RFC 7628 §3.2.2). The status is a name of RFC 6750 §3.1 or RFC 6749 §4.1.2.1, or, with
/// Google and others, a status of HTTP; some write it under `error`.
fn of_token(challenge: &[u8]) -> Option<String> {
    let said: Value = serde_json::from_slice(challenge).ok()?;
    let status = ["status", "error"]
        .into_iter()
        .filter_map(|key| match &said[key] {
            Value::String(name) => Some(name.to_ascii_lowercase()),
            Value::Number(code) => Some(code.to_string()),
            _ => None,
        });
    let mut troubles = status.filter(|status| match status.as_str() {
        "server_error" | "temporarily_unavailable" => true,
        // RFC 6585 §4: too many requests.
        "429" => true,
        code => code.len() == 3 && code.starts_with('5') && code.bytes().all(|byte| byte.is_ascii_digit()),
    });
    troubles.next().map(|status| format!("status {status}"))
}

/// `server-error = "e=" server-error-value`, which ends a dialog (RFC 5802 §7). A value that is not known is to be taken
/// for `other-error`; these are about the client.
fn of_scram(challenge: &[u8]) -> Option<String> {
    let said = str::from_utf8(challenge).ok()?.strip_prefix("e=")?;
    let value = said.split(',').next().unwrap_or_default();
    match value {
        "invalid-proof" | "unknown-user" | "invalid-username-encoding" => None,
        // The words are the remote's; those that are registered are short.
        other => {
            let harmless = other.chars().filter(char::is_ascii_graphic);
            Some(format!("e={}", harmless.take(VALUE).collect::<String>()))
        }
    }
}

/// The longest registered value of an error has 43 characters (`server-does-support-channel-binding` has 35).
const VALUE: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_the_remote_is_told_apart_from_refusals() {
        for (mechanism, challenge, expected) in [
            (
                RelayedMechanism::OAuthBearer,
                r#"{"status":"invalid_token"}"#,
                None,
            ),
            (
                RelayedMechanism::OAuthBearer,
                r#"{"status":"insufficient_scope","scope":"mail"}"#,
                None,
            ),
            (
                RelayedMechanism::XOauth2,
                r#"{"status":"401","schemes":"Bearer","scope":"https://mail.google.com/"}"#,
                None,
            ),
            (RelayedMechanism::XOauth2, r#"{"status":"400"}"#, None),
            (
                RelayedMechanism::XOauth2,
                r#"{"status":"500"}"#,
                Some("status 500"),
            ),
            (
                RelayedMechanism::XOauth2,
                r#"{"status":503,"schemes":"Bearer"}"#,
                Some("status 503"),
            ),
            (
                RelayedMechanism::XOauth2,
                r#"{"status":"429"}"#,
                Some("status 429"),
            ),
            (
                RelayedMechanism::OAuthBearer,
                r#"{"status":"server_error"}"#,
                Some("status server_error"),
            ),
            (
                RelayedMechanism::OAuthBearer,
                r#"{ "error" : "Temporarily_Unavailable" }"#,
                Some("status temporarily_unavailable"),
            ),
            (RelayedMechanism::OAuthBearer, r#"{"status":"5000"}"#, None),
            (RelayedMechanism::OAuthBearer, r#"["server_error"]"#, None),
            (RelayedMechanism::OAuthBearer, "server_error", None),
            (RelayedMechanism::OAuthBearer, "", None),
            (RelayedMechanism::ScramSha256, "e=invalid-proof", None),
            (RelayedMechanism::ScramSha256, "e=unknown-user", None),
            (
                RelayedMechanism::ScramSha1,
                "e=no-resources",
                Some("e=no-resources"),
            ),
            (
                RelayedMechanism::ScramSha1,
                "e=other-error,ext=1",
                Some("e=other-error"),
            ),
            (RelayedMechanism::ScramSha1, "e=backend\r\nx", Some("e=backendx")),
            (RelayedMechanism::ScramSha1, "v=cm1mY", None),
            (RelayedMechanism::ScramSha1, "r=x,s=ab,i=4096", None),
            (RelayedMechanism::CramMd5, "e=no-resources", None),
        ] {
            let told = trouble(mechanism, challenge.as_bytes());
            assert_eq!(told.as_deref(), expected, "{challenge}");
        }
    }
}
