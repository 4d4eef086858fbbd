//! What is in the way of a socket. `serve` finds it when it binds, and `check` looks for the same before, without making
//! anything.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{AccessFlags, Gid, Uid, access, getegid, geteuid, getgroups};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{BindError, Ownership, Problem, address_problem};
use crate::unseen::is_unseen;

/// What is at a path where a socket is to be.
pub(super) enum Found {
    Nothing,
    /// A socket that a process which is gone has left behind.
    Stale,
    /// A socket on which a process listens: which one, where that is known.
    Listening(Option<Process>),
    /// One on which a process listens that has no room for another client.
    Busy,
}

/// Another process.
pub(super) struct Process {
    id: i32,
    name: String,
}

pub(super) fn look(path: &Path) -> Result<Found, Problem> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(bind_problem(path, &error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(
            "something that is not a socket is there already: give another path, or remove it".into(),
        );
    }
    let connect = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Connecting to a listening process without room would block.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    match connect() {
        Ok(socket) => Ok(Found::Listening(listening(&socket))),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Found::Busy),
        // Nothing else means that it is stale.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Found::Stale),
        Err(error) => Err(Problem::of(
            &error,
            format!("a socket is there, and it cannot be told whether it is in use: {error}"),
        )),
    }
}

/// Somebody listens there.
pub(super) fn in_use(process: Option<&Process>) -> Problem {
    let process = process.map_or_else(String::new, |Process { id, name }| match name.as_str() {
        "" => format!(" {id}"),
        name => format!(" {id} ({name})"),
    });
    format!(
        "another process{process} listens there; is vouch running already? stop that one, or give another path"
    )
    .into()
}

/// The process that called listen(2) at the other end; `None` if it is in another pid namespace.
fn listening(socket: &Socket) -> Option<Process> {
    let id = getsockopt(socket, PeerCredentials).ok()?.pid();
    (id > 0).then(|| Process {
        id,
        name: name_of(&id.to_string()),
    })
}

/// The name of a process, by its folder in /proc.
fn name_of(process: &str) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.trim().chars().filter(|it| !is_unseen(*it)).collect()
}

/// What would keep a socket from being bound on that path. A vouch that listens there does not: it may be the one
/// that is to read the configuration again.
pub fn obstacle(path: &Path, ownership: Ownership) -> Option<BindError> {
    folder_problem(path).or_else(|| {
        let problem = occupied(path).or_else(|| not_ours_to_give(path, ownership))?;
        Some(BindError::new(path.display(), problem))
    })
}

fn occupied(path: &Path) -> Option<Problem> {
    match look(path) {
        Ok(Found::Listening(Some(process))) if process.name != name_of("self") => {
            Some(in_use(Some(&process)))
        }
        Ok(_) => None,
        Err(problem) => Some(problem),
    }
}

/// Only root gives a file to another user, or to a group that it is not a member of (chown(2)).
fn not_ours_to_give(path: &Path, ownership: Ownership) -> Option<Problem> {
    if geteuid().is_root() {
        return None;
    }
    let handed_on = || {
        let folder = fs::metadata(path.parent()?).ok()?;
        (folder.mode() & 0o2000 != 0).then(|| folder.gid())
    };
    let is_ours = |group: u32| {
        let groups = getgroups().unwrap_or_default();
        group == getegid().as_raw() || groups.contains(&Gid::from_raw(group)) || handed_on() == Some(group)
    };
    let owner = ownership.owner.is_some_and(|owner| owner != geteuid().as_raw());
    let group = ownership.group.is_some_and(|group| !is_ours(group));
    (owner || group).then(|| not_given("only root may, or a member of that group"))
}

/// `why` says what the system has against it.
pub(super) fn not_given(why: impl std::fmt::Display) -> Problem {
    format!("cannot give it to its owner or group: {why}").into()
}

/// What would keep an address from being listened on, other than a process that listens there: it may be a vouch.
pub fn address_obstacle(address: SocketAddr) -> Option<BindError> {
    let bound = || -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    };
    let error = bound()
        .err()
        .filter(|error| error.kind() != ErrorKind::AddrInUse)?;
    Some(BindError::new(address, address_problem(&error)))
}

/// What prevents a socket on that path, as far as is known without creating it.
pub fn folder_problem(path: &Path) -> Option<BindError> {
    let folder = path.parent()?;
    let error = if fs::metadata(folder).is_ok_and(|folder| !folder.is_dir()) {
        Errno::ENOTDIR
    } else {
        access(folder, AccessFlags::W_OK | AccessFlags::X_OK).err()?
    };
    let problem = bind_problem(path, &io::Error::from(error));
    Some(BindError::new(path.display(), problem))
}

pub(super) fn bind_problem(path: &Path, error: &io::Error) -> Problem {
    let folder = path.parent().unwrap_or(Path::new("/")).display();
    let text = match error.kind() {
        ErrorKind::NotFound => format!(
            "the folder {folder} does not exist; make it by `install -d -o vouch {folder}`, and for a group that is to \
             connect, as postfix, with -g postfix -m 2750"
        ),
        ErrorKind::PermissionDenied => format!(
            "user {us} may not create files in {folder}; give it the folder by `chown {us} {folder}`, or give another path",
            us = Uid::effective()
        ),
        _ => error.to_string(),
    };
    Problem::of(error, text)
}
