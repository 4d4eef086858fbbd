//! A small IMAP, SMTP and LMTP server for tests, benchmarks and the demo, on loopback or in memory.
//!
//! It shares no code with the programs it tests: it is a second reading of RFC 3501, 4954, 5321, 2033 and
//! their extensions, and it is as strict as servers in the field, so that a mistake on the other side shows.
//!
//! In reading order:
//! - [`options`]: what a server is told when it starts: protocol, accounts, capabilities, delays, limits;
//! - [`fault`]: how it misbehaves, changed while it runs;
//! - [`log`]: its account of each session: what was asked, what was refused, how it ended;
//! - [`server`]: listens, stops, starts again on the same port, serves a stream handed to it;
//! - [`tls`]: an authority that issues certificates, good and bad, on the spot;
//! - [`script`]: instead of a server with accounts, a list of who says what, played once.
//!
//! Below these, `session` serves one client from its acceptance to its end; `conn` reads commands and writes
//! replies, where all faults and delays apply; `imap` and `smtp` are the dialogs, `token` and `address` their
//! grammar, `sasl` the exchange that they share; `directory` knows the accounts, `verdict` the words for them.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use remote::{Account, Fault, Options, Protocol, Server};
//! let mut options = Options::new(Protocol::Lmtp);
//! options.accounts.push(Account::new("jane@example.org", "s3cret"));
//! let server = Server::start(options)?;
//! server.set_fault(Fault::HangBeforeReply.at("RCPT"));
//! println!("ask {}", server.address());
//! println!("{} recipients were asked for", server.count("RCPT"));
//! # Ok(()) }
//! ```

mod address;
mod conn;
mod directory;
pub mod fault;
mod imap;
pub mod log;
pub mod options;
mod sasl;
pub mod script;
pub mod server;
mod session;
mod smtp;
pub mod tls;
mod token;
mod verdict;

pub use fault::Fault;
pub use log::{End, SessionLog};
pub use options::{Account, Delays, Limits, Listen, Options, Protocol, Security, State};
pub use script::{Mismatch, Script};
pub use server::{Address, Server};
pub use tls::{Authority, Identity};
