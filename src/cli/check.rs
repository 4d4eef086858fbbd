//! `vouch check`: reads the configuration and explains what the daemon will do.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, fail, online, print, status};
use crate::config::show;
use crate::daemon;

/// Arguments of `vouch check`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file, in the place of --config; - is standard input
    #[arg(value_name = "FILE")]
    named: Option<PathBuf>,
    /// Also open a session to each directory and show what it offers, and try the stores of a fleet
    #[arg(long)]
    online: bool,
    /// Also show every key with its effective value
    #[arg(long)]
    all: bool,
}

/// Checks the configuration: prints what it will do to standard output, and
/// what is wrong with it to standard error.
pub(super) fn run(arguments: &Arguments, file: &ConfigFile) -> ExitCode {
    let named = arguments.named.clone().map(|config| ConfigFile { config });
    let file = named.as_ref().unwrap_or(file);
    let (config, notes) = match file.load() {
        Ok(read) => read,
        Err(status) => return status,
    };
    if let Err(status) = print(&show::describe(&config, &notes, arguments.all)) {
        return status;
    }
    // What would keep `serve` from starting is reported first: unknown users and groups, certificates and keys, folders of
    // sockets.
    let machine = match daemon::check(&config, &file.config) {
        Err(error) => return fail(status::CONFIG, &format!("vouch check: {error}")),
        Ok(machine) => machine,
    };
    for remark in machine.remarks.iter().chain(&machine.unbindable) {
        if let Err(status) = print(&format!("\nOn this machine: {remark}\n")) {
            return status;
        }
    }
    if let Err(error) = daemon::members(&config, None) {
        return fail(status::CONFIG, &format!("vouch check: {error}"));
    }
    if let Err(error) = daemon::check_fleet(&config) {
        return fail(status::CONFIG, &format!("vouch check: {error}"));
    }
    if arguments.online {
        let ended = online::run(&config);
        if ended != ExitCode::SUCCESS {
            return ended;
        }
    }
    if let (Err(error), None) = (daemon::has_listeners(&config), &config.dovecot) {
        let message = format!("vouch check: vouch serve would not start: {error}");
        return fail(status::CONFIG, &message);
    }
    if machine.unbindable.is_empty() {
        ExitCode::SUCCESS
    } else {
        fail(
            status::OS_ERROR,
            "vouch check: vouch serve would not start: a socket could not be bound, see above",
        )
    }
}
