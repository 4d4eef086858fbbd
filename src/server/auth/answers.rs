//! What a connection answers: yes, no, or nothing that a client could take for a no.

use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::auth::client::{Failure, Reply};

use super::connection::{Answer, Connection, HELD};
use super::exchange::Exchange;
use super::outcome::{Outcome, failure_name, outcome};
use super::relay::Turn;
use super::{Decided, RequestContext, ok};
use crate::server::fields;
use crate::server::handover::Accepted;
use crate::server::{hold_back, is_smtp};
use crate::settings::listener::TempFail;
use crate::verdict::UserName;

impl Connection {
    /// The answer, which may be held back; none where the request was given up. It is counted then as well.
    pub(super) fn decide(&mut self, mut decided: Box<Decided>) -> Option<Answer> {
        let delay = decided.delay();
        let waits = self.requests.is_deciding_on(decided.asked.id, decided.serial);
        if delay.is_zero() || !waits || self.held >= HELD {
            return self.answer_now(decided);
        }
        self.held += 1;
        decided.held = Some(Instant::now());
        let draining = self.draining.clone();
        Some(Answer::Later(Box::pin(async move {
            hold_back(delay, &draining).await;
            Turn::Due(decided)
        })))
    }

    /// The answer, unless the request was given up.
    pub(super) fn answer_now(&mut self, decided: Box<Decided>) -> Option<Answer> {
        let waits = self.requests.take_decided(decided.asked.id, decided.serial);
        waits.then(|| self.answer(decided))
    }

    fn answer(&mut self, decided: Box<Decided>) -> Answer {
        let closes = self.closes(is_smtp(&decided.asked.client));
        match outcome(&decided.decision.verdict, closes) {
            Outcome::Ok(name) => {
                let (word, answer) = self.accept(&decided, name);
                log(&decided, word);
                answer
            }
            Outcome::Fail(failure) => {
                log(&decided, failure_name(failure));
                self.refuse(decided, failure)
            }
            Outcome::HangUp => {
                log(&decided, "hang up");
                self.hang_up()
            }
        }
    }

    /// Answers "no"; for a token, only once the client got the reason.
    fn refuse(&mut self, decided: Box<Decided>, failure: Failure) -> Answer {
        let cause = decided.decision.verdict.cause();
        match cause.and_then(|cause| cause.challenge.clone()) {
            Some(why) => {
                let asked = decided.asked.clone();
                self.challenge(Exchange::Refused(decided, failure), asked, why)
            }
            None => Self::fail(decided.asked.id, Some(&decided), failure),
        }
    }

    /// Says OK, and keeps the login where a mail process will ask for it.
    fn accept(&mut self, decided: &Decided, name: Vec<u8>) -> (&'static str, Answer) {
        let Decided {
            asked, given, pass, ..
        } = decided;
        let listener = &decided.listener;
        let (id, client) = (asked.id, &asked.client);
        let ready = ok::to_reply(listener, &name, given, client).and_then(|told| {
            let fields = fields::fill_paths(&listener.keys.fields, &name, client)?;
            Ok((told, fields))
        });
        let (told, fields) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(listener = listener.keys.name, about = %given, "no OK for a good login: {error}; see the listener's ok, fields and default-domain");
                return self.fail_for_now(asked);
            }
        };
        if let Some(accepted) = &self.accepted
            && told.is_awaited
            && !asked.nologin
        {
            let login = Accepted {
                user: UserName::new(&name),
                given: given.clone(),
                mechanism: asked.mechanism.name(),
                fields,
                client: client.clone(),
            };
            accepted.keep(id, login);
        }
        let ok = Reply::Ok {
            id,
            user: name,
            fields: told.fields,
            pass: pass.clone(),
        };
        ("OK", Answer::Reply(ok))
    }

    /// Says that there is no answer now.
    pub(super) fn fail_for_now(&self, asked: &RequestContext) -> (&'static str, Answer) {
        if self.closes(is_smtp(&asked.client)) {
            return ("hang up", self.hang_up());
        }
        let failure = Failure::Temporary;
        (failure_name(failure), Self::fail(asked.id, None, failure))
    }

    /// "No", with the name where it is known.
    pub(super) fn fail(id: u32, of: Option<&Decided>, failure: Failure) -> Answer {
        let name = |login: &UserName| login.as_bytes().to_vec();
        // A dialog that ended early has named nobody.
        let of = of.filter(|decided| !decided.given.as_bytes().is_empty());
        Answer::Reply(Reply::Fail {
            id,
            user: of.map(|decided| name(&decided.user)),
            original_user: of
                .filter(|decided| decided.given != decided.user)
                .map(|decided| name(&decided.given)),
            failure,
            reason: None,
        })
    }

    /// Whether a temporary failure is expressed by closing the connection.
    fn closes(&self, smtp: bool) -> bool {
        match self.listener().keys.tempfail {
            TempFail::Close => true,
            // `NO` is no word of this protocol, and not taken for it.
            TempFail::Fail | TempFail::No => false,
            TempFail::Auto => smtp && !self.requests.is_deciding(),
        }
    }

    fn hang_up(&self) -> Answer {
        self.listener().gate.limits.hanging_up(self.session, self.pid);
        Answer::HangUp
    }

    /// A request that nobody was asked about: nothing was said of the user, so it
    /// is no wrong password.
    pub(super) fn no_answer(&self, id: u32, reason: &str) -> Answer {
        let listener = self.listener();
        tracing::info!(
            listener = listener.keys.name,
            id,
            "no answer to a request: {reason}"
        );
        if self.closes(self.smtp) {
            return self.hang_up();
        }
        fail_because(id, Failure::Temporary, reason)
    }

    pub(super) fn bad_base64(&self, id: u32, reason: &str) -> Answer {
        let listener = self.listener();
        tracing::info!(listener = listener.keys.name, id, "refused a request: {reason}");
        fail_because(id, Failure::InvalidBase64, reason)
    }
}

fn log(decided: &Decided, answer: &str) {
    let Decided {
        user,
        login,
        decision,
        took,
        held,
        ..
    } = decided;
    let delayed = held.map(|since: Instant| -> Duration { since.elapsed() });
    login.log(user, decision, (*took, delayed), answer);
}

fn fail_because(id: u32, failure: Failure, reason: &str) -> Answer {
    Answer::Reply(Reply::Fail {
        id,
        user: None,
        original_user: None,
        failure,
        reason: Some(reason.into()),
    })
}
