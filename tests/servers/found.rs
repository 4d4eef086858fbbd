//! `mx:` and `srv:`: a DNS server of the test says which servers there are.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use domain::base::Rtype;
use remote::{Account, Authority, Options, Protocol, Security, Server};
use tokio::time::Instant;
use vouch::config::read;
use vouch::daemon;
use vouch::session::dns::Resolver;
use vouch::session::imap::LoginSession;
use vouch::session::{Kind, Servers, tls};
use vouch::settings::directory::Auth;

use crate::dns::{Dns, Says, name_of};
use crate::machine::{JANE, PASSWORD};
use crate::support::Scratch;

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
async fn a_server_that_dns_names_gets_no_password_without_the_domains_certificate() {
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
