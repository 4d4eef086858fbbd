//! An hour in the life of a daemon that has trouble with its remotes.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::{Account, Fault, Options, Protocol, Server, State, options::Listen};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use vouch::chance::Chance;
use vouch::config::{Config, read};
use vouch::daemon::{self, status};
use vouch::engine::CachedDirectory;
use vouch::metrics::{Served, http};
use vouch::server::admission::{Admission, Descriptors};
use vouch::server::handover::Handover;
use vouch::server::{Caller, Listener, Socket};
use vouch::session::connect::{Dial, Dialled};
use vouch::session::{Error, Kind};

/// The user who is asked about by name; of the others there are many.
pub(crate) const JANE: &str = "jane.doe@example.org";

/// A word that a remote says with every temporary failure.
pub(crate) const SECRETIVE: &str = "mailbox of that user is busy";

/// Mailboxes besides.
const PEOPLE: usize = 4000;

/// From one round of questions to the next.
const ROUND: Duration = Duration::from_secs(10);

/// What listeners and directories are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) recipients: &'static str,
    pub(crate) logins: &'static str,
    pub(crate) mailboxes: &'static str,
    pub(crate) imap: &'static str,
    pub(crate) spare: &'static str,
}

/// What administrators call them.
pub(crate) const SENSIBLE: Names = Names {
    recipients: "recipients",
    logins: "logins",
    mailboxes: "mailboxes",
    imap: "imap-berlin",
    spare: "archive",
};

/// What nobody should.
pub(crate) const HOSTILE: Names = Names {
    recipients: "<script>alert(1)</script>",
    logins: "\"onmouseover='alert(2)' x=\"",
    mailboxes: "</style><style>*{display:none}",
    imap: "&lt;b&gt; & \u{202e}evil\u{202c} abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    spare: "--><img src=x onerror=alert(3)>",
};

impl Names {
    fn config(&self) -> Config {
        let quoted = |name: &str| serde_json::json!(name).to_string();
        let Names {
            recipients,
            logins,
            mailboxes,
            imap,
            spare,
        } = self;
        let directory = |name: &str, kind: &str, host: &str, domain: &str| {
            format!(
                "[directory.{}]\ntype = \"{kind}\"\naddress = \"{host}\"\nlookup.domains = [\"{domain}\"]\n",
                quoted(name)
            )
        };
        let text = [
            directory(mailboxes, "lmtp", "mail.example.org", "example.org"),
            "tls.starttls = \"never\"\nlookup.canary = [\"postmaster@example.org\"]\n".to_owned(),
            directory(imap, "imap", "127.0.0.1", "example.org"),
            "tls.starttls = \"never\"\n".to_owned(),
            directory(spare, "smtp", "archive.example.net", "example.net"),
            "tls.allow-invalid-certs = true\n".to_owned(),
            format!(
                "[listener.{}]\nprotocol = \"policy\"\nsocket = \"/var/spool/postfix/vouch/policy\"\ndirectory = [{}, {}]\n",
                quoted(recipients),
                quoted(mailboxes),
                quoted(spare)
            ),
            format!(
                "[listener.{}]\nprotocol = \"auth\"\nsocket = \"/var/spool/postfix/vouch/auth\"\ndirectory = [{}]\n",
                quoted(logins),
                quoted(imap)
            ),
        ];
        read::parse(Path::new("page.toml"), &text.concat()).unwrap().0
    }
}

/// A daemon and its remotes, all in memory.
pub(crate) struct Hour {
    pub(crate) served: Arc<Served>,
    mailboxes: Remote,
    imap: Remote,
    recipients: Client,
    logins: Client,
    chance: u64,
    asked: usize,
    /// What keeps on watching ends with it.
    _daemon: watch::Sender<Arc<status::Daemon>>,
}

#[derive(Clone)]
struct Remote {
    server: Arc<Server>,
    is_down: Arc<AtomicBool>,
}

impl Hour {
    /// It has just started.
    pub(crate) async fn new(names: &Names) -> Self {
        let config = names.config();
        let (mailboxes, imap) = (Remote::new(Protocol::Lmtp), Remote::new(Protocol::Imap));
        let remotes = [mailboxes.clone(), imap.clone()];
        let names: Vec<_> = config.directory.iter().map(|it| it.name.clone()).collect();
        let members = daemon::members_by(
            &config,
            None,
            None,
            &Chance::default(),
            move |directory, remote| {
                let at = names.iter().position(|name| *name == directory.name).unwrap();
                remote.dial = Arc::new(remotes[at.min(1)].clone());
            },
        )
        .unwrap();
        let (listeners, shown) = listeners(&config, &members);
        let [recipients, logins] = &listeners[..] else {
            panic!()
        };
        let (recipients, mut logins) = (Client::of(recipients, 1), Client::of(logins, 2));
        logins
            .ask("VERSION\t1\t2\nCPID\t7\n", |line| line == "DONE")
            .await;
        let started = std::time::Instant::now();
        let daemon = status::Daemon {
            fleet: None,
            started: started
                .checked_sub(Duration::from_secs(3 * 86_400 + 18_000))
                .unwrap_or(started),
            draining: CancellationToken::new(),
            configured: started,
            refused: None,
            listeners: shown,
            directories: status::Remote::all(&config, &members),
            troubles: status::Troubles::default(),
        };
        let (reporting, daemon) = watch::channel(Arc::new(daemon));
        let served = Arc::new(Served::new(status::reports(daemon)));
        let keeping = served.clone();
        tokio::spawn(async move { keeping.keep().await });
        Self {
            served,
            mailboxes,
            imap,
            recipients,
            logins,
            chance: 7,
            asked: 0,
            _daemon: reporting,
        }
    }

    /// Lets time pass in which much is asked. The mailboxes are not there for some minutes and slow for some others,
    /// somebody tries out names, and the server of the logins goes away for good a quarter of an hour before the end.
    pub(crate) async fn pass(&mut self, minutes: u64) {
        let rounds = minutes * 60 / ROUND.as_secs();
        let begin = Instant::now();
        for round in 0..rounds {
            let left = (rounds - round) * ROUND.as_secs() / 60;
            self.mailboxes
                .is_down
                .store((33..38).contains(&left), Ordering::Relaxed);
            self.imap.is_down.store(left < 16, Ordering::Relaxed);
            let slow = (20..26).contains(&left);
            let fault = if slow {
                Fault::Late(Duration::from_millis(350))
            } else {
                Fault::None
            };
            self.mailboxes.server.set_fault(fault);
            self.round(round, (8..13).contains(&left)).await;
            sleep_until(begin + ROUND * (round as u32 + 1)).await;
        }
    }

    async fn round(&mut self, round: u64, is_tried_out: bool) {
        let wave = (round as f64 / 40.0).sin();
        let questions = 26 + (14.0 * wave) as usize + self.among(9);
        for _ in 0..questions {
            let recipient = match self.among(100) {
                0..60 => format!("u{}@example.org", self.among(300)),
                60..92 => format!("u{}@example.org", self.among(PEOPLE)),
                92 => JANE.to_owned(),
                93..95 => format!("nobody{}@example.org", self.among(1000)),
                95 => "busy@example.org".to_owned(),
                _ => "someone@example.com".to_owned(),
            };
            self.recipient(&recipient).await;
        }
        if is_tried_out {
            for guess in 0..24 {
                self.recipient(&format!("guess{guess}.{round}@example.org")).await;
            }
        }
        for login in 0..2 + self.among(4) {
            let user = format!("u{}@example.org", self.among(PEOPLE));
            self.login(&user, if login == 3 { "wrong" } else { "right" })
                .await;
        }
    }

    async fn recipient(&mut self, recipient: &str) {
        self.asked += 1;
        let (port, instance) = (1024 + self.asked % 60_000, self.asked);
        let request = format!(
            "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\nclient_port={port}\n\
             instance={instance}\nrecipient={recipient}\n\n"
        );
        self.recipients.ask(&request, str::is_empty).await;
    }

    async fn login(&mut self, user: &str, password: &str) {
        self.asked += 1;
        let id = self.asked;
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        // Each from elsewhere: a listener bears few refusals of one client.
        let rip = format!("127.0.{}.{}", id / 250 % 250, id % 250);
        let request = format!("AUTH\t{id}\tPLAIN\tservice=imap\trip={rip}\tresp={response}\n");
        self.logins
            .ask(&request, |line| line.contains(&format!("\t{id}")))
            .await;
    }

    /// A number below this one, the same in every run.
    fn among(&mut self, below: usize) -> usize {
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) as usize % below
    }

    /// Serves it on a free port of 127.0.0.1, in real time from here on.
    pub(crate) async fn serve(&self) -> u16 {
        tokio::time::resume();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(http::serve(Socket::Tcp(listener), self.served.clone()));
        port
    }
}

impl Remote {
    fn new(protocol: Protocol) -> Self {
        let mut options = Options::new(protocol);
        options.listen = Listen::Nowhere;
        options.record = false;
        options.limits.recipients = None;
        options.delays.reply = Duration::from_millis(4);
        let people = (0..PEOPLE).map(|number| {
            let mut account = Account::new(&format!("u{number}@example.org"), "right");
            account.delay = Duration::from_micros(500 + (number as u64 % 97) * 180);
            account
        });
        options.accounts.extend(people);
        let busy = State::Says(format!("451 4.3.0 <busy@example.org> {SECRETIVE}"));
        options
            .accounts
            .push(Account::new("busy@example.org", "right").state(busy));
        for name in [JANE, "postmaster@example.org"] {
            options.accounts.push(Account::new(name, "right"));
        }
        Self {
            server: Arc::new(Server::start(options).unwrap()),
            is_down: Arc::default(),
        }
    }
}

impl Dial for Remote {
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        _: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async move {
            sleep(Duration::from_millis(2)).await;
            if self.is_down.load(Ordering::Relaxed) {
                self.server.hang_up(false);
                return Err(Error::new(
                    Kind::Unreachable,
                    peer,
                    "connect",
                    "connection refused",
                ));
            }
            let (ours, theirs) = duplex(1 << 16);
            tokio::spawn(self.server.serve(theirs));
            Ok(Dialled {
                stream: Box::new(ours),
                reached: None,
            })
        })
    }
}

type Listeners = (Vec<Arc<dyn Listener>>, Vec<status::Listener>);

fn listeners(config: &Config, members: &[Arc<CachedDirectory>]) -> Listeners {
    let handover = Arc::new(Handover::new(4711));
    let mut all = Listeners::default();
    for keys in &config.listener {
        let listener = daemon::listener(keys, members, &handover);
        let most = keys.max_connections as usize;
        let admission = Arc::new(Admission::new(&keys.name, most, None, Descriptors::new(most)));
        all.1
            .push(status::Listener::new(keys, admission, listener.counts()));
        all.0.push(listener);
    }
    all
}

/// A client of a listener.
struct Client(BufReader<DuplexStream>);

impl Client {
    fn of(listener: &Arc<dyn Listener>, connection: u64) -> Self {
        let (ours, theirs) = duplex(1 << 16);
        let caller = Caller {
            stream: Box::new(theirs),
            connection,
            peer: None,
            draining: CancellationToken::new(),
            deaf: CancellationToken::new(),
        };
        tokio::spawn(listener.clone().serve(caller));
        Self(BufReader::new(ours))
    }

    /// Sends a request, and reads up to the line that ends its answer.
    async fn ask(&mut self, request: &str, ends: impl Fn(&str) -> bool) {
        self.0.write_all(request.as_bytes()).await.unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.0.read_line(&mut line).await.unwrap(),
                0,
                "hung up on after {request}"
            );
            if ends(line.trim_end_matches('\n')) {
                return;
            }
        }
    }
}
