//! What the two Dovecot protocols share: lines of fields between TABs, and the
//! escaping that keeps TAB and LF out of a value (Dovecot `auth_protocol.md`,
//! `lib/strescape.c`).
//!
//! Our half is the server's in both. [`client`] answers those who have a
//! password to check, [`master`] those who are trusted with what is known of
//! users.

pub mod client;
pub mod master;
mod parameters;

use bytes::{BufMut, BytesMut};
use nom::combinator::{all_consuming, verify};
use nom::{Parser, character::complete::u32 as decimal};

use crate::error::DecodeError;

pub use parameters::Parameters;

/// Begins an escape sequence.
const ESCAPE: u8 = 0x01;

/// Bound (clients, bytes): line of a Dovecot auth client, with its line end. Beyond: the connection is closed, with a
/// warning in the log. Why: Dovecot's own limit (`lib-auth/auth-client-interface.h`).
pub const LINE_LIMIT: usize = 16384;

/// The fields of `line`, each unescaped in place: no copy is made of what may
/// be a password.
///
/// ```text
/// line = field *(TAB field)
/// ```
pub(crate) fn fields(line: &mut [u8]) -> impl Iterator<Item = &[u8]> {
    line.split_mut(|&byte| byte == b'\t').map(unescape)
}

/// A field's name, and its value unless it is a bare word.
///
/// ```text
/// parameter = name ["=" value]
/// ```
pub(crate) fn parameter(field: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut halves = field.splitn(2, |&byte| byte == b'=');
    (halves.next().unwrap_or_default(), halves.next())
}

/// `number = 1*DIGIT`, up to 4294967295.
pub(crate) fn number(field: &[u8]) -> Option<u32> {
    let parsed: nom::IResult<&[u8], u32> = all_consuming(decimal).parse(field);
    parsed.ok().map(|(_, number)| number)
}

/// `id = number`, not 0. Leading zeros are allowed and mean nothing.
pub(crate) fn id(field: &[u8]) -> Option<u32> {
    let parsed: nom::IResult<&[u8], u32> = all_consuming(verify(decimal, |&id| id != 0)).parse(field);
    parsed.ok().map(|(_, id)| id)
}

/// Bytes as text; what is not UTF-8 has replacement characters.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The next field, which must be a number that `read` takes.
pub(crate) fn next<'a>(
    fields: &mut impl Iterator<Item = &'a [u8]>,
    read: fn(&[u8]) -> Option<u32>,
) -> Result<u32, DecodeError> {
    fields
        .next()
        .and_then(read)
        .ok_or(DecodeError::Malformed("a number is absent or out of range"))
}

/// Undoes the escaping of `field`, in place, and returns what is left of it.
///
/// ```text
/// escaped = 0x01 ("0" / "1" / "t" / "r" / "n")      ; NUL, 0x01, TAB, CR, LF
/// ```
/// Any other byte after 0x01 stands for itself; 0x01 at the end is dropped.
pub(crate) fn unescape(field: &mut [u8]) -> &[u8] {
    let mut kept = 0;
    let mut escaped = false;
    for at in 0..field.len() {
        let Some(&byte) = field.get(at) else { break };
        let byte = match (escaped, byte) {
            (false, ESCAPE) => {
                escaped = true;
                continue;
            }
            (false, byte) => byte,
            (true, b'0') => 0,
            (true, b'1') => ESCAPE,
            (true, b't') => b'\t',
            (true, b'r') => b'\r',
            (true, b'n') => b'\n',
            (true, byte) => byte,
        };
        escaped = false;
        // Never ahead of what is read: `kept` is at most `at`.
        if let Some(slot) = field.get_mut(kept) {
            *slot = byte;
            kept += 1;
        }
    }
    field.get(..kept).unwrap_or_default()
}

/// Appends a TAB and a parameter to `line`, escaped.
pub(crate) fn push_parameter(line: &mut BytesMut, name: &str, value: Option<&[u8]>) {
    line.put_u8(b'\t');
    escape(name.as_bytes(), line);
    if let Some(value) = value {
        line.put_u8(b'=');
        escape(value, line);
    }
}

/// Appends `value` to `out`, escaped.
pub(crate) fn escape(value: &[u8], out: &mut BytesMut) {
    for &byte in value {
        let code = match byte {
            0 => b'0',
            ESCAPE => b'1',
            b'\t' => b't',
            b'\r' => b'r',
            b'\n' => b'n',
            byte => {
                out.put_u8(byte);
                continue;
            }
        };
        out.put_slice(&[ESCAPE, code]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(value: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        escape(value, &mut out);
        out.to_vec()
    }

    fn unescaped(field: &[u8]) -> Vec<u8> {
        unescape(&mut field.to_vec()).to_vec()
    }

    #[test]
    fn escapes_as_dovecot_does() {
        assert_eq!(escaped(b"b\tob\n\x01"), b"b\x01tob\x01n\x011");
        assert_eq!(escaped(b"\0\r"), b"\x010\x01r");
        assert_eq!(unescaped(b"b\x01tob\x01n\x011\x010\x01r"), b"b\tob\n\x01\0\r");
    }

    #[test]
    fn unescapes_the_odd() {
        assert_eq!(unescaped(b"\x01x\x01=\x01\x01t"), b"x=\x01t");
        assert_eq!(unescaped(b"end\x01"), b"end");
        assert_eq!(unescaped(b""), b"");
    }

    #[test]
    fn an_escaped_tab_cuts_nothing() {
        let mut line = b"a\x01tb\t\tc=\x01".to_vec();
        let found: Vec<&[u8]> = fields(&mut line).collect();
        assert_eq!(found, [&b"a\tb"[..], b"", b"c="]);
    }

    #[test]
    fn splits_a_parameter_once() {
        assert_eq!(parameter(b"resp=YQ=="), (&b"resp"[..], Some(&b"YQ=="[..])));
        assert_eq!(parameter(b"secured"), (&b"secured"[..], None));
        assert_eq!(parameter(b"="), (&b""[..], Some(&b""[..])));
        assert_eq!(parameter(b""), (&b""[..], None));
    }

    #[test]
    fn numbers_are_digits_within_32_bits() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        assert_eq!(id(b"01"), Some(1));
        for field in [
            "", "-1", "+1", " 1", "1 ", "1x", "4294967296", "99999999999999999999",
        ] {
            assert_eq!(number(field.as_bytes()), None, "{field:?}");
            assert_eq!(id(field.as_bytes()), None, "{field:?}");
        }
        assert_eq!(id(b"00"), None);
    }

    /// Bytes, with many of those that are escaped.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![0u8..16, any::<u8>()], 0..60)
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(value in bytes()) {
            let wire = escaped(&value);
            prop_assert!(!wire.iter().any(|byte| b"\0\t\r\n".contains(byte)));
            prop_assert_eq!(unescaped(&wire), value);
        }

        #[test]
        fn no_bytes_break_it(mut line in bytes()) {
            for field in fields(&mut line) {
                let _ = (parameter(field), number(field), id(field));
            }
        }
    }
}
