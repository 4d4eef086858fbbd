//! The dialog of the mail transaction in which recipients are asked for: MAIL
//! once, then RCPT after RCPT. It never goes on to DATA.
//!
//! Several recipients may leave as one group of commands where the remote offers
//! PIPELINING (RFC 2920 §3.1). Replies carry no name, so they are matched with
//! commands by their order alone.

use std::collections::VecDeque;

use super::named::Named;
use super::{Capabilities, Command, Reply};

/// The transaction on one session, from question to question.
#[derive(Debug)]
pub struct Recipients {
    mail_from: Vec<u8>,
    offers_utf8: bool,
    ignore_quota: bool,
    transaction: Option<Transaction>,
    /// Whose replies come next.
    expected: VecDeque<Expected>,
    /// Why no recipient can be asked for any more: the reply to MAIL.
    refused: Option<Reply>,
    /// The recipients that this session was asked about.
    named: Named,
}

/// What became of a question. Only [`Recipient`](Answer::Recipient) may be about
/// the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The reply to RCPT.
    Recipient(Reply),
    /// The reply to MAIL, which kept us from asking: it is about us. The session is
    /// not to be used any more.
    SenderRefused(Reply),
    /// An address is not ASCII and the remote does not offer SMTPUTF8. Nothing was
    /// sent; the session is as good as before.
    Utf8Unsupported,
}

/// Why a session has no more answers. Nothing of it is about a recipient: they are to be asked
/// for on another session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// A reply that nothing waits for, or one to another recipient: from here on replies
    /// cannot be matched, and before it some may have been taken for others.
    OutOfTurn,
    /// The reply to RSET: the remote does not let another transaction begin.
    NoReset(Reply),
}

/// An open transaction and what it bears.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Transaction {
    smtputf8: bool,
    /// The domain of its recipients: some remotes refuse to hear of another
    /// (Gmail, `451 4.3.0 Multiple destination domains per transaction`).
    domain: Vec<u8>,
}

#[derive(Debug)]
enum Expected {
    Rset,
    Mail,
    /// For whom, in wire form.
    Rcpt(Vec<u8>),
}

impl Recipients {
    /// On a session that was just opened, with a sender in wire form, without
    /// `<>`; empty is the null sender.
    pub fn new(capabilities: &Capabilities, mail_from: Vec<u8>) -> Self {
        Self {
            mail_from,
            offers_utf8: capabilities.smtputf8,
            ignore_quota: capabilities.ignore_quota,
            transaction: None,
            expected: VecDeque::new(),
            refused: None,
            named: Named::default(),
        }
    }

    /// The commands that ask for recipients in wire form, without `<>`. Each
    /// command gets one reply, to be handed to [`on_reply`](Self::on_reply); they
    /// may be sent as one group, or each after the reply to the one before. The
    /// recipients are of one domain. With `anew` the transaction begins anew, for a
    /// remote that bears one recipient in each.
    ///
    /// `needs_utf8` where an address needs SMTPUTF8 (RFC 6531 §3.4); bytes that are
    /// not ASCII need it whatever the caller says.
    ///
    /// # Errors
    /// The answer that is good for each of the recipients without asking.
    pub fn ask(
        &mut self,
        recipients: Vec<Vec<u8>>,
        needs_utf8: bool,
        anew: bool,
    ) -> Result<Vec<Command>, Answer> {
        if let Some(reply) = &self.refused {
            return Err(Answer::SenderRefused(reply.clone()));
        }
        let ascii = self.mail_from.is_ascii() && recipients.iter().all(|to| to.is_ascii());
        let needs_utf8 = needs_utf8 || !ascii;
        if needs_utf8 && !self.offers_utf8 {
            return Err(Answer::Utf8Unsupported);
        }
        let mut commands = Vec::with_capacity(recipients.len() + 2);
        let domain = recipients
            .first()
            .map(|to| domain(to).to_vec())
            .unwrap_or_default();
        let serves = |open: &Transaction| !anew && open.domain == domain && (open.smtputf8 || !needs_utf8);
        if self.transaction.as_ref().is_some_and(|open| !serves(open)) {
            self.expect(&mut commands, Expected::Rset, Command::Rset);
            self.transaction = None;
        }
        if self.transaction.is_none() {
            let mail = Command::Mail {
                from: self.mail_from.clone(),
                smtputf8: needs_utf8,
            };
            self.expect(&mut commands, Expected::Mail, mail);
            self.transaction = Some(Transaction {
                smtputf8: needs_utf8,
                domain,
            });
        }
        for to in recipients {
            let rcpt = Command::Rcpt {
                to: to.clone(),
                ignore_quota: self.ignore_quota,
            };
            self.named.add(&to);
            self.expect(&mut commands, Expected::Rcpt(to), rcpt);
        }
        Ok(commands)
    }

    /// The answer that a reply is, if it is one: the reply to RCPT, or what stands
    /// for it where MAIL was refused.
    ///
    /// # Errors
    /// [`Lost`]; no reply after that is an answer.
    pub fn on_reply(&mut self, reply: Reply) -> Result<Option<Answer>, Lost> {
        match self.expected.pop_front() {
            Some(Expected::Rset | Expected::Mail) if reply.is_positive() => Ok(None),
            Some(Expected::Rset) => Err(Lost::NoReset(reply)),
            Some(Expected::Mail) => {
                self.refused = Some(reply);
                Ok(None)
            }
            Some(Expected::Rcpt(to)) => match &self.refused {
                Some(refusal) => Ok(Some(Answer::SenderRefused(refusal.clone()))),
                None if self.named.is_about_another(&to, &reply) => Err(Lost::OutOfTurn),
                None => Ok(Some(Answer::Recipient(reply))),
            },
            None => Err(Lost::OutOfTurn),
        }
    }

    /// Why the rest of a group need not be sent, where its commands go one by one.
    pub fn refused(&self) -> Option<&Reply> {
        self.refused.as_ref()
    }

    fn expect(&mut self, commands: &mut Vec<Command>, expected: Expected, command: Command) {
        self.expected.push_back(expected);
        commands.push(command);
    }
}

fn domain(to: &[u8]) -> &[u8] {
    to.rsplit(|&byte| byte == b'@').next().unwrap_or_default()
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

    fn reply(text: &str) -> Reply {
        Reply::parse(text).unwrap()
    }

    fn ask(dialog: &mut Recipients, recipients: &[&str]) -> Vec<String> {
        let recipients = recipients.iter().map(|to| to.as_bytes().to_vec()).collect();
        dialog
            .ask(recipients, false, false)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn hear(dialog: &mut Recipients, replies: &[&str]) -> Vec<Answer> {
        replies
            .iter()
            .filter_map(|text| dialog.on_reply(reply(text)).unwrap())
            .collect()
    }

    fn recipient(text: &str) -> Answer {
        Answer::Recipient(reply(text))
    }

    #[test]
    fn one_transaction_serves_many_questions() {
        let mut dialog = offering(false, false);
        assert_eq!(
            ask(&mut dialog, &["a@e.org"]),
            ["MAIL FROM:<>", "RCPT TO:<a@e.org>"]
        );
        assert_eq!(hear(&mut dialog, &["250 ok", "250 yes"]), [recipient("250 yes")]);
        assert_eq!(ask(&mut dialog, &["b@e.org"]), ["RCPT TO:<b@e.org>"]);
        assert_eq!(hear(&mut dialog, &["550 5.1.1 no"]), [recipient("550 5.1.1 no")]);
    }

    #[test]
    fn a_group_is_answered_in_order() {
        let mut dialog = offering(false, true);
        assert_eq!(
            ask(&mut dialog, &["jane@e.org", "nosuch@e.org", "busy@e.org"]),
            [
                "MAIL FROM:<>", "RCPT TO:<jane@e.org> IGNOREQUOTA", "RCPT TO:<nosuch@e.org> IGNOREQUOTA",
                "RCPT TO:<busy@e.org> IGNOREQUOTA"
            ]
        );
        let answers = hear(
            &mut dialog,
            &["250 ok", "250 2.1.5 ok", "550 5.1.1 no", "451 4.3.0 later"],
        );
        assert_eq!(
            answers,
            [
                recipient("250 2.1.5 ok"),
                recipient("550 5.1.1 no"),
                recipient("451 4.3.0 later")
            ]
        );
    }

    #[test]
    fn a_refused_sender_answers_for_everybody() {
        let mut dialog = offering(false, false);
        ask(&mut dialog, &["a@e.org", "b@e.org"]);
        let refusal = Answer::SenderRefused(reply("553 5.7.1 no"));
        let replies = ["553 5.7.1 no", "503 5.5.1 need MAIL", "250 what"];
        assert_eq!(hear(&mut dialog, &replies), [refusal.clone(), refusal.clone()]);
        assert_eq!(
            dialog.ask(vec![b"c@e.org".to_vec()], false, false).unwrap_err(),
            refusal
        );
    }

    #[test]
    fn smtputf8_opens_a_transaction_of_its_own() {
        let mut dialog = offering(true, false);
        ask(&mut dialog, &["a@e.org"]);
        hear(&mut dialog, &["250 ok", "250 yes"]);
        assert_eq!(
            ask(&mut dialog, &["jürgen@e.org"]),
            ["RSET", "MAIL FROM:<> SMTPUTF8", "RCPT TO:<jürgen@e.org>"]
        );
        assert_eq!(
            hear(&mut dialog, &["250 ok", "250 ok", "250 yes"]),
            [recipient("250 yes")]
        );
        assert_eq!(ask(&mut dialog, &["b@e.org"]), ["RCPT TO:<b@e.org>"]);
        hear(&mut dialog, &["250 yes"]);

        let mut without = offering(false, false);
        let unsupported = without
            .ask(vec!["jürgen@e.org".into()], false, false)
            .unwrap_err();
        assert_eq!(unsupported, Answer::Utf8Unsupported);
        assert_eq!(
            without.ask(vec![b"a@e.org".to_vec()], true, false).unwrap_err(),
            Answer::Utf8Unsupported
        );
    }

    #[test]
    fn each_domain_has_a_transaction_of_its_own() {
        let mut dialog = offering(false, false);
        ask(&mut dialog, &["a@one.org"]);
        hear(&mut dialog, &["250 ok", "250 yes"]);
        assert_eq!(
            ask(&mut dialog, &["a@two.org"]),
            ["RSET", "MAIL FROM:<>", "RCPT TO:<a@two.org>"]
        );
        hear(&mut dialog, &["250 ok", "250 ok", "250 yes"]);
        let anew = dialog.ask(vec![b"b@two.org".to_vec()], false, true).unwrap();
        assert_eq!(anew.len(), 3, "{anew:?}");
    }

    #[test]
    fn a_refused_rset_is_about_the_session() {
        let mut dialog = offering(true, false);
        ask(&mut dialog, &["a@e.org"]);
        hear(&mut dialog, &["250 ok", "250 yes"]);
        ask(&mut dialog, &["jürgen@e.org"]);
        let refusal = reply("502 5.5.1 no RSET here");
        assert_eq!(dialog.on_reply(refusal.clone()), Err(Lost::NoReset(refusal)));
    }

    #[test]
    fn a_reply_too_many_is_out_of_turn() {
        let mut dialog = offering(false, false);
        ask(&mut dialog, &["a@e.org"]);
        hear(&mut dialog, &["250 ok", "250 yes"]);
        assert_eq!(dialog.on_reply(reply("250 again")), Err(Lost::OutOfTurn));
    }

    #[test]
    fn a_reply_that_names_another_is_out_of_turn() {
        let mut dialog = offering(false, false);
        ask(&mut dialog, &["nosuch@e.org", "jane@e.org"]);
        let answers = hear(&mut dialog, &["250 ok", "250 ok"]);
        assert_eq!(answers, [recipient("250 ok")], "MAIL was answered twice");
        let shifted = reply("550 5.1.1 <nosuch@e.org>: User unknown");
        assert_eq!(dialog.on_reply(shifted), Err(Lost::OutOfTurn));
        let mut dialog = offering(false, false);
        ask(&mut dialog, &["nosuch@e.org"]);
        hear(&mut dialog, &["250 ok", "550 5.1.1 <nosuch@e.org>: no"]);
        ask(&mut dialog, &["jane@e.org"]);
        let late = reply("550 5.1.1 <nosuch@e.org>: no");
        assert_eq!(dialog.on_reply(late), Err(Lost::OutOfTurn));
    }
}
