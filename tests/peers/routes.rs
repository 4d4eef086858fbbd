//! One transport(5) table for a real Postfix and for `vouch`, which asks Dovecot and another Postfix by it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use vouch::address::Address;
use vouch::config::read;
use vouch::settings::routes::map::Route;

use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY};
use crate::postfix::Postfix;
use crate::recipient::{mail, rcpt};
use crate::support::process::wait_until;
use crate::support::{Authority, Scratch, Vouch, free_port};
use crate::{available, runnable};

/// The lines of the front's log that hold `word`.
fn logged(scratch: &Scratch, word: &str) -> Vec<String> {
    let log = fs::read_to_string(scratch.path("front-postfix.log")).unwrap_or_default();
    log.lines()
        .filter(|line| line.contains(word))
        .map(str::to_owned)
        .collect()
}

/// The transports of the table: LMTP by TCP and by a socket, SMTP, one that is dead, and one that is Postfix's own
/// business, beside a `*`.
#[test]
fn postfix_and_vouch_go_by_one_transport_table() {
    if !available(&["postfix"]) {
        return;
    }
    let (scratch, remote_scratch) = (Scratch::new(), Scratch::new());
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let other = Postfix::remote(&remote_scratch, &authority, &dovecot.auth_socket);
    let (dead, rest) = (free_port(), free_port());
    let table = scratch.write(
        "transport",
        format!(
            "# of a gateway\nexample.org\n    lmtp:inet:127.0.0.1:{}\n.example.org lmtp:unix:{}\n\
             o'brien@example.org smtp:[127.0.0.1]:{smtp}\no'nobody@example.org smtp:[127.0.0.1]:{smtp}\n\
             dead.example smtp:[127.0.0.1]:{dead}\nhere.example local:\ngone.example discard:\n\
             * smtp:[127.0.0.1]:{rest}\n",
            dovecot.lmtp,
            dovecot.lmtp_socket.display(),
            smtp = other.smtp,
        ),
    );
    let policy = scratch.path("policy");
    let config = format!(
        "[directory.gateway]\ntype = \"smtp\"\nlookup.routes = \"transport://{}\"\n\
         tls = {{ server-name = \"127.0.0.1\", ca-file = \"{}\" }}\n\
         [listener.recipients]\nprotocol = \"policy\"\nsocket = \"{}\"\nmode = \"0666\"\ndirectory = [\"gateway\"]\n",
        table.display(),
        authority.ca.display(),
        policy.display()
    );
    let _vouch = Vouch::serve(&scratch, &config, &[&policy]);
    let settings = format!(
        "relay_domains = static:all\ntransport_maps = texthash:{}\n\
         smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service {{ unix:{}, timeout=25s }}\n",
        table.display(),
        policy.display()
    );
    let front = Postfix::relay(&scratch, &settings);

    let by_smtp = "o'brien@example.org";
    let by_socket = "sub.domain@mail.example.org";
    let mut dialog = mail(front.smtp);
    for known in [KNOWN, by_smtp, by_socket] {
        assert_starts(&rcpt(&mut dialog, known), "250 2.1.5");
    }
    for unknown in [NOBODY, "o'nobody@example.org", "known@mail.example.org"] {
        assert_starts(&rcpt(&mut dialog, unknown), "550 5.1.1");
    }
    // A server that is down, or that of the rest, says nothing of its recipients, and is nobody else's trouble.
    for silent in ["jane@dead.example", "jane@rest.example", "jane@dead.example"] {
        assert_starts(&rcpt(&mut dialog, silent), "450 4.4.3");
    }
    // These are none of a server's.
    for kept in ["jane@here.example", "jane@gone.example"] {
        assert_starts(&rcpt(&mut dialog, kept), "250 2.1.5");
    }
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    drop(dialog);

    // Postfix delivers to the servers that were asked.
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&dialog.command("MAIL FROM:<>"), "250 ");
    for known in [KNOWN, by_smtp, by_socket] {
        assert_starts(&rcpt(&mut dialog, known), "250 2.1.5");
    }
    assert_starts(&dialog.command("DATA"), "354 ");
    assert_starts(&dialog.command("Subject: news\r\n\r\nHello.\r\n."), "250 2.0.0");
    for (address, relay) in [
        (KNOWN, format!("relay=127.0.0.1[127.0.0.1]:{}", dovecot.lmtp)),
        (by_smtp, format!("relay=127.0.0.1[127.0.0.1]:{}", other.smtp)),
        (by_socket, format!("[{}]", dovecot.lmtp_socket.display())),
    ] {
        let line = format!("to=<{address}>");
        wait_until(&line, Duration::from_secs(60), || {
            !logged(&scratch, &line).is_empty()
        });
        let lines = logged(&scratch, &line);
        assert!(lines[0].contains(&relay), "no {relay} in {lines:?}");
    }
}

/// Labels of domains; short, so that patterns and addresses meet.
const LABELS: [&str; 3] = ["a", "b", "c"];

/// Draws from what is the same in each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn domain(&mut self) -> String {
        let labels = 1 + self.below(4);
        let labels: Vec<_> = (0..labels).map(|_| LABELS[self.below(3)]).collect();
        labels.join(".") + ".example"
    }
}

/// Addresses below random patterns, and the pattern that decides, by Postfix and by `vouch`.
#[test]
fn the_order_of_look_ups_is_that_of_postfix() {
    if !runnable(&["postfix"]) {
        return;
    }
    let mut draw = Draw(16);
    let mut patterns = BTreeMap::new();
    for number in 0..60 {
        let domain = draw.domain();
        let pattern = match draw.below(4) {
            0 => format!("{}@{domain}", ["jane", "Joe"][draw.below(2)]),
            1 | 2 => format!(".{domain}"),
            _ => domain.to_uppercase(),
        };
        patterns.insert(pattern, format!("label{number}"));
    }
    patterns.insert("*".to_owned(), "rest".to_owned());
    let names = ["jane", "JOE", "jane+list", "ann"];
    let addresses: Vec<_> = (0..400)
        .map(|_| format!("{}@{}", names[draw.below(4)], draw.domain()))
        .collect();
    let lines = |value: &dyn Fn(&str) -> String| -> String {
        let line =
            |(pattern, label): (&String, &String)| format!("{pattern}\n  # {label}\n\t{}\n", value(label));
        patterns.iter().map(line).collect()
    };

    let scratch = Scratch::new();
    // Two patterns that differ in case only are one: Postfix takes the first, as we do.
    let table = scratch.write("transport", lines(&|label| format!("discard:{label}")));
    let settings = format!(
        "relay_domains = static:all\ntransport_maps = texthash:{}\nrecipient_delimiter = +\n\
         smtpd_recipient_restrictions = reject_unauth_destination\n",
        table.display()
    );
    let front = Postfix::relay(&scratch, &settings);
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&dialog.command("MAIL FROM:<>"), "250 ");
    for address in &addresses {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    assert_starts(&dialog.command("DATA"), "354 ");
    assert_starts(&dialog.command("Subject: news\r\n\r\nHello.\r\n."), "250 2.0.0");
    let of = |address: &str| {
        let lines = logged(&scratch, &format!("to=<{address}>"));
        let line = lines.first()?;
        let (_, label) = line.split_once("status=sent (")?;
        Some(label.trim_end_matches(')').to_owned())
    };
    let all = || addresses.iter().all(|address| of(address).is_some());
    wait_until("the end of all recipients", Duration::from_secs(60), all);

    let ours = scratch.write("ours", lines(&|label| format!("smtp:[{label}]")));
    let config = format!(
        "[directory.a]\ntype = \"smtp\"\nlookup.routes = \"transport://{}\"\n",
        ours.display()
    );
    let (config, _) = read::parse(Path::new("a.toml"), &config).unwrap();
    let map = &config.directory[0].lookup.routes.as_ref().unwrap().map;
    for address in &addresses {
        let asked = Address::from_typed(address).unwrap().without_detail("+");
        let label = match map.find(asked.local(), asked.domain()) {
            Some(Route::Server(server)) => server.to_string().replace("smtp:", ""),
            other => format!("{other:?}"),
        };
        assert_eq!(Some(label), of(address), "{address}");
    }
}
