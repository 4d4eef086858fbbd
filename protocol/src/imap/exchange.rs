//! What both ways to log in share: what the server says beside its answer, and what comes after all was said.

use super::UNTAGGED_LIMIT;
use super::capability::Capabilities;
use super::command::{Command, Tag, Tags};
use super::response::{Status, StatusKind, Untagged};

/// How the dialog ended. Only [`Outcome::Status`] says something about the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server's answer to these credentials: OK, NO or BAD.
    Status {
        /// The answer. Its code and text tell what a NO is worth.
        status: Status,
        /// With OK: the capabilities that came with it, if any. They may
        /// list UNAUTHENTICATE.
        capabilities: Option<Capabilities>,
    },
    /// The server wanted more although all was said. The exchange was cancelled and the
    /// reply to that read.
    Surprise,
    /// Refused before the password was sent, and nothing else is left to try, or
    /// nothing may be tried since the user name was sent.
    Unsupported(Status),
    /// OK, and then the command that should confirm it was refused, as told here.
    Unconfirmed(Status),
    /// The server broke the order of the protocol. The text says how.
    Unexpected(&'static str),
}

/// The server's side of one dialog.
#[derive(Debug)]
pub(super) struct Exchange<'t> {
    tags: &'t mut Tags,
    confirm: bool,
    goodbye: Option<Status>,
    /// Capabilities told since the dialog began.
    capabilities: Option<Capabilities>,
    untagged: usize,
}

/// A command that is sent once all was said.
#[derive(Debug)]
pub(super) enum Last {
    /// `*`
    Cancel(Tag),
    /// The login was accepted, as told here; this command must succeed as well.
    Confirm(Tag, Status),
}

/// What follows an OK.
pub(super) enum Accepted {
    Confirm(Command, Last),
    Done(Outcome),
}

impl<'t> Exchange<'t> {
    /// With `confirm` one cheap command must succeed after OK.
    pub(super) const fn new(tags: &'t mut Tags, confirm: bool) -> Self {
        Self {
            tags,
            confirm,
            goodbye: None,
            capabilities: None,
            untagged: 0,
        }
    }

    pub(super) const fn next_tag(&mut self) -> Tag {
        self.tags.next_tag()
    }

    /// The server's goodbye. Its answer may follow in the same breath, and is the answer all the same.
    pub(super) const fn goodbye(&self) -> Option<&Status> {
        self.goodbye.as_ref()
    }

    /// Takes note of a line that is no answer; `withhold` hides what a status repeats of ours.
    pub(super) fn hear(
        &mut self,
        untagged: Untagged,
        withhold: impl FnOnce(Status) -> Status,
    ) -> Result<(), &'static str> {
        self.untagged += 1;
        if self.untagged > UNTAGGED_LIMIT {
            return Err("untagged responses without an end");
        }
        match untagged {
            Untagged::Status(status) if status.kind == StatusKind::Bye => {
                self.goodbye.get_or_insert(withhold(status));
            }
            other => self.capabilities = other.into_capabilities().or(self.capabilities.take()),
        }
        Ok(())
    }

    /// After OK: the command that is to confirm it, or the end.
    pub(super) fn accept(&mut self, status: Status) -> Accepted {
        if !self.confirm {
            return Accepted::Done(self.accepted(status));
        }
        let tag = self.tags.next_tag();
        Accepted::Confirm(Command::list(tag), Last::Confirm(tag, status))
    }

    /// How it ended, with the answer to the last command.
    pub(super) fn end(&mut self, last: Last, tag: &str, status: Status) -> Outcome {
        match last {
            Last::Cancel(ours) if ours.is(tag) => Outcome::Surprise,
            Last::Confirm(ours, accepted) if ours.is(tag) => match status.kind {
                StatusKind::Ok => self.accepted(accepted),
                _ => Outcome::Unconfirmed(status),
            },
            _ => STRANGE_TAG,
        }
    }

    fn accepted(&mut self, status: Status) -> Outcome {
        let told = status.clone().into_capabilities();
        let capabilities = told.or(self.capabilities.take());
        Outcome::Status { status, capabilities }
    }
}

/// The answer to none of our commands.
pub(super) const STRANGE_TAG: Outcome = Outcome::Unexpected("a tag that is not in use");
