//! Mechanisms that are carried: whose message is it?

use vouch_protocol::sasl::RelayedMechanism;
use vouch_protocol::sasl::relayed::{MESSAGE_LIMIT, Unreadable};
use vouch_protocol::secret::Secret;

use crate::input;

/// A user's name in the first line, then a client's first message, read by every mechanism.
pub fn run(input: &[u8]) {
    let (name, message) = input::line(input);
    let message = input::stretched(message, 2 * MESSAGE_LIMIT);
    for mechanism in RelayedMechanism::ALL {
        let read = mechanism.user_in(&message);
        if let Ok(user) = &read {
            assert!(!user.is_empty() && message.len() <= MESSAGE_LIMIT);
            // What names somebody holds the name, byte by byte, or in pieces for DIGEST-MD5.
            assert!(
                user.iter()
                    .all(|byte| message.contains(byte) || b",=@".contains(byte))
            );
        }
        if mechanism.is_token() {
            token(mechanism, name, &message);
        } else {
            let too_long = message.len() > MESSAGE_LIMIT;
            let why = if too_long {
                Unreadable::TooLong
            } else {
                Unreadable::Malformed
            };
            assert_eq!(mechanism.bearer(&message).err(), Some(why));
            assert!(
                mechanism
                    .bearer_message(name, &Secret::copy_from(&message))
                    .expose()
                    .is_empty()
            );
        }
        match mechanism {
            RelayedMechanism::ScramSha1 | RelayedMechanism::ScramSha256 => scram(&message, &read),
            RelayedMechanism::CramMd5 => cram(&message, &read),
            RelayedMechanism::DigestMd5 => digest(mechanism, name),
            RelayedMechanism::XOauth2 | RelayedMechanism::OAuthBearer => {}
        }
    }
}

/// A token goes on as it came, whoever's name is put in front of it.
fn token(mechanism: RelayedMechanism, name: &[u8], message: &[u8]) {
    let Ok(bearer) = mechanism.bearer(message) else {
        assert!(mechanism.user_in(message).is_err());
        return;
    };
    assert_eq!(mechanism.user_in(message).as_ref(), Ok(&bearer.user));
    let again = mechanism.bearer_message(&bearer.user, &bearer.rest);
    let again = mechanism.bearer(again.expose());
    // Escaped anew, a name may have become too long.
    if let Ok(again) = again {
        assert_eq!(
            (&again.user, again.rest.expose()),
            (&bearer.user, bearer.rest.expose())
        );
    } else {
        assert!(
            message.len() + 2 * bearer.user.len() > MESSAGE_LIMIT,
            "no longer read: {message:?}"
        );
    }
    if !name.is_empty() && !name.iter().any(|byte| [0, 1].contains(byte)) {
        let other = mechanism.bearer_message(name, &bearer.rest);
        let other = mechanism.bearer(other.expose());
        if let Ok(other) = other {
            assert_eq!((&*other.user, other.rest.expose()), (name, bearer.rest.expose()));
        } else {
            assert!(
                message.len() + 3 * name.len() > MESSAGE_LIMIT,
                "not read: {name:?}"
            );
        }
    }
}

/// `n,[a=name],n=name,r=…`, and nobody else's authorization identity.
fn scram(message: &[u8], read: &Result<Vec<u8>, Unreadable>) {
    let Ok(user) = read else {
        return;
    };
    let parts: Vec<_> = message.splitn(4, |&byte| byte == b',').collect();
    let [flag, authzid, name, nonce] = parts[..] else {
        panic!("a name in {message:?}");
    };
    assert!(matches!(flag, b"n" | b"y"));
    let escaped = |user: &[u8]| {
        let text = user.iter().map(|&byte| match byte {
            b',' => b"=2C".to_vec(),
            b'=' => b"=3D".to_vec(),
            byte => vec![byte],
        });
        text.collect::<Vec<_>>().concat()
    };
    assert_eq!(name, [b"n=", &*escaped(user)].concat());
    assert!(nonce.starts_with(b"r="));
    assert!([&b""[..], b"a=", &[b"a=", &*escaped(user)].concat()].contains(&authzid));
}

/// All in front of the last space.
fn cram(message: &[u8], read: &Result<Vec<u8>, Unreadable>) {
    if let Ok(user) = read {
        let digest = message
            .strip_prefix(&**user)
            .and_then(|rest| rest.strip_prefix(b" "));
        assert!(digest.is_some_and(|digest| digest.len() == 32 && digest.iter().all(u8::is_ascii_hexdigit)));
    }
}

/// A name that is written quoted is read as it is, with a realm or without.
fn digest(mechanism: RelayedMechanism, name: &[u8]) {
    if name.is_empty() || name.contains(&0) || name.len() > 1000 {
        return;
    }
    let mut quoted = Vec::new();
    for &byte in name {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    let alone = [b"nonce=\"a,b\", username=\"", &*quoted, b"\",qop=auth"].concat();
    assert_eq!(mechanism.user_in(&alone), Ok(name.to_vec()));
    let realm = [b"realm=\"example.org\" ,\tUsername = \"", &*quoted, b"\""].concat();
    let mut full = name.to_vec();
    if !name.contains(&b'@') {
        full.extend_from_slice(b"@example.org");
    }
    assert_eq!(mechanism.user_in(&realm), Ok(full));
    let twice = [b"username=\"", &*quoted, b"\",username=\"", &*quoted, b"\""].concat();
    assert_eq!(mechanism.user_in(&twice), Err(Unreadable::Malformed));
}
