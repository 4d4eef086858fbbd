//! What strangers may send, played to the code that reads it.
//!
//! Each target is a module with a `run` that takes any bytes and panics where what must
//! hold does not. libFuzzer calls them (`contrib/fuzz`, `targets/`), and so does
//! `tests/seeds.rs`, with the files below `seeds/NAME`: known answers, and what was found.
//!
//! | target | reads | and holds it to |
//! |---|---|---|
//! | [`mod@line`] | lines of any length | a cutter that has all of the input at hand |
//! | [`policy`] | requests; actions | a second reader; what Postfix understands |
//! | [`socketmap`] | questions; what a map has | a second reader; a netstring, and never an OK alone |
//! | [`saslauthd`] | questions | a second reader |
//! | [`auth_client`], [`auth_master`] | commands and requests; replies | a second writer and reader, the order of the handshake |
//! | [`sasl`], [`sasl_carried`] | clients' messages | what the message was made of |
//! | [`imap_response`], [`smtp_reply`] | what a remote says; commands | what it is written as, read again; one line a command |
//! | [`imap_opening`], [`smtp_opening`] | a remote's side of an opening | TLS where it is wanted, and nothing told before it kept |
//! | [`imap_login`], [`smtp_auth`] | a remote's side of a login | the password sent once, in its place, and a yes to it alone is a yes |
//! | [`imap_carry`], [`smtp_carry`] | the same of a client's own dialog | the client's messages, each once, and a yes to its proof alone |
//! | [`smtp_recipients`] | the same of a transaction | to each recipient the reply that stands in its place |
//! | [`judge`] | replies | no "no" from what says "not now", none because of a name |
//! | [`address`], [`template`], [`config`] | names, texts, files | what they are written as, read again |
//!
//! Every codec must read the same whatever pieces its input comes in ([`pieces`]).

#![allow(clippy::panic, reason = "this is how a target tells what it found")]

#[cfg(feature = "vouch")]
pub mod address;
pub mod auth_client;
pub mod auth_master;
#[cfg(feature = "vouch")]
pub mod config;
pub mod imap_carry;
pub mod imap_login;
pub mod imap_opening;
pub mod imap_response;
pub mod input;
#[cfg(feature = "vouch")]
pub mod judge;
pub mod line;
pub mod pieces;
pub mod policy;
pub mod remote;
pub mod sasl;
pub mod sasl_carried;
pub mod saslauthd;
pub mod smtp_auth;
pub mod smtp_carry;
pub mod smtp_opening;
pub mod smtp_recipients;
pub mod smtp_reply;
pub mod socketmap;
pub mod tabs;
#[cfg(feature = "vouch")]
pub mod template;

/// A target: any bytes, and a panic where what must hold does not.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    #[cfg(feature = "vouch")]
    ("address", address::run),
    ("auth_client", auth_client::run),
    ("auth_master", auth_master::run),
    #[cfg(feature = "vouch")]
    ("config", config::run),
    ("imap_carry", imap_carry::run),
    ("imap_login", imap_login::run),
    ("imap_opening", imap_opening::run),
    ("imap_response", imap_response::run),
    #[cfg(feature = "vouch")]
    ("judge", judge::run),
    ("line", line::run),
    ("policy", policy::run),
    ("sasl", sasl::run),
    ("sasl_carried", sasl_carried::run),
    ("saslauthd", saslauthd::run),
    ("smtp_auth", smtp_auth::run),
    ("smtp_carry", smtp_carry::run),
    ("smtp_opening", smtp_opening::run),
    ("smtp_recipients", smtp_recipients::run),
    ("smtp_reply", smtp_reply::run),
    ("socketmap", socketmap::run),
    #[cfg(feature = "vouch")]
    ("template", template::run),
];
