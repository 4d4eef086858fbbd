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
