//! One connection of an auth client: commands in, answers out, by id.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use protocol::auth::client::{Auth, Codec, Command, Failure, Reply};
use protocol::sasl::{Credentials, Exchange, Mechanism, PlainError, Step, base64_decode};
use protocol::secret::Secret;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::requests::{Pending, Requests};
use super::told::{Told, failure_name, told};
use super::{AuthDoor, Decided, Tempfail, WRITE_TIMEOUT, is_smtp};
use crate::engine::{Decision, Source};
use crate::verdict::{Cause, Class, Client, Login, Proof, Verdict};
use crate::wire::{Stream, Wire, WireError};

/// Logins of one connection that are asked about at once; further commands wait
/// unread until one is answered. Dovecot's login processes send thousands.
const IN_FLIGHT: usize = 4096;

type Deciding = FuturesUnordered<Pin<Box<dyn Future<Output = Decided> + Send>>>;

/// A connection.
pub(super) struct Connection {
    door: Arc<AuthDoor>,
    /// The number under which failures are counted.
    session: u64,
    pid: Option<i32>,
    wire: Wire<Codec>,
    requests: Requests,
    deciding: Deciding,
    /// Whether the last request was an SMTP server's.
    smtp: bool,
}

/// Whether a connection goes on.
type Flow = ControlFlow<()>;

const GO_ON: Flow = Flow::Continue(());
const HANG_UP: Flow = Flow::Break(());

impl Connection {
    /// A connection that was greeted.
    pub(super) fn new(door: Arc<AuthDoor>, stream: Stream, session: u64, pid: Option<i32>) -> Self {
        Self {
            door,
            session,
            pid,
            wire: Wire::new(stream, Codec::new()),
            requests: Requests::default(),
            deciding: FuturesUnordered::new(),
            smtp: false,
        }
    }

    /// Serves the client until it leaves, breaks the protocol, or the daemon drains.
    pub(super) async fn serve(&mut self, draining: &CancellationToken) {
        let mut client_done = false;
        loop {
            let oldest = self.requests.next_timeout();
            let flow = tokio::select! {
                biased;
                Some(decided) = self.deciding.next(), if !self.deciding.is_empty() => self.decided(decided),
                command = self.wire.next(), if !client_done && self.deciding.len() < IN_FLIGHT => match command {
                    Ok(Some(command)) => self.command(command),
                    Ok(None) => {
                        // A half-closed connection still wants its answers.
                        client_done = true;
                        GO_ON
                    }
                    Err(error) => self.complain(&error),
                },
                () = sleep_until(oldest.unwrap_or_else(Instant::now)), if oldest.is_some() => {
                    self.requests.forget_old();
                    GO_ON
                }
                () = draining.cancelled(), if self.deciding.is_empty() => HANG_UP,
            };
            if self.wire.pending_output() > 0
                && let Err(error) = self.wire.flush(Instant::now() + WRITE_TIMEOUT).await
            {
                let _ = self.complain(&error);
                return;
            }
            if flow == HANG_UP || (client_done && self.deciding.is_empty()) {
                return;
            }
        }
    }

    fn command(&mut self, command: Command) -> Flow {
        match command {
            Command::Version { .. } | Command::Cpid(_) => GO_ON,
            Command::Auth(auth) => self.auth(auth),
            Command::Cont { id, data } => self.cont(id, &data),
            Command::Cancel { id } => {
                self.requests.take(id);
                GO_ON
            }
        }
    }

    fn auth(&mut self, auth: Auth) -> Flow {
        let id = auth.id;
        if self.requests.has(id) {
            let door = &self.door.settings.name;
            tracing::warn!(
                door,
                id,
                "closed: the client used a request id again before it was answered"
            );
            return HANG_UP;
        }
        let initial = auth.initial_response(self.wire.codec().minor());
        let client = Client {
            address: auth.parameters.remote.ip,
            session: auth.parameters.session,
            service: Some(auth.parameters.service),
        };
        self.smtp = is_smtp(&client);
        let Ok(initial) = initial else {
            return self.bad_base64(id, "Invalid base64 data in initial response");
        };
        let offered = &self.door.settings.mechanisms;
        let Some(mechanism) = Mechanism::from_name(&auth.mechanism).filter(|one| offered.contains(one))
        else {
            return self.no_answer(id, "Unsupported authentication mechanism");
        };
        let (exchange, step) = Exchange::start(mechanism, initial);
        self.step(id, exchange, client, step)
    }

    fn cont(&mut self, id: u32, data: &Secret<[u8]>) -> Flow {
        let (mut exchange, client) = match self.requests.take(id) {
            Some(Pending::Dialog { exchange, client, .. }) => (exchange, client),
            Some(Pending::Deciding(_)) => return self.no_answer(id, "Unexpected continuation"),
            None => return self.no_answer(id, "Authentication request timed out"),
        };
        let Ok(data) = base64_decode(data.expose()) else {
            return self.bad_base64(id, "Invalid base64 data in continued response");
        };
        let step = exchange.next(data);
        self.step(id, exchange, client, step)
    }

    fn step(&mut self, id: u32, exchange: Exchange, client: Client, step: Step) -> Flow {
        match step {
            Step::Challenge(prompt) => {
                if !self.requests.wait_for_client(id, exchange, client) {
                    return self.no_answer(id, "Too many unfinished requests");
                }
                self.reply(Reply::Cont {
                    id,
                    data: prompt.to_vec(),
                })
            }
            Step::Credentials(credentials) => self.ask(id, credentials, client),
            Step::Failed(error) => self.malformed(id, &client, &error),
        }
    }

    fn ask(&mut self, id: u32, credentials: Credentials, client: Client) -> Flow {
        let Credentials { user, password } = credentials;
        let (user, proof) = (Login::new(&user), Proof::Password(password));
        let serial = self.requests.ask_engine(id);
        let deciding = self
            .door
            .clone()
            .decide(user, proof, client, self.session, (serial, id));
        self.deciding.push(Box::pin(deciding));
        GO_ON
    }

    /// A message that is no login of anybody.
    fn malformed(&mut self, id: u32, client: &Client, error: &PlainError) -> Flow {
        let decision = Decision {
            verdict: Verdict::Reject(Cause::ours(Class::Syntax, error.to_string())),
            source: Source::Local,
            directory: None,
        };
        self.door
            .log(&Login::new(b""), client, &decision, Duration::ZERO, "FAIL");
        self.reply(Reply::Fail {
            id,
            user: None,
            failure: Failure::Credentials,
            reason: None,
        })
    }

    fn decided(&mut self, decided: Decided) -> Flow {
        let Decided {
            serial,
            id,
            user,
            client,
            decision,
            took,
        } = decided;
        if !self.requests.take_decided(id, serial) {
            return GO_ON;
        }
        let (answer, flow) = match told(&decision.verdict, self.closes(is_smtp(&client))) {
            Told::Ok(name) => (
                "OK",
                self.reply(Reply::Ok {
                    id,
                    user: name,
                    fields: Vec::new(),
                    pass: None,
                }),
            ),
            Told::Fail(failure) => {
                let name = Some(user.as_bytes().to_vec());
                let reply = Reply::Fail {
                    id,
                    user: name,
                    failure,
                    reason: None,
                };
                (failure_name(failure), self.reply(reply))
            }
            Told::HangUp => ("hang up", self.hang_up()),
        };
        self.door.log(&user, &client, &decision, took, answer);
        flow
    }

    /// Whether a temporary failure is told by hanging up.
    fn closes(&self, smtp: bool) -> bool {
        match self.door.settings.tempfail {
            Tempfail::Close => true,
            Tempfail::Fail => false,
            Tempfail::Auto => smtp && !self.requests.is_deciding(),
        }
    }

    fn hang_up(&self) -> Flow {
        self.door.sessions.hanging_up(self.session, self.pid);
        HANG_UP
    }

    /// A request that nobody was asked about: nothing was said of the user, so it
    /// is no wrong password.
    fn no_answer(&mut self, id: u32, reason: &str) -> Flow {
        let door = &self.door.settings.name;
        tracing::info!(door, id, "no answer to a request: {reason}");
        if self.closes(self.smtp) {
            return self.hang_up();
        }
        let reason = Some(reason.into());
        self.reply(Reply::Fail {
            id,
            user: None,
            failure: Failure::Temporary,
            reason,
        })
    }

    fn bad_base64(&mut self, id: u32, reason: &str) -> Flow {
        let door = &self.door.settings.name;
        tracing::info!(door, id, "refused a request: {reason}");
        let reason = Some(reason.into());
        self.reply(Reply::Fail {
            id,
            user: None,
            failure: Failure::InvalidBase64,
            reason,
        })
    }

    fn reply(&mut self, reply: Reply) -> Flow {
        match self.wire.push(reply) {
            Ok(()) => GO_ON,
            Err(error) => self.complain(&error),
        }
    }

    /// A client that breaks off is its own affair; one that sends nonsense is
    /// the administrator's.
    fn complain(&self, error: &WireError) -> Flow {
        let door = &self.door.settings.name;
        match error {
            WireError::Decode(error) => {
                tracing::warn!(
                    door,
                    "closed: the client's request is {error}; does it speak Dovecot auth?"
                );
            }
            error => tracing::debug!(door, "closed: {error}"),
        }
        HANG_UP
    }
}
