//! A client's own dialog carried by IMAP, with a server that says what it likes.

use vouch_protocol::imap::capability::Capabilities;
use vouch_protocol::imap::command::Tags;
use vouch_protocol::imap::login::Outcome;
use vouch_protocol::imap::relay::{Relay, Step};
use vouch_protocol::imap::response::{Response, StatusKind};
use vouch_protocol::imap::{Codec, UNTAGGED_LIMIT};
use vouch_protocol::sasl::relayed::{CHALLENGE_LIMIT, CHALLENGES};
use vouch_protocol::sasl::{RelayedMechanism, base64_decode, base64_encode};
use vouch_protocol::secret::Secret;

use crate::input;
use crate::remote::{Remote, command_line, holds};

/// Responses that one dialog reads: each way to ask has one, each challenge and each remark.
const RESPONSES: usize = UNTAGGED_LIMIT + CHALLENGES + 10;

/// The mechanism that the first line names, and the client's messages in the second, between `|`: the
/// first stands for the initial one where the client speaks first.
pub fn client<'a>(
    settings: &[u8],
    messages: &'a [u8],
) -> (RelayedMechanism, Option<&'a [u8]>, Vec<&'a [u8]>) {
    let name = input::text(settings);
    let named = name
        .split_ascii_whitespace()
        .find_map(RelayedMechanism::from_name);
    let mechanism = named.unwrap_or(RelayedMechanism::ScramSha256);
    let mut messages: Vec<_> = messages.split(|&byte| byte == b'|').collect();
    let initial = mechanism.client_first().then(|| messages.remove(0));
    (mechanism, initial, messages)
}

/// In the first lines: settings (the mechanism; `confirm`), the client's messages, what is
/// offered. Then what the server says.
pub fn run(input: &[u8]) {
    let ([settings, messages, offered], said) = input::lines(input);
    let (mechanism, initial, messages) = client(settings, messages);
    let confirm = holds(settings, b"confirm");
    let offered = Capabilities::parse(&input::text(offered));
    let mut tags = Tags::new();
    let secret = initial.map(Secret::copy_from);
    let mut carry = Relay::new(&offered, &mut tags, mechanism, secret, confirm);
    let mut remote = Remote::new(Codec::default(), said);
    let mut unsaid = initial.into_iter().chain(messages);
    let mut sent = 0;
    let (mut tag, mut last) = (String::new(), None);
    let (mut cancelled, mut confirming, mut challenges) = (false, false, 0);
    let mut answer: Option<&[u8]> = None;
    let mut step = carry.start();
    for read in 0.. {
        assert!(read <= RESPONSES, "reads on without an end");
        match step {
            Step::Read => {}
            Step::Send(command) => {
                let line = command_line(command.wire().expose());
                let message = match (&last, cancelled) {
                    (None | Some(Response::Tagged { .. }), _) => {
                        let line = input::text(line);
                        let (ours, verb) = line.split_once(' ').unwrap_or_default();
                        assert_ne!(ours, tag);
                        ours.clone_into(&mut tag);
                        confirming = last.is_some();
                        let begun = verb.strip_prefix("AUTHENTICATE ").map(|rest| {
                            let rest = rest.strip_prefix(mechanism.name());
                            rest.unwrap_or_else(|| panic!("another mechanism: {line}"))
                                .to_owned()
                        });
                        assert_eq!(confirming, begun.is_none());
                        assert!(!confirming || confirm && verb == "LIST \"\" \"\"");
                        // `=` is an empty one, and nothing is none.
                        begun
                            .filter(|rest| !rest.is_empty())
                            .map(|rest| rest.trim_start().as_bytes().to_vec())
                    }
                    (Some(Response::Continuation(_)), false) => Some(line.to_vec()),
                    (_, true) => {
                        assert_eq!(line, b"*");
                        None
                    }
                    (last, _) => panic!("speaks out of turn, after {last:?}"),
                };
                if let Some(message) = message {
                    sent += 1;
                    let next = answer.take().or_else(|| unsaid.next());
                    let said = base64_decode(&message).ok();
                    assert_eq!(
                        said.as_ref().map(Secret::expose),
                        next,
                        "not the client's message"
                    );
                    let shown = command.to_string();
                    assert!(shown.ends_with("[secret]"), "{shown}");
                }
            }
            Step::Challenge(challenge) => {
                challenges += 1;
                assert!(challenges <= CHALLENGES && challenge.len() <= CHALLENGE_LIMIT);
                let Some(Response::Continuation(text)) = &last else {
                    panic!("a challenge from {last:?}");
                };
                assert!(text == "=" || base64_encode(&challenge).expose() == text.as_bytes());
                answer = unsaid.next();
                step = match answer {
                    Some(message) => carry.respond(&Secret::copy_from(message)),
                    None => {
                        cancelled = true;
                        carry.cancel()
                    }
                };
                continue;
            }
            Step::Done(outcome) => {
                let ours = match &last {
                    Some(Response::Tagged { tag: theirs, status }) if *theirs == tag => Some(status.kind),
                    _ => None,
                };
                match &outcome {
                    Outcome::Status { status, .. } if status.kind == StatusKind::Ok => {
                        assert!(ours == Some(StatusKind::Ok) && sent >= mechanism.proof_within());
                        assert!(!cancelled && confirming == confirm);
                    }
                    Outcome::Status { .. } => assert!(ours.is_some() && sent > 0 && !cancelled),
                    Outcome::Unsupported(_) => assert!(ours.is_some() && sent == 0),
                    Outcome::Surprise => assert!(cancelled),
                    Outcome::Unconfirmed(_) => assert!(confirming && ours != Some(StatusKind::Ok)),
                    Outcome::Unexpected(_) => {}
                }
                break;
            }
        }
        let Some(response) = remote.says() else { return };
        last = Some(response.clone());
        step = carry.on_response(response);
    }
    while let Some(response) = remote.says() {
        assert!(matches!(
            carry.on_response(response),
            Step::Done(Outcome::Unexpected(_))
        ));
    }
    assert!(matches!(
        carry.respond(&Secret::copy_from(b"late")),
        Step::Done(Outcome::Unexpected(_))
    ));
    assert!(matches!(carry.cancel(), Step::Done(Outcome::Unexpected(_))));
}
