//! The policy listener: Postfix asks whether to accept a recipient (Postfix
//! `SMTPD_POLICY_README`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vouch_protocol::policy::{Action, Codec, Request};

use super::conversation::{Answer, AnswerOf, Protocol};
use super::counts::Entry;
use super::current::Current;
use super::gate::{Gate, Guards};
use super::penalty::{Failure, Offender};
use super::recipient_limits::{RcptAttempt, Sessions};
use super::{Caller, hold_back};
use crate::address::Address;
use crate::engine::{Decision, Engine};
use crate::fleet::guesses::Guesses;
use crate::settings::listener;
use crate::verdict::{Client, Kind, Question, text};

/// Bound (questions): time from a recipient's question to its answer while Postfix is under stress (stress=yes).
/// Beyond: no answer (action.defer). Why: a process of Postfix that waits serves no client.
const STRESSED: Duration = Duration::from_secs(5);

// Bound (questions, 1): policy requests of one connection at once. Beyond: further ones wait unread, and are answered
// in order. Why: the protocol requires it.

/// Answers policy requests.
pub struct Policy {
    keys: listener::Listener,
    gate: Arc<Gate<Sessions>>,
}

impl Policy {
    /// A listener in front of `engine`, instead of `before` where there was one.
    /// `guesses` counts failures with other edges.
    pub fn new(
        keys: listener::Listener,
        engine: Engine,
        guesses: Option<Guesses>,
        before: Option<&Self>,
    ) -> Self {
        let guards = Guards {
            penalty: keys.penalty.clone(),
            guesses,
            access: keys.access(),
            networks: None,
        };
        let before = before.map(|before| &*before.gate);
        Self {
            gate: Gate::new(&keys.name, keys.limits, guards, engine, before),
            keys,
        }
    }

    /// The time that the answer may take.
    fn patience(&self, request: &Request) -> Duration {
        let patience = self.keys.deadline.other;
        if request.stress {
            patience.min(STRESSED)
        } else {
            patience
        }
    }

    /// How long the answer is held back; a refused recipient counts, and again only once it
    /// is forgotten. A Postfix without a process to spare waits for nothing, nor does one
    /// whose mail is not to be touched.
    fn delay(&self, request: &Request, offender: Option<Offender>, decision: &Decision) -> Duration {
        let failure = decision.is_refusal().then_some(Failure {
            user: None,
            what: Some(&request.recipient),
            mark: self
                .gate
                .guesses()
                .map(|guesses| guesses.recipient(&request.recipient)),
        });
        let delay = self.gate.delay(offender, failure);
        if request.stress || self.keys.action.dry_run {
            Duration::ZERO
        } else {
            delay
        }
    }

    /// The recipient that a request is about, if it is for us to judge.
    fn asks_about(&self, request: &Request) -> Option<Address> {
        let ours = match &request.protocol_state[..] {
            b"RCPT" => true,
            b"VRFY" => self.keys.action.vrfy,
            _ => false,
        };
        if ours {
            Address::from_unquoted(&request.recipient).ok()
        } else {
            None
        }
    }

    /// `delayed` is how long the answer was held back behind the verdict.
    fn tell(
        &self,
        request: &Request,
        decision: &Decision,
        action: &Action,
        (took, delayed): (Duration, Option<Duration>),
    ) {
        let dry_run = self
            .keys
            .action
            .dry_run
            .then(|| format!("DUNNO (dry-run; else {})", action.as_str()));
        self.gate.tell(&Entry {
            question: "recipient",
            about: &request.recipient,
            decision,
            took,
            delayed,
            client: &Client {
                address: Client::address_in(&request.client_address),
                ..Client::default()
            },
            instance: Some(&text(&request.instance)),
            answer: dry_run.as_deref().unwrap_or(action.as_str()),
        });
    }
}

fn attempt(request: &Request, connection: u64) -> RcptAttempt<'_> {
    RcptAttempt {
        connection,
        instance: &request.instance,
        address: &request.client_address,
        port: &request.client_port,
        helo: &request.helo_name,
        recipient: &request.recipient,
        whose: ["message", "SMTP session"],
    }
}

fn client(request: &Request) -> Client {
    let port = str::from_utf8(&request.client_port).ok();
    Client {
        address: Client::address_in(&request.client_address),
        port: port.and_then(|port| port.parse().ok()),
        session: (!request.instance.is_empty()).then(|| text(&request.instance).into_owned()),
        service: Some("smtp".into()),
    }
}

impl Protocol for Policy {
    type Client = Asker;
    type Message = Request;
    type Reply = Action;
    type News = Infallible;
    type Codec = Codec;
    type Limits = Sessions;
    const HINT: &'static str = "is it a Postfix?";

    fn gate(&self) -> &Gate<Sessions> {
        &self.gate
    }

    fn greet(_: &Arc<Current<Self>>, caller: &Caller) -> Option<(Asker, Vec<u8>)> {
        let (connection, draining) = (caller.connection, caller.draining.clone());
        Some((Asker { connection, draining }, Vec::new()))
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "it would hold the request twice, in each idle connection, too"
    )]
    fn heard(
        self: Arc<Self>,
        asker: &mut Asker,
        request: Request,
    ) -> impl Future<Output = Option<AnswerOf<Self>>> + Send {
        async move { Some(Answer::Reply(self.answer(&request, asker).await)) }
    }
}

/// One connection of Postfix.
pub(crate) struct Asker {
    connection: u64,
    /// Nothing holds an answer back beyond it.
    draining: CancellationToken,
}

impl Policy {
    /// To whom a failure is laid, and the decision.
    fn ask(
        &self,
        request: &Request,
        address: Address,
        asker: &Asker,
        deadline: Instant,
    ) -> (Option<Offender>, impl Future<Output = Decision> + Send + use<'_>) {
        let client = client(request);
        let offender = self.gate.offender(&client);
        let question = Question {
            kind: Kind::Recipient(address),
            client,
        };
        let attempt = attempt(request, asker.connection);
        let decision = self.gate.ask(question, offender, attempt, deadline, None);
        (offender, decision)
    }

    async fn answer(&self, request: &Request, asker: &Asker) -> Action {
        let Some(address) = self.asks_about(request) else {
            return Action::dunno();
        };
        let asked = Instant::now();
        let deadline = asked + self.patience(request);
        let (offender, decision) = self.ask(request, address, asker, deadline);
        let decision = decision.await;
        let decided = Instant::now();
        let delay = self.delay(request, offender, &decision);
        let delay = delay.min(deadline.saturating_duration_since(decided));
        if !delay.is_zero() {
            Box::pin(hold_back(delay, &asker.draining)).await;
        }
        let delayed = (!delay.is_zero()).then(|| decided.elapsed());
        let action = self.keys.action.to_action(&decision);
        self.tell(request, &decision, &action, (decided - asked, delayed));
        if self.keys.action.dry_run {
            Action::dunno()
        } else {
            action
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Listener;
    use crate::settings::protocol::Protocol as Kind;
    use crate::settings::socket::ListenAddress;

    /// Each of thousands of idle connections takes this much, whether or not it ever asks.
    #[tokio::test]
    async fn an_idle_connection_has_no_room_for_what_is_rare() {
        let keys = listener::Listener::new("in", Kind::Policy, ListenAddress::Dovecot, Vec::new());
        let policy = Policy::new(keys, Engine::new(Vec::new(), None), None, None);
        let served = Arc::new(Current::new(policy)).serve(Caller {
            stream: Box::new(tokio::io::duplex(1).0),
            connection: 1,
            peer: None,
            draining: CancellationToken::new(),
            deaf: CancellationToken::new(),
        });
        let size = size_of_val(&*served);
        assert!(size <= 2560, "{size}");
    }
}
