//! What a client waits for at its first `RCPT TO` a new recipient: a Postfix that asks vouch, against one that asks
//! itself by `verify(8)`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use remote::Protocol;

use crate::postfix::Postfix;
use crate::stage::{Stage, median, options, user};
use crate::support::Scratch;
use crate::table::{Goal, Table};
use crate::yardsticks;

/// `verify(8)` takes three seconds for each.
const RECIPIENTS: usize = 5;

pub(crate) fn measure(table: &mut Table) {
    let what =
        "a new recipient at Postfix: median time against `reject_unverified_recipient` with its defaults";
    if let Some(why) = yardsticks::missing(&["postfix"]) {
        return table.skipped(what, Goal::AtMost(0.01), why);
    }
    let scratch = Scratch::new();
    let stage = Stage::new(options(Protocol::Lmtp), "policy", "", "mode = \"0666\"");
    let mut front = Postfix::front(&scratch, Some(&stage.listener("policy")), None);
    let ours = median(waits(front.smtp, 0));
    front.stop();
    let beside = Scratch::new();
    let mut verifying = Postfix::verifying(&beside, stage.remote.port());
    let theirs = median(waits(verifying.smtp, RECIPIENTS + 1));
    verifying.stop();
    table.row(
        what,
        Goal::AtMost(0.01),
        ours / theirs,
        "",
        format!("{:.2} ms, verify {:.0} ms", ours * 1e3, theirs * 1e3),
    );
}

/// Seconds from `RCPT TO` to its answer, for recipients that nobody has asked about. The first warms up.
fn waits(port: u16, first: usize) -> Vec<f64> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut say = |command: String| {
        let began = Instant::now();
        (&stream).write_all(command.as_bytes()).unwrap();
        let line = lines
            .find_map(|line| line.ok().filter(|line| line.as_bytes().get(3) == Some(&b' ')))
            .unwrap();
        assert!(line.starts_with("250 "), "{command}{line}");
        began.elapsed().as_secs_f64()
    };
    // The greeting is read as the answer to nothing.
    let mut greeting = String::new();
    BufReader::with_capacity(1, &stream)
        .read_line(&mut greeting)
        .unwrap();
    say("EHLO client.example.net\r\n".into());
    say("MAIL FROM:<alice@example.net>\r\n".into());
    let mut waits: Vec<f64> = (first..=first + RECIPIENTS)
        .map(|number| say(format!("RCPT TO:<{}>\r\n", user(number))))
        .collect();
    waits.remove(0);
    waits
}
