//! `[dovecot]`: the answers to Dovecot when it runs vouch as its own auth service.

use super::key::{Keyed, keys};
use super::listener::{Deadline, Listener};
use super::protocol::Protocol;
use super::socket::ListenAddress;

keys! {
    /// Settings of `vouch dovecot-service`, which answers on the sockets that Dovecot hands over.
    /// Dovecot's configuration sets which sockets there are, their owners and modes, and how many clients may
    /// connect (`client_limit`).
    pub struct Dovecot(logins: Vec<String>, users: Vec<String>) {
        of {
            /// The other keys, which are those of a listener of protocol `login`.
            keys: Listener = Listener::new("dovecot", Protocol::Login, ListenAddress::Dovecot, Vec::new());
        }
        /// Names of the directories that are asked about logins, by domain, in this order. At least one must be able to
        /// answer.
        "logins" logins: Vec<String> = logins,
            required "the directories to ask, as in `[\"mailbox\"]`", example "[\"imap\"]";
        /// Names of the directories that are asked about users. At least one must be able to answer, except with `exists =
        /// "domain"`, which asks none.
        "users" users: Vec<String> = users,
            required "the directories to ask, as in `[\"mailbox\"]`", example "[\"mailbox\"]";
    }
}

impl Dovecot {
    /// The listener that one of Dovecot's sockets is, by the name that the log calls it.
    pub fn listener(&self, name: &str, protocol: Protocol, max_connections: u32) -> Listener {
        let asked = if protocol.asks_logins() {
            &self.logins
        } else {
            &self.users
        };
        // Which time is meant where the key is not given differs.
        let deadline = match self.keys.deadline {
            default if default == Deadline::new(self.keys.protocol) => Deadline::new(protocol),
            given => given,
        };
        Listener {
            name: name.to_owned(),
            protocol,
            directory: asked.clone(),
            deadline,
            max_connections,
            ..self.keys.clone()
        }
    }

    /// Every key of the table.
    pub fn keyed(&self) -> Keyed {
        let mut keyed = self.every_key();
        keyed.keys.extend(self.keys.of_dovecot().keys);
        keyed
    }
}

/// Every key of the table, by its name in full.
pub(crate) fn names() -> Vec<String> {
    Dovecot::new(Vec::new(), Vec::new()).keyed().names("dovecot")
}
