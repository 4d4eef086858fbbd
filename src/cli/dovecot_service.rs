//! `vouch dovecot-service`: the daemon as Dovecot's own auth service, started by
//! Dovecot.

use std::fmt::Display;
use std::process::ExitCode;

use super::{ConfigFile, failed, runtime, serve, start_log, status};
use crate::daemon::dovecot;
use crate::service::signals;
use crate::telemetry;

/// Runs until Dovecot or a signal ends it.
pub fn run(file: &ConfigFile) -> Result<(), ExitCode> {
    let failed = |status, why: &dyn Display| failed("dovecot-service", status, why);
    signals::hold();
    let runtime = runtime()?;
    let inside = runtime.enter();
    let taken = match dovecot::take() {
        Ok(Some(taken)) => taken,
        Ok(None) => {
            let why = "not started by Dovecot; Dovecot starts this command as the `executable` of its service auth; by \
                       hand, run `vouch serve`";
            return Err(failed(status::USAGE, &why));
        }
        Err(error) => return Err(failed(status::OS_ERROR, &error)),
    };
    drop(inside);
    let (config, notes) = file.load_to_run("dovecot-service")?;
    let Some(table) = &config.dovecot else {
        let why = format!(
            "{}: no table [dovecot], which names the directories for logins and users",
            file.config.display()
        );
        return Err(failed(status::CONFIG, &why));
    };
    let _log = start_log(|keys| telemetry::dovecot::start(keys.level), &config.log)?;
    serve::ended(runtime, dovecot::run(&config, table, &notes, taken))
}
