//! What is sent, byte for byte, and what a log shows of it.

use proptest::prelude::*;

use super::draft::LITERAL_MINUS_LIMIT;
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
    let shown =
        |address: &str, port| Command::id(Tags::new().next_tag(), address.parse().unwrap(), port).to_string();
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
