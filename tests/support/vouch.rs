//! The daemon under test, as the binary that a user would start.

use std::path::Path;
use std::process::{Command, ExitStatus};

use super::{Process, Scratch};

/// A running `vouch serve`.
#[derive(Debug)]
pub(crate) struct Vouch {
    process: Process,
}

impl Vouch {
    /// Starts the daemon on `config`, the text of its `vouch.toml`, and waits until each of `sockets` answers.
    pub(crate) fn serve(scratch: &Scratch, config: &str, sockets: &[&Path]) -> Self {
        let file = scratch.write("vouch.toml", config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
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
