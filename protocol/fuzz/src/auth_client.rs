//! The auth-client protocol: commands in whatever order, and replies that hold whatever bytes.

use bytes::BytesMut;
use tokio_util::codec::Encoder as _;
use vouch_protocol::auth::Parameters;
use vouch_protocol::auth::client::{Auth, Codec, Command, Failure, Greeting, Mech, Reply};
use vouch_protocol::sasl::{self, Mechanism, RelayedMechanism};
use vouch_protocol::secret::Secret;

use crate::{input, pieces, tabs};

/// The longest line that we read, and the longest that every client does.
const LINE: usize = 16384;
const REPLY: usize = 8191;

/// Three times: commands as a client sends them; a reply of the parts between `|`; and a
/// greeting with the mechanisms that the first bytes name.
pub fn run(input: &[u8]) {
    let wire = input::stretched(input, 2 * LINE);
    let read = pieces::read(Codec::default, &wire, LINE, true, show);
    for (at, command) in read.messages.iter().enumerate() {
        let in_turn = match command {
            Command::Version { major, .. } => at == 0 && *major == 1,
            Command::Cpid(id) => at == 1 && *id != 0,
            Command::Auth(Auth { id, .. }) | Command::Cont { id, .. } | Command::Cancel { id } => {
                at > 1 && *id != 0
            }
        };
        assert!(in_turn, "{command:?} as number {at}");
    }
    let again: Vec<Vec<u8>> = read.messages.iter().map(write).collect();
    // A byte that is no text was read as three, so that a line near the limit is beyond it when it is written.
    if again.iter().all(|line| line.len() <= LINE) {
        let again = pieces::read(Codec::default, &again.concat(), LINE, true, show);
        assert_eq!(again.error, None);
        let shown = |messages: &[Command]| messages.iter().map(show).collect::<Vec<_>>();
        assert_eq!(shown(&again.messages), shown(&read.messages));
    }
    replies(&wire);
    greeting(input);
}

/// A command with what it holds that is secret.
fn show(command: &Command) -> String {
    let secret = match command {
        Command::Auth(auth) => {
            for minor in [1, 2] {
                initial_response(auth, minor);
            }
            auth.resp.as_ref()
        }
        Command::Cont { data, .. } => Some(data),
        _ => None,
    };
    format!("{command:?} {:?}", secret.map(Secret::expose))
}

/// Before minor version 2 an empty response is none, and a lone `=` is always an empty one.
fn initial_response(auth: &Auth, minor: u32) {
    let sent = auth.resp.as_ref().map(Secret::expose);
    match auth.initial_response(minor) {
        Ok(None) => assert!(sent.is_none_or(|sent| sent.is_empty() && minor < 2)),
        Ok(Some(read)) => {
            let encoded = sasl::base64_encode(read.expose());
            assert!(sent == Some(encoded.expose()) || read.expose().is_empty() && sent == Some(b"="));
        }
        Err(_) => assert!(sent.is_some_and(|sent| sasl::base64_decode(sent).is_err())),
    }
}

/// The line of a command, by the grammar.
fn write(command: &Command) -> Vec<u8> {
    match command {
        Command::Version { major, minor } => format!("VERSION\t{major}\t{minor}\n").into_bytes(),
        Command::Cpid(pid) => format!("CPID\t{pid}\n").into_bytes(),
        Command::Cancel { id } => format!("CANCEL\t{id}\n").into_bytes(),
        Command::Cont { id, data } => tabs::line(&[b"CONT", id.to_string().as_bytes(), data.expose()]),
        Command::Auth(auth) => {
            let mut fields = vec![
                b"AUTH".to_vec(),
                auth.id.to_string().into_bytes(),
                auth.mechanism.clone().into_bytes(),
            ];
            fields.extend(parameters(&auth.parameters));
            fields.extend(auth.resp.iter().map(|resp| [b"resp=", resp.expose()].concat()));
            tabs::line(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }
    }
}

/// The fields of a request's parameters.
pub fn parameters(from: &Parameters) -> Vec<Vec<u8>> {
    let text = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
    let fields = [
        Some(format!("service={}", from.service)),
        text("session", &from.session),
        text("rip", &from.remote_ip),
        from.remote_port.map(|port| format!("rport={port}")),
        from.no_penalty.then(|| "no-penalty".to_owned()),
        from.nologin.then(|| "nologin".to_owned()),
    ];
    fields.into_iter().flatten().map(String::into_bytes).collect()
}

/// Replies of the parts of `wire`: one line each, which says what went in, or none at all.
fn replies(wire: &[u8]) {
    let mut parts = wire.split(|&byte| byte == b'|');
    let mut part = || parts.next().unwrap_or_default().to_vec();
    let (a, b, c, d) = (part(), part(), part(), part());
    let name = input::text(&b);
    let failure = match a.len() % 5 {
        0 => Failure::Credentials,
        1 => Failure::Temporary,
        2 => Failure::Disabled,
        3 => Failure::Expired,
        _ => Failure::InvalidBase64,
    };
    let pass = (!d.is_empty()).then(|| Secret::copy_from(&d));
    for reply in [
        Reply::Cont {
            id: 7,
            data: a.clone(),
        },
        Reply::Ok {
            id: 7,
            user: a.clone(),
            fields: vec![(name.clone(), Some(c.clone())), ("nologin".to_owned(), None)],
            pass,
        },
        Reply::Fail {
            id: 7,
            user: Some(a.clone()),
            original_user: Some(b.clone()),
            failure,
            reason: Some(input::text(&c)),
        },
        Reply::Fail {
            id: 7,
            user: None,
            original_user: None,
            failure,
            reason: None,
        },
        Reply::Cancelled { id: 7 },
    ] {
        let mut out = BytesMut::from("before");
        let written = Codec::default().encode(reply.clone(), &mut out);
        let line = out.strip_prefix(b"before").unwrap_or_default();
        if written.is_err() {
            assert!(line.is_empty(), "written in part");
            assert!(
                !matches!(reply, Reply::Fail { .. } | Reply::Cancelled { .. }),
                "no FAIL"
            );
            continue;
        }
        assert!(line.len() <= REPLY);
        let read = tabs::fields(line);
        let id = b"7".to_vec();
        let has = |field: Vec<u8>| assert!(read.contains(&field), "{field:?} is not in {read:?}");
        match reply {
            Reply::Cont { data, .. } => {
                let data = sasl::base64_encode(&data).expose().to_vec();
                assert_eq!(read, [b"CONT".to_vec(), id, data]);
            }
            Reply::Ok {
                user, fields, pass, ..
            } => {
                assert_eq!(read[..3], [b"OK".to_vec(), id, [b"user=", &*user].concat()]);
                assert_eq!(read.len(), 3 + fields.len() + usize::from(pass.is_some()));
                assert!(!name.is_empty() && !name.contains('='));
                has([name.as_bytes(), b"=", &c].concat());
                if let Some(pass) = pass {
                    has([b"pass=", pass.expose()].concat());
                }
            }
            Reply::Fail { user, failure, .. } => {
                assert_eq!(read[..2], [b"FAIL".to_vec(), id]);
                let whole = read.iter().any(|field| field.starts_with(b"reason="));
                if let (Some(user), true) = (user, whole) {
                    has([b"user=", &*user].concat());
                    has([b"reason=", input::text(&c).as_bytes()].concat());
                }
                let temporary = read.contains(&b"code=temp_fail".to_vec());
                assert!(
                    temporary || failure != Failure::Temporary,
                    "a Defer reads as a no"
                );
            }
            Reply::Cancelled { .. } => assert_eq!(read, [b"CANCELLED".to_vec(), id]),
        }
    }
}

/// A greeting names each mechanism once, in front of SPID, and ends with DONE.
fn greeting(input: &[u8]) {
    let mut mechanisms: Vec<Mech> = vec![Mechanism::Plain.into()];
    mechanisms.extend(input.iter().take(6).filter_map(|byte| {
        let carried = RelayedMechanism::ALL.get(usize::from(*byte) % 8)?;
        Some(Mech::from(*carried))
    }));
    let number = input
        .iter()
        .fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    let mut cookie = [0; 16];
    for (slot, byte) in cookie.iter_mut().zip(input) {
        *slot = *byte;
    }
    let greeting = Greeting {
        mechanisms,
        spid: number,
        cuid: !number,
        cookie,
    };
    let bytes = greeting.to_bytes();
    let lines: Vec<_> = bytes
        .split_inclusive(|&byte| byte == b'\n')
        .map(tabs::fields)
        .collect();
    let heads: Vec<_> = lines.iter().map(|fields| input::text(&fields[0])).collect();
    let mechs = greeting.mechanisms.len();
    assert_eq!(heads[0], "VERSION");
    assert!(heads[1..=mechs].iter().all(|head| head == "MECH"));
    assert_eq!(heads[mechs + 1..], ["SPID", "CUID", "COOKIE", "DONE"]);
    assert!(
        !format!("{greeting:?}").contains(&input::text(&lines[mechs + 3][1])),
        "the cookie is shown"
    );
}
