//! `vouch dovecot-service`: the daemon as Dovecot's own auth service, started by
//! Dovecot.

use std::process::ExitCode;

use super::{ConfigFile, fail, runtime, serve, start_log, status};
use crate::daemon::dovecot;
use crate::service::signals;
use crate::telemetry;

/// Runs until Dovecot or a signal ends it.
pub fn run(file: &ConfigFile) -> ExitCode {
    signals::hold();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    let inside = runtime.enter();
    let taken = match dovecot::take() {
        Ok(Some(taken)) => taken,
        Ok(None) => {
            let message = "vouch dovecot-service: not started by Dovecot; Dovecot starts this command as the \
                           `executable` of its service auth; by hand, run `vouch serve`";
            return fail(status::USAGE, message);
        }
        Err(error) => return fail(status::OS_ERROR, &format!("vouch dovecot-service: {error}")),
    };
    drop(inside);
    let (config, notes) = match file.load_to_run("dovecot-service") {
        Ok(read) => read,
        Err(status) => return status,
    };
    let Some(table) = &config.dovecot else {
        let message = format!(
            "vouch dovecot-service: {}: no table [dovecot], which names the directories for logins and users",
            file.config.display()
        );
        return fail(status::CONFIG, &message);
    };
    let _log = match start_log(|level, _| telemetry::dovecot::start(level), &config.log) {
        Ok(log) => log,
        Err(status) => return status,
    };
    serve::ended(runtime, dovecot::run(&config, table, &notes, taken))
}
