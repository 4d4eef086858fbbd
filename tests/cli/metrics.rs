//! What `vouch serve` counts, as monitoring reads it: over HTTP from the real binary, by Prometheus's own `promtool`,
//! and in the alerts and the dashboard of `contrib`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Authority, Options, Protocol, Security, Server};

use crate::outside::{PASSWORD, World, directory, listener, people, plain, wait_until};
use crate::serve::{Daemon, ask, exchange};
use crate::support::{available, free_port, program};

const RULES: &str = "contrib/prometheus/vouch.rules.yml";
const RULE_TESTS: &str = "contrib/prometheus/vouch.rules.test.yml";
const DASHBOARD: &str = "contrib/grafana/vouch.json";

/// A daemon that was asked something of each kind. Its remote knows recipients and logins, with TLS; the same remote is
/// directory `stranger` as well, where its authority is not known.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) remote: Server,
    pub(crate) world: World,
}

impl Scene {
    pub(crate) fn new(listen: impl FnOnce(&World) -> String) -> Self {
        let world = World::new();
        let authority = Authority::new().unwrap();
        let ca = world.scratch.path("ca.pem");
        authority.write_pem(&ca).unwrap();
        let security = Security::StartTls(authority.issue(&["127.0.0.1"]).unwrap());
        let remote = world.remote(Options {
            security,
            ..people(Protocol::Smtp)
        });
        let (policy, auth) = (world.scratch.path("policy"), world.scratch.path("auth"));
        let stranger = directory("stranger", "smtp", remote.port()).replace("example.org", "example.com");
        world.config(
            &(directory("remote", "smtp", remote.port())
                + &format!("tls.ca-file = \"{}\"\n", ca.display())
                + &stranger
                + &listener("recipients", "policy", &policy, "remote\", \"stranger")
                + &listener("logins", "auth", &auth, "remote")
                + &format!("[metrics]\nlisten = \"{}\"\n", listen(&world))),
        );
        let daemon = Daemon::start(&world);
        for recipient in [
            "jane@example.org", "jane@example.org", "nobody@example.org", "trouble@example.org",
            "jane@example.net", "jane@example.com",
        ] {
            ask(&policy, recipient);
        }
        for password in [PASSWORD, "wrong"] {
            let response = BASE64_STANDARD.encode(format!("\0jane@example.org\0{password}"));
            let hello = "VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp=";
            exchange(&auth, format!("{hello}{response}\n").as_bytes());
        }
        Self {
            daemon,
            remote,
            world,
        }
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request, and reads to the end.
pub(crate) fn http(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Answer {
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

pub(crate) fn by_tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream
}

pub(crate) fn by_path(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream
}

/// As Prometheus 2.42 asks, and as one before OpenMetrics.
const NEW: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const OLD: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";

fn scrape(stream: impl Read + Write, accept: &str) -> Answer {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    let answer = http(stream, &request);
    assert!(answer.head.starts_with("http/1.1 200 ok"), "{answer:?}");
    answer
}

/// The value of a series, written as in the text.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// The families of a text that say what they are.
fn families(text: &str) -> BTreeSet<&str> {
    let help = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    help.map(|line| line.split_once(' ').expect("a help text").0)
        .collect()
}

#[test]
fn a_scrape_tells_what_was_asked_and_names_nobody() {
    let port = free_port();
    let scene = Scene::new(|_| format!("127.0.0.1:{port}"));
    let expected = [
        (
            "vouch_questions_total{listener=\"recipients\",verdict=\"accept\",cause=\"-\",source=\"probe\"}",
            1.0,
        ),
        (
            "vouch_questions_total{listener=\"recipients\",verdict=\"accept\",cause=\"-\",source=\"cache\"}",
            1.0,
        ),
        (
            "vouch_questions_total{listener=\"recipients\",verdict=\"reject\",cause=\"unknown-user\",source=\"probe\"}",
            1.0,
        ),
        (
            "vouch_questions_total{listener=\"recipients\",verdict=\"defer\",cause=\"temporary\",source=\"probe\"}",
            1.0,
        ),
        (
            "vouch_questions_total{listener=\"recipients\",verdict=\"abstain\",cause=\"not-ours\",source=\"local\"}",
            1.0,
        ),
        (
            "vouch_questions_total{listener=\"recipients\",verdict=\"defer\",cause=\"tls\",source=\"probe\"}",
            1.0,
        ),
        (
            "vouch_questions_total{listener=\"logins\",verdict=\"accept\",cause=\"-\",source=\"probe\"}",
            1.0,
        ),
        (
            "vouch_questions_total{listener=\"logins\",verdict=\"reject\",cause=\"bad-credentials\",source=\"probe\"}",
            1.0,
        ),
        (
            "vouch_question_duration_seconds_count{listener=\"recipients\",verdict=\"accept\"}",
            2.0,
        ),
        ("vouch_connections_accepted_total{listener=\"recipients\"}", 6.0),
        ("vouch_connections_open{listener=\"recipients\"}", 0.0),
        ("vouch_connections_limit{listener=\"recipients\"}", 10_000.0),
        (
            "vouch_cache_lookups_total{directory=\"remote\",cache=\"recipient\",result=\"fresh\"}",
            1.0,
        ),
        (
            "vouch_cache_lookups_total{directory=\"remote\",cache=\"recipient\",result=\"miss\"}",
            3.0,
        ),
        (
            "vouch_cache_entries{directory=\"remote\",cache=\"recipient\"}",
            2.0,
        ),
        (
            "vouch_probe_duration_seconds_count{directory=\"remote\",question=\"recipient\"}",
            3.0,
        ),
        (
            "vouch_probe_queue_duration_seconds_count{directory=\"remote\",question=\"login\"}",
            2.0,
        ),
        (
            "vouch_probe_errors_total{directory=\"stranger\",question=\"recipient\",cause=\"tls\"}",
            1.0,
        ),
        (
            "vouch_sessions_closed_total{directory=\"remote\",question=\"login\",reason=\"spent\"}",
            1.0,
        ),
        (
            "vouch_sessions_limit{directory=\"remote\",question=\"login\"}",
            40.0,
        ),
        ("vouch_tls_certificates_checked{directory=\"remote\"}", 1.0),
        ("vouch_build_info{version=\"0.1.0\"}", 1.0),
    ];
    // What ends a session or a connection is counted when it has ended.
    let mut text = String::new();
    for (series, count) in expected {
        wait_until(&format!("{series} {count}"), || {
            text = scrape(by_tcp(port), NEW).body;
            value(&text, series) == Some(count)
        });
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let at_least = [
        (
            "vouch_sessions_opened_total{directory=\"remote\",question=\"recipient\"}",
            1.0,
        ),
        (
            "vouch_sessions_reused_total{directory=\"remote\",question=\"recipient\"}",
            1.0,
        ),
        (
            "vouch_session_open_errors_total{directory=\"stranger\",question=\"recipient\",cause=\"tls\"}",
            1.0,
        ),
        ("vouch_tls_handshakes_total{directory=\"remote\"}", 2.0),
        ("vouch_tls_errors_total{directory=\"stranger\"}", 1.0),
        (
            "vouch_certificate_expiry_timestamp_seconds{directory=\"remote\",certificate=\"remote\"}",
            now,
        ),
        ("process_start_time_seconds", now - 3600.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 5.0),
    ];
    for (series, least) in at_least {
        let value = value(&text, series);
        assert!(
            value.is_some_and(|value| value >= least),
            "{series}: {value:?}\n{text}"
        );
    }
    for word in ["jane", "nobody@", "example", "127.0.0.1", PASSWORD] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
    let untrusted =
        "vouch_certificate_expiry_timestamp_seconds{directory=\"stranger\",certificate=\"remote\"}";
    assert_eq!(value(&text, untrusted), None);
    assert!(!scene.daemon.log().contains("panicked"));
    assert_eq!(scene.daemon.ends_by("TERM"), Some(0));
}

// Fills CONNECTIONS, HEAD_BYTES, HEAD_FIELDS.
#[test]
fn a_socket_path_serves_them_and_nothing_else() {
    let scene = Scene::new(|world| world.scratch.text("metrics"));
    let socket = scene.world.scratch.path("metrics");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let request = |line: &str| {
        http(
            by_path(&socket),
            &format!("{line} HTTP/1.1\r\nHost: vouch\r\n\r\n"),
        )
    };

    let whole = request("GET /metrics");
    assert!(
        whole
            .head
            .contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(whole.body.ends_with("\n# EOF\n"), "{}", whole.body);
    let head = request("HEAD /metrics");
    assert!(
        head.head.starts_with("http/1.1 200 ok") && head.body.is_empty(),
        "{head:?}"
    );
    let plain = scrape(by_path(&socket), OLD);
    assert!(
        plain
            .head
            .contains("content-type: text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(!plain.body.contains("# EOF"));
    let elsewhere = request("GET /metrics/jane@example.org");
    assert!(elsewhere.head.starts_with("http/1.1 404 "), "{elsewhere:?}");
    assert_eq!(
        elsewhere.body,
        "vouch has its metrics at /metrics, and a page about its state at /.\n"
    );
    let post = request("POST /metrics");
    assert!(
        post.head.starts_with("http/1.1 405 ") && post.head.contains("allow: get, head"),
        "{post:?}"
    );

    for nonsense in [
        "QUIT\r\n\r\n".to_owned(),
        "GET /metrics HTTP/3.0\r\n\r\n".to_owned(),
        format!("GET /metrics HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(16_000)),
        format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100)),
    ] {
        // It may have hung up before all of it was taken.
        let mut stream = by_path(&socket);
        let _ = stream.write_all(nonsense.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4");
        assert!(refused, "{}", answer.escape_ascii());
    }
    // More silent clients than are served at once block no other permanently.
    let silent: Vec<_> = (0..24).map(|_| by_path(&socket)).collect();
    scrape(by_path(&socket), NEW);
    drop(silent);
    assert_eq!(scene.daemon.ends_by("TERM"), Some(0));
    assert!(!socket.exists(), "it is left behind");
}

#[test]
fn a_place_that_is_taken_ends_it_with_71() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let world = World::new();
    let policy = world.scratch.path("policy");
    world.config(
        &(directory("remote", "smtp", 19)
            + &listener("recipients", "policy", &policy, "remote")
            + &format!("[metrics]\nlisten = \"{address}\"\n")),
    );
    let ran = world.vouch(&["serve"]).ended(71);
    ran.complains(&["cannot start: metrics: ", &address, "in use"]);
    assert!(!policy.exists(), "no socket is left behind");
}

/// Where `promtool` is. If it is not there, says so past the capture of test output, or fails, as `VOUCH_PEERS` wants it.
fn promtool() -> Option<PathBuf> {
    available(&["promtool"], || None)
        .then(|| program("promtool"))
        .flatten()
}

/// Runs it, and fails the test with its words unless it is content.
fn check(promtool: &Path, arguments: &[&str], folder: &Path, input: Stdio) -> String {
    let mut command = plain(Command::new(promtool));
    command.args(arguments).current_dir(folder).stdin(input);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}:\n{said}");
    said
}

#[test]
fn prometheus_takes_both_formats() {
    let Some(promtool) = promtool() else { return };
    let scene = Scene::new(|world| world.scratch.text("metrics"));
    let scratch = &scene.world.scratch;
    let socket = scratch.path("metrics");
    let old = scratch.write("old.txt", scrape(by_path(&socket), OLD).body);
    let old = fs::File::open(old).unwrap();
    let said = check(&promtool, &["check", "metrics"], &scratch.path(""), old.into());
    assert_eq!(said, "", "it has remarks");
    // What reads OpenMetrics by its letter wants to know when each value was true.
    let new: String = scrape(by_path(&socket), NEW)
        .body
        .lines()
        .map(|line| {
            if line.starts_with('#') {
                format!("{line}\n")
            } else {
                format!("{line} 1700000000\n")
            }
        })
        .collect();
    scratch.write("new.txt", new);
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", "new.txt", "blocks"];
    check(&promtool, &arguments, &scratch.path(""), Stdio::null());
}

fn contrib(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The expressions of all panels.
fn dashboard_expressions() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(&contrib(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array());
    let expressions = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap().to_owned());
    let expressions: Vec<_> = expressions.collect();
    assert!(expressions.len() > 30, "{expressions:?}");
    expressions
}

/// The names of metrics in some text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .filter(|word| word.starts_with("vouch_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_for_what_there_is() {
    let scene = Scene::new(|world| world.scratch.text("metrics"));
    let text = scrape(by_path(&scene.world.scratch.path("metrics")), OLD).body;
    let there = families(&text);
    let dashboard = dashboard_expressions().join("\n");
    // The alerts alone: their notes speak of other things.
    let rules = contrib(RULES);
    let mut used: BTreeSet<_> = metrics_in(&dashboard);
    let in_rules = metrics_in(&rules);
    assert!(in_rules.len() > 15, "{in_rules:?}");
    used.extend(in_rules);
    for metric in &used {
        let family = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|suffix| metric.strip_suffix(suffix));
        assert!(there.contains(family.unwrap_or(metric)), "nobody counts {metric}");
    }
    let shown = metrics_in(&dashboard);
    for family in &there {
        let bucket = format!("{family}_bucket");
        assert!(
            shown.contains(family) || shown.contains(bucket.as_str()),
            "the dashboard leaves {family} out"
        );
        let ours = family.starts_with("vouch_") || family.starts_with("process_");
        assert!(ours, "{family} breaks the rule of names");
    }
}

#[test]
fn each_alert_fires_and_does_not_fire() {
    let Some(promtool) = promtool() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = check(&promtool, &["check", "rules", RULES], root, Stdio::null());
    let rules = contrib(RULES);
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "))
        .collect();
    assert!(
        said.contains(&format!("SUCCESS: {} rules found", alerts.len())),
        "{said}"
    );
    check(&promtool, &["test", "rules", RULE_TESTS], root, Stdio::null());
    let tests = contrib(RULE_TESTS);
    for alert in alerts {
        let quiet = tests
            .lines()
            .any(|line| line.contains(&format!("{{alertname: {alert}, ")) && line.contains("exp_alerts: []"));
        let loud = tests
            .lines()
            .any(|line| line.trim_start() == format!("- alertname: {alert}"));
        assert!(quiet && loud, "{alert} is not shown firing and not firing");
    }
}

/// The dashboard's expressions as rules, which promtool reads.
#[test]
fn the_dashboard_speaks_promql() {
    let Some(promtool) = promtool() else { return };
    let world = World::new();
    let rules = dashboard_expressions().into_iter().map(|expression| {
        let expression = expression.replace("$__rate_interval", "5m").replace('$', "");
        format!(
            "      - {{record: 'a', expr: {}}}\n",
            serde_json::json!(expression)
        )
    });
    let rules = format!(
        "groups:\n  - name: dashboard\n    rules:\n{}",
        rules.collect::<String>()
    );
    world.scratch.write("dashboard.yml", rules);
    let arguments = ["check", "rules", "--lint=none", "dashboard.yml"];
    check(&promtool, &arguments, &world.scratch.path(""), Stdio::null());
}
