//! Maps of many domains on many servers: memory, time of a look-up, sessions, and changes under load.
//!
//! What is measured is printed: `cargo test --release --test routes -- --nocapture --test-threads=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/asker.rs"]
mod asker;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use asker::{Answer, Client, Rcpt, meaning};
use futures_util::future::join_all;
use remote::{Account, Listen, Options, Protocol, Server};
use support::process::raise_descriptors;
use support::{Scratch, Vouch};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use vouch::address::Domain;
use vouch::config::read;
use vouch::settings::routes::map::{Map, Route};

/// The goal for a map of so many domains, in memory.
const DOMAINS: usize = 100_000;
const MOST_MEMORY: f64 = 30.0;

/// A look-up takes no longer in a build that is not optimised, on a busy machine.
const MOST_TIME: Duration = Duration::from_micros(50);

const PATIENCE: Duration = Duration::from_secs(120);

/// Descriptors that a process has open.
fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// A daemon whose map is `text`.
fn serve(text: &str) -> (Vouch, Scratch) {
    let scratch = Scratch::new();
    let (map, socket) = (scratch.write("routes", text), scratch.path("policy"));
    let vouch = Vouch::serve(&scratch, &config(&map, &socket, 1000), &[&socket]);
    (vouch, scratch)
}

fn config(map: &Path, socket: &Path, in_use: usize) -> String {
    format!(
        "[directory.gateway]\ntype = \"lmtp\"\nlookup.routes = \"file://{}\"\npool = {{ max-sessions = 2, max-servers = {in_use} }}\n\
         [listener.in]\nprotocol = \"policy\"\nsocket = \"{}\"\ndirectory = [\"gateway\"]\n\
         limits = {{ rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }}\n",
        map.display(),
        socket.display()
    )
}

/// Of each thousand domains, a hundred stand for what is below them; two thousand servers.
fn large_map() -> String {
    let line = |number: usize| {
        let dot = if number.is_multiple_of(10) { "." } else { "" };
        format!(
            "{dot}customer-{number}.example.org mail{}.example.net:24\n",
            number % 2000
        )
    };
    (0..DOMAINS).map(line).collect()
}

#[test]
fn a_hundred_thousand_domains_take_little_memory_and_a_look_up_little_time() {
    let text = large_map();
    let (small, _scratch) = serve("example.org mail.example.net\n");
    let (large, scratch) = serve(&text);
    let took = large.resident() - small.resident();
    println!("{DOMAINS} domains on 2000 servers: {took:.1} MiB more than one domain");
    assert!(took <= MOST_MEMORY, "{took:.1} MiB");

    let file = format!(
        "[directory.a]\ntype = \"lmtp\"\nlookup.routes = \"file://{}\"\n",
        scratch.path("routes").display()
    );
    let began = Instant::now();
    let (config, _) = read::parse(Path::new("a.toml"), &file).unwrap();
    println!("read in {} ms", began.elapsed().as_millis());
    let map: &Map = &config.directory[0].lookup.routes.as_ref().unwrap().map;
    for (what, domain, known) in [
        ("a domain", "customer-77777.example.org", true),
        ("one below a domain", "a.b.c.customer-77770.example.org", true),
        ("none of ours", "a.b.c.customer.example.com", false),
    ] {
        let domain = Domain::parse(domain).unwrap();
        let began = Instant::now();
        for _ in 0..10_000 {
            let found = std::hint::black_box(map.find(b"jane", &domain));
            assert_eq!(matches!(found, Some(Route::Server(_))), known, "{domain}");
        }
        let each = began.elapsed() / 10_000;
        println!("a look-up of {what}: {} ns", each.as_nanos());
        assert!(each < MOST_TIME, "{what}: {each:?}");
    }
}

/// As many servers as this machine's limit of descriptors lets the test be.
const SERVERS: usize = 2000;
const MANY_DOMAINS: usize = 50_000;
const CLIENTS: usize = 16;
const QUESTIONS: u64 = 20_000;

/// The servers, each at an address of its own, all at one port.
struct Servers {
    each: Vec<Arc<Server>>,
    port: u16,
}

impl Servers {
    /// Server 17 has the users of the domains 17, 17 + 2000 and so on: `user`; and, of the tenth of the domains that
    /// move, those who are there when a domain is: `moved` of the domain before.
    async fn start() -> Self {
        let hard = raise_descriptors();
        let room = hard.saturating_sub(500) / 2;
        let count = SERVERS.min(room);
        if count < SERVERS {
            println!("NOTE: only {count} servers: ulimit -Hn is {hard}");
        }
        let mut port = 0;
        let mut each = Vec::new();
        for number in 0..count {
            let mut options = Options::new(Protocol::Lmtp);
            options.listen = Listen::Nowhere;
            options.record = false;
            options.accounts = (0..MANY_DOMAINS)
                .skip(number)
                .step_by(count)
                .map(|domain| Account::new(&format!("user@d{domain}.example"), "x"))
                .chain(
                    (0..MANY_DOMAINS)
                        .filter(|domain| moves(*domain) && (domain + 1) % count == number)
                        .map(|domain| Account::new(&format!("moved@d{domain}.example"), "x")),
                )
                .collect();
            let server = Arc::new(Server::start(options).unwrap());
            let listener = TcpListener::bind(SocketAddr::from((address(number), port)))
                .await
                .unwrap();
            port = listener.local_addr().unwrap().port();
            let serving = server.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serving.serve(stream));
                }
            });
            each.push(server);
        }
        Self { each, port }
    }

    /// The map; in the second version, a tenth of the domains is at the next server.
    fn map(&self, version: usize) -> String {
        let line = |domain: usize| {
            let number = domain + usize::from(version == 1 && moves(domain));
            format!(
                "d{domain}.example {}:{}\n",
                address(number % self.each.len()),
                self.port
            )
        };
        (0..MANY_DOMAINS).map(line).collect()
    }
}

fn moves(domain: usize) -> bool {
    domain % 10 == 3
}

/// Each server has one.
fn address(number: usize) -> Ipv4Addr {
    let [_, _, high, low] = (number as u32 + 1).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// What the servers say by a version of the map.
fn right(version: usize, domain: usize, user: &str) -> Answer {
    let there = match user {
        "user" => version == 0 || !moves(domain),
        "moved" => version == 1 && moves(domain),
        _ => false,
    };
    if there { Answer::Yes } else { Answer::No }
}

/// What all clients know.
#[derive(Default)]
struct Shared {
    version: AtomicUsize,
    changing: AtomicBool,
    asked: AtomicU64,
    done: AtomicBool,
}

impl Shared {
    /// The versions that may be in force now.
    fn versions(&self) -> Vec<usize> {
        if self.changing.load(Ordering::SeqCst) {
            vec![0, 1]
        } else {
            vec![self.version.load(Ordering::SeqCst)]
        }
    }
}

/// Asks until all is done; what was wrong or lost.
async fn ask(socket: PathBuf, shared: Arc<Shared>, seed: usize) -> Vec<String> {
    let mut client = Client::connect(&socket).await;
    let (mut state, mut wrong) = (seed as u64 + 1, Vec::new());
    while !shared.done.load(Ordering::SeqCst) {
        // Knuth's; the lowest bits are the worst.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let draw = (state >> 33) as usize;
        // Half of them are of a few domains, so that they are asked again after each change.
        let domain = if draw.is_multiple_of(2) {
            draw / 2 % 200
        } else {
            draw / 2 % MANY_DOMAINS
        };
        let user = ["user", "moved", "nobody"][draw / 7 % 3];
        let name = format!("{user}@d{domain}.example");
        let mut versions = shared.versions();
        let action = client.recipient(&Rcpt::to(&name)).await;
        versions.extend(shared.versions());
        if !versions
            .iter()
            .any(|version| right(*version, domain, user) == meaning(&action))
        {
            wrong.push(format!("{name}: {action} by {versions:?}"));
        }
        shared.asked.fetch_add(1, Ordering::SeqCst);
    }
    wrong
}

// Fills directory.NAME.pool.max-servers.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_or_lost_while_the_map_changes_under_load() {
    let servers = Servers::start().await;
    let scratch = Arc::new(Scratch::new());
    let map = scratch.write("routes", servers.map(0));
    let socket = scratch.path("policy");
    // Of which a quarter may be in use at once.
    let in_use = servers.each.len() / 4;
    let text = config(&map, &socket, in_use);
    let serving = spawn_blocking({
        let (scratch, socket) = (scratch.clone(), socket.clone());
        move || Vouch::serve(&scratch, &text, &[&socket])
    });
    let vouch = serving.await.unwrap();
    let log = || fs::read_to_string(scratch.path("vouch.log")).unwrap();
    let changes = || {
        log()
            .matches("has changed: answers about users who are at another server now are forgotten")
            .count()
    };
    let shared = Arc::new(Shared::default());
    let began = Instant::now();
    let clients = (0..CLIENTS).map(|seed| tokio::spawn(ask(socket.clone(), shared.clone(), seed)));
    let clients: Vec<_> = clients.collect();
    let (mut most, mut reloads) = (0, Vec::new());
    for round in 1..=4_usize {
        let share = QUESTIONS * round as u64 / 5;
        while shared.asked.load(Ordering::SeqCst) < share {
            assert!(
                began.elapsed() < PATIENCE,
                "{} asked",
                shared.asked.load(Ordering::SeqCst)
            );
            most = most.max(descriptors(vouch.id()));
            sleep(Duration::from_millis(20)).await;
        }
        shared.changing.store(true, Ordering::SeqCst);
        fs::write(&map, servers.map(round % 2)).unwrap();
        let at = Instant::now();
        vouch.reload();
        while changes() < round {
            assert!(at.elapsed() < PATIENCE, "{}", log());
            sleep(Duration::from_millis(5)).await;
        }
        reloads.push(at.elapsed().as_millis());
        shared.version.store(round % 2, Ordering::SeqCst);
        shared.changing.store(false, Ordering::SeqCst);
    }
    while shared.asked.load(Ordering::SeqCst) < QUESTIONS {
        assert!(began.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20)).await;
    }
    shared.done.store(true, Ordering::SeqCst);
    let wrong: Vec<String> = join_all(clients)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    let asked: u64 = shared.asked.load(Ordering::SeqCst);
    let used = servers.each.iter().filter(|server| server.accepted() > 0).count();
    println!(
        "{MANY_DOMAINS} domains on {} servers, of which {used} were asked: {asked} questions by {CLIENTS} clients in {:.1} s; \
         {} wrong or lost; reloads took {reloads:?} ms; at most {most} descriptors, {:.1} MiB resident",
        servers.each.len(),
        began.elapsed().as_secs_f64(),
        wrong.len(),
        vouch.resident(),
    );
    assert!(
        wrong.is_empty(),
        "{} of {asked}: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
    // Two sessions with each server in use; as many say goodbye at most.
    let bound = 4 * in_use + CLIENTS + 100;
    assert!(most <= bound, "{most} descriptors, of {bound}");
    assert!(used > in_use, "{used}");
}
