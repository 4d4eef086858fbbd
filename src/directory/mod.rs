//! Directories: what each kind of remote can be asked, and how its answers are
//! read.
//!
//! [`judge`] turns replies into verdicts by the tables of the protocols; a
//! directory owns the sessions and hands questions to them.

pub mod imap;
pub mod judge;
pub mod smtp;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::secret::Secret;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::session::pool::Standing;
use crate::session::trace::masked;
use crate::session::{Credentials, Pool, Session};
use crate::verdict::{Cause, Kind, Login, Question, Verdict};

/// A remote that knows users or mailboxes.
pub trait Directory: Send + Sync {
    /// Whether this kind of remote can be asked this kind of question at all.
    fn can_answer(&self, kind: &Kind) -> bool;

    /// Asks the remote, by `deadline`. Whatever goes wrong on the way is a
    /// [`Verdict::Defer`].
    fn probe<'a>(
        &'a self,
        question: &'a Question,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;
}

/// What is sent to the remote as the user name, of a login as it was given.
pub type Username = Arc<dyn Fn(&Login) -> Vec<u8> + Send + Sync>;

/// A user whose login was refused is doubtful for this long.
const DOUBT: Duration = Duration::from_secs(60);

/// Users in doubt that are remembered at once.
const DOUBTFUL_USERS: usize = 16_384;

/// How logins are asked, whatever the protocol.
struct Logins<S: Session<Question = Credentials>> {
    pool: Pool<S, Verdict>,
    username: Username,
    refused: Cache<Login, Instant>,
}

impl<S: Session<Question = Credentials>> Logins<S> {
    fn new(pool: Pool<S, Verdict>, username: Username) -> Self {
        Self {
            pool,
            username,
            refused: Cache::new(DOUBTFUL_USERS),
        }
    }

    /// Tries a login. Who is accepted is known by the name that was asked about,
    /// whatever the remote calls the user.
    async fn ask(&self, user: &Login, password: &Secret<[u8]>, deadline: Instant) -> Verdict {
        let credentials = Credentials {
            user: (self.username)(user),
            password: password.clone(),
        };
        let doubtful = self
            .refused
            .get(user)
            .is_some_and(|since| since.elapsed() < DOUBT);
        let standing = if doubtful {
            Standing::Doubtful
        } else {
            Standing::Good
        };
        match self.pool.ask(credentials.clone(), standing, deadline).await {
            Ok(Verdict::Accept(_)) => {
                self.refused.remove(user);
                Verdict::accept(user.as_bytes())
            }
            Ok(Verdict::Reject(cause)) => {
                self.refused.insert(user.clone(), Instant::now());
                Verdict::Reject(without(cause, &credentials))
            }
            Ok(Verdict::Defer(cause)) => Verdict::Defer(without(cause, &credentials)),
            Ok(verdict @ Verdict::Abstain(_)) => verdict,
            Err(error) => match judge::no_answer(&error) {
                Verdict::Defer(cause) => Verdict::Defer(without(cause, &credentials)),
                verdict => verdict,
            },
        }
    }
}

/// A cause that does not repeat the password, should the remote have done so.
fn without(cause: Cause, credentials: &Credentials) -> Cause {
    Cause {
        text: masked(cause.text, credentials),
        ..cause
    }
}
