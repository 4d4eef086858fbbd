//! The binary from outside: what it takes, what it says and where, and the status with which it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

mod addresses;
mod any_login;
mod arguments;
mod binding;
mod cache;
mod cache_files;
mod check;
mod check_online;
mod confined;
mod control;
mod dovecot_service;
mod init;
mod init_script;
mod init_terminal;
mod init_tries;
mod log;
mod log_file;
mod login;
mod metrics;
mod outside;
mod page;
mod recipient;
mod reload;
mod routes;
mod serve;
mod sockets;
mod stale;
#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests with real mail servers need more of it"
)]
mod support;
mod systemd;
mod terminal;
mod upgrade;
mod userdb;
mod version;
