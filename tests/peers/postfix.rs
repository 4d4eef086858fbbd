//! Postfix as the remote that is asked, and as the front that asks.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::people;
use crate::support::{Authority, Process, Scratch, free_port, program};

/// A running Postfix.
#[derive(Debug)]
pub(crate) struct Postfix {
    process: Process,
    /// SMTP, with STARTTLS where it is the remote.
    pub(crate) smtp: u16,
    /// SMTP with TLS from the first byte, where it is the remote.
    pub(crate) smtps: u16,
}

impl Postfix {
    /// A remote: checks passwords at Dovecot's socket `auth`, and knows the mailboxes of [`people`].
    pub(crate) fn remote(scratch: &Scratch, authority: &Authority, auth: &Path) -> Self {
        let names = people::NAMES.iter().chain(&people::UTF8[..1]);
        let table: String = names.map(|name| table_line(name)).collect();
        let table = scratch.write("recipients", table);
        let settings = format!(
            "relay_recipient_maps = texthash:{}
recipient_delimiter = +
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_tls_security_level = may
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_tls_cert_file = {}
smtpd_tls_key_file = {}
{}",
            table.display(),
            authority.certificate.display(),
            authority.key.display(),
            sasl(auth),
        );
        Self::start(scratch, "remote", &settings)
    }

    /// A front: asks the policy server at the socket `policy` about each recipient, and checks passwords at the
    /// socket `auth`, where given. The latter must answer already: without it smtpd does not even greet.
    pub(crate) fn front(scratch: &Scratch, policy: Option<&Path>, auth: Option<&Path>) -> Self {
        let mut settings = "smtpd_recipient_restrictions = reject_unauth_destination".to_owned();
        if let Some(policy) = policy {
            settings += &format!(
                ", check_policy_service {{ unix:{}, timeout=25s }}",
                policy.display()
            );
        }
        settings += "\n";
        if let Some(auth) = auth {
            settings += &sasl(auth);
            // One that starts while Dovecot makes its sockets anew finds none, and Postfix then starts no other for a
            // minute (`fatal: no SASL authentication mechanisms`).
            settings += "max_use = 1000000\n";
        }
        Self::start(scratch, "front", &settings)
    }

    /// A front with these settings.
    #[allow(dead_code, reason = "the benchmarks include this file")]
    pub(crate) fn relay(scratch: &Scratch, settings: &str) -> Self {
        Self::start(scratch, "front", settings)
    }

    /// A front that checks passwords by Cyrus SASL, which asks saslauthd at the socket `mux`.
    #[allow(dead_code, reason = "the benchmarks include this file")]
    pub(crate) fn cyrus(scratch: &Scratch, mux: &Path) -> Self {
        let config = format!(
            "pwcheck_method: saslauthd\nsaslauthd_path: {}\nmech_list: PLAIN LOGIN\n",
            mux.display()
        );
        // Debian's Postfix looks into `sasl` below its own folder, and minds no cyrus_sasl_config_path.
        let settings = format!(
            "smtpd_recipient_restrictions = reject_unauth_destination
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {}
",
            scratch.text("front-etc/sasl")
        );
        Self::start_with(scratch, "front", &settings, Some(&config))
    }

    /// A front that asks the LMTP server at `port` about each recipient by its own `verify(8)`, with its defaults.
    #[allow(dead_code, reason = "a yardstick of the benchmarks, which include this file")]
    pub(crate) fn verifying(scratch: &Scratch, port: u16) -> Self {
        let settings = format!(
            "smtpd_recipient_restrictions = reject_unauth_destination, reject_unverified_recipient
transport_maps = inline:{{ {{ example.org = lmtp:inet:127.0.0.1:{port} }} }}
"
        );
        Self::start(scratch, "verifying", &settings)
    }

    /// A front that checks nothing yet: its folders begin with `front-`.
    #[allow(
        dead_code,
        reason = "the benchmarks include this file, and need no such thing"
    )]
    pub(crate) fn bare(scratch: &Scratch, authority: &Authority) -> Self {
        let settings = format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
            authority.certificate.display(),
            authority.key.display()
        );
        Self::start(scratch, "front", &settings)
    }

    /// Adds lines to the main.cf of the front, and has it read them.
    #[allow(
        dead_code,
        reason = "the benchmarks include this file, and need no such thing"
    )]
    #[track_caller]
    pub(crate) fn take(scratch: &Scratch, lines: &str) {
        let etc = scratch.path("front-etc");
        let mut text = fs::read_to_string(etc.join("main.cf")).unwrap();
        text.push_str(lines);
        fs::write(etc.join("main.cf"), text).unwrap();
        let mut reload = Command::new(program("postfix").unwrap());
        let output = reload.arg("-c").arg(etc).arg("reload").output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Ends it: from here on its ports refuse connections.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    fn start(scratch: &Scratch, name: &str, settings: &str) -> Self {
        Self::start_with(scratch, name, settings, None)
    }

    /// `sasl` is smtpd.conf of Cyrus SASL.
    fn start_with(scratch: &Scratch, name: &str, settings: &str, sasl: Option<&str>) -> Self {
        let path = |part: &str| format!("{name}-{part}");
        let (etc, queue) = (scratch.folder(&path("etc")), scratch.folder(&path("queue")));
        if let Some(sasl) = sasl {
            scratch.folder(&path("etc/sasl"));
            scratch.write(&path("etc/sasl/smtpd.conf"), sasl);
        }
        scratch.folder_of(&path("data"), "postfix");
        let [smtp, smtps] = [(); 2].map(|()| free_port());
        fs::write(
            etc.join("main.cf"),
            format!(
                "{MAIN}{settings}queue_directory = {}\ndata_directory = {}\nmaillog_file = {}\nmaillog_file_prefixes = {}\n",
                queue.display(),
                scratch.text(&path("data")),
                scratch.text(&path("postfix.log")),
                scratch.text(""),
            ),
        )
        .unwrap();
        fs::write(
            etc.join("master.cf"),
            format!(
                "127.0.0.1:{smtp} inet n - n - - smtpd
127.0.0.1:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
{SERVICES}"
            ),
        )
        .unwrap();

        let mut command = Command::new(program("postfix").unwrap());
        command.arg("-c").arg(etc).arg("start-fg");
        let mut process = Process::start(scratch, &path("start"), &mut command);
        process.wait_for_port(smtp);
        // The daemon leads a group of its own, apart from the script that started it.
        let pid = fs::read_to_string(queue.join("pid/master.pid")).unwrap();
        process.adopt(scratch, pid.trim().parse().unwrap());
        Self { process, smtp, smtps }
    }
}

/// What both kinds have in main.cf: mail goes nowhere, and no limit on errors or rates is in the way.
const MAIN: &str = "compatibility_level = 3.6
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
mynetworks =
relay_domains = example.org, mail.example.org
smtpd_relay_restrictions = reject_unauth_destination
alias_maps =
alias_database =
disable_dns_lookups = yes
smtp_host_lookup = native
default_transport = discard:
relay_transport = discard:
local_transport = discard:
notify_classes =
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_junk_command_limit = 1000
";

/// The rest of master.cf; nothing is in a chroot.
const SERVICES: &str = "pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
postlog unix-dgram n - n - 1 postlogd
";

/// The settings of main.cf that check passwords at the socket `auth`.
pub(crate) fn sasl(auth: &Path) -> String {
    format!(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n",
        auth.display()
    )
}

/// A line of a table: the key is the address as SMTP writes it, so one with a space in it is quoted.
fn table_line(name: &str) -> String {
    let (local, domain) = name.split_once('@').unwrap();
    if local.contains([' ', ',']) {
        format!("\"{local}\"@{domain} known\n")
    } else {
        format!("{name} known\n")
    }
}
