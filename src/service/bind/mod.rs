//! Listening sockets that we bind ourselves, before any thread is started.

mod obstacles;

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchownat};
use socket2::{Domain, SockAddr, Socket, Type};

use obstacles::{Found, bind_problem};
pub use obstacles::{address_obstacle, folder_problem, obstacle};

use super::bound_path::{BoundPath, Place};
use super::folder_lock::FolderLocks;

/// Bound (clients): clients that wait to be accepted. Beyond: the kernel refuses one more, or lets it wait;
/// net.core.somaxconn may be lower. Why: a Dovecot opens one connection for each login.
const BACKLOG: i32 = 4096;

/// A Unix socket's owner, group and mode.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ownership {
    /// Permission bits.
    pub mode: u32,
    /// User; ours if none is given.
    pub owner: Option<u32>,
    /// Group; that of the socket's folder if none is given.
    pub group: Option<u32>,
}

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct BindError {
    place: String,
    problem: Problem,
}

impl BindError {
    /// `problem` says what is wrong and what to do.
    pub fn new(place: impl ToString, problem: impl Into<Problem>) -> Self {
        Self {
            place: place.to_string(),
            problem: problem.into(),
        }
    }

    /// Whether the system refused it to the user that we are, or to a process that has given up rights.
    pub fn is_denied(&self) -> bool {
        self.problem.denied
    }
}

/// What is wrong, and what to do.
#[derive(Debug)]
pub struct Problem {
    text: String,
    denied: bool,
}

impl Problem {
    /// `text` tells of this error of the system.
    fn of(error: &io::Error, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            denied: error.kind() == ErrorKind::PermissionDenied,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, denied: false }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::of(&error, error.to_string())
    }
}

/// A Unix socket that we listen on.
#[derive(Debug)]
pub struct Bound {
    /// It does not block.
    pub listener: UnixListener,
    /// Its place in the file system.
    pub path: BoundPath,
    /// What its administrator should know, and what has kept nobody from anything.
    pub remark: Option<String>,
}

/// Listens on a path. A socket left behind by a process that is gone is
/// replaced; one that somebody listens on is not, and nothing else ever is.
///
/// To listen is the last step: until then the kernel refuses every connection
/// (connect(2): ECONNREFUSED), so that nobody gets in by a mode, owner or group
/// that is not yet what it should be.
///
/// # Errors
/// What is in the way, and what to do about it.
pub fn bind_path(path: &Path, ownership: Ownership, locks: &mut FolderLocks) -> Result<Bound, BindError> {
    // Bound and not yet listening looks as stale as left behind: one at a time.
    let _lock = locks.lock(path.parent().unwrap_or(Path::new("/")));
    make_way(path).map_err(|problem| BindError::new(path.display(), problem))?;
    listen_at(path, ownership)
}

/// As [`bind_path`], where nothing is at the path; what is there is left.
///
/// # Errors
/// What is in the way, and what to do about it.
pub fn bind_free_path(
    path: &Path,
    ownership: Ownership,
    locks: &mut FolderLocks,
) -> Result<Bound, BindError> {
    let _lock = locks.lock(path.parent().unwrap_or(Path::new("/")));
    listen_at(path, ownership)
}

fn listen_at(path: &Path, ownership: Ownership) -> Result<Bound, BindError> {
    let failed = |problem: Problem| BindError::new(path.display(), problem);
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    let socket = bind().map_err(|error| failed(bind_problem(path, &error)))?;
    let (bound, node) = find(path).map_err(failed)?;
    let remark = own(path, &node, ownership).map_err(failed)?;
    let listen = || -> io::Result<UnixListener> {
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    let listener = listen().map_err(|error| failed(error.into()))?;
    Ok(Bound {
        listener,
        path: bound,
        remark,
    })
}

/// Listens on an address. The listener does not block.
///
/// # Errors
/// Why not.
pub fn bind_address(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bound().map_err(|error| BindError::new(address, address_problem(&error)))
}

/// Removes a stale socket.
fn make_way(path: &Path) -> Result<(), Problem> {
    match obstacles::look(path)? {
        Found::Nothing => Ok(()),
        Found::Stale => fs::remove_file(path)
            .map_err(|error| Problem::of(&error, format!("cannot remove the stale socket: {error}"))),
        Found::Listening(process) => Err(obstacles::in_use(process.as_ref())),
        Found::Busy => Err("another process listens there, and is busy; is vouch running already? stop that one, or give another path".into()),
    }
}

fn address_problem(error: &io::Error) -> Problem {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "; is vouch running already? `ss -ltnp` shows who listens",
        ErrorKind::AddrNotAvailable => "; no interface of this host has it",
        ErrorKind::PermissionDenied => "; a port below 1024 is for root alone",
        _ => "",
    };
    Problem::of(error, format!("{error}{advice}"))
}

/// What was just bound. A user who may write to the folder could put something
/// else there: from here on only the held descriptor is changed, and it is a
/// socket.
fn find(path: &Path) -> Result<(BoundPath, File), Problem> {
    let node = open(
        path,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    let node = node.map_err(|error| {
        let text = format!("cannot find the socket that was made there: {error}");
        Problem::of(&error.into(), text)
    })?;
    let file = File::from(node);
    let metadata = file.metadata()?;
    if !metadata.file_type().is_socket() {
        return Err(
            "the socket that was created there was replaced: check which users may write to its folder"
                .into(),
        );
    }
    Ok((BoundPath(Place::with(path, &metadata)), file))
}

fn own(path: &Path, node: &File, ownership: Ownership) -> Result<Option<String>, Problem> {
    let made = node.metadata()?;
    // The folder may have passed on its group already, when this process may not change a file's group.
    let owner = ownership.owner.filter(|owner| *owner != made.uid());
    let group = ownership.group.or_else(|| folder_group(path));
    let group = group.filter(|group| *group != made.gid());
    let (uid, gid) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
    let mut remark = None;
    if (owner, group) != (None, None)
        && let Err(error) = fchownat(node, "", uid, gid, AtFlags::AT_EMPTY_PATH)
    {
        if ownership.owner.is_some() || ownership.group.is_some() {
            return Err(obstacles::not_given(format_args!(
                "{error}; only root may, or a member of that group"
            )));
        }
        let path = path.display();
        remark = Some(format!(
            "{path}: cannot give it to the group of its folder: {error}; vouch must be a member of it, or group name another"
        ));
    }
    // A descriptor of this kind changes no mode; its name among our descriptors does.
    let node = format!("/proc/self/fd/{}", node.as_raw_fd());
    fs::set_permissions(node, Permissions::from_mode(ownership.mode))
        .map_err(|error| Problem::of(&error, format!("cannot set its mode, which takes /proc: {error}")))?;
    Ok(remark)
}

fn folder_group(path: &Path) -> Option<u32> {
    fs::metadata(path.parent()?).ok().map(|folder| folder.gid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn ownership(mode: u32) -> Ownership {
        Ownership {
            mode,
            ..Ownership::default()
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_refusal_is_known_by_its_kind() {
        let error = |kind: ErrorKind| bind_problem(Path::new("/run/vouch/in"), &kind.into());
        assert!(error(ErrorKind::PermissionDenied).denied);
        assert!(!error(ErrorKind::NotFound).denied);
        assert!(!Problem::from("Permission denied: so its text has it").denied);
    }

    #[test]
    fn stale_sockets_are_replaced_and_live_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        let bound = bind_path(&path, ownership(0o600), &mut FolderLocks::default()).unwrap();
        assert_eq!(mode(&path), 0o600);
        let refused = bind_path(&path, ownership(0o600), &mut FolderLocks::default())
            .unwrap_err()
            .to_string();
        let id = std::process::id();
        assert!(
            refused.contains(&format!("another process {id} (")) && refused.contains("listens there"),
            "{refused}"
        );
        std::mem::forget(bound.path);
        drop(bound.listener);
        bind_free_path(&path, ownership(0o666), &mut FolderLocks::default()).unwrap_err();
        assert_eq!(mode(&path), 0o600, "a stale one is something that is there, too");
        let bound = bind_path(&path, ownership(0o666), &mut FolderLocks::default()).unwrap();
        assert_eq!(mode(&path), 0o666);
        drop(bound);
        assert!(!path.exists());
    }

    /// A client tries to connect all the time: when it succeeds, the socket is as
    /// it should be.
    #[test]
    fn nobody_connects_before_mode_and_group_are_set() {
        const ROUNDS: usize = 200;
        let folder = tempfile::tempdir().unwrap();
        let path = |round| folder.path().join(format!("{round}"));
        let round = AtomicUsize::new(0);
        let wanted = Ownership {
            mode: 0o606,
            owner: None,
            group: Some(nix::unistd::getegid().as_raw()),
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    let path = path(match round.load(Ordering::Relaxed) {
                        ROUNDS => return,
                        round => round,
                    });
                    if UnixStream::connect(&path).is_ok() {
                        let found = fs::symlink_metadata(&path).unwrap();
                        assert_eq!((found.mode() & 0o777, Some(found.gid())), (0o606, wanted.group));
                    }
                }
            });
            let mut bound = Vec::new();
            for next in 1..=ROUNDS {
                bound.push(bind_path(&path(next - 1), wanted, &mut FolderLocks::default()).unwrap());
                // Until somebody got in: this one does, if the other has not.
                UnixStream::connect(path(next - 1)).unwrap();
                round.store(next, Ordering::Relaxed);
            }
        });
    }

    #[test]
    fn what_is_in_the_way_is_named_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| {
            bind_path(path, ownership(0o600), &mut FolderLocks::default())
                .unwrap_err()
                .to_string()
        };
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        // A link to a stale socket is no socket either.
        let stale = folder.path().join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&stale, &link).unwrap();
        for path in [&file, &link, folder.path()] {
            assert!(message(path).contains("not a socket"));
        }
        assert!(stale.exists() && link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        let missing = folder.path().join("none/policy");
        assert!(message(&missing).contains("none does not exist; make it by `install -d "));
    }

    #[test]
    fn a_socket_that_has_taken_the_place_of_ours_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        let bound = bind_path(&path, ownership(0o600), &mut FolderLocks::default()).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn one_that_listens_and_has_no_room_is_not_stale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let refused = bind_path(&path, ownership(0o600), &mut FolderLocks::default())
            .unwrap_err()
            .to_string();
        assert!(refused.contains("is busy"), "{refused}");
    }
}
