//! Real mail servers on both sides of `vouch`: Postfix, Exim, `doveadm` and `socat` ask; Dovecot and Postfix answer.
//!
//! A test needs root, because the servers drop to users of their own, and the Debian packages that `contrib/test`
//! installs. `VOUCH_PEERS` says what happens without: `required` fails the test, `auto` (the default) and `never`
//! pass it over and say `SKIPPED`; `never` does so in any case.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

mod auth_service;
mod both;
mod dialog;
mod doors;
mod dovecot;
mod exim;
mod forward;
mod front;
mod init;
mod login;
mod mechanisms;
mod people;
mod postfix;
mod recipient;
mod remote;
mod same;
mod saslauthd;
mod socketmap;
#[path = "../support/mod.rs"]
mod support;
mod unit;

use std::io::Write;

/// Whether Dovecot, which every test here needs, and the named programs are there to be run. If not, says so past the
/// capture of test output, or fails.
#[track_caller]
fn available(programs: &[&str]) -> bool {
    let wish = std::env::var("VOUCH_PEERS").unwrap_or_else(|_| "auto".to_owned());
    let mut missing = dovecot::PROGRAMS.to_vec();
    missing.extend(programs);
    missing.retain(|name| support::program(name).is_none());
    let why = match wish.as_str() {
        "never" => "VOUCH_PEERS=never".to_owned(),
        "auto" | "required" if !missing.is_empty() => format!("not installed: {}", missing.join(", ")),
        "auto" | "required" if !nix::unistd::Uid::effective().is_root() => "not run by root".to_owned(),
        "auto" | "required" => {
            let exim = || programs.contains(&"exim4").then(exim::unusable).flatten();
            match dovecot::unusable().or_else(exim) {
                Some(why) => why,
                None => return true,
            }
        }
        other => panic!("VOUCH_PEERS={other}: required, auto or never"),
    };
    assert!(wish != "required", "VOUCH_PEERS=required, but {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not eprintln!, which the test runner swallows for a test that passes; and in one write, because tests run
    // side by side.
    let _ = std::io::stderr().write_all(format!("\nSKIPPED: {test}: {why}\n").as_bytes());
    false
}
