//! `vouch serve`: the daemon, in the foreground.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::{ConfigFile, failed, runtime, start_log, status};
use crate::config::Config;
use crate::daemon::{self, DaemonError, Prepared, ServiceUser};
use crate::service::signals;
use crate::telemetry::log;

/// Runs the daemon until a signal ends it.
pub(super) fn run(file: &ConfigFile) -> Result<(), ExitCode> {
    signals::hold();
    let (config, notes) = file.load_to_run("serve")?;
    if let Err(error) = daemon::has_listeners(&config) {
        let why = format!("{}: {error}", file.config.display());
        return Err(failed("serve", status::CONFIG, why));
    }
    // The log and the runtime start threads; the log reports the outcome of this.
    let log_file = daemon::log_file(&config);
    let prepared = prepare(&config, &file.config);
    let start = |keys: &_| log::start(keys, log_file);
    let _log = start_log(start, &config.log)?;
    let runtime = runtime()?;
    let in_file = config.log.file.is_some();
    ended(runtime, async {
        let ended = match prepared {
            Ok(prepared) => daemon::run(&config, &notes, prepared).await,
            Err(error) => Err(error),
        };
        if let (Err(error), true) = (&ended, in_file) {
            // The administrator who started it looks here first.
            let _ = writeln!(std::io::stderr(), "vouch serve: cannot start: {error}");
        }
        ended
    })
}

/// Runs while the process has one thread: binds the sockets, then drops root's
/// privileges and whatever else is not needed.
fn prepare(config: &Config, file: &Path) -> Result<Prepared, DaemonError> {
    let user = ServiceUser::of(config)?;
    daemon::bind(config, &user)?.confine(config, file, &user)
}

/// Runs the daemon to its end, and returns how it ended.
pub(super) fn ended(
    runtime: Runtime,
    running: impl Future<Output = Result<(), DaemonError>>,
) -> Result<(), ExitCode> {
    let ended = runtime.block_on(running);
    // A look-up that still blocks must not hold up the end.
    runtime.shutdown_background();
    ended.map_err(|error| {
        tracing::error!("cannot start: {error}");
        ExitCode::from(match error {
            DaemonError::NoListener
            | DaemonError::Directory(..)
            | DaemonError::Fleet(_)
            | DaemonError::User(_) => status::CONFIG,
            DaemonError::Bind(..)
            | DaemonError::Control(_)
            | DaemonError::Metrics(_)
            | DaemonError::Units(_)
            | DaemonError::Random
            | DaemonError::System(_)
            | DaemonError::Dovecot(_) => status::OS_ERROR,
        })
    })
}
