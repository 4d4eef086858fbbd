//! The dialog that carries a client's own SASL dialog to the server: AUTHENTICATE with a
//! mechanism whose messages are not ours (RFC 9051 §6.2.2, RFC 4959).

use std::mem;

use super::capability::Capabilities;
use super::command::{Command, Tag, Tags};
use super::exchange::{Accepted, Exchange, Last, Outcome, STRANGE_TAG};
use super::response::{Response, Status, StatusKind, Untagged};
use crate::sasl::relayed::{CHALLENGE_LIMIT, CHALLENGES};
use crate::sasl::repeated::repeats;
use crate::sasl::{RelayedMechanism, base64_decode, base64_encode};
use crate::secret::Secret;

/// Carries one dialog, once.
#[derive(Debug)]
pub struct Relay<'t> {
    exchange: Exchange<'t>,
    mechanism: RelayedMechanism,
    /// The client's first message, until it is sent.
    initial: Option<Secret<[u8]>>,
    at_once: bool,
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
    /// Read one more response.
    Read,
    /// Send this, then read one response.
    Send(Command),
    /// Give this to the client, then call [`Relay::respond`] with what it says, or
    /// [`Relay::cancel`] when it says nothing.
    Challenge(Vec<u8>),
    /// The dialog is over.
    Done(Outcome),
}

#[derive(Debug)]
enum State {
    New,
    /// The command was sent, and all that the client said so far.
    Asking(Tag),
    /// The client has a challenge.
    Client(Tag),
    Ending(Last),
    Over,
}

impl<'t> Relay<'t> {
    /// A dialog on an open session that is not logged in and has `offered` these
    /// capabilities, the mechanism among them. `initial` is the client's first message
    /// where it speaks first. With `confirm` one cheap command must succeed after OK.
    pub fn new(
        offered: &Capabilities,
        tags: &'t mut Tags,
        mechanism: RelayedMechanism,
        initial: Option<Secret<[u8]>>,
        confirm: bool,
    ) -> Self {
        Self {
            exchange: Exchange::new(tags, confirm),
            mechanism,
            initial,
            at_once: offered.sasl_ir,
            state: State::New,
            sent: 0,
            challenges: 0,
            last: Secret::copy_from(b""),
        }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        let tag = self.exchange.next_tag();
        self.state = State::Asking(tag);
        let initial = self.initial.take_if(|_| self.at_once);
        if let Some(message) = &initial {
            self.note_sent(message);
        }
        Step::Send(Command::authenticate(tag, self.mechanism, initial.as_ref()))
    }

    /// The step after `response`.
    pub fn on_response(&mut self, response: Response) -> Step {
        match response {
            Response::Untagged(untagged) => self.on_untagged(untagged),
            Response::Tagged { tag, status } => self.on_tagged(&tag, status),
            Response::Continuation(text) => self.on_continuation(&text),
        }
    }

    /// Whether the last of the commands that were to be sent ended what proves who the client is:
    /// once it has left, the server may judge it, and the same is not to be sent again.
    pub const fn has_said_proof(&self) -> bool {
        self.sent >= self.mechanism.proof_within()
    }

    /// The server's goodbye. Its answer may follow in the same breath, and is the answer all the same.
    pub const fn goodbye(&self) -> Option<&Status> {
        self.exchange.goodbye()
    }

    /// The step after the client's answer to the challenge.
    pub fn respond(&mut self, message: &Secret<[u8]>) -> Step {
        match mem::replace(&mut self.state, State::Over) {
            State::Client(tag) => self.say(tag, message),
            _ => self.unexpected("an answer to nothing"),
        }
    }

    /// The step when the client gives up.
    pub fn cancel(&mut self) -> Step {
        match mem::replace(&mut self.state, State::Over) {
            State::Client(tag) => {
                self.state = State::Ending(Last::Cancel(tag));
                Step::Send(Command::cancel())
            }
            _ => self.unexpected("nothing to cancel"),
        }
    }

    fn say(&mut self, tag: Tag, message: &Secret<[u8]>) -> Step {
        self.state = State::Asking(tag);
        self.note_sent(message);
        Step::Send(Command::answer(message))
    }

    fn note_sent(&mut self, message: &Secret<[u8]>) {
        self.sent += 1;
        self.last = base64_encode(message.expose());
    }

    fn on_untagged(&mut self, untagged: Untagged) -> Step {
        if matches!(self.state, State::New | State::Client(_) | State::Over) {
            return self.unexpected("a response to nothing");
        }
        let sent = &self.last;
        match self.exchange.hear(untagged, |status| without_echo(sent, status)) {
            Ok(()) => Step::Read,
            Err(how) => self.unexpected(how),
        }
    }

    fn on_continuation(&mut self, text: &str) -> Step {
        if self.goodbye().is_some() {
            return self.unexpected("a continuation request behind a goodbye");
        }
        let State::Asking(tag) = self.state else {
            return self.unexpected("a continuation request out of place");
        };
        if let Some(initial) = self.initial.take() {
            return self.say(tag, &initial);
        }
        self.challenges += 1;
        if self.challenges > CHALLENGES {
            return self.unexpected("challenges without an end");
        }
        match base64_decode(text.as_bytes()) {
            Ok(challenge) if challenge.expose().len() <= CHALLENGE_LIMIT => {
                self.state = State::Client(tag);
                Step::Challenge(challenge.expose().to_vec())
            }
            Ok(_) => self.unexpected("a challenge that is too long"),
            Err(_) => self.unexpected("a challenge that is no base64"),
        }
    }

    fn on_tagged(&mut self, tag: &str, status: Status) -> Step {
        let status = without_echo(&self.last, status);
        match mem::replace(&mut self.state, State::Over) {
            State::Asking(ours) if ours.is(tag) => self.on_answer(status),
            State::Ending(last) => {
                let outcome = self.exchange.end(last, tag, status);
                self.done(outcome)
            }
            _ => self.done(STRANGE_TAG),
        }
    }

    fn on_answer(&mut self, status: Status) -> Step {
        match status.kind {
            StatusKind::Ok if self.sent < self.mechanism.proof_within() => {
                self.unexpected("OK before anything was proved")
            }
            StatusKind::Ok => match self.exchange.accept(status) {
                Accepted::Confirm(command, last) => {
                    self.state = State::Ending(last);
                    Step::Send(command)
                }
                Accepted::Done(outcome) => self.done(outcome),
            },
            // It does not know the user yet.
            _ if self.sent == 0 => self.done(Outcome::Unsupported(status)),
            _ => self.done(Outcome::Status {
                status,
                capabilities: None,
            }),
        }
    }

    fn unexpected(&mut self, how: &'static str) -> Step {
        self.done(Outcome::Unexpected(how))
    }

    fn done(&mut self, outcome: Outcome) -> Step {
        self.state = State::Over;
        Step::Done(outcome)
    }
}

/// Servers quote the line that they did not understand: `sent` is the client's last message.
fn without_echo(sent: &Secret<[u8]>, mut status: Status) -> Status {
    if repeats(status.words(), sent) {
        status.withhold_text();
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"n,,n=jane,r=x";
    const FIRST_BASE64: &str = "biwsbj1qYW5lLHI9eA==";

    /// What we do while the server says `lines` and the client answers its challenges with
    /// `client`, one after the other, and gives up when there is no answer left.
    fn play(
        offered: &str,
        mechanism: RelayedMechanism,
        initial: Option<&[u8]>,
        lines: &[&str],
        client: &[&str],
    ) -> Vec<String> {
        let mut tags = Tags::new();
        let initial = initial.map(Secret::copy_from);
        let confirm = offered.contains("CONFIRM");
        let offered = Capabilities::parse(offered);
        let mut carry = Relay::new(&offered, &mut tags, mechanism, initial, confirm);
        let (mut lines, mut client) = (lines.iter(), client.iter());
        let mut did = Vec::new();
        let mut step = carry.start();
        loop {
            let reads = match step {
                Step::Read => true,
                Step::Send(command) => {
                    let wire = command.wire().expose().to_vec();
                    did.push(String::from_utf8(wire).unwrap().trim_end().to_owned());
                    true
                }
                Step::Challenge(challenge) => {
                    did.push(format!("? {}", String::from_utf8_lossy(&challenge)));
                    false
                }
                Step::Done(outcome) => {
                    did.push(match outcome {
                        Outcome::Status { status, .. } => status.to_string(),
                        other => format!("{other:?}"),
                    });
                    assert_eq!((lines.next(), client.next()), (None, None), "{did:?}");
                    return did;
                }
            };
            step = match (reads, client.len()) {
                (true, _) => carry
                    .on_response(Response::parse(lines.next().unwrap_or_else(|| panic!("{did:?}"))).unwrap()),
                (false, 0) => carry.cancel(),
                (false, _) => carry.respond(&Secret::copy_from(client.next().unwrap().as_bytes())),
            };
        }
    }

    #[test]
    fn scram_with_and_without_initial_response() {
        let lines = [
            "+ cj14eSxzPWFiLGk9NDA5Ng==", "+ dj1hYg==", "* CAPABILITY IMAP4rev1", "v1 OK in",
        ];
        let tail = [
            "? r=xy,s=ab,i=4096", "Yz1iaXdzLHI9eHkscD1hYg==", "? v=ab", "", "OK in",
        ];
        let client = ["c=biws,r=xy,p=ab", ""];
        let did = play(
            "IMAP4rev1 SASL-IR",
            RelayedMechanism::ScramSha256,
            Some(FIRST),
            &lines,
            &client,
        );
        let head = format!("v1 AUTHENTICATE SCRAM-SHA-256 {FIRST_BASE64}");
        assert_eq!(did, [&[&*head][..], &tail].concat());
        let lines = [&["+ "][..], &lines].concat();
        let did = play(
            "IMAP4rev1",
            RelayedMechanism::ScramSha256,
            Some(FIRST),
            &lines,
            &client,
        );
        let head = ["v1 AUTHENTICATE SCRAM-SHA-256", FIRST_BASE64];
        assert_eq!(did, [&head[..], &tail].concat());
    }

    #[test]
    fn the_server_speaks_first() {
        let did = play(
            "IMAP4rev1 SASL-IR",
            RelayedMechanism::CramMd5,
            None,
            &["+ PDFAcj4=", "v1 NO [AUTHENTICATIONFAILED] no"],
            &["jane ab"],
        );
        assert_eq!(
            did,
            [
                "v1 AUTHENTICATE CRAM-MD5", "? <1@r>", "amFuZSBhYg==", "NO [AUTHENTICATIONFAILED] no"
            ]
        );
    }

    #[test]
    fn a_client_that_gives_up_is_given_up_for() {
        let did = play(
            "IMAP4rev1",
            RelayedMechanism::CramMd5,
            None,
            &["+ PDFAcj4=", "v1 BAD cancelled"],
            &[],
        );
        assert_eq!(did, ["v1 AUTHENTICATE CRAM-MD5", "? <1@r>", "*", "Surprise"]);
    }

    #[test]
    fn what_comes_before_the_name_is_about_nobody() {
        let cram = |line| {
            play("IMAP4rev1", RelayedMechanism::CramMd5, None, &[line], &[])
                .pop()
                .unwrap()
        };
        assert!(cram("v1 NO [AUTHENTICATIONFAILED] no").starts_with("Unsupported"));
        assert!(cram("v1 BAD what").starts_with("Unsupported"));
        assert_eq!(cram("v1 OK in"), "Unexpected(\"OK before anything was proved\")");
        let scram = |lines: &[&str]| {
            play(
                "IMAP4rev1 SASL-IR",
                RelayedMechanism::ScramSha1,
                Some(FIRST),
                lines,
                &[],
            )
            .pop()
            .unwrap()
        };
        assert_eq!(
            scram(&["v1 OK in"]),
            "Unexpected(\"OK before anything was proved\")"
        );
        assert_eq!(scram(&["v1 NO no such user"]), "NO no such user");
        assert_eq!(scram(&["* BYE gone", "v1 NO no such user"]), "NO no such user");
        assert_eq!(
            scram(&["* BYE gone", "+ YQ=="]),
            "Unexpected(\"a continuation request behind a goodbye\")"
        );
    }

    // Fills CHALLENGE_LIMIT.
    #[test]
    fn challenges_of_no_use() {
        let scram = |lines: &[&str]| {
            play(
                "IMAP4rev1 SASL-IR",
                RelayedMechanism::ScramSha1,
                Some(FIRST),
                lines,
                &[],
            )
            .pop()
            .unwrap()
        };
        assert_eq!(
            scram(&["+ not base64"]),
            "Unexpected(\"a challenge that is no base64\")"
        );
        let long = format!("+ {}", "A".repeat(CHALLENGE_LIMIT / 3 * 4 + 8));
        assert_eq!(scram(&[&long]), "Unexpected(\"a challenge that is too long\")");
        let lines = vec!["+ YQ=="; CHALLENGES + 1];
        let did = play(
            "IMAP4rev1 SASL-IR",
            RelayedMechanism::ScramSha1,
            Some(FIRST),
            &lines,
            &["x"; CHALLENGES],
        );
        assert_eq!(did.last().unwrap(), "Unexpected(\"challenges without an end\")");
    }

    #[test]
    fn an_accepted_token_may_have_to_be_confirmed() {
        let token = Some(&b"user=jane\x01auth=Bearer tok\x01\x01"[..]);
        let play = |last| {
            play(
                "IMAP4rev1 SASL-IR CONFIRM",
                RelayedMechanism::XOauth2,
                token,
                &["v1 OK in", last],
                &[],
            )
            .pop()
            .unwrap()
        };
        assert_eq!(play("v2 OK list"), "OK in");
        assert!(play("v2 BAD User is authenticated but not connected.").starts_with("Unconfirmed"));
    }

    #[test]
    fn a_message_that_is_quoted_back_is_withheld() {
        let lines = [format!("v1 BAD unknown: {FIRST_BASE64}")];
        let did = play(
            "IMAP4rev1 SASL-IR",
            RelayedMechanism::ScramSha1,
            Some(FIRST),
            &[&lines[0]],
            &[],
        );
        assert_eq!(did.last().unwrap(), "BAD [withheld]");
    }
}
