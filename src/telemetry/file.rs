//! The log in a file of its own (`log.file`), for machines without a journal. It is opened anew by order, which is what
//! logrotate(8) needs; while it cannot be written, its lines go to standard error.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::OFlag;

/// Permissions of a file that we make: a group, as `adm`, may be let in to read it.
const MODE: u32 = 0o640;

/// The file is to be opened anew before the next line: a process has one log.
static REOPEN: AtomicBool = AtomicBool::new(false);

/// Has the file of the log, if there is one, opened anew before the next line is written.
pub(crate) fn reopen() {
    REOPEN.store(true, Ordering::Relaxed);
}

/// A file to which lines are added.
pub struct LogFile {
    path: PathBuf,
    /// None where it could not be opened so far.
    file: Option<File>,
    /// Why not.
    trouble: Option<String>,
    /// The last line in it was cut off.
    cut: bool,
}

impl LogFile {
    /// Opens the file, or makes it, for the user and group that will write to it from the next [`reopen`] on. It never
    /// fails: `LogFile::trouble` tells why it could not be opened.
    pub fn open(path: &Path, owner: Option<(u32, u32)>) -> Self {
        let opened = open(path, owner);
        let trouble = opened.as_ref().err().map(ToString::to_string);
        Self {
            path: path.to_owned(),
            file: opened.ok(),
            trouble,
            cut: false,
        }
    }

    /// Says that it could not be opened, once there is a log.
    pub(super) fn tell_trouble(path: &Path, trouble: Option<String>) {
        if let Some(why) = trouble {
            let path = path.display();
            tracing::error!(
                "log.file {path} cannot be opened ({why}): the log goes to standard error until a SIGHUP finds that it can"
            );
        }
    }

    /// The path, and why it could not be opened.
    pub(super) fn trouble(&self) -> (PathBuf, Option<String>) {
        (self.path.clone(), self.trouble.clone())
    }

    fn open_anew(&mut self) {
        let path = self.path.display();
        match open(&self.path, None) {
            Ok(file) => {
                self.file = Some(file);
                self.cut = false;
                self.trouble = None;
            }
            Err(why) if self.file.is_some() => tracing::error!(
                "log.file {path} cannot be reopened ({why}): the log continues in the old file; does logrotate create the \
                 file for vouch's user (create)?"
            ),
            Err(why) => Self::tell_trouble(&self.path, Some(why.to_string())),
        }
    }

    /// Writes all of it to the file.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other(self.trouble.clone().unwrap_or_default()));
        };
        if self.cut {
            file.write_all(b"\n")?;
            self.cut = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.cut = rest.len() < lines.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Write for LogFile {
    /// Takes all lines at once.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if REOPEN.swap(false, Ordering::Relaxed) {
            self.open_anew();
        }
        let known = self.trouble.is_some();
        match self.append(lines) {
            Ok(()) if known => {
                self.trouble = None;
                let path = self.path.display();
                tracing::info!("log.file {path} is written again");
            }
            Ok(()) => {}
            Err(why) => {
                if !known {
                    let path = self.path.display();
                    self.trouble = Some(why.to_string());
                    tracing::error!(
                        "log.file {path} cannot be written ({why}): the log goes to standard error until it can"
                    );
                }
                io::stderr().write_all(lines)?;
            }
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file is made where there is none, and given to `owner`. Only a plain file is written to: a user who may write to
/// its folder could have put a link there, or something that blocks opening.
fn open(path: &Path, owner: Option<(u32, u32)>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    options.append(true).mode(MODE).custom_flags(flags.bits());
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            if let Some((uid, gid)) = owner {
                fchown(&file, Some(uid), Some(gid))?;
            }
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path)?,
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_added_and_nothing_but_a_plain_file_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("log"), "before\n").unwrap();
        let mut log = LogFile::open(&path("log"), None);
        log.write_all(b"after\n").unwrap();
        assert_eq!(fs::read(path("log")).unwrap(), b"before\nafter\n");
        std::os::unix::fs::symlink(path("log"), path("link")).unwrap();
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["link", "fifo", "none/log", "."] {
            let log = LogFile::open(&path(name), None);
            assert!(log.file.is_none() && log.trouble.is_some(), "{name}");
        }
        assert_eq!(fs::read(path("log")).unwrap(), b"before\nafter\n");
    }

    #[test]
    fn lines_for_which_the_disk_has_no_room_go_to_standard_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, None);
        let disk = log
            .file
            .replace(File::options().append(true).open("/dev/full").unwrap());
        log.write_all(b"a line of a test, on standard error\n").unwrap();
        assert!(
            log.trouble
                .as_ref()
                .is_some_and(|why| why.contains("No space left"))
        );
        log.file = disk;
        log.write_all(b"written\n").unwrap();
        assert_eq!(
            (log.trouble, fs::read(path).unwrap()),
            (None, b"written\n".to_vec())
        );
    }

    #[test]
    fn a_line_that_was_cut_off_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, None);
        log.append(b"whole\nhal").unwrap();
        log.cut = true;
        log.append(b"next\n").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"whole\nhal\nnext\n");
    }
}
