//! The auth door: Postfix, Exim, Dovecot and others ask whether a login is good
//! (Dovecot's auth-client protocol).
//!
//! `connection` reads and answers, `requests` keeps what is not answered yet,
//! `told` puts verdicts into the protocol's words.

mod connection;
mod requests;
mod told;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::auth::client::{Greeting, Mech};
use protocol::sasl::Mechanism;
use rustls::crypto::SecureRandom;
use tokio::time::{Instant, timeout};

use super::auth_limits::Sessions;
use super::{Caller, Door, WRITE_TIMEOUT};
use crate::engine::{Decision, Engine, Source};
use crate::telemetry::log::{self, Answered};
use crate::verdict::{Cause, Class, Client, Kind, Login, Proof, Question, Verdict};
use connection::Connection;

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

/// A login that was decided on.
struct Decided {
    /// Which of a connection's questions it was.
    serial: u64,
    id: u32,
    user: Login,
    client: Client,
    decision: Decision,
    took: Duration,
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

    /// Decides on a login. `session` is the number under which the connection's
    /// failures are counted.
    async fn decide(
        self: Arc<Self>,
        user: Login,
        proof: Proof,
        client: Client,
        session: u64,
        (serial, id): (u64, u32),
    ) -> Decided {
        let asked = Instant::now();
        let address = client.address.as_deref();
        let question = Question {
            kind: Kind::Login {
                user: user.clone(),
                proof,
            },
            client: client.clone(),
        };
        let decision = if self.sessions.admit(session, address) {
            let Deadline { smtp, other } = self.settings.deadline;
            let patience = if is_smtp(&client) { smtp } else { other };
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

    fn log(&self, user: &Login, client: &Client, decision: &Decision, took: Duration, answer: &str) {
        log::answered(&Answered {
            door: &self.settings.name,
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
}

/// Whether Postfix or another SMTP server asks; maddy writes it in capitals.
fn is_smtp(client: &Client) -> bool {
    client
        .service
        .as_deref()
        .is_some_and(|service| service.eq_ignore_ascii_case("smtp"))
}

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
            if matches!(timeout(WRITE_TIMEOUT, greeted).await, Ok(Ok(()))) {
                let session = self.sessions.connected(connection, pid);
                Connection::new(self, stream, session, pid).serve(&draining).await;
            }
        })
    }
}
