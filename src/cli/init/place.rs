//! The file that is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::{Group, Uid};

use super::ask::Ask;
use super::{complain, draft, status};

/// What the package installs there, and the example beside it: files without changes by an administrator.
const SHIPPED: [&str; 2] = [include_str!("../../../contrib/debian/vouch.toml"), draft::EXAMPLE];

/// The group that reads it: the daemon's.
const GROUP: &str = "vouch";

/// Whether the file may be written: none exists, or the package's own, or the user agrees to overwrite it.
///
/// # Errors
/// When it may not.
pub(super) fn may_be_written(path: &Path, force: bool, ask: &mut Ask) -> Result<(), ExitCode> {
    let refused = |why: String| complain(status::CANNOT_CREATE, &why);
    let package_s_own = match is_shipped(path) {
        Ok(is_shipped) => is_shipped,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(format!("{}: {error}", path.display()))),
    };
    let written = format!("{} exists already", path.display());
    if force || package_s_own || ask.agrees(&format!("{written}. Overwrite it?"))? {
        return Ok(());
    }
    Err(refused(format!(
        "{written}, and nothing is written: --force overwrites it, --output FILE writes another"
    )))
}

/// Reads no more than it needs to tell: the file may be anything.
fn is_shipped(path: &Path) -> io::Result<bool> {
    let longest = SHIPPED.iter().map(|text| text.len()).max().unwrap_or_default();
    let mut there = Vec::new();
    File::open(path)?
        .take(longest as u64 + 1)
        .read_to_end(&mut there)?;
    Ok(SHIPPED.iter().any(|text| there == text.as_bytes()))
}

/// Writes the file in one step: a reader of the path finds the old file or the whole new one. The writer owns it, and
/// the daemon's group may read it.
///
/// # Errors
/// The system's error.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&folder)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let beside = folder.join(name);
    let done = write_new(&beside, text).and_then(|()| fs::rename(&beside, &path));
    if done.is_err() {
        let _ = fs::remove_file(&beside);
        return done;
    }
    File::open(&folder)?.sync_all()
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let group = Group::from_name(GROUP).ok().flatten();
    if let (Some(group), true) = (group, Uid::effective().is_root()) {
        fchown(&file, None, Some(group.gid.as_raw()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_link_to_it_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("new/vouch.toml"), folder.path().join("link"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for text in ["one\n", "two\n"] {
            write(&file, text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        write(&link, "three\n").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "three\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(
            fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        assert!(write(&file.join("below"), "").is_err());
    }
}
