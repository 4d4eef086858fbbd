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

use protocol::secret::Secret;
use tokio::time::Instant;

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

/// Tries a login on a session of `pool`. Who is accepted is known by the name
/// that was asked about, whatever the remote calls the user.
async fn login<S: Session<Question = Credentials>>(
    pool: &Pool<S, Verdict>,
    username: &Username,
    user: &Login,
    password: &Secret<[u8]>,
    deadline: Instant,
) -> Verdict {
    let credentials = Credentials {
        user: username(user),
        password: password.clone(),
    };
    match pool.ask(credentials, deadline).await {
        Ok(Verdict::Accept(_)) => Verdict::accept(user.as_bytes()),
        Ok(Verdict::Reject(cause)) => Verdict::Reject(without(cause, password)),
        Ok(Verdict::Defer(cause)) => Verdict::Defer(without(cause, password)),
        Ok(verdict @ Verdict::Abstain(_)) => verdict,
        Err(error) => judge::no_answer(&error),
    }
}

/// A cause that does not repeat the password, should the remote have done so.
fn without(cause: Cause, password: &Secret<[u8]>) -> Cause {
    Cause {
        text: masked(&cause.text, password),
        ..cause
    }
}
