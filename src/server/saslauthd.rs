//! The saslauthd listener: software that is built with Cyrus SASL, and Exim, ask whether a login is good (the socket
//! `mux` of `saslauthd(8)`).
//!
//! A connection brings one question, and its client waits for the answer without any time of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::saslauthd::{Codec, Reply, Request};

use super::Caller;
use super::conversation::{Answer, AnswerOf, Protocol};
use super::current::Current;
use super::gate::{Gate, Guards};
use super::login::{Login, LoginGate};
use super::login_limits::{Limits, Sessions};
use crate::engine::Engine;
use crate::settings::listener::{self, TempFail};
use crate::verdict::{Client, Kind, Proof, UserName, Verdict};

/// Bound (clients): time from the connection of a saslauthd client to the end of its question. Beyond: its connection
/// is closed. Why: its question comes in one packet with the connection, and there is but one.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Answers saslauthd requests.
pub struct Saslauthd {
    keys: listener::Listener,
    gate: Arc<LoginGate>,
}

impl Saslauthd {
    /// A listener in front of `engine`, instead of `before` where there was one.
    pub fn new(keys: listener::Listener, engine: Engine, before: Option<&Self>) -> Self {
        let (limits, before) = (Limits::of(&keys), before.map(|before| &*before.gate));
        Self {
            gate: Gate::new(&keys.name, limits, Guards::default(), engine, before),
            keys,
        }
    }
}

/// A client, which asks once.
pub(crate) struct Asker {
    /// The process, as each question has a connection of its own.
    process: u64,
    /// When it is left, unless it has asked by then.
    leaves: Option<Instant>,
}

impl Protocol for Saslauthd {
    type Client = Asker;
    type Message = Request;
    type Reply = Reply;
    type News = Infallible;
    type Codec = Codec;
    type Limits = Sessions;
    const HINT: &'static str = "is it a client of saslauthd?";

    fn gate(&self) -> &LoginGate {
        &self.gate
    }

    fn greet(_: &Arc<Current<Self>>, caller: &Caller) -> Option<(Asker, Vec<u8>)> {
        let pid = caller.peer.and_then(|peer| peer.pid);
        let asker = Asker {
            // Where nobody knows the process, each connection is another, and none has its number.
            process: pid.map_or(u64::MAX - caller.connection, |pid| u64::from(pid.unsigned_abs())),
            leaves: Some(Instant::now() + REQUEST_TIME),
        };
        Some((asker, Vec::new()))
    }

    async fn heard(self: Arc<Self>, asker: &mut Asker, request: Request) -> Option<AnswerOf<Self>> {
        asker.leaves = None;
        let user = self.gate.engine.complete(&name(&request, self.keys.join_realm));
        let client = client(&request);
        let kind = Kind::Login {
            user: user.clone(),
            proof: Proof::Password(request.password),
        };
        let login = Login::new(&self.gate, &kind, client, asker.process, false);
        let decision = login.decide(kind, self.keys.deadline.other).await;
        let reply = to_reply(&decision.verdict, self.keys.tempfail);
        let answer = reply.map_or("hang up", Reply::word);
        login.log(&user, &decision, (login.began.elapsed(), None), answer);
        Some(reply.map_or(Answer::HangUp, Answer::Last))
    }

    fn forgets(asker: &mut Asker) -> Option<Instant> {
        asker.leaves
    }
}

/// The whole user name.
fn name(request: &Request, join_realm: bool) -> UserName {
    let Request { login, realm, .. } = request;
    // A realm alone would be nobody's name.
    if join_realm && !realm.is_empty() && !login.is_empty() {
        UserName::new(&[login, &b"@"[..], realm].concat())
    } else {
        UserName::new(login)
    }
}

/// The end user, by `address;port` where the client says it.
fn client(request: &Request) -> Client {
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned());
    let said = request.client.as_deref().and_then(text);
    let (address, port) = match said.as_deref().and_then(|said| said.rsplit_once(';')) {
        Some((address, port)) => (Some(address), port.parse().ok()),
        None => (said.as_deref(), None),
    };
    Client {
        address: address.and_then(|address| Client::address_in(address.as_bytes())),
        port,
        session: None,
        service: text(&request.service),
    }
}

/// What each verdict is here; `None` is hanging up.
fn to_reply(verdict: &Verdict, tempfail: TempFail) -> Option<Reply> {
    match verdict {
        Verdict::Accept(_) => Some(Reply::Ok),
        Verdict::Reject(_) | Verdict::Abstain(_) => Some(Reply::No),
        Verdict::Defer(_) => (tempfail == TempFail::No).then_some(Reply::No),
    }
}

#[cfg(test)]
mod tests {
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::verdict::{Abstention, Cause, Class};

    #[test]
    fn every_verdict_has_its_words() {
        let cause = |class| Cause::ours(class, "x");
        let (ok, no) = (Some(Reply::Ok), Some(Reply::No));
        for (verdict, closing, saying_no) in [
            (Verdict::accept("jane@e.org"), ok, ok),
            (Verdict::Reject(cause(Class::BadCredentials)), no, no),
            (Verdict::Reject(cause(Class::Disabled)), no, no),
            (Verdict::Reject(cause(Class::Expired)), no, no),
            (Verdict::Reject(cause(Class::Syntax)), no, no),
            (Verdict::Abstain(Abstention::NotOurs), no, no),
            (Verdict::Defer(cause(Class::Timeout)), None, no),
            (Verdict::Defer(cause(Class::Limit)), None, no),
        ] {
            assert_eq!(to_reply(&verdict, TempFail::Close), closing, "{verdict:?}");
            assert_eq!(to_reply(&verdict, TempFail::No), saying_no, "{verdict:?}");
        }
    }

    fn request(login: &str, realm: &str, client: Option<&str>) -> Request {
        Request {
            login: login.into(),
            password: Secret::copy_from(b"pw"),
            service: b"smtp".to_vec(),
            realm: realm.into(),
            client: client.map(Into::into),
        }
    }

    #[test]
    fn a_login_is_joined_with_its_realm_or_not() {
        for (login, realm, joined, dropped) in [
            ("jane", "example.org", "jane@example.org", "jane"),
            ("jane", "", "jane", "jane"),
            ("jane@example.org", "", "jane@example.org", "jane@example.org"),
            ("", "example.org", "", ""),
            ("a@b", "example.org", "a@b@example.org", "a@b"),
        ] {
            let request = request(login, realm, None);
            assert_eq!(name(&request, true).to_string(), joined);
            assert_eq!(name(&request, false).to_string(), dropped);
        }
    }

    #[test]
    fn the_end_user_is_known_where_the_client_says_it() {
        for (said, address, port) in [
            (None, None, None),
            (Some(""), None, None),
            (Some("192.0.2.1;50918"), Some("192.0.2.1"), Some(50918)),
            (Some("2001:db8::1;25"), Some("2001:db8::1"), Some(25)),
            (Some("192.0.2.1"), Some("192.0.2.1"), None),
            (Some("192.0.2.1;x"), Some("192.0.2.1"), None),
            (Some("mail.example.org;25"), None, Some(25)),
        ] {
            let client = client(&request("jane", "", said));
            let shown = address.unwrap_or("-").to_owned();
            assert_eq!((client.shown(), client.port), (shown, port));
            assert_eq!(client.service.as_deref(), Some("smtp"));
        }
    }
}
