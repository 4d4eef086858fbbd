//! Handshakes with servers in memory, and certificates for them.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::HandshakeKind;
use rustls::pki_types::UnixTime;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::files::LONGEST_PEM;
use super::*;

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn own_params() -> CertificateParams {
    CertificateParams::new(vec!["mail.example.org".to_owned()]).unwrap()
}

/// A certificate, and so many authorities of one name, each of which may have issued it and any other.
pub(in crate::session) fn crossed(
    authorities: usize,
) -> (CertificateDer<'static>, Vec<CertificateDer<'static>>) {
    let all: Vec<_> = (0..authorities).map(|_| authority("crossed")).collect();
    let own = own_params()
        .signed_by(&KeyPair::generate().unwrap(), &all[0])
        .unwrap();
    (own.into(), all.iter().map(|one| one.der().clone()).collect())
}

/// A certificate and so many authorities, each issued by the next.
pub(in crate::session) fn line(
    authorities: usize,
) -> (CertificateDer<'static>, Vec<CertificateDer<'static>>) {
    let mut issuer = authority("last");
    let mut others = vec![issuer.der().clone()];
    for number in 1..authorities {
        let params = authority_params(&format!("authority {number}"));
        issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &issuer).unwrap();
        others.insert(0, issuer.der().clone());
    }
    let own = own_params()
        .signed_by(&KeyPair::generate().unwrap(), &issuer)
        .unwrap();
    (own.into(), others)
}

/// A server that renews its certificate and keeps the key of its tickets.
struct Server {
    authority: CertifiedIssuer<'static, KeyPair>,
    config: ServerConfig,
}

impl Server {
    /// A server that speaks this version.
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authority = authority("authority");
        let key = KeyPair::generate().unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own_params().signed_by(&key, &authority).unwrap().into()],
                private,
            )
            .unwrap();
        Self { authority, config }
    }

    /// What a client must trust.
    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        roots
    }

    /// With a certificate that ends so many seconds after 1970 began.
    fn config(&self, end: u64) -> Arc<ServerConfig> {
        self.with_others(end, Vec::new())
    }

    /// The same, and sends these behind it.
    fn with_others(&self, end: u64, others: Vec<CertificateDer<'static>>) -> Arc<ServerConfig> {
        let mut params = own_params();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = params.not_before + Duration::from_secs(end);
        let key = KeyPair::generate().unwrap();
        let mut chain = vec![params.signed_by(&key, &self.authority).unwrap().into()];
        chain.extend(others);
        self.showing(chain, &key)
    }

    /// That shows these certificates and signs with this key, whether they belong together or not.
    fn showing(&self, chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let keys = self.config.crypto_provider().key_provider;
        let key = keys.load_private_key(private).unwrap();
        let certified = rustls::sign::CertifiedKey::new(chain, key);
        let mut config = self.config.clone();
        config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        Arc::new(config)
    }
}

/// A clock that somebody sets, in seconds since 1970; and the threads that have asked it.
#[derive(Debug)]
struct Clock(AtomicU64, Mutex<HashSet<ThreadId>>);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.1.lock().insert(thread::current().id());
        let seconds = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A client that trusts these, and its clock.
fn client(roots: RootCertStore, seconds: u64) -> (Client, Arc<Clock>) {
    let keys = Tls {
        server_name: Some("mail.example.org".into()),
        ..Tls::new()
    };
    let mut client = Client::new(&keys, "mail.example.org", &Roots::from(roots)).unwrap();
    let clock = Arc::new(Clock(AtomicU64::new(seconds), Mutex::default()));
    client.clock = clock.clone();
    (client, clock)
}

/// One session with a server of this configuration, to its end: what the server saw of the handshake.
async fn session(client: &Client, server: &Arc<ServerConfig>) -> Result<HandshakeKind, Error> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let acceptor = TlsAcceptor::from(server.clone());
    let serving = tokio::spawn(async move {
        let mut stream = acceptor.accept(theirs).await.ok()?;
        let kind = stream.get_ref().1.handshake_kind();
        // Behind this the client has read the tickets.
        stream.write_all(b"*").await.ok()?;
        stream.read_u8().await.ok()?;
        kind
    });
    let soon = Instant::now() + Duration::from_secs(60);
    let (mut stream, _) = client
        .handshake(&"mail".into(), Box::new(ours), Begun::AtOnce, soon)
        .await?;
    assert_eq!(stream.read_u8().await.unwrap(), b'*');
    stream.write_all(b"*").await.unwrap();
    Ok(serving.await.unwrap().unwrap())
}

#[tokio::test]
async fn a_resumed_session_ends_with_the_certificate_that_it_was_begun_under() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = Server::new(version);
        let (client, clock) = client(server.roots(), 2 * DAY - 60);
        let first = server.config(2 * DAY);
        assert_ne!(session(&client, &first).await.unwrap(), HandshakeKind::Resumed);
        assert_eq!(session(&client, &first).await.unwrap(), HandshakeKind::Resumed);
        clock.0.store(2 * DAY, Ordering::Relaxed);
        assert_eq!(session(&client, &first).await.unwrap(), HandshakeKind::Resumed);
        // Its certificate is over, though its tickets are not.
        clock.0.store(2 * DAY + 1, Ordering::Relaxed);
        let error = session(&client, &first).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Tls);
        assert!(
            error.to_string().contains("its certificate ended on 1970-01-03"),
            "{error}"
        );
        // A new one begins anew, and is resumed in its turn.
        let next = server.config(9 * DAY);
        assert_ne!(session(&client, &next).await.unwrap(), HandshakeKind::Resumed);
        assert_eq!(session(&client, &next).await.unwrap(), HandshakeKind::Resumed);
    }
}

// Fills negotiate::AT_ONCE, BLOCKING_THREADS.
#[tokio::test]
async fn handshakes_are_worked_on_off_the_event_loop_and_one_at_a_time() {
    let server = Server::new(&rustls::version::TLS13);
    let config = server.config(2 * DAY);
    let (client, clock) = client(server.roots(), DAY);
    session(&client, &config).await.unwrap();
    let others = clock.1.lock().clone();
    assert!(
        others.iter().any(|&other| other != thread::current().id()),
        "{others:?}"
    );
    // While one is worked on, the next waits; it is another directory's that does not.
    let turn = client.turns.clone().acquire_owned().await.unwrap();
    let mut waiting = Box::pin(session(&client, &config));
    let (other, _) = self::client(server.roots(), DAY);
    tokio::select! {
        biased;
        done = &mut waiting => panic!("{done:?}"),
        done = session(&other, &config) => drop(done.unwrap()),
    }
    drop(turn);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_server_with_certificates_that_issue_each_other_is_refused_by_their_number() {
    let server = Server::new(&rustls::version::TLS13);
    let (client, _) = client(server.roots(), DAY);
    let said = async |others: usize| {
        let config = server.with_others(2 * DAY, crossed(others).1);
        session(&client, &config).await.map_err(|error| error.to_string())
    };
    let long = said(149).await.unwrap_err();
    assert!(
        long.contains("it sent 150 certificates, and no more than 10 are verified"),
        "{long}"
    );
    // Its own has a signature that counts, and no way through the others begins at it.
    assert!(said(9).await.is_ok());
}

#[tokio::test]
async fn a_fault_of_a_handshake_is_told_as_what_it_is() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = Server::new(version);
        // The year 2025.
        let (client, _) = client(server.roots(), 1_740_000_000);
        let said = async |params: CertificateParams, own_key: bool| {
            let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
            let chain = vec![params.signed_by(&key, &server.authority).unwrap().into()];
            let config = server.showing(chain, if own_key { &key } else { &other });
            session(&client, &config).await.unwrap_err()
        };
        // It shows a good certificate, and signs with the key of another.
        let error = said(own_params(), false).await;
        assert!(
            error.to_string().contains("the signature of its handshake"),
            "{error}"
        );
        assert!(!error.advice().contains("ca-file"), "{}", error.advice());
        // A megabyte of names.
        let names: Vec<_> = (0..3000)
            .map(|number| format!("host-{number}.very.long.example.org"))
            .collect();
        let error = said(CertificateParams::new(names).unwrap(), true).await;
        assert!(error.to_string().contains("longer than 64 KiB"), "{error}");
        assert!(!error.advice().contains("implicit"), "{}", error.advice());
        // A certificate as `openssl req -x509` makes it.
        let mut authority = own_params();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let error = said(authority, true).await;
        assert!(error.to_string().contains("authority (CA:TRUE)"), "{error}");
        // An authority of the same name and another key.
        let again = Server::new(version);
        let error = session(&client, &Arc::new(again.config)).await.unwrap_err();
        assert!(
            error.to_string().contains("no authority that this host trusts"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn cleartext_in_the_place_of_tls_is_told_as_what_it_is() {
    let server = Server::new(&rustls::version::TLS13);
    let (client, _) = client(server.roots(), DAY);
    let said = async |begun: Begun| {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs
            .write_all(b"220 mail.example.org \x1b[2J\r\n250 more\r\n")
            .await
            .unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        let shaken = client
            .handshake(&"mail".into(), Box::new(ours), begun, soon)
            .await;
        shaken.map(|_| ()).unwrap_err()
    };
    let error = said(Begun::AtOnce).await;
    let begins = "it begins with \"220 mail.example.org ?[2J\", which is not TLS";
    assert!(error.to_string().ends_with(begins), "{error}");
    assert!(
        error.advice().contains("tls.implicit = false"),
        "{}",
        error.advice()
    );
    let error = said(Begun::ByStartTls).await;
    assert!(
        error.to_string().contains("STARTTLS: unprotected bytes"),
        "{error}"
    );
    assert!(!error.advice().contains("implicit"), "{}", error.advice());
    assert_eq!(error.kind(), Kind::Tls);
}

#[test]
fn a_certificate_and_a_key_that_cannot_be_used_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let (ours, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    fs::write(&chain, own_params().self_signed(&ours).unwrap().pem()).unwrap();
    fs::write(&key, other.serialize_pem()).unwrap();
    let keys = Tls {
        server_name: Some("mail.example.org".into()),
        cert_file: Some(chain.clone()),
        key_file: Some(key.clone()),
        ..Tls::new()
    };
    let said = || {
        Client::new(&keys, "mail.example.org", &Roots::from(RootCertStore::empty()))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(
        said().ends_with("the key is not that of the certificate"),
        "{}",
        said()
    );
    let odd = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    fs::write(&key, odd).unwrap();
    assert!(
        said().contains("the key is of a kind that TLS does not take"),
        "{}",
        said()
    );
}

// Fills LONGEST_PEM.
#[test]
fn a_file_that_never_ends_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::File::create(&path).unwrap().set_len(LONGEST_PEM).unwrap();
    let said = |path: &Path| read_certificates("ca-file", path).unwrap_err().to_string();
    assert!(said(&path).contains("it holds no certificate in PEM"));
    for endless in [Path::new("/dev/zero"), &path] {
        fs::File::create(&path).unwrap().set_len(LONGEST_PEM + 1).unwrap();
        assert!(said(endless).ends_with("longer than 4 MiB"), "{}", said(endless));
    }
}

/// Tickets that the client has: sessions that are resumed one after another, if no new tickets are read.
async fn tickets(client: &Client, server: &Arc<ServerConfig>) -> usize {
    let mut resumed = 0;
    loop {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let accepted = tokio::spawn(TlsAcceptor::from(server.clone()).accept(theirs));
        let soon = Instant::now() + Duration::from_secs(60);
        let shaken = client
            .handshake(&"mail".into(), Box::new(ours), Begun::AtOnce, soon)
            .await;
        let _unread = shaken.unwrap();
        let accepted = accepted.await.unwrap().unwrap();
        if accepted.get_ref().1.handshake_kind() != Some(HandshakeKind::Resumed) {
            return resumed;
        }
        resumed += 1;
    }
}

// Fills FEW, MANY.
#[tokio::test]
async fn as_many_tickets_are_kept_as_sessions_are_opened_at_once() {
    let server = Server::new(&rustls::version::TLS13);
    let config = server.config(2 * DAY);
    let (client, _) = client(server.roots(), DAY);
    let client = client.with_sessions(3 * FEW);
    let all = async |client: &Client| {
        // Each handshake takes one and brings two.
        for _ in 0..4 * FEW {
            session(client, &config).await.unwrap();
        }
        tickets(client, &config).await
    };
    assert_eq!(all(&client).await, 3 * FEW);
    // The other servers of the directory leave room for five.
    let others = client.tickets.1.clone();
    let _others = others
        .acquire_many(u32::try_from(MANY - 5).unwrap())
        .await
        .unwrap();
    assert_eq!(all(&client).await, FEW + 5);
    assert_eq!(all(&client.again()).await, FEW + 5, "what was taken leaves room");
    let one = client.again().with_sessions(1);
    assert_eq!(all(&one).await, FEW);
}

// Fills HANDSHAKE_TIMEOUT.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs_is_given_up() {
    let keys = Tls {
        server_name: Some("mail.example.org".into()),
        ..Tls::new()
    };
    let client = Client::new(&keys, "mail.example.org", &Roots::from(RootCertStore::empty())).unwrap();
    let (ours, _theirs) = tokio::io::duplex(1 << 16);
    let began = Instant::now();
    let hour = began + Duration::from_secs(3600);
    let error = client
        .handshake(&"mail".into(), Box::new(ours), Begun::AtOnce, hour)
        .await;
    assert_eq!(error.err().map(|error| error.kind()), Some(Kind::Timeout));
    assert_eq!(began.elapsed(), HANDSHAKE_TIMEOUT);
}
