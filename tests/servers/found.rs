//! `mx:` and `srv:`: a DNS server of the test says which servers there are.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use domain::base::Rtype;
use remote::{Account, Authority, Fault, Listen, Options, Protocol, Security, Server};
use tokio::time::Instant;
use vouch::config::read;
use vouch::daemon;
use vouch::session::dns::Resolver;
use vouch::session::imap::LoginSession;
use vouch::session::{Kind, Servers, tls};
use vouch::settings::directory::Auth;

use crate::asker::Answer;
use crate::dns::{Dns, Says, elsewhere, name_of};
use crate::machine::{JANE, Machine, NOBODY, PASSWORD};
use crate::support::vouch::binary;
use crate::support::{Scratch, skipped};

/// The servers of a directory with these keys.
fn servers(dns: &Dns, keys: &str) -> Servers {
    let text = format!("[directory.mail]\n{keys}\n");
    let (config, _) = read::parse(Path::new("vouch.toml"), &text).unwrap();
    let (roots, resolver) = (tls::Roots::of_system(), Resolver::at(dns.address));
    daemon::servers_by(&config.directory[0], &roots, &resolver, |_| ()).unwrap()
}

/// The hosts that are called, in their order, and why others are not; or why there is none.
async fn called(servers: &Servers) -> Result<(Vec<String>, Vec<String>), String> {
    let each = servers.each(Instant::now() + Duration::from_secs(20)).await;
    let (each, not_called) = each.map_err(|error| error.to_string())?;
    let host = |it: Servers| {
        it.peer
            .trim_start_matches("mail (")
            .trim_end_matches(')')
            .to_owned()
    };
    Ok((each.into_iter().map(host).collect(), not_called))
}

/// No certificate has the names of these hosts, which are numbers.
const MX: &str = "type = \"smtp\"\naddress = \"mx:example.org\"\ntls.server-name = \"mail.example.org\"";

#[tokio::test]
async fn mail_servers_come_in_their_order_and_none_that_may_ask_this_machine() {
    let dns = Dns::new();
    // 127.1 is 127.0.0.1, which is this machine.
    let records = vec![
        (40, name_of(5)),
        (20, name_of(3)),
        (30, "127.1"),
        (30, name_of(4)),
        (10, name_of(2)),
    ];
    dns.says("example.org", Rtype::MX, Says::Mx(records));
    let servers = servers(&dns, MX);
    let (hosts, not_called) = called(&servers).await.unwrap();
    assert_eq!(hosts, ["127.83.2:25", "127.83.3:25"]);
    assert_eq!(not_called.len(), 3, "{not_called:?}");
    for (record, why) in [
        ("30 127.1: ", "this machine: asking it would be a loop"),
        ("30 127.83.4: ", "not better"),
        ("40 127.83.5: ", "not better"),
    ] {
        assert!(
            not_called
                .iter()
                .any(|it| it.starts_with(record) && it.contains(why)),
            "{not_called:?}"
        );
    }
    assert_eq!(dns.asked(), 1, "the answer holds for its TTL");
}

#[tokio::test]
async fn equal_servers_take_turns_by_chance() {
    let dns = Dns::new();
    dns.says(
        "example.org",
        Rtype::MX,
        Says::Mx(vec![(10, name_of(2)), (10, name_of(3))]),
    );
    let servers = servers(&dns, MX);
    let mut first = BTreeSet::new();
    for _ in 0..60 {
        first.extend(called(&servers).await.unwrap().0.first().cloned());
    }
    // One in 2^59 runs has one of them sixty times.
    assert_eq!(first.len(), 2);
}

#[tokio::test]
async fn a_domain_without_mail_servers_has_none_that_is_asked() {
    for (says, why) in [
        (Says::Mx(vec![(0, ".")]), "takes no mail (RFC 7505)"),
        (Says::NoSuchName, "there are no such records"),
        (Says::Fails, "SERVFAIL"),
        (Says::Mx(vec![(10, "127.1"), (20, name_of(2))]), "this machine"),
    ] {
        let dns = Dns::new();
        dns.says("example.org", Rtype::MX, says);
        let why_not = called(&servers(&dns, MX)).await.unwrap_err();
        assert!(
            why_not.contains(why) && why_not.contains("MX records of example.org"),
            "{why_not}"
        );
    }
    // Without MX records it is the domain itself, here this machine.
    let dns = Dns::new();
    dns.says("localhost", Rtype::MX, Says::Nothing);
    let local = servers(&dns, "type = \"smtp\"\naddress = \"mx:localhost\"");
    let why_not = called(&local).await.unwrap_err();
    assert!(why_not.contains("0 localhost: this machine"), "{why_not}");
}

// Fills RECORDS.
#[tokio::test]
async fn an_answer_that_is_too_long_for_udp_is_read_and_cut() {
    let dns = Dns::start((Ipv4Addr::LOCALHOST, 0).into(), true).unwrap();
    let many = (2..202)
        .map(|number: u16| (number, name_of(number as u8)))
        .collect();
    dns.says("example.org", Rtype::MX, Says::Mx(many));
    let (hosts, not_called) = called(&servers(&dns, MX)).await.unwrap();
    assert_eq!(hosts[..2], ["127.83.2:25", "127.83.3:25"]);
    assert_eq!(
        (hosts.len(), not_called.len()),
        (8, 8),
        "of 200 records 16 are looked at"
    );
}

// Fills RECORDS_TIMEOUT.
#[tokio::test]
async fn a_resolver_that_is_silent_is_not_waited_for_long() {
    let dns = Dns::new();
    dns.says("example.org", Rtype::MX, Says::Silence);
    let why = tokio::time::timeout(Duration::from_secs(15), called(&servers(&dns, MX))).await;
    let why = why.expect("within the bound").unwrap_err();
    assert!(why.contains("MX records of example.org"), "{why}");
}

#[tokio::test]
async fn services_come_by_priority_and_with_their_ports() {
    let dns = Dns::new();
    let records = vec![
        (20, 0, 588, name_of(3)),
        (10, 5, 587, name_of(2)),
        (30, 0, 0, name_of(4)),
    ];
    dns.says("_submission._tcp.example.org", Rtype::SRV, Says::Srv(records));
    let submission = servers(
        &dns,
        "type = \"smtp\"\naddress = \"srv:_submission._tcp.example.org\"",
    );
    let (hosts, not_called) = called(&submission).await.unwrap();
    assert_eq!(hosts, ["127.83.2:587", "127.83.3:588"]);
    assert_eq!(not_called.len(), 1, "{not_called:?}");
    dns.says(
        "_imap._tcp.example.org",
        Rtype::SRV,
        Says::Srv(vec![(0, 0, 0, ".")]),
    );
    let imap = servers(&dns, "type = \"imap\"\naddress = \"srv:_imap._tcp.example.org\"");
    let why = called(&imap).await.unwrap_err();
    assert!(why.contains("the service is not offered (RFC 2782)"), "{why}");
    let imaps = servers(
        &dns,
        "type = \"imap\"\naddress = \"srv:_imaps._tcp.example.org\"\ntls.implicit = true",
    );
    assert!(
        called(&imaps)
            .await
            .unwrap_err()
            .contains("there are no such records")
    );
}

#[tokio::test]
async fn who_answers_for_dns_gets_no_password_without_the_domains_certificate() {
    let scratch = Scratch::new();
    let authority = Authority::new().unwrap();
    authority.write_pem(scratch.path("ca.pem")).unwrap();
    let imap = |name: &str| {
        let mut options = Options::new(Protocol::Imap).account(Account::new(JANE, PASSWORD));
        options.security = Security::StartTls(authority.issue(&[name]).unwrap());
        Server::start(options).unwrap()
    };
    // The one has the name of the host that DNS names, the other that of the domain.
    let (host, domain) = (imap("localhost"), imap("example.org"));
    let opened = async |server: &Server, keys: &str| {
        let dns = Dns::new();
        dns.says(
            "_imap._tcp.example.org",
            Rtype::SRV,
            Says::Srv(vec![(0, 0, server.port(), "localhost")]),
        );
        let keys = format!(
            "type = \"imap\"\naddress = \"srv:_imap._tcp.example.org\"\ntls.ca-file = \"{}\"\n{keys}",
            scratch.text("ca.pem")
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        let session = LoginSession::open(&servers(&dns, &keys), &Auth::new(), deadline).await;
        session
            .map(|_| ())
            .map_err(|error| (error.kind(), error.to_string()))
    };
    let (kind, why) = opened(&host, "").await.unwrap_err();
    assert_eq!(kind, Kind::Tls);
    assert!(why.contains("and not for example.org"), "{why}");
    opened(&domain, "").await.unwrap();
    opened(&host, "tls.server-name = \"localhost\"").await.unwrap();
}

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
