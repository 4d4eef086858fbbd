//! Logins by IMAP.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Directory, Logins, Username, judge};
use crate::session::imap::{LoginSession, Options};
use crate::session::pool::Limits;
use crate::session::{Credentials, Pool, Remote};
use crate::verdict::{Abstention, Kind, Login, Proof, Question, Verdict};

/// An IMAP server that is asked whether logins are good.
pub struct Imap {
    logins: Logins<LoginSession>,
}

impl Imap {
    /// A directory that has not called its remote yet.
    pub fn new(remote: Arc<Remote>, options: Options, username: Username, limits: Limits) -> Self {
        let peer = remote.peer.clone();
        let open = Box::new(move |deadline| {
            let opening = LoginSession::open(remote.clone(), options, deadline);
            Box::pin(opening) as Pin<Box<dyn Future<Output = _> + Send>>
        });
        let judge = Box::new(|credentials: &Credentials, outcome| {
            judge::imap::judge(&Login::new(&credentials.user), outcome)
        });
        Self {
            logins: Logins::new(Pool::new(peer, limits, open, judge), username),
        }
    }
}

impl Directory for Imap {
    fn can_answer(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Login { .. })
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        match &question.kind {
            Kind::Login {
                user,
                proof: Proof::Password(password),
            } => Box::pin(self.logins.ask(user, password, deadline)),
            Kind::Recipient(_) => Box::pin(ready(Verdict::Abstain(Abstention::NotOurs))),
        }
    }
}
