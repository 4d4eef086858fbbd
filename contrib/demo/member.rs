//! A process of the demo of a fleet.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scratch::Scratch;
use crate::shared::{Failed, PATIENCE};

/// How long a process may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Looks again and again until there is something.
pub(crate) fn within<T>(mut look: impl FnMut() -> io::Result<Option<T>>) -> Result<T, Failed> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = look()? {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("nothing came of it in {} s", PATIENCE.as_secs()).into())
}

/// A process of the fleet. It is ended with the value, and by the guard of the folder where this program is killed.
pub(crate) struct Member {
    name: &'static str,
    child: Child,
    pub(crate) log: PathBuf,
    note: PathBuf,
}

impl Member {
    /// Starts it; what it prints goes to `NAME.log`.
    pub(crate) fn start(
        scratch: &Scratch,
        name: &'static str,
        command: &mut Command,
    ) -> Result<Self, Failed> {
        let log = scratch.path(&format!("{name}.log"));
        let output = fs::File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        // What the terminal sends is for the demo, which ends it.
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let note = scratch.note_running(child.id());
        Ok(Self {
            name,
            child,
            log,
            note,
        })
    }

    /// Its number, and that of its group.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has printed a line with `part`; what stands behind it.
    pub(crate) fn printed(&self, part: &str) -> Result<String, Failed> {
        let look = || {
            let log = fs::read_to_string(&self.log)?;
            let mut lines = log.lines().filter_map(|line| line.split_once(part));
            Ok(lines.next().map(|(_, rest)| rest.to_owned()))
        };
        within(look).map_err(|error| {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            format!("{}: {part}: {error}\n{log}", self.name).into()
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Ok(group) = i32::try_from(self.child.id()) else {
            return;
        };
        // One that was stopped takes no other signal.
        for signal in [Signal::SIGCONT, Signal::SIGTERM] {
            let _ = kill(Pid::from_raw(-group), signal);
        }
        let asked = Instant::now();
        while asked.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.note);
    }
}
