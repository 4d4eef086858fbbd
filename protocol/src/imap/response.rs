//! What a server says: greeting, capability, tagged status with its response code.
//!
//! Grammar of RFC 9051 §9, read leniently where servers in use are odd: status
//! without text, text that is not ASCII, lower case, more spaces than one.

use std::fmt;

use nom::branch::alt;
use nom::bytes::complete::take_till1;
use nom::character::complete::{char, space0, space1};
use nom::combinator::{map, map_opt, opt, rest, verify};
use nom::sequence::{delimited, preceded, separated_pair};
use nom::{IResult, Parser};

use super::capability::Capabilities;
use super::printable;
use crate::error::DecodeError;

/// One response of the server (RFC 9051 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// A line that belongs to no command. The greeting is one of these.
    Untagged(Untagged),
    /// The end of a command: `OK`, `NO` or `BAD`.
    Tagged {
        /// The tag as the server wrote it; ours to compare with [`super::command::Tag::is`].
        tag: String,
        /// The outcome.
        status: Status,
    },
    /// `+`: the server waits for more of the command. The text as it came: it is a challenge
    /// where a dialog is carried, and means nothing elsewhere.
    Continuation(String),
}

/// A response that belongs to no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untagged {
    /// A status: the greeting, a warning, a goodbye.
    Status(Status),
    /// The capabilities, asked for or not.
    Capability(Capabilities),
    /// Anything else: data of mailboxes, and extensions. Never acted upon.
    Other,
}

/// A status with what explains it (RFC 9051 §7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which of the five.
    pub kind: StatusKind,
    /// The response code, when there is one.
    pub code: Option<Code>,
    text: String,
    words: String,
}

/// The word that a status begins with (RFC 9051 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusKind {
    /// Tagged: done. Untagged: a greeting, or a remark.
    Ok,
    /// Tagged: refused. Untagged: a warning.
    No,
    /// Tagged: not understood. Untagged: a protocol error, whose cause is not known.
    Bad,
    /// A greeting only: somebody is logged in already.
    PreAuth,
    /// The server hangs up.
    Bye,
}

/// A response code: `"[" resp-text-code "]"` (RFC 9051 §7.1, RFC 5530). Names have no case.
///
/// Arguments are dropped but for those of `CAPABILITY`. Above all that of
/// `REFERRAL`: a client that follows it sends the password to a host of the
/// remote's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// `ALERT`: text for the user's eyes. Never shown by us: it may be injected.
    Alert,
    /// `AUTHENTICATIONFAILED`.
    AuthenticationFailed,
    /// `AUTHORIZATIONFAILED`.
    AuthorizationFailed,
    /// `EXPIRED`: the password must be changed.
    Expired,
    /// `CONTACTADMIN`; from Dovecot with NO: the account is closed.
    ContactAdmin,
    /// `PRIVACYREQUIRED`: only with TLS.
    PrivacyRequired,
    /// `UNAVAILABLE`: something behind the server is down.
    Unavailable,
    /// `INUSE`.
    InUse,
    /// `SERVERBUG`.
    ServerBug,
    /// `CORRUPTION`.
    Corruption,
    /// `CANNOT`.
    Cannot,
    /// `NOPERM`.
    NoPerm,
    /// `OVERQUOTA`.
    OverQuota,
    /// `THROTTLED`: not registered, in use.
    Throttled,
    /// `LIMIT`; from Dovecot: too many connections of this user.
    Limit,
    /// `CLIENTBUG`.
    ClientBug,
    /// `REFERRAL` (RFC 2221): the mailbox is elsewhere. Never followed.
    Referral,
    /// `WEBALERT`: Gmail's "log in by the browser".
    WebAlert,
    /// `CAPABILITY` with its list.
    Capability(Capabilities),
    /// Any other: the name in upper case, sanitised, at most 200 characters.
    Other(String),
}

impl Response {
    /// Reads the first line of a response, without line end.
    ///
    /// `response = continue-req / response-data / response-tagged / greeting`
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is none of these.
    pub fn parse(line: &str) -> Result<Self, DecodeError> {
        match alt((continuation, untagged, tagged)).parse(line) {
            Ok((_, response)) => Ok(response),
            Err(_) => Err(DecodeError::Malformed("IMAP response")),
        }
    }
}

impl Untagged {
    /// The capabilities in it, in either form.
    pub fn into_capabilities(self) -> Option<Capabilities> {
        match self {
            Self::Capability(capabilities) => Some(capabilities),
            Self::Status(status) => status.into_capabilities(),
            Self::Other => None,
        }
    }
}

impl Status {
    /// Reads what follows the tag: `NO [AUTHENTICATIONFAILED] Authentication failed.`
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it begins with none of the five words.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        match status(text) {
            Ok((_, status)) => Ok(status),
            Err(_) => Err(DecodeError::Malformed("IMAP status")),
        }
    }

    /// The human-readable text, fit for a log: one line, no control characters, at
    /// most 200 characters. Empty when the server gave none.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text, whole: for a table of words, never for a log. What a NO is worth may be
    /// said at its end.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Word and code without arguments or text, to tell kinds of answers apart in a log:
    /// `NO [AUTHENTICATIONFAILED]`, `BAD`.
    pub fn label(&self) -> String {
        let kind = self.kind.name();
        match &self.code {
            Some(code) => format!("{kind} [{}]", code.name()),
            None => kind.to_owned(),
        }
    }

    /// Drops the text for one that says so.
    pub(super) fn withhold_text(&mut self) {
        for text in [&mut self.text, &mut self.words] {
            "[withheld]".clone_into(text);
        }
    }

    /// The capabilities of a `[CAPABILITY …]` code.
    pub fn into_capabilities(self) -> Option<Capabilities> {
        match self.code {
            Some(Code::Capability(capabilities)) => Some(capabilities),
            _ => None,
        }
    }
}

impl StatusKind {
    /// The word itself, in upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::PreAuth => "PREAUTH",
            Self::Bye => "BYE",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::No, Self::Bad, Self::PreAuth, Self::Bye]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl Code {
    /// The codes that are a name and nothing else to us.
    const NAMED: [(&'static str, Self); 18] = [
        ("ALERT", Self::Alert),
        ("AUTHENTICATIONFAILED", Self::AuthenticationFailed),
        ("AUTHORIZATIONFAILED", Self::AuthorizationFailed),
        ("EXPIRED", Self::Expired),
        ("CONTACTADMIN", Self::ContactAdmin),
        ("PRIVACYREQUIRED", Self::PrivacyRequired),
        ("UNAVAILABLE", Self::Unavailable),
        ("INUSE", Self::InUse),
        ("SERVERBUG", Self::ServerBug),
        ("CORRUPTION", Self::Corruption),
        ("CANNOT", Self::Cannot),
        ("NOPERM", Self::NoPerm),
        ("OVERQUOTA", Self::OverQuota),
        ("THROTTLED", Self::Throttled),
        ("LIMIT", Self::Limit),
        ("CLIENTBUG", Self::ClientBug),
        ("REFERRAL", Self::Referral),
        ("WEBALERT", Self::WebAlert),
    ];

    /// The code's name, in upper case.
    pub fn name(&self) -> &str {
        match self {
            Self::Capability(_) => "CAPABILITY",
            Self::Other(name) => name,
            known => Self::NAMED
                .iter()
                .find(|(_, code)| code == known)
                .map_or("", |(name, _)| name),
        }
    }

    /// Reads what stands between the brackets; `None` when that is blank.
    fn parse(inside: &str) -> Option<Self> {
        let inside = inside.trim();
        let (name, arguments) = inside.split_once([' ', '\t']).unwrap_or((inside, ""));
        if name.is_empty() {
            return None;
        }
        let name = name.to_ascii_uppercase();
        if name == "CAPABILITY" {
            return Some(Self::Capability(Capabilities::parse(arguments)));
        }
        let known = Self::NAMED.into_iter().find(|(known, _)| *known == name);
        Some(known.map_or_else(|| Self::Other(printable(&name)), |(_, code)| code))
    }
}

impl fmt::Display for Response {
    /// The trace form: what the server said, as far as we kept it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged(Untagged::Status(status)) => write!(f, "* {status}"),
            Self::Untagged(Untagged::Capability(capabilities)) => write!(f, "* CAPABILITY {capabilities}"),
            Self::Untagged(Untagged::Other) => f.write_str("* …"),
            Self::Tagged { tag, status } => write!(f, "{tag} {status}"),
            Self::Continuation(text) => write!(f, "+ {}", printable(text)),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match &self.code {
            Some(Code::Capability(capabilities)) => write!(f, " [CAPABILITY {capabilities}]")?,
            Some(code) => write!(f, " [{}]", code.name())?,
            None => {}
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

/// The octets of the literal that `line` announces at its end, if it does.
///
/// `literal = "{" number64 "}" CRLF *CHAR8`; a literal8 ends the same way.
pub(super) fn literal(line: &[u8]) -> Option<u64> {
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
fn continuation(input: &str) -> IResult<&str, Response> {
    let text = map(rest, |text: &str| text.trim().to_owned());
    map(preceded(char('+'), text), Response::Continuation).parse(input)
}

/// `response-data = "*" SP (resp-cond-state / resp-cond-bye / mailbox-data / message-data /
/// capability-data / …) CRLF`
fn untagged(input: &str) -> IResult<&str, Response> {
    let known = alt((
        map(status, Untagged::Status),
        map(capability_data, Untagged::Capability),
        map(word, |_| Untagged::Other),
    ));
    map(preceded((char('*'), space1), known), Response::Untagged).parse(input)
}

/// `response-tagged = tag SP resp-cond-state CRLF`
fn tagged(input: &str) -> IResult<&str, Response> {
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
fn status(input: &str) -> IResult<&str, Status> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::imap::TEXT_LIMIT;

    /// A line, and its trace form.
    #[test]
    fn known_answers() {
        let table = [
            ("* OK ready", "* OK ready"),
            ("* ok Ready", "* OK Ready"),
            ("*  OK   ready ", "* OK ready"),
            ("* OK", "* OK"),
            (
                "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi", "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi",
            ),
            ("* OK[CAPABILITY IMAP4rev1] hi", "* …"),
            ("* PREAUTH hello", "* PREAUTH hello"),
            ("* BYE [ALERT] down", "* BYE [ALERT] down"),
            ("* bye", "* BYE"),
            (
                "* CAPABILITY  IMAP4rev1   AUTH=PLAIN IDLE", "* CAPABILITY IMAP4rev1 AUTH=PLAIN",
            ),
            ("* CAPABILITY", "* CAPABILITY "),
            ("* 5 EXISTS", "* …"),
            ("* LIST (\\Noselect) \"/\" \"\"", "* …"),
            ("* OKAY", "* …"),
            ("v1 OK done", "v1 OK done"),
            ("v1 NO", "v1 NO"),
            ("v1  no  [limit]", "v1 NO [LIMIT]"),
            ("v1 BAD [CLIENTBUG]what", "v1 BAD [CLIENTBUG] what"),
            (
                "v1 NO [REFERRAL imap://evil.example/] moved", "v1 NO [REFERRAL] moved",
            ),
            (
                "v1 NO [WEBALERT https://x/] Web login required.", "v1 NO [WEBALERT] Web login required.",
            ),
            ("v1 NO [x-own arg] why", "v1 NO [X-OWN] why"),
            ("v1 NO [ALERT why", "v1 NO [ALERT why"),
            ("v1 NO [] why", "v1 NO [] why"),
            ("v1 NO [ ] why", "v1 NO [ ] why"),
            (
                "v1 OK [capability imap4rev1 unauthenticate]", "v1 OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE]",
            ),
            ("v1 NO Gesperrt f\u{fc}r heute", "v1 NO Gesperrt f\u{fc}r heute"),
            ("v1 NO a\u{1b}[31mb\tc\u{202e}d", "v1 NO a?[31mb?c?d"),
            ("+ go", "+ go"),
            ("+", "+ "),
            ("+ ", "+ "),
            ("+VXNlcg==", "+ VXNlcg=="),
        ];
        for (line, shown) in table {
            assert_eq!(Response::parse(line).unwrap().to_string(), shown, "{line}");
        }
    }

    #[test]
    fn refused() {
        for line in [
            "", " ", "*", "* ", "*OK ready", "v1", "v1 ", "v1 MAYBE", "v1 BYE now", "v1 PREAUTH", " v1 OK",
            "v\u{e4} OK", "a+b OK", "(v1) OK", "HTTP/1.1 400 Bad Request", "220 mx.example.org ESMTP",
        ] {
            let read = Response::parse(line);
            assert!(
                matches!(read, Err(DecodeError::Malformed(_))),
                "{line:?} {read:?}"
            );
        }
    }

    #[test]
    fn every_code_by_name_in_any_case() {
        for (name, code) in Code::NAMED {
            assert_eq!(code.name(), name);
            for written in [
                name.to_owned(),
                name.to_lowercase(),
                format!("{name} with arguments"),
            ] {
                let status = Status::parse(&format!("NO [{written}] text")).unwrap();
                assert_eq!(status.code.as_ref(), Some(&code), "{written}");
                assert_eq!(status.text(), "text");
            }
        }
        let status = Status::parse("NO [AUTHENTICATIONFAILEDX]").unwrap();
        assert_eq!(status.code, Some(Code::Other("AUTHENTICATIONFAILEDX".into())));
    }

    #[test]
    fn labels() {
        for (status, label) in [
            ("no [authenticationfailed] wrong", "NO [AUTHENTICATIONFAILED]"),
            ("OK [CAPABILITY IMAP4rev1] in", "OK [CAPABILITY]"),
            ("BAD what", "BAD"),
        ] {
            assert_eq!(Status::parse(status).unwrap().label(), label);
        }
    }

    #[test]
    fn text_is_short_and_harmless() {
        let status = Status::parse(&format!("NO [{}] {}", "x".repeat(900), "\u{7f}é".repeat(900))).unwrap();
        assert_eq!(status.text().chars().count(), TEXT_LIMIT);
        assert!(status.text().starts_with("?é?é"));
        assert_eq!(status.words().chars().count(), 1800);
        assert_eq!(status.code.unwrap().name().len(), TEXT_LIMIT);
    }

    #[test]
    fn literals() {
        assert_eq!(literal(b"* LIST () \"/\" {5}"), Some(5));
        assert_eq!(literal(b"~{0}"), Some(0));
        assert_eq!(literal(b"{99999999999999999999999}"), Some(u64::MAX));
        for not in [
            &b"{}"[..],
            b"5}",
            b"{5",
            b"{5+}",
            b"{-5}",
            b"{5} ",
            b"}",
            b"",
            b"{5}x}",
        ] {
            assert_eq!(literal(not), None, "{not:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_ends(line in "(\\* |v1 |\\+ ?)?((ok|NO|BAD|BYE|CAPABILITY) ?)?(\\[[^x]{0,9}\\]?)?.{0,60}") {
            if let Ok(response) = Response::parse(&line) {
                prop_assert!(!response.to_string().chars().any(char::is_control));
            }
        }

        #[test]
        fn what_is_shown_reads_back(kind in 0_usize..5, code in 0_usize..20, text in "[!-Z^-~][ -~]{0,40}[!-~]") {
            let kind = [StatusKind::Ok, StatusKind::No, StatusKind::Bad, StatusKind::PreAuth, StatusKind::Bye][kind];
            let code = Code::NAMED.get(code).map(|(_, code)| code.clone());
            let status = Status { kind, code, words: text.clone(), text };
            prop_assert_eq!(Status::parse(&status.to_string()).unwrap(), status);
        }
    }
}
