//! Limits, shown where they bind: a directory's by counting at the remote, a listener's at the listener.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/asker.rs"]
mod asker;
mod directory;
mod gone;
mod logins;
mod penalty;
mod recipients;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/scene.rs"]
mod scene;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;

use scene::Scene;

/// What a policy listener says beyond a limit, by default.
const LIMIT: &str = "450 4.7.1 Too many recipients in one session, try again later";

/// Probes of logins that the remote has seen.
fn logins_probed(scene: &Scene) -> u64 {
    scene.remote.count("AUTHENTICATE") + scene.remote.count("AUTH")
}

/// A line of the log with the first part has the others, too.
async fn assert_logged(scene: &Scene, which: &str, parts: &[&str]) {
    let line = scene.logged(which).await;
    for part in parts {
        assert!(line.contains(part), "{part} in {line}");
    }
}
