//! Where the cases are played: listeners and directories of a configuration, with thieves at the other end.

use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::{Authority, Identity};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use vouch::chance::Chance;
use vouch::config::read;
use vouch::daemon;
use vouch::server::handover::Handover;
use vouch::server::{Caller, Listener};
use vouch::session::Error;
use vouch::session::connect::{Dial, Dialled};

use super::thief::{Heard, Part, Thief};
use super::{Case, Mode, NONCE, PASSWORD, Protocol, SECRETS, TOKEN, Then};
use crate::traces::{find, holds};

/// More than any step of a case takes; time is paused.
const PATIENCE: Duration = Duration::from_secs(60);

/// All cases at once, a directory each.
pub(super) struct Stage<'a> {
    protocol: Protocol,
    mode: Mode,
    cases: &'a [Case],
    pub(super) heard: Vec<Arc<Mutex<Heard>>>,
    /// By the names of their listeners.
    listeners: Vec<(String, Arc<dyn Listener>)>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        protocol: Protocol,
        mode: Mode,
        authority: &Authority,
        identity: &Identity,
        cases: &'a [Case],
        keys: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        authority.write_pem(&ca_file).unwrap();
        let acceptor = TlsAcceptor::from(identity.config());
        let heard: Vec<Arc<Mutex<Heard>>> = cases.iter().map(|_| Arc::default()).collect();
        let thieves: Vec<Arc<Thief>> = cases
            .iter()
            .zip(&heard)
            .map(|(case, heard)| Arc::new(thief(protocol, mode, case, &acceptor, heard)))
            .collect();
        let text = configuration(protocol, mode, &ca_file, cases.len(), keys);
        let (config, _) = read::parse(Path::new("study.toml"), &text).unwrap();
        let called = thieves.clone();
        let members = daemon::members_by(
            &config,
            None,
            None,
            &Chance::default(),
            move |directory, remote| {
                let case: usize = directory.name.parse().unwrap();
                remote.dial = Arc::new(Elsewhere(called[case].clone()));
            },
        );
        let members = members.unwrap();
        let handover = Arc::new(Handover::new(1));
        let listeners = config
            .listener
            .iter()
            .map(|keys| {
                let listener = daemon::listener(keys, &members, &handover);
                (keys.name.clone(), listener)
            })
            .collect();
        Self {
            protocol,
            mode,
            cases,
            heard,
            listeners,
        }
    }

    pub(super) async fn play(&self, number: usize, trusted: bool) {
        let case = &self.cases[number];
        let when = format!(
            "{:?} {} {:?}, trusted: {trusted}",
            self.protocol, case.id, self.mode
        );
        let user = format!("jane@c{number}.example");
        if self.protocol != Protocol::Lmtp {
            let plain = format!("\0{user}\0{PASSWORD}");
            let bearer = format!("user={user}\u{1}auth=Bearer {TOKEN}\u{1}\u{1}");
            let scram = format!("n,,n={user},r={NONCE}");
            let later = format!("FAIL\t1\tuser={user}\ttemp\tcode=temp_fail\n");
            let no = format!("FAIL\t1\tuser={user}\n");
            let expected = case.login(self.mode, trusted).map_or(&later, |()| &no);
            for (mechanism, message, expected) in [
                ("PLAIN", plain, expected),
                ("XOAUTH2", bearer, &later),
                ("SCRAM-SHA-256", scram, &later),
            ] {
                let answer = self.login(number, mechanism, &message).await;
                assert_eq!(&answer, expected, "{mechanism}, {when}");
            }
        }
        if self.protocol != Protocol::Imap {
            let answer = self.recipient(number, &user).await;
            assert_eq!(answer, case.recipient(self.mode, trusted), "{when}");
        }
        self.check(number, trusted, &when);
    }

    /// What the remote heard.
    fn check(&self, number: usize, trusted: bool, when: &str) {
        let case = &self.cases[number];
        let heard = self.heard[number].lock().unwrap();
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(heard.calls > 0, "{when}: nobody called");
        for heard in [&heard.clear, &heard.hello] {
            assert_eq!(find(heard, &SECRETS), None, "{when}: {}", show(heard));
        }
        for verb in ["AUTH", "LOGIN", "HELO", "SELECT", "\r\n+", "DATA"] {
            assert!(
                !holds(&heard.clear, verb.as_bytes()),
                "{when}: {}",
                show(&heard.clear)
            );
        }
        let asked = matches!(case.then, Then::PassedOver | Then::AskedInVain)
            && trusted
            && matches!(self.mode, Mode::IfAvailable | Mode::Required)
            && self.protocol != Protocol::Lmtp;
        let told = find(&heard.inside, &[PASSWORD]);
        assert_eq!(told.is_some(), asked, "{when}: {}", show(&heard.inside));
        assert_eq!(
            find(&heard.inside, &[TOKEN, NONCE]),
            None,
            "{when}: {}",
            show(&heard.inside)
        );
        assert!(!holds(&heard.inside, b"SELECT"), "{when}");
    }

    pub(super) async fn login(&self, case: usize, mechanism: &str, message: &str) -> String {
        let mut client = self.connect(&format!("auth{case}"));
        let message = STANDARD.encode(message);
        let asked =
            format!("VERSION\t1\t2\nCPID\t1\nAUTH\t1\t{mechanism}\tservice=imap\tnologin\tresp={message}\n");
        client.write_all(asked.as_bytes()).await.unwrap();
        let said = heard_until(&mut client, |said| {
            said.split_once("\nDONE\n")
                .is_some_and(|(_, rest)| rest.ends_with('\n'))
        })
        .await;
        let (greeting, answer) = said.split_once("\nDONE\n").unwrap();
        assert!(greeting.starts_with("VERSION\t1\t"), "{greeting}");
        answer.to_owned()
    }

    pub(super) async fn recipient(&self, case: usize, recipient: &str) -> String {
        let mut client = self.connect(&format!("policy{case}"));
        let asked = format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\n\n");
        client.write_all(asked.as_bytes()).await.unwrap();
        heard_until(&mut client, |said| said.ends_with("\n\n")).await
    }

    fn connect(&self, listener: &str) -> DuplexStream {
        let (_, listener) = self.listeners.iter().find(|(name, _)| name == listener).unwrap();
        let (ours, theirs) = duplex(1 << 16);
        let caller = Caller {
            stream: Box::new(theirs),
            connection: 1,
            peer: None,
            draining: CancellationToken::new(),
            deaf: CancellationToken::new(),
        };
        tokio::spawn(listener.clone().serve(caller));
        ours
    }
}

/// All that a client is told, once that is enough. A remote that refuses is left alone for a moment: that passes first.
async fn heard_until(client: &mut DuplexStream, enough: impl Fn(&str) -> bool) -> String {
    let mut said = Vec::new();
    let reading = async {
        while !enough(&String::from_utf8_lossy(&said)) {
            assert!(client.read_buf(&mut said).await.unwrap() > 0, "closed");
        }
    };
    timeout(PATIENCE, reading).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    String::from_utf8(said).unwrap()
}

fn thief(
    protocol: Protocol,
    mode: Mode,
    case: &Case,
    acceptor: &TlsAcceptor,
    heard: &Arc<Mutex<Heard>>,
) -> Thief {
    let imap = protocol == Protocol::Imap;
    let lmtp = protocol == Protocol::Lmtp;
    let verb = |verb: &String| {
        if lmtp {
            verb.replace("EHLO", "LHLO")
        } else {
            verb.clone()
        }
    };
    let (offers, no) = if imap {
        (
            "IMAP4rev1 SASL-IR AUTH=PLAIN",
            [("AUTHENTICATE", "{tag} NO [AUTHENTICATIONFAILED] no")].as_slice(),
        )
    } else {
        (
            "AUTH PLAIN",
            [("AUTH", "535 5.7.8 no"), ("RCPT", "550 5.1.1 no")].as_slice(),
        )
    };
    let mut inside = case.inside.clone();
    inside.extend(
        no.iter()
            .map(|(verb, reply)| ((*verb).to_owned(), (*reply).to_owned())),
    );
    Thief {
        clear: Part {
            imap,
            greeting: case.greeting.clone(),
            offers: case.offers.clone(),
            replies: case
                .replies
                .iter()
                .map(|(to, reply)| (verb(to), reply.clone()))
                .collect(),
        },
        inside: Part {
            imap,
            greeting: String::new(),
            offers: offers.into(),
            replies: inside,
        },
        first_inside: case.first_inside.clone(),
        acceptor: acceptor.clone(),
        implicit: mode == Mode::Implicit,
        heard: heard.clone(),
    }
}

fn configuration(protocol: Protocol, mode: Mode, ca_file: &Path, cases: usize, keys: &str) -> String {
    let kind = match protocol {
        Protocol::Imap => "imap",
        Protocol::Smtp => "smtp",
        Protocol::Lmtp => "lmtp",
    };
    let directories: String = (0..cases)
        .map(|case| {
            format!(
                "[directory.{case}]\ntype = \"{kind}\"\n{keys}\nlookup.domains = [\"c{case}.example\"]\n\
                 tls.ca-file = \"{}\"\n{}\npool.warm-sessions = 0\ncache.entries = 0\n",
                ca_file.display(),
                mode.keys()
            )
        })
        .collect();
    let listener = |case: usize, protocol: &str, keys: &str| {
        format!(
            "[listener.{protocol}{case}]\nprotocol = \"{protocol}\"\nsocket = \"/run/vouch/{protocol}{case}\"\n\
             deadline = \"5s\"\ndirectory = [\"{case}\"]\n{keys}\n"
        )
    };
    let mut text = directories;
    for case in 0..cases {
        if protocol != Protocol::Lmtp {
            let mechanisms = "mechanisms = [\"PLAIN\", \"XOAUTH2\", \"SCRAM-SHA-256\"]";
            text += &listener(case, "auth", mechanisms);
        }
        if protocol != Protocol::Imap {
            text += &listener(case, "policy", "");
        }
    }
    text
}

/// Another machine, which the thief answers for.
struct Elsewhere(Arc<Thief>);

impl Dial for Elsewhere {
    fn dial<'a>(
        &'a self,
        _: &'a Arc<str>,
        _: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(self.0.clone().serve(Box::new(theirs)));
        let stream = Box::new(ours);
        Box::pin(ready(Ok(Dialled {
            stream,
            reached: None,
        })))
    }
}
