//! The steps that an answer takes, alone, in a process of this program that valgrind counts.

use std::fmt::Debug;
use std::hint::black_box;
use std::mem;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use remote::{Account, Options, Protocol, Server};
use tokio::runtime::Builder;
use tokio_util::codec::Decoder;
use vouch::address::Address;
use vouch::config::read;
use vouch::daemon;
use vouch::directory::judge;
use vouch::directory::judge::recipient::Settings;
use vouch::directory::judge::replies::Replies;
use vouch::engine::Engine;
use vouch::engine::logins::Logins;
use vouch::settings::cache::Credentials;
use vouch::verdict::{Client, Kind, Question, UserName};
use vouch_protocol::imap::login::Outcome;
use vouch_protocol::imap::response::Status;
use vouch_protocol::secret::Secret;
use vouch_protocol::smtp::Reply;
use vouch_protocol::smtp::recipients::Answer;
use vouch_protocol::{imap, policy, smtp};

use crate::inputs::{EHLO, GREETING, REFUSALS, REFUSED_LOGIN, REQUEST};
use crate::{Life, callgrind};

/// The argument that makes this program the process that is counted.
pub(crate) const ROLE: &str = "step";

const JANE: &[u8] = b"jane@example.org";

/// How often most steps are taken.
const MOST: usize = 1000;

/// A life in which the step is taken so often.
type Steps = fn(usize);

/// A step: the words of its row, how often it is taken in the longer of two lives, and how.
const STEPS: [(&str, usize, Steps); 9] = [
    ("codec: a policy request is read", MOST, |count| {
        read::<policy::Codec>(REQUEST, count);
    }),
    ("codec: an IMAP greeting is read", MOST, |count| {
        read::<imap::Codec>(GREETING, count);
    }),
    ("codec: a reply to EHLO is read", MOST, |count| {
        read::<smtp::Codec>(EHLO, count);
    }),
    ("judge: a refusal of a recipient in one line", MOST, |count| {
        judge_recipient(0, count);
    }),
    ("judge: one of three lines", MOST, |count| {
        judge_recipient(1, count);
    }),
    ("judge: a full mailbox", MOST, |count| {
        judge_recipient(2, count);
    }),
    ("judge: a refused login", MOST, judge_login),
    ("memory: the key of a cached login", MOST, key_of_a_cached_login),
    // An engine takes chance from the system as it starts, which is not always as long.
    ("memory: the engine recalls a recipient", 50 * MOST, recall),
];

/// The rows of the steps.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, Life)> {
    STEPS.into_iter().map(|(what, most, _)| {
        let counted = move |count: usize| {
            let mut command = callgrind::command(&std::env::current_exe().unwrap());
            callgrind::collected(command.args([ROLE, what, &count.to_string()]))
        };
        (what, Life::new([most / 10, most], counted))
    })
}

/// In the process that is counted.
pub(crate) fn take(what: &str, count: &str) {
    let (_, _, steps) = STEPS.iter().find(|(known, ..)| *known == what).unwrap();
    steps(count.parse().unwrap());
}

/// Takes a step `count` times. What it takes is made as often in each life, and so is not counted.
fn repeat<T, R>(count: usize, make: impl Fn() -> T, step: impl Fn(T) -> R) {
    let inputs: Vec<T> = (0..MOST).map(|_| make()).collect();
    let mut inputs = inputs.into_iter();
    for input in inputs.by_ref().take(count) {
        black_box(step(black_box(input)));
    }
    mem::forget(inputs);
}

fn read<C: Decoder<Error: Debug, Item: Debug> + Default>(bytes: &[u8], count: usize) {
    let make = || (C::default(), BytesMut::from(bytes));
    repeat(count, make, |(mut codec, mut buffer)| {
        codec.decode(&mut buffer).unwrap().unwrap()
    });
}

fn judge_recipient(refusal: usize, count: usize) {
    let settings = Settings::default();
    let make = || Answer::Recipient(Reply::parse(REFUSALS[refusal]).unwrap());
    repeat(count, make, |answer| {
        judge::recipient::judge(&settings, JANE, answer)
    });
}

fn judge_login(count: usize) {
    let (replies, user) = (Replies::default(), UserName::new(JANE));
    let make = || Outcome::Status {
        status: Status::parse(REFUSED_LOGIN).unwrap(),
        capabilities: None,
    };
    repeat(count, make, |outcome| {
        judge::imap::judge(&replies, &user, outcome)
    });
}

fn key_of_a_cached_login(count: usize) {
    let ttl = Credentials {
        positive: Duration::from_secs(300),
        negative: Duration::from_secs(10),
        stale: None,
    };
    let logins = Logins::new(1000, ttl, [7; 32]);
    let (user, password) = (UserName::new(JANE), Secret::copy_from(b"correct horse"));
    repeat(count, || (), |()| logins.tag(&user, b"PLAIN", &password));
}

fn recall(count: usize) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = Options::new(Protocol::Lmtp).account(Account::new("jane@example.org", "x"));
        let remote = Server::start(options).unwrap();
        let text = format!(
            "[directory.remote]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\n\
             lookup = {{ domains = [\"example.org\"], catch-all = \"off\" }}\n",
            remote.port()
        );
        let (config, _) = read::parse(Path::new("recall.toml"), &text).unwrap();
        let engine = Engine::new(daemon::members(&config, None).unwrap(), None);
        let ask = async || {
            let kind = Kind::Recipient(Address::from_unquoted(JANE).unwrap());
            let client = Client::default();
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            let decision = engine.decide(Question { kind, client }, deadline).await;
            assert_eq!(decision.verdict.name(), "accept");
        };
        for _ in 0..=count {
            ask().await;
        }
    });
}
