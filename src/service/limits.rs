//! What the kernel allows us.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors needed beside those of clients: sessions, files, the runtime.
const RESERVE: u64 = 256;

/// Raises the number of descriptors to what we may have, and says so if that is
/// too few for `connections`.
pub fn raise_descriptors(connections: u64) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    match raised {
        Ok(limit) if limit < connections.saturating_add(RESERVE) => tracing::warn!(
            allowed = limit,
            needed = connections.saturating_add(RESERVE),
            "too few file descriptors should all max-connections be used: raise LimitNOFILE= (systemd) or ulimit -n"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(
            "cannot raise the number of file descriptors, so many clients may find none left: {error}; raise LimitNOFILE= \
             (systemd) or ulimit -n"
        ),
    }
}
