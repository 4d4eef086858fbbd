//! `[dovecot]`: the answers to Dovecot when it runs vouch as its own auth service.

use super::{ListenAddress, Listener, described, listener::Protocol};

described! {
    /// `[dovecot]`: settings of `vouch dovecot-service`, which answers on the sockets that Dovecot hands over.
    /// Dovecot's configuration sets which sockets there are, their owners and modes, and how many clients may
    /// connect (`client_limit`).
    #[derive(Debug, Clone, PartialEq)]
    pub struct Dovecot {
        /// `logins`: names of the directories that are asked about logins, by domain, in this order. Required;
        /// at least one must be able to answer.
        pub logins: Vec<String>,
        /// `users`: names of the directories that are asked about users. Required; at least one must be able to
        /// answer, except with `exists = "domain"`, which asks none.
        pub users: Vec<String>,
        /// The other keys are those of a listener of protocol `login`, with the same meaning: `deadline`,
        /// `default-domain`, `mechanisms`, `tempfail`, `ok`, `exists`, `fields`, `penalty`, `allow`, `deny`, and the table
        /// `limits`.
        pub keys: Listener,
    }
}

impl Dovecot {
    /// The table in which every key but the required ones has its default.
    pub fn new(logins: Vec<String>, users: Vec<String>) -> Self {
        let keys = Listener::new("dovecot", Protocol::Login, ListenAddress::Dovecot, Vec::new());
        Self { logins, users, keys }
    }

    /// The listener that one of Dovecot's sockets is, by the name that the log calls it.
    pub fn listener(&self, name: &str, protocol: Protocol, max_connections: u32) -> Listener {
        let asked = if protocol.asks_logins() {
            &self.logins
        } else {
            &self.users
        };
        Listener {
            name: name.to_owned(),
            protocol,
            directory: asked.clone(),
            max_connections,
            ..self.keys.clone()
        }
    }
}
