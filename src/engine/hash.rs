//! Hashes of secrets under a key, which leave nothing of the secrets behind.

use aws_lc_rs::hmac;

/// One block of SHA-256 (FIPS 180-4, 5.2.1).
const BLOCK: [u8; 64] = [0; 64];

/// The hash of `parts` under `key`. Each part is preceded by its length, so that no two lists of parts
/// hash alike.
pub(super) fn keyed(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = hmac::Context::with_key(key);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    // The state of a hash holds what does not fill a block yet, which is the end of the secret, and `sign` moves that
    // state: nobody overwrites where it was. A whole block more leaves a state of zeros.
    hash.update(&BLOCK);
    let mut tag = [0; 32];
    for (to, from) in tag.iter_mut().zip(hash.sign().as_ref()) {
        *to = *from;
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_hash_alike() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let long = [1; 1000];
        let lists: [&[&[u8]]; 6] = [
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc"],
            &[b"", b"abc"],
            &[&long],
            &[&long[1..]],
        ];
        for (at, one) in lists.iter().enumerate() {
            for (other_at, other) in lists.iter().enumerate() {
                assert_eq!(keyed(&key, one) == keyed(&key, other), at == other_at);
            }
        }
    }
}
