//! The socketmap listener: Postfix looks its recipients, domains and the owners of senders up as in a table
//! (`socketmap_table(5)`).
//!
//! There are several maps, by name; nobody says on whose behalf a key is looked up.

use std::convert::Infallible;
use std::iter;
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
use crate::template::Filling;
use crate::verdict::{Abstention, Class, Client, Kind, Question, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Map {
    /// Recipients: for `relay_recipient_maps`.
    Recipients,
    /// What to do with a recipient, in the words of access(5): for `check_recipient_access`.
    Access,
    /// Which domains are ours: for `relay_domains`.
    Domains,
    /// Under which login names a sender may be used: for `smtpd_sender_login_maps`.
    Senders,
}

/// The maps by name.
const MAPS: [(&str, Map); 4] = [
    ("recipients", Map::Recipients),
    ("access", Map::Access),
    ("domains", Map::Domains),
    ("senders", Map::Senders),
];

/// What Postfix reads as a list of owners without any: it takes a list apart at commas and blanks
/// (`src/smtpd/smtpd_check.c`). An address that is found, and nobody's.
const NOBODY: &str = ",";

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

    /// Whether a recipient exists, or a sender. Postfix looks it up as SMTP writes it, and then without its quotes: two
    /// keys of one mailbox.
    async fn mailbox(&self, address: Address, connection: u64, deadline: Instant) -> Decision {
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

    /// The owners of a sender that exists.
    ///
    /// Where the remote accepts every address, and for a disabled mailbox, too: the first owner is the address itself,
    /// and whether there is such a login is the password's affair. "Not found" would let others use the address.
    fn owners(&self, sender: &Address, decision: &Decision) -> Reply {
        match &decision.verdict {
            Verdict::Abstain(Abstention::NotOurs) => return Reply::NotFound,
            Verdict::Reject(cause) if cause.class != Class::Disabled => return Reply::NotFound,
            Verdict::Defer(cause) => return Reply::Temp(cause.class.name()),
            Verdict::Accept(_) | Verdict::Reject(_) | Verdict::Abstain(Abstention::NoOpinion) => {}
        }
        let user = sender.to_unquoted();
        let from = Filling {
            user: &user,
            ..Filling::default()
        };
        let others = self.keys.owners.iter().filter_map(|owner| owner.fill(&from).ok());
        let owners: Vec<_> = iter::once(user.clone())
            .chain(others)
            .filter_map(one_name)
            .collect();
        ok(if owners.is_empty() {
            NOBODY.to_owned()
        } else {
            owners.join(",")
        })
    }

    /// The mailbox whose address a sender is, without its detail, as the directory has it that answered.
    fn sender(&self, sender: Address, decision: &Decision) -> Address {
        match &decision.verdict {
            Verdict::Accept(identity) => Address::from_quoted(&identity.name).ok(),
            _ => None,
        }
        .unwrap_or_else(|| self.gate.engine.mailbox(sender))
    }
}

/// Found, with this.
fn ok(text: impl AsRef<str>) -> Reply {
    Data::new(text.as_ref()).map_or(Reply::Temp("config"), Reply::Ok)
}

/// A login name that Postfix does not read as several. Of an address such as `"a jane@example.org"@example.org` jane
/// would be an owner.
fn one_name(name: Vec<u8>) -> Option<String> {
    let splits = |char: char| char == ',' || char.is_whitespace() || char.is_control();
    String::from_utf8(name).ok().filter(|name| !name.contains(splits))
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
            tracing::warn!(listener = listener, %map, "no answer: there is no such map; there are recipients, access, domains and senders");
            return Reply::Temp("no such map; there are recipients, access, domains and senders");
        };
        let address = Address::from_quoted(&key).ok();
        let decision = match (map, &address) {
            (Map::Domains, _) => self.domain(&key),
            (_, Some(address)) => {
                let deadline = asked + self.keys.deadline.other;
                self.mailbox(address.clone(), connection, deadline).await
            }
            // A part of one, such as `@example.org`, is nobody's.
            (_, None) => Decision {
                verdict: Verdict::Abstain(Abstention::NotOurs),
                source: Source::Local,
                directory: None,
            },
        };
        let reply = match (map, address) {
            (Map::Senders, Some(address)) => self.owners(&self.sender(address, &decision), &decision),
            _ => self.to_reply(*map, &decision),
        };
        self.gate.tell(&Entry {
            question: match map {
                Map::Recipients | Map::Access => "recipient",
                Map::Domains => "domain",
                Map::Senders => "sender",
            },
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
    use crate::template::Template;
    use crate::verdict::{Cause, Identity};

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

    fn owners(owners: &[&str], sender: &str, verdict: Verdict) -> String {
        let mut listener = listener();
        let owners = owners.iter().map(|owner| Template::parse(owner).unwrap());
        listener.keys.owners = owners.collect();
        let decision = Decision {
            verdict,
            source: Source::Probe,
            directory: None,
        };
        let sender = Address::from_unquoted(sender.as_bytes()).unwrap();
        listener
            .owners(&listener.sender(sender, &decision), &decision)
            .to_string()
    }

    #[test]
    fn a_sender_that_exists_or_may_exist_is_its_own() {
        let cause = |class| Cause::ours(class, "x");
        for (verdict, said) in [
            (Verdict::accept("jane@example.org"), "OK jane@example.org"),
            (Verdict::Abstain(Abstention::NoOpinion), "OK jane@example.org"),
            (Verdict::Reject(cause(Class::Disabled)), "OK jane@example.org"),
            (Verdict::Reject(cause(Class::UnknownUser)), "NOTFOUND "),
            (Verdict::Abstain(Abstention::NotOurs), "NOTFOUND "),
            (Verdict::Defer(cause(Class::Timeout)), "TEMP timeout"),
            (Verdict::Defer(cause(Class::Limit)), "TEMP limit"),
        ] {
            assert_eq!(
                owners(&[], "jane@example.org", verdict.clone()),
                said,
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn other_owners_come_behind_it() {
        for (names, sender, known, said) in [
            (
                &["{local}", "postmaster@{domain}", "scanner"][..],
                "jane@example.org",
                "jane@example.org",
                "OK jane@example.org,jane,postmaster@example.org,scanner",
            ),
            (
                &["{local}"],
                "jane+list@example.org",
                "jane@example.org",
                "OK jane@example.org,jane",
            ),
            (
                &[],
                "a@b@example.org",
                "\"a@b\"@example.org",
                "OK a@b@example.org",
            ),
            (
                &[],
                "j\u{f6}rg@example.org",
                "j\u{f6}rg@example.org",
                "OK j\u{f6}rg@example.org",
            ),
        ] {
            assert_eq!(owners(names, sender, Verdict::accept(known)), said);
        }
    }

    #[test]
    fn a_name_that_postfix_would_take_apart_owns_nothing() {
        for sender in [
            "a jane@example.org", "a,jane@example.org", "a\u{a0}b@example.org", "a\tb@example.org",
        ] {
            let address = Address::from_unquoted(sender.as_bytes()).unwrap();
            let yes = Verdict::Accept(Identity {
                name: address.to_wire(),
                remark: None,
                by_backup: false,
            });
            assert_eq!(owners(&["{local}"], sender, yes.clone()), "OK ,", "{sender:?}");
            assert_eq!(owners(&["{local}", "all"], sender, yes), "OK all", "{sender:?}");
        }
    }
}
