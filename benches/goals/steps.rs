//! What one message holds up that a hostile remote or client has made as long as it may be: the time that it takes of a
//! thread which everybody shares.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::hmac;
use bytes::BytesMut;
use tokio_util::codec::Decoder;
use vouch::directory::judge;
use vouch::directory::judge::recipient::Settings;
use vouch::directory::judge::replies::Replies;
use vouch::settings::directory::{Code252, Rcpt};
use vouch_protocol::imap;
use vouch_protocol::imap::capability::Capabilities as Offered;
use vouch_protocol::imap::response::Response;
use vouch_protocol::policy;
use vouch_protocol::smtp::recipients::Recipients;
use vouch_protocol::smtp::{self, Capabilities, MAX_REPLY};

use crate::stage::median;
use crate::table::{Goal, Table};

/// The middle of so many is shown.
const TIMES: usize = 101;

/// Texts of replies that make much work, each of its kind, to be repeated.
const TEXTS: [&str; 10] = [
    "user unknown, relay access denied; ", "u4711@other.example ", "((((", "<<[[", "said: 550 ", "a=b ",
    "1.2.3.4 ", "\"x\" ", "mailbox does not exist if it is not ", "not ",
];

pub(crate) fn measure(table: &mut Table) {
    replies(table);
    let text = TEXTS[0].repeat(imap::LINE_LIMIT / TEXTS[0].len() - 1);
    let line = format!("a1 NO {text}\r\n");
    row(table, "reading and judging the longest NO to a login", || {
        let mut buffer = BytesMut::from(line.as_bytes());
        let response = imap::Codec::default().decode(&mut buffer).unwrap();
        let Some(Response::Tagged { status, .. }) = response else {
            panic!("{response:?}");
        };
        black_box(judge::imap::read(
            &Replies::default(),
            b"jane@example.org",
            &status,
        ));
    });
    let list: String = (0..imap::RESPONSE_LIMIT / 12)
        .map(|nth| format!("AUTH=X{nth} "))
        .collect();
    row(table, "reading the longest list of capabilities", || {
        black_box(Offered::parse(&list));
    });
    let field = format!("x={}\n", "y".repeat(20));
    let request = format!(
        "request=smtpd_access_policy\n{}\n",
        field.repeat(policy::REQUEST_LIMIT / field.len() - 2)
    );
    row(table, "reading the longest request of a policy client", || {
        let mut buffer = BytesMut::from(request.as_bytes());
        black_box(policy::Codec::default().decode(&mut buffer).unwrap());
    });
    let secret = "x".repeat(MAX_REPLY);
    row(
        table,
        "a keyed hash over 64 KiB, four times the longest password",
        || {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
            black_box(hmac::sign(&key, secret.as_bytes()));
        },
    );
}

/// The longest reply to RCPT, on a session that has been asked for a thousand recipients.
fn replies(table: &mut Table) {
    let (mut slowest, mut of) = (0.0, "");
    for text in TEXTS {
        let line = text.repeat((smtp::MAX_LINE - 32) / text.len());
        let lines = MAX_REPLY / (line.len() + 8);
        let reply: String = (1..=lines)
            .map(|nth| format!("550{}{line}\r\n", if nth < lines { '-' } else { ' ' }))
            .collect();
        let took = time(|| {
            let mut session = asked_for_a_thousand();
            let began = Instant::now();
            let mut buffer = BytesMut::from(reply.as_bytes());
            let reply = smtp::Codec::default().decode(&mut buffer).unwrap().unwrap();
            let answer = session.on_reply(reply).unwrap().unwrap();
            black_box(judge::recipient::judge(&settings(), b"u0@example.org", answer));
            began.elapsed().as_secs_f64() * 1e3
        });
        if took > slowest {
            (slowest, of) = (took, text);
        }
    }
    table.row(
        "reading and judging the longest reply to RCPT",
        Goal::AtMost(5.0),
        slowest,
        "ms",
        format!(
            "64 KiB of `{}`, the slowest of {} texts; the middle of {TIMES}",
            of.trim(),
            TEXTS.len()
        ),
    );
}

fn settings() -> Settings {
    Settings {
        rcpt: Rcpt {
            code_252: Code252::Defer,
            ..Rcpt::new()
        },
        replies: Replies::default(),
    }
}

/// A session that has been asked for as many as are told apart, and waits for the answer to one of them.
fn asked_for_a_thousand() -> Recipients {
    let mut session = Recipients::new(&Capabilities::default(), Vec::new());
    let names: Vec<_> = (0..1000)
        .map(|nth| format!("u{nth}@example.org").into_bytes())
        .collect();
    for (recipients, left) in [(names, 0), (vec![b"u0@example.org".to_vec()], 1)] {
        let commands = session.ask(recipients, false, false).unwrap();
        for _ in left..commands.len() {
            let _ = session.on_reply(smtp::Reply::new(250, ["2.1.5 Ok"]));
        }
    }
    session
}

fn row(table: &mut Table, what: &'static str, step: impl Fn()) {
    let took = time(|| {
        let began = Instant::now();
        step();
        began.elapsed().as_secs_f64() * 1e3
    });
    table.row(
        what,
        Goal::AtMost(5.0),
        took,
        "ms",
        format!("the middle of {TIMES}"),
    );
}

/// The middle of so many times.
fn time(step: impl Fn() -> f64) -> f64 {
    median((0..TIMES).map(|_| step()).collect())
}
