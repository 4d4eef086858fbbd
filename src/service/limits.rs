//! What the kernel allows us, and what it is to keep others from.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors needed beside those of clients and sessions: listening sockets, files
/// of recipients, the resolver, the log, the runtime.
const RESERVE: u64 = 64;

/// A session being closed still has a descriptor when the next has one already,
/// and a host of several addresses is tried at more than one.
const PER_SESSION: u64 = 2;

/// What a kernel that does not tell is taken to allow: what POSIX has every system
/// allow would leave nothing for clients.
const UNKNOWN: u64 = 1024;

/// Raises the number of descriptors to what we may have. Returns how many of them
/// clients may use: the others are kept for `sessions` with remotes, which no crowd of
/// clients may take away from those who are served. Says so if that is too few for
/// `connections`.
pub fn raise_descriptors(connections: u64, sessions: u64) -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    let allowed = raised.unwrap_or_else(|error| {
        tracing::warn!(
            "cannot raise the number of file descriptors, so clients may find none left: {error}; raise LimitNOFILE= \
             (systemd) or ulimit -n"
        );
        getrlimit(Resource::RLIMIT_NOFILE).map_or(UNKNOWN, |(soft, _)| soft)
    });
    let clients = share_of_clients(allowed, sessions);
    if clients < connections {
        tracing::warn!(
            allowed,
            needed = connections.saturating_add(kept(sessions)),
            "too few file descriptors for all max-connections, {clients} clients at once are served: \
             raise LimitNOFILE= (systemd) or ulimit -n"
        );
    }
    usize::try_from(clients).unwrap_or(usize::MAX)
}

const fn kept(sessions: u64) -> u64 {
    RESERVE.saturating_add(sessions.saturating_mul(PER_SESSION))
}

/// Half of the descriptors at the least: where there are so few, a daemon that lets
/// nobody in would be of no use to anyone.
fn share_of_clients(allowed: u64, sessions: u64) -> u64 {
    allowed.saturating_sub(kept(sessions)).max(allowed / 2)
}

/// Has the kernel never write our memory, with the passwords in it, to a core file, and let no other process of our
/// user read it (`/proc/PID/mem`, ptrace). Both are needed: the limit of a process is not heeded where
/// `kernel.core_pattern` is a pipe (core(5)), and what is not dumpable becomes so again at the next exec. Root may
/// look inside all the same, with `gcore`.
///
/// To be called before the first secret is read. A kernel that refuses is no reason not to start; returned is what
/// it said, for the log.
pub fn forbid_core_dumps() -> Option<nix::Error> {
    let limited = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let hidden = prctl::set_dumpable(false);
    limited.and(hidden).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_keep_theirs_and_clients_have_half_at_least() {
        assert_eq!(share_of_clients(20_000, 10), 20_000 - RESERVE - 20);
        assert_eq!(share_of_clients(1024, 1000), 512);
        assert_eq!(share_of_clients(0, u64::MAX), 0);
    }
}
