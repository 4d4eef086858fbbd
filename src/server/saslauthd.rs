//! The saslauthd listener: software that is built with Cyrus SASL, and Exim, ask whether a login is good (the socket
//! `mux` of `saslauthd(8)`).
//!
//! A connection brings one question, and its client waits for the answer without any time of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::saslauthd::{Codec, Reply, Request};

use super::counts::{Entry, ListenerCounts};
use super::current::Current;
use super::login_limits::{Limits, Session, Sessions};
use super::{Caller, Listener, WRITE_TIMEOUT, note_end};
use crate::engine::{Decision, Engine, Source, Tag};
use crate::verdict::{Cause, Class, Client, Kind, Proof, Question, UserName, Verdict};
use crate::wire::{Wire, WireError};

/// Bound (clients): time from the connection of a saslauthd client to the end of its question. Beyond: its connection
/// is closed. Why: its question comes in one packet with the connection, and there is but one.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// How a question without an answer is expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tempfail {
    /// By hanging up, which clients do not take for a wrong password.
    Close,
    /// By `NO`, as saslauthd itself does.
    No,
}

/// A saslauthd listener's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener's name.
    pub name: String,
    /// How a question without an answer is expressed.
    pub tempfail: Tempfail,
    /// Whether a user is `login@realm`, as with `saslauthd -r`; else the login alone.
    pub join_realm: bool,
    /// The time from a question to its answer.
    pub deadline: Duration,
    /// How often one process may fail on behalf of one address.
    pub limits: Limits,
}

/// Answers saslauthd requests.
pub struct Saslauthd {
    settings: Settings,
    engine: Engine,
    sessions: Arc<Sessions>,
    counts: Arc<ListenerCounts>,
}

impl Saslauthd {
    /// A listener in front of `engine`.
    pub fn new(settings: Settings, engine: Engine) -> Self {
        Self {
            sessions: Arc::new(Sessions::new(settings.limits.clone())),
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
            counts: self.counts.clone(),
            settings,
            engine,
        }
    }

    /// The answer to a question of `process`; `None` if it is expressed by closing the connection.
    async fn answer(self: Arc<Self>, request: Request, process: u64) -> Option<Reply> {
        let began = Instant::now();
        let client = client(&request);
        let user = self.engine.complete(&name(&request, self.settings.join_realm));
        let kind = Kind::Login {
            user: user.clone(),
            proof: Proof::Password(request.password),
        };
        let session = self.sessions.of(process, &client);
        let tag = session.and_then(|_| self.engine.tag(&kind));
        let asked = RequestContext {
            listener: self.clone(),
            user,
            client: client.clone(),
            session,
            tag,
            began,
        };
        let decision = if self.sessions.admit(session) {
            let deadline = began + self.settings.deadline;
            let overdue = asked.clone();
            let late = move |decision| overdue.hear_late(&decision);
            self.engine
                .decide_or_late(Question { kind, client }, deadline, late)
                .await
        } else {
            let why = "the client's session has used up listener limit auth-errors";
            Decision {
                verdict: Verdict::Defer(Cause::ours(Class::Limit, why)),
                source: Source::Limit,
                directory: self.engine.directory_for(&kind),
            }
        };
        let reply = to_reply(&decision.verdict, self.settings.tempfail);
        asked.note(&decision, reply.map_or("hang up", Reply::word));
        reply
    }
}

/// A login that is asked about.
#[derive(Clone)]
struct RequestContext {
    listener: Arc<Saslauthd>,
    user: UserName,
    client: Client,
    session: Option<Session>,
    tag: Option<Tag>,
    began: Instant,
}

impl RequestContext {
    /// Counts and logs a decision.
    fn note(&self, decision: &Decision, answer: &str) {
        let listener = &self.listener;
        listener.sessions.note(self.session, self.tag.as_ref(), decision);
        listener.counts.tell(&Entry {
            listener: &listener.settings.name,
            question: "login",
            about: self.user.as_bytes(),
            client: &self.client.shown(),
            instance: "-",
            decision,
            took: self.began.elapsed(),
            delayed: None,
            answer,
        });
    }

    /// Counts what the remote said when the client waited no more: the remote has counted the attempt.
    fn hear_late(&self, decision: &Decision) {
        if decision.is_failed_attempt() || matches!(decision.verdict, Verdict::Accept(_)) {
            self.note(decision, "too late");
        }
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
fn to_reply(verdict: &Verdict, tempfail: Tempfail) -> Option<Reply> {
    match verdict {
        Verdict::Accept(_) => Some(Reply::Ok),
        Verdict::Reject(_) | Verdict::Abstain(_) => Some(Reply::No),
        Verdict::Defer(_) => (tempfail == Tempfail::No).then_some(Reply::No),
    }
}

impl Listener for Current<Saslauthd> {
    fn counts(&self) -> Arc<ListenerCounts> {
        self.get().counts.clone()
    }

    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Caller {
                stream,
                connection,
                peer,
                draining,
                ..
            } = caller;
            let pid = peer.and_then(|peer| peer.pid);
            // Where nobody knows the process, each connection is another, and none has its number.
            let process = pid.map_or(u64::MAX - connection, |pid| u64::from(pid.unsigned_abs()));
            let mut wire = Wire::new(stream, Codec::new());
            let question = tokio::select! {
                // What was asked before the drain is answered first.
                biased;
                question = wire.read(Instant::now() + REQUEST_TIME) => question,
                () = draining.cancelled() => return,
            };
            let listener = self.get();
            let ended = match question {
                Ok(question) => {
                    let reply = tokio::select! {
                        biased;
                        reply = listener.clone().answer(question, process) => reply,
                        // Nobody asks the remote for a client that has gone.
                        () = wire.left() => None,
                    };
                    match reply {
                        Some(reply) => send(&mut wire, reply).await,
                        None => return,
                    }
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                note_end(&listener.settings.name, &error, "is it a client of saslauthd?");
            }
        })
    }
}

async fn send(wire: &mut Wire<Codec>, reply: Reply) -> Result<(), WireError> {
    wire.push(reply)?;
    wire.flush_within(WRITE_TIMEOUT).await
}

#[cfg(test)]
mod tests {
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::verdict::Abstention;

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
            assert_eq!(to_reply(&verdict, Tempfail::Close), closing, "{verdict:?}");
            assert_eq!(to_reply(&verdict, Tempfail::No), saying_no, "{verdict:?}");
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
