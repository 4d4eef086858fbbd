//! The steps that each answer takes, alone: a request and a reply read, a reply judged, the key of a cached login. None of them
//! has a goal of its own; `goals` measures answers as clients see them. `cargo bench --bench micro -- NAME` runs some.

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

/// What Postfix sends for one recipient.
const REQUEST: &[u8] = b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
    helo_name=mail.example.net\nqueue_id=\nsender=bob@example.net\nrecipient=jane@example.org\nrecipient_count=0\n\
    client_address=192.0.2.7\nclient_name=mail.example.net\nreverse_client_name=mail.example.net\n\
    instance=1a2b.5f3c.0\nsasl_method=\nsasl_username=\nsasl_sender=\nsize=0\nccert_subject=\nccert_issuer=\n\
    ccert_fingerprint=\nencryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n\
    encryption_keysize=256\netrn_domain=\nstress=\nccert_pubkey_fingerprint=\nclient_port=51234\n\
    policy_context=\nserver_address=198.51.100.1\nserver_port=25\ncompatibility_level=3.6\nmail_version=3.7.11\n\n";

const GREETING: &[u8] =
    b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] ready\r\n";

const EHLO: &[u8] = b"250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 20480000\r\n250-STARTTLS\r\n\
    250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 CHUNKING\r\n";

/// Refusals as servers word them.
const REFUSALS: [&str; 3] = [
    "550 5.1.1 <jane@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
    "550-Mailbox unknown.  Either there is no mailbox associated with this\r\n550-name or you do not have authorization \
     to see it.\r\n550 5.1.1 User unknown",
    "452 4.2.2 The email account that you tried to reach is over quota. Please direct the recipient to \
     https://support.example.com/mail/?p=OverQuotaTemp",
];

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
    let status = || Status::parse("NO [AUTHENTICATIONFAILED] Authentication failed.");
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
