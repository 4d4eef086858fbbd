//! Dovecot as the starting process: vouch as its `auth` service.
//!
//! What it gives and wants stands in its `lib-master/master-interface.h` and
//! `master/service-process.c`: settings in the environment, open descriptors, a
//! record that says that we are up, and a pipe that breaks when we are to end.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::RawFd;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use super::activation::{Inherited, descriptor_of, inherited};

/// `MASTER_STATUS_FD`: a pipe for records of this process and of how many
/// clients it has room for.
const STATUS: RawFd = 5;

/// `MASTER_DEAD_FD`: a pipe that nobody reads any more once Dovecot wants us to
/// end: it reloads its configuration, or stops.
const DEAD: RawFd = 6;

/// `MASTER_LISTEN_FD_FIRST` of Dovecot 2.3. Later versions begin some higher,
/// with descriptors in between that do not listen.
const LISTEN_FIRST: RawFd = 7;

/// Bound (clients): sockets that Dovecot hands over. Beyond: the others are not served. Why: its own services have
/// some ten.
const MOST_SOCKETS: usize = 1000;

/// Why Dovecot's side of the agreement is not there.
#[derive(Debug, thiserror::Error)]
pub enum DovecotError {
    /// A variable is missing or makes no sense.
    #[error("Dovecot gives no usable {0} in the environment; is it a version 2.3 or 2.4?")]
    Variable(String),
    /// A descriptor is not what it should be.
    #[error(
        "Dovecot gives no usable {0}: {1}; does its service auth run vouch itself, without a script between?"
    )]
    Descriptor(&'static str, io::Error),
}

/// What a socket is for, by the name or the type that its listener has in
/// Dovecot's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Logins that nobody asks about afterwards: Postfix, Exim.
    Client,
    /// Logins of Dovecot's login processes, each kept for a REQUEST.
    Login,
    /// Users, and the REQUEST of a mail process.
    Master,
    /// Users.
    Userdb,
    /// DOVECOT-TOKEN, for IMAP URLAUTH between Dovecot's own processes.
    Token,
}

/// A listening socket of Dovecot's.
#[derive(Debug)]
pub struct DovecotSocket {
    /// The listener's name in Dovecot's configuration, without folders.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The socket.
    pub socket: Inherited,
}

/// The agreement with a Dovecot that has started us.
#[derive(Debug)]
pub struct Dovecot {
    /// Its listening sockets for us. Taken by the part that serves them.
    pub sockets: Vec<DovecotSocket>,
    /// Clients that it lets us have at once: `client_limit` of the service.
    pub client_limit: u32,
    generation: u32,
    status: File,
    dead: Sender,
}

impl Dovecot {
    /// Takes what it gave; nothing where somebody else started us. `variable` reads
    /// the environment. Needs a runtime.
    ///
    /// # Errors
    /// When something is missing.
    pub fn take(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, DovecotError> {
        if variable("DOVECOT_CHILD_PROCESS").is_none() {
            return Ok(None);
        }
        let number = |name: &str| {
            let number = variable(name).and_then(|value| value.parse().ok());
            number.ok_or_else(|| DovecotError::Variable(name.to_owned()))
        };
        let (generation, client_limit) = (number("GENERATION")?, number("CLIENT_LIMIT")?);
        let count = sockets_taken(number("SOCKET_COUNT")?);
        let no = |what| move |error| DovecotError::Descriptor(what, error);
        let status = descriptor_of(STATUS).map_err(no("status pipe (descriptor 5)"))?;
        let dead = descriptor_of(DEAD)
            .and_then(Sender::from_owned_fd)
            .map_err(no("pipe that tells the end (descriptor 6)"))?;
        let sockets = inherited(LISTEN_FIRST, count).map_err(no("listening sockets"))?;
        let named = |(at, socket)| {
            let variable_name = format!("SOCKET{at}_SETTINGS");
            let settings = variable(&variable_name).ok_or(DovecotError::Variable(variable_name))?;
            let (name, purpose) = read_settings(&settings);
            Ok(DovecotSocket {
                name,
                purpose,
                socket,
            })
        };
        Ok(Some(Self {
            sockets: sockets
                .into_iter()
                .enumerate()
                .map(named)
                .collect::<Result<_, _>>()?,
            client_limit,
            generation,
            status: File::from(status),
            dead,
        }))
    }

    /// Says that we have `clients` now. Dovecot kills who says nothing within 30
    /// seconds (`SERVICE_FIRST_STATUS_TIMEOUT_SECS`), takes who is without a
    /// client for idle, and warns when there is no room left.
    ///
    /// # Errors
    /// When Dovecot does not read.
    pub fn report(&mut self, clients: u32) -> io::Result<()> {
        let free = self.client_limit.saturating_sub(clients);
        // `struct master_status`: pid, uid of the service, room.
        let record = [std::process::id(), self.generation, free].map(u32::to_ne_bytes);
        self.status.write_all(record.as_flattened())
    }

    /// Waits until Dovecot wants us to end.
    pub async fn ended(&self) {
        // Broken is what it becomes; else only the runtime's own end is an error here.
        let _ = self.dead.ready(Interest::ERROR).await;
    }
}

fn sockets_taken(count: u32) -> usize {
    (count as usize).min(MOST_SOCKETS)
}

/// `SOCKETn_SETTINGS`: in 2.3 the listener's name, whose last word behind a `-`
/// says what it is for (`auth/main.c`); since 2.4 the name and settings behind
/// tabs, `type=` among them.
fn read_settings(settings: &str) -> (String, Purpose) {
    let mut fields = settings.split('\t');
    let name = fields.next().unwrap_or_default();
    let purpose = fields
        .find_map(|field| field.strip_prefix("type="))
        .unwrap_or_else(|| name.rsplit('-').next().unwrap_or_default());
    let purpose = match purpose {
        "login" => Purpose::Login,
        "master" => Purpose::Master,
        "userdb" => Purpose::Userdb,
        // 2.3 has "tokenlogin" and 2.4 "token-login".
        "token" | "tokenlogin" | "token-login" => Purpose::Token,
        // "auth", "auth-legacy", "client", and whatever an administrator thinks of.
        _ => Purpose::Client,
    };
    (name.to_owned(), purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_its_name_or_type() {
        for (settings, name, purpose) in [
            // Dovecot 2.3.19.
            ("login", "login", Purpose::Login),
            ("tokenlogin", "tokenlogin", Purpose::Token),
            ("auth-login", "auth-login", Purpose::Login),
            ("auth-client", "auth-client", Purpose::Client),
            ("auth-userdb", "auth-userdb", Purpose::Userdb),
            ("auth-master", "auth-master", Purpose::Master),
            ("auth", "auth", Purpose::Client),
            ("postfix-auth", "postfix-auth", Purpose::Client),
            ("", "", Purpose::Client),
            // Dovecot 2.4.
            ("login\ttype=login", "login", Purpose::Login),
            ("auth-token\ttype=token", "auth-token", Purpose::Token),
            ("token\ttype=token-login", "token", Purpose::Token),
            ("legacy\ttype=auth-legacy", "legacy", Purpose::Client),
            ("my-login\ttype=auth", "my-login", Purpose::Client),
            ("x\tmode=0600\ttype=master", "x", Purpose::Master),
            ("auth-userdb\ttype=userdb", "auth-userdb", Purpose::Userdb),
        ] {
            assert_eq!(
                read_settings(settings),
                (name.to_owned(), purpose),
                "{settings:?}"
            );
        }
    }

    #[tokio::test]
    async fn who_was_not_started_by_dovecot_says_so() {
        assert!(matches!(Dovecot::take(|_| None), Ok(None)));
        let wanting = Dovecot::take(|name| (name == "DOVECOT_CHILD_PROCESS").then(|| "1".to_owned()));
        assert_eq!(
            wanting.unwrap_err().to_string(),
            "Dovecot gives no usable GENERATION in the environment; is it a version 2.3 or 2.4?"
        );
    }

    // Fills MOST_SOCKETS.
    #[test]
    fn no_more_sockets_are_taken_than_a_dovecot_has() {
        assert_eq!(sockets_taken(12), 12);
        assert_eq!(sockets_taken(u32::MAX), MOST_SOCKETS);
    }
}
