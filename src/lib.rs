//! `vouch` checks logins and recipients for Postfix, Exim and Dovecot by asking the
//! mail server that holds the accounts. Mail software asks it over a Unix socket, in a
//! protocol that it already speaks; `vouch` asks a remote IMAP, SMTP or LMTP server, and
//! returns accept, reject or try-again-later. The overriding rule: a probe that got no
//! answer about *this* user or mailbox is never a "no".
//!
//! # The map, in reading order
//!
//! | module | what it holds |
//! |---|---|
//! | [`verdict`] | the vocabulary: `Question`, `Verdict`, `Cause` |
//! | [`dialog`] | a login dialog that is relayed between client and remote, and its two ends |
//! | [`address`] | addresses and domains, normalised once |
//! | [`template`] | text with placeholders for parts of a user's name |
//! | [`server`] | the listeners: accepting, a module for each protocol, session limits, [`server::penalty`], the handover of logins |
//! | [`engine`] | from a question to a verdict: the directory, refusals without asking, the cache, sharing of equal questions |
//! | [`directory`] | the questions to each kind of remote, and [`directory::judge`]: the interpretation of its replies |
//! | [`fleet`] | what several edges have found, in a store that they share |
//! | [`session`] | connections to remotes: name, TCP, TLS, the dialogs, and [`session::pool`] that keeps them |
//! | [`waiting`] | the callers that wait for an answer, and until when: a question without one is not asked |
//! | [`chance`] | a source of chance, which tests replace by one that repeats itself |
//! | `unseen` | characters that are never shown literally |
//! | [`wire`] | a stream with a codec and deadlines, for both sides |
//! | [`settings`] | the keys of `vouch.toml`, an entry for each |
//! | [`config`] | `vouch.toml`: read, checked, explained |
//! | [`daemon`] | builds all of these from a configuration, runs them, drains |
//! | [`service`] | sockets, signals and limits of the system, what Dovecot passes to vouch, and dropping privileges |
//! | `control` | the control socket |
//! | `telemetry` | the log, and the counters |
//! | [`report`] | how the daemon is, as plain data: what all that shows it reads |
//! | [`metrics`] | the counters as text and as a page with the last hour, and the HTTP server for both |
//! | [`manual`] | the manual pages, generated from the program's own texts, and `bounds.txt`, the table of every bound |
//! | [`cli`] | the commands |
//!
//! The grammars of the wire live in the crate `vouch-protocol`, which touches no
//! socket, clock, runtime or log.
//!
//! # One request, from socket to answer
//!
//! 1. Postfix connects to a listener's socket; [`server::serve`] lets the client in, and
//!    `server::conversation` reads its requests through [`wire::Wire`] for the listener's
//!    protocol, [`server::policy::Policy`].
//! 2. The protocol makes an [`address::Address`] of the recipient, and asks at the
//!    `server::gate`: whether the listener answers this client, and whether this SMTP
//!    session may ask more ([`server::recipient_limits`]).
//! 3. [`engine::Engine::decide`] finds the directory by the domain, or all that serve
//!    it where the listener has `any = "all"` (for logins `any-login`);
//!    [`engine::CachedDirectory::decide`] refuses what cannot be asked of any remote
//!    (`engine::refusals`). From there recipients and logins go one way, `engine::lookup`: what the cache has
//!    ([`engine::recipients`], which `engine::store` keeps on disk, and [`engine::logins`]), else a probe that equal
//!    questions share (`engine::flight`); while the remote is down, an earlier good login may be the answer
//!    (`engine::stale`). The answer is checked before it is kept:
//!    `engine::credibility`, `engine::witnesses`, `engine::catch_all`.
//! 4. Where the directory has a map, [`directory::routed::Routed`] finds the server of the recipient.
//!    [`directory::smtp::Smtp`] puts the recipient into the queue of its
//!    [`session::pool::Pool`]. A task that owns an idle session takes it, with
//!    whatever else waits for the same domain, or a new session is opened: [`session::connect`], [`session::tls`], then the
//!    opening dialog of `vouch_protocol::smtp::opening`.
//! 5. `RCPT TO` goes out, the reply comes in, and
//!    [`directory::judge::recipient`] decides the verdict for the client and what
//!    happens to the session.
//! 6. The protocol turns the verdict into an action, logs one line
//!    (`telemetry::log::answered`), and returns it; the conversation writes it.

// A test may be a long table.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod address;
pub mod chance;
pub mod cli;
pub mod config;
pub(crate) mod control;
pub mod daemon;
pub mod dialog;
pub mod directory;
pub mod engine;
pub mod fleet;
pub mod manual;
pub mod metrics;
pub mod report;
pub mod server;
pub mod service;
pub mod session;
pub mod settings;
pub(crate) mod telemetry;
pub mod template;
mod unseen;
pub mod verdict;
pub mod waiting;
pub mod wire;
