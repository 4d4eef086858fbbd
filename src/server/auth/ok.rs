//! The fields that a listener adds to OK.

use super::Settings;
use crate::address::network::Network;
use crate::server::fields::{Fields, Unfilled};
use crate::verdict::{Client, UserName};

/// Fields that are bare words to Dovecot's login processes: they look for the whole
/// field, `proxy` (`login-common/sasl-server.c`).
const FLAGS: [&str; 2] = ["proxy", "nologin"];

/// What is added to OK (`listener.NAME.ok`).
#[derive(Debug, Clone, Default)]
pub struct OkFields {
    /// By template.
    pub fields: Fields,
    /// `pass=`: the password that the remote accepted, for a proxy to log in with.
    pub pass: bool,
    /// Where logins may come from; everywhere, where it is `None`.
    pub allow_nets: Option<Vec<Network>>,
}

/// The fields of one OK.
pub(super) struct Outcome {
    pub(super) fields: Vec<(String, Option<Vec<u8>>)>,
    /// A mail process will ask for the login.
    pub(super) is_awaited: bool,
}

impl OkFields {
    /// Whether a login may come from there. A client without a known address is in
    /// no allowed network.
    pub(super) fn allows(&self, client: &Client) -> bool {
        let Some(networks) = &self.allow_nets else {
            return true;
        };
        client
            .address
            .is_some_and(|address| networks.iter().any(|network| network.has(address)))
    }
}

/// The fields for `user`, given as `given`.
///
/// # Errors
/// See [`Unfilled`].
pub(super) fn to_reply(
    settings: &Settings,
    user: &[u8],
    given: &UserName,
    client: &Client,
) -> Result<Outcome, Unfilled> {
    let filled = settings.ok.fields.fill(user, client)?;
    let is_flag = |name: &str| FLAGS.contains(&name);
    let goes_elsewhere = filled.iter().any(|(name, _)| is_flag(name));
    // Other clients than Dovecot's may want a value with every name.
    let value = |name: &str, value| (!(settings.hands_over && is_flag(name))).then_some(value);
    let mut fields: Vec<_> = filled
        .into_iter()
        .map(|(name, text)| {
            let value = value(&name, text);
            (name, value)
        })
        .collect();
    if given.as_bytes() != user {
        fields.push(("original_user".into(), Some(given.as_bytes().to_vec())));
    }
    Ok(Outcome {
        fields,
        is_awaited: settings.hands_over && !goes_elsewhere,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_must_be_known_and_allowed() {
        let ok = OkFields {
            allow_nets: Some(vec![
                Network::parse("192.0.2.0/24").unwrap(),
                Network::parse("::1").unwrap(),
            ]),
            ..OkFields::default()
        };
        let client = |address: Option<&str>| Client {
            address: address.and_then(|address| Client::address_in(address.as_bytes())),
            ..Client::default()
        };
        assert!(ok.allows(&client(Some("192.0.2.9"))) && ok.allows(&client(Some("::1"))));
        for address in [Some("198.51.100.1"), Some("NULL"), Some(""), None] {
            assert!(!ok.allows(&client(address)), "{address:?}");
            assert!(OkFields::default().allows(&client(address)));
        }
    }
}
