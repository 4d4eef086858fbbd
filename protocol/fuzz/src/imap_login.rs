//! A login by IMAP, with a server that says what it likes.

use vouch_protocol::imap::capability::Capabilities;
use vouch_protocol::imap::command::Tags;
use vouch_protocol::imap::login::{Login, LoginError, Method, Outcome, Step};
use vouch_protocol::imap::response::{Response, StatusKind};
use vouch_protocol::imap::{Codec, UNTAGGED_LIMIT};
use vouch_protocol::sasl::base64_decode;
use vouch_protocol::secret::Secret;

use crate::input;
use crate::remote::{Remote, holds};

/// Responses of which one ends each of at most three ways to ask.
const RESPONSES: usize = UNTAGGED_LIMIT + 20;

/// What the server was sent of one command.
#[derive(Default)]
struct Told {
    tag: String,
    /// The command and its continuations, one after the other.
    wire: Vec<u8>,
    /// Whether it may say more: only after a `+`.
    may_go_on: bool,
    last: Option<Response>,
    user: bool,
    password: bool,
    /// How many commands carried the password.
    passwords: usize,
    /// `LIST` after a yes.
    confirms: bool,
    cancelled: bool,
}

struct Asked<'a> {
    offered: Capabilities,
    only: Option<Method>,
    user: &'a [u8],
    password: &'a [u8],
    confirm: bool,
}

/// In the first lines: settings (`c`: confirm, `p`, `l` or `L`: AUTHENTICATE PLAIN, AUTHENTICATE LOGIN or LOGIN alone),
/// what is offered, the user and the password. Then what the server says.
pub fn run(input: &[u8]) {
    let ([settings, offered, user, password], said) = input::lines(input);
    let only = [
        (b'p', Method::AuthenticatePlain),
        (b'l', Method::AuthenticateLogin),
        (b'L', Method::LoginCommand),
    ];
    let asked = Asked {
        offered: Capabilities::parse(&input::text(offered)),
        only: only
            .iter()
            .find(|(letter, _)| input::has(settings, *letter))
            .map(|(_, only)| *only),
        user,
        password,
        confirm: input::has(settings, b'c'),
    };
    let mut tags = Tags::new();
    let secret = Secret::copy_from(password);
    let login = Login::new(
        &asked.offered, &mut tags, asked.only, user, &secret, asked.confirm,
    );
    let unsendable = [user, password]
        .concat()
        .iter()
        .any(|byte| b"\0\r\n".contains(byte));
    let mut login = match login {
        Ok(login) => login,
        Err(LoginError::Unsendable(_)) => return assert!(unsendable),
        Err(LoginError::NoMechanism) => {
            assert!(!asked.may(Method::AuthenticatePlain) || !asked.offered.auth.plain);
            assert!(!asked.may(Method::AuthenticateLogin) || !asked.offered.auth.login);
            return assert!(!asked.may(Method::LoginCommand) || asked.offered.login_disabled);
        }
    };
    assert!(!unsendable, "a line end in a command");

    let mut remote = Remote::new(Codec::default(), said);
    let mut told = Told::default();
    let mut step = login.start();
    for read in 0.. {
        assert!(read <= RESPONSES, "reads on without an end");
        match step {
            Step::Read => {}
            Step::Send(command) => {
                asked.is_masked(&command.to_string(), &format!("{command:?}"));
                told.send(&asked, command.wire().expose());
                assert_eq!(login.has_said_password(), told.passwords > 0);
            }
            Step::Done(outcome) => {
                ended(&asked, &told, &outcome);
                break;
            }
        }
        let Some(response) = remote.says() else { return };
        told.last = Some(response.clone());
        step = login.on_response(response);
        assert!(told.passwords <= 1, "the password was sent twice");
    }
    while let Some(response) = remote.says() {
        assert!(matches!(
            login.on_response(response),
            Step::Done(Outcome::Unexpected(_))
        ));
    }
}

impl Asked<'_> {
    fn may(&self, method: Method) -> bool {
        self.only.is_none_or(|only| only == method)
    }

    /// The trace does not hold the password: not between its own words and the user's name.
    fn is_masked(&self, shown: &str, debug: &str) {
        assert_eq!(debug, format!("Command({shown})"));
        let (user, password) = (input::text(self.user), input::text(self.password));
        // The tag, which a line of an exchange has not.
        let mut bare = shown
            .trim_start_matches(|c: char| c == 'v' || c.is_ascii_digit())
            .to_owned();
        // No password holds a NUL.
        for word in [
            &*user, "[secret]", "[literal]", "AUTHENTICATE", "PLAIN", "LOGIN", "LIST",
        ] {
            if !word.is_empty() {
                bare = bare.replace(word, "\0");
            }
        }
        let whole = user.len() <= 100 && !user.contains(|c: char| c == '\u{fffd}' || c.is_control());
        assert!(
            password.len() < 8 || !whole || user.contains(&password) || !bare.contains(&password),
            "{shown}"
        );
    }
}

impl Told {
    fn send(&mut self, asked: &Asked<'_>, wire: &[u8]) {
        assert!(wire.ends_with(b"\r\n"));
        match &self.last {
            Some(Response::Continuation(_)) => {
                assert!(self.may_go_on || wire == b"*\r\n", "more than was announced");
                self.cancelled |= wire == b"*\r\n" && self.password;
            }
            // The next command, after an answer to the one before.
            last => {
                if let Some(Response::Tagged { tag, status }) = last {
                    assert_eq!(*tag, self.tag);
                    assert!(
                        !self.password || self.confirms(asked, status.kind, wire),
                        "asks again"
                    );
                } else {
                    assert!(last.is_none(), "speaks out of turn");
                }
                self.wire.clear();
                let end = wire.iter().position(|&byte| byte == b' ').unwrap_or_default();
                let tag = input::text(&wire[..end]);
                assert_ne!(tag, self.tag);
                self.tag = tag;
            }
        }
        self.wire.extend_from_slice(wire);
        if !self.confirms && !self.cancelled {
            self.learn(asked);
        }
    }

    fn confirms(&mut self, asked: &Asked<'_>, answer: StatusKind, wire: &[u8]) -> bool {
        self.confirms = asked.confirm && answer == StatusKind::Ok && wire.ends_with(b" LIST \"\" \"\"\r\n");
        self.confirms
    }

    /// Reads the command as a server does, as far as it was sent.
    fn learn(&mut self, asked: &Asked<'_>) {
        let offered = &asked.offered;
        let wire = self.wire.clone();
        let line = wire.get(self.tag.len() + 1..).unwrap_or_default();
        let carried = (asked.user, asked.password);
        let password = if let Some(rest) = line.strip_prefix(b"AUTHENTICATE PLAIN") {
            assert!(offered.auth.plain && asked.may(Method::AuthenticatePlain));
            assert!(rest.starts_with(b"\r\n") || offered.sasl_ir && rest.starts_with(b" "));
            let message = rest.trim_ascii();
            self.may_go_on = message.is_empty();
            self.user = !message.is_empty();
            let expected = [b"\0", carried.0, b"\0", carried.1].concat();
            assert!(!self.user || base64_decode(message).is_ok_and(|found| found.expose() == expected));
            self.user
        } else if let Some(rest) = line.strip_prefix(b"AUTHENTICATE LOGIN\r\n") {
            assert!(offered.auth.login && asked.may(Method::AuthenticateLogin));
            let lines: Vec<_> = rest.split_inclusive(|&byte| byte == b'\n').collect();
            for (line, part) in lines.iter().zip([carried.0, carried.1]) {
                assert!(base64_decode(line.trim_ascii()).is_ok_and(|found| found.expose() == part));
            }
            self.may_go_on = lines.len() < 2;
            self.user = !lines.is_empty();
            lines.len() == 2
        } else if let Some(rest) = line.strip_prefix(b"LOGIN ") {
            assert!(!offered.login_disabled && asked.may(Method::LoginCommand));
            self.login(asked, rest)
        } else {
            panic!("an unknown command: {}", input::text(&self.wire));
        };
        self.passwords += usize::from(password && !self.password);
        self.password = password;
    }

    /// `LOGIN SP astring SP astring CRLF`, up to a literal that waits for a `+`.
    fn login(&mut self, asked: &Asked<'_>, rest: &[u8]) -> bool {
        self.may_go_on = true;
        let Some((user, rest)) = astring(&asked.offered, rest) else {
            return false;
        };
        assert_eq!(user, asked.user);
        self.user = true;
        let Some(rest) = rest.strip_prefix(b" ") else {
            panic!("no space behind the user: {rest:?}");
        };
        let Some((password, rest)) = astring(&asked.offered, rest) else {
            return false;
        };
        assert_eq!(password, asked.password);
        assert_eq!(rest, b"\r\n", "more than the password");
        self.may_go_on = false;
        true
    }
}

/// `astring`, and what stands behind it; `None` where the server is to say `+` first.
fn astring<'a>(offered: &Capabilities, text: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let mut value = Vec::new();
        let mut bytes = quoted.iter().enumerate();
        while let Some((at, &byte)) = bytes.next() {
            assert!((0x20..=0x7e).contains(&byte), "not to be quoted: {byte}");
            match byte {
                b'"' => return Some((value, &quoted[at + 1..])),
                b'\\' => value.extend(bytes.next().map(|(_, &byte)| byte)),
                byte => value.push(byte),
            }
        }
        panic!("a string without an end: {text:?}");
    }
    let Some(end) = text.iter().position(|&byte| byte == b'}') else {
        panic!("no string: {text:?}");
    };
    let announced = input::text(&text[1..end]);
    let (size, at_once) = match announced.strip_suffix('+') {
        Some(size) => (size, true),
        None => (&*announced, false),
    };
    let Ok(size) = size.parse::<usize>() else {
        panic!("no size: {announced}");
    };
    let granted = offered.literal_plus || offered.literal_minus && size <= 4096;
    assert_eq!(at_once, granted, "a literal of {size}");
    let octets = text[end + 1..].strip_prefix(b"\r\n")?;
    if octets.is_empty() && !at_once {
        return None;
    }
    Some((octets[..size].to_vec(), &octets[size..]))
}

/// A yes is the answer to our own command, after all was said; a no is about this user.
fn ended(asked: &Asked<'_>, told: &Told, outcome: &Outcome) {
    let answered = match &told.last {
        Some(Response::Tagged { tag, status }) if *tag == told.tag => Some(status.kind),
        _ => None,
    };
    let quiet = |text: &str| {
        assert!(
            text == "[withheld]" || !holds(text.as_bytes(), asked.password),
            "repeated: {text}"
        );
    };
    match outcome {
        Outcome::Status { status, capabilities } => {
            assert!(told.user && !told.cancelled);
            match status.kind {
                StatusKind::Ok => {
                    assert!(told.password && answered == Some(StatusKind::Ok));
                    assert_eq!(told.confirms, asked.confirm);
                }
                StatusKind::No => assert!(answered == Some(StatusKind::No) && capabilities.is_none()),
                StatusKind::Bad => {
                    quiet(status.words());
                    assert!(answered == Some(StatusKind::Bad));
                }
                StatusKind::PreAuth | StatusKind::Bye => panic!("no answer: {status}"),
            }
        }
        Outcome::Surprise => assert!(told.cancelled),
        Outcome::Unsupported(status) => {
            assert!(!told.password);
            if status.kind == StatusKind::Bad {
                quiet(status.words());
            }
        }
        Outcome::Unconfirmed(_) => assert!(told.confirms && answered != Some(StatusKind::Ok)),
        Outcome::Unexpected(_) => {}
    }
}
