//! The userdb and master listeners: Dovecot asks for its users, and its mail
//! processes fetch their logins (Dovecot's auth-master protocol).
//!
//! `connection` has what becomes of requests, `claims` hands logins over, `cache` tells of what is remembered, and
//! forgets it, `mask` has which names LIST wants.

mod cache;
mod claims;
pub(crate) mod connection;
mod mask;

use std::sync::Arc;

use tokio::time::Instant;
use vouch_protocol::auth::master::{Codec, Field, Lookup, Reply, Request, greeting};

use super::conversation::{Answer, AnswerOf, Protocol};
use super::counts::Entry;
use super::current::Current;
use super::gate::{Gate, Guards, Unlimited};
use super::handover::Handover;
use super::{Caller, Peer, client, fields};
use crate::address::Address;
use crate::engine::{Decision, Engine, Source};
use crate::settings::listener::{self, Exists};
use crate::verdict::{Abstention, Client, Kind, Question, UserName, Verdict};
use cache::Baseline;
use connection::{Connection, IN_FLIGHT};
use mask::Mask;

/// Answers auth-master requests.
pub struct UserdbListener {
    keys: listener::Listener,
    gate: Arc<Gate<Unlimited>>,
    handover: Arc<Handover>,
    baseline: Arc<Baseline>,
}

/// What is asked about a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// USER
    Fields,
    /// PASS
    Name,
}

/// What a verdict means here.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Exists,
    NotFound,
    Fail,
}

impl UserdbListener {
    /// A listener in front of `engine`, instead of `before` where there was one. All listeners of one Dovecot share a
    /// `handover`.
    pub fn new(
        keys: listener::Listener,
        engine: Engine,
        handover: Arc<Handover>,
        before: Option<&Self>,
    ) -> Self {
        let gate = before.map(|before| &*before.gate);
        Self {
            gate: Gate::new(&keys.name, (), Guards::default(), engine, gate),
            handover,
            baseline: before.map(|before| before.baseline.clone()).unwrap_or_default(),
            keys,
        }
    }

    /// The answer to USER or PASS.
    async fn look_up(self: Arc<Self>, wanted: Wanted, lookup: Lookup, peer: Option<Peer>) -> Reply {
        let asked = Instant::now();
        let Lookup { id, user, parameters } = lookup;
        let client = client(*parameters);
        let user = self.gate.engine.complete(&UserName::new(&user));
        if wanted == Wanted::Name && is_stranger(peer) {
            self.turn_away("PASS", &user.to_string());
            return Reply::Fail { id };
        }
        let (user, decision) = self.decide(user, &client, asked).await;
        let (reply, answer) = match (outcome(&decision.verdict), wanted) {
            (Outcome::Exists, Wanted::Name) => {
                let name = user.as_bytes().to_vec();
                (Reply::Pass { id, name }, "PASS")
            }
            (Outcome::Exists, Wanted::Fields) => match self.fields(&user, &client, peer) {
                Some(fields) => {
                    let name = user.as_bytes().to_vec();
                    (Reply::User { id, name, fields }, "USER")
                }
                None => (Reply::Fail { id }, "FAIL"),
            },
            (Outcome::NotFound, _) => (Reply::NotFound { id }, "NOTFOUND"),
            (Outcome::Fail, _) => (Reply::Fail { id }, "FAIL"),
        };
        self.log(&user, &client, &decision, asked, answer);
        reply
    }

    /// The verdict on a user, and the user's one name.
    async fn decide(&self, user: UserName, client: &Client, asked: Instant) -> (UserName, Decision) {
        let local = |verdict, directory| Decision {
            verdict,
            source: Source::Local,
            directory,
        };
        let Ok(address) = Address::from_unquoted(user.as_bytes()) else {
            return (user, local(Verdict::Abstain(Abstention::NotOurs), None));
        };
        let address = self.gate.engine.mailbox(address);
        let user = UserName::new(&address.to_unquoted());
        let decision = match self.keys.exists {
            Exists::Probe => {
                let deadline = asked + self.keys.deadline.of(client.service.as_deref());
                let question = Question {
                    kind: Kind::Recipient(address),
                    client: client.clone(),
                };
                self.gate.ask(question, None, (), deadline, None).await
            }
            // A name that nobody can have is no user in any domain.
            Exists::Domain => match self.gate.engine.directory_of(address.domain()) {
                Some(directory) if address.fault().is_none() => {
                    local(Verdict::accept(user.as_bytes()), Some(directory))
                }
                _ => local(Verdict::Abstain(Abstention::NotOurs), None),
            },
        };
        (user, decision)
    }

    /// The fields of a user; `None` where it cannot be, or not to this peer.
    fn fields(&self, user: &UserName, client: &Client, peer: Option<Peer>) -> Option<Vec<Field>> {
        let listener = &self.keys.name;
        let fields = match fields::fill_paths(&self.keys.fields, user.as_bytes(), client) {
            Ok(fields) => fields,
            Err(error) => {
                tracing::error!(listener = listener, about = %user, "no fields for a user: {error}; see the listener's fields and default-domain");
                return None;
            }
        };
        if let Some(peer) = peer
            && peer.stranger
            && uid(&fields) != Some(peer.uid)
        {
            self.turn_away("USER", &user.to_string());
            return None;
        }
        Some(fields)
    }

    /// A peer that only the mode 0666 lets in may ask about itself alone.
    fn turn_away(&self, what: &str, user: &str) {
        let listener = &self.keys.name;
        tracing::error!(
            listener = listener,
            about = user,
            "{what} refused: the socket is open to all users (mode 0666), and the client is neither its owner, \
             in its group, nor the user itself by the field `uid`; set mode 0600, 0660 or 0777"
        );
    }

    /// The names of all users that are remembered, as they are asked for; `None` where it cannot be said. An item is
    /// `None` where something else was looked at.
    fn list(&self, peer: Option<Peer>, mask: Mask) -> Option<impl Iterator<Item = Option<Vec<u8>>> + Send> {
        let listener = &self.keys.name;
        if is_stranger(peer) {
            self.turn_away("LIST", "*");
            return None;
        }
        let known = match self.keys.exists {
            Exists::Probe => self.gate.engine.known(),
            Exists::Domain => None,
        };
        if known.is_none() {
            tracing::info!(listener = listener, "LIST refused: users are not cached here");
        }
        let named = move |address: Address| Some(address.to_unquoted()).filter(|name| mask.matches(name));
        known.map(|known| known.map(move |address| address.and_then(&named)))
    }

    /// Counts and logs a decision.
    fn log(&self, user: &UserName, client: &Client, decision: &Decision, asked: Instant, answer: &str) {
        self.gate.tell(&Entry {
            question: "user",
            about: user.as_bytes(),
            decision,
            took: asked.elapsed(),
            delayed: None,
            client,
            instance: None,
            answer,
        });
    }
}

/// What each verdict means here.
fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Accept(_) | Verdict::Abstain(Abstention::NoOpinion) => Outcome::Exists,
        Verdict::Reject(_) | Verdict::Abstain(Abstention::NotOurs) => Outcome::NotFound,
        Verdict::Defer(_) => Outcome::Fail,
    }
}

fn is_stranger(peer: Option<Peer>) -> bool {
    peer.is_some_and(|peer| peer.stranger)
}

/// The user's number, as its fields have it.
fn uid(fields: &[Field]) -> Option<u32> {
    let (_, value) = fields.iter().find(|(name, _)| name == "uid")?;
    str::from_utf8(value).ok()?.parse().ok()
}

impl Protocol for UserdbListener {
    type Client = Connection;
    type Message = Request;
    type Reply = Reply;
    type News = Reply;
    type Codec = Codec;
    type Limits = Unlimited;
    const HINT: &'static str = "does it speak Dovecot auth-master?";

    fn gate(&self) -> &Gate<Unlimited> {
        &self.gate
    }

    fn in_flight() -> usize {
        IN_FLIGHT
    }

    fn greet(current: &Arc<Current<Self>>, caller: &Caller) -> Option<(Connection, Vec<u8>)> {
        let connection = Connection {
            peer: caller.peer,
            complained: false,
        };
        Some((connection, greeting(current.get().handover.spid())))
    }

    async fn heard(self: Arc<Self>, client: &mut Connection, request: Request) -> Option<AnswerOf<Self>> {
        Some(client.answer(self, request))
    }

    fn decided(_: &mut Connection, reply: Reply) -> Option<AnswerOf<Self>> {
        Some(Answer::Reply(reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Cause, Class};

    #[test]
    fn every_verdict_has_its_words() {
        let cause = |class| Cause::ours(class, "x");
        for (verdict, expected) in [
            (Verdict::accept("jane@e.org"), Outcome::Exists),
            (Verdict::Reject(cause(Class::UnknownUser)), Outcome::NotFound),
            (Verdict::Reject(cause(Class::Disabled)), Outcome::NotFound),
            (Verdict::Reject(cause(Class::Syntax)), Outcome::NotFound),
            (Verdict::Defer(cause(Class::Timeout)), Outcome::Fail),
            (Verdict::Defer(cause(Class::Policy)), Outcome::Fail),
            (Verdict::Abstain(Abstention::NotOurs), Outcome::NotFound),
            (Verdict::Abstain(Abstention::NoOpinion), Outcome::Exists),
        ] {
            assert_eq!(outcome(&verdict), expected, "{verdict:?}");
        }
    }

    #[test]
    fn a_uid_is_read_from_the_fields() {
        let fields = |value: &str| {
            vec![
                ("home".to_owned(), b"/".to_vec()),
                ("uid".to_owned(), value.into()),
            ]
        };
        assert_eq!(uid(&fields("5000")), Some(5000));
        assert_eq!(uid(&fields("vmail")), None);
        assert_eq!(uid(&[]), None);
    }
}
