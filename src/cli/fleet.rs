//! `vouch fleet`: what the edges of a fleet need before they share anything.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{failed, print, status};
use crate::daemon;

/// Commands about a fleet.
#[derive(Debug, Subcommand)]
pub(super) enum Fleet {
    /// Make the key that all edges of a fleet share
    #[command(
        after_help = "Make it once, and copy the file to every edge: edges with another key share nothing. An existing file is \
                      never overwritten.\n\nExit status: 0; 73 the file exists already, or cannot be written."
    )]
    Key(Key),
}

/// Arguments of `vouch fleet key`.
#[derive(Debug, Args)]
pub(super) struct Key {
    /// Where to write it, with mode 0600; made by root, it is of user vouch if there is one
    #[arg(value_name = "FILE", default_value = "/etc/vouch/fleet.key")]
    file: PathBuf,
}

pub(super) fn run(Fleet::Key(Key { file }): &Fleet) -> Result<(), ExitCode> {
    let owner =
        daemon::make_fleet_key(file).map_err(|error| failed("fleet key", status::CANNOT_CREATE, error))?;
    let whose = owner.map(|name| format!(", for user {name}")).unwrap_or_default();
    let (file, quoted) = (file.display(), format!("{:?}", file.display().to_string()));
    print(&format!(
        "{file}: a new key{whose}. Copy the file to every edge, and name it in each vouch.toml:\n\n[fleet]\nstore = \
         \"unix:/run/redis/redis.sock\"\nkey-file = {quoted}\n"
    ))
}
