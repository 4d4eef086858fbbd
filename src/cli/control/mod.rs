//! Commands that ask the running daemon, by its control socket.

pub(super) mod cache;
pub(crate) mod columns;
pub(super) mod level;
mod shown;
pub(super) mod status;

use std::process::ExitCode;

use serde_json::Value;

use super::failed;
use super::status::UNAVAILABLE;
use crate::config::Config;
use crate::control::client;

/// The daemon's answer to a request of the command of that name.
fn ask(command: &str, config: &Config, request: &Value) -> Result<Value, ExitCode> {
    client::ask(config.control.path(), request).map_err(|error| failed(command, UNAVAILABLE, error))
}
