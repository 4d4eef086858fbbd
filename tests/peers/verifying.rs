//! A Postfix with `reject_unverified_recipient` between `vouch` and the mailbox server: it repeats each refusal of the
//! server behind as its own `550 5.1.1 … undeliverable address`, whatever the refusal was about.

use std::fs;
use std::path::Path;
use std::time::Duration;

use remote::{Account, Fault, Options, Protocol, Server, State};
use tokio::runtime::Runtime;

use crate::dialog::assert_starts;
use crate::postfix::Postfix;
use crate::recipient::{ask, mail, rcpt, serve_at};
use crate::runnable;
use crate::support::Scratch;
use crate::support::process::wait_until;

/// How long Postfix may take to send its probe and to learn what became of it.
const PROBE: Duration = Duration::from_secs(40);

/// The command that the mailbox server refuses.
#[derive(Clone, Copy)]
enum Refused {
    Mail,
    Rcpt,
}
use Refused::{Mail, Rcpt};

const LATER: &str = "action=DEFER_IF_PERMIT 4.";
const EXISTS: &str = "action=DUNNO";
const UNKNOWN: &str = "action=550 5.1.1 ";
const CLOSED: &str = "action=550 5.2.1 ";

/// The local part that is asked about, what the mailbox server says and to which command, how Postfix's reply begins,
/// and what vouch makes of that.
const WAYS: [(&str, Refused, &str, &str, &str); 16] = [
    ("unknown", Rcpt, "550 5.1.1 User unknown", "550 5.1.1 ", UNKNOWN),
    ("codeless", Rcpt, "550 No such user here", "550 5.1.1 ", UNKNOWN),
    (
        "lines",
        Rcpt,
        "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n\
         550-5.1.1 double-checking the recipient's email address for typos or\r\n\
         550 5.1.1 unnecessary spaces. - gsmtp",
        "550 5.1.1 ",
        UNKNOWN,
    ),
    ("closed", Rcpt, "550 5.2.1 mailbox disabled", "550 5.1.1 ", CLOSED),
    ("full", Rcpt, "552 5.2.2 Over quota", "550 5.1.1 ", EXISTS),
    // Whatever is put off, Postfix calls unverified, and that is no word about the recipient.
    (
        "full-for-now", Rcpt, "452 4.2.2 Mailbox full", "450 4.1.1 ", LATER,
    ),
    (
        "relay", Rcpt, "554 5.7.1 Relay access denied", "550 5.1.1 ", LATER,
    ),
    (
        "login", Mail, "530 5.7.57 Client not authenticated to send mail", "550 5.1.1 ", LATER,
    ),
    (
        "access", Rcpt, "550 5.4.1 Recipient address rejected: Access denied", "550 5.1.1 ", LATER,
    ),
    (
        "domain", Rcpt, "550 5.1.1 Domain does not exist", "550 5.1.1 ", LATER,
    ),
    (
        "listed", Rcpt, "550 5.7.1 blocked using zen.spamhaus.org", "550 5.1.1 ", LATER,
    ),
    ("grey", Rcpt, "450 4.2.0 greylisted", "450 4.1.1 ", LATER),
    ("sender", Rcpt, "550 5.1.8 bad sender", "550 5.1.1 ", LATER),
    // The prober's own address is what is unknown.
    ("prober", Mail, "550 5.1.1 User unknown", "550 5.1.1 ", LATER),
    ("for-now", Rcpt, "450 4.1.1 User unknown", "450 4.1.1 ", LATER),
    (
        "broken", Rcpt, "554 5.3.0 Internal error: user database not available", "550 5.1.1 ", LATER,
    ),
];

#[test]
fn a_postfix_that_verifies_is_read_by_what_it_repeats() {
    if !runnable(&["postfix", "socat"]) {
        return;
    }
    let scratch = Scratch::new();
    let world = Runtime::new().unwrap();
    let server = mailbox_server(&world);
    let front = verifying(&scratch, server.port());
    let directory = format!(
        "type = \"smtp\"\naddress = \"127.0.0.1\"\nport = {}\n[directory.\"mailbox\".tls]\nstarttls = \"never\"\n",
        front.smtp
    );
    let (vouch, policy) = serve_at(&scratch, "policy", &directory);
    let mut wrong = Vec::new();
    let mut asked = |name: &str, begins: &str, wanted: &str| {
        let address = format!("{name}@example.org");
        let heard = verified(&front, &address, begins);
        let answer = ask(&policy, &address);
        let told = format!("{heard}\n  vouch: {}", answer.trim_end());
        println!("{told}");
        if !answer.starts_with(wanted) {
            wrong.push(told);
        }
    };

    // Postfix has not asked yet, and says so.
    assert_starts(&ask(&policy, "new@example.org"), LATER);
    asked("known", "250 2.1.5 ", EXISTS);
    for (name, refused, says, begins, wanted) in WAYS {
        println!("mailbox server: {says:?}");
        server.set_fault(match refused {
            Mail => Fault::refuse_mail(says),
            Rcpt => Fault::None,
        });
        let state = State::Says(says.to_owned());
        server.set_account(Account::new(&format!("{name}@example.org"), "").state(state));
        asked(name, begins, wanted);
    }
    // None of this is held against another recipient.
    server.set_fault(Fault::None);
    asked("other", "250 2.1.5 ", EXISTS);

    println!("mailbox server: (hangs up)");
    server.set_fault(Fault::CloseMidReply(0).at("RCPT"));
    asked("cut-off", "450 4.1.1 ", LATER);
    println!("mailbox server: (is gone)");
    world.block_on(server.stop());
    asked("gone", "450 4.1.1 ", LATER);
    vouch.stop();
    show(&scratch.path("vouch.log"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A server with every mailbox of its domain, but for those that it is given words for.
fn mailbox_server(world: &Runtime) -> Server {
    let _inside = world.enter();
    let mut options = Options::new(Protocol::Smtp);
    options.domains = vec!["example.org".to_owned()];
    options.catch_all = true;
    Server::start(options).unwrap()
}

/// A Postfix that asks the mailbox server at `port` about each recipient, and makes every refusal its own 550. It
/// answers at once, that it does not know yet too.
fn verifying(scratch: &Scratch, port: u16) -> Postfix {
    let settings = format!(
        "smtpd_recipient_restrictions = reject_unauth_destination, reject_unverified_recipient
unverified_recipient_reject_code = 550
unverified_recipient_defer_code = 450
address_verify_map = btree:{}
address_verify_poll_count = 1
address_verify_poll_delay = 1s
smtp_connection_cache_on_demand = no
transport_maps = inline:{{ {{ example.org = smtp:[127.0.0.1]:{port} }} }}
",
        scratch.text("front-data/verify_cache")
    );
    Postfix::relay(scratch, &settings)
}

/// What Postfix says of `address` once its probe is back, the same to whoever asks. It must begin so.
#[track_caller]
fn verified(front: &Postfix, address: &str, begins: &str) -> String {
    let mut reply = String::new();
    wait_until("the probe", PROBE, || {
        reply = rcpt(&mut mail(front.smtp), address);
        !reply.contains("Address verification in progress")
    });
    assert_starts(&reply, begins);
    reply
}

/// Prints what vouch heard.
fn show(log: &Path) {
    let log = fs::read_to_string(log).unwrap();
    log.lines()
        .filter(|line| line.contains("detail="))
        .for_each(|line| println!("{line}"));
}
