//! Honest CRAM-MD5 logins beside dialogs that somebody begins and leaves half done.

use std::path::PathBuf;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::Protocol;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::md5::hmac_md5;
use crate::stage::{PASSWORD, Stage, options, user};
use crate::table::{Goal, Table};

/// Honest logins, one every `PAUSE`.
const HONEST: u64 = 24;
const PAUSE: Duration = Duration::from_millis(1500);

/// Somebody begins a dialog so often, and says no more.
const SILENT: Duration = Duration::from_secs(1);

/// For so long before the first honest login.
const BEFORE: Duration = Duration::from_secs(30);

/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(table: &mut Table) {
    let mut options =
        options(Protocol::Imap).offering(&["IMAP4rev1", "SASL-IR", "AUTH=PLAIN", "AUTH=CRAM-MD5"]);
    options.delays.reply = Duration::from_millis(20);
    let stage = Stage::new(
        options,
        "auth",
        "",
        "tempfail = \"fail\"\nmechanisms = [\"PLAIN\", \"CRAM-MD5\"]",
    );
    let mut took = stage.runtime.block_on(async {
        let socket = stage.listener("auth");
        offered(&socket).await;
        let silent = socket.clone();
        let attack = tokio::spawn(async move {
            for nth in 0_u64.. {
                tokio::spawn(dialog(
                    silent.clone(),
                    None,
                    format!("198.51.{}.{}", nth / 250, nth % 250),
                ));
                sleep(SILENT).await;
            }
        });
        sleep(BEFORE).await;
        let mut took = Vec::new();
        for nth in 0..HONEST {
            let began = Instant::now();
            let good = dialog(socket.clone(), Some(user(nth as usize)), format!("192.0.2.{nth}"));
            if timeout(PATIENCE, good).await == Ok(true) {
                took.push(began.elapsed().as_secs_f64() * 1e3);
            }
            tokio::time::sleep_until(began + PAUSE).await;
        }
        attack.abort();
        took
    });
    took.sort_by(f64::total_cmp);
    let p95 = if took.len() < HONEST as usize {
        f64::INFINITY
    } else {
        took[took.len() * 95 / 100]
    };
    table.row(
        "honest CRAM-MD5 logins beside a silent half-done dialog a second: p95",
        Goal::AtMost(500.0),
        p95,
        "ms",
        format!(
            "{} of {HONEST} OK, the last within {:.0} ms; at most {} connections at the remote",
            took.len(),
            took.last().copied().unwrap_or_default(),
            stage.remote.most_open()
        ),
    );
}

/// Waits until it is known what the remote offers.
async fn offered(socket: &PathBuf) {
    for _ in 0..500 {
        let mut lines = BufReader::new(UnixStream::connect(socket).await.unwrap()).lines();
        lines
            .get_mut()
            .write_all(b"VERSION\t1\t2\nCPID\t1\n")
            .await
            .unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("MECH\tCRAM-MD5") {
                return;
            }
            if line == "DONE" {
                break;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("CRAM-MD5 is not offered");
}

/// A dialog of a user, on a connection of its own as a Postfix has it; without one, its client says no more than that
/// it begins. Whether it was accepted.
async fn dialog(socket: PathBuf, user: Option<String>, address: String) -> bool {
    let mut lines = BufReader::new(UnixStream::connect(socket).await.unwrap()).lines();
    let begin = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tCRAM-MD5\tservice=smtp\trip={address}\n");
    lines.get_mut().write_all(begin.as_bytes()).await.unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        match (line.strip_prefix("CONT\t1\t"), &user) {
            (Some(challenge), Some(user)) => {
                let challenge = BASE64_STANDARD.decode(challenge).unwrap();
                let answer =
                    BASE64_STANDARD.encode(format!("{user} {}", hmac_md5(PASSWORD.as_bytes(), &challenge)));
                let response = format!("CONT\t1\t{answer}\n");
                lines.get_mut().write_all(response.as_bytes()).await.unwrap();
            }
            _ if line.starts_with("OK\t1") => return true,
            _ if line.starts_with("FAIL\t1") => return false,
            _ => {}
        }
    }
    false
}
