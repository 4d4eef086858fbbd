//! What an SMTP or LMTP server says, and the commands that hold what strangers chose.

use bytes::BytesMut;
use tokio_util::codec::Encoder as _;
use vouch_protocol::sasl::RelayedMechanism;
use vouch_protocol::secret::Secret;
use vouch_protocol::smtp::{Capabilities, Codec, Command, MAX_LINE, MAX_LINES, MAX_REPLY, Reply};

use crate::remote::command_line;
use crate::{input, pieces};

/// The characters of a foreign text that are kept.
const TEXT: usize = 200;

/// Twice: a server's side of a session; and commands with the input in them.
pub fn run(input: &[u8]) {
    let wire = input::stretched(input, 70_000);
    let read = pieces::read(Codec::default, &wire, MAX_LINE, false, |reply| {
        format!("{reply:?}")
    });
    for reply in &read.messages {
        holds(reply);
        // Replacement characters are longer than what they stand for.
        if !reply.words().contains('\u{fffd}') {
            // What it says of different codes on its lines is lost in writing it with one.
            let again = Reply::parse(&write(reply)).ok();
            let said = |reply: &Reply| (reply.code(), reply.enhanced(), reply.lines().to_vec());
            assert_eq!(again.as_ref().map(said), Some(said(reply)));
        }
    }
    commands(input);
}

fn holds(reply: &Reply) {
    assert!((100..=999).contains(&reply.code()));
    assert!((1..=MAX_LINES).contains(&reply.lines().len()));
    assert!(reply.words().len() <= 3 * MAX_REPLY + MAX_LINES);
    let digits = [reply.is_positive(), reply.is_transient(), reply.is_permanent()];
    assert!(digits.iter().filter(|is| **is).count() <= 1);
    if let Some(code) = reply.enhanced() {
        assert_eq!(u16::from(code.class), reply.code() / 100);
        assert!(code.subject <= 999 && code.detail <= 999);
        // The text has the code as it was received, which may have zeros in front.
        let digits = |text: &str| text.replace('0', "");
        assert!(
            digits(&reply.words()).contains(&digits(&code.to_string())),
            "{code} in {reply}"
        );
    }
    let shown = reply.to_string();
    assert!(shown.chars().count() <= TEXT + 4);
    assert!(!shown.chars().any(char::is_control));
    let offered = Capabilities::from_reply(reply);
    let Capabilities { auth, limits, .. } = &offered;
    for limit in [limits.rcpt_max, limits.mail_max, limits.rcpt_domain_max] {
        assert_ne!(limit, Some(0));
    }
    let mut names = auth.other.clone();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), auth.other.len(), "a mechanism twice");
    assert!(!names.iter().any(|name| matches!(&**name, "PLAIN" | "LOGIN" | "")));
    // A mechanism is only there if the words of it are: no other line can slip one in.
    let words = reply.lines().iter().skip(1).map(|line| line.to_ascii_uppercase());
    let words: Vec<_> = words.collect();
    let offers = words.iter().any(|line| line.contains("AUTH"));
    assert!(offers || !auth.plain && !auth.login && names.is_empty());
    assert_eq!(
        offered.starttls,
        words
            .iter()
            .any(|line| line.split_ascii_whitespace().next() == Some("STARTTLS"))
    );
}

/// The reply as a server writes it.
fn write(reply: &Reply) -> String {
    let last = reply.lines().len() - 1;
    let line = |(at, text)| {
        let mark = if at == last { ' ' } else { '-' };
        format!("{}{mark}{text}\r\n", reply.code())
    };
    reply.lines().iter().enumerate().map(line).collect()
}

/// One line each, or nothing at all.
fn commands(input: &[u8]) {
    let name = input::text(input);
    let secret = || Secret::copy_from(input);
    let (bytes, initial) = (input.to_vec(), Some(secret()));
    for command in [
        Command::Ehlo(name.clone()),
        Command::Lhlo(name.clone()),
        Command::AuthPlain {
            initial: initial.clone(),
        },
        Command::AuthCarried {
            mechanism: RelayedMechanism::CramMd5,
            initial,
        },
        Command::AuthData(secret()),
        Command::Mail {
            from: bytes.clone(),
            smtputf8: true,
        },
        Command::Rcpt {
            to: bytes,
            ignore_quota: true,
        },
    ] {
        let mut out = BytesMut::from("before");
        let written = Codec::default().encode(&command, &mut out);
        let wire = out.strip_prefix(b"before").unwrap_or_default();
        if written.is_err() {
            assert!(wire.is_empty(), "written in part");
            continue;
        }
        let line = command_line(wire);
        let (front, behind): (&[u8], &[u8]) = match command {
            Command::Ehlo(_) => (b"EHLO ", b""),
            Command::Lhlo(_) => (b"LHLO ", b""),
            Command::AuthPlain { .. } => (b"AUTH PLAIN ", b""),
            Command::AuthCarried { .. } if input.is_empty() => (b"AUTH CRAM-MD5 =", b""),
            Command::AuthCarried { .. } => (b"AUTH CRAM-MD5 ", b""),
            Command::Mail { .. } => (b"MAIL FROM:<", b"> SMTPUTF8"),
            Command::Rcpt { .. } => (b"RCPT TO:<", b"> IGNOREQUOTA"),
            _ => (b"", b""),
        };
        let said = match command {
            Command::Ehlo(_) | Command::Lhlo(_) => name.as_bytes(),
            _ => input,
        };
        assert_eq!(line, [front, said, behind].concat());
        match command {
            Command::Mail { .. } | Command::Rcpt { .. } => is_one_path(input),
            // A name is one word.
            Command::Ehlo(_) | Command::Lhlo(_) => assert!(!line[5..].contains(&b' ')),
            _ => {
                let shown = command.to_string();
                let masked = ["AUTH PLAIN [secret]", "AUTH CRAM-MD5 [secret]", "[secret]"];
                assert!(masked.contains(&&*shown), "{shown}");
            }
        }
    }
}

/// `"…"@domain` or a word: no reader can end it early, neither one that knows quotes nor one
/// that takes the first `>`  outside of them.
fn is_one_path(path: &[u8]) {
    let rest = match path.strip_prefix(b"\"") {
        None => path,
        Some(quoted) => {
            let mut at = 0;
            while quoted[at] != b'"' {
                at += if quoted[at] == b'\\' { 2 } else { 1 };
            }
            &quoted[at + 1..]
        }
    };
    assert!(!rest.iter().any(|byte| b"<>\"\\ ".contains(byte)), "{path:?}");
}
