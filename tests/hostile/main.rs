//! Clients and networks that mean harm, and users whose names and passwords only look as if they did.
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
mod leaks;
mod listeners;
mod names;
mod odd;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/scene.rs"]
mod scene;
mod secrets;
mod study;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod traces;

use remote::Protocol;
use scene::{Scene, Setup, options};

/// A remote that knows the usual user, and listeners that let a client fail as often as it likes.
async fn scene() -> Scene {
    Setup::new(options(Protocol::Smtp))
        .listeners("limits.auth-errors = \"unlimited\"\nlimits.rcpt-errors = \"unlimited\"")
        .also("saslauthd")
        .also("socketmap")
        .start()
        .await
}
