//! A remote that offers every mechanism and gives in to every login, refuses each, or breaks off when it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Ends;

const MECHANISMS: &str = "PLAIN LOGIN XOAUTH2 OAUTHBEARER CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256";

/// It serves until it is dropped.
pub(super) struct Remote {
    pub(super) port: u16,
    ends: Arc<AtomicU8>,
    task: tokio::task::JoinHandle<()>,
}

impl Remote {
    pub(super) async fn start(imap: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(AtomicU8::new(Ends::Good as u8));
        let told = ends.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let ends = told.clone();
                // The end of a session is that of its client.
                tokio::spawn(async move { serve(stream, imap, &ends).await });
            }
        });
        Self { port, ends, task }
    }

    /// How logins end from now on.
    pub(super) fn end(&self, ends: Ends) {
        self.ends.store(ends as u8, Ordering::Relaxed);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, imap: bool, ends: &AtomicU8) -> Option<()> {
    let (input, mut output) = stream.split();
    let mut lines = BufReader::new(input.take(1 << 20)).lines();
    let greeting = if imap {
        let offers: String = MECHANISMS
            .split(' ')
            .map(|name| format!(" AUTH={name}"))
            .collect();
        format!("* OK [CAPABILITY IMAP4rev1 SASL-IR{offers}] hi")
    } else {
        "220 hi".to_owned()
    };
    say(&mut output, &greeting).await?;
    while let Some(line) = lines.next_line().await.ok()? {
        let (tag, command) = if imap {
            line.split_once(' ')?
        } else {
            ("", line.as_str())
        };
        let words: Vec<&str> = command.split(' ').collect();
        match words[0] {
            "EHLO" => say(&mut output, &format!("250-hi\r\n250 AUTH {MECHANISMS}")).await?,
            "AUTHENTICATE" | "AUTH" => {
                let said = words.len() - 2;
                let prompt = if imap { "+" } else { "334" };
                let ends = ends.load(Ordering::Relaxed);
                for challenge in challenges(words[1], ends == Ends::Bad as u8).iter().skip(said) {
                    say(&mut output, &format!("{prompt} {}", STANDARD.encode(challenge))).await?;
                    lines.next_line().await.ok()??;
                }
                finish(&mut output, tag, imap, ends).await?;
            }
            "LOGIN" => finish(&mut output, tag, imap, ends.load(Ordering::Relaxed)).await?,
            "LOGOUT" | "QUIT" => return None,
            _ => say(&mut output, if imap { "* BAD what" } else { "500 what" }).await?,
        }
    }
    None
}

/// The last word to a login.
async fn finish(output: &mut (impl AsyncWrite + Unpin), tag: &str, imap: bool, ends: u8) -> Option<()> {
    let (yes, no) = if imap {
        ("OK yes", "NO [AUTHENTICATIONFAILED] no")
    } else {
        ("235 yes", "535 5.7.8 no")
    };
    let word = [Some(yes), Some(no), None][usize::from(ends)]?;
    say(output, format!("{tag} {word}").trim_start()).await
}

/// What is said in turn, each answered by a message of the client; a client that speaks first is not asked for that.
fn challenges(mechanism: &str, refused: bool) -> Vec<&'static str> {
    match (mechanism, refused) {
        ("PLAIN", _) | ("XOAUTH2" | "OAUTHBEARER", false) => vec![""],
        ("XOAUTH2" | "OAUTHBEARER", true) => vec!["", r#"{"status":"invalid_token"}"#],
        ("LOGIN", _) => vec!["Username:", "Password:"],
        ("CRAM-MD5", _) => vec!["<1896.697170952@remote.test>"],
        ("DIGEST-MD5", true) => vec![r#"realm="",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm="md5-sess""#],
        ("DIGEST-MD5", false) => vec![
            r#"realm="",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm="md5-sess""#,
            "rspauth=ea40f60335c427b5527b84dbabcdfffd",
        ],
        (_, true) => vec!["", "r=n0nceofitsown,s=QSXCR+Q6sek8bf92,i=4096"],
        (_, false) => vec![
            "", "r=n0nceofitsown,s=QSXCR+Q6sek8bf92,i=4096", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    }
}

async fn say(output: &mut (impl AsyncWrite + Unpin), line: &str) -> Option<()> {
    output.write_all(format!("{line}\r\n").as_bytes()).await.ok()
}
