//! Sentinels name the primary: after a failover its edges share again, and meanwhile each answers as it would alone.

use std::process::Command;

use crate::asker::Answer;
use crate::edge::{Edge, JANE, JOE, Key, NOBODY, remote};
use crate::is_available;
use crate::redis::{PATIENCE, Redis, named};
use crate::support::process::wait_until;
use crate::support::{Authority, Process, Scratch, free_port, program};

/// A Sentinel that watches over the primary `fleet`.
struct Sentinel {
    port: u16,
    _process: Process,
    _scratch: Scratch,
}

impl Sentinel {
    /// One that watches over the server at this port of this machine, with more lines of its configuration.
    fn of(port: u16, lines: &str) -> Self {
        let (scratch, own) = (Scratch::new(), free_port());
        let plain = if lines.contains("tls-port") { 0 } else { own };
        let config = format!(
            "port {plain}\nbind 127.0.0.1\ndir {}\n{}\nsentinel monitor fleet 127.0.0.1 {port} 1\n\
             sentinel auth-user fleet admin\nsentinel auth-pass fleet admin\n\
             sentinel down-after-milliseconds fleet 500\nsentinel failover-timeout fleet 3000\n",
            scratch.text(""),
            lines.replace("{port}", &own.to_string()),
        );
        let config = scratch.write("sentinel.conf", config);
        let mut command = Command::new(program(&named("server")).unwrap());
        let command = command.arg(config).arg("--sentinel");
        let mut process = Process::start(&scratch, "sentinel", command);
        process.wait_for_port(own);
        Self {
            port: own,
            _process: process,
            _scratch: scratch,
        }
    }

    /// Has its administrator ask it; what it answers.
    fn order(&self, words: &[&str]) -> String {
        let mut cli = Command::new(program(&named("cli")).unwrap());
        cli.args(["-p", &self.port.to_string(), "--user", "admin", "--pass", "admin"]);
        let output = cli.args(["--no-auth-warning", "--raw"]).args(words).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}

/// The access list of a Sentinel: the line of `docs/fleet.md`, and its administrator.
fn access() -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fleet.md")).unwrap();
    let mut lines = page.lines().map(str::trim);
    let line = lines
        .find(|line| line.contains("+sentinel|get-master-addr-by-name"))
        .unwrap();
    format!("user default off\n{line}\nuser admin on >admin ~* &* +@all")
}

/// A server with a port besides its socket; it may be the replica of another.
fn server(port: u16, of: Option<u16>) -> Redis {
    let of = of.map(|of| format!("replicaof 127.0.0.1 {of}\n"));
    Redis::with(&format!(
        "port {port}\nbind 127.0.0.1\nmasteruser admin\nmasterauth admin\nrepl-diskless-sync-delay 0\n{}",
        of.unwrap_or_default()
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_edges_share_by_the_new_primary() {
    if !is_available() {
        return;
    }
    let (key, remote) = (Key::new(), remote());
    let [one, two, nobody] = [free_port(), free_port(), free_port()];
    let mut primary = server(one, None);
    let replica = server(two, Some(one));
    wait_until("the replica", PATIENCE, || {
        primary.order(&["INFO", "replication"]).contains("state=online")
    });
    let sentinel = Sentinel::of(one, &access());
    wait_until("the Sentinel's knowledge", PATIENCE, || {
        sentinel
            .order(&["INFO", "sentinel"])
            .contains("status=ok,address=127.0.0.1:")
            && sentinel.order(&["INFO", "sentinel"]).contains("slaves=1")
    });
    // The first of the two Sentinels is not there.
    let store = format!("sentinel:fleet@127.0.0.1:{nobody},127.0.0.1:{}", sentinel.port);
    let fleet = replica.fleet_at(&store, &key.path());
    let a = Edge::with(&fleet, &remote, "").await;
    let b = Edge::with(&fleet, &remote, "").await;
    for edge in [&a, &b] {
        edge.logged(&format!("primary=127.0.0.1:{one}")).await;
        edge.logged("the store of the fleet is used").await;
    }
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    primary.holds(1);
    replica.holds(1);
    primary.crash();
    a.logged("the store of the fleet is not used").await;
    assert_eq!((a.ask(JOE).await, a.ask(NOBODY).await), (Answer::Yes, Answer::No));
    for edge in [&a, &b] {
        edge.logged(&format!("primary=127.0.0.1:{two}")).await;
        edge.logged("the store of the fleet is used again").await;
    }
    // What was found meanwhile has waited, and what was there before was copied.
    replica.holds(2);
    remote.stop().await;
    assert_eq!((b.ask(JANE).await, b.ask(JOE).await), (Answer::Yes, Answer::Yes));
    // The old primary is one no more, whatever it believes of itself at first.
    primary.start_again_with(&format!("port {one}\nbind 127.0.0.1"));
    let c = Edge::with(&fleet, &remote, "").await;
    assert_eq!((c.ask(JANE).await, c.ask(JOE).await), (Answer::Yes, Answer::Yes));
    let checked = c.order(&["check", "--online"]);
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(
        printed.contains(&format!(
            "{store}: the store of the fleet answers, and keeps findings"
        )),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sentinels_cannot_say_is_said_with_each_of_them() {
    if !is_available() {
        return;
    }
    let (key, remote) = (Key::new(), remote());
    let [port, nobody] = [free_port(), free_port()];
    let redis = server(port, None);
    let sentinel = Sentinel::of(port, "");
    let guarded = Sentinel::of(port, &access().replace(">PASSWORD", ">other"));
    let ours = Sentinel::of(port, &access());
    let at = |sentinel: &Sentinel| format!("127.0.0.1:{}", sentinel.port);
    for (store, words) in [
        (
            format!("sentinel:other@127.0.0.1:{nobody},{}", at(&sentinel)),
            vec![
                "it does not know other".to_owned(),
                format!("127.0.0.1:{nobody}: connect"),
            ],
        ),
        (
            format!("sentinel:fleet@{}", at(&guarded)),
            vec!["it refuses the password".to_owned()],
        ),
        (
            format!("tcp://{}", at(&ours)),
            vec!["it is a Sentinel".to_owned()],
        ),
    ] {
        let edge = Edge::with(&redis.fleet_at(&store, &key.path()), &remote, "").await;
        assert_eq!(
            (edge.ask(JOE).await, edge.ask(NOBODY).await),
            (Answer::Yes, Answer::No)
        );
        let line = edge.logged("the store of the fleet is not used").await;
        assert!(words.iter().all(|words| line.contains(words)), "{line}");
    }
    assert_eq!(redis.size(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_sentinel_and_primary_must_show_good_certificates() {
    if !is_available() {
        return;
    }
    let (key, remote, port, scratch) = (Key::new(), remote(), free_port(), Scratch::new());
    let authority = Authority::new(&scratch, "store");
    let tls = |port: &str| {
        format!(
            "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no",
            authority.certificate.display(),
            authority.key.display(),
            authority.ca.display()
        )
    };
    let redis = Redis::with(&format!("{}\nbind 127.0.0.1", tls(&port.to_string())));
    let sentinel = Sentinel::of(port, &format!("{}\ntls-replication yes", tls("{port}")));
    let ca = format!("ca-file = \"{}\"\n", authority.ca.display());
    let store = format!("sentinel+tls:fleet@localhost:{}", sentinel.port);
    let fleet = redis.fleet_at(&store, &key.path());
    let good = [ca.clone(), format!("{ca}server-name = \"localhost\"\n")];
    for (keys, user) in good.iter().zip([JANE, JOE]) {
        let edge = Edge::with(&format!("{fleet}{keys}"), &remote, "").await;
        assert_eq!(edge.ask(user).await, Answer::Yes);
    }
    redis.holds(2);
    for bad in [
        String::new(),
        format!("{ca}server-name = \"store.example.org\"\n"),
    ] {
        let edge = Edge::with(&format!("{fleet}{bad}"), &remote, "").await;
        assert_eq!(edge.ask(JANE).await, Answer::Yes);
        let line = edge.logged("the store of the fleet is not used").await;
        assert!(
            line.contains("certificate") && line.contains("Sentinel localhost"),
            "{line}"
        );
    }
    // The Sentinel is on this machine and has no TLS, nor would the primary have any.
    let plain = redis.fleet_at(&store.replace("+tls", ""), &key.path());
    let edge = Edge::with(&plain, &remote, "").await;
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    edge.logged("the store of the fleet is not used").await;
}
