//! The dialog from the greeting to the capabilities that count: greeting, CAPABILITY,
//! STARTTLS, CAPABILITY again (RFC 9051 §§6.1.1, 6.2.1, 7.1).

use std::mem;

use super::UNTAGGED_LIMIT;
use super::capability::Capabilities;
use super::command::{Command, Tag, Tags};
use super::response::{Response, Status, StatusKind, Untagged};
use crate::encryption::Encryption;

/// Opens one session. Knows nothing of the user who will be asked about.
///
/// Until TLS is on anybody may have written what we read, so nothing but greeting,
/// capabilities and status is looked at, and after it all of that is forgotten.
#[derive(Debug)]
pub struct Opening {
    encryption: Encryption,
    tags: Tags,
    state: State,
    /// Told in this phase of the session without being asked for.
    capabilities: Option<Capabilities>,
    untagged: usize,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Read one more response.
    Read,
    /// Send this, then read one response.
    Send(Command),
    /// Turn on TLS, then call [`Opening::on_secured`]. The receive buffer must be empty: bytes
    /// that are there already were written by somebody who knew what we would ask next.
    StartTls,
    /// The session is open.
    Ready(Ready),
    /// The session is of no use. Hang up.
    Failed(OpeningError),
}

/// An open session.
#[derive(Debug)]
pub struct Ready {
    /// What the server offers now.
    pub capabilities: Capabilities,
    /// Where the tags of this session go on.
    pub tags: Tags,
}

/// Why a session did not open. Each says something about the server, none about a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// The server said goodbye. With [`super::response::Code::Referral`] it wants us elsewhere.
    #[error("goodbye from the remote: {0}")]
    Bye(Status),
    /// Greeted as somebody who is logged in: no login can be tried, and STARTTLS is
    /// not allowed either, so RFC 9051 §7.1.4 has us hang up.
    #[error("the remote greets us as logged in")]
    PreAuth,
    /// A step was refused.
    #[error("{step} refused: {status}")]
    Refused {
        /// `greeting` or the command's name.
        step: &'static str,
        /// The refusal.
        status: Status,
    },
    /// TLS is required, and not offered.
    #[error("the remote does not offer STARTTLS")]
    StartTlsMissing,
    /// STARTTLS was offered and then refused. Never a reason to go on in cleartext.
    #[error("STARTTLS refused: {0}")]
    StartTlsRefused(Status),
    /// The server broke the order of the protocol, or does not speak it.
    #[error("unexpected response to {step}")]
    Unexpected {
        /// `greeting` or the command's name.
        step: &'static str,
    },
}

#[derive(Debug)]
enum State {
    Greeting,
    Capability(Tag),
    StartTls(Tag),
    Handshake,
    Over,
}

impl Opening {
    /// A dialog for a connection that was just made, over TLS if `encryption` says so.
    pub const fn new(encryption: Encryption) -> Self {
        Self {
            encryption,
            tags: Tags::new(),
            state: State::Greeting,
            capabilities: None,
            untagged: 0,
        }
    }

    /// The first step: the server speaks first.
    pub const fn start(&mut self) -> Step {
        Step::Read
    }

    /// The step after `response`.
    pub fn on_response(&mut self, response: Response) -> Step {
        match (&self.state, response) {
            (State::Greeting, Response::Untagged(Untagged::Status(status))) => self.on_greeting(status),
            (State::Capability(_) | State::StartTls(_), Response::Untagged(untagged)) => {
                self.on_untagged(untagged)
            }
            (State::Capability(ours), Response::Tagged { tag, status }) if ours.is(&tag) => {
                self.on_capability(status)
            }
            (State::StartTls(ours), Response::Tagged { tag, status }) if ours.is(&tag) => {
                self.on_starttls(status)
            }
            _ => self.unexpected(),
        }
    }

    /// The step after the handshake that [`Step::StartTls`] asked for.
    pub fn on_secured(&mut self) -> Step {
        if !matches!(self.state, State::Handshake) {
            return self.unexpected();
        }
        self.encryption = Encryption::AlreadyOn;
        self.capabilities = None;
        self.ask()
    }

    fn on_greeting(&mut self, status: Status) -> Step {
        match status.kind {
            StatusKind::Ok => match status.into_capabilities() {
                Some(capabilities) => self.decide(capabilities),
                None => self.ask(),
            },
            StatusKind::PreAuth => self.fail(OpeningError::PreAuth),
            StatusKind::Bye => self.fail(OpeningError::Bye(status)),
            StatusKind::No | StatusKind::Bad => {
                let step = self.step();
                self.fail(OpeningError::Refused { step, status })
            }
        }
    }

    fn on_untagged(&mut self, untagged: Untagged) -> Step {
        self.untagged += 1;
        if self.untagged > UNTAGGED_LIMIT {
            return self.unexpected();
        }
        match untagged {
            Untagged::Status(status) if status.kind == StatusKind::Bye => {
                return self.fail(OpeningError::Bye(status));
            }
            other => self.capabilities = other.into_capabilities().or(self.capabilities.take()),
        }
        Step::Read
    }

    fn on_capability(&mut self, status: Status) -> Step {
        if status.kind != StatusKind::Ok {
            let step = self.step();
            return self.fail(OpeningError::Refused { step, status });
        }
        match status.into_capabilities().or(self.capabilities.take()) {
            Some(capabilities) => self.decide(capabilities),
            None => self.unexpected(),
        }
    }

    fn on_starttls(&mut self, status: Status) -> Step {
        if status.kind != StatusKind::Ok {
            return self.fail(OpeningError::StartTlsRefused(status));
        }
        self.state = State::Handshake;
        Step::StartTls
    }

    fn ask(&mut self) -> Step {
        let tag = self.tags.next_tag();
        self.state = State::Capability(tag);
        Step::Send(Command::capability(tag))
    }

    fn decide(&mut self, capabilities: Capabilities) -> Step {
        if !capabilities.is_imap4() {
            return self.unexpected();
        }
        let wanted = matches!(self.encryption, Encryption::IfOffered | Encryption::Required);
        if wanted && capabilities.starttls {
            let tag = self.tags.next_tag();
            self.state = State::StartTls(tag);
            return Step::Send(Command::starttls(tag));
        }
        if self.encryption == Encryption::Required {
            return self.fail(OpeningError::StartTlsMissing);
        }
        self.state = State::Over;
        Step::Ready(Ready {
            capabilities,
            tags: mem::take(&mut self.tags),
        })
    }

    fn unexpected(&mut self) -> Step {
        let step = self.step();
        self.fail(OpeningError::Unexpected { step })
    }

    fn fail(&mut self, error: OpeningError) -> Step {
        self.state = State::Over;
        Step::Failed(error)
    }

    const fn step(&self) -> &'static str {
        match self.state {
            State::Greeting => "greeting",
            State::Capability(_) => "CAPABILITY",
            State::StartTls(_) | State::Handshake => "STARTTLS",
            State::Over => "end of the opening",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays `lines` to a dialog; says what it did, one word or line a step. The word
    /// `secured` stands for the end of a handshake.
    fn play(encryption: Encryption, lines: &[&str]) -> Vec<String> {
        let mut opening = Opening::new(encryption);
        let mut did = vec![show(&opening.start())];
        for line in lines {
            let step = match *line {
                "secured" => opening.on_secured(),
                line => opening.on_response(Response::parse(line).unwrap()),
            };
            did.push(show(&step));
        }
        did
    }

    fn show(step: &Step) -> String {
        match step {
            Step::Read => "read".into(),
            Step::Send(command) => command.to_string(),
            Step::StartTls => "handshake".into(),
            Step::Ready(ready) => format!("ready: {}", ready.capabilities),
            Step::Failed(error) => format!("failed: {error}"),
        }
    }

    /// The last step.
    fn end(encryption: Encryption, lines: &[&str]) -> String {
        play(encryption, lines).pop().unwrap()
    }

    const OFFERED: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS LOGINDISABLED] ready";

    #[test]
    fn starttls_from_greeting_to_ready() {
        for encryption in [Encryption::Required, Encryption::IfOffered] {
            let did = play(
                encryption,
                &[
                    OFFERED, "v1 OK go", "secured", "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN",
                    "v2 OK done",
                ],
            );
            let expected = [
                "read", "v1 STARTTLS", "handshake", "v2 CAPABILITY", "read",
                "ready: IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN",
            ];
            assert_eq!(did, expected);
        }
    }

    #[test]
    fn capabilities_are_asked_for_when_the_greeting_has_none() {
        let did = play(
            Encryption::Required,
            &[
                "* ok hi", "* CAPABILITY IMAP4rev2 STARTTLS", "v1 OK", "v2 OK", "secured",
            ],
        );
        assert_eq!(
            did,
            [
                "read", "v1 CAPABILITY", "read", "v2 STARTTLS", "handshake", "v3 CAPABILITY"
            ]
        );
        // In the tagged line, and in an untagged OK, they count as well.
        for lines in [
            &["* OK hi", "v1 OK [CAPABILITY IMAP4rev1 ID] done"][..],
            &["* OK hi", "* OK [CAPABILITY IMAP4rev1 ID]", "v1 OK done"],
            &[
                "* OK hi", "* CAPABILITY IMAP4", "* CAPABILITY IMAP4rev1 ID", "* OK", "v1 OK done",
            ],
        ] {
            assert_eq!(end(Encryption::Never, lines), "ready: IMAP4rev1 ID", "{lines:?}");
        }
    }

    #[test]
    fn without_starttls() {
        let greeting = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready";
        assert_eq!(
            end(Encryption::IfOffered, &[greeting]),
            "ready: IMAP4rev1 AUTH=PLAIN"
        );
        assert_eq!(
            end(Encryption::Required, &[greeting]),
            "failed: the remote does not offer STARTTLS"
        );
        for encryption in [Encryption::Never, Encryption::AlreadyOn] {
            assert_eq!(
                end(encryption, &[OFFERED]),
                "ready: IMAP4rev1 STARTTLS LOGINDISABLED SASL-IR"
            );
        }
    }

    #[test]
    fn starttls_offered_and_refused_is_never_cleartext() {
        for encryption in [Encryption::Required, Encryption::IfOffered] {
            for (line, ends) in [
                ("v1 NO not now", "failed: STARTTLS refused: NO not now"),
                ("v1 BAD what", "failed: STARTTLS refused: BAD what"),
                ("+ go on", "failed: unexpected response to STARTTLS"),
                ("v2 OK go", "failed: unexpected response to STARTTLS"),
                ("V1 OK go", "failed: unexpected response to STARTTLS"),
                ("* BYE bye", "failed: goodbye from the remote: BYE bye"),
            ] {
                assert_eq!(end(encryption, &[OFFERED, line]), ends, "{line}");
            }
        }
    }

    #[test]
    fn greetings_of_no_use() {
        for encryption in [
            Encryption::AlreadyOn,
            Encryption::IfOffered,
            Encryption::Required,
            Encryption::Never,
        ] {
            for (line, ends) in [
                ("* PREAUTH hi", "failed: the remote greets us as logged in"),
                (
                    "* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hi",
                    "failed: the remote greets us as logged in",
                ),
                ("* BYE busy", "failed: goodbye from the remote: BYE busy"),
                (
                    "* BYE [REFERRAL imap://evil.example/] over there",
                    "failed: goodbye from the remote: BYE [REFERRAL] over there",
                ),
                ("* NO no", "failed: greeting refused: NO no"),
                ("* BAD no", "failed: greeting refused: BAD no"),
                (
                    "* CAPABILITY IMAP4rev1", "failed: unexpected response to greeting",
                ),
                ("* 5 EXISTS", "failed: unexpected response to greeting"),
                ("v1 OK hi", "failed: unexpected response to greeting"),
                ("+ OK hi", "failed: unexpected response to greeting"),
            ] {
                assert_eq!(end(encryption, &[line]), ends, "{line}");
            }
        }
    }

    #[test]
    fn answers_to_capability_of_no_use() {
        for (lines, ends) in [
            (
                &["* OK", "v1 BAD unknown"][..],
                "failed: CAPABILITY refused: BAD unknown",
            ),
            (&["* OK", "v1 NO"], "failed: CAPABILITY refused: NO"),
            (&["* OK", "v1 OK"], "failed: unexpected response to CAPABILITY"),
            (&["* OK", "v7 OK"], "failed: unexpected response to CAPABILITY"),
            (&["* OK", "+ more"], "failed: unexpected response to CAPABILITY"),
            (&["* OK", "* BYE"], "failed: goodbye from the remote: BYE"),
            // Talked down to an older protocol.
            (
                &["* OK", "* CAPABILITY IMAP4 STARTTLS", "v1 OK"],
                "failed: unexpected response to CAPABILITY",
            ),
            (
                &["* OK [CAPABILITY IMAP4] hi"],
                "failed: unexpected response to greeting",
            ),
        ] {
            assert_eq!(end(Encryption::Required, lines), ends, "{lines:?}");
            assert_eq!(end(Encryption::AlreadyOn, lines), ends, "{lines:?}");
        }
    }

    #[test]
    fn before_tls_data_and_warnings_are_passed_over() {
        let did = play(
            Encryption::Required,
            &[
                "* OK hi", "* LIST () \"/\" INBOX", "* 23 EXISTS", "* OK [ALERT] your password is for sale",
                "* NO [REFERRAL imap://evil.example/] over there", "* PREAUTH [ALERT] you are in",
                "* CAPABILITY IMAP4rev1 STARTTLS", "v1 OK [ALERT] done", "* 1 FETCH (UID 1)",
                "v2 OK [REFERRAL imap://evil.example/] go",
            ],
        );
        let reads = did.iter().filter(|step| *step == "read").count();
        assert_eq!(reads, did.len() - 3, "{did:?}");
        assert_eq!(did.last().unwrap(), "handshake");
    }

    #[test]
    fn nothing_told_in_cleartext_survives_tls() {
        let before = [
            OFFERED, "* CAPABILITY IMAP4rev1 AUTH=LOGIN", "v1 OK go", "secured",
        ];
        let without = [&before[..], &["v2 OK done"]].concat();
        assert_eq!(
            end(Encryption::Required, &without),
            "failed: unexpected response to CAPABILITY"
        );
        // STARTTLS is listed again: passed over.
        let with = [&before[..], &["* CAPABILITY IMAP4rev1 STARTTLS", "v2 OK"]].concat();
        assert_eq!(end(Encryption::Required, &with), "ready: IMAP4rev1 STARTTLS");
    }

    // Fills UNTAGGED_LIMIT.
    #[test]
    fn chatter_has_an_end() {
        let mut lines = vec!["* OK"];
        lines.extend(vec!["* 1 EXISTS"; UNTAGGED_LIMIT]);
        assert_eq!(end(Encryption::Never, &lines), "read");
        lines.push("* 1 EXISTS");
        assert_eq!(
            end(Encryption::Never, &lines),
            "failed: unexpected response to CAPABILITY"
        );
    }

    #[test]
    fn calls_out_of_order_fail() {
        assert_eq!(
            end(Encryption::Required, &["secured"]),
            "failed: unexpected response to greeting"
        );
        assert_eq!(
            end(Encryption::Required, &[OFFERED, "v1 OK", "v1 OK"]),
            "failed: unexpected response to STARTTLS"
        );
        assert_eq!(
            end(Encryption::Never, &[OFFERED, "* OK"]),
            "failed: unexpected response to end of the opening"
        );
    }

    proptest! {
        /// Whatever is said: with TLS required there is no Ready without a handshake.
        #[test]
        fn required_means_required(said in prop::collection::vec(prop::sample::select(vec![
            OFFERED,
            "* OK hi",
            "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi",
            "* CAPABILITY IMAP4rev1 STARTTLS",
            "* CAPABILITY IMAP4rev1 AUTH=PLAIN",
            "v1 OK", "v1 OK [CAPABILITY IMAP4rev2]", "v2 OK", "v3 OK", "v1 NO", "v2 BAD", "+", "* BYE", "secured",
        ]), 0..12)) {
            let did = play(Encryption::Required, &said);
            let secured = did.iter().position(|step| step == "handshake");
            let ready = did.iter().position(|step| step.starts_with("ready"));
            prop_assert!(ready.is_none() || secured.is_some_and(|at| Some(at) < ready), "{:?}", did);
            prop_assert!(did.iter().filter(|step| step.starts_with('v')).count() <= 3, "{:?}", did);
        }
    }
}
