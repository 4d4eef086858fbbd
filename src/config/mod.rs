//! The configuration: plain data, one struct for each table of `vouch.toml` and one field for each key.
//!
//! A field's name is its key's in snake case, and its doc comment is what the manual says of the key:
//! what it means, its unit, its default, its bounds, and what it plays together with. So it is plain text, begins with
//! the key between backticks, and addresses the author of a configuration.
//! [`read`] makes a [`Config`] of a file or says what is wrong with it, line by line;
//! [`show`] says what a [`Config`] will do. Nothing here opens a connection.

pub mod directory;
pub mod dovecot;
mod keys;
pub mod listener;
pub mod penalty;
pub mod protocol;
pub mod rate;
pub mod read;
pub mod show;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use crate::template::Template;
pub use directory::Directory;
pub use dovecot::Dovecot;
pub(crate) use keys::quoted;
pub use listener::Listener;
pub use penalty::Penalty;

/// Makes an enum of words that a key may hold, with each word's spelling in the file.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $word:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $meaning])+ $word,)+ }

        impl $name {
            /// Every word, with its spelling in the file.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$word),)+];

            /// What each of them means, for the manual: its doc comment.
            pub const MEANINGS: &'static [(&'static str, &'static str)] = &[$(($text, concat!($($meaning),+)),)+];

            /// The word as it is written in the file.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

/// Makes a struct of a table's keys, and what the manual says of each: its doc comment.
macro_rules! described {
    ($(#[doc = $about:literal])+ #[derive($($derive:ident),+)] pub struct $name:ident {
        $($(#[doc = $key:literal])+ pub $field:ident: $type:ty,)+
    }) => {
        $(#[doc = $about])+
        #[derive($($derive),+)]
        pub struct $name { $($(#[doc = $key])+ pub $field: $type,)+ }

        impl $name {
            /// What the manual says of the table and of its keys.
            pub const DESCRIBED: $crate::config::Described = $crate::config::Described {
                about: concat!($($about),+),
                keys: &[$(concat!($($key),+)),+],
            };
        }
    };
}
pub(crate) use described;

/// What is said of a table: the doc comments of its struct and of each field.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Begins with the table's name between backticks.
    pub about: &'static str,
    /// Each begins with its key between backticks, where it is a key.
    pub keys: &'static [&'static str],
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// `[directory."NAME"]`: the remote servers to ask, in the order of the file.
    pub directory: Vec<Directory>,
    /// `[listener."NAME"]`: the sockets on which clients ask, in the order of the file. May be empty:
    /// `vouch check` and `vouch probe` need none.
    pub listener: Vec<Listener>,
    /// `[dovecot]`; absent: `vouch dovecot-service` does not start.
    pub dovecot: Option<Dovecot>,
    /// `[metrics]`; absent: none are served.
    pub metrics: Option<Metrics>,
    /// `[control]`.
    pub control: Control,
    /// `[log]`.
    pub log: Log,
    /// `[service]`.
    pub service: Service,
}

impl Config {
    /// The directory of that name.
    pub fn directory(&self, name: &str) -> Option<&Directory> {
        self.directory.iter().find(|directory| directory.name == name)
    }

    /// Whether any listener asks that directory.
    fn is_asked(&self, name: &str) -> bool {
        let by_listeners = self.listener.iter().flat_map(|listener| &listener.directory);
        let by_dovecot = self
            .dovecot
            .iter()
            .flat_map(|it| it.logins.iter().chain(&it.users));
        by_listeners.chain(by_dovecot).any(|asked| asked == name)
    }
}

described! {
    /// `[metrics]`: numbers for monitoring, by HTTP as OpenMetrics text, and a status page for people. `vouch serve` alone
    /// serves them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Metrics {
        /// `listen`: where they are served, the numbers at `/metrics` and the page at `/`: an IP address with port, or the
        /// absolute path of a Unix socket, which has mode 0660 and the group of its folder. Any client that can connect
        /// may read both, without a login; they name no user, but the page names the listeners' sockets and the
        /// directories' addresses. Required.
        pub listen: ListenAddress,
    }
}

described! {
    /// `[control]`: how `vouch status` and `vouch cache` reach the daemon.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Control {
        /// `socket`: absolute path of the control socket, which serves root and the daemon's own user. Default
        /// `/run/vouch/control`; if that cannot be bound, the daemon runs without it.
        pub socket: Option<PathBuf>,
    }
}

impl Control {
    /// Where the socket is.
    pub fn path(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new("/run/vouch/control"))
    }
}

described! {
    /// `[log]`: one line per verdict, on standard error or in the journal. As Dovecot's own
    /// auth service vouch writes to Dovecot's log, in its format.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Log {
        /// `level`: the least severity that is written. Default `info`. While the daemon runs, SIGUSR1 raises the
        /// level by one and SIGUSR2 restores this one.
        pub level: LogLevel,
        /// `format`: its format and destination. Default `auto`: the journal if systemd has connected standard error to it
        /// (`$JOURNAL_STREAM`, systemd.exec(5)), else plain lines.
        pub format: LogFormat,
        /// `file`: absolute path of a file that the log goes to, instead of standard error; plain lines, or with `format =
        /// "json"` objects. It is made with mode 0640 for `service.user`, and opened anew at SIGHUP, as logrotate(8) needs it.
        /// While it cannot be written, the log goes to standard error. Default: none.
        pub file: Option<PathBuf>,
        /// `addresses`: what a line shows of the users and mailboxes that were asked about. But for `full` they are hidden in
        /// the words of remotes too, and the dialogs of level `trace` are withheld. Default `full`.
        pub addresses: LogAddresses,
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Auto,
            file: None,
            addresses: LogAddresses::Full,
        }
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

described! {
    /// `[service]`: the process itself.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Service {
        /// `user`: the user to which vouch permanently drops privileges when started as root, by name or number, with the
        /// user's groups, once the sockets are bound and before any thread starts. This user owns the sockets, unless
        /// `owner` names another, and must be able to read the files of `tls` and to write those of `cache.file`. Default:
        /// `vouch`, if there is such a user; else, and with `"root"`, vouch stays root. `vouch dovecot-service` runs as the
        /// user that Dovecot starts it as.
        pub user: Option<String>,
        /// `landlock`: whether the daemon, on kernels with Landlock, gives up access to all files except those that this
        /// file names and those that the resolver and the certificate store read. Access is granted by folder, so that files
        /// may be replaced. Default `true`.
        pub landlock: bool,
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            user: None,
            landlock: true,
        }
    }
}

/// A bound on something counted. There is no 0: it could mean "none" or "no bound", and a limit
/// must not depend on a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// No bound; `"unlimited"` in the file.
    Unlimited,
    /// At most so many, at least 1.
    At(u32),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::At(most) => most.fmt(f),
        }
    }
}

/// Where a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// By TCP.
    Host {
        /// A domain name (A-labels) or an IP address, without brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// By a Unix socket: its absolute path.
    Socket(PathBuf),
}

impl Endpoint {
    /// Whether data sent there stays on this machine: a Unix socket, a loopback address, or
    /// `localhost` (RFC 6761 §6.3). Another name never does, even if it resolves to loopback now: its address may change.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Host { host, .. } => {
                host.eq_ignore_ascii_case("localhost")
                    || host
                        .parse()
                        .is_ok_and(|address: std::net::IpAddr| address.to_canonical().is_loopback())
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A Unix socket: its absolute path, at most 107 bytes (`sun_path`, unix(7)).
    Path(PathBuf),
    /// TCP: loopback only, but for the policy protocol. The port is never 0.
    Tcp(SocketAddr),
    /// A socket that systemd hands over, by its `FileDescriptorName=`.
    Systemd(String),
    /// One that Dovecot hands over to `vouch dovecot-service`; in no file.
    Dovecot,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::Dovecot => f.write_str("of Dovecot"),
        }
    }
}

/// A duration as the file writes it: in the largest unit that has no remainder.
pub fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        // A single day is more often read as 24 hours, as an hour is not as 60 minutes.
        if ms.is_multiple_of(size) && (ms >= size) && !(unit == "d" && ms == size) {
            return format!("{}{unit}", ms / size);
        }
    }
    if ms == 0 {
        "0s".to_owned()
    } else {
        format!("{ms}ms")
    }
}
