//! Logins by IMAP that nothing is remembered of, against everybody else who asks an IMAP server.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Authority, Options, Protocol, Security};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vouch::session::tls;
use vouch::settings::directory::KeyExchange;

use crate::clients::{auth_load, saslauthd_load};
use crate::stage::{PASSWORD, Stage, median, options, rate, user};
use crate::support::Scratch;
use crate::table::{Goal, Table, short};
use crate::yardsticks;

/// `pool.max-sessions`, and what is granted to the yardsticks.
const SESSIONS: usize = 10;
/// Logins that wait at once.
const AT_ONCE: usize = 20;
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(1);

pub(crate) fn measure(table: &mut Table) {
    plain(table);
    with_tls(table);
}

/// Logins a second in turns: of vouch, and of who is compared with it.
struct Turns {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Turns {
    fn of(mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) -> Self {
        // The first turn of each warms it up.
        ours();
        theirs();
        let (mut turns, mut others) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            turns.push(ours());
            others.push(theirs());
        }
        Self {
            ours: turns,
            theirs: others,
        }
    }

    fn row(self, table: &mut Table, what: &'static str, goal: f64, name: &str) {
        let ratio = median(
            self.ours
                .iter()
                .zip(&self.theirs)
                .map(|(ours, theirs)| ours / theirs)
                .collect(),
        );
        let seen = format!(
            "{} logins/s, {name} {}",
            short(median(self.ours)),
            short(median(self.theirs))
        );
        table.row(what, Goal::AtLeast(goal), ratio, "", seen);
    }
}

fn plain(table: &mut Table) {
    let stage = Stage::new(options(Protocol::Imap), "auth", "", "");
    let (port, runtime) = (stage.remote.port(), &stage.runtime);
    let ours = || runtime.block_on(auth_load(&stage.listener("auth"), AT_ONCE, TURN));
    let what = "logins by IMAP, no TLS: logins/s against Dovecot `passdb imap`";
    match yardsticks::missing(&["dovecot"]) {
        Some(why) => table.skipped(what, Goal::AtLeast(3.0), why),
        None => {
            let scratch = Scratch::new();
            let _dovecot = yardsticks::dovecot(&scratch, port, None);
            let theirs = || runtime.block_on(auth_load(&scratch.path("auth"), AT_ONCE, TURN));
            Turns::of(ours, theirs).row(table, what, 3.0, "Dovecot");
        }
    }
    let what = "the same against `saslauthd -a rimap`";
    match yardsticks::missing(&["saslauthd"]) {
        Some(why) => table.skipped(what, Goal::AtLeast(1.2), why),
        None => {
            let scratch = Scratch::new();
            let _saslauthd = yardsticks::saslauthd(&scratch, port, SESSIONS);
            let theirs = || runtime.block_on(saslauthd_load(&scratch.path("mux"), AT_ONCE, TURN));
            Turns::of(ours, theirs).row(table, what, 1.2, "saslauthd");
        }
    }
    let theirs = || runtime.block_on(bare_client(port, None));
    let what = "the same against a bare client that opens one session for each login";
    Turns::of(ours, theirs).row(table, what, 0.85, "bare");
}

fn with_tls(table: &mut Table) {
    let (scratch, authority) = (Scratch::new(), Authority::new().unwrap());
    let ca_file: PathBuf = scratch.path("ca.pem");
    authority.write_pem(&ca_file).unwrap();
    let options = Options {
        security: Security::Implicit(authority.issue(&["localhost"]).unwrap()),
        ..options(Protocol::Imap)
    };
    let tls = format!("tls = {{ implicit = true, ca-file = \"{}\" }}", ca_file.display());
    let stage = Stage::new(options, "auth", &tls, "");
    let (port, runtime) = (stage.remote.port(), &stage.runtime);
    let ours = || runtime.block_on(auth_load(&stage.listener("auth"), AT_ONCE, TURN));
    let what = "logins by IMAP with TLS: logins/s against Dovecot `passdb imap` with TLS";
    match yardsticks::missing(&["dovecot"]) {
        Some(why) => table.skipped(what, Goal::AtLeast(3.8), why),
        None => {
            let _dovecot = yardsticks::dovecot(&scratch, port, Some(&ca_file));
            let theirs = || runtime.block_on(auth_load(&scratch.path("auth"), AT_ONCE, TURN));
            Turns::of(ours, theirs).row(table, what, 3.8, "Dovecot");
        }
    }
    let connector = connector(&authority);
    let theirs = || runtime.block_on(bare_client(port, Some(connector.clone())));
    let what = "the same against a bare client with TLS that opens one session for each login";
    Turns::of(ours, theirs).row(table, what, 0.85, "bare");
}

/// Trusts the authority, offers the same groups and suites as vouch, and resumes sessions.
pub(crate) fn connector(authority: &Authority) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(tls::provider(KeyExchange::Hybrid));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Good logins a second of clients that connect, log in and hang up.
async fn bare_client(port: u16, tls: Option<TlsConnector>) -> f64 {
    let (count, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let clients = (0..SESSIONS).map(|_| {
        let (count, next, tls) = (count.clone(), next.clone(), tls.clone());
        tokio::spawn(async move {
            while began.elapsed() < TURN {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = next.fetch_add(1, Ordering::Relaxed);
                match &tls {
                    None => drop(log_in(stream, number).await),
                    Some(tls) => {
                        let name = ServerName::try_from("localhost").unwrap();
                        log_in(tls.connect(name, stream).await.unwrap(), number).await;
                    }
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    rate(count.load(Ordering::Relaxed), began)
}

/// Logs in on a connection that was just made; the time from the command to its answer.
pub(crate) async fn log_in(stream: impl AsyncRead + AsyncWrite, number: usize) -> Duration {
    let (reading, mut writing) = tokio::io::split(stream);
    let mut lines = BufReader::new(reading).lines();
    let greeting = lines.next_line().await.unwrap().unwrap();
    assert!(greeting.starts_with("* OK"), "{greeting}");
    let message = BASE64_STANDARD.encode(format!("\0{}\0{PASSWORD}", user(number)));
    let asked = Instant::now();
    writing
        .write_all(format!("a AUTHENTICATE PLAIN {message}\r\n").as_bytes())
        .await
        .unwrap();
    writing.flush().await.unwrap();
    loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if line.starts_with("a ") {
            assert!(line.starts_with("a OK"), "{line}");
            return asked.elapsed();
        }
    }
}
