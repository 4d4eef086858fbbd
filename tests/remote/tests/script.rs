//! Scripts: what they say, what they expect, what they complain of.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod client;

use std::time::Duration;

use client::Client;
use remote::{Authority, Mismatch, Script};
use tokio::task::JoinHandle;
use tokio::time::Instant;

fn play(text: &str) -> (Client, JoinHandle<Result<(), Mismatch>>) {
    let script = Script::parse(text).unwrap();
    let (ours, theirs) = tokio::io::duplex(4096);
    (
        Client::over(ours),
        tokio::spawn(async move { script.play(theirs).await }),
    )
}

#[tokio::test(start_paused = true)]
async fn a_script_is_played_in_order() {
    let (mut client, played) = play(
        r"
        # who says what
        S: 220 \x41\\B
        C: EHLO x
        S- 250-half
        WAIT 2s
        S: and half\r\n250\sdone
        C~ AUTH PLAIN
        S- 5
        WAIT 500ms
        S- 35 no\r\n
        C:
        END
        ",
    );
    assert_eq!(client.line().await, r"220 A\B");
    let start = Instant::now();
    client.send("EHLO x").await;
    assert_eq!(client.line().await, "250-halfand half");
    assert_eq!(client.line().await, "250 done");
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    assert_eq!(client.ask("AUTH PLAIN AAAA").await, "535 no");
    client.send("").await;
    drop(client);
    assert_eq!(played.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_mismatch_names_the_line_and_what_came() {
    let (mut client, played) = play("S: 220 x\nC: EHLO x\n");
    client.ask("EHLO y").await;
    let mismatch = played.await.unwrap().unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        r#"line 2 of the script wants "EHLO x", but "EHLO y" came"#
    );

    let (client, played) = play("C: QUIT\n");
    drop(client);
    assert_eq!(played.await.unwrap().unwrap_err().came, "the client closed");

    let (_client, played) = play("\nC: QUIT\n");
    let mismatch = played.await.unwrap().unwrap_err();
    assert_eq!((mismatch.line, mismatch.came.as_str()), (2, "nothing came"));

    let (mut client, played) = play("C: QUIT\nEND\n");
    client.raw("QUIT\r\nX").await;
    assert!(played.await.unwrap().unwrap_err().came.contains('X'));

    // Bare LF is no line end.
    let (mut client, played) = play("C: QUIT\n");
    client.raw("QUIT\n").await;
    drop(client);
    assert!(played.await.unwrap().is_err());
}

#[tokio::test]
async fn tls_starts_where_the_script_says_and_what_is_behind_arrives_with_it() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["mail.example.org"]).unwrap();
    let text = "C: STARTTLS\nS: 220 go\nTLS\nC: EHLO x\nS: 250 x\nCLOSE\nS: never";
    let script = Script::parse(text).unwrap().with_tls(&identity);
    let (ours, theirs) = tokio::io::duplex(65536);
    let played = tokio::spawn(async move { script.play(theirs).await });
    let mut client = Client::over(ours);
    client.ask("STARTTLS").await;
    let mut client = client.tls(&authority, "mail.example.org").await.unwrap();
    client.send("EHLO x").await;
    assert_eq!(client.rest().await, b"250 x\r\n");
    assert_eq!(played.await.unwrap(), Ok(()));

    let (mut client, _played) = play("C: STARTTLS\nS: 220 go\nS: 250 injected\nHANG");
    client.ask("STARTTLS").await;
    // One write: it is here already.
    assert_eq!(client.line().await, "250 injected");
}

#[test]
fn what_is_no_step_is_refused() {
    for text in [
        "X: 1", "S:x", "WAIT", "WAIT 5", "S: \\q", "S: \\x4", "C", "tls", "é",
    ] {
        let error = Script::parse(&format!("S: ok\n{text}")).unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (2, text));
    }
}
