//! SCRAM-SHA-1 (RFC 5802) and SCRAM-SHA-256 (RFC 7677) as a server that keeps passwords.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Exchange, ask};
use crate::conn::{Conn, Over};

/// Rounds of the key derivation, the fewest that RFC 7677 §4 allows.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// Stands for a password that nobody has.
const NOBODYS: &[u8] = b"\0";

#[derive(Clone, Copy)]
pub(crate) struct Hash {
    hmac: hmac::Algorithm,
    digest: &'static digest::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

impl Hash {
    pub(crate) fn sha_1() -> Self {
        Self {
            hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
            pbkdf2: pbkdf2::PBKDF2_HMAC_SHA1,
        }
    }

    pub(crate) fn sha_256() -> Self {
        Self {
            hmac: hmac::HMAC_SHA256,
            digest: &digest::SHA256,
            pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    fn keyed(self, key: &[u8], message: &str) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac, key), message.as_bytes())
            .as_ref()
            .to_vec()
    }

    fn salted(self, password: &[u8], salt: &[u8]) -> Vec<u8> {
        let mut salted = vec![0; self.digest.output_len()];
        pbkdf2::derive(self.pbkdf2, ITERATIONS, salt, password, &mut salted);
        salted
    }
}

/// The dialog from the client's first message on.
pub(crate) async fn exchange(
    conn: &mut Conn,
    hash: Hash,
    first: &[u8],
    prompt: &str,
) -> Result<Exchange, Over> {
    let first = String::from_utf8_lossy(first).into_owned();
    let (header, bare, user) = match client_first(&first) {
        Ok(read) => read,
        Err(failed) => return Ok(failed),
    };
    let client_nonce = bare.split_once(",r=").map_or("", |(_, nonce)| nonce);
    let (nonce, salt) = (conn.shared.options.nonce(), conn.shared.options.salt.clone());
    let nonce = format!("{client_nonce}{nonce}");
    let server_first = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(&salt));
    let last = match ask(conn, prompt, &STANDARD.encode(&server_first)).await? {
        Ok(last) => String::from_utf8_lossy(&last).into_owned(),
        Err(failed) => return Ok(failed),
    };
    let Some((without_proof, proof)) = last.rsplit_once(",p=") else {
        return Ok(Exchange::Malformed);
    };
    let expected = format!("c={},r={nonce}", STANDARD.encode(header));
    let Ok(proof) = STANDARD.decode(proof) else {
        return Ok(Exchange::Malformed);
    };
    let password = conn.shared.directory.password(&user);
    let wrong = Exchange::Credentials(user.clone().into_bytes(), NOBODYS.to_vec());
    let Some(password) = password.filter(|_| without_proof == expected) else {
        return Ok(wrong);
    };
    let salted = hash.salted(&password, &salt);
    let message = format!("{bare},{server_first},{without_proof}");
    let client_key = hash.keyed(&salted, "Client Key");
    let stored_key = digest::digest(hash.digest, &client_key);
    let signature = hash.keyed(stored_key.as_ref(), &message);
    let right: Vec<u8> = client_key
        .iter()
        .zip(&signature)
        .map(|(key, sign)| key ^ sign)
        .collect();
    if constant_time::verify_slices_are_equal(&right, &proof).is_err() {
        return Ok(wrong);
    }
    let server_key = hash.keyed(&salted, "Server Key");
    let server_final = format!("v={}", STANDARD.encode(hash.keyed(&server_key, &message)));
    match ask(conn, prompt, &STANDARD.encode(server_final)).await? {
        Ok(end) if end.is_empty() => Ok(Exchange::Credentials(user.into_bytes(), password)),
        Ok(_) => Ok(Exchange::Malformed),
        Err(failed) => Ok(failed),
    }
}

/// The header, the rest, and the user in it (RFC 5802 §7).
fn client_first(message: &str) -> Result<(&str, &str, String), Exchange> {
    let mut parts = message.splitn(3, ',');
    let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Exchange::Malformed);
    };
    let name = bare.strip_prefix("n=").and_then(|rest| rest.split_once(",r="));
    let (Some((name, _)), "n" | "y") = (name, flag) else {
        return Err(Exchange::Malformed);
    };
    if name.replace("=2C", "").replace("=3D", "").contains('=') || name.is_empty() {
        return Err(Exchange::Malformed);
    }
    let user = name.replace("=2C", ",").replace("=3D", "=");
    match authzid.strip_prefix("a=") {
        Some(identity) if identity != name => return Err(Exchange::OtherIdentity),
        None if !authzid.is_empty() => return Err(Exchange::Malformed),
        _ => {}
    }
    let header = message.len() - bare.len();
    Ok((message.get(..header).unwrap_or_default(), bare, user))
}
