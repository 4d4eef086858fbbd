//! The lock of a folder (flock(2)), which keeps two processes of ours from binding in it at the same moment.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Bound (process): wait for another process that binds a socket in the same folder. Beyond: vouch goes on without
/// the lock, and for no other socket in that folder is it waited again. Why: vouch processes lock the folder for a
/// few system calls.
const LOCK: Duration = Duration::from_secs(2);

/// The locks of the folders in which some sockets are bound, one after the other. A folder that somebody keeps locked is
/// waited for once, however many sockets are in it.
#[derive(Debug, Default)]
pub struct FolderLocks {
    /// Device and inode: a folder has many names.
    given_up: Vec<(u64, u64)>,
    remarks: Vec<String>,
}

impl FolderLocks {
    /// Keeps other processes of ours from binding in a folder as long as the result lives.
    /// Without it they may, at the same moment, take each other's socket for stale;
    /// a folder that cannot be locked is no reason not to start.
    pub(super) fn lock(&mut self, folder: &Path) -> Option<File> {
        let open = File::open(folder).ok()?;
        let metadata = open.metadata().ok()?;
        let node = (metadata.dev(), metadata.ino());
        let waits = !self.given_up.contains(&node);
        let end = Instant::now() + LOCK;
        while let Err(TryLockError::WouldBlock) = open.try_lock() {
            if !waits {
                return None;
            }
            if Instant::now() > end {
                self.given_up.push(node);
                self.remarks.push(format!(
                    "{}: another process keeps this folder locked (flock), and was waited for {} s: sockets in it are \
                     bound all the same; `lslocks` shows which process",
                    folder.display(),
                    LOCK.as_secs()
                ));
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Some(open)
    }

    /// What its administrator should know: a sentence for each folder that was waited for in vain.
    pub fn into_remarks(self) -> Vec<String> {
        self.remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills LOCK.
    #[test]
    fn a_folder_that_stays_locked_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let other = File::open(folder.path()).unwrap();
        other.lock().unwrap();
        let mut locks = FolderLocks::default();
        for folder in [folder.path(), &link, folder.path()] {
            assert!(locks.lock(folder).is_none());
        }
        assert_eq!(locks.given_up.len(), 1, "each wait in vain is one of these");
        other.unlock().unwrap();
        assert!(locks.lock(&link).is_some(), "it is tried all the same");
        let remarks = locks.into_remarks();
        assert_eq!(remarks.len(), 1);
        assert!(
            remarks[0].contains("keeps this folder locked (flock)"),
            "{remarks:?}"
        );
    }
}
