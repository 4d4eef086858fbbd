//! Listening sockets, and other descriptors, from the process that started vouch.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::Socket;

/// A socket that was listening already when we started. It does not block.
#[derive(Debug)]
pub enum Inherited {
    /// A Unix socket, and its path where it has one.
    Unix(UnixListener, Option<PathBuf>),
    /// Of an address.
    Tcp(TcpListener),
}

impl Inherited {
    /// Where clients find it; empty for a Unix socket without a path.
    pub fn place(&self) -> String {
        match self {
            Self::Unix(_, Some(path)) => path.display().to_string(),
            Self::Unix(_, None) => String::new(),
            Self::Tcp(socket) => socket
                .local_addr()
                .map_or_else(|_| String::new(), |it| it.to_string()),
        }
    }
}

/// The sockets of systemd's units (`FileDescriptorName=` in systemd.socket(5)) that we
/// were started with. They outlive this process: clients that connect while no daemon runs wait in them.
#[derive(Debug, Default)]
pub struct Units(Vec<(String, RawFd)>);

/// Why there is no such socket, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// None at all was handed over.
    #[error(
        "no socket was handed over: start vouch by systemd, with an enabled socket unit of that FileDescriptorName= and \
         Service=vouch.service, or give a path"
    )]
    Nothing,
    /// Others were.
    #[error(
        "no socket of that name was handed over, only {names}: enable a socket unit with FileDescriptorName={name} and \
         Service=vouch.service"
    )]
    Lacks {
        /// The name.
        name: String,
        /// Those of the others.
        names: String,
    },
    /// It cannot be known which one is meant.
    #[error(
        "systemd handed over several sockets of this name: give each ListenStream= a unit with a FileDescriptorName= of \
         its own"
    )]
    Several,
    /// It is not one on which clients connect.
    #[error("what systemd handed over {0}; it takes a unit with ListenStream=, and Accept=no")]
    Unusable(io::Error),
}

impl Units {
    /// Those in the environment (`$LISTEN_FDS` and related variables,
    /// sd_listen_fds(3)), if meant for this process.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn of_environment() -> io::Result<Self> {
        let sockets = sd_notify::listen_fds_with_names()?;
        Ok(Self(
            sockets.map(|(descriptor, name)| (name, descriptor)).collect(),
        ))
    }

    /// The socket of that name; a copy at each call.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub fn socket(&self, name: &str) -> Result<Inherited, UnitError> {
        let mut named = self.0.iter().filter(|(known, _)| known == name);
        let Some((_, descriptor)) = named.next() else {
            let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
            return Err(if names.is_empty() {
                UnitError::Nothing
            } else {
                UnitError::Lacks {
                    name: name.to_owned(),
                    names: names.join(", "),
                }
            });
        };
        if named.next().is_some() {
            return Err(UnitError::Several);
        }
        let socket = listening(*descriptor).and_then(into_listener);
        socket.map_err(UnitError::Unusable)
    }

    /// Those that none of `used` names.
    pub fn besides<'a>(&self, used: impl Iterator<Item = &'a str>) -> Vec<&str> {
        let used: Vec<&str> = used.collect();
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !used.contains(name)).collect()
    }
}

/// Bound (clients): file descriptors searched for the first socket of Dovecot. Beyond: vouch dovecot-service does not
/// start, with an error. Why: Dovecot puts a handful of others in front.
const DESCRIPTORS: RawFd = 64;

/// The `count` listening sockets that we were started with, in their order: they
/// have consecutive descriptors, the first of which is the first listening
/// socket at `first` or above.
///
/// # Errors
/// When there are not so many, or one is of an unknown kind.
pub fn inherited(first: RawFd, count: usize) -> io::Result<Vec<Inherited>> {
    let found = (first..first + DESCRIPTORS).find(|&descriptor| listening(descriptor).is_ok());
    let found = found
        .ok_or_else(|| io::Error::other(format!("no listening socket among descriptors from {first} on")))?;
    let sockets = (found..).take(count).map(|descriptor| {
        let socket = listening(descriptor).and_then(into_listener);
        socket.map_err(|error| io::Error::other(format!("descriptor {descriptor} {error}")))
    });
    sockets.collect()
}

fn listening(descriptor: RawFd) -> io::Result<Socket> {
    let socket = Socket::from(descriptor_of(descriptor)?);
    if socket.is_listener()? {
        Ok(socket)
    } else {
        Err(io::Error::other("is a socket that does not listen"))
    }
}

fn into_listener(socket: Socket) -> io::Result<Inherited> {
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    if address.is_unix() {
        let path = address.as_pathname().map(Path::to_path_buf);
        Ok(Inherited::Unix(socket.into(), path))
    } else {
        Ok(Inherited::Tcp(socket.into()))
    }
}

/// A descriptor that vouch was started with, by its number: a copy, so that the
/// caller owns one that nothing else closes.
///
/// # Errors
/// When nothing is open there.
pub fn descriptor_of(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(ErrorKind::InvalidInput.into());
    }
    #[allow(unsafe_code, reason = "a number is all that who starts us gives")]
    // SAFETY: it is not -1, and it is borrowed for this one call, which copies it or fails with EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    // Fills DESCRIPTORS.
    #[test]
    fn sockets_that_listen_are_found_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unix");
        let unix = UnixListener::bind(&path).unwrap();
        match inherited(unix.as_raw_fd(), 1).unwrap().remove(0) {
            Inherited::Unix(_, found) => assert_eq!(found.unwrap(), path),
            other => panic!("{other:?}"),
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = inherited(tcp.as_raw_fd(), 1).unwrap().remove(0);
        assert!(matches!(found, Inherited::Tcp(_)), "{found:?}");
        // No descriptor is so high here.
        assert!(inherited(100_000, 1).is_err());
        assert!(descriptor_of(-1).is_err());
        assert!(descriptor_of(100_000).is_err());
    }

    #[test]
    fn a_unit_s_socket_is_found_by_its_name_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (listens, does_not) = (listener.as_raw_fd(), datagrams.as_raw_fd());
        let units = Units(vec![
            ("policy".into(), listens),
            ("twice".into(), listens),
            ("twice".into(), listens),
            ("datagrams".into(), does_not),
        ]);
        let place = listener.local_addr().unwrap().to_string();
        // As often as it is asked for: the listener of a name may change.
        for _ in 0..2 {
            assert_eq!(units.socket("policy").unwrap().place(), place);
        }
        let said = |units: &Units, name: &str| units.socket(name).unwrap_err().to_string();
        assert!(said(&units, "auth").contains("only policy, twice, twice, datagrams: enable"));
        assert!(said(&units, "twice").contains("several sockets of this name"));
        assert!(said(&units, "datagrams").contains("ListenStream="));
        assert!(said(&Units::default(), "policy").contains("no socket was handed over"));
        assert_eq!(units.besides(["policy", "twice"].into_iter()), ["datagrams"]);
    }
}
