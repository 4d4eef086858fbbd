//! A reply: code, enhanced code, text.

use std::fmt;

use bytes::BytesMut;
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while_m_n};
use nom::character::complete::char;
use nom::combinator::{all_consuming, eof, map, map_res, rest, value, verify};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};
use tokio_util::codec::Decoder;

use super::Codec;
use crate::error::DecodeError;
use crate::unseen::printable;

/// Bound (replies): characters kept of a reply's text. Beyond: the rest is cut off of the log. Why: one line of a
/// log, generously.
pub const MAX_TEXT: usize = 200;

/// What a remote answered to one command, or its greeting (RFC 5321 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    lines: Vec<String>,
    consistent: bool,
}

impl Reply {
    /// A reply with this code on every line; `lines` are the texts behind it.
    pub fn new<T: Into<String>>(code: u16, lines: impl IntoIterator<Item = T>) -> Self {
        let lines: Vec<String> = lines.into_iter().map(Into::into).collect();
        let enhanced = EnhancedCode::find(code, &lines);
        let consistent = EnhancedCode::agree(code, &lines);
        Self {
            code,
            enhanced,
            lines,
            consistent,
        }
    }

    /// The same, of lines that did not all begin with one code.
    #[must_use]
    pub(super) fn inconsistent(mut self) -> Self {
        self.consistent = false;
        self
    }

    /// Whether all lines begin with the same code, and with the same enhanced code where they have one. A reply
    /// whose lines say different things says nothing.
    pub fn is_consistent(&self) -> bool {
        self.consistent
    }

    /// Reads exactly one reply; the last line end may be left out.
    ///
    /// # Errors
    /// As [`Codec`]; [`DecodeError::Malformed`] when more than one reply is there.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let mut buffer = BytesMut::from(text);
        if !text.ends_with('\n') {
            buffer.extend_from_slice(b"\r\n");
        }
        let reply = Codec::default()
            .decode(&mut buffer)?
            .ok_or(DecodeError::Truncated)?;
        if buffer.is_empty() {
            Ok(reply)
        } else {
            Err(DecodeError::Malformed("more than one reply"))
        }
    }

    /// The code, 100 to 999. Servers do send lines of one reply with different
    /// codes: the last line's counts.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code (RFC 2034, RFC 3463): at the beginning of the last
    /// line, else of the first line that has one, else anywhere in a text as
    /// `#5.1.1` or `(5.1.1)`; of several there the last, as an address that the
    /// remote repeats stands in front. One whose class is not the code's first digit is
    /// none at all.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text of each line behind the code, enhanced code included. Bytes that
    /// are not UTF-8 are replaced; control characters are as the remote sent them.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The texts as one line that is safe to log: at most 200 characters, none of
    /// them a control character.
    pub fn text(&self) -> String {
        let text = self.lines.join(" ");
        printable(text.trim().chars(), MAX_TEXT)
    }

    /// Code and enhanced code, for logs: `550 5.1.1`, or `550` alone.
    pub fn status(&self) -> String {
        match self.enhanced {
            Some(enhanced) => format!("{} {enhanced}", self.code),
            None => self.code.to_string(),
        }
    }

    /// The texts as one line, whole: for a table of words, never for a log.
    pub fn words(&self) -> String {
        self.lines.join(" ")
    }

    /// 2yz: done.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4yz: not now.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz: no.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

/// Code and [`Reply::text`], for logs.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let space = if text.is_empty() { "" } else { " " };
        write!(f, "{}{space}{text}", self.code)
    }
}

/// An enhanced mail system status code (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// What the code is about, 0 to 999: 1 address, 2 mailbox, 7 security, …
    pub subject: u16,
    /// The condition, 0 to 999.
    pub detail: u16,
}

impl EnhancedCode {
    /// `class.subject.detail`, taken as given.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }

    /// Whether no two lines begin with different codes of the reply's class.
    fn agree(code: u16, lines: &[String]) -> bool {
        let mut leading = lines
            .iter()
            .filter_map(|line| leading_code(line))
            .filter(|found| u16::from(found.class) == code / 100);
        let first = leading.next();
        leading.all(|other| Some(other) == first)
    }

    /// See [`Reply::enhanced`].
    fn find(code: u16, lines: &[String]) -> Option<Self> {
        let agrees = |found: &Self| u16::from(found.class) == code / 100;
        let leading = |line: &String| leading_code(line).filter(agrees);
        let marked = |line: &String| marked_codes(line).filter(agrees).last();
        let last = lines.last();
        last.and_then(leading)
            .or_else(|| lines.iter().find_map(leading))
            .or_else(|| last.and_then(marked))
            .or_else(|| lines.iter().find_map(marked))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One line of a reply.
pub(super) struct Line {
    pub(super) code: u16,
    pub(super) is_last: bool,
    pub(super) text: String,
}

/// Reads one line, cut of its line end.
pub(super) fn parse_line(line: &[u8]) -> Result<Line, DecodeError> {
    match reply_line(line) {
        Ok((_, line)) => Ok(line),
        Err(_) => Err(DecodeError::Malformed("a line that begins with no reply code")),
    }
}

/// `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF`,
/// one line of it (RFC 5321 §4.2). `textstring` may hold any byte here.
fn reply_line(input: &[u8]) -> IResult<&[u8], Line> {
    let more = map(preceded(tag(&b"-"[..]), rest), |text| (false, text));
    let last = map(preceded(tag(&b" "[..]), rest), |text| (true, text));
    // Some servers leave out the space when there is no text.
    let bare = map(eof, |text| (true, text));
    let line = map(
        (reply_code, alt((more, last, bare))),
        |(code, (is_last, text))| Line {
            code,
            is_last,
            text: String::from_utf8_lossy(text).into_owned(),
        },
    );
    all_consuming(line).parse(input)
}

/// `Reply-code = 3DIGIT`. RFC 5321 knows 200 to 559 only; others are read, for
/// the caller to wonder at, as long as they are numbers of three digits.
fn reply_code(input: &[u8]) -> IResult<&[u8], u16> {
    let digits = map_res(take(3usize), |digits: &[u8]| {
        let digits = str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|text| text.parse().ok()).ok_or(())
    });
    verify(digits, |code| *code >= 100).parse(input)
}

/// The enhanced code that a line's text begins with.
fn leading_code(text: &str) -> Option<EnhancedCode> {
    whole_code(text.trim_start_matches(' '))
}

/// The enhanced codes that stand somewhere in a text and are marked as such:
/// `#5.1.1` (qmail puts `(#5.1.1)` last, IronPort `#5.1.0` first) or `(5.1.1)`.
/// Bare numbers are too often versions and addresses.
fn marked_codes(text: &str) -> impl Iterator<Item = EnhancedCode> {
    text.match_indices(['#', '(']).filter_map(|(at, mark)| {
        let behind = text.get(at + mark.len()..)?;
        if mark == "#" {
            whole_code(behind)
        } else {
            terminated(status_code, char(')'))
                .parse(behind)
                .ok()
                .map(|(_, code)| code)
        }
    })
}

/// A status code that ends where its last digit does: an address that is being
/// complained about (`5.1.1.9 is blocked`) is none.
fn whole_code(text: &str) -> Option<EnhancedCode> {
    let (behind, code) = status_code(text).ok()?;
    let mut behind = behind.chars();
    let goes_on = match behind.next() {
        Some('.') => behind.next().is_some_and(|c| c.is_ascii_digit()),
        Some(c) => c.is_alphanumeric(),
        None => false,
    };
    (!goes_on).then_some(code)
}

/// `status-code = class "." subject "." detail`, `class = "2" / "4" / "5"`,
/// `subject = 1*3digit`, `detail = 1*3digit` (RFC 3463 §2).
fn status_code(input: &str) -> IResult<&str, EnhancedCode> {
    let class = alt((value(2, char('2')), value(4, char('4')), value(5, char('5'))));
    let code = (
        terminated(class, char('.')),
        terminated(number, char('.')),
        number,
    );
    map(code, |(class, subject, detail)| {
        EnhancedCode::new(class, subject, detail)
    })
    .parse(input)
}

/// `1*3digit`
fn number(input: &str) -> IResult<&str, u16> {
    map_res(take_while_m_n(1, 3, |c: char| c.is_ascii_digit()), str::parse).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::parse(text).unwrap()
    }

    #[test]
    fn the_last_line_names_the_code() {
        let reply = reply("250-first\r\n550-second\n451 last");
        assert_eq!(reply.code(), 451);
        assert_eq!(reply.lines(), ["first", "second", "last"]);
        assert!(reply.is_transient() && !reply.is_permanent() && !reply.is_positive());
    }

    #[test]
    fn enhanced_codes_of_real_servers() {
        for (text, expected) in [
            ("550 5.1.1 User unknown", "5.1.1"),
            ("550 5.1.1", "5.1.1"),
            ("550  5.1.1 User unknown", "5.1.1"),
            ("250 2.1.5 ok", "2.1.5"),
            (
                "550-Mailbox unknown.\r\n550-name or rights\r\n550 5.1.1 User unknown",
                "5.1.1",
            ),
            (
                "550-5.1.1 No such\r\n550-5.1.1 account\r\n550 5.1.1 https://support.example p1 - gsmtp",
                "5.1.1",
            ),
            ("550-5.7.1 first\r\n550 5.1.1 last", "5.1.1"),
            (
                "550-no\r\n550-5.7.26 spf\r\n550-5.1.1 later\r\n550 none here",
                "5.7.26",
            ),
            ("535 5.7.139 Authentication unsuccessful", "5.7.139"),
            ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found", "5.1.10"),
            ("550 5.1.1: Recipient rejected", "5.1.1"),
            ("550 5.1.1. Recipient rejected", "5.1.1"),
            ("550 sorry, no mailbox here by that name. (#5.1.1)", "5.1.1"),
            ("553 sorry, relaying denied (#5.7.1)", "5.7.1"),
            ("550 #5.1.0 Address rejected.", "5.1.0"),
            ("550 Address rejected #5.1.0", "5.1.0"),
            ("550 Requested action not taken (5.2.1)", "5.2.1"),
            ("550-see (#5.7.1)\r\n550 none", "5.7.1"),
            ("550 <(#5.1.1)@example.org>: relaying denied (#5.7.1)", "5.7.1"),
            ("550-see (#5.1.1)\r\n550 5.7.1 Denied", "5.7.1"),
            ("550-5.7.1 Denied\r\n550 see (#5.1.1)", "5.7.1"),
            ("452 4.2.2 Over quota", "4.2.2"),
        ] {
            let found = reply(text).enhanced().map(|code| code.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_an_enhanced_code() {
        for text in [
            "550 User unknown", "550 4.1.1 not of this class", "450 5.1.1 not of this class",
            "450 try later (#5.1.1)", "354 3.0.0 no such class", "550 5.1.1.9 is blocked", "550 5.1 short",
            "550 5..1 empty", "550 5.1.1234 long", "550 5.1234.1 long", "550 5.1.1b ends in a letter",
            "550 15.1.1 begins too early", "550 relay denied by Mailer 5.1.1",
            "550 relay denied (Mailer 5.1.1)", "550 relay denied (5.1.1 or so)", "550 blocked (5.1.1.9)",
            "550 blocked #5.1.1.9", "550 ticket # 5.1.1", "550 ticket #55", "550",
        ] {
            assert_eq!(reply(text).enhanced(), None, "{text}");
        }
    }

    // Fills reply::MAX_TEXT, TEXT_LIMIT.
    #[test]
    fn what_is_shown_is_one_short_line() {
        let odd = reply("550 \u{1b}[31m\u{202e}red\u{9b}\ttab\0 caf\u{e9} ");
        assert_eq!(odd.to_string(), "550 ?[31m?red??tab? caf\u{e9}");
        let long = Reply::new(550, ["x".repeat(150), "é".repeat(150)]);
        assert_eq!(long.text().chars().count(), MAX_TEXT);
        assert_eq!(Reply::new(250, ["", ""]).to_string(), "250");
        assert_eq!(Reply::new(250, Vec::<String>::new()).to_string(), "250");
    }

    #[test]
    fn exactly_one_reply_is_parsed() {
        assert_eq!(reply("250-a\n250 b\n"), Reply::new(250, ["a", "b"]));
        assert!(matches!(
            Reply::parse("250 a\n250 b"),
            Err(DecodeError::Malformed(_))
        ));
        assert!(matches!(Reply::parse("250-a"), Err(DecodeError::Truncated)));
        assert!(Reply::parse("").is_err());
    }
}
