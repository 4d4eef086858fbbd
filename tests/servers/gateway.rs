//! A daemon whose servers are those in MX records, with a resolver and names of hosts of the test laid over the machine's.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use domain::base::Rtype;
use remote::{Account, Fault, Listen, Options, Protocol, Server};
use tokio::time::Instant;

use crate::asker::Answer;
use crate::dns::{Dns, Says, elsewhere};
use crate::machine::{JANE, Machine, NOBODY, PASSWORD};
use crate::support::vouch::binary;
use crate::support::{Scratch, skipped};

/// Servers at one port of several addresses, each of which takes the mailbox of the same number, such as
/// `3@example.org`, and JANE's.
fn at_one_port(hosts: &[SocketAddr]) -> Vec<Server> {
    for _ in 0..100 {
        let mut port = 0;
        let started: Result<Vec<_>, _> = hosts
            .iter()
            .enumerate()
            .map(|(number, host)| {
                let mut options = Options::new(Protocol::Smtp)
                    .account(Account::new(JANE, PASSWORD))
                    .account(Account::new(&format!("{number}@example.org"), PASSWORD));
                options.listen = Listen::At(SocketAddr::new(host.ip(), port));
                let server = Server::start(options)?;
                port = server.port();
                Ok::<_, std::io::Error>(server)
            })
            .collect();
        if let Ok(servers) = started {
            return servers;
        }
    }
    panic!("no port is free at all of them");
}

/// What lays a resolver and names of hosts over those of the machine, for a daemon in a namespace of its own; `None` where
/// that cannot be done here, which it says.
fn laid_over(scratch: &Scratch, dns: SocketAddr) -> Option<String> {
    let tried = Command::new("unshare").args(["-m", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        skipped("only root may have a mount namespace, and unshare must be installed");
        return None;
    }
    scratch.write("resolv.conf", format!("nameserver {}\n", dns.ip()));
    let hosts = "127.0.0.1 localhost us.vouch-test.example\n127.83.0.2 mx2.vouch-test.example\n\
                 127.83.0.3 mx3.vouch-test.example\n127.83.0.4 mx4.vouch-test.example\n";
    scratch.write("hosts", hosts);
    scratch.write("nsswitch.conf", "hosts: files dns\n");
    let lay = |file| {
        let ours = scratch.text(file);
        format!("if [ -e /etc/{file} ]; then mount --bind {ours} /etc/{file}; fi\n")
    };
    Some(["hosts", "resolv.conf", "nsswitch.conf"].map(lay).concat())
}

/// A DNS server at the only port that /etc/resolv.conf can name, for one test alone.
fn at_port_53(number: u8) -> Option<Dns> {
    let dns = Dns::start(SocketAddr::new(elsewhere(number), 53), false);
    if dns.is_none() {
        skipped("port 53 is taken on all of loopback, or not for this user");
    }
    dns
}

const DOMAIN: &str = "vouch-test.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_asks_the_better_mail_servers_and_never_itself() {
    let scratch = Scratch::new();
    let Some(dns) = at_port_53(11) else { return };
    let Some(laid) = laid_over(&scratch, dns.address) else {
        return;
    };
    let hosts = [
        elsewhere(2),
        elsewhere(3),
        Ipv4Addr::LOCALHOST.into(),
        elsewhere(4),
    ];
    let servers = at_one_port(&hosts.map(|host| SocketAddr::new(host, 0)));
    let [busy, silent, us, worse] = &servers[..] else {
        unreachable!()
    };
    let records = vec![
        (10, "mx2.vouch-test.example"),
        (10, "mx3.vouch-test.example"),
        (20, "us.vouch-test.example"),
        (30, "mx4.vouch-test.example"),
    ];
    dns.says(DOMAIN, Rtype::MX, Says::Mx(records));
    busy.set_fault(Fault::Bye.at("GREETING"));
    silent.set_fault(Fault::HangAfterAccept);
    let keys = format!(
        "address = \"mx:{DOMAIN}\"\nport = {}\ntimeout = \"3s\"",
        us.port()
    );
    let check = format!("[directory.mail]\ntype = \"smtp\"\nlookup.domains = [\"example.org\"]\n{keys}\n");
    let file = scratch.write("check.toml", check);
    let shown = Command::new("unshare")
        .args(["-m", "/bin/sh", "-ec", &format!("{laid}\nexec \"$@\""), "sh"])
        .arg(binary())
        .args(["check", "--online", "-c"])
        .arg(file)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in [
        "20 us.vouch-test.example: this machine: asking it would be a loop",
        "30 mx4.vouch-test.example: its preference is not better than that of this machine",
        &format!("mail (mx2.vouch-test.example:{}): NOT REACHED", us.port()),
        "greeting: 421",
        &format!("mail (mx3.vouch-test.example:{}): NOT REACHED", us.port()),
    ] {
        assert!(shown.contains(part), "{part} in:\n{shown}");
    }
    let machine = Machine::start(scratch, &keys, false, &["unshare", "-m"], &laid).await;
    assert_eq!(machine.recipient(JANE).await, Answer::Later);
    assert_eq!(machine.recipient(NOBODY).await, Answer::Later);
    for part in ["mx2.vouch-test.example", "mx3.vouch-test.example"] {
        machine.logged(&["WARN", part]).await;
    }
    silent.set_fault(Fault::None);
    let end = Instant::now() + Duration::from_secs(40);
    while machine.recipient(JANE).await != Answer::Yes {
        assert!(Instant::now() < end, "it is there again");
    }
    assert_eq!(machine.recipient(NOBODY).await, Answer::No);
    assert_eq!((us.accepted(), worse.accepted()), (0, 0), "never even called");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_hop_without_brackets_is_asked_by_its_mx_as_postfix_does() {
    let scratch = Scratch::new();
    let Some(dns) = at_port_53(14) else { return };
    let Some(laid) = laid_over(&scratch, dns.address) else {
        return;
    };
    let hosts = [elsewhere(2), Ipv4Addr::LOCALHOST.into()];
    let servers = at_one_port(&hosts.map(|host| SocketAddr::new(host, 0)));
    let [best, us] = &servers[..] else { unreachable!() };
    let records = vec![(10, "mx2.vouch-test.example"), (20, "us.vouch-test.example")];
    dns.says(DOMAIN, Rtype::MX, Says::Mx(records));
    let table = format!("example.org relay:{DOMAIN}:{}\n* smtp:\n", best.port());
    scratch.write("transport", table);
    let keys = format!("lookup.routes = \"transport://{}\"", scratch.text("transport"));
    let machine = Machine::start(scratch, &keys, false, &["unshare", "-m"], &laid).await;
    assert_eq!(machine.recipient(JANE).await, Answer::Yes);
    assert_eq!(machine.recipient(NOBODY).await, Answer::No);
    // It is not ours, as the server that it names may be anybody's.
    machine.recipient("jane@elsewhere.example").await;
    machine
        .logged(&["jane@elsewhere.example", "verdict=abstain"])
        .await;
    assert_eq!((best.count("RCPT"), us.accepted()), (2, 0), "never even called");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_says_is_not_remembered() {
    let scratch = Scratch::new();
    let Some(dns) = at_port_53(12) else { return };
    let Some(laid) = laid_over(&scratch, dns.address) else {
        return;
    };
    let servers = at_one_port(&[elsewhere(2), elsewhere(3)].map(|host| SocketAddr::new(host, 0)));
    let [best, backup] = &servers[..] else {
        unreachable!()
    };
    let records = vec![(10, "mx2.vouch-test.example"), (20, "mx3.vouch-test.example")];
    dns.says(DOMAIN, Rtype::MX, Says::Mx(records));
    best.stop().await;
    let keys = format!("address = \"mx:{DOMAIN}\"\nport = {}", best.port());
    let machine = Machine::start(scratch, &keys, false, &["unshare", "-m"], &laid).await;
    // The mailbox 1 is known to the backup alone, and 0 to the best alone.
    for _ in 0..2 {
        assert_eq!(machine.recipient("1@example.org").await, Answer::Yes);
        assert_eq!(machine.recipient("0@example.org").await, Answer::No);
        assert_eq!(machine.recipient(JANE).await, Answer::Yes);
    }
    assert_eq!(backup.count("RCPT"), 6, "each is asked again");
    best.start_again().unwrap();
    backup.stop().await;
    let end = Instant::now() + Duration::from_secs(40);
    while machine.recipient(JANE).await != Answer::Yes {
        assert!(Instant::now() < end, "the best is there again");
    }
    let asked = best.count("RCPT");
    for _ in 0..2 {
        assert_eq!(machine.recipient("1@example.org").await, Answer::No);
        assert_eq!(machine.recipient("0@example.org").await, Answer::Yes);
    }
    assert_eq!(best.count("RCPT"), asked + 2, "what the best says is remembered");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_without_mx_records_is_its_own_mail_server() {
    let scratch = Scratch::new();
    let Some(dns) = at_port_53(13) else { return };
    let Some(laid) = laid_over(&scratch, dns.address) else {
        return;
    };
    let servers = at_one_port(&[SocketAddr::new(elsewhere(4), 0)]);
    dns.says("mx4.vouch-test.example", Rtype::MX, Says::Nothing);
    let keys = format!("address = \"mx:mx4.{DOMAIN}\"\nport = {}", servers[0].port());
    let machine = Machine::start(scratch, &keys, false, &["unshare", "-m"], &laid).await;
    assert_eq!(machine.recipient(JANE).await, Answer::Yes);
    assert_eq!(machine.recipient(NOBODY).await, Answer::No);
    machine.stop().await;
}
