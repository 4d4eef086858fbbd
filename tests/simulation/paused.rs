//! Time that passes only when nothing is left to do.

use tokio::runtime::Builder;

/// Runs `day` to its end, on a thread and a clock of its own.
pub(crate) fn run<T>(day: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap_or_else(|error| panic!("{error}")).block_on(day)
}
