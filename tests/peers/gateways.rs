//! The lines of `docs/gateways.md`, in a Postfix with the restrictions of each product.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::available;
use crate::dialog::assert_starts;
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY};
use crate::postfix::Postfix;
use crate::recipient::{NEW, mail, rcpt, tls};
use crate::support::process::wait_until;
use crate::support::{Authority, Scratch, Vouch, free_port, program};

/// Not relayed.
const ELSEWHERE: &str = "someone@elsewhere.example.com";

#[test]
fn mailcow_refuses_unknown_recipients() {
    // Its tables answer nothing about these recipients.
    let own = "compatibility_level = 3.6
smtpd_delay_reject = yes
smtpd_helo_required = yes
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination
smtpd_recipient_restrictions = check_recipient_access static:DUNNO, permit_sasl_authenticated, permit_mynetworks,
  check_recipient_access static:DUNNO, reject_invalid_helo_hostname, reject_unauth_destination
smtpd_sender_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unlisted_sender
";
    refuses("mailcow", own, plainly, "454 4.7.1");
}

#[test]
fn mailu_refuses_unknown_recipients() {
    let own = "compatibility_level = 0
smtpd_delay_reject = yes
smtpd_helo_required = yes
smtpd_client_restrictions = permit_mynetworks, reject_non_fqdn_sender, permit
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
";
    refuses("Mailu", own, by_shell, "554 5.7.1");
}

/// Also those of its welcome list, whose table says OK.
#[test]
fn proxmox_mail_gateway_refuses_unknown_recipients() {
    let own = "compatibility_level = 3.6
smtpd_sender_restrictions = permit_mynetworks reject_non_fqdn_sender check_recipient_access static:OK
smtpd_recipient_restrictions = permit_mynetworks reject_unauth_destination reject_non_fqdn_recipient
  check_recipient_access static:OK
";
    refuses("Proxmox Mail Gateway", own, plainly, "554 5.7.1");
}

#[test]
fn opnsense_refuses_unknown_recipients() {
    let own = "compatibility_level = 2
smtpd_helo_required = yes
smtpd_recipient_restrictions = reject_non_fqdn_sender, permit_sasl_authenticated, permit_mynetworks,
  reject_unauth_destination
";
    refuses("OPNsense", own, plainly, "554 5.7.1");
}

#[test]
fn modoboa_refuses_unknown_recipients() {
    let own = "compatibility_level = 0
smtpd_helo_required = yes
strict_rfc821_envelopes = yes
smtpd_recipient_restrictions = permit_mynetworks permit_sasl_authenticated check_recipient_access static:DUNNO
  reject_unauth_destination reject_non_fqdn_sender reject_non_fqdn_recipient reject_non_fqdn_helo_hostname
";
    refuses("modoboa", own, plainly, "554 5.7.1");
}

/// Sets a line of the main.cf in a folder.
type Set = fn(&Path, &str) -> Command;

/// As it is. Where a product appends it to main.cf, an earlier one does not count either.
fn plainly(etc: &Path, line: &str) -> Command {
    let mut command = Command::new(program("postconf").unwrap());
    command.arg("-c").arg(etc).args(["-e", line]);
    command
}

/// As Mailu's start.py does: through a shell.
fn by_shell(etc: &Path, line: &str) -> Command {
    let postconf = program("postconf").unwrap();
    let mut command = Command::new("/bin/sh");
    let text = format!("{} -c {} -e \"{line}\"", postconf.display(), etc.display());
    command.args(["-c", &text]);
    command
}

/// Sets lines of the front's main.cf, each in the place of an earlier one: Postfix warns about a second one in each of its
/// processes, and may stand still when it logs so much by its own postlogd.
fn put(scratch: &Scratch, lines: &str, set: Set) {
    let lines = lines.replace("\n ", " ");
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let status = set(&scratch.path("front-etc"), line).status().unwrap();
        assert!(status.success(), "{line}");
    }
}

/// What the page has for main.cf of this product: of its section, the block with the parameter, without indentation and
/// without lines of a template.
fn lines_of(product: &str) -> String {
    let page = fs::read_to_string("docs/gateways.md").unwrap();
    let (_, section) = page.split_once(&format!("\n## {product}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut blocks = section
        .split("```\n")
        .filter(|block| block.contains("check_policy_service {"));
    let lines = blocks.next().unwrap().lines();
    let lines = lines.map(|line| line.strip_prefix("   ").unwrap_or(line));
    let lines = lines.filter(|line| !line.starts_with("{%"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A product with these restrictions of its own refuses unknown recipients once it has the lines of the page. `not_relayed` is its answer for a domain that is not relayed.
fn refuses(product: &str, own: &str, set: Set, not_relayed: &str) {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let port = free_port();
    let policy = scratch.path("policy");
    let listener = |name: &str, socket: &str| {
        format!(
            "[listener.\"{name}\"]\nprotocol = \"policy\"\nsocket = \"{socket}\"\ndirectory = [\"mailbox\"]\n{}",
            if socket.starts_with('/') {
                "mode = \"0666\"\n"
            } else {
                ""
            }
        )
    };
    let config = format!(
        "[directory.\"mailbox\"]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\nlookup.domains = [\"example.org\"]\n{}{}{}",
        dovecot.lmtp,
        tls("required", &authority.ca.display()),
        listener("unix", policy.to_str().unwrap()),
        listener("tcp", &format!("127.0.0.1:{port}")),
    );
    let vouch = Vouch::serve(&scratch, &config, &[&policy]);
    let front = Postfix::relay(&scratch, "");
    put(&scratch, own, plainly);

    let mut lines = lines_of(product);
    let place = match lines.contains("{ unix:vouch/policy,") {
        true => format!("unix:{}", policy.display()),
        false => format!("inet:127.0.0.1:{port}"),
    };
    for named in ["unix:vouch/policy", "inet:vouch:10040", "inet:192.0.2.30:10040"] {
        lines = lines.replace(named, &place);
    }
    assert!(lines.contains(&format!("{{ {place}, timeout=25s")), "{lines}");
    put(&scratch, &lines, set);
    Postfix::take(&scratch, "");
    wait_until("the new lines", Duration::from_secs(30), || {
        rcpt(&mut mail(front.smtp), NOBODY).starts_with("550 5.1.1")
    });

    let mut dialog = mail(front.smtp);
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    assert_starts(&rcpt(&mut dialog, ELSEWHERE), not_relayed);
    dovecot.stop();
    assert_starts(&rcpt(&mut dialog, NEW), "450 4.4.3");
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    vouch.stop();
    assert_starts(&rcpt(&mut mail(front.smtp), KNOWN), "450 4.7.1");

    put(&scratch, "mynetworks = 127.0.0.0/8", plainly);
    Postfix::take(&scratch, "");
    wait_until("its own networks", Duration::from_secs(30), || {
        rcpt(&mut mail(front.smtp), NOBODY).starts_with("250 2.1.5")
    });
}
