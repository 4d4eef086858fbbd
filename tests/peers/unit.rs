//! The unit for systemd, judged by systemd's own tool; no systemd need run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::available;
use crate::support::{Scratch, program};

/// The most that `systemd-analyze security` may say of the unit, of 10.
const EXPOSURE: f64 = 2.0;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd/vouch.service")
}

/// What `systemd-analyze` says, and whether it is content.
fn analyze(arguments: &[&str], unit: &Path) -> (String, bool) {
    let mut command = Command::new(program("systemd-analyze").unwrap());
    command
        .args(arguments)
        .arg(unit)
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_EMOJI", "0");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.success(),
    )
}

#[test]
fn the_unit_leaves_little_exposed() {
    if !available(&["systemd-analyze"]) {
        return;
    }
    let (said, _) = analyze(&["security", "--offline=true", "--no-pager"], &unit());
    let exposure: f64 = said
        .split_once("Overall exposure level for vouch.service: ")
        .and_then(|(_, after)| after.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    println!("exposure {exposure}");
    assert!(exposure < EXPOSURE, "{said}");
}

#[test]
fn the_unit_says_nothing_that_systemd_does_not_know() {
    if !available(&["systemd-analyze"]) {
        return;
    }
    let scratch = Scratch::new();
    let text = std::fs::read_to_string(unit()).unwrap();
    // Here it is not installed.
    let installed = "ExecStart=/usr/bin/vouch ";
    assert_eq!(text.matches(installed).count(), 1);
    let here = format!("ExecStart={} ", env!("CARGO_BIN_EXE_vouch"));
    let copy = scratch.write("vouch.service", text.replace(installed, &here));
    let (said, content) = analyze(&["verify", "--man=no"], &copy);
    let about: Vec<_> = said
        .lines()
        .filter(|line| line.contains("vouch.service"))
        .collect();
    assert!(content && about.is_empty(), "{said}");
}
