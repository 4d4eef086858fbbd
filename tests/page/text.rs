//! The page as text.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::hour::{HOSTILE, Hour, JANE, SECRETIVE, SENSIBLE};

/// The page, with its head, as it is served.
pub(crate) async fn fetch(hour: &Hour, target: &str) -> (String, String) {
    let port = hour.serve().await;
    let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// What is on the page for those who read it: without markup, and with its characters as they are.
fn words(page: &str) -> String {
    let body = &page[page.find("<body>").unwrap()..];
    let mut words = String::new();
    for piece in body.split('<') {
        let (tag, text) = piece.split_once('>').unwrap_or_default();
        words.push_str(if tag == "wbr" { "" } else { " " });
        words.push_str(text);
    }
    let words = words
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    words
        .replace("&amp;", "&")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Fails unless the page is of elements and attributes that it is made of, each closed in its turn.
fn is_sound(page: &str) {
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let start = body.find("<style>").unwrap() + "<style>".len();
    let end = start + body[start..].find("</style>").unwrap();
    let mut open = Vec::new();
    for tag in (body[..start].to_owned() + &body[end..]).split('<').skip(1) {
        let (tag, _) = tag
            .split_once('>')
            .unwrap_or_else(|| panic!("<{tag} does not end"));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()), "</{name}>");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        assert!(ELEMENTS.contains(&name), "<{tag}>");
        let mut rest = tag[name.len()..].trim_end_matches('/');
        while let Some((attribute, value)) = rest.trim_start().split_once("=\"") {
            assert!(ATTRIBUTES.contains(&attribute), "{attribute} in <{tag}>");
            rest = value
                .split_once('"')
                .unwrap_or_else(|| panic!("<{tag}> does not end {attribute}"))
                .1;
        }
        assert_eq!(rest.trim(), "", "<{tag}>");
        if !tag.ends_with('/') && !["meta", "wbr"].contains(&name) {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, [""; 0]);
}

const ELEMENTS: &[&str] = &[
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article", "h1",
    "h2", "h3", "h4", "p", "div", "span", "small", "code", "a", "bdi", "wbr", "time", "table", "caption",
    "thead", "tbody", "tr", "th", "td", "details", "summary", "svg", "defs", "symbol", "use", "pattern",
    "clipPath", "rect", "line", "path", "circle", "g", "text", "desc",
];

const ATTRIBUTES: &[&str] = &[
    "lang", "charset", "name", "content", "http-equiv", "class", "id", "href", "role", "tabindex", "scope",
    "aria-hidden", "aria-label", "aria-labelledby", "aria-describedby", "width", "height", "viewBox",
    "preserveAspectRatio", "patternUnits", "patternTransform", "clipPathUnits", "clip-path", "x", "y", "x2",
    "y1", "y2", "cx", "cy", "r", "d", "text-anchor",
];

#[tokio::test(start_paused = true)]
async fn an_hour_is_told_in_words() {
    let mut hour = Hour::new(&SENSIBLE).await;
    hour.pass(65).await;
    let (head, page) = fetch(&hour, "/").await;
    is_sound(&page);
    for field in [
        "http/1.1 200 ok\r\n",
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ] {
        assert!(head.contains(field), "no {field} in {head}");
    }
    assert!(page.contains("<meta http-equiv=\"refresh\" content=\"30\">"));
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert!(
        page.contains(&format!(
            "<title>vouch on {host}: 1 of 3 directories gives no answer</title>"
        )) && page.contains(&format!("<h1>vouch <small>on <bdi>{host}</bdi></small></h1>")),
        "{page}"
    );
    let words = words(&page);
    for expected in [
        "1 of 3 directories gives no answer: imap-berlin . 2 items below need attention.",
        "Refreshes every 30 s ( pause )",
        "The charts show the last hour, in steps of 30 s.",
        "recipients policy The listener Socket /var/spool/postfix/vouch/policy Connections 0 of at most 10,000",
        "In the time shown verdict answers share lately accept 11,719 87 %",
        "Lately 2.8/s, at most 6.9/s. In all: 11,719 accept, 964 reject, 265 defer, 514 abstain.",
        "reject unknown-user probe 994",
        "imap-berlin imap gives no answer The directory Address 127.0.0.1:143",
        "unreachable: imap-berlin (127.0.0.1:143): connect: connection refused",
        "Without an answer 322 questions in a row, for 1",
        "mailboxes lmtp answers The directory Address mail.example.org:24",
        " questions in the time shown, 225 of them (5.2 %) without an answer.",
        "Canaries 1, none refused",
        "archive smtp not asked yet",
        "Certificate any is accepted (tls.allow-invalid-certs)",
        "Up 3 days",
    ] {
        assert!(words.contains(expected), "no {expected:?} in {words}");
    }
    // Of what a remote says of somebody, the status is shown.
    assert!(
        words.contains(
            " ago: temporary, 451 4.3.0 What to do the server asks to come back later: see its log Sessions"
        ),
        "{words}"
    );
    // What somebody should see to comes first, with what to do.
    let places = [
        "Directories imap-berlin imap gives no answer",
        "connect: connection refused What to do does a server listen there?",
        "mailboxes lmtp answers",
        "archive smtp not asked yet",
        "Listeners recipients policy",
    ]
    .map(|words_of| {
        words
            .find(words_of)
            .unwrap_or_else(|| panic!("no {words_of:?} in {words}"))
    });
    assert!(places.is_sorted(), "{places:?}");
    for secret in [
        "jane", "@", "postmaster", "busy@", SECRETIVE, "192.0.2.7", "127.0.1.",
    ] {
        assert!(!words.contains(secret), "{secret} in {words}");
    }
    assert!(!page.contains(JANE));
}

#[tokio::test(start_paused = true)]
async fn names_of_the_configuration_are_no_markup() {
    let mut hour = Hour::new(&HOSTILE).await;
    hour.pass(25).await;
    let (_, page) = fetch(&hour, "/?still").await;
    is_sound(&page);
    assert!(!page.contains("refresh\""), "it holds still");
    for name in [
        HOSTILE.recipients, HOSTILE.logins, HOSTILE.mailboxes, HOSTILE.spare,
    ] {
        let escaped = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let escaped = escaped.replace('"', "&quot;");
        assert!(
            page.contains(&format!("-name\"><bdi>{escaped}</bdi>")) && !page.contains(name),
            "{name}"
        );
    }
    assert!(
        page.contains("<bdi>&amp;lt;b&amp;gt; &amp; \u{fffd}evil\u{fffd} abc"),
        "{page}"
    );
    let words = words(&page);
    assert!(words.contains("The history began 25 min ago"), "{words}");
    assert!(words.contains(" no data yet "), "{words}");
}

#[tokio::test(start_paused = true)]
async fn before_the_first_step_it_says_so() {
    let hour = Hour::new(&SENSIBLE).await;
    let (_, page) = fetch(&hour, "/").await;
    is_sound(&page);
    let words = words(&page);
    for expected in [
        "ago, with this process. The charts show the last hour, in steps of 30 s.",
        "No directory was asked yet.",
        "Socket /var/spool/postfix/vouch/auth",
        "Last answer none yet",
    ] {
        assert!(words.contains(expected), "no {expected:?} in {words}");
    }
    assert!(!page.contains("role=\"img\""), "a chart of nothing");
}
