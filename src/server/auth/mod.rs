//! The auth listener: Postfix, Exim, Dovecot and others ask whether a login is good
//! (Dovecot's auth-client protocol).
//!
//! A `login` listener does the same for login processes of Dovecot; a mail
//! process fetches their logins at a master listener.
//!
//! `connection` hears commands, `answers` has the answers, `exchange`
//! knows the mechanisms' steps, `relay` holds a client's dialog with the remote, `requests`
//! keeps what is not answered yet, `outcome` puts verdicts into the protocol's words, `ok` adds
//! fields to a good answer.

mod answers;
pub(crate) mod connection;
mod exchange;
mod ok;
mod outcome;
pub(crate) mod relay;
pub(crate) mod requests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::auth::client::{Codec, Command, Greeting, Mech, Reply};
use vouch_protocol::secret::Secret;

use super::Caller;
use super::conversation::{AnswerOf, Protocol};
use super::current::Current;
use super::gate::{Gate, Guards};
use super::handover::Handover;
use super::login::{Login, LoginGate};
use super::login_limits::{Limits, Sessions};
use crate::engine::{Decision, Engine};
use crate::fleet::guesses::Guesses;
use crate::settings::listener;
use crate::settings::mechanism::Mechanism;
use crate::settings::protocol;
use crate::verdict::{Client, Kind, UserName};
use connection::{Connection, IN_FLIGHT};
use relay::Turn;

/// Answers auth-client requests.
pub struct AuthListener {
    keys: listener::Listener,
    gate: Arc<LoginGate>,
    handover: Arc<Handover>,
}

/// What is known of a request besides its login.
#[derive(Debug, Clone)]
struct RequestContext {
    id: u32,
    mechanism: Mechanism,
    client: Client,
    /// The client says that no mail process will ask for the login.
    nologin: bool,
    /// It says that no failure is a guess, and none to be answered late.
    no_penalty: bool,
}

/// A login that was decided on.
pub(crate) struct Decided {
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
    /// What its outcome counts for.
    login: Login,
    decision: Decision,
    took: Duration,
    /// When the client's patience ends: the answer may be held back until then.
    patience: Instant,
    /// Since when it is held back.
    held: Option<Instant>,
}

impl AuthListener {
    /// A listener in front of `engine`, instead of `before` where there was one. All listeners of one Dovecot share a
    /// `handover`. `guesses` counts failures with other edges.
    pub fn new(
        keys: listener::Listener,
        engine: Engine,
        (handover, guesses): (Arc<Handover>, Option<Guesses>),
        before: Option<&Self>,
    ) -> Self {
        let guards = Guards {
            penalty: keys.penalty.clone(),
            guesses,
            access: keys.access(),
            networks: keys.ok.allow_nets.clone(),
        };
        let (limits, before) = (Limits::of(&keys), before.map(|before| &*before.gate));
        Self {
            gate: Gate::new(&keys.name, limits, guards, engine, before),
            handover,
            keys,
        }
    }

    /// The time that an answer to this client may take.
    fn patience(&self, client: &Client) -> Duration {
        self.keys.deadline.of(client.service.as_deref())
    }

    /// A `login` listener: an accepted login is kept for the mail process that will fetch it.
    fn hands_over(&self) -> bool {
        self.keys.protocol == protocol::Protocol::Login
    }

    /// The mechanisms of the greeting. One that is carried is greeted once a remote is known to
    /// take it; where nothing would be left, all are, as a server without any is taken for
    /// another service.
    fn offered(&self) -> Vec<Mechanism> {
        let all = &self.keys.mechanisms;
        let known = |spoken: &Mechanism| match *spoken {
            Mechanism::Password(_) => true,
            Mechanism::Relayed(mechanism) => self.gate.engine.relays(mechanism),
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

    /// A login that begins. `connection` is the number under which the connection's
    /// failures are counted.
    fn login(&self, kind: &Kind, asked: &RequestContext, connection: u64) -> Login {
        Login::new(
            &self.gate,
            kind,
            asked.client.clone(),
            connection,
            asked.no_penalty,
        )
    }

    /// Decides on a login within `time`.
    async fn decide(
        self: Arc<Self>,
        asked: RequestContext,
        given: UserName,
        kind: Kind,
        login: Login,
        time: Duration,
    ) -> Decided {
        let decision = login.decide(kind, time).await;
        Decided::new(self, asked, given, login, decision)
    }
}

impl Decided {
    /// A decision on a login of `given`, made now.
    fn new(
        listener: Arc<AuthListener>,
        asked: RequestContext,
        given: UserName,
        login: Login,
        decision: Decision,
    ) -> Self {
        Self {
            serial: 0,
            user: given.clone(),
            given,
            pass: None,
            took: login.began.elapsed(),
            patience: login.began + listener.patience(&asked.client),
            held: None,
            decision,
            login,
            asked,
            listener,
        }
    }

    /// How long the answer is held back; a failure is counted.
    fn delay(&self) -> Duration {
        let delay = self.login.delay(&self.user, &self.decision);
        delay.min(self.patience.saturating_duration_since(Instant::now()))
    }
}

impl Protocol for AuthListener {
    type Client = Connection;
    type Message = Command;
    type Reply = Reply;
    type News = Turn;
    type Codec = Codec;
    type Limits = Sessions;
    const HINT: &'static str = "does it speak Dovecot auth?";

    fn gate(&self) -> &LoginGate {
        &self.gate
    }

    fn in_flight() -> usize {
        IN_FLIGHT
    }

    fn greet(current: &Arc<Current<Self>>, caller: &Caller) -> Option<(Connection, Vec<u8>)> {
        let listener = current.get();
        let Some(cookie) = listener.cookie() else {
            tracing::error!(
                listener = listener.keys.name,
                "closed: the system gives no random bytes to greet a client with; does a system call filter forbid getrandom?"
            );
            return None;
        };
        let pid = caller.peer.and_then(|peer| peer.pid);
        let session = listener.gate.limits.connected(caller.connection, pid);
        let connection = Connection::new(current.clone(), cookie, (session, pid), caller.draining.clone());
        Some((connection, listener.greeting(caller.connection, cookie)))
    }

    async fn heard(self: Arc<Self>, client: &mut Connection, command: Command) -> Option<AnswerOf<Self>> {
        client.command(command)
    }

    fn decided(client: &mut Connection, turn: Turn) -> Option<AnswerOf<Self>> {
        client.turned(turn)
    }

    fn held(client: &Connection) -> usize {
        client.held
    }

    fn forgets(client: &mut Connection) -> Option<Instant> {
        client.requests.next_timeout()
    }

    fn forget(client: &mut Connection) -> bool {
        client.requests.forget_old();
        true
    }

    fn is_under_way(client: &Connection) -> bool {
        client.is_under_way()
    }

    /// A login process of Dovecot does.
    fn closes_itself(client: &Connection) -> bool {
        client.accepted.is_some()
    }
}
