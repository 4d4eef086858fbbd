//! Recipients by `RCPT TO`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use tokio::task::yield_now;
use tokio::time::Instant;
use vouch_protocol::smtp::recipients::{Answer, Lost, Recipients};
use vouch_protocol::smtp::{Capabilities, Command, EnhancedCode, Reply};

use super::{Hello, Opened, auth, step_name};
use crate::session::error::{Error, Kind, RCPT};
use crate::session::{Origin, RetryPolicy, Servers, Session, tls, trace};
use crate::settings::directory::LoginMethod;
use crate::wire::WireError;

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
    /// It said goodbye.
    has_left: bool,
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
        servers: &Servers,
        hello: &Arc<Hello>,
        mail_from: Arc<[u8]>,
        one_each: OneEach,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let opened = Opened::new(servers, hello, deadline).await?;
        let dialog = Recipients::new(&opened.capabilities, mail_from.to_vec());
        Ok(Self {
            opened,
            dialog,
            mail_from,
            asked: false,
            has_left: false,
            one_each,
        })
    }

    /// What the remote offered, and what TLS agreed on: for `vouch check`.
    pub fn offered(&self) -> (&Capabilities, Option<&tls::Details>) {
        (&self.opened.capabilities, self.opened.link.tls.as_deref())
    }

    /// Whether a password could be tried there, by this mechanism, as far as it tells without one.
    ///
    /// # Errors
    /// What is in the way.
    pub fn takes_passwords(&self, mechanism: LoginMethod) -> Result<(), Error> {
        auth::takes_passwords(&self.opened, mechanism)
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
        let link = &mut self.opened.link;
        link.wire.listen();
        link.check_nothing_unasked(RCPT)?;
        for command in commands {
            link.push(command, RCPT)?;
        }
        let mut by = link.remote.command_deadline(deadline);
        link.flush(RCPT, by).await?;
        for command in commands {
            let step = step_name(command);
            let reply = link.read(step, by).await?;
            let peer = &link.remote.peer;
            // The remote begins with the next one now.
            by = link.remote.command_deadline(deadline);
            let over = reply.code() == 421;
            learn(&self.one_each, &reply);
            let answer = self.dialog.on_reply(reply);
            let answer = answer.map_err(|lost| self::lost(peer, lost))?;
            // RFC 5321 §3.8: the remote closes now; it has nothing to say to the others.
            match answer {
                Some(answer) if over => {
                    self.has_left = true;
                    tell(answer);
                    return Ok(());
                }
                None if over => {
                    let error = Error::new(Kind::Unreachable, peer, step, "it said goodbye (421)");
                    return Err(error.before_the_question());
                }
                answer => answer.map(&mut *tell),
            };
        }
        Ok(())
    }

    /// A reply too many shows that some command got two, and that what stood behind it was taken
    /// for others. Nobody waits for it: what is there by now is looked at, no more.
    async fn check_nothing_left_over(&mut self) -> Result<(), Error> {
        let link = &mut self.opened.link;
        if !link.wire.has_residue() {
            // The runtime looks at its sockets before this goes on.
            yield_now().await;
        }
        match link.wire.next().now_or_never() {
            Some(Ok(Some(reply))) if reply.code() == 421 => {
                trace::heard(&link.remote.peer, &reply, &link.secrets);
                self.has_left = true;
            }
            None | Some(Ok(None) | Err(WireError::Io(_))) if !link.wire.has_residue() => {}
            more => {
                if let Some(Ok(Some(reply))) = more {
                    trace::heard(&link.remote.peer, &reply, &link.secrets);
                }
                return Err(lost(&link.remote.peer, Lost::OutOfTurn));
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
                    self.opened.link.wire.listen();
                    let reply = self.opened.exchange(&command, deadline).await?;
                    learn(&self.one_each, &reply);
                    let answer = self.dialog.on_reply(reply);
                    answer.map_err(|lost| self::lost(&self.opened.link.remote.peer, lost))?
                }
            };
            answer.map(&mut *tell);
        }
        Ok(())
    }
}

/// Why replies are of no more use.
fn lost(peer: &Arc<str>, lost: Lost) -> Error {
    match lost {
        Lost::OutOfTurn => {
            let detail = "its replies no longer match our commands; session dropped";
            Error::new(Kind::Protocol, peer, RCPT, detail)
        }
        Lost::NoReset(reply) => {
            let detail = format!("refused ({reply}); asked on a new session");
            Error::new(Kind::Unreachable, peer, "RSET", detail).before_the_question()
        }
    }
}

/// The reply to a second recipient shows whether the remote accepts only one per
/// transaction.
fn learn(one_each: &OneEach, reply: &Reply) {
    if reply.code() == 550 && reply.enhanced() == Some(EnhancedCode::new(5, 5, 3)) {
        one_each.store(true, Ordering::Relaxed);
    }
}

/// What a server said, and whether it is a backup MX.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What it said.
    pub answer: Answer,
    /// It may take or refuse any recipient.
    pub by_backup: bool,
}

impl Session for RecipientSession {
    type Question = Recipient;
    type Answer = Heard;

    /// Bound (sessions): recipients asked in one write. Beyond: the others are in the next. Why: commands and replies
    /// fit the buffers of both ends (RFC 2920).
    const MAX_BATCH: usize = 100;

    const RETRY_POLICY: RetryPolicy = RetryPolicy::Always;
    const SINGLE_USE_ON_SUCCESS: bool = false;

    fn batch(&self) -> usize {
        if self.opened.capabilities.pipelining && !self.one_each() {
            Self::MAX_BATCH
        } else {
            1
        }
    }

    /// One transaction serves a whole session, so what RFC 9422 says of one is the
    /// limit of the other.
    fn max_per_session(&self) -> Option<u32> {
        self.opened.capabilities.limits.rcpt_max
    }

    fn about(question: &Recipient) -> &[u8] {
        &question.wire
    }

    /// One domain each transaction: Gmail refuses others (`451 4.3.0 Multiple
    /// destination domains per transaction is unsupported`).
    /// One client, too, if the remote gets its address.
    fn can_batch(one: &Recipient, other: &Recipient) -> bool {
        one.needs_utf8 == other.needs_utf8 && one.domain() == other.domain() && one.origin == other.origin
    }

    async fn ask(
        &mut self,
        questions: &[Recipient],
        tell: &mut (dyn FnMut(Heard) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        let by_backup = self.opened.link.remote.is_backup;
        let tell = &mut |answer| tell(Heard { answer, by_backup });
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
                self.ask_group(&commands, tell, deadline).await?;
                if self.has_left {
                    return Ok(());
                }
            }
            Ok(commands) => self.ask_one_by_one(commands, tell, deadline).await?,
            Err(answer) => {
                questions.iter().for_each(|_| tell(answer.clone()));
                return Ok(());
            }
        }
        self.check_nothing_left_over().await
    }

    async fn goodbye(&mut self) {
        if self.has_left {
            return;
        }
        self.opened.link.unasked().await;
    }

    async fn close(self) {
        if !self.has_left {
            self.opened.quit().await;
        }
    }
}
