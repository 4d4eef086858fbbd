//! A command while it is written, with its quoting and literals.

use super::Command;
use crate::imap::capability::Capabilities;
use crate::secret::Secret;

/// Literals up to this size need not wait for a `+` with LITERAL- (RFC 7888 §5), in octets.
pub(super) const LITERAL_MINUS_LIMIT: usize = 4096;

/// A command being written, and its trace form beside it.
pub(super) struct Draft {
    wire: Vec<u8>,
    shown: String,
    names_user: bool,
    room: usize,
}

impl Draft {
    /// `room` is the most that will be written, in octets: a vector that has to
    /// grow leaves a copy of what it held, passwords too.
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            wire: Vec::with_capacity(room),
            shown: String::new(),
            names_user: false,
            room,
        }
    }

    /// What everybody may see.
    pub(super) fn open(&mut self, text: &str) {
        self.wire.extend_from_slice(text.as_bytes());
        self.shown.push_str(text);
    }

    /// What belongs to the credentials.
    pub(super) fn carry(&mut self, bytes: &[u8], shown: &str) {
        self.wire.extend_from_slice(bytes);
        self.shown.push_str(shown);
        self.names_user = true;
    }

    /// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`, its head alone, where `argument`
    /// needs one. Gives the part that is complete with it if the server must answer first.
    pub(super) fn announce(&mut self, argument: &[u8], capabilities: &Capabilities) -> Option<Command> {
        if is_quotable(argument) {
            return None;
        }
        let size = argument.len();
        let waits = !(capabilities.literal_plus || capabilities.literal_minus && size <= LITERAL_MINUS_LIMIT);
        let head = if waits {
            format!("{{{size}}}")
        } else {
            format!("{{{size}+}}\r\n")
        };
        self.wire.extend_from_slice(head.as_bytes());
        if !waits {
            return None;
        }
        // The size of a password is nobody's business.
        self.shown.push_str("[literal]");
        Some(self.finish())
    }

    /// `astring`, after its head was announced: `quoted = DQUOTE *QUOTED-CHAR DQUOTE`, or
    /// the octets of a literal.
    pub(super) fn argument(&mut self, argument: &[u8], shown: &str) {
        if !is_quotable(argument) {
            return self.carry(argument, shown);
        }
        self.wire.push(b'"');
        for &byte in argument {
            if matches!(byte, b'"' | b'\\') {
                self.wire.push(b'\\');
            }
            self.wire.push(byte);
        }
        self.wire.push(b'"');
        self.carry(b"", shown);
    }

    /// The command as far as it is written; what follows begins anew.
    pub(super) fn finish(&mut self) -> Command {
        let mut done = std::mem::replace(self, Self::with_room(self.room));
        done.wire.extend_from_slice(b"\r\n");
        Command {
            wire: Secret::from(done.wire),
            shown: done.shown,
            names_user: done.names_user,
        }
    }
}

/// Control characters have no place in a quoted string that every server reads
/// alike, and the grammar has none for 8-bit bytes.
fn is_quotable(argument: &[u8]) -> bool {
    argument.iter().all(|byte| (0x20..=0x7e).contains(byte))
}
