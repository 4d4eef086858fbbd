//! The languages of Dovecot's configuration, 2.3's and 2.4's: each setting of the tests that they write differently is
//! here, and nowhere else.

use std::fmt::Display;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::program;

/// What the installed Dovecot reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Language {
    /// `dovecot --version`: 2, 3 and 19, for one.
    version: [u32; 3],
}

/// The versions that the tests know.
const FIRST: [u32; 3] = [2, 3, 0];
const NEW: [u32; 3] = [2, 4, 0];
const PAST: [u32; 3] = [2, 5, 0];

/// The first version with `auth_master_socket_path`, and without `-a` of its mail processes.
const MASTER_SOCKET: [u32; 3] = [2, 4, 2];

/// What `dovecot --version` prints.
fn version() -> Option<&'static str> {
    static SAID: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        let output = Command::new(program("dovecot")?).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    SAID.get_or_init(ask).as_deref()
}

/// The numbers of a version such as `2.4.1-4 (7d8c0e5759)`.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let word = version.split([' ', '-']).next()?;
    let mut numbers = word.split('.').map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// Why the installed Dovecot cannot be used.
pub(crate) fn unusable() -> Option<String> {
    let version = version()?;
    let known = numbers(version).is_some_and(|numbers| (FIRST..PAST).contains(&numbers));
    (!known).then(|| format!("Dovecot {version}, where 2.3 or 2.4 is needed"))
}

#[test]
fn a_version_is_known_by_its_numbers() {
    assert_eq!(numbers("2.3.19.1 (9b53102964)"), Some([2, 3, 19]));
    assert_eq!(numbers("2.4.1-4 (7d8c0e5759)"), Some([2, 4, 1]));
    assert_eq!(numbers("2.4.5 (cb15a85)"), Some([2, 4, 5]));
    assert_eq!(numbers("3"), None);
}

impl Language {
    /// That of the installed Dovecot.
    pub(crate) fn installed() -> Self {
        let version = version().and_then(numbers).expect("Dovecot is there and usable");
        Self { version }
    }

    /// Whether Dovecot is 2.4 or later.
    pub(crate) fn is_new(self) -> bool {
        self.version >= NEW
    }

    /// One of two texts: that for 2.3, or that for 2.4.
    fn of<T>(self, old: T, new: T) -> T {
        if self.is_new() { new } else { old }
    }

    /// How a configuration begins: a Dovecot of its own, whose run and state lie below `folder`, that logs to
    /// `log`, listens on loopback, takes passwords without TLS, and makes no client wait for what others guessed.
    pub(crate) fn head(self, folder: impl Display, log: impl Display) -> String {
        let [major, minor, patch] = self.version;
        let version = format!("{major}.{minor}.{patch}");
        let first = format!("dovecot_config_version = {version}\ndovecot_storage_version = {version}\n");
        format!(
            "{first}base_dir = {folder}/run
state_dir = {folder}/state
log_path = {log}
listen = 127.0.0.1
auth_verbose = yes
auth_username_chars =
default_vsz_limit = 1024G
shutdown_clients = yes
first_valid_uid = 1
mail_max_userip_connections = 0
{cleartext}
recipient_delimiter = +
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
",
            first = self.of("", &first),
            cleartext = self.of("disable_plaintext_auth = no", "auth_allow_cleartext = yes"),
        )
    }

    /// An auth service and nothing else.
    pub(crate) fn no_protocol(self) -> &'static str {
        self.of("protocols = none\n", "protocols {\n}\n")
    }

    /// Where the mail of a user is.
    pub(crate) fn maildir(self) -> &'static str {
        self.of(
            "mail_location = maildir:~/Maildir\n", "mail_driver = maildir\nmail_path = ~/Maildir\n",
        )
    }

    /// Where the home of a user is: by domain and name below `folder`.
    pub(crate) fn homes(self, folder: impl Display) -> String {
        let user = self.of("%d/%n", "%{user | domain}/%{user | username}");
        format!("mail_home = {folder}/{user}\n")
    }

    /// TLS, with this certificate.
    pub(crate) fn certificate(self, certificate: &Path, key: &Path) -> String {
        let (certificate, key) = (certificate.display(), key.display());
        self.of(
            format!("ssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}\n"),
            format!("ssl = yes\nssl_server_cert_file = {certificate}\nssl_server_key_file = {key}\n"),
        )
    }

    /// The domain of those who name none.
    pub(crate) fn default_domain(self, domain: &str) -> String {
        let key = self.of("auth_default_realm", "auth_default_domain");
        format!("{key} = {domain}\n")
    }

    /// No refusal and no failure waits, but for what [`no_delay`](Self::no_delay) is about.
    pub(crate) fn failures_at_once(self) -> &'static str {
        self.of(
            "auth_failure_delay = 0\n", "auth_failure_delay = 0\nauth_internal_failure_delay = 0\n",
        )
    }

    /// A passdb that knows nobody, without which a refusal waits up to half a second, whatever `auth_failure_delay` says.
    pub(crate) fn no_delay(self) -> &'static str {
        self.of(
            "passdb {
  driver = static
  args = noauthenticate nodelay
}
",
            "passdb no-delay {
  driver = static
  fields {
    nodelay = yes
    noauthenticate = yes
  }
}
",
        )
    }

    /// A passdb that fails for a while, for the users of `failing.example.org`: nothing listens on the discard port.
    pub(crate) fn failing(self) -> &'static str {
        self.of(
            "passdb {
  driver = imap
  username_filter = *@failing.example.org
  args = host=127.0.0.1 port=9
}
",
            "passdb imap {
  username_filter = *@failing.example.org
  imapc_host = 127.0.0.1
  imapc_port = 9
  imapc_connection_retry_count = 0
}
",
        )
    }

    /// A passdb for tokens signed with a key of the folder `keys`: `args`, a file, is for 2.3 alone.
    pub(crate) fn tokens(self, keys: impl Display, args: impl Display) -> String {
        self.of(
            format!(
                "passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {args}
}}
"
            ),
            format!(
                "oauth2 {{
  introspection_mode = local
  username_attribute = email
  oauth2_local_validation {{
    dict fs {{
      fs posix {{
        prefix = {keys}
      }}
    }}
  }}
}}
passdb oauth2 {{
  mechanisms_filter = xoauth2 oauthbearer
}}
"
            ),
        )
    }

    /// A passwd-file that knows passwords and mailboxes, by the name as it was given.
    pub(crate) fn users(self, file: impl Display) -> String {
        let part = |kind: &str| {
            self.of(
                format!("{kind} {{\n  driver = passwd-file\n  args = username_format=%u {file}\n}}\n"),
                format!("{kind} passwd-file {{\n  passwd_file_path = {file}\n}}\n"),
            )
        };
        part("passdb") + &part("userdb")
    }

    /// A field of a passwd-file by which a mailbox cannot be opened now.
    pub(crate) fn broken_mailbox(self) -> &'static str {
        self.of("userdb_mail=nosuchdriver:~/", "userdb_mail_driver=nosuchdriver")
    }

    /// In a service: one process has client after client.
    pub(crate) fn many_clients(self) -> &'static str {
        self.of("service_count = 0", "restart_request_count = unlimited")
    }

    /// A socket of the auth service at which `kind` may ask: `client`, `login`, `master` or `userdb`. 2.3 goes by the
    /// end of its name. At that for clients it speaks first, which 2.4 does for its own older ones alone.
    pub(crate) fn auth_socket(self, path: impl Display, kind: &str, mode: &str) -> String {
        let kind = if kind == "client" { "auth-legacy" } else { kind };
        let new = format!("    type = {kind}\n");
        let kind = self.of("", &new);
        format!("  unix_listener {path} {{\n{kind}    mode = {mode}\n  }}\n")
    }

    /// No auth service of its own: IMAP and LMTP ask at these sockets for logins, for the users that log in, and for
    /// users.
    pub(crate) fn asking(self, sockets: [&Path; 3]) -> String {
        let [login, master, userdb] = sockets.map(Path::display);
        let own = [
            "login/login", "token-login/tokenlogin", "auth-login", "auth-client", "auth-userdb",
            "auth-master", "auth-token",
        ];
        let off = own.map(|socket| format!("  unix_listener {socket} {{\n    mode = 0\n  }}\n"));
        let logins = self.of(
            format!("service imap-login {{\n  executable = imap-login {login}\n}}\n"),
            format!("login_socket_path = {login}\n"),
        );
        let masters = if self.version < MASTER_SOCKET {
            format!("service imap {{\n  executable = imap -a {master}\n}}\n")
        } else {
            format!("auth_master_socket_path = {master}\n")
        };
        format!(
            "service auth {{\n{}}}\n{logins}{masters}auth_socket_path = {userdb}\n",
            off.concat()
        )
    }

    /// `contrib/dovecot/standalone.conf` as the installed Dovecot takes it. It is for the newest; for an older one, a note
    /// at its end has what to write instead of a setting.
    pub(crate) fn standalone(self, file: &str) -> String {
        let mut text = file.to_owned();
        for (since, name) in [
            (MASTER_SOCKET, "auth_master_socket_path"),
            (NEW, "login_socket_path"),
        ] {
            if self.version >= since {
                continue;
            }
            let line = text.lines().find(|line| line.starts_with(&format!("{name} = ")));
            text = text.replace(line.unwrap(), "");
            let heading = format!("instead of {name}:\n#\n");
            let (before, note) = text.split_once(&heading).unwrap();
            let (note, after) = note.split_once("\n\n").unwrap_or((note, ""));
            let note = note.replace("\n#", "\n");
            text = format!("{before}{heading}{}\n\n{after}", note.trim_start_matches('#'));
        }
        text
    }
}
