//! The status page of the real daemon.

use crate::metrics::{Scene, by_path, by_tcp, http};
use crate::outside::PASSWORD;
use crate::support::free_port;

#[test]
fn the_page_is_at_the_root_of_the_same_socket() {
    let scene = Scene::new(|world| world.scratch.text("metrics"));
    let socket = scene.world.scratch.path("metrics");
    let request = |line: &str| {
        http(
            by_path(&socket),
            &format!("{line} HTTP/1.1\r\nHost: vouch\r\n\r\n"),
        )
    };

    let page = request("GET /");
    assert!(page.head.starts_with("http/1.1 200 ok"), "{page:?}");
    for field in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(page.head.contains(field), "no {field} in {}", page.head);
    }
    // What `vouch status` shows as well.
    let remote = scene.remote.port();
    for words in [
        "No history yet: it began ",
        "1 of 2 directories gives no answer: <a href=\"#d0\"><bdi>stranger</bdi></a>.",
        "<bdi>recipients</bdi> <small>policy</small>",
        "<bdi>logins</bdi> <small>auth</small>",
        "<th scope=\"row\">reject</th><td>unknown-user</td><td>probe</td><td>1</td>",
        "<th scope=\"row\">reject</th><td>bad-credentials</td><td>probe</td><td>1</td>",
        &format!("127.0.0.1:{remote}"),
        "TLS 1.3",
        "temporary, <bdi>451 4.3.0</bdi>",
        "tls: stranger",
    ] {
        assert!(page.body.contains(words), "no {words} in {}", page.body);
    }
    for secret in ["jane", "nobody@", "@example", PASSWORD, "192.0.2.7"] {
        assert!(!page.body.contains(secret), "{secret} in {}", page.body);
    }

    assert!(page.body.contains("http-equiv=\"refresh\""));
    assert!(!request("GET /?still").body.contains("http-equiv=\"refresh\""));
    let head = request("HEAD /");
    assert!(
        head.head.starts_with("http/1.1 200 ok") && head.body.is_empty(),
        "{head:?}"
    );
    let post = request("POST /");
    assert!(post.head.starts_with("http/1.1 405 "), "{post:?}");
    for elsewhere in ["GET /index.html", "GET //", "GET /favicon.ico"] {
        let answer = request(elsewhere);
        assert!(answer.head.starts_with("http/1.1 404 "), "{answer:?}");
        assert_eq!(
            answer.body,
            "vouch has its metrics at /metrics, and a page about its state at /.\n"
        );
    }
    assert!(!scene.daemon.log().contains("panicked"));
    assert_eq!(scene.daemon.ends_by("TERM"), Some(0));
}

#[test]
fn on_loopback_a_request_for_another_host_is_refused() {
    let port = free_port();
    let scene = Scene::new(|_| format!("127.0.0.1:{port}"));
    let ask = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        http(by_tcp(port), &request)
    };
    for path in ["/", "/metrics"] {
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let answer = ask(path, host);
            assert!(answer.head.starts_with("http/1.1 200 "), "{host}: {answer:?}");
        }
        let rebound = ask(path, "rebound.example");
        assert!(rebound.head.starts_with("http/1.1 421 "), "{rebound:?}");
        assert!(
            rebound.body.starts_with("vouch answers here for localhost"),
            "{rebound:?}"
        );
    }
    assert_eq!(scene.daemon.ends_by("TERM"), Some(0));
}
