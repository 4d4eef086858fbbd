//! Landlock: the process keeps only the listed access to the file system.
//! Lost rights cannot be regained, for files opened from then on.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};

/// What is known of Landlock here. An older kernel does what it can of it.
const KNOWN: ABI = ABI::V5;

/// Places in the file system, and what may be done there and below. One that is not
/// there is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Files are read, folders are listed.
    pub read: Vec<PathBuf>,
    /// Files are read and written; none is made.
    pub write: Vec<PathBuf>,
    /// Folders in which files are made, read, written and removed.
    pub own: Vec<PathBuf>,
    /// Folders in which files are made and written, and none is read or removed.
    pub logs: Vec<PathBuf>,
    /// Folders in which sockets are made, and from which they are removed, with whatever else is there.
    pub sockets: Vec<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlock {
    /// Nothing else than the places can be opened.
    Enforced,
    /// The kernel is older than what is asked of it: all that it knows is in force.
    InPart,
    /// The kernel has none, or it is switched off there.
    Absent,
}

/// Restricts this thread, and those that it starts from here on, to `places`.
///
/// # Errors
/// When the kernel has Landlock and refuses.
pub fn restrict(places: &Places) -> Result<Landlock, RulesetError> {
    let list = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let own = list | write | AccessFs::MakeReg | AccessFs::RemoveFile;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .create()?;
    for (places, access) in [
        (&places.read, list),
        (&places.write, write),
        (&places.own, own),
        (&places.logs, AccessFs::WriteFile | AccessFs::MakeReg),
        (&places.sockets, AccessFs::MakeSock | AccessFs::RemoveFile),
    ] {
        for place in places {
            rules = allow(rules, place, access)?;
        }
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Enforced,
        RulesetStatus::PartiallyEnforced => Landlock::InPart,
        RulesetStatus::NotEnforced => Landlock::Absent,
    })
}

fn allow(
    rules: RulesetCreated,
    place: &PathBuf,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    // What cannot be opened now could not be used later either.
    let Ok(node) = PathFd::new(place) else {
        return Ok(rules);
    };
    let access = if place.is_dir() {
        access
    } else {
        access & AccessFs::from_file(KNOWN)
    };
    rules.add_rule(PathBeneath::new(node, access))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind::PermissionDenied;
    use std::io::Write;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread;

    use super::*;

    /// Only the thread is restricted.
    #[test]
    fn a_thread_keeps_what_it_was_told_to_keep_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["read", "own", "logs", "sockets", "else"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), name).unwrap();
        }
        fs::write(path("alone"), "alone").unwrap();
        let places = Places {
            read: vec![path("read"), path("alone"), path("missing")],
            write: vec!["/dev/null".into()],
            own: vec![path("own")],
            logs: vec![path("logs")],
            sockets: vec![path("sockets")],
        };
        let restricted = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let landlock = restrict(&places).unwrap();
                if landlock != Landlock::Absent {
                    try_everything(folder.path());
                }
                landlock
            });
            thread.join().unwrap()
        });
        if restricted == Landlock::Absent {
            // Past the capture of test output.
            let text = "\nSKIPPED: Landlock, which this kernel does not have\n";
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        assert!(
            fs::read(path("else").join("file")).is_ok(),
            "other threads are not restricted"
        );
    }

    fn try_everything(folder: &Path) {
        let denied = |result: std::io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), PermissionDenied);
        };
        let (read, own) = (folder.join("read"), folder.join("own"));
        let (sockets, other) = (folder.join("sockets"), folder.join("else"));
        assert_eq!(fs::read(read.join("file")).unwrap(), b"read");
        assert_eq!(fs::read(folder.join("alone")).unwrap(), b"alone");
        denied(fs::write(read.join("file"), ""));
        denied(fs::write(read.join("new"), ""));
        fs::write(own.join("new"), "new").unwrap();
        fs::rename(own.join("new"), own.join("file")).unwrap();
        assert_eq!(fs::read(own.join("file")).unwrap(), b"new");
        // As a log that was renamed is made anew.
        let logs = folder.join("logs");
        for name in ["file", "new"] {
            let add = File::options().append(true).create(true).open(logs.join(name));
            add.unwrap().write_all(b"line").unwrap();
        }
        denied(fs::read(logs.join("file")).map(drop));
        denied(fs::remove_file(logs.join("file")));
        denied(fs::read(sockets.join("file")).map(drop));
        fs::remove_file(sockets.join("file")).unwrap();
        drop(UnixListener::bind(sockets.join("socket")).unwrap());
        denied(UnixListener::bind(other.join("socket")).map(drop));
        denied(fs::read(other.join("file")).map(drop));
        denied(fs::remove_file(other.join("file")));
        denied(fs::read_dir(folder).map(drop));
        denied(File::open("/root").map(drop));
        fs::write("/dev/null", "").unwrap();
        let program = std::process::Command::new("/bin/true").status();
        denied(program.map(drop));
    }
}
