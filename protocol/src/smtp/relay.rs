//! The dialog that carries a client's own SASL dialog to the server: AUTH with a
//! mechanism whose messages are not ours (RFC 4954).

use super::auth::{MAX_COMMAND, Outcome};
use super::{Command, Reply};
use crate::sasl::relayed::{CHALLENGE_LIMIT, CHALLENGES};
use crate::sasl::repeated::repeats;
use crate::sasl::{RelayedMechanism, base64_decode, base64_encode};
use crate::secret::Secret;

/// Carries one dialog, once. It wants a session outside any mail transaction and not
/// logged in, whose server offers the mechanism.
#[derive(Debug)]
pub struct Relay {
    mechanism: RelayedMechanism,
    /// The client's first message, until it is sent.
    initial: Option<Secret<[u8]>>,
    state: State,
    /// Messages of the client that were sent.
    sent: usize,
    challenges: usize,
    /// The last message that was sent, in base64: a server may quote it.
    last: Secret<[u8]>,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this alone, then read one reply and hand it to [`Relay::on_reply`].
    Send(Command),
    /// Give this to the client, then call [`Relay::respond`] with what it says, or
    /// [`Relay::cancel`] when it says nothing.
    Challenge(Vec<u8>),
    /// The exchange is over.
    Done(Outcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asking,
    /// The client has a challenge.
    Client,
    /// `*` was sent.
    Cancelled,
    Over,
}

impl Relay {
    /// `initial` is the client's first message where it speaks first.
    pub fn new(mechanism: RelayedMechanism, initial: Option<Secret<[u8]>>) -> Self {
        Self {
            mechanism,
            initial,
            state: State::Over,
            sent: 0,
            challenges: 0,
            last: Secret::copy_from(b""),
        }
    }

    /// The first command.
    pub fn start(&mut self) -> Step {
        self.state = State::Asking;
        let mechanism = self.mechanism;
        let fits = |data: &Secret<[u8]>| {
            let data = data.expose().len().max("=".len());
            "AUTH  \r\n".len() + mechanism.name().len() + data <= MAX_COMMAND
        };
        let encoded = self
            .initial
            .as_ref()
            .map(|message| base64_encode(message.expose()));
        let initial = encoded.filter(fits);
        if let Some(data) = &initial {
            self.initial = None;
            self.sent = 1;
            self.last = data.clone();
        }
        Step::Send(Command::AuthCarried { mechanism, initial })
    }

    /// The next step after a reply was read.
    pub fn on_reply(&mut self, reply: Reply) -> Step {
        let reply = self.without_echo(reply);
        if self.state != State::Asking {
            return self.done(Outcome::Surprise(reply));
        }
        match reply.code() {
            334 => self.on_challenge(reply),
            200..=299 if self.sent < self.mechanism.proof_within() => self.done(Outcome::Surprise(reply)),
            // It does not know the user yet.
            500 | 502 | 504 if self.sent == 0 => self.done(Outcome::Unsupported(reply)),
            _ if self.sent == 0 => self.done(Outcome::Early(reply)),
            _ => self.done(Outcome::Reply(reply)),
        }
    }

    fn on_challenge(&mut self, reply: Reply) -> Step {
        if let Some(initial) = self.initial.take() {
            return self.say(&initial);
        }
        self.challenges += 1;
        let text = reply.lines().first().map_or("", |line| line.trim());
        match base64_decode(text.as_bytes()) {
            Ok(challenge) if challenge.expose().len() <= CHALLENGE_LIMIT && self.challenges <= CHALLENGES => {
                self.state = State::Client;
                Step::Challenge(challenge.expose().to_vec())
            }
            Ok(_) | Err(_) => self.done(Outcome::Surprise(reply)),
        }
    }

    /// Whether the last of the commands that were to be sent ended what proves who the client is:
    /// once it has left, the remote may judge it, and the same is not to be sent again.
    pub const fn has_said_proof(&self) -> bool {
        self.sent >= self.mechanism.proof_within()
    }

    /// The step after the client's answer to the challenge.
    pub fn respond(&mut self, message: &Secret<[u8]>) -> Step {
        self.say(message)
    }

    /// The step when the client gives up.
    pub fn cancel(&mut self) -> Step {
        self.state = State::Cancelled;
        Step::Send(Command::AuthCancel)
    }

    fn say(&mut self, message: &Secret<[u8]>) -> Step {
        self.state = State::Asking;
        self.sent += 1;
        let data = base64_encode(message.expose());
        self.last = data.clone();
        Step::Send(Command::AuthData(data))
    }

    /// Without the client's last message: servers quote the line that they did not understand.
    fn without_echo(&self, reply: Reply) -> Reply {
        if !repeats(&reply.words(), &self.last) {
            return reply;
        }
        let code = reply.enhanced().map_or(String::new(), |code| format!("{code} "));
        Reply::new(reply.code(), [format!("{code}[withheld]")])
    }

    fn done(&mut self, outcome: Outcome) -> Step {
        self.state = State::Over;
        Step::Done(outcome)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use tokio_util::codec::Encoder as _;

    use super::*;
    use crate::smtp::Codec;

    /// What we do while the server says `lines` and the client answers its challenges with
    /// `client`, one after the other, and gives up when there is no answer left.
    fn play(
        mechanism: RelayedMechanism,
        initial: Option<&[u8]>,
        lines: &[&str],
        client: &[&str],
    ) -> Vec<String> {
        let mut carry = Relay::new(mechanism, initial.map(Secret::copy_from));
        let (mut lines, mut client) = (lines.iter(), client.iter());
        let mut did = Vec::new();
        let mut step = carry.start();
        loop {
            step = match step {
                Step::Send(command) => {
                    let mut line = BytesMut::new();
                    Codec::default().encode(&command, &mut line).unwrap();
                    did.push(String::from_utf8(line.to_vec()).unwrap().trim_end().to_owned());
                    carry.on_reply(Reply::parse(lines.next().unwrap_or_else(|| panic!("{did:?}"))).unwrap())
                }
                Step::Challenge(challenge) => {
                    did.push(format!("? {}", String::from_utf8_lossy(&challenge)));
                    match client.next() {
                        Some(message) => carry.respond(&Secret::copy_from(message.as_bytes())),
                        None => carry.cancel(),
                    }
                }
                Step::Done(outcome) => {
                    did.push(match outcome {
                        Outcome::Reply(reply) => format!("reply {reply}"),
                        Outcome::Surprise(reply) => format!("surprise {reply}"),
                        Outcome::Unsupported(reply) => format!("unsupported {reply}"),
                        Outcome::Early(reply) => format!("early {reply}"),
                    });
                    assert_eq!((lines.next(), client.next()), (None, None), "{did:?}");
                    return did;
                }
            };
        }
    }

    #[test]
    fn scram() {
        let did = play(
            RelayedMechanism::ScramSha256,
            Some(b"n,,n=jane,r=x"),
            &["334 cj14eSxzPWFiLGk9NDA5Ng==", "334 dj1hYg==", "235 2.7.0 in"],
            &["c=biws,r=xy,p=ab", ""],
        );
        assert_eq!(
            did,
            [
                "AUTH SCRAM-SHA-256 biwsbj1qYW5lLHI9eA==", "? r=xy,s=ab,i=4096", "Yz1iaXdzLHI9eHkscD1hYg==",
                "? v=ab", "", "reply 235 2.7.0 in",
            ]
        );
    }

    #[test]
    fn the_server_speaks_first() {
        let did = play(
            RelayedMechanism::CramMd5,
            None,
            &["334 PDFAcj4=", "535 5.7.8 no"],
            &["jane ab"],
        );
        assert_eq!(
            did,
            ["AUTH CRAM-MD5", "? <1@r>", "amFuZSBhYg==", "reply 535 5.7.8 no"]
        );
        // RFC 4954 §4: an empty challenge; some servers leave the space out.
        let did = play(
            RelayedMechanism::DigestMd5,
            None,
            &["334", "501 5.7.0 cancelled"],
            &[],
        );
        assert_eq!(
            did,
            ["AUTH DIGEST-MD5", "? ", "*", "surprise 501 5.7.0 cancelled"]
        );
    }

    #[test]
    fn a_long_token_waits_for_its_turn() {
        let token = format!("user=jane\x01auth=Bearer {}\x01\x01", "t".repeat(400));
        let did = play(
            RelayedMechanism::XOauth2,
            Some(token.as_bytes()),
            &["334 ", "334 eyJzdGF0dXMiOiI0MDEifQ==", "535 5.7.8 no"],
            &[""],
        );
        assert_eq!(did[0], "AUTH XOAUTH2");
        assert_eq!(did[2..], ["? {\"status\":\"401\"}", "", "reply 535 5.7.8 no"]);
        let empty = play(RelayedMechanism::XOauth2, Some(b""), &["535 no"], &[]);
        assert_eq!(empty, ["AUTH XOAUTH2 =", "reply 535 no"]);
    }

    #[test]
    fn what_comes_before_the_name_is_about_nobody() {
        let cram = |line| play(RelayedMechanism::CramMd5, None, &[line], &[]).pop().unwrap();
        assert_eq!(cram("535 5.7.8 no"), "early 535 5.7.8 no");
        assert_eq!(cram("504 5.5.4 what"), "unsupported 504 5.5.4 what");
        assert_eq!(cram("235 in"), "surprise 235 in");
        let scram = |lines: &[&str]| {
            play(RelayedMechanism::ScramSha1, Some(b"n,,n=jane,r=x"), lines, &[])
                .pop()
                .unwrap()
        };
        assert_eq!(scram(&["235 in"]), "surprise 235 in");
        assert_eq!(scram(&["535 5.7.8 no"]), "reply 535 5.7.8 no");
        assert_eq!(scram(&["334 not base64"]), "surprise 334 not base64");
    }

    #[test]
    fn a_message_that_is_quoted_back_is_withheld() {
        let line = "500 5.5.1 unknown: biwsbj1qYW5lLHI9eA==";
        let did = play(RelayedMechanism::ScramSha1, Some(b"n,,n=jane,r=x"), &[line], &[]);
        assert_eq!(did.last().unwrap(), "reply 500 5.5.1 [withheld]");
    }

    // Fills CHALLENGES.
    #[test]
    fn challenges_have_an_end() {
        let lines = vec!["334 YQ=="; CHALLENGES + 1];
        let did = play(
            RelayedMechanism::ScramSha1,
            Some(b"n,,n=jane,r=x"),
            &lines,
            &["x"; CHALLENGES],
        );
        assert_eq!(did.last().unwrap(), "surprise 334 YQ==");
    }
}
