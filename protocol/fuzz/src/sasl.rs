//! PLAIN and LOGIN as a server, and base64.

use vouch_protocol::sasl::{
    self, Credentials, Exchange, Mechanism, PlainError, Step, base64_decode, base64_encode, encode_plain,
    parse_plain,
};
use vouch_protocol::secret::Secret;

/// Four times: a PLAIN message; the messages of a LOGIN, one a line; base64; and an
/// exchange of either kind that is led on after its end.
pub fn run(input: &[u8]) {
    plain(input);
    base64(input);
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        for initial in [false, true] {
            exchange(mechanism, initial, input);
        }
    }
}

fn plain(message: &[u8]) {
    let parts: Vec<_> = message.split(|&byte| byte == 0).collect();
    match (parse_plain(message), &parts[..]) {
        (Ok(found), [authzid, user, password]) => {
            assert!(authzid.is_empty() || authzid == user);
            assert!(!user.is_empty());
            assert_eq!((&*found.user, found.password.expose()), (*user, *password));
            let again = encode_plain(&found.user, &found.password);
            let again = parse_plain(again.expose());
            assert!(again.is_ok_and(|again| same(&again, &found)));
        }
        (Err(PlainError::Nul), parts) => assert_ne!(parts.len(), 3),
        (Err(PlainError::NoUser), [_, user, _]) => assert!(user.is_empty()),
        (Err(PlainError::ForeignAuthzid), [authzid, user, _]) => assert_ne!(authzid, user),
        (read, _) => panic!("{read:?} of {message:?}"),
    }
}

fn same(one: &Credentials, other: &Credentials) -> bool {
    (&one.user, one.password.expose()) == (&other.user, other.password.expose())
}

fn base64(input: &[u8]) {
    let encoded = base64_encode(input);
    assert!(
        encoded
            .expose()
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
    );
    assert!(base64_decode(encoded.expose()).is_ok_and(|decoded| decoded.expose() == input));
    // There is one way to write bytes, and one more to write none.
    if let Ok(decoded) = base64_decode(input) {
        assert!(base64_encode(decoded.expose()).expose() == input || input == b"=");
    }
}

/// Ends at its last message, and gives what was in the messages, or nothing.
fn exchange(mechanism: Mechanism, with_initial: bool, input: &[u8]) {
    assert_eq!(
        Mechanism::from_name(&mechanism.name().to_lowercase()),
        Some(mechanism)
    );
    let mut messages = input.split(|&byte| byte == b'\n').map(Secret::copy_from);
    let initial = with_initial.then(|| messages.next()).flatten();
    let mut heard: Vec<_> = initial.iter().map(|message| message.expose().to_vec()).collect();
    // LOGIN takes an empty initial response for none.
    heard.retain(|message| mechanism == Mechanism::Plain || !message.is_empty());
    let (mut exchange, mut step) = Exchange::start(mechanism, initial);
    loop {
        match &step {
            Step::Challenge(_) => {}
            Step::Failed(_) => break,
            Step::Credentials(found) => {
                assert!(!found.user.is_empty());
                assert!(!found.user.contains(&0) && !found.password.expose().contains(&0));
                match (mechanism, &heard[..]) {
                    (Mechanism::Plain, [message]) => {
                        assert!(parse_plain(message).is_ok_and(|plain| same(&plain, found)));
                    }
                    (Mechanism::Login, [user, password]) => {
                        assert_eq!((&found.user, found.password.expose()), (user, &**password));
                    }
                    (_, heard) => panic!("credentials after {heard:?}"),
                }
                break;
            }
        }
        let Some(message) = messages.next() else {
            return;
        };
        heard.push(message.expose().to_vec());
        step = exchange.next(message);
    }
    let over = exchange.next(Secret::copy_from(input));
    assert!(matches!(over, Step::Failed(PlainError::Over)));
    sasl::RelayedMechanism::from_name(&String::from_utf8_lossy(input));
}
