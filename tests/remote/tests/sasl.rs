//! The mechanisms in which no password is said, by the examples of their standards.

mod client;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::Client;
use remote::{Account, Options, Protocol, Server};

fn options(protocol: Protocol) -> Options {
    let offers: &[&str] = match protocol {
        Protocol::Imap => &[
            "IMAP4rev1", "SASL-IR", "AUTH=CRAM-MD5", "AUTH=SCRAM-SHA-1", "AUTH=SCRAM-SHA-256",
            "AUTH=XOAUTH2", "AUTH=OAUTHBEARER",
        ],
        _ => &["AUTH CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 XOAUTH2 OAUTHBEARER"],
    };
    Options::new(protocol)
        .offering(offers)
        .account(Account::new("user", "pencil"))
}

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// Says each line and expects each answer, of which the ends count.
async fn play(client: &mut Client, dialog: &[(&str, &str)]) {
    for (line, expected) in dialog {
        client.send(line).await;
        let reply = client.reply().await;
        let last = reply.trim_end().rsplit('\n').next().unwrap_or_default();
        assert!(last.starts_with(expected), "{line}: {reply}");
    }
}

struct Example {
    name: &'static str,
    nonces: (&'static str, &'static str),
    salt: &'static str,
    proof: &'static str,
    server: &'static str,
}

/// RFC 5802 §5 and RFC 7677 §3.
const EXAMPLES: [Example; 2] = [
    Example {
        name: "SCRAM-SHA-1",
        nonces: ("fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j"),
        salt: "QSXCR+Q6sek8bf92",
        proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        server: "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    },
    Example {
        name: "SCRAM-SHA-256",
        nonces: ("rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    },
];

#[tokio::test]
async fn scram_as_in_its_standards() {
    for example in EXAMPLES {
        let (ours, theirs) = example.nonces;
        let mut options = options(Protocol::Imap);
        options.nonce = Some(theirs.to_owned());
        options.salt = STANDARD.decode(example.salt).unwrap_or_default();
        let server = Server::start(options).unwrap();
        let mut client = Client::greeted(&server).await;
        let first = encode(&format!("n,,n=user,r={ours}"));
        let server_first = encode(&format!("r={ours}{theirs},s={},i=4096", example.salt));
        let start = format!("a AUTHENTICATE {} {first}", example.name);
        let challenge = format!("+ {server_first}");
        let last = |proof: &str| encode(&format!("c=biws,r={ours}{theirs},p={proof}"));
        let other = example.proof.replace('v', "w").replace('d', "e");
        for (proof, reply) in [
            (other.as_str(), "a NO [AUTHENTICATIONFAILED]"),
            ("", "a NO [AUTHENTICATIONFAILED]"),
        ] {
            play(&mut client, &[(&start, &challenge), (&last(proof), reply)]).await;
        }
        let signature = format!("+ {}", encode(&format!("v={}", example.server)));
        let dialog = [
            (&*start, &*challenge),
            (&last(example.proof), &signature),
            ("", "a OK"),
        ];
        play(&mut client, &dialog).await;
    }
}

#[tokio::test]
async fn scram_of_nobody_and_of_others() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    let mut client = Client::greeted(&server).await;
    client.send("EHLO me").await;
    client.reply().await;
    let auth = |first: &str| format!("AUTH SCRAM-SHA-256 {}", encode(first));
    let dialog = [
        (&*auth("n,,n=nobody,r=x"), "334 "),
        (&*encode("c=biws,r=x,p=AAAA"), "535 5.7.8"),
        (&*auth("n,a=root,n=user,r=x"), "535 5.7.8"),
        (&*auth("p=tls-unique,,n=user,r=x"), "501 5.5.2"),
        (&*auth("n,,n=us=er,r=x"), "501 5.5.2"),
        (&*auth("n,,n=user,r=x"), "334 "),
        ("*", "501 5.7.0"),
    ];
    play(&mut client, &dialog).await;
}

#[tokio::test]
async fn cram_md5() {
    let mut options = options(Protocol::Imap).account(Account::new("tim", "tanstaaftanstaaf"));
    options.nonce = Some("1896.697170952".to_owned());
    let server = Server::start(options).unwrap();
    let mut client = Client::greeted(&server).await;
    let challenge = format!("+ {}", encode("<1896.697170952@remote.test>"));
    // HMAC-MD5 of that with the password.
    let good = encode("tim 8d045ccdfe297e7872de3549f505331e");
    let start = "a AUTHENTICATE CRAM-MD5";
    let dialog = [
        (start, &*challenge),
        (
            &*encode("nobody b913a602c7eda7a495b4e6e7334d3890"),
            "a NO [AUTHENTICATIONFAILED]",
        ),
        ("a AUTHENTICATE CRAM-MD5 AAAA", "a BAD"),
        (start, &challenge),
        (&good, "a OK"),
    ];
    play(&mut client, &dialog).await;
}

#[tokio::test]
async fn tokens() {
    let server = Server::start(options(Protocol::Imap)).unwrap();
    let mut client = Client::greeted(&server).await;
    let xoauth2 = |token: &str| {
        let message = format!("user=user\u{1}auth=Bearer {token}\u{1}\u{1}");
        format!("a AUTHENTICATE XOAUTH2 {}", encode(&message))
    };
    let bearer = |token: &str| {
        let message = format!("n,a=user,\u{1}host=x\u{1}auth=Bearer {token}\u{1}\u{1}");
        format!("a AUTHENTICATE OAUTHBEARER {}", encode(&message))
    };
    let why = format!("+ {}", encode(r#"{"status":"invalid_token"}"#));
    let dialog = [
        (&*xoauth2("wrong"), &*why),
        ("", "a NO [AUTHENTICATIONFAILED]"),
        (&bearer("wrong"), &why),
        ("AQ==", "a NO [AUTHENTICATIONFAILED]"),
        (&bearer("pencil"), "a OK"),
    ];
    play(&mut client, &dialog).await;
    let mut client = Client::greeted(&server).await;
    play(&mut client, &[(&*xoauth2("pencil"), "a OK")]).await;
}

#[tokio::test]
async fn xclient_takes_what_it_offers() {
    let options = Options::new(Protocol::Smtp).offering(&["XCLIENT ADDR PORT"]);
    let server = Server::start(options).unwrap();
    let mut client = Client::greeted(&server).await;
    let dialog = [
        ("EHLO me", "250 "),
        ("XCLIENT ADDR=192.0.2.7 PORT=50123", "220 "),
        ("MAIL FROM:<>", "503 "),
        ("EHLO me", "250 "),
        ("XCLIENT ADDR=IPV6:2001:db8::7", "220 "),
        ("XCLIENT ADDR=2001:db8::7", "501 "),
        ("XCLIENT ADDR=192.0.2.7 NAME=x", "501 "),
        ("XCLIENT", "501 "),
    ];
    play(&mut client, &dialog).await;
}
