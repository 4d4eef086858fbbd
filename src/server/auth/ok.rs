//! The fields that a listener adds to OK.

use super::AuthListener;
use crate::server::fields::{self, Unfilled};
use crate::verdict::{Client, UserName};

/// Fields that are bare words to Dovecot's login processes: they look for the whole
/// field, `proxy` (`login-common/sasl-server.c`).
const FLAGS: [&str; 2] = ["proxy", "nologin"];

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
    listener: &AuthListener,
    user: &[u8],
    given: &UserName,
    client: &Client,
) -> Result<Outcome, Unfilled> {
    let filled = fields::fill(&listener.keys.ok.fields, user, client)?;
    let is_flag = |name: &str| FLAGS.contains(&name);
    let goes_elsewhere = filled.iter().any(|(name, _)| is_flag(name));
    // Other clients than Dovecot's may want a value with every name.
    let value = |name: &str, value| (!(listener.hands_over() && is_flag(name))).then_some(value);
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
        is_awaited: listener.hands_over() && !goes_elsewhere,
    })
}
