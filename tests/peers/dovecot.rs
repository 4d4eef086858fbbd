//! Dovecot as the remote: IMAP, LMTP, and the socket by which Postfix or `doveadm` checks passwords.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};

use crate::language::Language;
use crate::people;
use crate::support::{Authority, Process, Scratch, free_port, program};

/// A running Dovecot.
#[derive(Debug)]
pub(crate) struct Dovecot {
    process: Process,
    /// IMAP without TLS at first, with STARTTLS.
    pub(crate) imap: u16,
    /// IMAP with TLS from the first byte.
    pub(crate) imaps: u16,
    /// LMTP, with STARTTLS.
    pub(crate) lmtp: u16,
    /// LMTP on a Unix socket.
    pub(crate) lmtp_socket: PathBuf,
    /// The auth-client socket, open to all.
    pub(crate) auth_socket: PathBuf,
    /// Its configuration file; `doveadm -c` wants one.
    pub(crate) config: PathBuf,
}

impl Dovecot {
    /// Starts it in the scratch directory, with the mailboxes and logins of [`people`].
    pub(crate) fn remote(scratch: &Scratch, authority: &Authority) -> Self {
        let [imap, imaps, lmtp] = [(); 3].map(|()| free_port());
        scratch.folder("dovecot");
        let owner = scratch.folder_of("mail", "mail");
        let language = Language::installed();
        scratch.write("users", users(language));
        tokens(scratch);
        let config = scratch.write(
            "dovecot.conf",
            config(language, scratch, authority, owner, [imap, imaps, lmtp]),
        );

        let lmtp_socket = scratch.path("lmtp");
        let process = started(scratch, &config, [imap, imaps, lmtp]);
        let auth_socket = scratch.path("auth");
        Self {
            process,
            imap,
            imaps,
            lmtp,
            lmtp_socket,
            auth_socket,
            config,
        }
    }

    /// Starts it again at the same ports, once it was ended.
    pub(crate) fn start_again(&mut self, scratch: &Scratch) {
        self.process = started(scratch, &self.config, [self.imap, self.imaps, self.lmtp]);
    }

    /// Ends it: from here on its ports refuse connections.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }
}

fn started(scratch: &Scratch, config: &Path, ports: [u16; 3]) -> Process {
    let mut command = Command::new(program("dovecot").unwrap());
    command.arg("-F").arg("-c").arg(config);
    let mut process = Process::start(scratch, "dovecot-master", &mut command);
    for port in ports {
        process.wait_for_port(port);
    }
    process.wait_for_socket(&scratch.path("lmtp"));
    process
}

/// What must be installed to start [`Dovecot`] and to ask with `doveadm`.
pub(crate) const PROGRAMS: [&str; 4] = ["dovecot", "doveadm", "imap-login", "lmtp"];

/// What signs the tokens of [`token`].
const TOKEN_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Tells Dovecot which tokens are good: those that are signed with [`TOKEN_KEY`].
fn tokens(scratch: &Scratch) {
    for folder in ["keys", "keys/default", "keys/default/HS256"] {
        scratch.folder(folder);
    }
    scratch.write("keys/default/HS256/default", BASE64_STANDARD.encode(TOKEN_KEY));
    let keys = scratch.text("keys/");
    let settings = format!(
        "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={keys}\nusername_attribute = email\n"
    );
    scratch.write("oauth2.conf", settings);
}

/// A token for `name` (RFC 7519), good for an hour.
pub(crate) fn token(name: &str) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = format!(
        "{{\"sub\":\"{name}\",\"email\":\"{name}\",\"iat\":{now},\"exp\":{}}}",
        now + 3600
    );
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(b"{\"alg\":\"HS256\",\"typ\":\"JWT\"}"),
        encode(claims.as_bytes())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, TOKEN_KEY);
    let signature = encode(hmac::sign(&key, signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

/// The passwd-file. Passwords are in base64, so that any byte may be in one; a quote or backslash in a name is
/// escaped, as Dovecot escapes it in the key that it looks up.
fn users(language: Language) -> String {
    let line = |name: &str, password: &[u8], fields: &str| {
        let name: String = name
            .chars()
            .flat_map(|c| {
                matches!(c, '\'' | '"' | '\\')
                    .then_some('\\')
                    .into_iter()
                    .chain([c])
            })
            .collect();
        format!(
            "{name}:{{PLAIN.B64}}{}::::::{fields}\n",
            BASE64_STANDARD.encode(password)
        )
    };
    let mut users: String = people::logins()
        .iter()
        .map(|(name, password)| line(name, password, ""))
        .collect();
    users += &line(people::FAILING_MAILBOX, people::RIGHT, language.broken_mailbox());
    users += &line(people::DISABLED, people::RIGHT, "nologin");
    users
}

/// The configuration. A brace must end its line.
fn config(
    language: Language,
    scratch: &Scratch,
    authority: &Authority,
    (uid, gid): (u32, u32),
    [imap, imaps, lmtp]: [u16; 3],
) -> String {
    let scratch = scratch.text("");
    let scratch = scratch.trim_end_matches('/');
    let head = language.head(format!("{scratch}/dovecot"), format!("{scratch}/dovecot.log"));
    let passdbs = [
        language.no_delay(),
        language.failing(),
        &language.tokens(format!("{scratch}/keys/"), format!("{scratch}/oauth2.conf")),
        &language.users(format!("{scratch}/users")),
    ]
    .concat();
    format!(
        "{head}protocols = imap lmtp
mail_uid = {uid}
mail_gid = {gid}
{homes}{maildir}{tls}auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer
login_trusted_networks = 127.0.0.0/8
{at_once}lmtp_rcpt_check_quota = yes
{passdbs}service auth {{
{socket}}}
service imap-login {{
  chroot =
  {many_clients}
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  unix_listener {scratch}/lmtp {{
    mode = 0666
  }}
}}
",
        homes = language.homes(format!("{scratch}/mail")),
        maildir = language.maildir(),
        at_once = language.failures_at_once(),
        tls = language.certificate(&authority.certificate, &authority.key),
        socket = language.auth_socket(format!("{scratch}/auth"), "client", "0666"),
        many_clients = language.many_clients(),
    )
}
