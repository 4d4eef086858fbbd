//! A real store, whose user for us has the rights that the documentation gives it, and no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::wait_until;
use crate::support::{Process, Scratch, program};

/// The password of the documentation's example.
const PASSWORD: &str = "PASSWORD";

/// How long a store may take to do what it is told.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The program of the store that is tested: `redis-server` or `valkey-server`, or the client of that name. `VOUCH_STORE`
/// chooses (`redis` or `valkey`), else what is installed does.
pub(crate) fn named(part: &str) -> String {
    let is_there = |store: &str| program(&format!("{store}-server")).is_some();
    let store = std::env::var("VOUCH_STORE").unwrap_or_else(|_| {
        let only_valkey = is_there("valkey") && !is_there("redis");
        if only_valkey { "valkey" } else { "redis" }.to_owned()
    });
    format!("{store}-{part}")
}

/// A running `redis-server` on a Unix socket.
pub(crate) struct Redis {
    process: Process,
    scratch: Scratch,
}

/// The line of `docs/fleet.md` that gives vouch its rights.
fn access() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet.md");
    let page = fs::read_to_string(page).unwrap();
    let mut lines = page.lines().map(str::trim);
    let line = lines.find(|line| line.starts_with("user vouch on >"));
    line.expect("the line of the access list").to_owned()
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// With more lines of its configuration.
    pub(crate) fn with(lines: &str) -> Self {
        Self::by(lines, &access())
    }

    /// With another line of its access list for us.
    pub(crate) fn by(lines: &str, access: &str) -> Self {
        let scratch = Scratch::new();
        let process = Self::run(&scratch, lines, access);
        Self { process, scratch }
    }

    fn run(scratch: &Scratch, lines: &str, access: &str) -> Process {
        let users = format!("user default off\n{access}\nuser admin on >admin ~* &* +@all\n");
        let users = scratch.write("users.acl", users);
        let config = format!(
            "port 0\nunixsocket {}\nunixsocketperm 777\nsave \"\"\nappendonly no\nrdbcompression no\ndir {}\n\
             aclfile {}\n{lines}\n",
            scratch.text("redis.sock"),
            scratch.text(""),
            users.display()
        );
        let config = scratch.write("redis.conf", config);
        let mut command = Command::new(program(&named("server")).unwrap());
        let mut process = Process::start(scratch, "redis", command.arg(config));
        process.wait_for_socket(&scratch.path("redis.sock"));
        process
    }

    /// Ends it as a crash would, and starts it again without what it knew.
    pub(crate) fn crash(&mut self) {
        self.process.signal("KILL");
        self.process.stop();
    }

    pub(crate) fn start_again(&mut self) {
        self.start_again_with("");
    }

    pub(crate) fn start_again_with(&mut self, lines: &str) {
        let _ = fs::remove_file(self.scratch.path("redis.sock"));
        self.process = Self::run(&self.scratch, lines, &access());
    }

    /// Stops it in its tracks, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        assert!(self.process.signal(if frozen { "STOP" } else { "CONT" }));
    }

    /// The table of a configuration that names it.
    pub(crate) fn fleet(&self, key: &Path) -> String {
        fleet(
            &format!("unix:{}", self.scratch.text("redis.sock")),
            key,
            &self.scratch,
        )
    }

    /// The same at another address of it.
    pub(crate) fn fleet_at(&self, address: &str, key: &Path) -> String {
        fleet(address, key, &self.scratch)
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Has its administrator give a command; what it answers.
    pub(crate) fn order(&self, words: &[&str]) -> String {
        let mut cli = Command::new(program(&named("cli")).unwrap());
        cli.arg("-s").arg(self.scratch.path("redis.sock"));
        cli.args(["--user", "admin", "--pass", "admin", "--no-auth-warning", "--raw"]);
        let output = cli.args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The number of its values: what was found of a recipient has twelve bytes.
    pub(crate) fn size(&self) -> usize {
        let count = "local n = 0 for _, k in ipairs(redis.call('KEYS', 'vouch1:*')) do \
                     if redis.call('TYPE', k).ok == 'string' and redis.call('STRLEN', k) == 12 then n = n + 1 end end \
                     return n";
        self.order(&["EVAL", count, "0"]).parse().unwrap()
    }

    /// Waits until it has so many values.
    pub(crate) fn holds(&self, values: usize) {
        wait_until(&format!("{values} values in the store"), PATIENCE, || {
            self.size() >= values
        });
    }

    /// All that it would keep on disk.
    pub(crate) fn dump(&self) -> Vec<u8> {
        self.order(&["SAVE"]);
        fs::read(self.scratch.path("dump.rdb")).unwrap()
    }
}

/// The table of a configuration, with the password in a file that belongs to `scratch`.
fn fleet(address: &str, key: &Path, scratch: &Scratch) -> String {
    // An edge that is starting may be reading it.
    let password = match scratch.path("password") {
        written if written.exists() => written,
        _ => private(scratch, "password", PASSWORD),
    };
    format!(
        "[fleet]\nstore = \"{address}\"\nkey-file = \"{}\"\nuser = \"vouch\"\npassword-file = \"{}\"\n\
         patience = \"500ms\"\n",
        key.display(),
        password.display()
    )
}

/// A file that its owner alone may read.
pub(crate) fn private(scratch: &Scratch, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = scratch.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}
