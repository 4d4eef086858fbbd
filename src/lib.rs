//! `vouch` vouches for a login or a recipient by asking the mail server that
//! knows. Mail software asks it over a Unix socket, in a protocol that it speaks
//! already; it asks a remote IMAP, SMTP or LMTP server, and gives one honest
//! answer. The rule above the others: a probe that got no answer about *this*
//! user or mailbox is never a "no".
//!
//! # The map, in reading order
//!
//! | module | what it holds |
//! |---|---|
//! | [`verdict`] | the vocabulary: `Question`, `Verdict`, `Cause` |
//! | [`dialog`] | a login that the client and the remote settle between them, and its two ends |
//! | [`address`] | addresses and domains, brought into one form once |
//! | [`template`] | text with places for parts of a user's name |
//! | [`server`] | the doors: accept, a module for each protocol, what a client's session may ask, who guesses ([`server::penalty`]), and how a login is handed over |
//! | [`engine`] | from a question to a verdict: which directory, what is refused without asking, what is remembered and shared |
//! | [`directory`] | what each kind of remote can be asked, and [`directory::judge`]: how its answers are read |
//! | [`session`] | connections to remotes: name, TCP, TLS, the dialogs, and [`session::pool`] that keeps them |
//! | [`waiting`] | who waits for an answer, and until when: what nobody waits for is not asked |
//! | `unseen` | the characters that are never shown as they are |
//! | [`wire`] | a stream with a codec and deadlines, for both sides |
//! | [`config`] | `vouch.toml`: read, checked, explained |
//! | [`daemon`] | builds all of these from a configuration, runs them, drains |
//! | [`service`] | sockets, signals and limits of the system, what a Dovecot gives that starts us, and what we give up |
//! | [`control`] | the socket at which the daemon tells how it is |
//! | [`telemetry`] | the log, and what counts |
//! | [`metrics`] | what was counted, as text and as a page with the last hour, and where both are served |
//! | [`manual`] | the manual pages, made of what the program says of itself; [`manual::bounds`] is the table of every bound |
//! | [`cli`] | the commands |
//!
//! The grammars of the wire live in the crate `vouch-protocol`, which touches no
//! socket, clock, runtime or log.
//!
//! # One request, from socket to answer
//!
//! 1. Postfix connects to a listener's socket; [`server::serve`] hands the
//!    connection to its door, [`server::policy::Policy`].
//! 2. The door reads a request through [`wire::Wire`], makes an
//!    [`address::Address`] of the recipient, and asks
//!    [`server::recipient_limits`] whether this SMTP session may ask on.
//! 3. [`engine::Engine::decide`] finds the directory by the domain;
//!    [`engine::Member::decide`] refuses what no remote could be asked
//!    ([`engine::refusals`]), looks into its memory ([`engine::recipients`],
//!    which [`engine::store`] keeps on disk), and lets equal questions share one
//!    probe ([`engine::flight`]). What comes back is weighed before it is kept:
//!    [`engine::credibility`], [`engine::catch_all`].
//! 4. [`directory::smtp::Smtp`] puts the recipient into the queue of its
//!    [`session::pool::Pool`]. A task that owns an idle session takes it, with
//!    whatever else waits for the same domain, or a new session is opened: [`session::connect`], [`session::tls`], then the
//!    opening dialog of `vouch_protocol::smtp::opening`.
//! 5. `RCPT TO` goes out, the reply comes in, and
//!    [`directory::judge::recipient`] says what it means to the asker and what
//!    becomes of the session.
//! 6. The door turns the verdict into an action, logs one line
//!    ([`telemetry::log::answered`]), and writes it.

pub mod address;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dialog;
pub mod directory;
pub mod engine;
pub mod manual;
pub mod metrics;
pub mod server;
pub mod service;
pub mod session;
pub mod telemetry;
pub mod template;
mod unseen;
pub mod verdict;
pub mod waiting;
pub mod wire;
