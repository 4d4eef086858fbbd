//! Policy requests, against a second reader; and actions, against what Postfix understands.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Encoder as _;
use vouch_protocol::policy::{Action, Codec, Request};

use crate::{input, pieces};

/// Twice: requests as a client sends them; and an action in the first line, with a remote's
/// own words behind it.
pub fn run(input: &[u8]) {
    let wire = input::stretched(input, 70_000);
    let read = pieces::read(Codec::default, &wire, 64 * 1024, false, |request| {
        format!("{request:?}")
    });
    let mut rest = &wire[..];
    for request in &read.messages {
        let (attributes, behind) = attributes(rest);
        rest = behind;
        holds(request, &attributes);
        let again = write(request);
        let again = pieces::read(Codec::default, &again, 64 * 1024, false, |request| {
            format!("{request:?}")
        });
        assert_eq!(again.messages, std::slice::from_ref(request));
    }
    let (text, remote) = input::line(input);
    action(&input::text(text), &input::text(remote));
}

/// Name and value.
type Attribute<'a> = (&'a [u8], &'a [u8]);

/// The attributes of the first request, and what stands behind it.
fn attributes(mut wire: &[u8]) -> (Vec<Attribute<'_>>, &[u8]) {
    let mut attributes = Vec::new();
    loop {
        let (line, behind) = input::line(wire);
        wire = behind;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(at) = line.iter().position(|&byte| byte == b'=') else {
            assert!(line.is_empty(), "a line without a name was read");
            return (attributes, wire);
        };
        attributes.push((&line[..at], &line[at + 1..]));
    }
}

/// Of duplicates the first counts, and of the values none but whole ones.
fn holds(request: &Request, attributes: &[Attribute<'_>]) {
    let value = |name: &str| {
        let found = attributes.iter().find(|(known, _)| *known == name.as_bytes());
        found.map_or(&b""[..], |(_, value)| value)
    };
    assert_eq!(value("request"), b"smtpd_access_policy");
    for (name, read) in fields(request) {
        assert_eq!(read, value(name), "{name}");
        assert!(!read.contains(&0) && !read.contains(&b'\n'), "{name}");
    }
    assert_eq!(request.stress, value("stress") == b"yes");
}

fn fields(request: &Request) -> [(&'static str, &Bytes); 6] {
    [
        ("protocol_state", &request.protocol_state),
        ("client_address", &request.client_address),
        ("client_port", &request.client_port),
        ("helo_name", &request.helo_name),
        ("recipient", &request.recipient),
        ("instance", &request.instance),
    ]
}

fn write(request: &Request) -> Vec<u8> {
    let mut wire = b"request=smtpd_access_policy\n".to_vec();
    for (name, value) in fields(request) {
        // A value keeps a CR at its end only if the line end has one of its own.
        wire.extend([name.as_bytes(), b"=", value, b"\r\n"].concat());
    }
    wire.extend_from_slice(if request.stress { b"stress=yes\n\n" } else { b"\n" });
    wire
}

/// An action is one line that means the same with a remote's words in it.
fn action(text: &str, remote: &str) {
    let Ok(action) = Action::new(text) else {
        return;
    };
    assert_eq!(action.as_str(), text);
    let told = action.with_reply(remote);
    let again = Action::new(told.as_str());
    assert_eq!(again.as_ref(), Ok(&told), "of {text:?} with {remote:?}");
    assert_eq!(told.word(), action.word());
    assert_eq!(told.is_permanent(), action.is_permanent());
    let mut out = BytesMut::new();
    let written = Codec::default().encode(told.clone(), &mut out);
    assert!(written.is_ok());
    assert_eq!(out, format!("action={}\n\n", told.as_str()));
    let inside = &out[..out.len() - 2];
    assert!(inside.iter().all(|byte| (b' '..=b'~').contains(byte)));
}
