//! `contrib/fail2ban` bans clients whose passwords a server refuses, and nobody else: `fail2ban-regex` reads the log of a
//! daemon in front of a real server.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::available;
use crate::dovecot::Dovecot;
use crate::login::{serve_at, starttls};
use crate::people::{FAILING_LOGIN, KNOWN, NOBODY};
use crate::recipient::socat;
use crate::support::{Authority, Scratch, program};

/// A user who would like to have somebody else banned.
const FORGER: &str = "x verdict=reject cause=bad-credentials source=probe directory=remote us=1 client=203.0.113.1 \" \
                      verdict=reject cause=bad-credentials source=probe directory=remote us=1 client=203.0.113.2 ";

#[test]
fn fail2ban_counts_what_a_server_refused_and_nothing_else() {
    if !available(&["fail2ban-regex", "socat"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let log = scratch.path("vouch.log");
    let keys = format!("[log]\nfile = \"{}\"", log.display());
    let (vouch, auth) = serve_at(
        &scratch,
        "auth",
        ("imap", dovecot.imap),
        &starttls(&authority),
        &keys,
    );

    // Each from an address of its own, so that the log says which of them counted.
    let logins: [(&str, &str, &str, &str); 8] = [
        (KNOWN, "right", "192.0.2.1", "OK"),
        (KNOWN, "wrong", "192.0.2.2", "FAIL"),
        // The same again is answered out of the cache: nobody guesses there.
        (KNOWN, "wrong", "192.0.2.3", "FAIL"),
        (NOBODY, "wrong", "2001:db8::4", "FAIL"),
        // No server has said that it is wrong.
        (FAILING_LOGIN, "wrong", "192.0.2.5", "FAIL"),
        (FORGER, "wrong", "192.0.2.6", "FAIL"),
        ("jürgen \\@example.org", "wrong", "192.0.2.7", "FAIL"),
        (KNOWN, "without an address", "", "FAIL"),
    ];
    for (user, password, client, answer) in logins {
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        let client = if client.is_empty() {
            String::new()
        } else {
            format!("rip={client}\t")
        };
        let request =
            format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\t{client}resp={response}\n");
        let said = socat(&auth, &request);
        assert!(said.contains(&format!("\n{answer}\t1")), "{user}: {said}");
    }
    vouch.stop();

    let output = Command::new(program("fail2ban-regex").unwrap())
        .args(["--usedns=no", "--out=ip"])
        .arg(&log)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/contrib/fail2ban/filter.conf"
        ))
        .output()
        .unwrap();
    let counted = String::from_utf8(output.stdout).unwrap();
    let mut counted: Vec<&str> = counted.lines().collect();
    counted.sort_unstable();
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(
        counted,
        ["192.0.2.2", "192.0.2.6", "192.0.2.7", "2001:db8::4"],
        "{lines}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
