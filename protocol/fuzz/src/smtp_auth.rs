//! A login by SMTP, with a server that says what it likes.

use vouch_protocol::sasl::{Mechanism, Mechanisms, base64_decode};
use vouch_protocol::secret::Secret;
use vouch_protocol::smtp::auth::{Auth, Outcome, Step};
use vouch_protocol::smtp::{Capabilities, Codec, Reply};

use crate::input;
use crate::remote::Remote;
use crate::smtp_opening::wire;

/// Longest command line, CRLF included.
const COMMAND: usize = 512;

/// What the server was sent.
#[derive(Default)]
struct Told {
    last: Option<Reply>,
    /// The mechanism of the command that is under way.
    mechanism: Option<Mechanism>,
    /// Answers that were sent since.
    answers: usize,
    user: bool,
    password: bool,
    /// Commands that carried the password.
    passwords: usize,
    cancelled: bool,
}

/// In the first lines: settings (`p`, `l`: offered; `P`, `L`: that mechanism alone), the user and the
/// password. Then what the server says.
pub fn run(input: &[u8]) {
    let ([settings, user, password], said) = input::lines(input);
    let auth = Mechanisms {
        plain: input::has(settings, b'p'),
        login: input::has(settings, b'l'),
        other: vec![],
    };
    let only = [(b'P', Mechanism::Plain), (b'L', Mechanism::Login)];
    let only = only
        .iter()
        .find(|(letter, _)| input::has(settings, *letter))
        .map(|(_, only)| *only);
    let offered = Capabilities {
        auth,
        ..Capabilities::default()
    };
    // The caller refuses these.
    if password.is_empty() || [user, password].concat().contains(&0) {
        return;
    }
    let Ok(mut auth) = Auth::new(&offered, only, user, &Secret::copy_from(password)) else {
        let usable = |one| offered.auth.offers(one) && only.is_none_or(|only| only == one);
        return assert!(!usable(Mechanism::Plain) && !usable(Mechanism::Login));
    };
    let mut remote = Remote::new(Codec::default(), said);
    let mut told = Told::default();
    let mut step = auth.start();
    for read in 0.. {
        assert!(read <= 8, "reads on without an end");
        match step {
            Step::Send(command) => {
                let line = wire(&command);
                let shown = command.to_string();
                let masked = ["AUTH PLAIN", "AUTH PLAIN [secret]", "AUTH LOGIN", "[secret]", "*"];
                assert!(masked.contains(&&*shown), "{shown}");
                if let Some(mechanism) = told.send(&line, user, password) {
                    assert!(offered.auth.offers(mechanism) && only.is_none_or(|only| only == mechanism));
                }
                assert!(told.answers > 0 || line.len() + 2 <= COMMAND);
                assert_eq!(auth.has_said_password(), told.passwords > 0);
            }
            Step::Done(outcome) => {
                told.ended(&outcome);
                break;
            }
        }
        let Some(reply) = remote.says() else { return };
        told.last = Some(reply.clone());
        step = auth.on_reply(reply);
    }
    while let Some(reply) = remote.says() {
        assert!(matches!(auth.on_reply(reply), Step::Done(Outcome::Surprise(_))));
    }
}

impl Told {
    /// Reads a line as a server does; the mechanism, where it begins one.
    fn send(&mut self, line: &[u8], user: &[u8], password: &[u8]) -> Option<Mechanism> {
        let code = self.last.as_ref().map(Reply::code);
        let plain = [b"\0", user, b"\0", password].concat();
        let is = |data: &[u8], what: &[u8]| base64_decode(data).is_ok_and(|found| found.expose() == what);
        if let Some(rest) = line.strip_prefix(b"AUTH ") {
            assert_ne!(code, Some(334), "a command in an exchange");
            self.answers = 0;
            self.mechanism = Some(if rest == b"LOGIN" {
                Mechanism::Login
            } else {
                Mechanism::Plain
            });
            let initial = rest.strip_prefix(b"PLAIN ");
            assert!(initial.is_some() || rest == b"LOGIN" || rest == b"PLAIN");
            if let Some(initial) = initial {
                assert!(is(initial, &plain) && !self.password);
                self.heard(true, true);
            } else {
                assert!(!self.password, "tried again");
                self.user = false;
            }
            return self.mechanism;
        }
        assert_eq!(code, Some(334), "an answer to nothing");
        if line == b"*" {
            self.cancelled = true;
            return None;
        }
        self.answers += 1;
        match (self.mechanism, self.answers) {
            (Some(Mechanism::Plain), 1) => {
                assert!(is(line, &plain));
                self.heard(true, true);
            }
            (Some(Mechanism::Login), 1) => {
                assert!(is(line, user));
                self.heard(true, false);
            }
            (Some(Mechanism::Login), 2) => {
                assert!(is(line, password));
                self.heard(true, true);
            }
            (mechanism, answers) => panic!("answer {answers} of {mechanism:?}"),
        }
        None
    }

    fn heard(&mut self, user: bool, password: bool) {
        self.user = user;
        self.passwords += usize::from(password && !self.password);
        self.password = password;
    }

    /// A yes is 235 to the password; a no is about a user who was named.
    fn ended(&self, outcome: &Outcome) {
        assert!(self.passwords <= 1);
        let reply = match outcome {
            Outcome::Reply(reply) => {
                assert!(self.user && !self.cancelled);
                Some(reply)
            }
            Outcome::Unsupported(_) => {
                assert!(!self.user && !self.password);
                None
            }
            Outcome::Early(reply) => {
                assert!(!self.user && !reply.is_positive());
                None
            }
            Outcome::Surprise(_) => None,
        };
        assert!(reply.is_none_or(|reply| Some(reply) == self.last.as_ref()));
        let code = reply.map(Reply::code);
        assert!(
            self.password || code.is_none_or(|code| code / 100 != 2),
            "a yes to nothing"
        );
    }
}
