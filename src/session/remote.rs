//! What is known of a remote before it is called.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::encryption::Encryption;

use super::connect::Dial;
use super::error::{Error, Kind, LOGIN};
use super::tls;
use crate::chance::Chance;

/// A remote server and the way to it.
#[derive(Clone)]
pub struct Remote {
    /// How errors and logs name it: `mailbox (mail.example.org:11200)`.
    pub peer: Arc<str>,
    /// Opens a connection.
    pub dial: Arc<dyn Dial>,
    /// TLS settings; the name to check the certificate against is in them.
    pub tls: Arc<tls::Client>,
    /// When TLS is turned on.
    pub encryption: Encryption,
    /// Bound on one command and its reply.
    pub timeout: Duration,
    /// Whether a password may go out without TLS.
    pub password_in_clear: bool,
    /// A backup MX: it may accept any recipient, so what it says is not remembered.
    pub is_backup: bool,
    /// Draws the pauses between tries.
    pub chance: Chance,
}

impl Remote {
    /// The end of one command: `timeout` from now, or `deadline` if that is
    /// sooner.
    pub(super) fn command_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.timeout)
    }

    /// Refuses to send a password where somebody else could read it.
    pub(super) fn check_password_may_leave(&self, encrypted: bool) -> Result<(), Error> {
        if encrypted || self.password_in_clear {
            return Ok(());
        }
        let detail = "there is no TLS on this connection, so no password is sent";
        let advice = "set directory.NAME.tls.starttls = \"required\", or directory.NAME.tls.implicit = true with the port \
                      for it; directory.NAME.auth.allow-cleartext = true sends it readable on the network path";
        Err(Error::new(Kind::Config, &self.peer, LOGIN, detail).advise(advice))
    }
}
