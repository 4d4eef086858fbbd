//! What we say: the few commands that a login needs, with quoting and literals.
//!
//! A [`Command`] is made whole and can then only be sent, so what must not reach
//! the wire is refused where it comes in, by [`Sendable::new`].

mod draft;

use core::net::IpAddr;
use std::fmt;

use crate::error::EncodeError;
use crate::imap::capability::Capabilities;
use crate::imap::printable;
use crate::sasl::{RelayedMechanism, base64_encode, encode_plain};
use crate::secret::Secret;
use draft::Draft;

/// Hands out the tags of one session: `v1`, `v2`, … Never the same one twice.
#[derive(Debug, Default)]
pub struct Tags {
    last: u64,
}

/// The name of one command in its session (RFC 9051 §2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u64);

/// A user name and a password that can be sent.
#[derive(Debug)]
pub struct Sendable {
    user: Vec<u8>,
    password: Secret<[u8]>,
}

/// What is sent in one go: a command, or the part of one that ends where the
/// server must answer before it hears more.
///
/// `Display` and `Debug` give the trace form, in which secrets are masked.
pub struct Command {
    wire: Secret<[u8]>,
    shown: String,
    names_user: bool,
}

impl Tags {
    /// Tags for a new session.
    pub const fn new() -> Self {
        Self { last: 0 }
    }

    /// A tag that was not used before.
    pub const fn next_tag(&mut self) -> Tag {
        self.last += 1;
        Tag(self.last)
    }
}

impl Tag {
    /// Whether the server named this command. Byte for byte: `v1` is not `V1`, nor `v01`.
    pub fn is(self, tag: &str) -> bool {
        self.to_string() == tag
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Sendable {
    /// Copies both.
    ///
    /// # Errors
    /// [`EncodeError::Unsendable`] when one holds NUL, CR or LF: the first would
    /// shift the borders of a PLAIN message (RFC 4616 §2), the others would end
    /// our command and begin one of the user's own.
    pub fn new(user: &[u8], password: &Secret<[u8]>) -> Result<Self, EncodeError> {
        let unsendable = |bytes: &[u8]| bytes.iter().any(|byte| b"\0\r\n".contains(byte));
        if unsendable(user) {
            return Err(EncodeError::Unsendable("user name"));
        }
        if unsendable(password.expose()) {
            return Err(EncodeError::Unsendable("password"));
        }
        Ok(Self {
            user: user.to_vec(),
            password: password.clone(),
        })
    }

    /// Whether both are ASCII: the LOGIN command has no form for anything else (RFC 6855 §5).
    pub fn is_ascii(&self) -> bool {
        self.user.is_ascii() && self.password.expose().is_ascii()
    }

    /// Whether `text` repeats the password or the message it is sent in, or the
    /// beginning of one: a quoted line may be cut short.
    pub(super) fn are_repeated_in(&self, text: &str) -> bool {
        let password = self.password.expose();
        let encoded = [base64_encode(password), plain_base64(self)];
        [password, encoded[0].expose(), encoded[1].expose()]
            .into_iter()
            .map(|form| form.get(..8).unwrap_or(form))
            .filter(|head| !head.is_empty())
            .any(|head| text.as_bytes().windows(head.len()).any(|part| part == head))
    }
}

impl Command {
    /// `CAPABILITY` (RFC 9051 §6.1.1).
    pub fn capability(tag: Tag) -> Self {
        Self::open(&format!("{tag} CAPABILITY"))
    }

    /// `STARTTLS` (RFC 9051 §6.2.1). Nothing may be sent after it before the handshake.
    pub fn starttls(tag: Tag) -> Self {
        Self::open(&format!("{tag} STARTTLS"))
    }

    /// `LIST "" ""` (RFC 9051 §6.3.9): asks for the hierarchy delimiter. The cheapest
    /// command that fails when a login was good on paper only.
    pub fn list(tag: Tag) -> Self {
        Self::open(&format!("{tag} LIST \"\" \"\""))
    }

    /// `UNAUTHENTICATE`, which takes a login back (RFC 8437).
    pub fn unauthenticate(tag: Tag) -> Self {
        Self::open(&format!("{tag} UNAUTHENTICATE"))
    }

    /// `LOGOUT` (RFC 9051 §6.1.3).
    pub fn logout(tag: Tag) -> Self {
        Self::open(&format!("{tag} LOGOUT"))
    }

    /// `ID` with the address of the client on whose behalf we ask (RFC 2971; the names are
    /// Dovecot's, which believes them of its `login_trusted_networks`).
    pub fn id(tag: Tag, address: IpAddr, port: Option<u16>) -> Self {
        let port = port.map_or(String::new(), |port| {
            format!(" \"x-originating-port\" \"{port}\"")
        });
        Self::open(&format!("{tag} ID (\"x-originating-ip\" \"{address}\"{port})"))
    }

    /// `AUTHENTICATE PLAIN` without initial response; [`Self::plain`] follows the `+`.
    pub fn authenticate_plain(tag: Tag) -> Self {
        Self::open(&format!("{tag} AUTHENTICATE PLAIN"))
    }

    /// `AUTHENTICATE PLAIN` with the initial response (RFC 4959 §3): only where
    /// [`Capabilities::sasl_ir`] is set.
    pub fn authenticate_plain_at_once(tag: Tag, credentials: &Sendable) -> Self {
        let data = plain_base64(credentials);
        let mut draft = Draft::with_room(64 + data.expose().len());
        draft.open(&format!("{tag} AUTHENTICATE PLAIN "));
        draft.carry(data.expose(), "[secret]");
        draft.finish()
    }

    /// `AUTHENTICATE LOGIN`; [`Self::user`] follows the first `+`, [`Self::password`] the second.
    pub fn authenticate_login(tag: Tag) -> Self {
        Self::open(&format!("{tag} AUTHENTICATE LOGIN"))
    }

    /// The PLAIN message (RFC 4616 §2) in base64.
    pub fn plain(credentials: &Sendable) -> Self {
        Self::base64(&plain_base64(credentials), "[secret]")
    }

    /// The user name in base64.
    pub fn user(credentials: &Sendable) -> Self {
        let shown = String::from_utf8_lossy(&credentials.user);
        Self::base64(&base64_encode(&credentials.user), &printable(&shown))
    }

    /// The password in base64.
    pub fn password(credentials: &Sendable) -> Self {
        Self::base64(&base64_encode(credentials.password.expose()), "[secret]")
    }

    /// `AUTHENTICATE` with a mechanism that is carried; `initial` only where
    /// [`Capabilities::sasl_ir`] is set. An empty one is `=` (RFC 4959 §3).
    pub fn authenticate(tag: Tag, mechanism: RelayedMechanism, initial: Option<&Secret<[u8]>>) -> Self {
        let line = format!("{tag} AUTHENTICATE {}", mechanism.name());
        let Some(initial) = initial else {
            return Self::open(&line);
        };
        let data = base64_encode(initial.expose());
        let mut draft = Draft::with_room(64 + data.expose().len());
        draft.open(&line);
        draft.open(" ");
        draft.carry(
            if data.expose().is_empty() {
                b"="
            } else {
                data.expose()
            },
            "[secret]",
        );
        draft.finish()
    }

    /// A client's answer to a challenge, in base64.
    pub fn answer(message: &Secret<[u8]>) -> Self {
        Self::base64(&base64_encode(message.expose()), "[secret]")
    }

    /// `*`: leaves an AUTHENTICATE halfway; the server answers with a tagged BAD.
    pub fn cancel() -> Self {
        Self::open("*")
    }

    /// `LOGIN` (RFC 9051 §6.2.3), in one part or in several, each to be sent after a
    /// `+`. The password is in the last.
    ///
    /// `login = "LOGIN" SP userid SP password`; each an `astring`, of which we write
    /// quoted strings and, where these cannot be, literals. Quoted is the first
    /// choice: Courier's LOGIN takes no literals.
    pub fn login(tag: Tag, credentials: &Sendable, capabilities: &Capabilities) -> Vec<Self> {
        let (user, password) = (&credentials.user[..], credentials.password.expose());
        let shown_user = printable(&String::from_utf8_lossy(user));
        let mut parts = Vec::with_capacity(3);
        let mut draft = Draft::with_room(64 + 2 * (user.len() + password.len()));
        draft.open(&format!("{tag} LOGIN "));
        parts.extend(draft.announce(user, capabilities));
        draft.argument(user, &format!("\"{shown_user}\""));
        draft.open(" ");
        parts.extend(draft.announce(password, capabilities));
        draft.argument(password, "[secret]");
        parts.push(draft.finish());
        parts
    }

    /// Whether a byte of the user name or the password is in it.
    pub fn names_user(&self) -> bool {
        self.names_user
    }

    /// What goes over the wire, line end included. Secret: it may hold a password.
    pub fn wire(&self) -> &Secret<[u8]> {
        &self.wire
    }

    fn open(line: &str) -> Self {
        let mut draft = Draft::with_room(64);
        draft.open(line);
        draft.finish()
    }

    fn base64(data: &Secret<[u8]>, shown: &str) -> Self {
        let mut draft = Draft::with_room(64 + data.expose().len());
        draft.carry(data.expose(), shown);
        draft.finish()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.shown)
    }
}

fn plain_base64(credentials: &Sendable) -> Secret<[u8]> {
    base64_encode(encode_plain(&credentials.user, &credentials.password).expose())
}

#[cfg(test)]
mod tests;
