//! What a hostile or broken remote costs those who ask elsewhere.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use remote::Protocol;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::clients::{ask, policy_request};
use crate::stage::{PASSWORD, Stage, median, options, runtime, user};
use crate::support::{Scratch, Vouch};
use crate::table::{Goal, Table};

/// How often with and without is measured, in turns, and for how long.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(2);

/// Directories whose names nobody answers for.
const SILENT: usize = 40;

pub(crate) fn measure(table: &mut Table) {
    certificates(
        table,
        crossed(150, 0),
        "slowest answer from memory while a server sends 150 crossed certificates, against without",
    );
    certificates(
        table,
        crossed(9, 0),
        "slowest answer from memory while a server sends 9 crossed certificates, against without",
    );
    certificates(
        table,
        crossed(1, 2300),
        "slowest answer from memory while a server sends a certificate of 2,300 other names, against without",
    );
    names(table);
}

/// A certificate of localhost, or of so many other names, behind so many authorities of one name, each of which may
/// have issued any other.
fn crossed(others: usize, other_names: usize) -> ServerConfig {
    let authority = || {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "crossed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let all: Vec<_> = (0..others).map(|_| authority()).collect();
    let key = KeyPair::generate().unwrap();
    let names = match other_names {
        0 => vec!["localhost".to_owned()],
        number => (0..number).map(|nth| format!("host{nth}.example")).collect(),
    };
    let own = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &all[0])
        .unwrap();
    let chain: Vec<CertificateDer<'static>> = std::iter::once(own.into())
        .chain(all.iter().map(|one| one.der().clone()))
        .collect();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .unwrap()
}

fn certificates(table: &mut Table, server: ServerConfig, what: &'static str) {
    let (servers, scratch) = (runtime(), Scratch::new());
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = servers.block_on(async { TcpListener::bind("127.0.0.1:0").await.unwrap() });
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(AtomicU64::new(0));
    let called = calls.clone();
    servers.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            called.fetch_add(1, Ordering::Relaxed);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = acceptor.accept(stream).await;
            });
        }
    });
    let hostile = format!(
        "[directory.hostile]\ntype = \"imap\"\naddress = \"localhost\"\nport = {port}\ntls.implicit = true\n\
         [listener.hostile]\nprotocol = \"auth\"\nsocket = \"{}\"\ndirectory = [\"hostile\"]\n\
         tempfail = \"fail\"\n",
        scratch.text("hostile")
    );
    let stage = Stage::set(
        scratch,
        options(Protocol::Lmtp),
        "policy",
        "",
        &format!("limits.rcpt = \"unlimited\"\n{hostile}"),
        Vouch::serve,
    );
    let (without, with) = stage.runtime.block_on(async {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            without.push(slowest(&stage).await);
            let socket = stage.listener("hostile");
            let logins = tokio::spawn(async move {
                loop {
                    tokio::spawn(login(socket.clone(), user(0), Duration::from_secs(10)));
                    sleep(Duration::from_millis(50)).await;
                }
            });
            with.push(slowest(&stage).await);
            logins.abort();
            sleep(TURN / 4).await;
        }
        (without, with)
    });
    let words = format!(
        "medians of {TURNS}: {:.2} ms, and {:.2} ms without; it was called {} times",
        median(with.clone()),
        median(without.clone()),
        calls.load(Ordering::Relaxed)
    );
    table.row(
        what,
        Goal::AtMost(3.0),
        median(with) / median(without),
        "times",
        words,
    );
}

/// The longest that an answer from memory takes within a turn, in milliseconds.
async fn slowest(stage: &Stage) -> f64 {
    let mut stream = UnixStream::connect(stage.listener("policy")).await.unwrap();
    let (request, mut answer) = (policy_request(&user(1)), Vec::new());
    ask(&mut stream, &request, &mut answer).await;
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < TURN {
        let asked = Instant::now();
        ask(&mut stream, &request, &mut answer).await;
        slowest = slowest.max(asked.elapsed());
        sleep(Duration::from_micros(200)).await;
    }
    slowest.as_secs_f64() * 1e3
}

/// Whether a login was accepted in time, on a connection of its own.
async fn login(socket: PathBuf, user: String, patience: Duration) -> bool {
    let asking = async {
        let mut lines = BufReader::new(UnixStream::connect(socket).await.unwrap()).lines();
        let resp = BASE64_STANDARD.encode(format!("\0{user}\0{PASSWORD}"));
        let request =
            format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=smtp\trip=192.0.2.1\tresp={resp}\n");
        lines.get_mut().write_all(request.as_bytes()).await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.starts_with("OK\t1") || line.starts_with("FAIL\t1") {
                return line.starts_with("OK\t");
            }
        }
        false
    };
    timeout(patience, asking).await == Ok(true)
}

/// The whole of it has a resolver of its own, which says nothing.
fn names(table: &mut Table) {
    const WHAT: &str =
        "logins while 40 directories have names that nobody answers for, how much longer the p95 is";
    const GOAL: Goal = Goal::AtMost(10.0);
    let unshared = Command::new("unshare")
        .args(["-m", "true"])
        .stderr(Stdio::null())
        .status();
    let Some(_resolver) = UdpSocket::bind("127.0.0.254:53")
        .ok()
        .filter(|_| unshared.is_ok_and(|status| status.success()))
    else {
        let why = "only root may have port 53 and a mount namespace".to_owned();
        return table.skipped(WHAT, GOAL, why);
    };
    let scratch = Scratch::new();
    for (file, text) in [
        ("hosts", "127.0.0.1 localhost\n"),
        ("resolv.conf", "nameserver 127.0.0.254\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
    ] {
        scratch.write(file, text);
    }
    let laid: String = ["hosts", "resolv.conf", "nsswitch.conf"]
        .map(|file| {
            let ours = scratch.text(file);
            format!("if [ -e /etc/{file} ]; then mount --bind {ours} /etc/{file}; fi\n")
        })
        .concat();
    let silent: String = (0..SILENT)
        .map(|number| {
            format!(
                "[directory.silent{number}]\ntype = \"imap\"\naddress = \"mail{number}.vouch-test.example\"\n\
                 lookup.domains = [\"silent{number}.example\"]\n"
            )
        })
        .collect();
    let all: Vec<_> = (0..SILENT).map(|number| format!("\"silent{number}\"")).collect();
    let listener = format!(
        "tempfail = \"fail\"\n{silent}[listener.silent]\nprotocol = \"auth\"\nsocket = \"{}\"\n\
         directory = [{}]\ntempfail = \"fail\"\n",
        scratch.text("silent"),
        all.join(", ")
    );
    let stage = Stage::set(
        scratch,
        options(Protocol::Imap),
        "auth",
        "",
        &listener,
        |scratch, config, sockets| Vouch::serve_in(scratch, config, sockets, &["unshare", "-m"], &laid),
    );
    let (without, with) = stage.runtime.block_on(async {
        let without = p95(&stage).await;
        let socket = stage.listener("silent");
        let asking = tokio::spawn(async move {
            for nth in 0.. {
                let user = format!("jane@silent{}.example", nth % SILENT);
                tokio::spawn(login(socket.clone(), user, Duration::from_secs(30)));
                sleep(Duration::from_millis(10)).await;
            }
        });
        sleep(Duration::from_secs(10)).await;
        let with = p95(&stage).await;
        asking.abort();
        (without, with)
    });
    let words = format!("{with:.1} ms, and {without:.1} ms without; a hundred logins each");
    table.row(WHAT, GOAL, with - without, "ms", words);
}

/// The time that 95 of 100 logins took at the most, in milliseconds; where one was lost, no time is long enough.
async fn p95(stage: &Stage) -> f64 {
    let mut took = Vec::new();
    for nth in 0..100 {
        let began = Instant::now();
        if login(stage.listener("auth"), user(nth), Duration::from_secs(10)).await {
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        sleep_until(began + Duration::from_millis(50)).await;
    }
    took.sort_by(f64::total_cmp);
    if took.len() < 100 { f64::INFINITY } else { took[95] }
}
