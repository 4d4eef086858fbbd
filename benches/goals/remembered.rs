//! A million recipients that are remembered: what they take, and a start with the file that has them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use remote::Protocol;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::clients::{ask, policy_load, policy_request};
use crate::stage::{Stage, options, resident};
use crate::support::{Scratch, Vouch};
use crate::table::{Goal, Table};

const RECIPIENTS: usize = 1_000_000;
const CONNECTIONS: usize = 100;
const MIB: f64 = 1024.0 * 1024.0;

/// No machine takes longer to read the file.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(table: &mut Table) {
    let scratch = Scratch::new();
    let mut options = options(Protocol::Lmtp);
    options.catch_all = true;
    let directory = format!(
        "limits = {{ rcpt = 1000, rcpt-errors = 1000 }}\ncache = {{ entries = {RECIPIENTS}, file = \"{}\" }}",
        scratch.text("recipients.redb")
    );
    let keys = format!(
        "limits = {{ rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }}\n[control]\nsocket = \"{}\"",
        scratch.text("control")
    );
    let stage = Stage::set(scratch, options, "policy", &directory, &keys, Vouch::serve);
    let before = resident(stage.vouch.id());
    let name = |number: usize| format!("firstname.lastname{number}@example.org");
    let (mut asked, listener) = (0, stage.listener("policy"));
    while asked < RECIPIENTS {
        let first = asked;
        let some = Duration::from_millis(500);
        let load = policy_load(
            &listener,
            CONNECTIONS,
            some,
            move |number| name(first + number),
            None,
        );
        asked += stage.runtime.block_on(load).0 as usize;
    }
    let after = resident(stage.vouch.id());
    let kept = entries(&stage.scratch);
    let what = "1,000,000 recipients remembered: resident memory";
    let seen = format!(
        "{:.1} MiB before, {kept} remembered, {:.0} bytes for each",
        before as f64 / MIB,
        (after - before) as f64 / kept as f64
    );
    table.row(what, Goal::AtMost(200.0), after as f64 / MIB, "MiB", seen);
    started_again(table, stage);
}

/// The daemon that comes after the one of this stage, and finds its file.
fn started_again(table: &mut Table, stage: Stage) {
    stage.vouch.stop();
    let began = Instant::now();
    let mut vouch = Command::new(env!("CARGO_BIN_EXE_vouch"))
        .args(["serve", "-c"])
        .arg(stage.scratch.path("vouch.toml"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(vouch.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(log.any(|line| line.contains("ready ms=")), "it ended");
    let ready = began.elapsed();
    // Nobody else reads it.
    std::thread::spawn(move || log.for_each(drop));
    let answered = stage.runtime.block_on(async {
        let mut stream = UnixStream::connect(stage.scratch.path("policy")).await.unwrap();
        let (asked, mut answer) = (Instant::now(), Vec::new());
        ask(&mut stream, &policy_request("new@example.org"), &mut answer).await;
        assert_eq!(answer, b"action=DUNNO\n\n");
        asked.elapsed()
    });
    let mut kept = 0;
    let mut read = began.elapsed();
    while began.elapsed() < PATIENCE {
        let now = entries(&stage.scratch);
        // It goes on being read as long as there are more of them.
        if now > kept {
            (kept, read) = (now, began.elapsed());
        } else if began.elapsed() > read + Duration::from_secs(1) {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    let resident = resident(vouch.id());
    vouch.kill().unwrap();
    vouch.wait().unwrap();
    let size = stage.scratch.path("recipients.redb").metadata().unwrap().len();
    let seen = format!(
        "the first answer {:.1} ms later, all {kept} read after {:.1} s from {:.0} MiB, {:.0} MiB resident then",
        answered.as_secs_f64() * 1e3,
        read.as_secs_f64(),
        size as f64 / MIB,
        resident as f64 / MIB
    );
    let what = "start to READY with a file of 1,000,000 recipients";
    table.row(what, Goal::AtMost(1000.0), ready.as_secs_f64() * 1e3, "ms", seen);
}

/// Recipients that the daemon remembers.
fn entries(scratch: &Scratch) -> u64 {
    let status = Command::new(env!("CARGO_BIN_EXE_vouch"))
        .args(["status", "--json", "-c"])
        .arg(scratch.path("vouch.toml"))
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
    status["directories"][0]["remembered"]["recipients"]["entries"]
        .as_u64()
        .unwrap_or_default()
}
