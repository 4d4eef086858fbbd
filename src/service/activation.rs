//! Listening sockets: bound by us, or handed over by who started us.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

/// Connections that wait to be accepted. Default Dovecot opens one for each
/// login; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Whose a Unix socket is, and who may connect.
#[derive(Debug, Clone, Default)]
pub struct Ownership {
    /// Permission bits.
    pub mode: u32,
    /// User; ours if none is named.
    pub owner: Option<String>,
    /// Group; that of the socket's directory if none is named.
    pub group: Option<String>,
}

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct BindError {
    place: String,
    problem: String,
}

/// A Unix socket that we listen on; its path is removed in the end, if it is
/// still ours.
#[derive(Debug)]
pub struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Listens on a path. A socket left behind by a process that is gone is
/// replaced; one that somebody listens on is not.
///
/// Mode and owner are set between binding and listening, so that nobody can
/// connect while they are not yet what they should be.
///
/// # Errors
/// What is in the way, and what to do about it. Needs a runtime.
pub fn bind_path(path: &Path, ownership: &Ownership) -> Result<(UnixListener, BoundPath), BindError> {
    let failed = |problem: String| BindError {
        place: path.display().to_string(),
        problem,
    };
    make_way(path).map_err(failed)?;
    let socket = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    let socket = socket().map_err(|error| failed(bind_problem(path, &error)))?;
    let finish = || -> Result<(UnixListener, BoundPath), String> {
        own(path, ownership)?;
        let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
        let listening = || {
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            UnixListener::from_std(socket.into())
        };
        let listener = listening().map_err(|error| error.to_string())?;
        Ok((
            listener,
            BoundPath {
                path: path.into(),
                device: metadata.dev(),
                inode: metadata.ino(),
            },
        ))
    };
    finish().map_err(|problem| {
        let _ = fs::remove_file(path);
        failed(problem)
    })
}

/// Listens on an address.
///
/// # Errors
/// Why not. Needs a runtime.
pub fn bind_address(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    };
    bound().map_err(|error: io::Error| BindError {
        place: address.to_string(),
        problem: address_problem(&error),
    })
}

fn address_problem(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "; is vouch running already? `ss -ltnp` shows who listens",
        ErrorKind::AddrNotAvailable => "; no interface of this host has it",
        ErrorKind::PermissionDenied => "; a port below 1024 is for root alone",
        _ => "",
    };
    format!("{error}{advice}")
}

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
const DESCRIPTORS: RawFd = 64;

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

/// Sockets that systemd hands over come with a later version.
pub fn handed_over(place: &str) -> BindError {
    let problem = "this version binds its sockets itself; give a path".into();
    BindError {
        place: place.to_owned(),
        problem,
    }
}

fn make_way(path: &Path) -> Result<(), String> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    if !metadata.file_type().is_socket() {
        return Err(
            "something that is not a socket is there already; remove it, or give another path".into(),
        );
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("another process listens there; is vouch running already?".into()),
        // Only "nobody listens" means that it is stale: a full backlog says EAGAIN.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("cannot remove the stale socket: {error}"))
        }
        Err(error) => Err(format!(
            "a socket is there, and it cannot be told whether it is in use: {error}"
        )),
    }
}

fn bind_problem(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().unwrap_or(Path::new("/")).display();
    match error.kind() {
        ErrorKind::NotFound => format!("the folder {folder} does not exist; create it for the user of vouch"),
        ErrorKind::PermissionDenied => format!("the user of vouch may not create files in {folder}"),
        _ => error.to_string(),
    }
}

fn own(path: &Path, ownership: &Ownership) -> Result<(), String> {
    let uid = match &ownership.owner {
        None => None,
        Some(name) => match User::from_name(name) {
            Ok(Some(user)) => Some(user.uid.as_raw()),
            Ok(None) => return Err(format!("there is no user {name}")),
            Err(error) => return Err(format!("cannot look up user {name}: {error}")),
        },
    };
    let gid = match &ownership.group {
        None => folder_group(path),
        Some(name) => match Group::from_name(name) {
            Ok(Some(group)) => Some(group.gid.as_raw()),
            Ok(None) => return Err(format!("there is no group {name}")),
            Err(error) => return Err(format!("cannot look up group {name}: {error}")),
        },
    };
    if let Err(error) = chown(path, uid, gid) {
        if ownership.owner.is_some() || ownership.group.is_some() {
            return Err(format!(
                "cannot give it to its owner or group: {error}; vouch must be root, or a member of that group"
            ));
        }
        let path = path.display();
        tracing::warn!(
            "{path}: cannot give it to the group of its folder: {error}; vouch must be a member of it, or group name another"
        );
    }
    let mode = Permissions::from_mode(ownership.mode);
    fs::set_permissions(path, mode).map_err(|error| format!("cannot set its mode: {error}"))
}

fn folder_group(path: &Path) -> Option<u32> {
    fs::metadata(path.parent()?).ok().map(|folder| folder.gid())
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        let ours = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode);
        if fs::symlink_metadata(&self.path).as_ref().is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership(mode: u32) -> Ownership {
        Ownership {
            mode,
            ..Ownership::default()
        }
    }

    #[tokio::test]
    async fn stale_sockets_are_replaced_and_live_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        let (listener, bound) = bind_path(&path, &ownership(0o600)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = bind_path(&path, &ownership(0o600)).unwrap_err().to_string();
        assert!(refused.contains("another process listens there"), "{refused}");
        std::mem::forget(bound);
        drop(listener);
        let (_, bound) = bind_path(&path, &ownership(0o666)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn sockets_that_listen_are_found_by_their_numbers() {
        use std::os::fd::AsRawFd;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unix");
        let (unix, _bound) = bind_path(&path, &ownership(0o600)).unwrap();
        let unix = unix.into_std().unwrap();
        match inherited(unix.as_raw_fd(), 1).unwrap().remove(0) {
            Inherited::Unix(_, found) => assert_eq!(found.unwrap(), path),
            other => panic!("{other:?}"),
        }
        let address = "127.0.0.1:0".parse().unwrap();
        let tcp = bind_address(address).unwrap();
        let found = inherited(tcp.as_raw_fd(), 1).unwrap().remove(0);
        assert!(matches!(found, Inherited::Tcp(_)), "{found:?}");
        // No descriptor is so high here.
        assert!(inherited(100_000, 1).is_err());
        assert!(descriptor_of(-1).is_err());
        assert!(descriptor_of(100_000).is_err());
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let message =
            |path: &Path, ownership: &Ownership| bind_path(path, ownership).unwrap_err().to_string();
        assert!(message(&file, &ownership(0o600)).contains("not a socket"));
        let missing = folder.path().join("none/policy");
        assert!(message(&missing, &ownership(0o600)).contains("does not exist"));
        let nobody = Ownership {
            owner: Some("no-such-user".into()),
            ..ownership(0o600)
        };
        let path = folder.path().join("policy");
        assert!(message(&path, &nobody).contains("there is no user no-such-user"));
        assert!(!path.exists());
    }
}
