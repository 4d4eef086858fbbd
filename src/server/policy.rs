//! The policy listener: Postfix asks whether to accept a recipient (Postfix
//! `SMTPD_POLICY_README`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use vouch_protocol::policy::{Action, Codec, Request};

use super::actions::Actions;
use super::counts::{Entry, ListenerCounts};
use super::current::Current;
use super::in_turn::{self, InTurn};
use super::penalty::{self, Failure, Offender, Penalty};
use super::recipient_limits::{Limits, RcptAttempt, Sessions, Used};
use super::{Caller, Listener};
use crate::address::Address;
use crate::address::access::Access;
use crate::engine::{Decision, Engine, Source};
use crate::verdict::{Abstention, Cause, Class, Client, Kind, Question, Verdict};

/// Bound (questions): time from a recipient's question to its answer while Postfix is under stress (stress=yes).
/// Beyond: no answer (action.defer). Why: a process of Postfix that waits serves no client.
const STRESSED: Duration = Duration::from_secs(5);

// Bound (questions, 1): policy requests of one connection at once. Beyond: further ones wait unread, and are answered
// in order. Why: the protocol requires it.

/// A policy listener's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener's name.
    pub name: String,
    /// The answers to Postfix.
    pub actions: Actions,
    /// The time from a question to its answer.
    pub deadline: Duration,
    /// VRFY is answered too.
    pub vrfy: bool,
    /// Everything is answered DUNNO; the log says what would have been.
    pub dry_run: bool,
    /// How much one message and one SMTP session may ask.
    pub limits: Limits,
    /// How those are answered who try one unknown recipient after the other; `None` is like
    /// all others.
    pub penalty: Option<penalty::Settings>,
    /// Which clients are answered, and about which domains.
    pub access: Access,
}

/// Answers policy requests.
pub struct Policy {
    settings: Settings,
    engine: Engine,
    sessions: Arc<Sessions>,
    penalty: Option<Arc<Penalty>>,
    counts: Arc<ListenerCounts>,
}

impl Policy {
    /// A listener in front of `engine`.
    pub fn new(settings: Settings, engine: Engine) -> Self {
        Self {
            sessions: Arc::new(Sessions::new(settings.limits)),
            penalty: Penalty::under(settings.penalty.clone(), None),
            counts: Arc::default(),
            settings,
            engine,
        }
    }

    /// The same listener with other settings or directories. What was counted under limits that are still the
    /// same counts on.
    pub fn succeeded_by(&self, settings: Settings, engine: Engine) -> Self {
        Self {
            sessions: Sessions::under(settings.limits, &self.sessions),
            penalty: Penalty::under(settings.penalty.clone(), self.penalty.as_ref()),
            counts: self.counts.clone(),
            settings,
            engine,
        }
    }

    /// The time that the answer may take.
    fn patience(&self, request: &Request) -> Duration {
        let patience = self.settings.deadline;
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
        let Some((penalty, offender)) = self.penalty.as_ref().zip(offender) else {
            return Duration::ZERO;
        };
        let failure = decision.is_refusal().then_some(Failure {
            user: None,
            what: Some(&request.recipient),
        });
        let delay = penalty.delay(offender, failure);
        if request.stress || self.settings.dry_run {
            Duration::ZERO
        } else {
            delay
        }
    }

    /// The recipient that a request is about, if it is for us to judge.
    fn asks_about(&self, request: &Request) -> Option<Address> {
        let ours = match &request.protocol_state[..] {
            b"RCPT" => true,
            b"VRFY" => self.settings.vrfy,
            _ => false,
        };
        if ours {
            Address::from_unquoted(&request.recipient).ok()
        } else {
            None
        }
    }

    async fn decide(
        &self,
        request: &Request,
        connection: u64,
        question: Question,
        offender: Option<Offender>,
        deadline: Instant,
    ) -> Decision {
        // What is not ours costs nothing and counts for nothing.
        if self.is_denied(&question) {
            return Decision {
                verdict: Verdict::Abstain(Abstention::NotOurs),
                source: Source::Access,
                directory: None,
            };
        }
        let Some(directory) = self.engine.directory_for(&question.kind) else {
            let verdict = Verdict::Abstain(Abstention::NotOurs);
            return Decision {
                verdict,
                source: Source::Local,
                directory: None,
            };
        };
        let put_off = |why, source| Decision {
            verdict: Verdict::Defer(Cause::ours(Class::Limit, why)),
            source,
            directory: Some(directory),
        };
        let penalty = self.penalty.as_ref().zip(offender);
        if penalty.is_some_and(|(penalty, offender)| penalty.refuses(offender)) {
            let why = "the client has failed as often as listener penalty refuse-after says";
            return put_off(why, Source::Penalty);
        }
        let ticket = match self.sessions.admit(&attempt(request, connection)) {
            Ok(ticket) => ticket,
            Err(used) => return put_off(used_up(used), Source::Limit),
        };
        let decision = self.engine.decide(question, deadline).await;
        match decision.verdict {
            Verdict::Accept(_) | Verdict::Abstain(Abstention::NoOpinion) => ticket.accepted(),
            Verdict::Reject(_) => ticket.refused(),
            Verdict::Defer(_) | Verdict::Abstain(Abstention::NotOurs) => {}
        }
        decision
    }

    /// Whether the listener does not answer this client, or nothing about this domain. It
    /// has no opinion then: whether to refuse a client is for Postfix to know.
    fn is_denied(&self, question: &Question) -> bool {
        let access = &self.settings.access;
        let domain = match &question.kind {
            Kind::Recipient(address) => Some(address.domain()),
            Kind::Login { .. } => None,
        };
        access.client(question.client.address).is_err() || access.domain(domain).is_err()
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
            .settings
            .dry_run
            .then(|| format!("DUNNO (dry-run; else {})", action.as_str()));
        let client = Client {
            address: Client::address_in(&request.client_address),
            ..Client::default()
        };
        self.counts.tell(&Entry {
            listener: &self.settings.name,
            question: "recipient",
            about: &request.recipient,
            decision,
            took,
            delayed,
            client: &client.shown(),
            instance: &String::from_utf8_lossy(&request.instance),
            answer: dry_run.as_deref().unwrap_or(action.as_str()),
        });
    }
}

fn used_up(limit: Used) -> &'static str {
    match limit {
        Used::Rcpt => "the message has used up listener limit rcpt",
        Used::RcptErrors => "the SMTP session has used up listener limit rcpt-errors",
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
    }
}

fn client(request: &Request) -> Client {
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned());
    Client {
        address: Client::address_in(&request.client_address),
        port: text(&request.client_port).and_then(|port| port.parse().ok()),
        session: text(&request.instance),
        service: Some("smtp".into()),
    }
}

impl Listener for Current<Policy> {
    fn counts(&self) -> Arc<ListenerCounts> {
        self.get().counts.clone()
    }

    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(in_turn::serve(self, caller))
    }
}

impl InTurn for Policy {
    type Question = Request;
    type Answer = Action;
    type Codec = Codec;
    const HINT: &'static str = "is it a Postfix?";

    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn answer(&self, request: Request, connection: u64, draining: &CancellationToken) -> Action {
        let Some(address) = self.asks_about(&request) else {
            return Action::dunno();
        };
        let asked = Instant::now();
        let client = client(&request);
        let deadline = asked + self.patience(&request);
        let offender = self
            .penalty
            .as_ref()
            .and_then(|penalty| penalty.offender(&client));
        let question = Question {
            kind: Kind::Recipient(address),
            client,
        };
        let decision = self
            .decide(&request, connection, question, offender, deadline)
            .await;
        let decided = Instant::now();
        let delay = self.delay(&request, offender, &decision);
        let delay = delay.min(deadline.saturating_duration_since(decided));
        if !delay.is_zero() {
            tokio::select! {
                biased;
                () = sleep(delay) => {}
                () = draining.cancelled() => {}
            }
        }
        let delayed = (!delay.is_zero()).then(|| decided.elapsed());
        let action = self.settings.actions.to_action(&decision);
        self.tell(&request, &decision, &action, (decided - asked, delayed));
        if self.settings.dry_run {
            Action::dunno()
        } else {
            action
        }
    }
}
