//! The files of `cache.file`. Only who answers questions has them open: of two
//! processes one would go without.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::directories::source_of;
use crate::config;
use crate::engine::CachedDirectory;

/// Bound (cache): last writing of all files of the cache at the end. Beyond: the latest results are lost; the log
/// reports it. Why: a disk that hangs must not hold up the end.
const WRITE_GRACE: Duration = Duration::from_secs(5);

/// Begins to read each; waits for none.
pub(super) fn open<'a>(members: impl Iterator<Item = (&'a config::Directory, &'a Arc<CachedDirectory>)>) {
    for (directory, member) in members {
        if let Some(file) = directory.cache.file.clone()
            && directory.kind.knows_recipients()
            && directory.cache.entries > 0
        {
            member.remember_in(file, source_of(directory));
        }
    }
}

/// Writes what is not written yet.
pub(super) async fn close(members: Vec<Arc<CachedDirectory>>) {
    let closing = members
        .into_iter()
        .map(|member| spawn_blocking(move || member.close()));
    if timeout(WRITE_GRACE, join_all(closing)).await.is_err() {
        tracing::warn!("cache.file: a disk hangs: the latest answers are not saved; see the kernel's log");
    }
}
