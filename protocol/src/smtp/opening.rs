//! The dialog from the first byte to a session that can be asked: greeting,
//! EHLO or LHLO, STARTTLS, and EHLO once more.

use super::{Capabilities, Command, Protocol, Reply};
use crate::encryption::Encryption;

/// What an opening has to know beforehand.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides between `EHLO` and `LHLO`.
    pub protocol: Protocol,
    /// Our name: a domain or an address literal.
    pub name: String,
    /// What to do about STARTTLS.
    pub encryption: Encryption,
}

/// The dialog. Begin with [`start`](Self::start), then do as each [`Step`] says.
#[derive(Debug)]
pub struct Opening {
    settings: Settings,
    state: State,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Read one reply, and hand it to [`Opening::on_reply`].
    Read,
    /// Send this alone, then read one reply.
    Send(Command),
    /// Turn TLS on, then call [`Opening::on_secured`]. Bytes that are in the receive
    /// buffer at this point were put there by somebody who is not inside the TLS
    /// session: they end the connection.
    StartTls,
    /// The session can be used.
    Ready(Capabilities),
    /// It cannot: close the connection.
    Failed(OpeningError),
}

/// Why a session could not be opened. None of it says anything about a user or a
/// mailbox.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// The reply to this step was not the one that lets us go on.
    #[error("{step} refused: {reply}")]
    Refused {
        /// `greeting`, `EHLO`, `LHLO`, or what a reply came in place of.
        step: &'static str,
        /// What the remote said.
        reply: Reply,
    },
    /// TLS is required and STARTTLS is not offered.
    #[error("STARTTLS is not offered")]
    StartTlsMissing,
    /// STARTTLS was offered and then refused. Cleartext is no way out even where it
    /// would have done without the offer: this is what an attacker arranges.
    #[error("STARTTLS refused: {0}")]
    StartTlsRefused(Reply),
}

#[derive(Debug, Clone, Copy)]
enum State {
    Greeting,
    Hello,
    StartTls,
    Handshake,
    Over,
}

impl Opening {
    /// A dialog on a connection that was just made; where
    /// [`Encryption::AlreadyOn`], with TLS up.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Greeting,
        }
    }

    /// The first step: the remote speaks first.
    pub fn start(&mut self) -> Step {
        self.state = State::Greeting;
        Step::Read
    }

    /// The next step after a reply was read.
    pub fn on_reply(&mut self, reply: Reply) -> Step {
        match (self.state, reply.code()) {
            (State::Greeting, 220) => self.hello(),
            (State::Greeting, _) => self.refused("greeting", reply),
            (State::Hello, 250) => self.after_hello(Capabilities::from_reply(&reply)),
            // No HELO in its place: it knows neither STARTTLS nor AUTH, which is what an attacker wants.
            (State::Hello, _) => self.refused(self.hello_verb(), reply),
            (State::StartTls, 220) => {
                self.state = State::Handshake;
                Step::StartTls
            }
            (State::StartTls, _) => self.failed(OpeningError::StartTlsRefused(reply)),
            (State::Handshake, _) => self.refused("TLS handshake", reply),
            (State::Over, _) => self.refused("silence", reply),
        }
    }

    /// The next step after the TLS handshake. Whatever the remote said before it
    /// is forgotten (RFC 3207 §4.2).
    pub fn on_secured(&mut self) -> Step {
        self.settings.encryption = Encryption::AlreadyOn;
        self.hello()
    }

    fn hello(&mut self) -> Step {
        self.state = State::Hello;
        let name = self.settings.name.clone();
        Step::Send(match self.settings.protocol {
            Protocol::Smtp => Command::Ehlo(name),
            Protocol::Lmtp => Command::Lhlo(name),
        })
    }

    fn hello_verb(&self) -> &'static str {
        match self.settings.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        }
    }

    fn after_hello(&mut self, capabilities: Capabilities) -> Step {
        match (self.settings.encryption, capabilities.starttls) {
            (Encryption::IfOffered | Encryption::Required, true) => {
                self.state = State::StartTls;
                Step::Send(Command::StartTls)
            }
            (Encryption::Required, false) => self.failed(OpeningError::StartTlsMissing),
            (Encryption::AlreadyOn | Encryption::Never, _) | (Encryption::IfOffered, false) => {
                self.state = State::Over;
                Step::Ready(capabilities)
            }
        }
    }

    fn refused(&mut self, step: &'static str, reply: Reply) -> Step {
        self.failed(OpeningError::Refused { step, reply })
    }

    fn failed(&mut self, error: OpeningError) -> Step {
        self.state = State::Over;
        Step::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(step: &Step) -> String {
        match step {
            Step::Read => "read".into(),
            Step::Send(command) => command.to_string(),
            Step::StartTls => "tls".into(),
            Step::Ready(capabilities) => format!("ready pipelining={}", capabilities.pipelining),
            Step::Failed(error) => format!("failed {error}"),
        }
    }

    /// Plays `remote`, a list of replies where `tls` is a handshake; every step but the first.
    fn play_as(protocol: Protocol, encryption: Encryption, remote: &[&str]) -> Vec<String> {
        let name = "vouch.example.net".into();
        let mut opening = Opening::new(Settings {
            protocol,
            name,
            encryption,
        });
        assert!(matches!(opening.start(), Step::Read));
        let next = |said: &&str| match *said {
            "tls" => shown(&opening.on_secured()),
            reply => shown(&opening.on_reply(Reply::parse(reply).unwrap())),
        };
        remote.iter().map(next).collect()
    }

    fn play(encryption: Encryption, remote: &[&str]) -> Vec<String> {
        play_as(Protocol::Smtp, encryption, remote)
    }

    const EHLO: &str = "EHLO vouch.example.net";
    const OFFER: &str = "250-mx.example.org\r\n250-PIPELINING\r\n250 STARTTLS";
    const NO_OFFER: &str = "250-mx.example.org\r\n250 PIPELINING";
    const BARE: &str = "250 mx.example.org";

    #[test]
    fn without_starttls() {
        for (encryption, hello) in [
            (Encryption::Never, OFFER),
            (Encryption::AlreadyOn, OFFER),
            (Encryption::Never, NO_OFFER),
            (Encryption::AlreadyOn, NO_OFFER),
            (Encryption::IfOffered, NO_OFFER),
        ] {
            let steps = play(encryption, &["220-mx\r\n220 ESMTP", hello]);
            assert_eq!(steps, [EHLO, "ready pipelining=true"], "{encryption:?}");
        }
    }

    #[test]
    fn with_starttls_everything_is_asked_again() {
        for encryption in [Encryption::IfOffered, Encryption::Required] {
            let steps = play(encryption, &["220 mx", OFFER, "220 2.0.0 go", "tls", BARE]);
            assert_eq!(steps, [EHLO, "STARTTLS", "tls", EHLO, "ready pipelining=false"]);
        }
    }

    #[test]
    fn starttls_after_tls_is_passed_over() {
        let steps = play(Encryption::Required, &["220 mx", OFFER, "220 go", "tls", OFFER]);
        assert_eq!(steps.last().unwrap(), "ready pipelining=true");
    }

    #[test]
    fn lmtp_says_lhlo() {
        let steps = play_as(Protocol::Lmtp, Encryption::IfOffered, &["220 mbox LMTP", BARE]);
        assert_eq!(steps, ["LHLO vouch.example.net", "ready pipelining=false"]);
        let steps = play_as(
            Protocol::Lmtp,
            Encryption::Never,
            &["220 mbox LMTP", "500 5.5.1 what"],
        );
        assert_eq!(steps[1], "failed LHLO refused: 500 5.5.1 what");
    }

    #[test]
    fn only_220_greets() {
        for greeting in [
            "421 4.3.2 busy", "554 5.7.1 go away", "250 ok", "200 ok", "354 go", "100 x",
        ] {
            let steps = play(Encryption::Never, &[greeting]);
            assert_eq!(steps, [format!("failed greeting refused: {greeting}")]);
        }
    }

    #[test]
    fn a_refused_ehlo_is_not_followed_by_helo() {
        for reply in [
            "502 5.5.1 no", "500 what", "421 4.3.2 bye", "550 no", "220 mx", "251 mx", "354 x",
        ] {
            let steps = play(Encryption::IfOffered, &["220 mx", reply]);
            assert_eq!(steps, [EHLO, &format!("failed EHLO refused: {reply}")]);
        }
        let steps = play(
            Encryption::Required,
            &["220 mx", OFFER, "220 go", "tls", "550 no"],
        );
        assert_eq!(steps.last().unwrap(), "failed EHLO refused: 550 no");
    }

    #[test]
    fn required_and_missing() {
        let steps = play(Encryption::Required, &["220 mx", NO_OFFER]);
        assert_eq!(steps, [EHLO, "failed STARTTLS is not offered"]);
    }

    #[test]
    fn an_offer_taken_back_is_never_followed_by_cleartext() {
        for encryption in [Encryption::IfOffered, Encryption::Required] {
            for reply in [
                "454 4.7.0 later", "502 no", "354 x", "250 ok", "221 bye", "501 no", "421 bye",
            ] {
                let steps = play(encryption, &["220 mx", OFFER, reply]);
                assert_eq!(steps[2], format!("failed STARTTLS refused: {reply}"));
            }
        }
    }

    #[test]
    fn replies_out_of_turn_end_it() {
        let steps = play(Encryption::Required, &["220 mx", OFFER, "220 go", "250 injected"]);
        assert_eq!(steps[3], "failed TLS handshake refused: 250 injected");
        let steps = play(Encryption::Never, &["220 mx", BARE, "421 bye", "250 ok"]);
        assert_eq!(
            steps[2..],
            [
                "failed silence refused: 421 bye", "failed silence refused: 250 ok"
            ]
        );
    }
}
