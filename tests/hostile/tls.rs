//! TLS to the remote as `vouch serve` does it: whom it must be, that no password leaves while it is not, and what the
//! log says of it. The many ways to go about it are in `study`.

use std::future::{Future, ready};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote::{Authority, Fault, Identity, Listen, Options, Protocol, Security, Server};
use rustls::RootCertStore;
use tokio::time::Instant;
use vouch::config::read;
use vouch::daemon;
use vouch::session::connect::{Dial, Dialled};
use vouch::session::dns::Resolver;
use vouch::session::imap::LoginSession;
use vouch::session::smtp::Hello;
use vouch::session::smtp::auth::{AuthSession, InTwo};
use vouch::session::{Attempt, Credentials, Error, Kind, Login, Session};
use vouch::settings::directory::{Auth, LoginMethod};
use vouch_protocol::secret::Secret;
use vouch_protocol::smtp::Protocol as SmtpProtocol;

use crate::asker::Answer::{self, Later, Yes};
use crate::scene::{JANE, PASSWORD, Scene, Setup, options};

const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Smtp, Protocol::Lmtp];

/// An authority and the file that a directory names to trust it.
struct Trust {
    authority: Authority,
    ca_file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Trust {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        authority.write_pem(&ca_file).unwrap();
        Self {
            authority,
            ca_file,
            _folder: folder,
        }
    }

    fn good(&self) -> Identity {
        self.authority.issue(&["localhost", "127.0.0.1"]).unwrap()
    }

    /// A daemon that trusts this authority, before a remote with such TLS.
    async fn scene(&self, protocol: Protocol, security: Security, keys: &str) -> Scene {
        let implicit = matches!(security, Security::Implicit(_));
        let options = Options {
            security,
            ..options(protocol)
        };
        let trust = format!(
            "tls.ca-file = \"{}\"\ntls.implicit = {implicit}\n{keys}",
            self.ca_file.display()
        );
        Setup::new(options)
            .address("localhost")
            .directory(&trust)
            .listeners("deadline = \"5s\"")
            .start()
            .await
    }
}

/// Every question that this remote can be asked.
async fn ask(scene: &Scene, protocol: Protocol) -> Vec<Answer> {
    let mut answers = Vec::new();
    if protocol != Protocol::Lmtp {
        answers.push(scene.login(JANE, PASSWORD).await);
    }
    if protocol != Protocol::Imap {
        answers.push(scene.recipient(JANE).await);
    }
    answers
}

/// Nothing was asked, and nothing secret was sent.
fn assert_untold(scene: &Scene, when: &str) {
    for verb in ["AUTHENTICATE", "LOGIN", "AUTH", "MAIL", "RCPT"] {
        assert_eq!(scene.remote.count(verb), 0, "{verb} {when}");
    }
    for session in scene.remote.sessions() {
        let told = session.commands.join("\n");
        assert!(!told.contains(PASSWORD), "{when}: {told}");
    }
}

async fn assert_later(scene: &Scene, protocol: Protocol, when: &str) {
    for answer in ask(scene, protocol).await {
        assert_eq!(answer, Later, "{protocol:?} {when}");
    }
    assert_untold(scene, &format!("{protocol:?} {when}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_with_a_good_certificate_is_asked_over_tls() {
    let trust = Trust::new();
    for protocol in PROTOCOLS {
        for (security, keys) in [
            (Security::Implicit(trust.good()), ""),
            (Security::Implicit(trust.good().tls12_only().unwrap()), ""),
            (Security::StartTls(trust.good()), ""),
            (Security::StartTls(trust.good()), "tls.starttls = \"required\""),
            (Security::StartTls(trust.good()), "tls.key-exchange = \"classic\""),
        ] {
            let scene = trust.scene(protocol, security, keys).await;
            for answer in ask(&scene, protocol).await {
                assert_eq!(answer, Yes, "{protocol:?} {keys}");
            }
            for session in scene.remote.sessions() {
                assert!(session.tls, "{session:?}");
                assert_eq!(session.server_name.as_deref(), Some("localhost"));
            }
            assert!(
                scene.remote.violations().is_empty(),
                "{:?}",
                scene.remote.violations()
            );
        }
    }
}

/// By what went wrong: the certificate, the words in the log that help, and whether a directory that takes any
/// certificate is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_with_a_bad_certificate_is_told_nothing() {
    let trust = Trust::new();
    let names = ["localhost", "127.0.0.1"];
    let bad = [
        (
            "wrong name",
            trust.authority.issue(&["other.test"]).unwrap(),
            "tls.server-name",
        ),
        (
            "unknown authority",
            Authority::new().unwrap().issue(&names).unwrap(),
            "no authority that this host trusts has signed its certificate",
        ),
        (
            "expired",
            trust.authority.expired(&names).unwrap(),
            "must renew it",
        ),
        (
            "self-signed",
            Identity::self_signed(&names).unwrap(),
            "no authority that this host trusts has signed its certificate",
        ),
    ];
    for protocol in PROTOCOLS {
        for (name, identity, hint) in &bad {
            for security in [
                Security::Implicit(identity.clone()),
                Security::StartTls(identity.clone()),
            ] {
                let scene = trust.scene(protocol, security, "").await;
                assert_later(&scene, protocol, name).await;
                let line = scene.logged("verdict=defer").await;
                assert!(line.contains("cause=tls"), "{name}: {line}");
                let told = scene.logged(" class=tls ").await;
                assert!(told.contains(hint), "{name}: {told}");
            }
        }
    }
    for (name, identity, _) in bad {
        let keys = "tls.allow-invalid-certs = true";
        let scene = trust
            .scene(Protocol::Imap, Security::Implicit(identity), keys)
            .await;
        assert_eq!(ask(&scene, Protocol::Imap).await, [Yes], "{name}");
    }
}

/// What `openssl req -x509` makes is an authority and the server's own certificate. An administrator who names it in
/// `ca-file` means it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_making_is_taken_as_itself() {
    let trust = Trust::new();
    let own = Identity::own_authority(&["localhost"]).unwrap();
    let others = Identity::own_authority(&["localhost"]).unwrap();
    let misnamed = Identity::own_authority(&["other.test"]).unwrap();
    let named: String = [&own, &misnamed].map(|identity| identity.pem().0).concat();
    std::fs::write(&trust.ca_file, named).unwrap();
    for protocol in PROTOCOLS {
        for identity in [own.clone(), own.tls12_only().unwrap()] {
            let scene = trust.scene(protocol, Security::Implicit(identity), "").await;
            for answer in ask(&scene, protocol).await {
                assert_eq!(answer, Yes, "{protocol:?}");
            }
        }
        for (what, identity) in [
            ("another's", others.clone()),
            ("for another name", misnamed.clone()),
            ("shown by a thief", own.stolen().unwrap()),
        ] {
            let scene = trust.scene(protocol, Security::Implicit(identity), "").await;
            assert_later(&scene, protocol, what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stripped_starttls_ends_the_session() {
    let trust = Trust::new();
    for protocol in PROTOCOLS {
        let scene = trust
            .scene(protocol, Security::None, "tls.starttls = \"required\"")
            .await;
        assert_later(&scene, protocol, "STARTTLS not offered").await;
        let line = scene.logged("verdict=defer").await;
        assert!(line.contains("does not offer STARTTLS"), "{line}");
    }
}

/// Bytes after the answer to STARTTLS came from an attacker in between (CVE-2011-0411 and similar).
#[tokio::test(flavor = "multi_thread")]
async fn bytes_injected_before_tls_end_the_session() {
    let trust = Trust::new();
    for protocol in PROTOCOLS {
        let reply = match protocol {
            Protocol::Imap => "{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN",
            _ => "220 go\r\n250 injected",
        };
        let scene = trust.scene(protocol, Security::StartTls(trust.good()), "").await;
        scene.remote.set_fault(Fault::reply_with("STARTTLS", reply));
        assert_later(&scene, protocol, "injected").await;
        let line = scene.logged("verdict=defer").await;
        assert!(line.contains("cause=tls") && line.contains("injected"), "{line}");
        // The right answer as soon as nobody sits between.
        scene.remote.set_fault(Fault::None);
        for answer in ask(&scene, protocol).await {
            assert_eq!(answer, Yes);
        }
    }
}

/// A way to a remote in memory.
struct Elsewhere {
    server: Server,
    sessions: Mutex<Vec<tokio::task::JoinHandle<remote::SessionLog>>>,
}

impl Dial for Elsewhere {
    fn dial<'a>(
        &'a self,
        _: &'a Arc<str>,
        _: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        let (ours, theirs) = tokio::io::duplex(4096);
        let session = tokio::spawn(self.server.serve(theirs));
        self.sessions.lock().unwrap().push(session);
        Box::pin(ready(Ok(Dialled {
            stream: Box::new(ours),
            reached: None,
        })))
    }
}

/// Asks one login of a remote that the configuration has at this address; the kind of error if there is no answer, and
/// how many logins the remote saw.
async fn login_at(protocol: Protocol, address: &str, allow_cleartext: bool) -> (Option<Kind>, u64) {
    let options = Options {
        listen: Listen::Nowhere,
        ..options(protocol)
    };
    let dial = Arc::new(Elsewhere {
        server: Server::start(options).unwrap(),
        sessions: Mutex::default(),
    });
    let kind = if protocol == Protocol::Imap {
        "imap"
    } else {
        "smtp"
    };
    let text = format!(
        "[directory.mail]\ntype = \"{kind}\"\naddress = \"{address}\"\nauth.allow-cleartext = {allow_cleartext}\n"
    );
    let (config, _) = read::parse(Path::new("vouch.toml"), &text).unwrap();
    let directory = &config.directory[0];
    let promised = directory.password_in_clear(&directory.address.servers()[0]);
    let roots = RootCertStore::empty().into();
    let servers = daemon::servers_by(directory, &roots, &Resolver::default(), |remote| {
        remote.dial = dial.clone();
    })
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let login = Login {
        attempt: Attempt::Password(Credentials {
            user: JANE.into(),
            password: Secret::copy_from(PASSWORD.as_bytes()),
        }),
        origin: None,
    };
    let failed = if protocol == Protocol::Imap {
        let mut session = LoginSession::open(&servers, &Auth::new(), deadline)
            .await
            .unwrap();
        session
            .ask(std::slice::from_ref(&login), &mut |_| (), deadline)
            .await
            .err()
    } else {
        let hello = Hello {
            protocol: SmtpProtocol::Smtp,
            name: "vouch.example.net".to_owned(),
        };
        let mut session = AuthSession::open(
            &servers,
            &Arc::new(hello),
            LoginMethod::Auto,
            InTwo::default(),
            deadline,
        )
        .await
        .unwrap();
        session
            .ask(std::slice::from_ref(&login), &mut |_| (), deadline)
            .await
            .err()
    };
    let asked = dial.server.count("AUTHENTICATE") + dial.server.count("AUTH");
    assert_eq!(asked > 0, promised, "{address}: what `vouch check` says of it");
    (failed.map(|error| error.kind()), asked)
}

#[tokio::test]
async fn a_password_goes_over_cleartext_only_within_this_machine_or_when_allowed() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        for elsewhere in [
            "mail.example.org", "ip6-localhost", "localhost.example.org", "192.0.2.7", "2001:db8::7",
        ] {
            assert_eq!(
                login_at(protocol, elsewhere, false).await,
                (Some(Kind::Config), 0),
                "{elsewhere}"
            );
            assert_eq!(
                login_at(protocol, elsewhere, true).await,
                (None, 1),
                "{elsewhere}"
            );
        }
        for here in [
            "localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1",
        ] {
            assert_eq!(login_at(protocol, here, false).await, (None, 1), "{here}");
        }
    }
}
