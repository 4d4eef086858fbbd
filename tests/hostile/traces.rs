//! What of a secret may be found in bytes that were sent or written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The forms in which a secret travels: as it is, and in base64. Base64 goes by threes, so the secret looks
/// otherwise behind another number of bytes; of each of the three forms, what every message that holds it has.
pub(crate) fn traces(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut traces = vec![secret.to_vec()];
    for before in 0..3 {
        let encoded = STANDARD.encode([&vec![0; before], secret].concat());
        let from = if before == 0 { 0 } else { before + 1 };
        // A group that is not full holds bits of what follows.
        let to = (before + secret.len()) / 3 * 4;
        traces.push(encoded.as_bytes()[from..to].to_vec());
    }
    traces
}

/// The first trace of any of the secrets in `bytes`.
pub(crate) fn find(bytes: &[u8], secrets: &[&str]) -> Option<String> {
    let mut all = secrets.iter().flat_map(|secret| traces(secret.as_bytes()));
    let found = all.find(|trace| holds(bytes, trace))?;
    Some(String::from_utf8_lossy(&found).into_owned())
}

/// Whether `bytes` hold `part`.
pub(crate) fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_secret_is_found_wherever_it_stands() {
    let secret = "s3cret-0f-jane";
    for before in 0..7 {
        for after in 0..4 {
            let message = [vec![b'a'; before], secret.into(), vec![b'z'; after]].concat();
            let encoded = STANDARD.encode(&message).into_bytes();
            assert!(find(&message, &[secret]).is_some(), "{before} {after}");
            assert!(find(&encoded, &[secret]).is_some(), "{before} {after}");
        }
    }
    assert_eq!(find(b"s3cret-of-jane", &[secret]), None);
}
