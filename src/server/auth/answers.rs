//! What a connection answers: yes, no, or nothing that a client could take for a no.

use tokio::time::Instant;
use vouch_protocol::auth::client::{Failure, Reply};

use super::connection::{Connection, Flow, GO_ON, HANG_UP};
use super::exchange::Exchange;
use super::outcome::{Outcome, failure_name, outcome};
use super::{Decided, RequestContext, Tempfail, ok};
use crate::server::handover::Accepted;
use crate::server::is_smtp;
use crate::verdict::UserName;

impl Connection {
    /// Answers, or holds the answer back. It is counted as well where the request was
    /// given up meanwhile.
    pub(super) fn decided(&mut self, mut decided: Box<Decided>) -> Flow {
        let delay = decided.listener.delay(&decided);
        if delay.is_zero() || !self.requests.is_deciding_on(decided.asked.id, decided.serial) {
            return self.answer_now(decided);
        }
        let now = Instant::now();
        decided.held = Some(now);
        match self.late.hold(decided, now + delay) {
            None => GO_ON,
            Some(decided) => self.answer_now(decided),
        }
    }

    /// Answers, unless the request was given up.
    pub(super) fn answer_now(&mut self, decided: Box<Decided>) -> Flow {
        if self.requests.take_decided(decided.asked.id, decided.serial) {
            self.answer(decided)
        } else {
            GO_ON
        }
    }

    /// Answers what is due by now; `all` that is held back, where the daemon ends.
    pub(super) fn answer_late(&mut self, all: bool) -> Flow {
        while let Some(decided) = self.late.take(all) {
            self.answer_now(decided)?;
        }
        GO_ON
    }

    fn answer(&mut self, decided: Box<Decided>) -> Flow {
        let closes = self.closes(is_smtp(&decided.asked.client));
        match outcome(&decided.decision.verdict, closes) {
            Outcome::Ok(name) => {
                let (answer, flow) = self.accept(&decided, name);
                self.log(&decided, answer);
                flow
            }
            Outcome::Fail(failure) => {
                self.log(&decided, failure_name(failure));
                self.refuse(decided, failure)
            }
            Outcome::HangUp => {
                self.log(&decided, "hang up");
                self.hang_up()
            }
        }
    }

    fn log(&self, decided: &Decided, answer: &str) {
        let Decided {
            asked,
            user,
            decision,
            took,
            held,
            ..
        } = decided;
        let delayed = held.map(|since| since.elapsed());
        decided
            .listener
            .log(user, &asked.client, decision, (*took, delayed), answer);
    }

    /// Answers "no"; for a token, only once the client got the reason.
    fn refuse(&mut self, decided: Box<Decided>, failure: Failure) -> Flow {
        let cause = decided.decision.verdict.cause();
        match cause.and_then(|cause| cause.challenge.clone()) {
            Some(why) => {
                let asked = decided.asked.clone();
                self.challenge(Exchange::Refused(decided, failure), asked, why)
            }
            None => self.fail(decided.asked.id, Some(&decided), failure),
        }
    }

    /// Says OK, and keeps the login where a mail process will ask for it.
    fn accept(&mut self, decided: &Decided, name: Vec<u8>) -> (&'static str, Flow) {
        let Decided {
            asked, given, pass, ..
        } = decided;
        let listener = &decided.listener.settings;
        let (id, client) = (asked.id, &asked.client);
        let ready = ok::to_reply(listener, &name, given, client).and_then(|told| {
            let fields = listener.fields.fill_paths(&name, client)?;
            Ok((told, fields))
        });
        let (told, fields) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(listener = listener.name, about = %given, "no OK for a good login: {error}; see the listener's ok, fields and default-domain");
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
        let flow = self.reply(Reply::Ok {
            id,
            user: name,
            fields: told.fields,
            pass: pass.clone(),
        });
        ("OK", flow)
    }

    /// Says that there is no answer now.
    pub(super) fn fail_for_now(&mut self, asked: &RequestContext) -> (&'static str, Flow) {
        if self.closes(is_smtp(&asked.client)) {
            return ("hang up", self.hang_up());
        }
        let failure = Failure::Temporary;
        (failure_name(failure), self.fail(asked.id, None, failure))
    }

    pub(super) fn fail(&mut self, id: u32, of: Option<&Decided>, failure: Failure) -> Flow {
        let name = |login: &UserName| login.as_bytes().to_vec();
        // A dialog that ended early has named nobody.
        let of = of.filter(|decided| !decided.given.as_bytes().is_empty());
        self.reply(Reply::Fail {
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
        match self.listener().settings.tempfail {
            Tempfail::Close => true,
            Tempfail::Fail => false,
            Tempfail::Auto => smtp && !self.requests.is_deciding(),
        }
    }

    fn hang_up(&self) -> Flow {
        self.listener().sessions.hanging_up(self.session, self.pid);
        HANG_UP
    }

    /// A request that nobody was asked about: nothing was said of the user, so it
    /// is no wrong password.
    pub(super) fn no_answer(&mut self, id: u32, reason: &str) -> Flow {
        let listener = self.listener();
        tracing::info!(
            listener = listener.settings.name,
            id,
            "no answer to a request: {reason}"
        );
        if self.closes(self.smtp) {
            return self.hang_up();
        }
        let reason = Some(reason.into());
        self.reply(Reply::Fail {
            id,
            user: None,
            original_user: None,
            failure: Failure::Temporary,
            reason,
        })
    }

    pub(super) fn bad_base64(&mut self, id: u32, reason: &str) -> Flow {
        let listener = self.listener();
        tracing::info!(
            listener = listener.settings.name,
            id,
            "refused a request: {reason}"
        );
        let reason = Some(reason.into());
        self.reply(Reply::Fail {
            id,
            user: None,
            original_user: None,
            failure: Failure::InvalidBase64,
            reason,
        })
    }
}
