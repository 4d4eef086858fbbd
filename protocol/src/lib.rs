//! The wire protocols of `vouch`, without a socket, a clock, a runtime or a log:
//! bytes come in as arguments, messages go out as values, and the reverse.
//!
//! | protocol | module | specification | our half |
//! |---|---|---|---|
//! | Postfix policy delegation | [`policy`] | Postfix `SMTPD_POLICY_README` | server |
//! | Dovecot auth-client | [`auth::client`] | Dovecot `auth_protocol.md` | server |
//! | Dovecot auth-master, auth-userdb | [`auth::master`] | the same | server |
//! | Postfix socketmap | [`socketmap`] | Postfix `socketmap_table(5)` | server |
//! | Cyrus SASL's saslauthd | [`saslauthd`] | `saslauthd/ipc_unix.c` | server |
//! | SMTP, LMTP | [`smtp`] | RFC 5321, RFC 2033, RFC 4954, RFC 3207 | client |
//! | IMAP | [`imap`] | RFC 9051, RFC 3501, RFC 4959, RFC 5530 | client |
//! | SASL PLAIN, LOGIN | [`sasl`] | RFC 4616; Murchison's LOGIN draft | both |
//! | SASL mechanisms that are carried | [`sasl::relayed`] | RFC 7628, RFC 2195, RFC 2831, RFC 5802 | between both |
//!
//! A codec cuts one message from a buffer ([`mod@line`]), counts it against a limit,
//! and only then parses it. A dialog (`opening`, `login`, `recipients`, `auth`, `relay`)
//! takes what the remote said and returns the next step; it owns no connection, so a
//! test of it is a list of replies.
//!
//! Each module begins with an example. A codec implements [`Decoder`] and [`Encoder`].
//!
//! [`Decoder`]: tokio_util::codec::Decoder
//! [`Encoder`]: tokio_util::codec::Encoder

// What comes from outside is read here: an index or a conversion that does not fit must not end the process.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::as_conversions))]
// A test may be a long table.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]
#![forbid(unsafe_code)]

pub mod auth;
pub mod encryption;
pub mod error;
pub mod imap;
pub mod line;
pub mod policy;
pub mod sasl;
pub mod saslauthd;
pub mod secret;
pub mod smtp;
pub mod socketmap;
#[cfg(test)]
mod testing;
pub mod unseen;

/// Holds the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
