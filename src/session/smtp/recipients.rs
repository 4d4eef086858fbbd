//! Recipients by `RCPT TO`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::smtp::recipients::{Answer, Recipients};
use protocol::smtp::{Capabilities, Command, EnhancedCode, Reply};
use tokio::time::Instant;

use super::{Hello, Opened, auth, step_name};
use crate::session::error::{Error, Kind};
use crate::session::{AskAgain, Origin, Remote, Session, tls, trace};

/// A recipient as it goes out.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The address in wire form, without `<>`.
    pub wire: Vec<u8>,
    /// It can only be asked with SMTPUTF8.
    pub needs_utf8: bool,
    /// For whom it is asked, where the remote is to know it.
    pub origin: Option<Origin>,
}

impl Recipient {
    fn domain(&self) -> Option<&[u8]> {
        self.wire.rsplit(|&byte| byte == b'@').next()
    }
}

/// A session on which recipients are asked about.
pub struct RecipientSession {
    opened: Opened,
    dialog: Recipients,
    mail_from: Arc<[u8]>,
    /// Whether a transaction may be open.
    asked: bool,
    one_each: OneEach,
}

/// Set once a remote has refused a second recipient of one transaction (`550
/// 5.5.3`, Postfix `reject_multi_recipient_bounce`); shared by all of its sessions.
pub type OneEach = Arc<AtomicBool>;

impl RecipientSession {
    /// Opens a session. `mail_from` is the sender in wire form, empty for the
    /// null sender.
    ///
    /// # Errors
    /// The step at which the opening failed.
    pub async fn open(
        remote: Arc<Remote>,
        hello: Arc<Hello>,
        mail_from: Arc<[u8]>,
        one_each: OneEach,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let opened = Opened::new(remote, hello, deadline).await?;
        let dialog = Recipients::new(&opened.capabilities, mail_from.to_vec());
        Ok(Self {
            opened,
            dialog,
            mail_from,
            asked: false,
            one_each,
        })
    }

    /// What the remote offered, and what TLS agreed on: for `vouch check`.
    pub fn offered(&self) -> (&Capabilities, Option<&tls::Details>) {
        (&self.opened.capabilities, self.opened.tls.as_deref())
    }

    /// Whether a password could be tried there, as far as it tells without one.
    ///
    /// # Errors
    /// What is in the way.
    pub fn takes_passwords(&self) -> Result<(), Error> {
        auth::takes_passwords(&self.opened)
    }
}

impl RecipientSession {
    fn one_each(&self) -> bool {
        self.one_each.load(Ordering::Relaxed)
    }

    /// Sends the commands as one group and reads one reply for each.
    async fn ask_group(
        &mut self,
        commands: &[Command],
        tell: &mut (dyn FnMut(Answer) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        let remote = self.opened.remote.clone();
        let wire = &mut self.opened.wire;
        wire.listen();
        let step = "RCPT TO";
        remote.check_nothing_unasked(wire, step)?;
        for command in commands {
            trace::said(&remote.peer, command);
            wire.push(command)
                .map_err(|error| remote.lost(&error, wire, step))?;
        }
        let by = remote.command_deadline(deadline);
        wire.flush(by)
            .await
            .map_err(|error| remote.lost(&error, wire, step))?;
        for command in commands {
            let by = remote.command_deadline(deadline);
            let step = step_name(command);
            let reply = wire
                .read(by)
                .await
                .map_err(|error| remote.lost(&error, wire, step))?;
            trace::heard(&remote.peer, &reply);
            let over = reply.code() == 421;
            learn(&self.one_each, &reply);
            if let Some(answer) = self.dialog.on_reply(reply) {
                tell(answer);
            }
            if over {
                // RFC 5321 §3.8: the remote closes now; it has nothing to say to the others.
                return Err(Error::new(
                    Kind::Unreachable,
                    &remote.peer,
                    step,
                    "it said goodbye (421)",
                ));
            }
        }
        Ok(())
    }

    /// Sends each command after the reply to the one before.
    async fn ask_one_by_one(
        &mut self,
        commands: Vec<Command>,
        tell: &mut (dyn FnMut(Answer) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        for command in commands {
            let answer = match (self.dialog.refused(), &command) {
                (Some(refusal), Command::Rcpt { .. }) => Some(Answer::SenderRefused(refusal.clone())),
                _ => {
                    self.opened.wire.listen();
                    let reply = self.opened.exchange(&command, deadline).await?;
                    learn(&self.one_each, &reply);
                    self.dialog.on_reply(reply)
                }
            };
            answer.map(&mut *tell);
        }
        Ok(())
    }
}

/// Whether the remote takes one recipient in each transaction is told by what it
/// says to a second.
fn learn(one_each: &OneEach, reply: &Reply) {
    if reply.code() == 550 && reply.enhanced() == Some(EnhancedCode::new(5, 5, 3)) {
        one_each.store(true, Ordering::Relaxed);
    }
}

impl Session for RecipientSession {
    type Question = Recipient;
    type Answer = Answer;

    /// A group of so many commands and its replies fit the buffers of both ends,
    /// so that neither side waits for the other to read (RFC 2920 §3.1).
    const MAX_BATCH: usize = 100;

    const MAY_ASK_AGAIN: AskAgain = AskAgain::Always;
    const SPENT_BY_YES: bool = false;

    fn batch(&self) -> usize {
        if self.opened.capabilities.pipelining && !self.one_each() {
            Self::MAX_BATCH
        } else {
            1
        }
    }

    /// One transaction serves a whole session, so what RFC 9422 says of one is the
    /// limit of the other.
    fn bears(&self) -> Option<u32> {
        self.opened.capabilities.limits.rcpt_max
    }

    /// One domain each transaction: Gmail refuses others (`451 4.3.0 Multiple
    /// destination domains per transaction is unsupported`).
    /// One client, too, where the remote is told of it.
    fn together(one: &Recipient, other: &Recipient) -> bool {
        one.needs_utf8 == other.needs_utf8 && one.domain() == other.domain() && one.origin == other.origin
    }

    async fn ask(
        &mut self,
        questions: &[Recipient],
        tell: &mut (dyn FnMut(Answer) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        if let Some(question) = questions.first() {
            let anew = self
                .opened
                .introduce(question.origin, self.asked, deadline)
                .await?;
            if anew {
                self.dialog = Recipients::new(&self.opened.capabilities, self.mail_from.to_vec());
            }
            self.asked = true;
        }
        let recipients = questions.iter().map(|question| question.wire.clone()).collect();
        let needs_utf8 = questions.iter().any(|question| question.needs_utf8);
        match self.dialog.ask(recipients, needs_utf8, self.one_each()) {
            Ok(commands) if self.opened.capabilities.pipelining => {
                self.ask_group(&commands, tell, deadline).await
            }
            Ok(commands) => self.ask_one_by_one(commands, tell, deadline).await,
            Err(answer) => {
                questions.iter().for_each(|_| tell(answer.clone()));
                Ok(())
            }
        }
    }

    async fn renew(&mut self) -> bool {
        false
    }

    async fn goodbye(&mut self) {
        self.opened.unasked().await;
    }

    async fn close(self) {
        self.opened.quit().await;
    }
}
