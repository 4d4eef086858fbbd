//! What an IMAP server says: responses, status, capabilities.

use vouch_protocol::imap::capability::Capabilities;
use vouch_protocol::imap::response::{Code, Response, Status, StatusKind, Untagged};
use vouch_protocol::imap::{Codec, LINE_LIMIT};
use vouch_protocol::sasl::RelayedMechanism;

use crate::{input, pieces};

/// The characters of a foreign text that are kept.
const TEXT: usize = 200;

/// A server's side of a session. What is shown of it is one harmless line, and read again it
/// is the same.
pub fn run(input: &[u8]) {
    let wire = input::stretched(input, 70_000);
    let read = pieces::read(Codec::default, &wire, LINE_LIMIT, false, |response| {
        format!("{response:?}")
    });
    for response in &read.messages {
        let shown = response.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        let statuses = match response {
            Response::Tagged { status, .. } => {
                assert!(!matches!(status.kind, StatusKind::PreAuth | StatusKind::Bye));
                Some(status)
            }
            Response::Untagged(Untagged::Status(status)) => Some(status),
            Response::Untagged(Untagged::Capability(found)) => {
                capabilities(found);
                None
            }
            Response::Untagged(Untagged::Other) | Response::Continuation(_) => None,
        };
        statuses.into_iter().for_each(status);
    }
    capabilities(&Capabilities::parse(&input::text(input)));
}

fn status(status: &Status) {
    assert!(status.text().chars().count() <= TEXT);
    assert!(status.label().starts_with(status.kind.name()));
    if let Some(Code::Capability(found)) = &status.code {
        capabilities(found);
    }
    // A text that begins like a code, and was none, is a code once a space is gone.
    if status.code.is_some() || !status.text().starts_with('[') {
        let again = Status::parse(&status.to_string());
        let shown = |status: &Status| {
            (
                status.kind,
                status.code.clone(),
                status.text().trim_end().to_owned(),
            )
        };
        assert_eq!(again.ok().as_ref().map(shown), Some(shown(status)));
    }
}

fn capabilities(found: &Capabilities) {
    assert_eq!(&Capabilities::parse(&found.to_string()), found);
    assert!(!found.imap4rev2 || found.sasl_ir && found.literal_minus);
    for mechanism in RelayedMechanism::ALL {
        let offers = |name: &str| found.auth.other.iter().any(|other| other == name);
        assert_eq!(found.auth.relays(mechanism), offers(mechanism.name()));
        assert_eq!(
            found.auth.binds_channels(mechanism),
            offers(&format!("{}-PLUS", mechanism.name()))
        );
    }
}
