//! The auth door: Postfix, Exim, Dovecot and others ask whether a login is good
//! (Dovecot's auth-client protocol).

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use protocol::auth::client::{Auth, Codec, Command, Failure, Greeting, Mech, Reply};
use protocol::sasl::{Credentials, Exchange, Mechanism, PlainError, Step};
use protocol::secret::Secret;
use rustls::crypto::SecureRandom;
use tokio::time::{Instant, sleep_until};

use super::auth_limits::Sessions;
use super::{Caller, Door, WRITE_TIMEOUT};
use crate::engine::{Decision, Engine, Source};
use crate::telemetry::log::{self, Answered};
use crate::verdict::{Cause, Class, Client, Kind, Login, Proof, Question, Verdict};
use crate::wire::{Wire, WireError};

/// Logins of one connection that are asked about at once; further commands wait
/// unread until one is answered. Dovecot's login processes send thousands.
const IN_FLIGHT: usize = 4096;

/// Dialogs of one connection that wait for their client; one more is refused.
const DIALOGS: usize = 1024;

/// A dialog whose client does not go on is forgotten after this long, as
/// Dovecot does (`MASTER_AUTH_SERVER_TIMEOUT_SECS`).
const DIALOG_TIMEOUT: Duration = Duration::from_secs(150);

/// How a question without an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tempfail {
    /// By hanging up where the request is Postfix's and alone on its connection,
    /// else by words.
    Auto,
    /// By hanging up: the only temporary failure that Postfix, Exim and chasquid
    /// know.
    Close,
    /// By `FAIL … temp code=temp_fail`.
    Fail,
}

/// An auth door's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener's name.
    pub name: String,
    /// What is offered, in this order.
    pub mechanisms: Vec<Mechanism>,
    /// How a question without an answer is told.
    pub tempfail: Tempfail,
    /// The time from a question to its answer.
    pub deadline: Deadline,
    /// Failed logins that one client's session may have.
    pub auth_errors: Option<u32>,
}

/// The asker's patience differs by service: Postfix drops the connection after
/// ten seconds (`src/xsasl/xsasl_dovecot_server.c`), Dovecot after 150.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// For `service=smtp`.
    pub smtp: Duration,
    /// For every other service.
    pub other: Duration,
}

/// Answers auth-client requests.
pub struct AuthDoor {
    settings: Settings,
    engine: Engine,
    sessions: Sessions,
    spid: u32,
    random: &'static dyn SecureRandom,
}

impl AuthDoor {
    /// A door to `engine`. `spid` names this life of the daemon to Dovecot.
    pub fn new(settings: Settings, engine: Engine, spid: u32) -> Self {
        let sessions = Sessions::new(settings.auth_errors);
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        Self {
            settings,
            engine,
            sessions,
            spid,
            random,
        }
    }

    fn greeting(&self, connection: u64) -> Option<Vec<u8>> {
        let mut cookie = [0; 16];
        self.random.fill(&mut cookie).ok()?;
        let mechanisms = self.settings.mechanisms.iter().copied().map(Mech::from).collect();
        // CUID wraps after four thousand million connections; it need only differ among the living.
        let cuid = (connection % u64::from(u32::MAX)) as u32 + 1;
        Some(
            Greeting {
                mechanisms,
                spid: self.spid,
                cuid,
                cookie,
            }
            .to_bytes(),
        )
    }

    async fn decide(self: Arc<Self>, question: Question, session: u64, serial: u64, id: u32) -> Decided {
        let asked = Instant::now();
        let client = question.client.clone();
        let user = match &question.kind {
            Kind::Login { user, .. } => user.clone(),
            Kind::Recipient(address) => Login::new(&address.to_wire()),
        };
        let address = client.address.as_deref();
        let decision = if self.sessions.admit(session, address) {
            let smtp = client.service.as_deref() == Some("smtp");
            let patience = if smtp {
                self.settings.deadline.smtp
            } else {
                self.settings.deadline.other
            };
            self.engine.decide(question, asked + patience).await
        } else {
            let why = "the client's session has used up listener limit auth-errors";
            let directory = self.engine.directory_for(&question.kind);
            let verdict = Verdict::Defer(Cause::ours(Class::Limit, why));
            Decision {
                verdict,
                source: Source::Limit,
                directory,
            }
        };
        if matches!(decision.verdict, Verdict::Reject(_)) {
            self.sessions.failed(session, address);
        }
        Decided {
            serial,
            id,
            user,
            client,
            decision,
            took: asked.elapsed(),
        }
    }
}

/// A login that was decided on.
struct Decided {
    serial: u64,
    id: u32,
    user: Login,
    client: Client,
    decision: Decision,
    took: Duration,
}

type Deciding = FuturesUnordered<Pin<Box<dyn Future<Output = Decided> + Send>>>;

/// One connection.
struct Connection {
    door: Arc<AuthDoor>,
    /// The number under which failures are counted.
    session: u64,
    pid: Option<i32>,
    wire: Wire<Codec>,
    /// Requests that are not answered yet, by id.
    pending: HashMap<u32, Pending>,
    dialogs: usize,
    deciding: Deciding,
    serials: u64,
}

enum Pending {
    /// The client is to say more.
    Dialog {
        exchange: Exchange,
        client: Client,
        began: Instant,
    },
    /// The engine is asked, under this serial number.
    Deciding(u64),
}

/// Whether a connection goes on.
type Flow = std::ops::ControlFlow<()>;

const GO_ON: Flow = Flow::Continue(());
const HANG_UP: Flow = Flow::Break(());

impl Door for AuthDoor {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Caller {
                mut stream,
                connection,
                pid,
                draining,
            } = caller;
            let Some(greeting) = self.greeting(connection) else {
                tracing::error!(door = self.settings.name, "the system gives no random bytes");
                return;
            };
            // The whole greeting in one write, before anything is read: some clients wait for it,
            // and some read only once.
            let greeted = tokio::io::AsyncWriteExt::write_all(&mut stream, &greeting);
            if tokio::time::timeout(WRITE_TIMEOUT, greeted).await.is_err() {
                return;
            }
            let session = self.sessions.connected(connection, pid);
            let mut connection = Connection {
                door: self,
                session,
                pid,
                wire: Wire::new(stream, Codec::new()),
                pending: HashMap::new(),
                dialogs: 0,
                deciding: FuturesUnordered::new(),
                serials: 0,
            };
            connection.serve(&draining).await;
        })
    }
}

impl Connection {
    async fn serve(&mut self, draining: &tokio_util::sync::CancellationToken) {
        let mut client_done = false;
        loop {
            let oldest = self.oldest_dialog();
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
                    self.forget_old_dialogs();
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
            Command::Cont { id, data } => self.cont(id, data),
            Command::Cancel { id } => {
                self.forget(id);
                GO_ON
            }
        }
    }

    fn auth(&mut self, auth: Auth) -> Flow {
        let id = auth.id;
        if self.pending.contains_key(&id) {
            let door = &self.door.settings.name;
            tracing::warn!(
                door,
                id,
                "closed: the client used a request id again before it was answered"
            );
            return HANG_UP;
        }
        let Ok(initial) = auth.initial_response(self.wire.codec().minor()) else {
            return self.fail(
                id,
                None,
                Failure::InvalidBase64,
                "Invalid base64 data in initial response",
            );
        };
        let offered = &self.door.settings.mechanisms;
        let Some(mechanism) = Mechanism::from_name(&auth.mechanism).filter(|one| offered.contains(one))
        else {
            // Nothing was said about the user, so this is no wrong password.
            return self.fail(
                id,
                None,
                Failure::Temporary,
                "Unsupported authentication mechanism",
            );
        };
        let client = Client {
            address: auth.rip,
            session: auth.session,
            service: Some(auth.service),
        };
        let (exchange, step) = Exchange::start(mechanism, initial);
        self.step(id, exchange, client, step)
    }

    fn cont(&mut self, id: u32, data: Secret<[u8]>) -> Flow {
        match self.pending.get(&id) {
            Some(Pending::Dialog { .. }) => {}
            Some(Pending::Deciding(_)) => {
                self.forget(id);
                return self.fail(id, None, Failure::Temporary, "Unexpected continuation");
            }
            None => return self.fail(id, None, Failure::Temporary, "Authentication request timed out"),
        }
        let Some(Pending::Dialog {
            mut exchange, client, ..
        }) = self.forget(id)
        else {
            return GO_ON;
        };
        let Ok(data) = protocol::sasl::base64_decode(data.expose()) else {
            return self.fail(
                id,
                None,
                Failure::InvalidBase64,
                "Invalid base64 data in continued response",
            );
        };
        let step = exchange.next(data);
        self.step(id, exchange, client, step)
    }

    fn step(&mut self, id: u32, exchange: Exchange, client: Client, step: Step) -> Flow {
        match step {
            Step::Challenge(prompt) => {
                if self.dialogs >= DIALOGS {
                    return self.fail(id, None, Failure::Temporary, "Too many unfinished requests");
                }
                self.dialogs += 1;
                self.pending.insert(
                    id,
                    Pending::Dialog {
                        exchange,
                        client,
                        began: Instant::now(),
                    },
                );
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
        let kind = Kind::Login {
            user: Login::new(&user),
            proof: Proof::Password(password),
        };
        self.serials += 1;
        self.pending.insert(id, Pending::Deciding(self.serials));
        let question = Question { kind, client };
        self.deciding.push(Box::pin(
            self.door.clone().decide(question, self.session, self.serials, id),
        ));
        GO_ON
    }

    /// A message that is no login of anybody.
    fn malformed(&mut self, id: u32, client: &Client, error: &PlainError) -> Flow {
        let decision = Decision {
            verdict: Verdict::Reject(Cause::ours(Class::Syntax, error.to_string())),
            source: Source::Local,
            directory: None,
        };
        self.log(&Login::new(b""), client, &decision, Duration::ZERO, "FAIL");
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
        match self.pending.get(&id) {
            Some(Pending::Deciding(asked)) if *asked == serial => self.forget(id),
            // Cancelled meanwhile; the id may even be in use again.
            _ => return GO_ON,
        };
        let told = told(&decision.verdict, self.closes(&client));
        let (answer, flow) = match told {
            Told::Ok(name) => {
                let _ = self.reply(Reply::Ok {
                    id,
                    user: name,
                    fields: Vec::new(),
                });
                ("OK", GO_ON)
            }
            Told::Fail(failure) => {
                let name = user.as_bytes().to_vec();
                let _ = self.reply(Reply::Fail {
                    id,
                    user: Some(name),
                    failure,
                    reason: None,
                });
                (failure_name(failure), GO_ON)
            }
            Told::HangUp => {
                self.door.sessions.hanging_up(self.session, self.pid);
                ("hang up", HANG_UP)
            }
        };
        self.log(&user, &client, &decision, took, answer);
        flow
    }

    /// Whether a temporary failure is told by hanging up.
    fn closes(&self, client: &Client) -> bool {
        match self.door.settings.tempfail {
            Tempfail::Close => true,
            Tempfail::Fail => false,
            Tempfail::Auto => client.service.as_deref() == Some("smtp") && self.pending.is_empty(),
        }
    }

    fn fail(&mut self, id: u32, user: Option<Vec<u8>>, failure: Failure, reason: &str) -> Flow {
        let door = &self.door.settings.name;
        tracing::info!(door, id, "refused a request: {reason}");
        self.reply(Reply::Fail {
            id,
            user,
            failure,
            reason: Some(reason.into()),
        })
    }

    fn reply(&mut self, reply: Reply) -> Flow {
        match self.wire.push(reply) {
            Ok(()) => GO_ON,
            Err(error) => self.complain(&error),
        }
    }

    fn forget(&mut self, id: u32) -> Option<Pending> {
        let pending = self.pending.remove(&id);
        if let Some(Pending::Dialog { .. }) = pending {
            self.dialogs -= 1;
        }
        pending
    }

    fn oldest_dialog(&self) -> Option<Instant> {
        if self.dialogs == 0 {
            return None;
        }
        let began = self.pending.values().filter_map(|pending| match pending {
            Pending::Dialog { began, .. } => Some(*began),
            Pending::Deciding(_) => None,
        });
        began.min().map(|began| began + DIALOG_TIMEOUT)
    }

    fn forget_old_dialogs(&mut self) {
        let now = Instant::now();
        let old = |pending: &Pending| match pending {
            Pending::Dialog { began, .. } => *began + DIALOG_TIMEOUT <= now,
            Pending::Deciding(_) => false,
        };
        let ids: Vec<u32> = self
            .pending
            .iter()
            .filter(|(_, one)| old(one))
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            self.forget(id);
        }
    }

    fn log(&self, user: &Login, client: &Client, decision: &Decision, took: Duration, answer: &str) {
        log::answered(&Answered {
            door: &self.door.settings.name,
            question: "login",
            about: &user.to_string(),
            verdict: decision.verdict.name(),
            cause: &decision.verdict.reason(),
            detail: &decision.verdict.detail(),
            source: decision.source.name(),
            directory: decision.directory.as_deref().unwrap_or("-"),
            took,
            client: client.address.as_deref().unwrap_or("-"),
            instance: client.session.as_deref().unwrap_or("-"),
            answer,
        });
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

/// What a verdict is in the words of the protocol.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Ok(Vec<u8>),
    Fail(Failure),
    HangUp,
}

fn told(verdict: &Verdict, closes: bool) -> Told {
    match verdict {
        Verdict::Accept(identity) => Told::Ok(identity.name.clone()),
        Verdict::Reject(Cause {
            class: Class::Disabled,
            ..
        }) => Told::Fail(Failure::Disabled),
        Verdict::Reject(Cause {
            class: Class::Expired,
            ..
        }) => Told::Fail(Failure::Expired),
        Verdict::Reject(_) | Verdict::Abstain(_) => Told::Fail(Failure::Credentials),
        Verdict::Defer(_) if closes => Told::HangUp,
        Verdict::Defer(_) => Told::Fail(Failure::Temporary),
    }
}

const fn failure_name(failure: Failure) -> &'static str {
    match failure {
        Failure::Credentials => "FAIL",
        Failure::Temporary => "FAIL temp",
        Failure::Disabled => "FAIL user_disabled",
        Failure::Expired => "FAIL pass_expired",
        Failure::InvalidBase64 => "FAIL invalid_base64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Abstention;

    #[test]
    fn every_verdict_has_its_words() {
        let cause = |class| Cause::ours(class, "x");
        for (verdict, closes, expected) in [
            (Verdict::accept("jane"), true, Told::Ok(b"jane".to_vec())),
            (
                Verdict::Reject(cause(Class::BadCredentials)),
                true,
                Told::Fail(Failure::Credentials),
            ),
            (
                Verdict::Reject(cause(Class::Syntax)),
                true,
                Told::Fail(Failure::Credentials),
            ),
            (
                Verdict::Reject(cause(Class::Disabled)),
                true,
                Told::Fail(Failure::Disabled),
            ),
            (
                Verdict::Reject(cause(Class::Expired)),
                true,
                Told::Fail(Failure::Expired),
            ),
            (Verdict::Defer(cause(Class::Timeout)), true, Told::HangUp),
            (
                Verdict::Defer(cause(Class::Limit)),
                false,
                Told::Fail(Failure::Temporary),
            ),
            (
                Verdict::Abstain(Abstention::NotOurs),
                true,
                Told::Fail(Failure::Credentials),
            ),
        ] {
            assert_eq!(told(&verdict, closes), expected, "{verdict:?}");
        }
    }
}
