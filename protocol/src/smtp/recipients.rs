//! The dialog of the mail transaction in which recipients are asked for: MAIL
//! once, then one RCPT after another. It never goes on to DATA.

use super::{Capabilities, Command, Reply};

/// The transaction on one session, from question to question. Ask with
/// [`ask`](Self::ask), then do as each [`Step`] says until the answer.
///
/// How many questions a session bears, and which domains may meet in it, is for
/// its owner to count.
#[derive(Debug)]
pub struct Recipients {
    mail_from: Vec<u8>,
    smtputf8: bool,
    ignore_quota: bool,
    transaction: Transaction,
    state: State,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this, then read one reply and hand it to [`Recipients::on_reply`].
    Send(Command),
    /// The question is answered, or cannot be.
    Answer(Answer),
}

/// What became of a question. Only [`Recipient`](Answer::Recipient) may be about
/// the mailbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply to RCPT.
    Recipient(Reply),
    /// The reply to MAIL or RSET, which kept us from asking: it is about us. The
    /// session is not to be used any more.
    SenderRefused(Reply),
    /// An address is not ASCII and the remote does not offer SMTPUTF8. Nothing was
    /// sent; the session is as good as before.
    Utf8Unsupported,
    /// A question before the last one was answered, or a reply that nothing waits
    /// for: replies could no longer be told apart. The session is not to be used
    /// any more.
    OutOfTurn,
}

#[derive(Debug, Clone, Copy)]
enum Transaction {
    None,
    Open { smtputf8: bool },
}

/// Whose reply comes next. A transaction that has to be opened first keeps the
/// recipient until then.
#[derive(Debug)]
enum State {
    Idle,
    Rset { to: Vec<u8> },
    Mail { to: Vec<u8>, smtputf8: bool },
    Rcpt,
    Lost,
}

impl Recipients {
    /// On a session that was just opened, with a sender in wire form, without
    /// `<>`; empty is the null sender.
    pub fn new(capabilities: &Capabilities, mail_from: Vec<u8>) -> Self {
        Self {
            mail_from,
            smtputf8: capabilities.smtputf8,
            ignore_quota: capabilities.ignore_quota,
            transaction: Transaction::None,
            state: State::Idle,
        }
    }

    /// Asks for one recipient, in wire form, without `<>`. `needs_utf8` where the
    /// address needs SMTPUTF8 (RFC 6531 §3.4); bytes that are not ASCII need it
    /// whatever the caller says.
    pub fn ask(&mut self, to: Vec<u8>, needs_utf8: bool) -> Step {
        if !matches!(self.state, State::Idle) {
            return self.lost();
        }
        let needs_utf8 = needs_utf8 || !to.is_ascii() || !self.mail_from.is_ascii();
        if needs_utf8 && !self.smtputf8 {
            return Step::Answer(Answer::Utf8Unsupported);
        }
        match self.transaction {
            Transaction::None => self.mail(to, needs_utf8),
            Transaction::Open { smtputf8: false } if needs_utf8 => {
                self.state = State::Rset { to };
                Step::Send(Command::Rset)
            }
            Transaction::Open { .. } => self.rcpt(to),
        }
    }

    /// The next step after a reply was read.
    pub fn on_reply(&mut self, reply: Reply) -> Step {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Rset { to } if reply.is_positive() => {
                self.transaction = Transaction::None;
                self.mail(to, true)
            }
            State::Mail { to, smtputf8 } if reply.is_positive() => {
                self.transaction = Transaction::Open { smtputf8 };
                self.rcpt(to)
            }
            State::Rset { .. } | State::Mail { .. } => Step::Answer(Answer::SenderRefused(reply)),
            State::Rcpt => {
                self.state = State::Idle;
                Step::Answer(Answer::Recipient(reply))
            }
            State::Idle | State::Lost => self.lost(),
        }
    }

    fn mail(&mut self, to: Vec<u8>, smtputf8: bool) -> Step {
        self.state = State::Mail { to, smtputf8 };
        Step::Send(Command::Mail {
            from: self.mail_from.clone(),
            smtputf8,
        })
    }

    fn rcpt(&mut self, to: Vec<u8>) -> Step {
        self.state = State::Rcpt;
        Step::Send(Command::Rcpt {
            to,
            ignore_quota: self.ignore_quota,
        })
    }

    fn lost(&mut self) -> Step {
        self.state = State::Lost;
        Step::Answer(Answer::OutOfTurn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(smtputf8: bool, ignore_quota: bool) -> Recipients {
        let capabilities = Capabilities {
            smtputf8,
            ignore_quota,
            ..Capabilities::default()
        };
        Recipients::new(&capabilities, Vec::new())
    }

    fn shown(step: &Step) -> String {
        match step {
            Step::Send(command) => command.to_string(),
            Step::Answer(Answer::Recipient(reply)) => format!("recipient {reply}"),
            Step::Answer(Answer::SenderRefused(reply)) => format!("sender refused {reply}"),
            Step::Answer(Answer::Utf8Unsupported) => "utf8 unsupported".into(),
            Step::Answer(Answer::OutOfTurn) => "out of turn".into(),
        }
    }

    /// One question with the replies to it: what we say, the answer last.
    fn ask(dialog: &mut Recipients, to: &str, remote: &[&str]) -> Vec<String> {
        let mut steps = vec![shown(&dialog.ask(to.as_bytes().to_vec(), !to.is_ascii()))];
        steps.extend(
            remote
                .iter()
                .map(|reply| shown(&dialog.on_reply(Reply::parse(reply).unwrap()))),
        );
        steps
    }

    #[test]
    fn many_recipients_share_a_transaction() {
        let mut dialog = offering(false, true);
        assert_eq!(
            ask(&mut dialog, "jane@example.org", &["250 2.1.0 ok", "250 2.1.5 ok"]),
            [
                "MAIL FROM:<>", "RCPT TO:<jane@example.org> IGNOREQUOTA", "recipient 250 2.1.5 ok"
            ]
        );
        assert_eq!(
            ask(
                &mut dialog,
                "nosuch@example.org",
                &["550-Mailbox unknown.\r\n550 5.1.1 User unknown"]
            ),
            [
                "RCPT TO:<nosuch@example.org> IGNOREQUOTA",
                "recipient 550 Mailbox unknown. 5.1.1 User unknown"
            ]
        );
        for reply in ["451 4.3.0 busy", "252 maybe", "421 bye", "503 what", "354 x"] {
            assert_eq!(
                ask(&mut dialog, "busy@example.org", &[reply])[1],
                format!("recipient {reply}")
            );
        }
    }

    #[test]
    fn without_the_extension_the_quota_is_not_mentioned() {
        let steps = ask(
            &mut offering(true, false),
            "jane@example.org",
            &["250 ok", "250 ok"],
        );
        assert_eq!(steps[..2], ["MAIL FROM:<>", "RCPT TO:<jane@example.org>"]);
    }

    #[test]
    fn the_sender_is_as_configured() {
        let mut dialog = Recipients::new(&Capabilities::default(), b"probe@example.net".to_vec());
        assert_eq!(
            ask(&mut dialog, "a@b.example", &[])[0],
            "MAIL FROM:<probe@example.net>"
        );
        let mut dialog = Recipients::new(&Capabilities::default(), "prüfer@example.net".into());
        assert_eq!(ask(&mut dialog, "a@b.example", &[]), ["utf8 unsupported"]);
    }

    #[test]
    fn a_refused_sender_is_no_answer_about_the_recipient() {
        for reply in [
            "553 5.7.1 no", "550 5.1.1 User unknown", "451 later", "421 bye", "354 x", "530 auth",
        ] {
            let mut dialog = offering(true, true);
            let steps = ask(&mut dialog, "jane@example.org", &[reply]);
            assert_eq!(steps, ["MAIL FROM:<>", &format!("sender refused {reply}")]);
            assert_eq!(
                ask(&mut dialog, "joe@example.org", &["250 ok"]),
                ["out of turn", "out of turn"]
            );
        }
    }

    #[test]
    fn utf8_opens_a_transaction_of_its_own() {
        let mut dialog = offering(true, false);
        assert_eq!(
            ask(&mut dialog, "jane@example.org", &["250 ok", "250 ok"]).len(),
            3
        );
        assert_eq!(
            ask(
                &mut dialog,
                "jürgen@example.org",
                &["250 ok", "250 ok", "550 5.1.1 no"]
            ),
            [
                "RSET", "MAIL FROM:<> SMTPUTF8", "RCPT TO:<jürgen@example.org>", "recipient 550 5.1.1 no"
            ]
        );
        // It serves the others too.
        assert_eq!(
            ask(&mut dialog, "joe@example.org", &["250 ok"]),
            ["RCPT TO:<joe@example.org>", "recipient 250 ok"]
        );
        assert_eq!(
            ask(&mut dialog, "zoë@example.org", &["250 ok"])[0],
            "RCPT TO:<zoë@example.org>"
        );
    }

    #[test]
    fn utf8_at_once_needs_no_rset() {
        let mut dialog = offering(true, false);
        assert_eq!(
            ask(&mut dialog, "zoë@example.org", &["250 ok"])[0],
            "MAIL FROM:<> SMTPUTF8"
        );
        let step = offering(true, false).ask(b"said@example.org".to_vec(), true);
        assert_eq!(shown(&step), "MAIL FROM:<> SMTPUTF8");
    }

    #[test]
    fn utf8_not_offered_costs_nothing() {
        let mut dialog = offering(false, false);
        assert_eq!(ask(&mut dialog, "zoë@example.org", &[]), ["utf8 unsupported"]);
        assert_eq!(
            ask(&mut dialog, "jane@example.org", &["250 ok", "250 ok"])[2],
            "recipient 250 ok"
        );
        let unsaid = dialog.ask("zoë@example.org".into(), false);
        assert_eq!(shown(&unsaid), "utf8 unsupported");
        assert_eq!(
            ask(&mut dialog, "joe@example.org", &["250 ok"])[1],
            "recipient 250 ok"
        );
    }

    #[test]
    fn a_refused_rset_or_second_mail_is_no_answer_either() {
        for replies in [&["550 5.1.1 no"][..], &["250 ok", "550 5.1.1 no"]] {
            let mut dialog = offering(true, false);
            ask(&mut dialog, "jane@example.org", &["250 ok", "250 ok"]);
            let steps = ask(&mut dialog, "zoë@example.org", replies);
            assert_eq!(steps.last().unwrap(), "sender refused 550 5.1.1 no");
        }
    }

    #[test]
    fn out_of_turn_nothing_is_taken_for_an_answer() {
        let mut early = offering(false, false);
        assert_eq!(shown(&early.on_reply(Reply::new(250, ["ok"]))), "out of turn");
        assert_eq!(ask(&mut early, "jane@example.org", &[]), ["out of turn"]);

        let mut twice = offering(false, false);
        ask(&mut twice, "jane@example.org", &["250 ok"]);
        assert_eq!(
            ask(&mut twice, "joe@example.org", &["250 ok", "550 5.1.1 no"]),
            ["out of turn"; 3]
        );
    }
}
