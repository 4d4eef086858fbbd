//! Listening sockets, and other descriptors, that were handed over by who started us.

use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use socket2::Socket;
use tokio::net::{TcpListener, UnixListener};

/// A socket that was listening already when we started.
#[derive(Debug)]
pub enum Inherited {
    /// A Unix socket, and its path where it has one.
    Unix(UnixListener, Option<PathBuf>),
    /// Of an address.
    Tcp(TcpListener),
}

/// Descriptors that are looked at for a first listening socket. Whoever starts
/// us puts it behind a handful of others.
pub(crate) const DESCRIPTORS: RawFd = 64;

/// The `count` listening sockets that we were started with, in their order: they
/// have consecutive descriptors, the first of which is the first listening
/// socket at `first` or above.
///
/// # Errors
/// When there are not so many, or one is of an unknown kind. Needs a runtime.
pub fn inherited(first: RawFd, count: usize) -> io::Result<Vec<Inherited>> {
    let listening = |descriptor: RawFd| {
        let socket = Socket::from(descriptor_of(descriptor)?);
        if socket.is_listener()? {
            Ok(socket)
        } else {
            Err(io::Error::other("is a socket that does not listen"))
        }
    };
    let found = (first..first + DESCRIPTORS).find(|&descriptor| listening(descriptor).is_ok());
    let found = found
        .ok_or_else(|| io::Error::other(format!("no listening socket among descriptors from {first} on")))?;
    let sockets = (found..).take(count).map(|descriptor| {
        let socket = listening(descriptor).and_then(into_listener);
        socket.map_err(|error| io::Error::other(format!("descriptor {descriptor} {error}")))
    });
    sockets.collect()
}

fn into_listener(socket: Socket) -> io::Result<Inherited> {
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    if address.is_unix() {
        let path = address.as_pathname().map(Path::to_path_buf);
        Ok(Inherited::Unix(UnixListener::from_std(socket.into())?, path))
    } else {
        Ok(Inherited::Tcp(TcpListener::from_std(socket.into())?))
    }
}

/// A descriptor that we were started with, by its number: a copy, so that who
/// asks for it owns what nobody else closes.
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
    use std::net::TcpListener as StdTcpListener;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener as StdUnixListener;

    use super::*;

    #[tokio::test]
    async fn sockets_that_listen_are_found_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unix");
        let unix = StdUnixListener::bind(&path).unwrap();
        match inherited(unix.as_raw_fd(), 1).unwrap().remove(0) {
            Inherited::Unix(_, found) => assert_eq!(found.unwrap(), path),
            other => panic!("{other:?}"),
        }
        let tcp = StdTcpListener::bind("127.0.0.1:0").unwrap();
        let found = inherited(tcp.as_raw_fd(), 1).unwrap().remove(0);
        assert!(matches!(found, Inherited::Tcp(_)), "{found:?}");
        // No descriptor is so high here.
        assert!(inherited(100_000, 1).is_err());
        assert!(descriptor_of(-1).is_err());
        assert!(descriptor_of(100_000).is_err());
    }
}
