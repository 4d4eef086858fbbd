//! A remote's answer after its client stopped waiting: it got "later", has cancelled, or has gone.
//! The remote has counted the attempt, so we do.

use std::sync::Arc;

use tokio::time::Instant;

use super::{AuthListener, RequestContext, Session};
use crate::dialog::Dialog;
use crate::engine::{Decision, Tag};
use crate::verdict::{Kind, Proof, UserName, Verdict};

/// A login whose answer may come too late.
pub(super) struct Overdue {
    pub(super) listener: Arc<AuthListener>,
    pub(super) asked: RequestContext,
    pub(super) login: Name,
    pub(super) tag: Option<Tag>,
    pub(super) session: Option<Session>,
    pub(super) began: Instant,
}

/// The user of a login.
pub(super) enum Name {
    /// This user.
    Known(UserName),
    /// The user that this dialog names.
    Of(Dialog),
}

/// The user of a question, as far as it is known now or later.
pub(super) fn name(kind: &Kind) -> Name {
    match kind {
        Kind::Login {
            proof: Proof::Relay(dialog),
            ..
        } => Name::Of(dialog.clone()),
        Kind::Login { user, .. } => Name::Known(user.clone()),
        Kind::Recipient(address) => Name::Known(UserName::new(&address.to_unquoted())),
    }
}

impl Overdue {
    /// Counts and logs what the remote said.
    pub(super) fn hear(&self, decision: &Decision) {
        if !decision.is_failed_attempt() && !matches!(decision.verdict, Verdict::Accept(_)) {
            return;
        }
        let user = match &self.login {
            Name::Known(user) => user.clone(),
            Name::Of(dialog) => UserName::new(dialog.user().unwrap_or_default()),
        };
        let client = &self.asked.client;
        self.listener
            .sessions
            .note(self.session, self.tag.as_ref(), decision);
        // Nobody hears the answer, so there is nothing to hold back.
        let _ = self
            .listener
            .count(&self.asked, &user, self.tag.as_ref(), decision);
        let took = (self.began.elapsed(), None);
        self.listener.log(&user, client, decision, took, "too late");
    }
}
