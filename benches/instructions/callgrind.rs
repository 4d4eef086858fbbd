//! `valgrind --tool=callgrind`, which runs a program on a processor of its own making and counts its instructions.

use std::path::Path;
use std::process::Command;

use crate::support::program;

/// Where it is missing, what to do.
pub(crate) fn missing() -> Option<&'static str> {
    program("valgrind")
        .is_none()
        .then_some("not installed: valgrind (apt-get install valgrind)")
}

/// The words before a program that is to be counted.
pub(crate) const WORDS: [&str; 3] = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

/// The program, to be counted.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(WORDS[0]);
    command.args(&WORDS[1..]).arg(program);
    command
}

/// Runs it to its end; the instructions that it took.
pub(crate) fn collected(command: &mut Command) -> u64 {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    count(&said).unwrap_or_else(|| panic!("no count in\n{said}"))
}

/// The count, once valgrind has printed it among other lines.
pub(crate) fn count(said: &str) -> Option<u64> {
    let (_, count) = said.rsplit_once("Collected : ")?;
    count.split_once('\n')?.0.trim().parse().ok()
}
