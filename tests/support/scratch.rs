//! A directory of one test, and the guard that cleans up behind it even when the test is killed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::User;

/// Waits for the end of its standard input, which the test holds open as long as it lives, however it ends. Then
/// ends the process groups named in `running/` and removes the directory.
const GUARD: &str = r#"
cat >/dev/null
for signal in TERM KILL; do
    for pause in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        alive=
        for group in "$1"/running/*; do
            kill -s "$signal" -- "-${group##*/}" 2>/dev/null && alive=yes
        done
        [ -n "$alive" ] || break 2
        sleep 0.1
    done
done
rm -rf -- "$1"
"#;

/// A directory with a path short enough for sockets (107 bytes), which other users may enter: the servers under
/// test drop to users of their own. It is removed, and what still runs in it ended, when the value is dropped or
/// the test process dies. A test that fails first prints every `*.log` in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    guard: Child,
}

impl Scratch {
    /// Makes the directory, and starts its guard in a process group of its own.
    pub(crate) fn new() -> Self {
        let path = tempfile::Builder::new()
            .prefix("vouch-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        fs::create_dir(path.join("running")).unwrap();
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let scratch = Self { path, guard };
        scratch.open_to_all(Path::new(""));
        scratch
    }

    /// The path of `name` in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The same as text, for configuration files.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Makes the directory `name` in it, which every user may enter.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        fs::create_dir(self.path(name)).unwrap();
        self.open_to_all(Path::new(name));
        self.path(name)
    }

    /// The same, and makes it belong to the system's user `owner` and that user's group. Returns their numbers.
    pub(crate) fn folder_of(&self, name: &str, owner: &str) -> (u32, u32) {
        let user = User::from_name(owner)
            .unwrap()
            .unwrap_or_else(|| panic!("no user {owner}"));
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        chown(self.folder(name), Some(uid), Some(gid)).unwrap();
        (uid, gid)
    }

    /// Writes the file `name`, readable by every user.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// Notes that the process group `group` is to be ended with the directory. The note: to be removed when the
    /// group has ended.
    pub(super) fn note_running(&self, group: u32) -> PathBuf {
        self.write(&format!("running/{group}"), "")
    }

    fn open_to_all(&self, name: &Path) {
        fs::set_permissions(self.path.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn print_logs(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "log")
            {
                let log = fs::read(entry.path()).unwrap_or_default();
                println!(
                    "--- {}\n{}",
                    entry.path().display(),
                    String::from_utf8_lossy(&log)
                );
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        drop(self.guard.stdin.take());
        // Bounded: the guard gives up after forty pauses of a tenth of a second.
        let _ = self.guard.wait();
    }
}
