//! A directory with several servers, of a list or as DNS names them: which is asked, and which is never asked.
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
#[path = "../support/dns.rs"]
mod dns;
mod found;
mod gateway;
mod list;
mod machine;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;
