//! The socketmap listener: Postfix looks its recipients and domains up as in a table (`socketmap_table(5)`).
//!
//! There are several maps, by name; nobody says on whose behalf a key is looked up.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::time::Instant;
use vouch_protocol::socketmap::{Codec, Data, Reply, Request};

use super::Caller;
use super::conversation::{Answer, AnswerOf, Protocol};
use super::counts::Entry;
use super::current::Current;
use super::gate::{Gate, Guards};
use super::recipient_limits::{RcptAttempt, Sessions};
use crate::address::{Address, Domain};
use crate::engine::{Decision, Engine, Source};
use crate::settings::listener;
use crate::verdict::{Abstention, Client, Kind, Question, Verdict};

/// A map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Map {
    /// Recipients: for `relay_recipient_maps`.
    Recipients,
    /// What to do with a recipient, in the words of access(5): for `check_recipient_access`.
    Access,
    /// Which domains are ours: for `relay_domains`.
    Domains,
}

/// The maps by name.
const MAPS: [(&str, Map); 3] = [
    ("recipients", Map::Recipients),
    ("access", Map::Access),
    ("domains", Map::Domains),
];

/// Answers socketmap requests.
pub struct Socketmap {
    keys: listener::Listener,
    gate: Arc<Gate<Sessions>>,
}

impl Socketmap {
    /// A listener in front of `engine`, instead of `before` where there was one.
    pub fn new(keys: listener::Listener, engine: Engine, before: Option<&Self>) -> Self {
        let (guards, before) = (Guards::default(), before.map(|before| &*before.gate));
        Self {
            gate: Gate::new(&keys.name, keys.limits, guards, engine, before),
            keys,
        }
    }

    /// Whether a domain is one of a directory that is asked about recipients.
    fn domain(&self, key: &[u8]) -> Decision {
        let domain = str::from_utf8(key).ok().and_then(|key| Domain::parse(key).ok());
        let directory = domain.and_then(|domain| {
            let anybody = [b"postmaster@", domain.as_str().as_bytes()].concat();
            let anybody = Address::from_unquoted(&anybody).ok()?;
            self.gate.engine.directory_for(&Kind::Recipient(anybody))
        });
        let verdict = match directory {
            Some(_) => Verdict::accept(key),
            None => Verdict::Abstain(Abstention::NotOurs),
        };
        Decision {
            verdict,
            source: Source::Local,
            directory,
        }
    }

    /// Whether a recipient exists. Postfix looks it up as SMTP writes it, and then without its quotes: two keys of
    /// one mailbox. What is no address, such as a part of one, is nobody's.
    async fn recipient(&self, key: &[u8], connection: u64, deadline: Instant) -> Decision {
        let Ok(address) = Address::from_quoted(key) else {
            return Decision {
                verdict: Verdict::Abstain(Abstention::NotOurs),
                source: Source::Local,
                directory: None,
            };
        };
        let recipient = address.to_unquoted();
        let attempt = RcptAttempt {
            connection,
            recipient: &recipient,
            whose: ["connection"; 2],
            ..RcptAttempt::default()
        };
        let question = Question {
            kind: Kind::Recipient(address),
            client: Client {
                service: Some("smtp".into()),
                ..Client::default()
            },
        };
        self.gate.ask(question, None, attempt, deadline, None).await
    }

    fn to_reply(&self, map: Map, decision: &Decision) -> Reply {
        let ok = |text: &str| Data::new(text).map_or(Reply::Temp("config"), Reply::Ok);
        match (map, &decision.verdict) {
            (_, Verdict::Abstain(Abstention::NotOurs)) => Reply::NotFound,
            // Found or not, and with what: here a deferral is an action as well, and TEMP would be an error of the
            // server's configuration to the SMTP client.
            (Map::Access, _) => ok(self.keys.action.to_action(decision).as_str()),
            (_, Verdict::Accept(_) | Verdict::Abstain(Abstention::NoOpinion)) => ok("ok"),
            (_, Verdict::Reject(_)) => Reply::NotFound,
            (_, Verdict::Defer(cause)) => Reply::Temp(cause.class.name()),
        }
    }
}

impl Protocol for Socketmap {
    /// The number of its connection.
    type Client = u64;
    type Message = Request;
    type Reply = Reply;
    type News = Infallible;
    type Codec = Codec;
    type Limits = Sessions;
    const HINT: &'static str = "is it a Postfix's socketmap table?";

    fn gate(&self) -> &Gate<Sessions> {
        &self.gate
    }

    fn greet(_: &Arc<Current<Self>>, caller: &Caller) -> Option<(u64, Vec<u8>)> {
        Some((caller.connection, Vec::new()))
    }

    async fn heard(self: Arc<Self>, connection: &mut u64, request: Request) -> Option<AnswerOf<Self>> {
        let reply = self.answer(request, *connection).await;
        Some(Answer::Reply(reply))
    }
}

impl Socketmap {
    async fn answer(&self, request: Request, connection: u64) -> Reply {
        let asked = Instant::now();
        let Request { map: name, key } = request;
        let listener = &self.keys.name;
        let Some((_, map)) = MAPS.iter().find(|(known, _)| known.as_bytes() == &*name) else {
            let map = String::from_utf8_lossy(&name);
            tracing::warn!(listener = listener, %map, "no answer: there is no such map; there are recipients, access and domains");
            return Reply::Temp("no such map; there are recipients, access and domains");
        };
        let (question, decision) = match map {
            Map::Domains => ("domain", self.domain(&key)),
            Map::Recipients | Map::Access => {
                let deadline = asked + self.keys.deadline.other;
                ("recipient", self.recipient(&key, connection, deadline).await)
            }
        };
        let reply = self.to_reply(*map, &decision);
        self.gate.tell(&Entry {
            question,
            about: &key,
            client: &Client::default(),
            instance: None,
            decision: &decision,
            took: asked.elapsed(),
            delayed: None,
            answer: &reply.to_string(),
        });
        reply
    }
}

#[cfg(test)]
mod tests {
    use vouch_protocol::policy::Action;

    use super::*;
    use crate::settings::protocol as config;
    use crate::settings::socket::ListenAddress;
    use crate::verdict::{Cause, Class};

    fn listener() -> Socketmap {
        let action = |text| Action::new(text).unwrap();
        let mut keys = listener::Listener::new(
            "maps",
            config::Protocol::Socketmap,
            ListenAddress::Dovecot,
            Vec::new(),
        );
        keys.action.reject = action("550 5.1.1 {reply}");
        keys.action.defer = action("DEFER_IF_PERMIT 4.4.3 later");
        keys.action.limit = action("450 4.7.1 too many");
        Socketmap::new(keys, Engine::new(Vec::new(), None), None)
    }

    #[test]
    fn every_verdict_has_its_words() {
        let cause = |class| Cause::said(class, "550 5.1.1", "no such\r\nuser");
        for (verdict, recipients, access) in [
            (Verdict::accept("x"), "OK ok", "OK DUNNO"),
            (
                Verdict::Reject(cause(Class::UnknownUser)),
                "NOTFOUND ",
                "OK 550 5.1.1 no such user",
            ),
            (
                Verdict::Reject(cause(Class::Disabled)),
                "NOTFOUND ",
                "OK 550 5.2.1 Mailbox disabled",
            ),
            (
                Verdict::Defer(cause(Class::Timeout)),
                "TEMP timeout",
                "OK DEFER_IF_PERMIT 4.4.3 later",
            ),
            (
                Verdict::Defer(cause(Class::Limit)),
                "TEMP limit",
                "OK 450 4.7.1 too many",
            ),
            (Verdict::Abstain(Abstention::NotOurs), "NOTFOUND ", "NOTFOUND "),
            (Verdict::Abstain(Abstention::NoOpinion), "OK ok", "OK DUNNO"),
        ] {
            let decision = Decision {
                verdict,
                source: Source::Probe,
                directory: None,
            };
            let told = |map| listener().to_reply(map, &decision).to_string();
            assert_eq!(
                (&*told(Map::Recipients), &*told(Map::Access)),
                (recipients, access)
            );
            assert_eq!(told(Map::Domains), recipients);
        }
    }
}
