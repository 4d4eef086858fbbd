//! What we say: the few commands that a login needs, with quoting and literals.
//!
//! A [`Command`] is made whole and can then only be sent, so what must not reach
//! the wire is refused where it comes in, by [`Sendable::new`].

use core::net::IpAddr;
use std::fmt;

use super::capability::Capabilities;
use super::printable;
use crate::error::EncodeError;
use crate::sasl::{RelayedMechanism, base64_encode, encode_plain};
use crate::secret::Secret;

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

/// Literals up to this size need not wait for a `+` with LITERAL- (RFC 7888 §5), in octets.
const LITERAL_MINUS_LIMIT: usize = 4096;

/// A command being written, and its trace form beside it.
struct Draft {
    wire: Vec<u8>,
    shown: String,
    names_user: bool,
    room: usize,
}

impl Draft {
    /// `room` is the most that will be written, in octets: a vector that has to
    /// grow leaves a copy of what it held, passwords too.
    fn with_room(room: usize) -> Self {
        Self {
            wire: Vec::with_capacity(room),
            shown: String::new(),
            names_user: false,
            room,
        }
    }

    /// What everybody may see.
    fn open(&mut self, text: &str) {
        self.wire.extend_from_slice(text.as_bytes());
        self.shown.push_str(text);
    }

    /// What belongs to the credentials.
    fn carry(&mut self, bytes: &[u8], shown: &str) {
        self.wire.extend_from_slice(bytes);
        self.shown.push_str(shown);
        self.names_user = true;
    }

    /// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`, its head alone, where `argument`
    /// needs one. Gives the part that is complete with it if the server must answer first.
    fn announce(&mut self, argument: &[u8], capabilities: &Capabilities) -> Option<Command> {
        if is_quotable(argument) {
            return None;
        }
        let size = argument.len();
        let waits = !(capabilities.literal_plus || capabilities.literal_minus && size <= LITERAL_MINUS_LIMIT);
        let head = if waits {
            format!("{{{size}}}")
        } else {
            format!("{{{size}+}}\r\n")
        };
        self.wire.extend_from_slice(head.as_bytes());
        if !waits {
            return None;
        }
        // The size of a password is nobody's business.
        self.shown.push_str("[literal]");
        Some(self.finish())
    }

    /// `astring`, after its head was announced: `quoted = DQUOTE *QUOTED-CHAR DQUOTE`, or
    /// the octets of a literal.
    fn argument(&mut self, argument: &[u8], shown: &str) {
        if !is_quotable(argument) {
            return self.carry(argument, shown);
        }
        self.wire.push(b'"');
        for &byte in argument {
            if matches!(byte, b'"' | b'\\') {
                self.wire.push(b'\\');
            }
            self.wire.push(byte);
        }
        self.wire.push(b'"');
        self.carry(b"", shown);
    }

    /// The command as far as it is written; what follows begins anew.
    fn finish(&mut self) -> Command {
        let mut done = std::mem::replace(self, Self::with_room(self.room));
        done.wire.extend_from_slice(b"\r\n");
        Command {
            wire: Secret::from(done.wire),
            shown: done.shown,
            names_user: done.names_user,
        }
    }
}

/// Control characters have no place in a quoted string that every server reads
/// alike, and the grammar has none for 8-bit bytes.
fn is_quotable(argument: &[u8]) -> bool {
    argument.iter().all(|byte| (0x20..=0x7e).contains(byte))
}

fn plain_base64(credentials: &Sendable) -> Secret<[u8]> {
    base64_encode(encode_plain(&credentials.user, &credentials.password).expose())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn credentials(user: &str, password: &[u8]) -> Sendable {
        Sendable::new(user.as_bytes(), &Secret::copy_from(password)).unwrap()
    }

    fn wire(command: &Command) -> String {
        String::from_utf8(command.wire().expose().to_vec()).unwrap()
    }

    fn login(user: &str, password: &str, capabilities: &str) -> (Vec<String>, Vec<String>) {
        let mut tags = Tags::new();
        let capabilities = Capabilities::parse(capabilities);
        let credentials = credentials(user, password.as_bytes());
        let parts = Command::login(tags.next_tag(), &credentials, &capabilities);
        (
            parts.iter().map(wire).collect(),
            parts.iter().map(Command::to_string).collect(),
        )
    }

    #[test]
    fn id_names_the_client() {
        let shown = |address: &str, port| {
            Command::id(Tags::new().next_tag(), address.parse().unwrap(), port).to_string()
        };
        assert_eq!(
            shown("192.0.2.7", Some(50123)),
            r#"v1 ID ("x-originating-ip" "192.0.2.7" "x-originating-port" "50123")"#
        );
        assert_eq!(
            shown("2001:db8::7", None),
            r#"v1 ID ("x-originating-ip" "2001:db8::7")"#
        );
    }

    #[test]
    fn known_answers() {
        let mut tags = Tags::new();
        let jane = credentials("jane@example.org", b"s3cret");
        let table = [
            (
                Command::capability(tags.next_tag()),
                "v1 CAPABILITY\r\n",
                "v1 CAPABILITY",
                false,
            ),
            (
                Command::starttls(tags.next_tag()),
                "v2 STARTTLS\r\n",
                "v2 STARTTLS",
                false,
            ),
            (
                Command::authenticate_plain_at_once(tags.next_tag(), &jane),
                "v3 AUTHENTICATE PLAIN AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0\r\n",
                "v3 AUTHENTICATE PLAIN [secret]",
                true,
            ),
            (
                Command::authenticate_plain_at_once(
                    tags.next_tag(),
                    &credentials("jane@example.org", "pässwörd".as_bytes()),
                ),
                "v4 AUTHENTICATE PLAIN AGphbmVAZXhhbXBsZS5vcmcAcMOkc3N3w7ZyZA==\r\n",
                "v4 AUTHENTICATE PLAIN [secret]",
                true,
            ),
            (
                Command::authenticate_plain(tags.next_tag()),
                "v5 AUTHENTICATE PLAIN\r\n",
                "v5 AUTHENTICATE PLAIN",
                false,
            ),
            (
                Command::plain(&jane),
                "AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0\r\n",
                "[secret]",
                true,
            ),
            (
                Command::authenticate_login(tags.next_tag()),
                "v6 AUTHENTICATE LOGIN\r\n",
                "v6 AUTHENTICATE LOGIN",
                false,
            ),
            (
                Command::user(&jane),
                "amFuZUBleGFtcGxlLm9yZw==\r\n",
                "jane@example.org",
                true,
            ),
            (Command::password(&jane), "czNjcmV0\r\n", "[secret]", true),
            (Command::cancel(), "*\r\n", "*", false),
            (
                Command::list(tags.next_tag()),
                "v7 LIST \"\" \"\"\r\n",
                "v7 LIST \"\" \"\"",
                false,
            ),
            (
                Command::logout(tags.next_tag()),
                "v8 LOGOUT\r\n",
                "v8 LOGOUT",
                false,
            ),
        ];
        for (command, sent, shown, names_user) in table {
            assert_eq!(wire(&command), sent);
            assert_eq!(command.to_string(), shown);
            assert_eq!(format!("{command:?}"), format!("Command({shown})"));
            assert_eq!(command.names_user(), names_user, "{shown}");
        }
    }

    #[test]
    fn login_in_quotes() {
        let (sent, shown) = login("jane@example.org", "a\"b\\c", "IMAP4rev1");
        assert_eq!(sent, ["v1 LOGIN \"jane@example.org\" \"a\\\"b\\\\c\"\r\n"]);
        assert_eq!(shown, ["v1 LOGIN \"jane@example.org\" [secret]"]);
        assert_eq!(login("", "", "").0, ["v1 LOGIN \"\" \"\"\r\n"]);
    }

    #[test]
    fn login_with_literals_that_wait() {
        let (sent, shown) = login("jane@example.org", "pässwörd", "IMAP4rev1");
        assert_eq!(sent, ["v1 LOGIN \"jane@example.org\" {10}\r\n", "pässwörd\r\n"]);
        assert_eq!(shown, ["v1 LOGIN \"jane@example.org\" [literal]", "[secret]"]);

        let (sent, shown) = login("jäne", "a\tb", "IMAP4rev1");
        assert_eq!(sent, ["v1 LOGIN {5}\r\n", "jäne {3}\r\n", "a\tb\r\n"]);
        assert_eq!(shown, ["v1 LOGIN [literal]", "\"jäne\" [literal]", "[secret]"]);
    }

    #[test]
    fn only_the_part_with_credentials_names_them() {
        let parts = Command::login(
            Tags::new().next_tag(),
            &credentials("jäne", b"\x7f"),
            &Capabilities::default(),
        );
        let named: Vec<bool> = parts.iter().map(Command::names_user).collect();
        assert_eq!(named, [false, true, true]);
    }

    #[test]
    fn login_with_literals_that_do_not_wait() {
        for capabilities in ["IMAP4rev1 LITERAL+", "IMAP4rev1 LITERAL-", "IMAP4rev2"] {
            let (sent, shown) = login("jäne", "pässwörd", capabilities);
            assert_eq!(
                sent,
                ["v1 LOGIN {5+}\r\njäne {10+}\r\npässwörd\r\n"],
                "{capabilities}"
            );
            assert_eq!(shown, ["v1 LOGIN \"jäne\" [secret]"]);
        }
        let long = format!("ä{}", "x".repeat(LITERAL_MINUS_LIMIT - 2));
        assert_eq!(login("jane", &long, "LITERAL-").0.len(), 1);
        assert_eq!(login("jane", &format!("{long}x"), "LITERAL-").0.len(), 2);
        assert_eq!(login("jane", &format!("{long}x"), "LITERAL+").0.len(), 1);
    }

    #[test]
    fn injection_is_refused() {
        for bad in ["a\0b", "a\r\nv9 LOGOUT", "a\nb", "a\rb", "\0"] {
            let secret = Secret::copy_from(bad.as_bytes());
            let user = Sendable::new(bad.as_bytes(), &Secret::copy_from(b"x"));
            assert!(
                matches!(user, Err(EncodeError::Unsendable("user name"))),
                "{bad:?}"
            );
            let password = Sendable::new(b"jane", &secret);
            assert!(
                matches!(password, Err(EncodeError::Unsendable("password"))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn secrets_are_masked() {
        let jane = credentials("jane", "pass\u{1b}wörd".as_bytes());
        assert!(format!("{jane:?}").ends_with("password: [secret] }"));
        let (_, shown) = login("ja\u{1b}ne", "s3cret", "IMAP4rev2");
        assert_eq!(shown, ["v1 LOGIN \"ja?ne\" [secret]"]);
    }

    /// Reads a LOGIN command back as a server would.
    fn read_back(mut wire: &[u8]) -> Vec<Vec<u8>> {
        wire = wire.strip_prefix(b"v1 LOGIN ").unwrap();
        let mut arguments = Vec::new();
        for end in [&b" "[..], b"\r\n"] {
            let mut argument = Vec::new();
            if let Some(mut quoted) = wire.strip_prefix(b"\"") {
                while quoted[0] != b'"' {
                    if quoted[0] == b'\\' {
                        quoted = &quoted[1..];
                    }
                    argument.push(quoted[0]);
                    quoted = &quoted[1..];
                }
                wire = &quoted[1..];
            } else {
                let head = wire.iter().position(|byte| *byte == b'\n').unwrap();
                let digits: String = wire[1..head]
                    .iter()
                    .filter(|byte| byte.is_ascii_digit())
                    .map(|byte| char::from(*byte))
                    .collect();
                let size: usize = digits.parse().unwrap();
                argument.extend_from_slice(&wire[head + 1..head + 1 + size]);
                wire = &wire[head + 1 + size..];
            }
            wire = wire.strip_prefix(end).unwrap();
            arguments.push(argument);
        }
        assert!(wire.is_empty());
        arguments
    }

    proptest! {
        #[test]
        fn login_reads_back(
            user in prop::collection::vec(any::<u8>(), 0..40),
            password in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>()], 0..40),
            plus in any::<bool>(),
        ) {
            let capabilities = Capabilities { literal_plus: plus, ..Capabilities::default() };
            let secret = Secret::copy_from(&password);
            let bad = |bytes: &[u8]| bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
            let Ok(credentials) = Sendable::new(&user, &secret) else {
                prop_assert!(bad(&user) || bad(&password));
                return Ok(());
            };
            prop_assert!(!bad(&user) && !bad(&password));
            let parts = Command::login(Tags::new().next_tag(), &credentials, &capabilities);
            let wire: Vec<u8> = parts.iter().flat_map(|part| part.wire().expose().to_vec()).collect();
            prop_assert_eq!(read_back(&wire), [user, password]);
        }
    }
}
