//! Real mail servers on both sides of `vouch`: Postfix, Exim, Sendmail, OpenSMTPD, `doveadm` and `socat` ask; Dovecot,
//! Postfix, Exim, OpenSMTPD and Cyrus answer.
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
mod banning;
mod both;
mod cyrus;
mod dialog;
mod dovecot;
mod exim;
mod forward;
mod front;
mod gateways;
mod init;
mod language;
mod listeners;
mod login;
mod mechanisms;
mod opensmtpd;
mod people;
mod postfix;
mod recipient;
mod remote;
mod routes;
mod same;
mod saslauthd;
mod sendmail;
mod several;
mod socketmap;
mod stale;
#[path = "../support/mod.rs"]
mod support;
mod unit;
mod verifying;

/// Whether Dovecot, which nearly every test here needs, and the named programs are there to be run. If not, says so past
/// the capture of test output, or fails.
#[track_caller]
fn available(programs: &[&str]) -> bool {
    runnable(&[&dovecot::PROGRAMS, programs].concat())
}

/// The same of the named programs alone.
#[track_caller]
fn runnable(programs: &[&str]) -> bool {
    support::available(programs, || {
        if !nix::unistd::geteuid().is_root() {
            return Some("not run by root".to_owned());
        }
        let needs = |program: &str| programs.contains(&program);
        let dovecot = needs("dovecot").then(language::unusable).flatten();
        let exim = || (needs("exim4") || needs("smtpd")).then(exim::unusable).flatten();
        let cyrus = || needs("cyrus").then(cyrus::unusable).flatten();
        let sendmail = || needs("sendmail").then(sendmail::unusable).flatten();
        dovecot.or_else(exim).or_else(cyrus).or_else(sendmail)
    })
}
