//! Questions to saslauthd, against a second reader.

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};
use vouch_protocol::saslauthd::{Codec, REQUEST_LIMIT, Reply, Request};

use crate::input;
use crate::pieces::Chance;

/// A question in whatever pieces, its end at any place. What stands behind it is nobody's affair, but for a fifth
/// string that came together with the rest.
pub fn run(input: &[u8]) {
    let wire = input::stretched(input, REQUEST_LIMIT + 1000);
    let expected = strings(&wire);
    let (whole, client) = read(&wire, &mut || wire.len().max(1));
    assert_eq!(whole, expected);
    assert_eq!(client, fifth(&wire, &expected));
    let mut chance = Chance::of(input);
    let lengths: [&mut dyn FnMut() -> usize; 2] = [&mut || 1, &mut || 1 + chance.below(64)];
    for lengths in lengths {
        let (cut, late) = read(&wire, lengths);
        assert_eq!(cut, expected, "cut into pieces, it reads otherwise");
        assert!(late.is_none() || late == client);
    }
    answers();
}

/// The four strings of a question, or why there are none.
type Strings = Result<Option<[Vec<u8>; 4]>, String>;

/// What the codec makes of the wire in pieces of these lengths.
fn read(wire: &[u8], lengths: &mut dyn FnMut() -> usize) -> (Strings, Option<Vec<u8>>) {
    let (mut codec, mut buffer, mut rest) = (Codec, BytesMut::new(), wire);
    loop {
        let (piece, behind) = rest.split_at(lengths().min(rest.len()));
        buffer.extend_from_slice(piece);
        rest = behind;
        let read = if rest.is_empty() {
            codec.decode_eof(&mut buffer)
        } else {
            codec.decode(&mut buffer)
        };
        match read {
            Ok(Some(request)) => {
                let Request {
                    login,
                    password,
                    service,
                    realm,
                    client,
                } = request;
                return (
                    Ok(Some([login, password.expose().to_vec(), service, realm])),
                    client,
                );
            }
            Ok(None) if rest.is_empty() => {
                assert!(buffer.is_empty(), "bytes are left over at the end");
                return (Ok(None), None);
            }
            Ok(None) => assert!(
                buffer.len() <= REQUEST_LIMIT,
                "more waits than a question is long"
            ),
            Err(error) => {
                assert!(buffer.iter().all(|&byte| byte == 0), "left in the buffer");
                return (Err(error.to_string()), None);
            }
        }
    }
}

/// The same, string by string.
fn strings(wire: &[u8]) -> Strings {
    let (mut found, mut rest) = (Vec::new(), wire);
    while found.len() < 4 {
        let Some((&[high, low], behind)) = rest.split_first_chunk() else {
            return cut(wire);
        };
        let length = usize::from(high) * 256 + usize::from(low);
        let others = 2 * (3 - found.len());
        if wire.len() - behind.len() + length + others > REQUEST_LIMIT {
            return Err("longer than 8192 bytes".into());
        }
        let Some((string, behind)) = behind.split_at_checked(length) else {
            return cut(wire);
        };
        found.push(string.to_vec());
        rest = behind;
    }
    Ok(found.try_into().ok())
}

fn cut(wire: &[u8]) -> Strings {
    if wire.is_empty() {
        Ok(None)
    } else {
        Err("cut off in the middle of a message".into())
    }
}

/// What stands behind the four, if it is a string.
fn fifth(wire: &[u8], strings: &Strings) -> Option<Vec<u8>> {
    let four = strings.as_ref().ok()?.as_ref()?;
    let start: usize = four.iter().map(|string| 2 + string.len()).sum();
    let (&[high, low], rest) = wire[start..].split_first_chunk()?;
    let length = usize::from(high) * 256 + usize::from(low);
    (start + 2 + length <= REQUEST_LIMIT).then(|| rest.get(..length).map(<[u8]>::to_vec))?
}

/// An answer is one string that begins with its word.
fn answers() {
    for reply in [Reply::Ok, Reply::No] {
        let mut out = BytesMut::new();
        assert!(Codec.encode(reply, &mut out).is_ok());
        assert_eq!(usize::from(out[0]) * 256 + usize::from(out[1]), out.len() - 2);
        assert!(out[2..].starts_with(reply.word().as_bytes()));
    }
}
