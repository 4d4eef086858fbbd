//! Sockets that are handed over to the daemon, as systemd does it (sd_listen_fds(3)).

use std::os::fd::{AsFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

/// A copy of a socket that child processes inherit. It lives as long as this process: as one of systemd's does.
#[allow(dead_code, reason = "most tests hand no socket over")]
pub(crate) fn held(socket: impl AsFd) -> RawFd {
    fcntl(socket, FcntlArg::F_DUPFD(100)).unwrap()
}

/// What `bash` does before it becomes the program that its arguments name: that finds these sockets, by their names,
/// from descriptor 3 on.
#[allow(dead_code, reason = "most tests hand no socket over")]
pub(crate) fn script(sockets: &[(&str, RawFd)]) -> String {
    let mut script = String::new();
    for (place, (_, descriptor)) in sockets.iter().enumerate() {
        script += &format!("exec {}<&{descriptor} {descriptor}<&-; ", place + 3);
    }
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    if !names.is_empty() {
        let (count, names) = (names.len(), names.join(":"));
        script += &format!("LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names} ");
    }
    script + "exec \"$@\""
}
