//! Whether a server repeats what proves a password: such a text is shown to nobody.

use super::relayed::is_digest;
use super::{base64_decode, base64_encode};
use crate::secret::Secret;

/// The forms in which a server may repeat what proves a password in `message`: in base64 as it is sent, and the proof alone.
pub fn forms(message: &Secret<[u8]>) -> Vec<Secret<[u8]>> {
    let mut forms = vec![base64_encode(message.expose())];
    forms.extend(proof(message.expose()).map(Secret::copy_from));
    forms
}

/// Whether `text` holds `message`, which is base64, or the proof in it, or the beginning of either: a quoted
/// line may be cut short, and a server may quote what it has decoded.
pub(crate) fn repeats(text: &str, message: &Secret<[u8]>) -> bool {
    let message = message.expose();
    let decoded = base64_decode(message).ok();
    let proof = decoded.as_ref().and_then(|decoded| proof(decoded.expose()));
    [Some(message), proof]
        .into_iter()
        .flatten()
        .any(|secret| begins_in(text, secret))
}

fn begins_in(text: &str, secret: &[u8]) -> bool {
    let head = secret.get(..8).unwrap_or(secret);
    let mut parts = text.as_bytes().windows(head.len().max(1));
    !head.is_empty() && parts.any(|part| part.eq_ignore_ascii_case(head))
}

/// What proves the password in a message of a client: SCRAM's `p=` (RFC 5802 §7), DIGEST-MD5's `response=` (RFC
/// 2831 §2.1.2), or CRAM-MD5's digest behind the user (RFC 2195 §2).
fn proof(message: &[u8]) -> Option<&[u8]> {
    for name in [&b",p="[..], b"response="] {
        let at = message.windows(name.len()).position(|part| part == name);
        if let Some(at) = at {
            return message.get(at + name.len()..);
        }
    }
    let space = message.iter().rposition(|&byte| byte == b' ')?;
    message.get(space + 1..).filter(|digest| is_digest(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::base64_encode;

    #[test]
    fn a_proof_is_found_as_it_was_sent_and_as_it_was_decoded() {
        for (message, proof) in [
            ("jane@example.org b913a602c7eda7a495b4e6e7334d3890", "B913A602c7"),
            ("c=biws,r=fyko,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v0X8v3Bz"),
            (
                "username=\"jane\",response=d388dad90d4bbd760a152321f2143af7",
                "d388dad90d4b",
            ),
        ] {
            let sent = base64_encode(message.as_bytes());
            let encoded = String::from_utf8_lossy(sent.expose()).into_owned();
            for text in [
                format!("unknown: {encoded}"),
                format!("what is {proof}?"),
                encoded[..9].to_owned(),
            ] {
                assert!(repeats(&text, &sent), "{text}");
            }
            for text in ["no such user jane@example.org", "c=biws,r=fyko", "username jane"] {
                assert!(!repeats(text, &sent), "{text}");
            }
        }
        assert!(!repeats("anything", &Secret::copy_from(b"")));
    }
}
