//! Programs of the system that do what vouch does, started beside it.

use std::path::Path;
use std::process::Command;

use crate::support::{Process, Scratch, program};

/// Which of the programs are not installed, as a sentence.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let missing: Vec<_> = programs
        .iter()
        .filter(|name| program(name).is_none())
        .copied()
        .collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

/// Dovecot's auth service, which asks an IMAP server by `passdb imap`. Nothing is remembered, and nobody waits for
/// a penalty. Its auth-client socket is `auth` in the directory.
pub(crate) fn dovecot(scratch: &Scratch, port: u16, tls: Option<&Path>) -> Process {
    let text = scratch.text("");
    let base = text.trim_end_matches('/');
    let tls = tls.map_or_else(String::new, |ca_file| {
        format!(" ssl=imaps ssl_ca_file={}", ca_file.display())
    });
    let config = scratch.write(
        "dovecot.conf",
        format!(
            "protocols =\nbase_dir = {base}/dovecot\nstate_dir = {base}/dovecot-state\nlog_path = {base}/dovecot.log\n\
             ssl = no\ndefault_vsz_limit = 0\nauth_mechanisms = plain\nauth_failure_delay = 0\nauth_cache_size = 0\n\
             passdb {{\n  driver = imap\n  args = host=localhost port={port}{tls}\n}}\n\
             userdb {{\n  driver = static\n  args = uid=mail gid=mail home=/nonexistent\n}}\n\
             service anvil {{\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  }}\n}}\n\
             service auth {{\n  unix_listener {base}/auth {{\n    mode = 0666\n  }}\n}}\n"
        ),
    );
    let mut command = Command::new(program("dovecot").unwrap());
    command.arg("-F").arg("-c").arg(config);
    let mut process = Process::start(scratch, "dovecot-master", &mut command);
    process.wait_for_socket(&scratch.path("auth"));
    process
}

/// `saslauthd -a rimap` with as many processes as vouch has sessions. Its socket is `mux` in the directory.
pub(crate) fn saslauthd(scratch: &Scratch, port: u16, processes: usize) -> Process {
    let text = scratch.text("");
    let base = text.trim_end_matches('/');
    // It puts itself into the background, in a group of its own; the shell stays to stand for it.
    let script =
        format!("saslauthd -a rimap -O localhost/{port} -r -n {processes} -m {base} && exec sleep 3600");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &script])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let mut process = Process::start(scratch, "saslauthd", &mut command);
    process.wait_for_socket(&scratch.path("mux"));
    let pid = std::fs::read_to_string(scratch.path("saslauthd.pid")).unwrap();
    process.adopt(scratch, pid.trim().parse().unwrap());
    process
}
