//! A clock that is set back while the daemon runs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use remote::Server;
use tokio::time::{Instant, sleep};

use crate::asker::Answer;
use crate::machine::{JANE, Machine, NOBODY, options};
use crate::support::{Scratch, skipped};

const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until the remote is asked about somebody who was remembered: the memory of it has run out.
async fn runs_out(machine: &Machine, remote: &Server, name: &str, answer: Answer) {
    let end = Instant::now() + PATIENCE;
    let asked = remote.count("RCPT");
    while remote.count("RCPT") == asked {
        assert!(Instant::now() < end, "{name} is remembered for too long");
        assert_eq!(machine.ask(name).await, answer);
        sleep(Duration::from_millis(100)).await;
    }
}

/// The library that tells a program another time than the machine's.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    let library = |folder: fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    folders.flatten().map(library).find(|library| library.exists())
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_that_come_twice_make_nothing_live_longer() {
    let Some(library) = library() else {
        skipped("not installed: faketime");
        return;
    };
    let remote = Server::start(options()).unwrap();
    let scratch = Scratch::new();
    let keys = format!(
        "cache.file = \"{}\"\ncache.ttl = {{ positive = \"2s\", refresh = \"2s\", negative = \"2s\", \
         stale = \"2s\" }}\n",
        scratch.text("cache.redb")
    );
    let clock = scratch.write("clock", "+0\n");
    // Time that only passes is not the clock's, and nobody can set it.
    let script = format!(
        "export LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
        library.display(),
        clock.display()
    );
    let machine = Machine::new(scratch, &remote.address().to_string(), &keys)
        .start(&[], &script)
        .await;
    machine
        .logged(": read directory=remote recipients=0", async || {})
        .await;
    machine.is_right_again().await;
    let hour = |machine: &Machine| {
        let log = machine.log();
        let line = log
            .lines()
            .rfind(|line| line.contains("listener="))
            .unwrap()
            .to_owned();
        line.split(['T', ':']).nth(1).unwrap().to_owned()
    };
    let before = hour(&machine);
    // By two, since the next hour may begin meanwhile.
    fs::write(&clock, "-7200\n").unwrap();
    for (name, answer) in [(JANE, Answer::Yes), (NOBODY, Answer::No)] {
        runs_out(&machine, &remote, name, answer).await;
    }
    assert_ne!(hour(&machine), before, "the clock was set back");
    // Nor in the next life, in which the clock is behind from the start.
    fs::write(&clock, "-10800\n").unwrap();
    machine.is_right_again().await;
    sleep(Duration::from_millis(1500)).await;
    let machine = machine.stop().await.start(&[], &script).await;
    machine
        .logged(": read directory=remote recipients=", async || {})
        .await;
    for (name, answer) in [(JANE, Answer::Yes), (NOBODY, Answer::No)] {
        runs_out(&machine, &remote, name, answer).await;
    }
    let log = machine.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}
