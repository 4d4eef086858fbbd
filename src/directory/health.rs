//! How a directory is: what its remote answered last, and what its sessions do.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::sasl::Carried;
use tokio::time::Instant;

use super::{Directory, Report};
use crate::verdict::{Kind, Question, Verdict};

/// What a directory's remote answered last.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// When it last said yes or no.
    pub answered: Option<Instant>,
    /// When it last gave no answer, and why.
    pub failed: Option<(Instant, String)>,
}

/// A directory whose answers are noted.
pub struct Watched {
    directory: Arc<dyn Directory>,
    health: Mutex<Health>,
}

impl Watched {
    /// Nothing was asked yet.
    pub fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            health: Mutex::default(),
        }
    }

    fn note(&self, verdict: &Verdict) {
        let now = Instant::now();
        let failed = match verdict {
            Verdict::Accept(_) | Verdict::Reject(_) => None,
            Verdict::Defer(cause) => Some((now, cause.to_string())),
            Verdict::Abstain(_) => return,
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            None => health.answered = Some(now),
            failed => health.failed = failed,
        }
    }
}

impl Directory for Watched {
    fn can_answer(&self, kind: &Kind) -> bool {
        self.directory.can_answer(kind)
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        Box::pin(async move {
            let verdict = self.directory.probe(question, deadline).await;
            self.note(&verdict);
            verdict
        })
    }

    fn carries(&self) -> Option<Vec<Carried>> {
        self.directory.carries()
    }

    fn call<'a>(&'a self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.directory.call(deadline)
    }

    fn report(&self) -> Option<Report> {
        self.directory.report()
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
