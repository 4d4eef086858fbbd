//! The grammar of RFC 9051 §9, read leniently where servers in use are odd: status
//! without text, text that is not ASCII, lower case, more spaces than one.

use nom::branch::alt;
use nom::bytes::complete::take_till1;
use nom::character::complete::{char, space0, space1};
use nom::combinator::{map, map_opt, opt, rest, verify};
use nom::sequence::{delimited, preceded, separated_pair};
use nom::{IResult, Parser};

use super::{Code, Response, Status, StatusKind, Untagged};
use crate::imap::capability::Capabilities;
use crate::imap::printable;

/// The octets of the literal that `line` announces at its end, if it does.
///
/// `literal = "{" number64 "}" CRLF *CHAR8`; a literal8 ends the same way.
pub(in crate::imap) fn literal(line: &[u8]) -> Option<u64> {
    let announced = line.strip_suffix(b"}")?;
    let at = announced.iter().rposition(|byte| *byte == b'{')?;
    let digits = announced.get(at + 1..).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u64, |number, byte| match byte {
        // Saturating: more than we can count is surely more than we take.
        b'0'..=b'9' => Some(number.saturating_mul(10).saturating_add(u64::from(byte - b'0'))),
        _ => None,
    })
}

/// `continue-req = "+" SP (resp-text / base64) CRLF`; some servers leave the space out.
pub(super) fn continuation(input: &str) -> IResult<&str, Response> {
    let text = map(rest, |text: &str| text.trim().to_owned());
    map(preceded(char('+'), text), Response::Continuation).parse(input)
}

/// `response-data = "*" SP (resp-cond-state / resp-cond-bye / mailbox-data / message-data /
/// capability-data / …) CRLF`
pub(super) fn untagged(input: &str) -> IResult<&str, Response> {
    let known = alt((
        map(status, Untagged::Status),
        map(capability_data, Untagged::Capability),
        map(word, |_| Untagged::Other),
    ));
    map(preceded((char('*'), space1), known), Response::Untagged).parse(input)
}

/// `response-tagged = tag SP resp-cond-state CRLF`
pub(super) fn tagged(input: &str) -> IResult<&str, Response> {
    let tag = verify(word, |tag: &str| {
        tag.bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(&byte))
    });
    let state = verify(status, |status: &Status| {
        !matches!(status.kind, StatusKind::PreAuth | StatusKind::Bye)
    });
    map(separated_pair(tag, space1, state), |(tag, status)| {
        Response::Tagged {
            tag: printable(tag),
            status,
        }
    })
    .parse(input)
}

/// `capability-data = "CAPABILITY" *(SP capability)`
fn capability_data(input: &str) -> IResult<&str, Capabilities> {
    let name = verify(word, |name: &str| name.eq_ignore_ascii_case("CAPABILITY"));
    map(preceded(name, rest), Capabilities::parse).parse(input)
}

/// `resp-cond-state = ("OK" / "NO" / "BAD") SP resp-text`, with `PREAUTH` and `BYE`;
/// `resp-text = ["[" resp-text-code "]" SP] [text]`
pub(super) fn status(input: &str) -> IResult<&str, Status> {
    let (input, kind) = map_opt(word, StatusKind::from_name).parse(input)?;
    let (input, code) = opt(preceded(space0, code)).parse(input)?;
    let (input, text) = rest(input)?;
    let words = text.trim().to_owned();
    let text = printable(&words);
    Ok((
        input,
        Status {
            kind,
            code,
            text,
            words,
        },
    ))
}

/// `"[" resp-text-code "]"`; a bracket that is never closed is text.
fn code(input: &str) -> IResult<&str, Code> {
    let inside = take_till1(|c| c == ']');
    map_opt(delimited(char('['), inside, char(']')), Code::parse).parse(input)
}

/// Everything up to the next space.
fn word(input: &str) -> IResult<&str, &str> {
    take_till1(|c| c == ' ' || c == '\t').parse(input)
}
