//! The opening of an IMAP session, with a server that says what it likes.

use vouch_protocol::encryption::Encryption;
use vouch_protocol::imap::capability::Capabilities;
use vouch_protocol::imap::opening::{Opening, OpeningError, Ready, Step};
use vouch_protocol::imap::response::{Response, StatusKind, Untagged};
use vouch_protocol::imap::{Codec, UNTAGGED_LIMIT};

use crate::input;
use crate::remote::{Remote, SECURED, command_line};

/// The setting for TLS that the first line names.
pub fn encryption(settings: &[u8]) -> Encryption {
    match settings.first() {
        Some(b'o') => Encryption::AlreadyOn,
        Some(b'i') => Encryption::IfOffered,
        Some(b'r') => Encryption::Required,
        _ => Encryption::Never,
    }
}

/// What the dialog has seen and done.
struct Seen {
    encryption: Encryption,
    /// The last capabilities in this phase.
    told: Option<Capabilities>,
    last: Option<Response>,
    /// The last command: its tag and its verb.
    command: Option<(String, String)>,
    secured: bool,
}

/// The setting for TLS in the first line, then what the server says.
pub fn run(input: &[u8]) {
    let (settings, said) = input::line(input);
    let mut phases = input::parts(said, SECURED).into_iter();
    let mut remote = Remote::new(Codec::default(), phases.next().unwrap_or_default());
    let mut seen = Seen {
        encryption: encryption(settings),
        told: None,
        last: None,
        command: None,
        secured: false,
    };
    let mut opening = Opening::new(seen.encryption);
    let mut step = opening.start();
    for read in 0.. {
        assert!(read <= UNTAGGED_LIMIT + 5, "reads on without an end");
        match step {
            Step::Read => {}
            Step::Send(command) => seen.send(command.wire().expose(), &command.to_string()),
            Step::StartTls => {
                seen.starttls();
                let Some(phase) = phases.next() else { return };
                remote = Remote::new(Codec::default(), phase);
                step = opening.on_secured();
                continue;
            }
            Step::Ready(ready) => {
                seen.ready(ready);
                return over(&mut opening, &mut remote);
            }
            Step::Failed(error) => {
                if let OpeningError::StartTlsRefused(_) = error {
                    assert!(seen.last_verb() == Some("STARTTLS"));
                }
                return over(&mut opening, &mut remote);
            }
        }
        let Some(response) = remote.says() else { return };
        let goodbye = matches!(
            &response,
            Response::Untagged(Untagged::Status(status)) if status.kind == StatusKind::Bye
        );
        let refused = matches!(&response, Response::Tagged { status, .. } if status.kind != StatusKind::Ok);
        seen.note(&response);
        step = opening.on_response(response);
        assert!(
            !(goodbye || refused) || matches!(step, Step::Failed(_)),
            "goes on after a refusal"
        );
    }
}

impl Seen {
    fn last_verb(&self) -> Option<&str> {
        self.command.as_ref().map(|(_, verb)| verb.as_str())
    }

    fn note(&mut self, response: &Response) {
        let told = match response.clone() {
            Response::Untagged(untagged) => untagged.into_capabilities(),
            Response::Tagged { status, .. } => status.into_capabilities(),
            Response::Continuation(_) => None,
        };
        self.told = told.or(self.told.take());
        self.last = Some(response.clone());
    }

    /// Nothing but these two, each under a tag of its own.
    fn send(&mut self, wire: &[u8], shown: &str) {
        let line = input::text(command_line(wire));
        assert_eq!(line, shown);
        let Some((tag, verb)) = line.split_once(' ') else {
            panic!("no command: {line}");
        };
        assert!(matches!(verb, "CAPABILITY" | "STARTTLS"), "{line}");
        let number = |tag: &str| {
            tag.strip_prefix('v')
                .and_then(|number| number.parse::<u64>().ok())
        };
        let before = self.command.as_ref().map_or(Some(0), |(tag, _)| number(tag));
        assert!(number(tag) > before, "{tag} again");
        if verb == "STARTTLS" {
            assert!(
                self.told.as_ref().is_some_and(|told| told.starttls),
                "not offered"
            );
            assert!(self.wants_tls(), "not wanted");
        }
        self.command = Some((tag.to_owned(), verb.to_owned()));
    }

    fn wants_tls(&self) -> bool {
        !self.secured && matches!(self.encryption, Encryption::IfOffered | Encryption::Required)
    }

    /// Our last command was told to be done, under its tag.
    fn was_done(&self) -> bool {
        match (&self.last, &self.command) {
            (Some(Response::Tagged { tag, status }), Some((ours, _))) => {
                tag == ours && status.kind == StatusKind::Ok
            }
            // A greeting that has it all.
            (Some(Response::Untagged(Untagged::Status(status))), None) => status.kind == StatusKind::Ok,
            _ => false,
        }
    }

    fn starttls(&mut self) {
        assert!(self.wants_tls() && self.was_done() && self.last_verb() == Some("STARTTLS"));
        self.secured = true;
        self.told = None;
        self.last = None;
    }

    /// TLS where it is wanted, and the capabilities that were told last, since.
    fn ready(&self, mut ready: Ready) {
        assert!(self.was_done());
        assert!(
            self.secured || self.encryption != Encryption::Required,
            "cleartext"
        );
        assert!(
            !(self.wants_tls() && ready.capabilities.starttls),
            "cleartext although TLS is offered"
        );
        assert!(ready.capabilities.is_imap4());
        assert_eq!(Some(&ready.capabilities), self.told.as_ref());
        let next = ready.tags.next_tag().to_string();
        assert!(
            self.command.as_ref().is_none_or(|(tag, _)| *tag != next),
            "{next} again"
        );
    }
}

/// Nothing that comes later opens it.
fn over(opening: &mut Opening, remote: &mut Remote<Codec>) {
    while let Some(response) = remote.says() {
        assert!(matches!(opening.on_response(response), Step::Failed(_)));
    }
    assert!(matches!(opening.on_secured(), Step::Failed(_)));
}
