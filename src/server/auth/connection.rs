//! One connection of an auth client: what becomes of its commands, by id.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vouch_protocol::auth::client::{Auth, Command, Failure, Reply};
use vouch_protocol::sasl::base64_decode;
use vouch_protocol::secret::Secret;

use super::exchange::{Exchange, Step};
use super::relay::{Relay, Turn};
use super::requests::{Pending, Requests};
use super::{AuthListener, Decided, RequestContext};
use crate::engine::{Decision, Source};
use crate::server::conversation;
use crate::server::counts::Entry;
use crate::server::current::Current;
use crate::server::handover::Connected;
use crate::server::{client, is_smtp};
use crate::settings::mechanism::Mechanism;
use crate::verdict::{Cause, Class, Kind, Proof, UserName, Verdict};

/// Bound (questions): logins of one connection at once. Beyond: further ones wait unread until one is answered. Why:
/// Dovecot's login processes send thousands.
pub(super) const IN_FLIGHT: usize = 4096;

/// Bound (clients): answers of one connection that a penalty delays. Beyond: one more is sent at once. Why: the
/// busiest of Dovecot's login processes serve a thousand clients.
pub(super) const HELD: usize = 4096;

/// Bound (questions): time to go on with a dialog, or for a mail process to ask for a login, while a listener closes.
/// Beyond: the connection is closed. Why: each takes a moment, and no client may delay the end.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// Clients of this minor version and above are informed that a request was given up.
const CANCELLED_SINCE: u32 = 4;

/// What comes of a request: a challenge is an answer too.
pub(super) type Answer = conversation::Answer<Reply, Turn>;

pub(crate) struct Connection {
    listener: Arc<Current<AuthListener>>,
    cookie: [u8; 16],
    /// The minor version that the client speaks.
    minor: u32,
    /// Logins accepted here that wait for a mail process; at a `login` listener, once
    /// the client has sent its process id.
    pub(super) accepted: Option<Connected>,
    /// The number under which failures are counted.
    pub(super) session: u64,
    pub(super) pid: Option<i32>,
    pub(super) requests: Requests,
    /// Answers that are held back.
    pub(super) held: usize,
    /// Whether the last request was an SMTP server's.
    pub(super) smtp: bool,
    pub(super) draining: CancellationToken,
}

impl Connection {
    /// A connection that was greeted with `cookie`. Its failures are counted under the
    /// number `session`.
    pub(super) fn new(
        listener: Arc<Current<AuthListener>>,
        cookie: [u8; 16],
        (session, pid): (u64, Option<i32>),
        draining: CancellationToken,
    ) -> Self {
        Self {
            listener,
            cookie,
            minor: 0,
            accepted: None,
            session,
            pid,
            requests: Requests::default(),
            held: 0,
            smtp: false,
            draining,
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Option<Answer> {
        match command {
            Command::Version { minor, .. } => {
                self.minor = minor;
                None
            }
            Command::Cpid(cpid) => {
                let listener = self.listener();
                let keeps = listener.hands_over();
                self.accepted = keeps.then(|| listener.handover.connected(cpid, self.cookie));
                None
            }
            Command::Auth(auth) => Some(self.auth(auth)),
            Command::Cont { id, data } => Some(self.cont(id, &data)),
            Command::Cancel { id } => self.cancel(id),
        }
    }

    pub(super) fn turned(&mut self, turn: Turn) -> Option<Answer> {
        match turn {
            Turn::Decided(decided) => self.decide(decided),
            Turn::Due(decided) => {
                self.held -= 1;
                self.answer_now(decided)
            }
            Turn::GivenUp => None,
            Turn::Challenge {
                serial,
                relay,
                challenge,
            } => {
                let asked = relay.asked().clone();
                let waits = self.requests.take_decided(asked.id, serial);
                waits.then(|| self.challenge(Exchange::Relay(relay), asked, challenge))
            }
        }
    }

    /// Whether a client is in the middle of a login, or a mail process is about to ask for one.
    pub(super) fn is_under_way(&self) -> bool {
        let accepted = self.accepted.as_ref();
        self.requests.has_dialog(UNDER_WAY) || accepted.is_some_and(|accepted| accepted.holds_any(UNDER_WAY))
    }

    /// The listener for the client's next question.
    pub(super) fn listener(&self) -> Arc<AuthListener> {
        self.listener.get()
    }

    fn auth(&mut self, auth: Auth) -> Answer {
        let id = auth.id;
        let awaited = self.accepted.as_ref().is_some_and(|accepted| accepted.holds(id));
        let listener = self.listener();
        if awaited || self.requests.has(id) {
            tracing::warn!(
                listener = listener.keys.name,
                id,
                "closed: the client used a request id again before it was answered; does it speak Dovecot auth?"
            );
            return Answer::HangUp;
        }
        let initial = auth.initial_response(self.minor);
        let (nologin, no_penalty) = (auth.parameters.nologin, auth.parameters.no_penalty);
        let client = client(*auth.parameters);
        self.smtp = is_smtp(&client);
        let Ok(initial) = initial else {
            return self.bad_base64(id, "Invalid base64 data in initial response");
        };
        let offered = &listener.keys.mechanisms;
        let Some(spoken) = Mechanism::from_name(&auth.mechanism).filter(|one| offered.contains(one)) else {
            return self.no_answer(id, "Unsupported authentication mechanism");
        };
        let asked = RequestContext {
            id,
            mechanism: spoken,
            client,
            nologin,
            no_penalty,
        };
        self.step(asked, Exchange::start(spoken, initial))
    }

    fn cont(&mut self, id: u32, data: &Secret<[u8]>) -> Answer {
        let (exchange, asked) = match self.requests.take(id) {
            Some(Pending::Dialog { exchange, asked, .. }) => (exchange, asked),
            Some(Pending::Deciding { .. }) => return self.no_answer(id, "Unexpected continuation"),
            None if self.withdraw(id) => return self.no_answer(id, "Unexpected continuation"),
            None => return self.no_answer(id, "Authentication request timed out"),
        };
        let Ok(data) = base64_decode(data.expose()) else {
            return self.bad_base64(id, "Invalid base64 data in continued response");
        };
        self.step(asked, exchange.next(data))
    }

    fn cancel(&mut self, id: u32) -> Option<Answer> {
        if self.requests.take(id).is_none() {
            self.withdraw(id);
        }
        // Older clients take the answer for an error, newer ones wait for it: also where
        // the request was over already (Dovecot 2.4.4, `auth-request-handler.c`).
        let answered = self.minor >= CANCELLED_SINCE;
        answered.then_some(Answer::Reply(Reply::Cancelled { id }))
    }

    /// Forgets a login that waits for a mail process; `false` where there is none.
    fn withdraw(&self, id: u32) -> bool {
        self.accepted
            .as_ref()
            .is_some_and(|accepted| accepted.withdraw(id))
    }

    fn step(&mut self, asked: RequestContext, step: Step) -> Answer {
        match step {
            Step::Challenge(exchange, challenge) => self.challenge(exchange, asked, challenge),
            Step::Ask(user, proof) => self.ask(asked, user, proof),
            Step::Begin(asker, dialog) => {
                let relay = Relay::new(self.listener(), self.session, asked, (asker, dialog));
                self.turn(Box::new(relay))
            }
            Step::GoOn(mut relay, message) => match relay.answer(message) {
                Ok(()) => self.turn(relay),
                Err(decided) => self.turn_into(asked.id, |serial| async move {
                    Turn::Decided(Box::new(Decided { serial, ..*decided }))
                }),
            },
            Step::Refused(decided, failure) => Self::fail(asked.id, Some(&decided), failure),
            Step::Malformed(why) => {
                self.log_unasked(&asked, Verdict::Reject(Cause::ours(Class::Syntax, why)), "FAIL");
                Self::fail(asked.id, None, Failure::Credentials)
            }
            // It goes to no remote: a bound of ours says nothing of the login.
            Step::TooLong(why) => {
                let (word, answer) = self.fail_for_now(&asked);
                self.log_unasked(&asked, Verdict::Defer(Cause::ours(Class::Syntax, why)), word);
                answer
            }
        }
    }

    pub(super) fn challenge(&mut self, exchange: Exchange, asked: RequestContext, data: Vec<u8>) -> Answer {
        let id = asked.id;
        if !self.requests.wait_for_client(exchange, asked) {
            return self.no_answer(id, "Too many unfinished requests");
        }
        Answer::Reply(Reply::Cont { id, data })
    }

    fn ask(&mut self, asked: RequestContext, given: UserName, proof: Proof) -> Answer {
        let listener = self.listener();
        let pass = match &proof {
            Proof::Password(password) if listener.keys.ok.pass => Some(password.clone()),
            _ => None,
        };
        let user = listener.gate.engine.complete(&given);
        let kind = Kind::Login {
            user: user.clone(),
            proof,
        };
        let login = listener.login(&kind, &asked, self.session);
        let time = listener.patience(&asked.client);
        self.turn_into(asked.id, |serial| async move {
            let decided = listener.decide(asked, given, kind, login, time).await;
            Turn::Decided(Box::new(Decided {
                serial,
                user,
                pass,
                ..decided
            }))
        })
    }

    /// The remote's turn in a client's dialog.
    fn turn(&mut self, relay: Box<Relay>) -> Answer {
        self.turn_into(relay.asked().id, |serial| relay.turn(serial))
    }

    /// The answer to a request is what `turn` comes to, unless the client gives it up.
    fn turn_into<T: Future<Output = Turn> + Send + 'static>(
        &mut self,
        id: u32,
        turn: impl FnOnce(u64) -> T,
    ) -> Answer {
        let (serial, given_up) = self.requests.ask_engine(id);
        let turn = turn(serial);
        Answer::Later(Box::pin(async move {
            tokio::select! {
                biased;
                turn = turn => turn,
                _ = given_up => Turn::GivenUp,
            }
        }))
    }

    /// Counts and logs a message that was decided on without its login, as it holds none of anybody.
    fn log_unasked(&self, asked: &RequestContext, verdict: Verdict, answer: &str) {
        self.listener().gate.tell(&Entry {
            question: "login",
            about: b"",
            client: &asked.client,
            instance: None,
            decision: &Decision {
                verdict,
                source: Source::Local,
                directory: None,
            },
            took: Duration::ZERO,
            delayed: None,
            answer,
        });
    }
}
