//! The tables of the process itself: `[metrics]`, `[control]`, `[log]` and `[service]`.

use std::path::{Path, PathBuf};

use super::key::keys;
use super::scalar::socket_path;
use super::socket::{ListenAddress, address_or_path};
use super::words::words;

/// The user that a daemon started as root drops to by default, if there is such a
/// user.
pub const DEFAULT_USER: &str = "vouch";

keys! {
    /// Numbers for monitoring, by HTTP as OpenMetrics text, and a status page for people. `vouch serve` alone
    /// serves them.
    pub struct Metrics(listen: ListenAddress) {
        /// Where they are served, the numbers at `/metrics` and the page at `/`: an IP address with port, or the
        /// absolute path of a Unix socket, which has mode 0660 and the group of its folder. Any client that can connect
        /// may read both, without a login; they name no user, but the page names the listeners' sockets and the
        /// directories' addresses.
        "listen" listen: ListenAddress = listen,
            parse address_or_path, required "an address such as `\"127.0.0.1:9143\"`, or the path of a socket",
            example "\"127.0.0.1:9143\"", hint "none by default";
    }
}

keys! {
    /// How `vouch status` and `vouch cache` reach the daemon.
    pub struct Control() {
        /// Absolute path of the control socket, which serves root and the daemon's own user. If it cannot be bound, the
        /// daemon runs without it.
        "socket" socket: Option<PathBuf> = None,
            parse |value, _| socket_path(value).map(Some), unset "/run/vouch/control, if it can be bound",
            example "\"/run/vouch/control\"";
    }
}

impl Control {
    /// Where the socket is.
    pub fn path(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new("/run/vouch/control"))
    }
}

keys! {
    /// One line per verdict, on standard error or in the journal. As Dovecot's own
    /// auth service vouch writes to Dovecot's log, in its format.
    pub struct Log() {
        /// The least severity that is written. While the daemon runs, SIGUSR1 raises the level by one and SIGUSR2 restores
        /// this one.
        "level" level: LogLevel = LogLevel::Info,
            hint "error | warn | info | debug | trace; info has one line per answer. Without a restart: SIGUSR1 raises the level \
                  by one, SIGUSR2 restores this one";
        /// Its format and destination. `auto`: the journal if systemd has connected standard error to it
        /// (`$JOURNAL_STREAM`, systemd.exec(5)), else plain lines.
        "format" format: LogFormat = LogFormat::Auto,
            hint "plain | json, on standard error; journal, with a field per key; auto: the journal if systemd has connected \
                  standard error to it, else plain";
        /// Absolute path of a file that the log goes to, instead of standard error; plain lines, or with `format =
        /// "json"` objects. It is made with mode 0640 for `service.user`, and opened anew at SIGHUP, as logrotate(8) needs it.
        /// While it cannot be written, the log goes to standard error.
        "file" file: Option<PathBuf> = None,
            unset "none: standard error", example "\"/var/log/vouch/vouch.log\"",
            hint "instead of standard error; opened again at SIGHUP, for logrotate";
        /// What a line shows of the users and mailboxes that were asked about. But for `full` they are hidden in
        /// the words of remotes too, and the dialogs of level `trace` are withheld.
        "addresses" addresses: LogAddresses = LogAddresses::Full,
            hint "full | hashed | domain: what a line shows of the users and mailboxes asked about";
    }
}

words! {
    /// How severe a line must be to be written; each level includes those above it.
    LogLevel {
        /// What an operator must fix.
        Error = "error",
        /// What may become an error.
        Warn = "warn",
        /// One line per verdict, start and stop.
        Info = "info",
        /// What each part does.
        Debug = "debug",
        /// Each message, secrets masked.
        Trace = "trace",
    }
}

words! {
    /// The format and destination of the log.
    LogFormat {
        /// Journal or plain, depending on where standard error leads.
        Auto = "auto",
        /// Lines of `key=value` on standard error; with colours where that is a terminal.
        Plain = "plain",
        /// One JSON object per line on standard error.
        Json = "json",
        /// The systemd journal, each key a field of its own (`VOUCH_VERDICT=`); standard error while it
        /// cannot be reached.
        Journal = "journal",
    }
}

words! {
    /// What the log shows of a user or mailbox.
    LogAddresses {
        /// All of it.
        Full = "full",
        /// A hash under a key that each start draws anew: of one user the same until the next start.
        Hashed = "hashed",
        /// `@` and the domain.
        Domain = "domain",
    }
}

keys! {
    /// The process itself.
    pub struct Service() {
        /// The user to which vouch permanently drops privileges when started as root, by name or number, with the
        /// user's groups, once the sockets are bound and before any thread starts. This user owns the sockets, unless
        /// `owner` names another, and must be able to read the files of `tls` and to write those of `cache.file`. With
        /// `"root"`, vouch stays root. `vouch dovecot-service` runs as the user that Dovecot starts it as.
        "user" user: Option<String> = None,
            unset "started as root, vouch if there is one", example "\"vouch\"",
            hint "if started as root, drops privileges to it, if there is one; \"root\" stays root";
        /// Whether the daemon, on kernels with Landlock, gives up access to all files except those that this
        /// file names and those that the resolver and the certificate store read. Access is granted by folder, so that files
        /// may be replaced.
        "landlock" landlock: bool = true,
            hint "denies it all files except those that are named here or that the system's resolver and certificate store \
                  read, if the kernel supports it";
    }
}
