//! A client's own dialog carried by SMTP, with a server that says what it likes.

use vouch_protocol::sasl::relayed::{CHALLENGE_LIMIT, CHALLENGES};
use vouch_protocol::sasl::{base64_decode, base64_encode};
use vouch_protocol::secret::Secret;
use vouch_protocol::smtp::auth::Outcome;
use vouch_protocol::smtp::relay::{Relay, Step};
use vouch_protocol::smtp::{Codec, Reply};

use crate::imap_carry::client;
use crate::input;
use crate::remote::Remote;
use crate::smtp_opening::wire;

/// In the first lines the mechanism and the client's messages; then what the server says.
pub fn run(input: &[u8]) {
    let ([settings, messages], said) = input::lines(input);
    let (mechanism, initial, messages) = client(settings, messages);
    let mut carry = Relay::new(mechanism, initial.map(Secret::copy_from));
    let mut remote = Remote::new(Codec::default(), said);
    let mut unsaid = initial.into_iter().chain(messages);
    let (mut sent, mut challenges, mut cancelled) = (0, 0, false);
    let mut last: Option<Reply> = None;
    let mut answer = None;
    let mut step = carry.start();
    for read in 0.. {
        assert!(read <= CHALLENGES + 3, "reads on without an end");
        match step {
            Step::Send(command) => {
                let line = wire(&command);
                let head = format!("AUTH {}", mechanism.name());
                let message = match line.strip_prefix(head.as_bytes()) {
                    Some(rest) if last.is_none() => (!rest.is_empty()).then(|| rest.trim_ascii_start()),
                    _ if cancelled => {
                        assert_eq!(line, b"*");
                        None
                    }
                    _ => {
                        assert_eq!(last.as_ref().map(Reply::code), Some(334), "speaks out of turn");
                        Some(&*line)
                    }
                };
                if let Some(message) = message {
                    sent += 1;
                    let next = answer.take().or_else(|| unsaid.next());
                    let said = base64_decode(message).ok();
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
                let text = last.as_ref().and_then(|reply| reply.lines().first());
                let text = text.map_or("", |text| text.trim());
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
                match &outcome {
                    Outcome::Reply(reply) => {
                        assert!(sent > 0 && !cancelled && reply.code() != 334);
                        assert!(
                            !reply.is_positive() || sent >= mechanism.proof_within(),
                            "nothing was proved"
                        );
                    }
                    Outcome::Early(reply) | Outcome::Unsupported(reply) => {
                        assert!(sent == 0 && !reply.is_positive());
                    }
                    Outcome::Surprise(_) => {}
                }
                let (Outcome::Reply(told)
                | Outcome::Early(told)
                | Outcome::Unsupported(told)
                | Outcome::Surprise(told)) = &outcome;
                let (status, code) = (told.status(), told.code());
                // Its text may be withheld, never its code.
                assert!(last.is_some_and(|last| last.status() == status && last.code() == code));
                break;
            }
        }
        let Some(reply) = remote.says() else { return };
        last = Some(reply.clone());
        step = carry.on_reply(reply);
    }
    while let Some(reply) = remote.says() {
        assert!(matches!(carry.on_reply(reply), Step::Done(Outcome::Surprise(_))));
    }
}
