//! The auth-master protocol: requests, and replies that hold whatever bytes.

use bytes::BytesMut;
use tokio_util::codec::Encoder as _;
use vouch_protocol::auth::master::{CacheCounters, Claim, Codec, Lookup, Reply, Request};
use vouch_protocol::secret::Secret;

use crate::auth_client::parameters;
use crate::{input, pieces, tabs};

/// The longest line in either direction.
const LINE: usize = 8192;

/// Twice: requests as a client sends them; and replies of the parts between `|`.
pub fn run(input: &[u8]) {
    let wire = input::stretched(input, 2 * LINE);
    let read = pieces::read(Codec::default, &wire, LINE, false, show);
    let mut again = b"VERSION\t1\t0\n".to_vec();
    for request in &read.messages {
        again.extend(write(request));
    }
    let again = pieces::read(Codec::default, &again, usize::MAX, false, show);
    // Written anew, with its replacement characters, a line may have become too long.
    if again.error.is_none() {
        let shown = |messages: &[Request]| messages.iter().map(show).collect::<Vec<_>>();
        assert_eq!(shown(&again.messages), shown(&read.messages));
    }
    replies(&wire);
}

/// A request with its cookie.
fn show(request: &Request) -> String {
    let cookie = match request {
        Request::Request(Claim { cookie, .. }) => Some(cookie.expose()),
        _ => None,
    };
    format!("{request:?} {cookie:?}")
}

fn write(request: &Request) -> Vec<u8> {
    let lookup = |word: &[u8], lookup: &Lookup| {
        let mut fields = vec![
            word.to_vec(),
            lookup.id.to_string().into_bytes(),
            lookup.user.clone(),
        ];
        fields.extend(parameters(&lookup.parameters));
        fields
    };
    let fields = match request {
        Request::User(found) => lookup(b"USER", found),
        Request::Pass(found) => lookup(b"PASS", found),
        Request::List { id, mask } => {
            let mask = mask.iter().map(|mask| [b"user=", &**mask].concat());
            [b"LIST".to_vec(), id.to_string().into_bytes()]
                .into_iter()
                .chain(mask)
                .collect()
        }
        Request::Request(claim) => return claim.to_line().expose().to_vec(),
        Request::CacheFlush { id, users } => {
            let head = [b"CACHE-FLUSH".to_vec(), id.to_string().into_bytes()];
            head.into_iter().chain(users.iter().cloned()).collect()
        }
        Request::CacheStatus { id, reset } => {
            let head = [b"CACHE-STATUS".to_vec(), id.to_string().into_bytes()];
            let reset = reset.then(|| b"reset".to_vec());
            head.into_iter().chain(reset).collect()
        }
        Request::Unknown { id, command } => vec![command.clone(), id.to_string().into_bytes()],
    };
    tabs::line(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Replies of the parts of `wire`: one line each, which says what went in; what a client
/// could not read is a FAIL, never another answer.
fn replies(wire: &[u8]) {
    let mut parts = wire.split(|&byte| byte == b'|');
    let mut part = || parts.next().unwrap_or_default().to_vec();
    let (name, field, value) = (part(), input::text(&part()), part());
    let claim = Claim {
        id: 7,
        cpid: 8,
        client_id: 9,
        cookie: Secret::copy_from(&value),
        session_pid: None,
        session_pid_trusted: true,
        request_auth_token: true,
    };
    tabs::fields(claim.to_line().expose());
    for reply in [
        Reply::User {
            id: 7,
            name: name.clone(),
            fields: vec![(field.clone(), value.clone())],
        },
        Reply::User {
            id: 7,
            name: name.clone(),
            fields: vec![],
        },
        Reply::Pass {
            id: 7,
            name: name.clone(),
        },
        Reply::NotFound { id: 7 },
        Reply::Fail { id: 7 },
        Reply::Listed {
            id: 7,
            name: name.clone(),
        },
        Reply::Done {
            id: 7,
            success: value.is_empty(),
        },
        Reply::Flushed { id: 7, count: 9 },
        Reply::CacheStatus {
            id: 7,
            counters: None,
        },
        Reply::CacheStatus {
            id: 7,
            counters: Some(CacheCounters {
                hits: 1,
                misses: 2,
                positive: 3,
                negative: u32::MAX,
            }),
        },
    ] {
        let mut out = BytesMut::from("before");
        let written = Codec::default().encode(reply.clone(), &mut out);
        let line = out.strip_prefix(b"before").unwrap_or_default();
        if written.is_err() {
            assert!(line.is_empty(), "written in part");
            assert!(field.is_empty() || field.contains('='), "refused: {field:?}");
            continue;
        }
        assert!(line.len() <= LINE);
        if line.is_empty() {
            assert!(matches!(reply, Reply::Listed { .. }), "not written: {reply:?}");
            continue;
        }
        let read = tabs::fields(line);
        let (id, failed) = (b"7".to_vec(), read[0] == b"FAIL");
        let named = [b"user=", &*name].concat();
        match reply {
            Reply::User { .. } | Reply::Pass { .. } if failed => assert_eq!(read[1..], [id]),
            Reply::User { fields, .. } => {
                assert_eq!(read[..3], [b"USER".to_vec(), id, name.clone()]);
                let fields = fields
                    .iter()
                    .map(|(name, value)| [name.as_bytes(), b"=", value].concat());
                assert!(read[3..].iter().cloned().eq(fields), "{read:?}");
            }
            Reply::Pass { .. } => assert_eq!(read, [b"PASS".to_vec(), id, named]),
            Reply::Listed { .. } => assert_eq!(read, [b"LIST".to_vec(), id, name.clone()]),
            Reply::NotFound { .. } => assert_eq!(read, [b"NOTFOUND".to_vec(), id]),
            Reply::Fail { .. } => assert_eq!(read, [b"FAIL".to_vec(), id]),
            Reply::Done { success, .. } => {
                let word = if success { &b""[..] } else { b"fail" };
                assert_eq!(read, [b"DONE".to_vec(), id, word.to_vec()]);
            }
            Reply::Flushed { .. } => assert_eq!(read, [b"OK".to_vec(), id, b"9".to_vec()]),
            Reply::CacheStatus { counters, .. } => {
                assert_eq!(read[..2], [b"OK".to_vec(), id]);
                assert_eq!(read.len(), if counters.is_some() { 6 } else { 2 });
            }
            Reply::Relayed(_) => {}
        }
    }
}
