//! Questions of a socketmap client, against a second reader; and answers, which are netstrings.

use bytes::BytesMut;
use tokio_util::codec::Encoder;
use vouch_protocol::socketmap::{Codec, Data, REQUEST_LIMIT, Reply, Request};

use crate::{input, pieces};

/// Twice: questions as a client sends them; and the input as what a map has.
pub fn run(input: &[u8]) {
    let wire = input::stretched(input, 3 * REQUEST_LIMIT);
    let read = pieces::read(Codec::default, &wire, REQUEST_LIMIT + 7, false, |request| {
        format!("{request:?}")
    });
    let mut rest = &wire[..];
    for request in &read.messages {
        let Some((payload, behind)) = netstring(rest) else {
            panic!("{request:?} of what is no netstring");
        };
        rest = behind;
        let Request { map, key } = request;
        assert!(!map.contains(&b' '));
        assert_eq!([map, &b" "[..], key].concat(), payload);
    }
    // What is left is no question, or not whole.
    if let Some((payload, _)) = netstring(rest) {
        assert!(!payload.contains(&b' ') || payload.len() > REQUEST_LIMIT);
        assert!(read.error.is_some());
    }
    answer(&input::text(input));
}

/// The payload of the first netstring, and what stands behind it.
fn netstring(wire: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = wire.iter().position(|&byte| byte == b':')?;
    let count = str::from_utf8(&wire[..colon]).ok()?;
    let length: usize = count.parse().ok()?;
    let rest = (length.to_string() == count).then(|| &wire[colon + 1..])?;
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((payload, rest.strip_prefix(b",")?))
}

/// Whatever a map has, an answer is one netstring, and never OK alone.
fn answer(text: &str) {
    let data = Data::new(text);
    assert!(data.as_ref().is_none_or(|data| data.as_str() == text));
    let found = data.map(Reply::Ok);
    for reply in [Reply::NotFound, Reply::Temp("timeout")].into_iter().chain(found) {
        let said = reply.to_string();
        let mut out = BytesMut::new();
        assert!(Codec.encode(reply, &mut out).is_ok());
        assert_eq!(netstring(&out), Some((said.as_bytes(), &b""[..])));
        assert!(said.trim_end() != "OK" && !said.chars().any(char::is_control));
    }
}
