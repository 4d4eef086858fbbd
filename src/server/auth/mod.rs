//! The auth listener: Postfix, Exim, Dovecot and others ask whether a login is good
//! (Dovecot's auth-client protocol).
//!
//! A `login` listener does the same for login processes of Dovecot; a mail
//! process fetches their logins at a master listener.
//!
//! `connection` reads, `answers` answers, `late` holds back what a penalty delays, `overdue` counts what
//! comes when its client waits no more, `exchange`
//! knows the mechanisms' steps, `relay` holds a client's dialog with the remote, `requests`
//! keeps what is not answered yet, `told` puts verdicts into the protocol's words, `ok` adds
//! fields to a good answer.

mod answers;
pub(crate) mod connection;
mod exchange;
pub(crate) mod late;
mod ok;
mod outcome;
mod overdue;
pub(crate) mod relay;
pub(crate) mod requests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::auth::client::{Greeting, Mech};
use vouch_protocol::secret::Secret;

use super::counts::{Entry, ListenerCounts};
use super::current::Current;
use super::fields::Fields;
use super::handover::Handover;
use super::login_limits::{self, Session, Sessions};
use super::penalty::{self, Failure, Offender, Penalty};
use super::{Caller, Deadline, Listener, REQUEST_TIMEOUT, WRITE_TIMEOUT, greet};
use crate::address::Domain;
use crate::address::access::Access;
use crate::engine::{Decision, Engine, Source, Tag};
use crate::verdict::{Cause, Class, Client, Kind, Proof, Question, UserName, Verdict};
use connection::Connection;
pub use exchange::OfferedMechanism;
pub use ok::OkFields;
use overdue::Overdue;

/// How a question without an answer is expressed.
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

/// An auth listener's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener's name.
    pub name: String,
    /// What is offered, in this order; what is carried only once a remote is known to take it.
    pub mechanisms: Vec<OfferedMechanism>,
    /// How a question without an answer is expressed.
    pub tempfail: Tempfail,
    /// The time from a question to its answer.
    pub deadline: Deadline,
    /// How much one client's session may fail.
    pub limits: login_limits::Limits,
    /// How guesses are answered; `None` is like all others.
    pub penalty: Option<penalty::Settings>,
    /// Which clients are answered, and about whom.
    pub access: Access,
    /// A `login` listener: an accepted login is kept for the mail process that will fetch it.
    pub hands_over: bool,
    /// What is added to OK.
    pub ok: OkFields,
    /// The fields of the user for that mail process, before those of the master listener.
    pub fields: Fields,
}

/// Answers auth-client requests.
pub struct AuthListener {
    settings: Settings,
    engine: Engine,
    sessions: Arc<Sessions>,
    penalty: Option<Arc<Penalty>>,
    handover: Arc<Handover>,
    counts: Arc<ListenerCounts>,
}

/// What is known of a request besides its login.
#[derive(Debug, Clone)]
struct RequestContext {
    id: u32,
    mechanism: OfferedMechanism,
    client: Client,
    /// The client says that no mail process will ask for the login.
    nologin: bool,
    /// It says that no failure is a guess, and none to be answered late.
    no_penalty: bool,
}

/// A login that was decided on.
struct Decided {
    /// The listener as it was when the client asked.
    listener: Arc<AuthListener>,
    /// Which of a connection's questions it was.
    serial: u64,
    asked: RequestContext,
    /// The name as it was given, and with the default domain.
    given: UserName,
    user: UserName,
    /// The password, where OK is to hold it.
    pass: Option<Secret<[u8]>>,
    /// What the login is known by; `None` where each is another.
    tag: Option<Tag>,
    decision: Decision,
    took: Duration,
    /// When the client's patience ends: the answer may be held back until then.
    patience: Instant,
    /// Since when it is held back.
    held: Option<Instant>,
}

impl AuthListener {
    /// A listener in front of `engine`. All listeners of one Dovecot share a `handover`.
    pub fn new(settings: Settings, engine: Engine, handover: Arc<Handover>) -> Self {
        Self {
            sessions: Arc::new(Sessions::new(settings.limits.clone())),
            penalty: Penalty::under(settings.penalty.clone(), None),
            handover,
            counts: Arc::default(),
            settings,
            engine,
        }
    }

    /// The same listener with other settings or directories. What was counted under limits that are still the
    /// same counts on.
    pub fn succeeded_by(&self, settings: Settings, engine: Engine) -> Self {
        Self {
            sessions: Sessions::under(&settings.limits, &self.sessions),
            penalty: Penalty::under(settings.penalty.clone(), self.penalty.as_ref()),
            handover: self.handover.clone(),
            counts: self.counts.clone(),
            settings,
            engine,
        }
    }

    /// The mechanisms of the greeting. One that is carried is greeted once a remote is known to
    /// take it; where nothing would be left, all are, as a server without any is taken for
    /// another service.
    fn offered(&self) -> Vec<OfferedMechanism> {
        let all = &self.settings.mechanisms;
        let known = |spoken: &OfferedMechanism| match *spoken {
            OfferedMechanism::Password(_) => true,
            OfferedMechanism::Relayed(mechanism) => self.engine.relays(mechanism),
        };
        let offered: Vec<_> = all.iter().copied().filter(known).collect();
        if offered.is_empty() { all.clone() } else { offered }
    }

    /// Bits that nobody can guess.
    fn cookie(&self) -> Option<[u8; 16]> {
        let mut cookie = [0; 16];
        getrandom::fill(&mut cookie).ok()?;
        Some(self.handover.stamp_owner(cookie))
    }

    fn greeting(&self, connection: u64, cookie: [u8; 16]) -> Vec<u8> {
        let mechanisms = self.offered().into_iter().map(Mech::from).collect();
        // CUID wraps after four thousand million connections; it need only differ among the living.
        let cuid = (connection % u64::from(u32::MAX)) as u32 + 1;
        Greeting {
            mechanisms,
            spid: self.handover.spid(),
            cuid,
            cookie,
        }
        .to_bytes()
    }

    /// Decides on a login. `connection` is the number under which the connection's
    /// failures are counted.
    async fn decide(
        self: Arc<Self>,
        serial: u64,
        asked: RequestContext,
        given: UserName,
        proof: Proof,
        connection: u64,
    ) -> Decided {
        let began = Instant::now();
        let user = match &proof {
            Proof::Relay(_) => given.clone(),
            Proof::Password(_) | Proof::Token { .. } => self.engine.complete(&given),
        };
        let pass = match &proof {
            Proof::Password(password) if self.settings.ok.pass => Some(password.clone()),
            Proof::Password(_) | Proof::Token { .. } | Proof::Relay(_) => None,
        };
        let kind = Kind::Login {
            user: user.clone(),
            proof,
        };
        // Before the password is the engine's.
        let session = self.session(&asked, connection);
        let is_counted = session.is_some() || self.offender(&asked).is_some();
        let tag = is_counted.then(|| self.engine.tag(&kind)).flatten();
        let overdue = Overdue {
            listener: self.clone(),
            asked: asked.clone(),
            login: overdue::name(&kind),
            tag: tag.clone(),
            session,
            began,
        };
        let decision = self.decision(kind, overdue).await;
        self.sessions.note(session, tag.as_ref(), &decision);
        Decided {
            serial,
            given,
            user,
            pass,
            tag,
            decision,
            took: began.elapsed(),
            patience: began + self.settings.deadline.of(&asked.client),
            held: None,
            asked,
            listener: self,
        }
    }

    async fn decision(&self, kind: Kind, overdue: Overdue) -> Decision {
        let Overdue {
            asked,
            session,
            began,
            ..
        } = &overdue;
        if let Some((verdict, source)) = self.refuse(&kind, asked, *session) {
            return Decision {
                verdict,
                source,
                directory: self.engine.directory_for(&kind),
            };
        }
        let time = match &kind {
            // Each turn of it has the client's patience.
            Kind::Login {
                proof: Proof::Relay(_),
                ..
            } => relay::DIALOG_TIME,
            _ => self.settings.deadline.of(&asked.client),
        };
        let (client, deadline) = (asked.client.clone(), *began + time);
        let question = Question { kind, client };
        let late = move |decision| overdue.hear(&decision);
        self.engine.decide_or_late(question, deadline, late).await
    }

    /// The verdict where nobody is to be asked for this client.
    fn refuse(
        &self,
        kind: &Kind,
        asked: &RequestContext,
        session: Option<Session>,
    ) -> Option<(Verdict, Source)> {
        let client = &asked.client;
        if let Kind::Login { user, .. } = kind
            && let Some(verdict) = self.denied(user, client)
        {
            return Some((verdict, Source::Access));
        }
        let put_off = |why| Verdict::Defer(Cause::ours(Class::Limit, why));
        if !self.sessions.admit(session) {
            let why = "the client's session has used up listener limit auth-errors";
            return Some((put_off(why), Source::Limit));
        }
        let penalty = self.penalty.as_ref().zip(self.offender(asked));
        if penalty.is_some_and(|(penalty, offender)| penalty.refuses(offender)) {
            let why = "the client has failed as often as listener penalty refuse-after says";
            return Some((put_off(why), Source::Penalty));
        }
        if !self.settings.ok.allows(client) {
            let why = "the client's address is not in ok.allow_nets";
            return Some((Verdict::Reject(Cause::ours(Class::Policy, why)), Source::Local));
        }
        None
    }

    /// The verdict where the listener does not answer this client, or nothing about this
    /// user. Its login may be good, so it is no refusal: our administrator has decided this,
    /// and nobody has said anything about the password. The name of a dialog may be empty as
    /// yet; it is asked about once it is known.
    fn denied(&self, user: &UserName, client: &Client) -> Option<Verdict> {
        let access = &self.settings.access;
        let mut denied = access.client(client.address).err();
        if denied.is_none() && access.names_domains() && !user.as_bytes().is_empty() {
            let domain = user.domain().and_then(|domain| str::from_utf8(domain).ok());
            let domain = domain.and_then(|domain| Domain::parse(domain).ok());
            denied = access.domain(domain.as_ref()).err();
        }
        denied.map(|why| Verdict::Defer(Cause::ours(Class::Policy, why.to_string())))
    }

    /// The session whose limit a request counts towards; `None` where it counts towards none.
    fn session(&self, asked: &RequestContext, connection: u64) -> Option<Session> {
        let is_guess = !asked.no_penalty;
        is_guess
            .then(|| self.sessions.of(connection, &asked.client))
            .flatten()
    }

    /// To whom the failures of a request are laid.
    fn offender(&self, asked: &RequestContext) -> Option<Offender> {
        let penalty = self.penalty.as_ref().filter(|_| !asked.no_penalty)?;
        penalty.offender(&asked.client)
    }

    /// How long an answer is held back; a failure is counted.
    fn delay(&self, decided: &Decided) -> Duration {
        let Decided {
            asked,
            user,
            tag,
            decision,
            patience,
            ..
        } = decided;
        let delay = self.count(asked, user, tag.as_ref(), decision);
        delay.min(patience.saturating_duration_since(Instant::now()))
    }

    /// Counts a failure. How late the penalty would have the answer.
    fn count(
        &self,
        asked: &RequestContext,
        user: &UserName,
        tag: Option<&Tag>,
        decision: &Decision,
    ) -> Duration {
        let Some((penalty, offender)) = self.penalty.as_ref().zip(self.offender(asked)) else {
            return Duration::ZERO;
        };
        let has_failed = decision.is_failed_attempt();
        let account = has_failed.then(|| self.engine.account(user));
        let failure = account.as_ref().map(|account| Failure {
            user: Some(account.as_bytes()),
            what: tag,
        });
        penalty.delay(offender, failure)
    }

    /// Counts and logs a decision. `delayed` is how long the answer was held back behind
    /// the verdict.
    fn log(
        &self,
        user: &UserName,
        client: &Client,
        decision: &Decision,
        (took, delayed): (Duration, Option<Duration>),
        answer: &str,
    ) {
        self.counts.tell(&Entry {
            listener: &self.settings.name,
            question: "login",
            about: user.as_bytes(),
            decision,
            took,
            delayed,
            client: &client.shown(),
            instance: client.session.as_deref().unwrap_or("-"),
            answer,
        });
    }
}

impl Listener for Current<AuthListener> {
    fn chooses_when_to_part(&self) -> bool {
        true
    }

    fn counts(&self) -> Arc<ListenerCounts> {
        self.get().counts.clone()
    }

    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Caller {
                mut stream,
                connection,
                peer,
                draining,
                deaf,
            } = caller;
            let listener = self.get();
            let Some(cookie) = listener.cookie() else {
                tracing::error!(
                    listener = listener.settings.name,
                    "closed: the system gives no random bytes to greet a client with; does a system call filter forbid getrandom?"
                );
                return;
            };
            let greeting = listener.greeting(connection, cookie);
            // In one write: some clients read only once.
            if greet(&mut stream, &greeting, &listener.settings.name).await {
                let pid = peer.and_then(|peer| peer.pid);
                let session = listener.sessions.connected(connection, pid);
                drop(listener);
                Connection::new(self, stream, cookie, (session, pid))
                    .serve(&draining, &deaf)
                    .await;
            }
        })
    }
}
