//! An answer of DNS, how long it holds, and what it comes to.

use std::io;

use tokio::sync::mpsc;

use super::*;
use crate::session::connect::Endpoint;
use crate::session::tls;

fn record(preference: u16, host: &str) -> Record {
    Record {
        preference,
        weight: 1,
        port: None,
        host: host.to_owned(),
    }
}

/// What a test has DNS say, and how often it was asked.
struct Script {
    say: mpsc::UnboundedSender<io::Result<Said>>,
    discovery: Arc<Discovery>,
}

fn script(source: Source) -> Script {
    let (say, said) = mpsc::unbounded_channel();
    let said = Mutex::new(said);
    let resolver = Resolver::scripted(move || said.lock().try_recv().map_err(io::Error::other)?);
    let roots = tls::Roots::from(rustls::RootCertStore::empty());
    let tls =
        Arc::new(tls::Client::new(&crate::settings::directory::Tls::new(), "example.org", &roots).unwrap());
    let make: Make = Box::new(move |host, port, is_backup| {
        Some(Remote {
            peer: format!("{host}:{port}{}", if is_backup { " backup" } else { "" }).into(),
            dial: Arc::new(Endpoint::Tcp(Host::new(host, port))),
            tls: tls.clone(),
            encryption: vouch_protocol::encryption::Encryption::Never,
            timeout: Duration::from_secs(1),
            password_in_clear: false,
            is_backup,
            chance: Chance::default(),
        })
    });
    let discovery = Discovery::new(source, resolver, Chance::default(), make);
    Script {
        say,
        discovery: Arc::new(discovery),
    }
}

fn mx() -> Script {
    script(Source::Mx {
        domain: "example.org".to_owned(),
        own_name: "us.example.org".to_owned(),
        port: 25,
    })
}

impl Script {
    async fn servers(&self) -> Result<Vec<String>, Error> {
        let servers = self.discovery.servers(&"mail".into()).await?;
        Ok(servers
            .iter()
            .map(|server| server.remote.peer.to_string())
            .collect())
    }

    fn says(&self, records: &[Record], ttl: u64) {
        let said = Said::Records(records.to_vec(), Duration::from_secs(ttl));
        self.say.send(Ok(said)).unwrap();
    }

    fn silent(&self) {
        self.say.send(Err(io::Error::other("it says SERVFAIL"))).unwrap();
    }

    fn ages(&self, time: Duration) {
        let mut state = self.discovery.state.lock();
        if let Some(found) = &mut state.found {
            found.at -= time;
        }
        state.failed = None;
    }
}

// Fills LEAST_TTL, LONGEST_TTL, discovery::RETRY.
#[tokio::test]
async fn an_answer_holds_for_its_ttl_and_serves_on_while_there_is_none() {
    let (a, b) = (record(10, "127.83.2"), record(10, "127.83.3"));
    for (ttl, holds) in [
        (0, LEAST_TTL),
        (60, Duration::from_secs(60)),
        (100_000, LONGEST_TTL),
    ] {
        let dns = mx();
        dns.silent();
        assert!(dns.servers().await.unwrap_err().to_string().contains("SERVFAIL"));
        dns.says(std::slice::from_ref(&a), ttl);
        assert!(dns.servers().await.is_err(), "it was asked just now");
        dns.ages(Duration::ZERO);
        assert_eq!(dns.servers().await.unwrap(), ["127.83.2:25"]);
        dns.ages(holds - Duration::from_secs(5));
        assert_eq!(
            dns.servers().await.unwrap(),
            ["127.83.2:25"],
            "not asked: it would say nothing"
        );
        dns.ages(Duration::from_secs(6));
        dns.silent();
        assert_eq!(dns.servers().await.unwrap(), ["127.83.2:25"]);
        assert!(dns.discovery.state.lock().silent.is_some());
        dns.ages(Duration::ZERO);
        dns.says(std::slice::from_ref(&b), ttl);
        // Nobody waits for it any more.
        let _ = dns.servers().await;
        drop(dns.discovery.turn.lock().await);
        assert_eq!(dns.servers().await.unwrap(), ["127.83.3:25"]);
        assert!(dns.discovery.state.lock().silent.is_none());
    }
}

#[tokio::test]
async fn what_dns_says_ends_what_it_said() {
    let dns = mx();
    dns.says(&[record(10, "127.83.2")], 60);
    assert_eq!(dns.servers().await.unwrap(), ["127.83.2:25"]);
    for (said, why) in [
        (Said::NoSuchName, "there are no such records"),
        (
            Said::Records(vec![record(0, ".")], Duration::ZERO),
            "takes no mail",
        ),
        (
            Said::Records(vec![record(0, "us.example.org")], Duration::ZERO),
            "this machine",
        ),
        (
            Said::Records(vec![record(0, "127.1")], Duration::ZERO),
            "this machine",
        ),
        (
            Said::Records(vec![record(0, "192.0.2.1")], Duration::ZERO),
            "not a host",
        ),
    ] {
        dns.ages(LONGEST_TTL);
        dns.say.send(Ok(said)).unwrap();
        let error = dns.servers().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.kind(), Kind::Config);
    }
}

// Fills OLD_RECORDS_WAIT.
#[tokio::test(start_paused = true)]
async fn a_silent_resolver_is_waited_for_once_where_there_were_records() {
    // Of these no address is looked up, which would take time of its own.
    let dns = script(Source::Srv("_imap._tcp.example.org".to_owned()));
    let service = Record {
        port: Some(143),
        ..record(0, "mail.example.org")
    };
    dns.says(&[service], 60);
    assert_eq!(dns.servers().await.unwrap(), ["mail.example.org:143"]);
    dns.ages(LONGEST_TTL);
    // A look-up that is under way, and comes to no end.
    let _turn = dns.discovery.turn.lock().await;
    for waited in [OLD_RECORDS_WAIT, Duration::ZERO] {
        let began = Instant::now();
        assert_eq!(dns.servers().await.unwrap(), ["mail.example.org:143"]);
        assert_eq!(began.elapsed(), waited);
    }
}

// Fills NOTHING_TTL.
#[tokio::test]
async fn that_there_is_nothing_holds_for_a_while() {
    let dns = script(Source::Srv("_imap._tcp.example.org".to_owned()));
    dns.say.send(Ok(Said::NoRecords)).unwrap();
    assert!(dns.servers().await.is_err());
    dns.ages(NOTHING_TTL - Duration::from_secs(1));
    dns.says(
        &[Record {
            port: Some(143),
            ..record(0, "mail.example.org")
        }],
        60,
    );
    assert!(dns.servers().await.is_err());
    dns.ages(Duration::from_secs(2));
    assert_eq!(dns.servers().await.unwrap(), ["mail.example.org:143"]);
}

#[tokio::test]
async fn a_backup_is_known_as_one_and_a_server_stays_the_same() {
    let dns = mx();
    let both = [record(10, "127.83.2"), record(20, "127.83.3")];
    dns.says(&both, 60);
    assert_eq!(
        dns.servers().await.unwrap(),
        ["127.83.2:25", "127.83.3:25 backup"]
    );
    let before = dns.discovery.servers(&"mail".into()).await.unwrap();
    dns.ages(LONGEST_TTL);
    dns.says(&both, 60);
    let after = dns.discovery.servers(&"mail".into()).await.unwrap();
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(one, other)| Arc::ptr_eq(one, other))
    );
    // The backup is the only one: it is none any more.
    dns.ages(LONGEST_TTL);
    dns.says(&both[1..], 60);
    assert_eq!(dns.servers().await.unwrap(), ["127.83.3:25"]);
}

#[tokio::test]
async fn the_server_of_a_later_service_stays_the_same() {
    let dns = script(Source::Srv("_imap._tcp.example.org".to_owned()));
    let service = |preference, host| Record {
        port: Some(143),
        ..record(preference, host)
    };
    let both = [service(10, "one.example"), service(20, "two.example")];
    dns.says(&both, 60);
    let before = dns.discovery.servers(&"mail".into()).await.unwrap();
    dns.ages(LONGEST_TTL);
    dns.says(&both, 60);
    let after = dns.discovery.servers(&"mail".into()).await.unwrap();
    assert_eq!(before.len(), 2);
    let mut pairs = before.iter().zip(&after);
    assert!(pairs.all(|(one, other)| Arc::ptr_eq(one, other)));
}

#[tokio::test]
async fn of_many_records_a_few_are_called() {
    let dns = mx();
    let many: Vec<_> = (0..12)
        .map(|number| record(number, &format!("127.83.{}", number + 2)))
        .collect();
    dns.says(&many, 60);
    let servers = dns.servers().await.unwrap();
    assert_eq!(servers.len(), MAX_SERVERS);
    assert_eq!(dns.discovery.not_called().await.len(), 12 - MAX_SERVERS);
}
