//! What a test needs that becomes another user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::vouch::binary;
use super::{Scratch, skipped};

/// The number of the user and of the group that every system has and nobody is.
#[allow(dead_code, reason = "most tests stay who they are")]
pub(crate) const NOBODY: u32 = 65534;

/// Whether `what` can be tested, which takes another user; says so if not.
#[allow(dead_code, reason = "most tests stay who they are")]
pub(crate) fn can_be_become(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(&format!("{what}, which takes root"));
    }
    root
}

/// A copy of the program under test that every user may start. The one that was built lies in a clone, and that maybe
/// below a folder that its owner alone may enter, as root's home is.
pub(crate) fn binary_for_all(scratch: &Scratch) -> PathBuf {
    let copy = scratch.path("vouch-binary");
    if !copy.exists() {
        fs::copy(binary(), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}
