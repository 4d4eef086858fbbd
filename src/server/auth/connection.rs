//! One connection of an auth client: commands in, answers out, by id.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use vouch_protocol::auth::client::{Auth, Codec, Command, Failure, Reply};
use vouch_protocol::sasl::base64_decode;
use vouch_protocol::secret::Secret;

use super::exchange::{Exchange, OfferedMechanism, Step};
use super::late::Late;
use super::relay::{Relay, Turn};
use super::requests::{Pending, Requests};
use super::{AuthListener, REQUEST_TIMEOUT, RequestContext, WRITE_TIMEOUT};
use crate::engine::{Decision, Source};
use crate::server::current::Current;
use crate::server::handover::Connected;
use crate::server::{is_smtp, note_end};
use crate::verdict::{Cause, Class, Client, Proof, UserName, Verdict};
use crate::wire::{LEFT_CHECK, Stream, Wire, WireError};

/// Bound (questions): logins of one connection at once. Beyond: further ones wait unread until one is answered. Why:
/// Dovecot's login processes send thousands.
const IN_FLIGHT: usize = 4096;

/// While the listener closes, how often to check whether a login of a connection is still under way.
const QUIET_CHECK: Duration = Duration::from_millis(20);

/// Bound (questions): time to go on with a dialog, or for a mail process to ask for a login, while a listener closes.
/// Beyond: the connection is closed. Why: each takes a moment, and no client may delay the end.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// Bound (questions): time for a login process to close its side. Beyond: the connection is closed. Why: it only has
/// to close.
const FAREWELL: Duration = Duration::from_secs(1);

/// Clients of this minor version and above are informed that a request was given up.
const CANCELLED_SINCE: u32 = 4;

type Deciding = FuturesUnordered<Pin<Box<dyn Future<Output = Turn> + Send>>>;

/// A connection.
pub(super) struct Connection {
    listener: Arc<Current<AuthListener>>,
    cookie: [u8; 16],
    /// Logins accepted here that wait for a mail process; at a `login` listener, once
    /// the client has sent its process id.
    pub(super) accepted: Option<Connected>,
    /// The number under which failures are counted.
    pub(super) session: u64,
    pub(super) pid: Option<i32>,
    wire: Wire<Codec>,
    pub(super) requests: Requests,
    deciding: Deciding,
    pub(super) late: Late,
    /// Whether the last request was an SMTP server's.
    pub(super) smtp: bool,
}

/// Whether a connection goes on.
pub(super) type Flow = ControlFlow<()>;

pub(super) const GO_ON: Flow = Flow::Continue(());
pub(super) const HANG_UP: Flow = Flow::Break(());

impl Connection {
    /// A connection that was greeted with `cookie`. Its failures are counted under the
    /// number `session`.
    pub(super) fn new(
        listener: Arc<Current<AuthListener>>,
        stream: Stream,
        cookie: [u8; 16],
        (session, pid): (u64, Option<i32>),
    ) -> Self {
        Self {
            listener,
            cookie,
            accepted: None,
            session,
            pid,
            wire: Wire::new(stream, Codec::new()).with_patience(REQUEST_TIMEOUT),
            requests: Requests::default(),
            deciding: FuturesUnordered::new(),
            late: Late::default(),
            smtp: false,
        }
    }

    /// Serves the client until it leaves, breaks the protocol, or the listener closes and no login is under way. Once
    /// `deaf`, the client can send nothing more.
    pub(super) async fn serve(mut self, draining: &CancellationToken, deaf: &CancellationToken) {
        let mut client_done = false;
        loop {
            let times = [self.requests.next_timeout(), self.late.next_due()];
            let next = times.into_iter().flatten().min();
            let closes = draining.is_cancelled();
            // Of a connection of which one half is closed, nothing tells that the other is, but that it is tried.
            let look = Instant::now() + if closes { QUIET_CHECK } else { LEFT_CHECK };
            let under_way = !self.deciding.is_empty() || self.is_under_way();
            let flow = tokio::select! {
                // What time has come for does not wait until a busy client pauses.
                biased;
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.requests.forget_old();
                    self.answer_late(false)
                }
                Some(turn) = self.deciding.next(), if !self.deciding.is_empty() => match turn {
                    Turn::Decided(decided) => self.decided(decided),
                    Turn::GivenUp => GO_ON,
                    Turn::Challenge { serial, relay, challenge } => self.turned(serial, relay, challenge),
                },
                command = self.wire.next(), if !client_done && self.deciding.len() < IN_FLIGHT => match command {
                    Ok(Some(command)) => self.command(command),
                    Ok(None) => {
                        // A half-closed connection still wants its answers.
                        client_done = true;
                        if self.wire.is_closed() { HANG_UP } else { GO_ON }
                    }
                    Err(error) => self.complain(&error),
                },
                // From here on it is looked for a quiet moment.
                () = draining.cancelled(), if !closes && under_way => GO_ON,
                () = draining.cancelled(), if !under_way => {
                    // Nobody who guesses holds up the end of a daemon.
                    let _ = self.answer_late(true);
                    if self.accepted.is_some() || deaf.is_cancelled() {
                        HANG_UP
                    } else {
                        // What was sent before is read first.
                        deaf.cancel();
                        GO_ON
                    }
                }
                () = sleep_until(look), if client_done || closes => {
                    if client_done && self.wire.is_closed() { HANG_UP } else { GO_ON }
                }
            };
            if self.wire.pending_output() > 0
                && let Err(error) = self.wire.flush_within(WRITE_TIMEOUT).await
            {
                let _ = self.complain(&error);
                return;
            }
            let is_answered = self.deciding.is_empty() && self.late.is_empty();
            if flow == HANG_UP || (client_done && is_answered) {
                break;
            }
        }
        if draining.is_cancelled() && self.accepted.is_some() {
            self.part().await;
        }
    }

    /// Whether a client is in the middle of a login, or a mail process is about to ask for one.
    fn is_under_way(&self) -> bool {
        let accepted = self.accepted.as_ref();
        self.requests.has_dialog(UNDER_WAY) || accepted.is_some_and(|accepted| accepted.holds_any(UNDER_WAY))
    }

    /// Ends the connection of a login process of Dovecot, which treats a socket that it cannot write to as a wrong
    /// password: vouch signals the end, and the process closes the socket itself.
    async fn part(self) {
        let Self { wire, .. } = self;
        let _ = timeout(FAREWELL, wire.finish()).await;
    }

    /// The listener for the client's next question.
    pub(super) fn listener(&self) -> Arc<AuthListener> {
        self.listener.get()
    }

    fn command(&mut self, command: Command) -> Flow {
        match command {
            Command::Version { .. } => GO_ON,
            Command::Cpid(cpid) => {
                let listener = self.listener();
                let keeps = listener.settings.hands_over;
                self.accepted = keeps.then(|| listener.handover.connected(cpid, self.cookie));
                GO_ON
            }
            Command::Auth(auth) => self.auth(auth),
            Command::Cont { id, data } => self.cont(id, &data),
            Command::Cancel { id } => self.cancel(id),
        }
    }

    fn auth(&mut self, auth: Auth) -> Flow {
        let id = auth.id;
        let awaited = self.accepted.as_ref().is_some_and(|accepted| accepted.holds(id));
        let listener = self.listener();
        if awaited || self.requests.has(id) {
            tracing::warn!(
                listener = listener.settings.name,
                id,
                "closed: the client used a request id again before it was answered; does it speak Dovecot auth?"
            );
            return HANG_UP;
        }
        let initial = auth.initial_response(self.wire.codec().minor());
        let said = *auth.parameters;
        let client = Client {
            address: said.remote.ip.and_then(|ip| Client::address_in(ip.as_bytes())),
            port: said.remote.port,
            session: said.session,
            service: Some(said.service),
        };
        self.smtp = is_smtp(&client);
        let Ok(initial) = initial else {
            return self.bad_base64(id, "Invalid base64 data in initial response");
        };
        let offered = &listener.settings.mechanisms;
        let Some(spoken) = OfferedMechanism::from_name(&auth.mechanism).filter(|one| offered.contains(one))
        else {
            return self.no_answer(id, "Unsupported authentication mechanism");
        };
        let asked = RequestContext {
            id,
            mechanism: spoken,
            client,
            nologin: said.nologin,
            no_penalty: said.no_penalty,
        };
        self.step(asked, Exchange::start(spoken, initial))
    }

    fn cont(&mut self, id: u32, data: &Secret<[u8]>) -> Flow {
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

    fn cancel(&mut self, id: u32) -> Flow {
        if self.requests.take(id).is_none() {
            self.withdraw(id);
        }
        // Older clients take the answer for an error, newer ones wait for it: also where
        // the request was over already (Dovecot 2.4.4, `auth-request-handler.c`).
        if self.wire.codec().minor() >= CANCELLED_SINCE {
            self.reply(Reply::Cancelled { id })
        } else {
            GO_ON
        }
    }

    /// Forgets a login that waits for a mail process; `false` where there is none.
    fn withdraw(&self, id: u32) -> bool {
        self.accepted
            .as_ref()
            .is_some_and(|accepted| accepted.withdraw(id))
    }

    fn step(&mut self, asked: RequestContext, step: Step) -> Flow {
        match step {
            Step::Challenge(exchange, challenge) => self.challenge(exchange, asked, challenge),
            Step::Ask(user, proof) => self.ask(asked, user, proof),
            Step::Begin(asker, dialog) => {
                let relay = Relay::new(self.listener(), self.session, asked, (asker, dialog));
                self.turn(Box::new(relay))
            }
            Step::GoOn(mut relay, message) => match relay.answer(message) {
                Ok(()) => self.turn(relay),
                Err(mut decided) => {
                    let (serial, _given_up) = self.requests.ask_engine(asked.id);
                    decided.serial = serial;
                    self.decided(decided)
                }
            },
            Step::Refused(decided, failure) => self.fail(asked.id, Some(&decided), failure),
            Step::Malformed(why) => self.malformed(&asked, why),
            Step::TooLong(why) => self.too_long(&asked, why),
        }
    }

    pub(super) fn challenge(&mut self, exchange: Exchange, asked: RequestContext, data: Vec<u8>) -> Flow {
        let id = asked.id;
        if !self.requests.wait_for_client(exchange, asked) {
            return self.no_answer(id, "Too many unfinished requests");
        }
        self.reply(Reply::Cont { id, data })
    }

    fn ask(&mut self, asked: RequestContext, user: UserName, proof: Proof) -> Flow {
        let (serial, given_up) = self.requests.ask_engine(asked.id);
        let deciding = self.listener().decide(serial, asked, user, proof, self.session);
        self.deciding.push(Box::pin(async {
            tokio::select! {
                biased;
                decided = deciding => Turn::Decided(Box::new(decided)),
                _ = given_up => Turn::GivenUp,
            }
        }));
        GO_ON
    }

    /// The remote's turn in a client's dialog.
    fn turn(&mut self, relay: Box<Relay>) -> Flow {
        let (serial, given_up) = self.requests.ask_engine(relay.asked().id);
        self.deciding.push(Box::pin(async move {
            tokio::select! {
                biased;
                turn = relay.turn(serial) => turn,
                _ = given_up => Turn::GivenUp,
            }
        }));
        GO_ON
    }

    /// The client's turn.
    fn turned(&mut self, serial: u64, relay: Box<Relay>, challenge: Vec<u8>) -> Flow {
        let asked = relay.asked().clone();
        if !self.requests.take_decided(asked.id, serial) {
            return GO_ON;
        }
        self.challenge(Exchange::Relay(relay), asked, challenge)
    }

    /// A message that is no login of anybody.
    fn malformed(&mut self, asked: &RequestContext, why: String) -> Flow {
        let decision = Decision {
            verdict: Verdict::Reject(Cause::ours(Class::Syntax, why)),
            source: Source::Local,
            directory: None,
        };
        self.listener().log(
            &UserName::new(b""),
            &asked.client,
            &decision,
            (Duration::ZERO, None),
            "FAIL",
        );
        self.fail(asked.id, None, Failure::Credentials)
    }

    /// A message that goes to no remote: a bound of ours says nothing of the login.
    fn too_long(&mut self, asked: &RequestContext, why: String) -> Flow {
        let decision = Decision {
            verdict: Verdict::Defer(Cause::ours(Class::Syntax, why)),
            source: Source::Local,
            directory: None,
        };
        let (answer, flow) = self.fail_for_now(asked);
        let nobody = UserName::new(b"");
        self.listener()
            .log(&nobody, &asked.client, &decision, (Duration::ZERO, None), answer);
        flow
    }

    pub(super) fn reply(&mut self, reply: Reply) -> Flow {
        match self.wire.push(reply) {
            Ok(()) => GO_ON,
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&self, error: &WireError) -> Flow {
        note_end(
            &self.listener().settings.name,
            error,
            "does it speak Dovecot auth?",
        );
        HANG_UP
    }
}
