//! The steps that each answer takes, alone: a request and a reply read, a reply judged, the key of a cached login. None of them
//! has a goal of its own; `goals` measures answers as clients see them, `instructions` counts. `cargo bench --bench micro -- NAME`
//! runs some.

#[path = "instructions/inputs.rs"]
mod inputs;

use std::time::Duration;

use bytes::BytesMut;
use divan::{Bencher, black_box};
use tokio_util::codec::Decoder;
use vouch::directory::judge;
use vouch::directory::judge::recipient::Settings;
use vouch::directory::judge::replies::Replies;
use vouch::engine::logins::Logins;
use vouch::settings::cache::Credentials;
use vouch::verdict::UserName;
use vouch_protocol::imap::login::Outcome;
use vouch_protocol::imap::response::Status;
use vouch_protocol::secret::Secret;
use vouch_protocol::smtp::Reply;
use vouch_protocol::smtp::recipients::Answer;
use vouch_protocol::{imap, policy, smtp};

use inputs::{EHLO, GREETING, REFUSALS, REFUSED_LOGIN, REQUEST};

fn main() {
    divan::main();
}

/// One message of a codec.
fn read<C: Decoder<Error: std::fmt::Debug>>(
    bencher: Bencher<'_, '_>,
    codec: impl Fn() -> C + Sync,
    bytes: &[u8],
) {
    bencher
        .with_inputs(|| (codec(), BytesMut::from(bytes)))
        .bench_refs(|(codec, buffer)| codec.decode(buffer).is_ok_and(|read| read.is_some()));
}

#[divan::bench]
fn policy_request(bencher: Bencher<'_, '_>) {
    read(bencher, policy::Codec::default, REQUEST);
}

#[divan::bench]
fn imap_greeting(bencher: Bencher<'_, '_>) {
    read(bencher, imap::Codec::default, GREETING);
}

#[divan::bench]
fn smtp_ehlo_reply(bencher: Bencher<'_, '_>) {
    read(bencher, smtp::Codec::default, EHLO);
}

#[divan::bench(args = 0..REFUSALS.len())]
fn judge_recipient(bencher: Bencher<'_, '_>, refusal: usize) {
    let settings = Settings::default();
    bencher
        .with_inputs(|| Reply::parse(REFUSALS[refusal]).map(Answer::Recipient))
        .bench_values(|answer| {
            answer.map(|answer| judge::recipient::judge(&settings, b"jane@example.org", answer))
        });
}

#[divan::bench]
fn judge_imap_login(bencher: Bencher<'_, '_>) {
    let (replies, user) = (Replies::default(), UserName::new(b"jane@example.org"));
    let status = || Status::parse(REFUSED_LOGIN);
    bencher.with_inputs(status).bench_values(|status| {
        status.map(|status| {
            let outcome = Outcome::Status {
                status,
                capabilities: None,
            };
            judge::imap::judge(&replies, &user, outcome)
        })
    });
}

#[divan::bench]
fn key_of_a_cached_login(bencher: Bencher<'_, '_>) {
    let ttl = Credentials {
        positive: Duration::from_secs(300),
        negative: Duration::from_secs(10),
        stale: None,
    };
    let logins = Logins::new(1000, ttl, [7; 32]);
    let (user, password) = (
        UserName::new(b"jane@example.org"),
        Secret::copy_from(b"correct horse"),
    );
    bencher.bench(|| logins.tag(black_box(&user), b"PLAIN", black_box(&password)));
}
