//! From the start of the process to the line `ready` in its log, and the size of the program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::stage::median;
use crate::support::Scratch;
use crate::table::{Goal, Table};

const STARTS: usize = 21;

pub(crate) fn measure(table: &mut Table) {
    let scratch = Scratch::new();
    let config = scratch.write(
        "vouch.toml",
        format!(
            "[directory.imap]\ntype = \"imap\"\naddress = \"127.0.0.1\"\n[directory.imap.tls]\nimplicit = true\n\
             [listener.auth]\nprotocol = \"auth\"\nsocket = \"{}\"\ndirectory = [\"imap\"]\n",
            scratch.text("auth")
        ),
    );
    let starts = (0..STARTS).map(|_| {
        let began = Instant::now();
        let mut vouch = Command::new(env!("CARGO_BIN_EXE_vouch"))
            .args(["serve", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(vouch.stderr.take().unwrap());
        let ready = log
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("ready ms="));
        let took = began.elapsed();
        vouch.kill().unwrap();
        vouch.wait().unwrap();
        assert!(ready, "it ended");
        took.as_secs_f64() * 1e3
    });
    let took: Vec<f64> = starts.collect();
    let worst = took.iter().copied().fold(0.0, f64::max);
    table.row(
        "start to READY",
        Goal::AtMost(20.0),
        median(took),
        "ms",
        format!("median of {STARTS}, worst {worst:.0} ms"),
    );
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_vouch")).unwrap().len();
    table.row(
        "size of the program",
        Goal::AtMost(11.0),
        program as f64 / 1e6,
        "MB",
        format!("{program} bytes, without symbols"),
    );
}
