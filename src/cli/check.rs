//! `vouch check`: reads the configuration and explains what the daemon will do.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, failed, online, print, status};
use crate::config::show;
use crate::daemon::{self, DaemonError};

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
pub(super) fn run(arguments: &Arguments, file: &ConfigFile) -> Result<(), ExitCode> {
    let named = arguments.named.clone().map(|config| ConfigFile { config });
    let file = named.as_ref().unwrap_or(file);
    let (config, notes) = file.load()?;
    print(&show::describe(&config, &notes, arguments.all))?;
    let unusable = |error: DaemonError| failed("check", status::CONFIG, error);
    // What would keep `serve` from starting is reported first: unknown users and groups, certificates and keys, folders of
    // sockets.
    let machine = daemon::check(&config, &file.config).map_err(unusable)?;
    for remark in machine.remarks.iter().chain(&machine.unbindable) {
        print(&format!("\nOn this machine: {remark}\n"))?;
    }
    daemon::members(&config, None).map_err(unusable)?;
    daemon::check_fleet(&config).map_err(unusable)?;
    if arguments.online {
        online::run(&config)?;
    }
    let no_start = |status, why: &dyn Display| {
        let why = format!("vouch serve would not start: {why}");
        Err(failed("check", status, why))
    };
    if let (Err(error), None) = (daemon::has_listeners(&config), &config.dovecot) {
        return no_start(status::CONFIG, &error);
    }
    if !machine.unbindable.is_empty() {
        return no_start(status::OS_ERROR, &"a socket could not be bound, see above");
    }
    Ok(())
}
