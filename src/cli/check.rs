//! `vouch check`: reads the configuration and says in words what will happen.

use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, fail, online, print, status};
use crate::config::show;
use crate::daemon;

/// Arguments of `vouch check`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Also open a session to each directory and show what it offers
    #[arg(long)]
    online: bool,
}

/// Checks the configuration: what it will do goes to standard output, what is
/// wrong with it to standard error.
pub fn run(arguments: &Arguments) -> ExitCode {
    let (config, notes) = match arguments.file.load() {
        Ok(read) => read,
        Err(status) => return status,
    };
    if let Err(status) = print(&show::describe(&config, &notes)) {
        return status;
    }
    // What `serve` would stumble over is said here first: names of nobody, certificates and keys.
    match daemon::check(&config, &arguments.file.config) {
        Err(error) => return fail(status::CONFIG, &format!("vouch check: {error}")),
        Ok(remarks) => {
            for remark in remarks {
                if let Err(status) = print(&format!("\nOn this machine: {remark}\n")) {
                    return status;
                }
            }
        }
    }
    if let Err(error) = daemon::members(&config, None) {
        return fail(status::CONFIG, &format!("vouch check: {error}"));
    }
    if arguments.online {
        online::run(&config)
    } else {
        ExitCode::SUCCESS
    }
}
