//! How a server misbehaves; [`crate::Server::set_fault`] changes it while it runs.

use std::time::Duration;

/// One way to misbehave. Unless [`Fault::at`] says otherwise, it strikes at every reply to a command of any
/// session, open or new, and not at the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Behaves.
    None,
    /// Accepts connections and then neither speaks nor listens, not even for TLS. Open sessions go on.
    HangAfterAccept,
    /// Reads a command and then nothing more, and never answers.
    HangBeforeReply,
    /// Sends so many bytes of a reply, then closes.
    CloseMidReply(usize),
    /// Sends bytes that are no reply of any protocol, with a line end.
    Garbage,
    /// Sends a line that does not end, up to 16 MiB.
    EndlessLine,
    /// Sends continuation lines (`250-`, or untagged in IMAP) without a last one, up to 16 MiB.
    EndlessReply,
    /// Sends each byte alone, a millisecond apart.
    OneByteAtATime,
    /// Sends it so much later.
    Late(Duration),
    /// Says 421 or `* BYE` in the place of the greeting or of the reply to a command, then closes.
    Bye,
    /// Closes without a word when it has answered so many commands of a session; 0 is after the greeting.
    CloseAfter(u32),
    /// Says something else in reply to one verb, and behaves as if it meant it: a 2yz or OK is believed.
    ReplyWith {
        /// The verb, in upper case.
        verb: String,
        /// A whole SMTP reply, or for IMAP all lines with `{tag}` where the tag belongs; CRLF is added.
        text: String,
    },
    /// The fault within, at one verb only.
    At(String, Box<Fault>),
}

impl Fault {
    /// The same fault at one verb only: `RCPT`, `AUTHENTICATE`, `STARTTLS`; `GREETING` is the greeting,
    /// `CHALLENGE` what asks for the next step of SASL or for a literal.
    pub fn at(self, verb: &str) -> Self {
        Self::At(verb.to_owned(), Box::new(self))
    }

    /// Refuses MAIL with this reply.
    pub fn refuse_mail(reply: &str) -> Self {
        Self::reply_with("MAIL", reply)
    }

    /// [`Fault::ReplyWith`].
    pub fn reply_with(verb: &str, text: &str) -> Self {
        Self::ReplyWith {
            verb: verb.to_owned(),
            text: text.to_owned(),
        }
    }

    /// What strikes at the reply to `verb`; `ACCEPT` is the moment before a session begins.
    pub(crate) fn striking(&self, verb: &str) -> &Self {
        match self {
            Self::At(at, fault) if at == verb => fault,
            Self::At(..) => &Self::None,
            Self::HangAfterAccept if verb == "ACCEPT" => self,
            _ if verb == "ACCEPT" => &Self::None,
            Self::HangAfterAccept => &Self::None,
            Self::ReplyWith { verb: at, .. } if at != verb => &Self::None,
            Self::ReplyWith { .. } | Self::CloseAfter(_) => self,
            Self::Bye if verb != "CHALLENGE" => self,
            _ if matches!(verb, "GREETING" | "CHALLENGE") => &Self::None,
            _ => self,
        }
    }
}

/// A fault, and how often it still strikes if that is bounded.
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    pub(crate) left: Option<u32>,
}

impl Planned {
    /// The fault that strikes now, at the reply to `verb`, which is the session's `answered`th.
    pub(crate) fn strike(&mut self, verb: &str, answered: u32) -> Fault {
        let fault = self.fault.striking(verb).clone();
        let strikes = match fault {
            Fault::None => false,
            Fault::CloseAfter(after) => answered >= after,
            _ => true,
        };
        if !strikes {
            return Fault::None;
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.fault = Fault::None;
            }
        }
        fault
    }
}
