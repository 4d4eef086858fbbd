//! Mechanisms that we carry between a client and a remote: we read the name in
//! them, and prove nothing ourselves.
//!
//! XOAUTH2 and OAUTHBEARER (RFC 7628) bring a token. CRAM-MD5 (RFC 2195), DIGEST-MD5
//! (RFC 2831) and SCRAM (RFC 5802, RFC 7677) prove a password that we never see.
//! The `-PLUS` variants are not among them: they bind the proof to the client's TLS
//! channel, which ends before the remote.
//!
//! ```
//! use vouch_protocol::sasl::RelayedMechanism;
//! use vouch_protocol::sasl::relayed::Unreadable;
//!
//! let user = RelayedMechanism::CramMd5.user_in(b"jane b913a602c7eda7a495b4e6e7334d3890")?;
//! assert_eq!(user, b"jane");
//! assert_eq!(RelayedMechanism::CramMd5.user_in(b"jane"), Err(Unreadable::Malformed));
//! # Ok::<(), Unreadable>(())
//! ```

mod messages;

use crate::secret::Secret;
pub(super) use messages::is_digest;
use messages::{cram_user, cut, digest_user, gs2_header, scram_user};

/// Bound (clients, bytes): message of a login dialog or token. Beyond: the login gets no answer, without asking; the
/// log has the reason. Why: its base64 is as long as an SMTP server takes (12,288 octets, RFC 4954 section 4).
pub const MESSAGE_LIMIT: usize = 9216;

/// Bound (questions, bytes): challenge of a mail server. Beyond: the session is closed, no answer. Why: its base64
/// fits a line that Exim reads (8,191); RFC 2831 section 2.1.1 ends at 2,048.
pub const CHALLENGE_LIMIT: usize = 4096;

/// Bound (questions): challenges in one dialog. Beyond: the session is closed, no answer. Why: DIGEST-MD5 and SCRAM
/// have two.
pub const CHALLENGES: usize = 8;

/// A mechanism that is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayedMechanism {
    /// Google's form of a bearer token.
    XOauth2,
    /// A bearer token (RFC 7628).
    OAuthBearer,
    /// Challenge and response (RFC 2195).
    CramMd5,
    /// Challenge and response, with proof of the server (RFC 2831).
    DigestMd5,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7677.
    ScramSha256,
}

/// Why a client's message cannot be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no message of its mechanism.
    #[error("not a message of its mechanism")]
    Malformed,
    /// The client asks to act as somebody else, which we let nobody do.
    #[error("the authorization identity is not the authentication identity")]
    ForeignAuthzid,
    /// It names nobody.
    #[error("the user name is empty")]
    NoUser,
    /// It may be good; only we do not carry so much.
    #[error("the message is longer than {MESSAGE_LIMIT} bytes, the most that is sent to a remote")]
    TooLong,
    /// It is bound to the client's TLS channel, which is not the remote's.
    #[error("channel binding cannot be carried to another server")]
    ChannelBinding,
}

/// What a token message says.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The user; not empty.
    pub user: Vec<u8>,
    /// All that follows the name: the token and what belongs to it.
    pub rest: Secret<[u8]>,
}

impl RelayedMechanism {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::XOauth2,
        Self::OAuthBearer,
        Self::CramMd5,
        Self::DigestMd5,
        Self::ScramSha1,
        Self::ScramSha256,
    ];

    /// The registered name, in upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XOauth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::CramMd5 => "CRAM-MD5",
            Self::DigestMd5 => "DIGEST-MD5",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The mechanism of that name in any case, if it is one of these.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether it brings a token: one message that holds all. The others are dialogs.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::XOauth2 | Self::OAuthBearer)
    }

    /// Whether the client speaks first.
    pub const fn client_first(self) -> bool {
        !matches!(self, Self::CramMd5 | Self::DigestMd5)
    }

    /// How many messages of the client a remote must have heard before its yes can be
    /// meant: SCRAM's proof is in the second.
    pub const fn proof_within(self) -> usize {
        match self {
            Self::ScramSha1 | Self::ScramSha256 => 2,
            Self::XOauth2 | Self::OAuthBearer | Self::CramMd5 | Self::DigestMd5 => 1,
        }
    }

    /// The user who is named in `message`, the first of the client.
    ///
    /// # Errors
    /// [`Unreadable`]; no part of the message is in it.
    pub fn user_in(self, message: &[u8]) -> Result<Vec<u8>, Unreadable> {
        if message.len() > MESSAGE_LIMIT {
            return Err(Unreadable::TooLong);
        }
        let user = match self {
            Self::XOauth2 | Self::OAuthBearer => self.bearer(message)?.user,
            Self::CramMd5 => cram_user(message)?,
            Self::DigestMd5 => digest_user(message)?,
            Self::ScramSha1 | Self::ScramSha256 => scram_user(message)?,
        };
        if user.is_empty() {
            return Err(Unreadable::NoUser);
        }
        Ok(user)
    }

    /// What a token message says.
    ///
    /// ```text
    /// xoauth2     = "user=" user %x01 rest
    /// oauthbearer = gs2-header rest                   ; RFC 7628 §3.1
    /// rest        = [%x01] *(key "=" value %x01) "auth=" value %x01 … %x01
    /// ```
    ///
    /// # Errors
    /// [`Unreadable`]; a message without a user is one: the token alone does not tell
    /// us whose it is.
    pub fn bearer(self, message: &[u8]) -> Result<Bearer, Unreadable> {
        if message.len() > MESSAGE_LIMIT {
            return Err(Unreadable::TooLong);
        }
        let (user, rest) = match self {
            Self::XOauth2 => {
                let named = message.strip_prefix(b"user=").ok_or(Unreadable::Malformed)?;
                let (user, _) = cut(named, 1).ok_or(Unreadable::Malformed)?;
                (user.to_vec(), named.get(user.len()..).unwrap_or_default())
            }
            Self::OAuthBearer => {
                let (authzid, rest) = gs2_header(message)?;
                (authzid.ok_or(Unreadable::NoUser)?, rest)
            }
            _ => return Err(Unreadable::Malformed),
        };
        let mut pairs = rest.split(|&byte| byte == 1);
        let has_token = rest.starts_with(b"\x01") && pairs.any(|pair| pair.starts_with(b"auth="));
        if !has_token || !rest.ends_with(b"\x01\x01") {
            return Err(Unreadable::Malformed);
        }
        if user.is_empty() {
            return Err(Unreadable::NoUser);
        }
        let rest = Secret::copy_from(rest);
        Ok(Bearer { user, rest })
    }

    /// A token message for `user`, with what followed the name in the client's. Empty
    /// for a mechanism that brings no token.
    pub fn bearer_message(self, user: &[u8], rest: &Secret<[u8]>) -> Secret<[u8]> {
        let rest = rest.expose();
        // Room for every byte of the name escaped: a vector that grows leaves a copy behind.
        let mut message = Vec::with_capacity(3 * user.len() + rest.len() + 8);
        match self {
            Self::XOauth2 => {
                message.extend_from_slice(b"user=");
                message.extend_from_slice(user);
            }
            Self::OAuthBearer => {
                message.extend_from_slice(b"n,a=");
                for &byte in user {
                    match byte {
                        b',' => message.extend_from_slice(b"=2C"),
                        b'=' => message.extend_from_slice(b"=3D"),
                        byte => message.push(byte),
                    }
                }
                message.push(b',');
            }
            _ => return Secret::copy_from(b""),
        }
        message.extend_from_slice(rest);
        Secret::from(message)
    }

    /// What a client answers to the challenge that says why its token is not good; only
    /// then the remote says no (RFC 7628 §3.2.3).
    pub const fn after_refusal(self) -> &'static [u8] {
        match self {
            Self::OAuthBearer => b"\x01",
            _ => b"",
        }
    }

    /// Whether a client that sent `message` first will have none of a remote that can
    /// bind channels: it could do so too, and was not offered it (RFC 5802 §6). The remote
    /// then takes what we left out for an attack.
    pub fn wants_no_binding_remote(self, message: &[u8]) -> bool {
        matches!(self, Self::ScramSha1 | Self::ScramSha256) && message.starts_with(b"y,")
    }
}

#[cfg(test)]
mod tests;
