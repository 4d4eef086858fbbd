//! Whether what a test needs is on this machine.

use super::{program, skipped};

/// Whether these programs are there to be run, and `unusable` finds no reason why they cannot be used. If not, says so as
/// [`skipped`] does, or fails, as `VOUCH_PEERS` wants it: `required` fails, `auto` (the default) and `never` pass the test
/// over; `never` does so in any case.
#[track_caller]
pub(crate) fn available(programs: &[&str], unusable: impl FnOnce() -> Option<String>) -> bool {
    let wish = std::env::var("VOUCH_PEERS").unwrap_or_else(|_| "auto".to_owned());
    let mut missing = programs.to_vec();
    missing.retain(|name| program(name).is_none());
    let why = match wish.as_str() {
        "never" => Some("VOUCH_PEERS=never".to_owned()),
        "auto" | "required" if !missing.is_empty() => Some(format!("not installed: {}", missing.join(", "))),
        "auto" | "required" => unusable(),
        other => panic!("VOUCH_PEERS={other}: required, auto or never"),
    };
    let Some(why) = why else { return true };
    assert!(wish != "required", "VOUCH_PEERS=required, but {why}");
    skipped(&why);
    false
}
