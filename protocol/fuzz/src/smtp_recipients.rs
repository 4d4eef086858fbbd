//! The recipients of one session, with a server that says what it likes.

use std::collections::VecDeque;

use vouch_protocol::smtp::recipients::{Answer, Lost, Recipients};
use vouch_protocol::smtp::{Capabilities, Codec, Command, Reply};

use crate::input;
use crate::remote::Remote;

/// What the session has come to, by RFC 5321.
#[derive(Default)]
struct Session {
    /// The domain of the open transaction, and whether it is one with SMTPUTF8.
    open: Option<(Vec<u8>, bool)>,
    /// Commands without a reply.
    unanswered: VecDeque<Asked>,
    /// The refusal of MAIL.
    refused: Option<Reply>,
}

enum Asked {
    Rset,
    Mail,
    Recipient,
}

/// In the first lines: settings (`8`: SMTPUTF8 is offered; `q`: IGNOREQUOTA; `o`: one by one) and the
/// sender. Then the questions, one a line: `!` for a new transaction, recipients between commas. Then a
/// line `--`, and what the server says.
pub fn run(input: &[u8]) {
    let ([settings, sender], rest) = input::lines(input);
    let mut parts = input::parts(rest, b"--").into_iter();
    let questions = parts.next().unwrap_or_default();
    let capabilities = Capabilities {
        smtputf8: input::has(settings, b'8'),
        ignore_quota: input::has(settings, b'q'),
        ..Capabilities::default()
    };
    let mut remote = Remote::new(Codec::default(), parts.next().unwrap_or_default());
    let mut recipients = Recipients::new(&capabilities, sender.to_vec());
    let mut session = Session::default();
    for question in questions
        .split(|&byte| byte == b'\n')
        .filter(|question| !question.is_empty())
    {
        let anew = question.starts_with(b"!");
        let question = question.strip_prefix(b"!").unwrap_or(question);
        let domain = question.rsplit(|&byte| byte == b'@').next().unwrap_or_default();
        // The recipients of one question are of one domain.
        let asked: Vec<_> = question
            .split(|&byte| byte == b',')
            .filter(|to| to.rsplit(|&byte| byte == b'@').next() == Some(domain))
            .map(<[u8]>::to_vec)
            .collect();
        if asked.is_empty() {
            continue;
        }
        let ascii = sender.is_ascii() && asked.iter().all(|to| to.is_ascii());
        let commands = match recipients.ask(asked.clone(), false, anew) {
            Ok(commands) => commands,
            Err(Answer::SenderRefused(reply)) => {
                assert_eq!(Some(reply), session.refused);
                continue;
            }
            Err(answer) => {
                assert!(answer == Answer::Utf8Unsupported && !ascii && !capabilities.smtputf8);
                continue;
            }
        };
        assert!(session.refused.is_none(), "asks on after a refusal");
        assert!(ascii || capabilities.smtputf8);
        let mut told = Vec::new();
        for (at, command) in commands.iter().enumerate() {
            told.extend(session.send(command, domain, anew && at == 0));
            if input::has(settings, b'o') && !session.hear(&mut recipients, &mut remote) {
                return;
            }
        }
        assert_eq!(told, asked);
        assert!(ascii || session.open.as_ref().is_some_and(|(_, utf8)| *utf8));
        while !session.unanswered.is_empty() {
            if !session.hear(&mut recipients, &mut remote) {
                return;
            }
        }
    }
    while let Some(reply) = remote.says() {
        assert_eq!(recipients.on_reply(reply), Err(Lost::OutOfTurn));
    }
}

impl Session {
    /// A command in its place: no RCPT without MAIL, no MAIL in a transaction, one domain in each. The
    /// recipient, where it asks for one.
    fn send(&mut self, command: &Command, domain: &[u8], anew: bool) -> Option<Vec<u8>> {
        assert!(
            !anew || self.open.is_none() || matches!(command, Command::Rset),
            "not anew"
        );
        let asked = match command {
            Command::Rset => {
                assert!(self.open.take().is_some(), "RSET of nothing");
                None
            }
            Command::Mail { smtputf8, .. } => {
                assert!(self.open.is_none(), "MAIL in a transaction");
                self.open = Some((domain.to_vec(), *smtputf8));
                None
            }
            Command::Rcpt { to, .. } => {
                assert!(
                    self.open.as_ref().is_some_and(|(open, _)| open == domain),
                    "no MAIL for it"
                );
                Some(to.clone())
            }
            other => panic!("{other} in a transaction"),
        };
        self.unanswered.push_back(match command {
            Command::Rset => Asked::Rset,
            Command::Mail { .. } => Asked::Mail,
            _ => Asked::Recipient,
        });
        asked
    }

    /// One reply: an answer to a recipient is the very reply that stands in its place.
    fn hear(&mut self, dialog: &mut Recipients, remote: &mut Remote<Codec>) -> bool {
        let Some(reply) = remote.says() else {
            return false;
        };
        let answer = dialog.on_reply(reply.clone());
        let expected = match self.unanswered.pop_front() {
            Some(Asked::Rset) if !reply.is_positive() => Err(Lost::NoReset(reply)),
            Some(Asked::Rset | Asked::Mail) => {
                if !reply.is_positive() {
                    self.refused.get_or_insert(reply);
                }
                Ok(None)
            }
            Some(Asked::Recipient) => Ok(Some(match &self.refused {
                Some(refusal) => Answer::SenderRefused(refusal.clone()),
                // The reply may name another recipient.
                None if answer == Err(Lost::OutOfTurn) => return false,
                None => Answer::Recipient(reply),
            })),
            None => Err(Lost::OutOfTurn),
        };
        assert_eq!(answer, expected);
        assert_eq!(dialog.refused(), self.refused.as_ref());
        answer.is_ok()
    }
}
