//! What a remote says unasked: remarks answer nothing and end nothing (RFC 9051 §7).

use tokio::time::Instant;
use vouch_protocol::imap::response::{Response, StatusKind, Untagged};
use vouch_protocol::imap::{Codec, UNTAGGED_LIMIT};

use super::LoginSession;
use crate::session::error::Error;
use crate::wire::Wire;

impl LoginSession {
    /// Reads past remarks that lie there. Tags are easily foreseen, so a tag alone would not make a line the answer to what
    /// is asked next: any other line ends the session.
    pub(super) async fn hear_remarks(&mut self, step: &'static str, deadline: Instant) -> Result<(), Error> {
        let by = self.link.remote.command_deadline(deadline);
        while is_remark(&self.link.wire) {
            let response = self.link.read(step, by).await?;
            let goodbye = match &response {
                Response::Untagged(Untagged::Status(status)) if status.kind == StatusKind::Bye => {
                    self.link.goodbye(step, status.label(), status.text())
                }
                _ => self.link.more_than_asked(step),
            };
            if !self.passes_over(response) {
                return Err(goodbye);
            }
        }
        self.link.check_nothing_unasked(step)
    }

    /// Whether an unasked line answers nothing and ends nothing.
    pub(super) fn passes_over(&mut self, response: Response) -> bool {
        self.remarks += 1;
        let passes = match &response {
            Response::Untagged(Untagged::Status(status)) => {
                matches!(status.kind, StatusKind::Ok | StatusKind::No | StatusKind::Bad)
            }
            Response::Untagged(Untagged::Capability(_)) => true,
            Response::Untagged(Untagged::Other) | Response::Tagged { .. } | Response::Continuation(_) => {
                false
            }
        };
        if passes
            && let Response::Untagged(untagged) = response
            && let Some(offered) = untagged.into_capabilities()
        {
            self.capabilities = offered;
        }
        passes && self.remarks <= UNTAGGED_LIMIT
    }
}

/// Whether what lies there unread begins as an untagged line does.
pub(super) fn is_remark(wire: &Wire<Codec>) -> bool {
    wire.unread().starts_with(b"*")
}
