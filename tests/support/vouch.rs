//! The daemon under test, as the binary that a user would start.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::{Process, Scratch};

/// The program under test: the one that was built with the test, or the one that `VOUCH_BINARY` names.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("VOUCH_BINARY");
    named.map_or_else(|| env!("CARGO_BIN_EXE_vouch").into(), PathBuf::from)
}

/// A running `vouch serve`.
#[derive(Debug)]
pub(crate) struct Vouch {
    process: Process,
}

impl Vouch {
    /// Starts the daemon on `config`, the text of its `vouch.toml`, and waits until each of `sockets` answers.
    pub(crate) fn serve(scratch: &Scratch, config: &str, sockets: &[&Path]) -> Self {
        Self::serve_by(scratch, config, sockets, Command::new(binary()))
    }

    /// The same in circumstances that a shell script makes before it becomes the daemon; `outer` are the program that
    /// runs the shell, if any, and its arguments.
    #[allow(dead_code, reason = "most tests need no circumstances")]
    pub(crate) fn serve_in(
        scratch: &Scratch,
        config: &str,
        sockets: &[&Path],
        outer: &[&str],
        script: &str,
    ) -> Self {
        let words = [outer, &["/bin/sh", "-ec"]].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg(format!("{script}\nexec \"$@\""))
            .arg("sh")
            .arg(binary());
        Self::serve_by(scratch, config, sockets, command)
    }

    fn serve_by(scratch: &Scratch, config: &str, sockets: &[&Path], mut command: Command) -> Self {
        let file = scratch.write("vouch.toml", staying_root(config));
        command.args(["serve", "-c"]).arg(file).current_dir("/");
        let mut process = Process::start(scratch, "vouch", &mut command);
        for socket in sockets {
            process.wait_for_socket(socket);
        }
        Self { process }
    }

    /// Its process.
    #[allow(dead_code, reason = "a test seldom asks the system about it")]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its memory, in MiB.
    #[allow(dead_code, reason = "a test seldom asks the system about it")]
    pub(crate) fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse::<f64>().unwrap() / 1024.0
    }

    /// Has it read its configuration again.
    #[allow(dead_code, reason = "a test seldom changes it")]
    pub(crate) fn reload(&self) {
        assert!(self.process.signal("HUP"));
    }

    /// Stops it in its tracks: the kernel goes on taking connections for it.
    #[allow(dead_code, reason = "most tests want it awake")]
    pub(crate) fn freeze(&self) {
        assert!(self.process.signal("STOP"));
    }

    /// Asks it to end, in the moment in which it wakes.
    #[allow(dead_code, reason = "most tests want it awake")]
    pub(crate) fn wake_to_end(&self) {
        assert!(self.process.signal("TERM") && self.process.signal("CONT"));
    }

    /// Ends it with SIGKILL, as a crash would.
    #[allow(dead_code, reason = "most tests end it in order")]
    pub(crate) fn kill(mut self) {
        self.process.signal("KILL");
        self.process.stop();
    }

    /// Asks it to end as an init system would. Its exit status; none if it had to be given up.
    pub(crate) fn stop(mut self) -> Option<ExitStatus> {
        self.process.stop()
    }
}

/// A configuration by which `vouch` stays who starts it. Root would else become the user vouch, on a machine that has
/// one, who may not write to a test's directory.
pub(crate) fn staying_root(config: &str) -> String {
    if nix::unistd::geteuid().is_root() && !config.contains("[service]") {
        format!("{config}\n[service]\nuser = \"root\"\n")
    } else {
        config.to_owned()
    }
}
