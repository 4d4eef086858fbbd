//! MD5 (RFC 1321), and HMAC with it (RFC 2104): no library of ours has it any more, and CRAM-MD5 is made of it.

/// Bytes in a block.
const BLOCK: usize = 64;

/// Rotations of the four rounds, each in turn.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The digest of a message.
pub(crate) fn md5(message: &[u8]) -> [u8; 16] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % BLOCK != BLOCK - 8 {
        padded.push(0);
    }
    padded.extend((8 * message.len() as u64).to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(BLOCK) {
        let words: Vec<u32> = block
            .chunks_exact(4)
            .map(|word| {
                word.iter()
                    .rev()
                    .fold(0, |sum, byte| (sum << 8) | u32::from(*byte))
            })
            .collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..BLOCK {
            let (mixed, word) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), (7 * step) % 16),
            };
            // RFC 1321 §3.4: the integer part of 4294967296 times abs(sin(i)), i from 1.
            let sine = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let word = words.get(word).copied().unwrap_or_default();
            let sum = a.wrapping_add(mixed).wrapping_add(word).wrapping_add(sine);
            let rotation = ROTATIONS
                .get(step / 16)
                .and_then(|round| round.get(step % 4))
                .copied()
                .unwrap_or_default();
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(rotation)));
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 16];
    for (to, from) in digest
        .iter_mut()
        .zip(state.iter().flat_map(|word| word.to_le_bytes()))
    {
        *to = from;
    }
    digest
}

/// The keyed digest of a message, in hexadecimal.
pub(crate) fn hmac_md5(key: &[u8], message: &[u8]) -> String {
    let mut block = if key.len() > BLOCK {
        md5(key).to_vec()
    } else {
        key.to_vec()
    };
    block.resize(BLOCK, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = md5(&[&pad(0x36)[..], message].concat());
    let outer = md5(&[&pad(0x5c)[..], &inner].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_the_standards() {
        let hex = |message: &[u8]| {
            md5(message)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        // RFC 1321, appendix A.5.
        assert_eq!(hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(hex(&b"1234567890".repeat(8)), "57edf4a22be3c955ac49da2e2107b67a");
        // RFC 2195 §3.
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        assert_eq!(
            hmac_md5(b"tanstaaftanstaaf", challenge),
            "b913a602c7eda7a495b4e6e7334d3890"
        );
        // RFC 2202 §2, the sixth: a key longer than a block.
        let message = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hmac_md5(&[0xaa; 80], message), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }
}
