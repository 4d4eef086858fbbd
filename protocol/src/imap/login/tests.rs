//! A login, against what servers say.

use proptest::prelude::*;

use super::*;
use crate::imap::UNTAGGED_LIMIT;

/// One login, and what the server offers.
#[derive(Clone, Copy)]
struct Ask {
    offered: &'static str,
    only: Option<Method>,
    user: &'static str,
    password: &'static str,
    confirm: bool,
}

const JANE: Ask = Ask {
    offered: "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=LOGIN",
    only: None,
    user: "jane@example.org",
    password: "s3cret",
    confirm: false,
};

/// Plays `lines` to a dialog; says what it did, one line a step.
fn play(ask: Ask, lines: &[&str]) -> Vec<String> {
    let mut tags = Tags::new();
    let password = Secret::copy_from(ask.password.as_bytes());
    let offered = Capabilities::parse(ask.offered);
    let login = Login::new(
        &offered,
        &mut tags,
        ask.only,
        ask.user.as_bytes(),
        &password,
        ask.confirm,
    );
    let mut login = match login {
        Ok(login) => login,
        Err(error) => return vec![error.to_string()],
    };
    let mut did = vec![show(&login.start())];
    for line in lines {
        let step = login.on_response(Response::parse(line).unwrap());
        did.push(match login.goodbye() {
            Some(status) if matches!(step, Step::Read) => format!("bye: {status}"),
            _ => show(&step),
        });
    }
    did
}

fn show(step: &Step) -> String {
    match step {
        Step::Read => "read".into(),
        Step::Send(command) => {
            let wire = String::from_utf8_lossy(command.wire().expose()).into_owned();
            wire.trim_end_matches("\r\n").replace("\r\n", "|")
        }
        Step::Done(Outcome::Status {
            status,
            capabilities: None,
        }) => format!("answer: {status}"),
        Step::Done(Outcome::Status {
            status,
            capabilities: Some(told),
        }) => {
            format!("answer: {status}, {told}")
        }
        Step::Done(Outcome::Surprise) => "surprise".into(),
        Step::Done(Outcome::Unsupported(status)) => format!("unsupported: {status}"),
        Step::Done(Outcome::Unconfirmed(status)) => format!("unconfirmed: {status}"),
        Step::Done(Outcome::Unexpected(how)) => format!("unexpected: {how}"),
    }
}

const PLAIN: &str = "AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0";

/// Without initial response, and no other way.
const PLAIN_ONLY: Ask = Ask {
    offered: "IMAP4rev1 AUTH=PLAIN LOGINDISABLED",
    ..JANE
};

const LOGIN_ONLY: Ask = Ask {
    offered: "IMAP4rev1 AUTH=LOGIN LOGINDISABLED",
    ..JANE
};

/// Courier: nothing but the command.
const COMMAND_ONLY: Ask = Ask {
    offered: "IMAP4rev1 UIDPLUS",
    ..JANE
};

/// No mechanism can say this in one go.
const UMLAUT: Ask = Ask {
    password: "pässwörd",
    ..COMMAND_ONLY
};

#[test]
fn plain_at_once() {
    let sent = format!("v1 AUTHENTICATE PLAIN {PLAIN}");
    assert_eq!(
        play(JANE, &["v1 NO [AUTHENTICATIONFAILED] Authentication failed."]),
        [
            &sent[..],
            "answer: NO [AUTHENTICATIONFAILED] Authentication failed."
        ]
    );
    assert_eq!(
        play(
            JANE,
            &["* CAPABILITY IMAP4rev1 UNAUTHENTICATE", "v1 OK Logged in"]
        ),
        [
            &sent[..],
            "read",
            "answer: OK Logged in, IMAP4rev1 UNAUTHENTICATE"
        ]
    );
    assert_eq!(
        play(
            JANE,
            &["* CAPABILITY IMAP4rev1 ID", "v1 OK [CAPABILITY IMAP4rev1] in"]
        )[2],
        "answer: OK [CAPABILITY IMAP4rev1] in, IMAP4rev1"
    );
    // A BAD is an answer too, and its password is never told to another mechanism.
    for line in [
        "v1 BAD no", "v1 NO", "v1 NO [PRIVACYREQUIRED]", "v1 NO [CANNOT] mechanism",
    ] {
        assert_eq!(play(JANE, &[line])[1], format!("answer: {}", &line[3..]));
    }
}

#[test]
fn plain_after_a_continuation() {
    assert_eq!(
        play(PLAIN_ONLY, &["+ ", "v1 OK done"]),
        ["v1 AUTHENTICATE PLAIN", PLAIN, "answer: OK done"]
    );
    assert_eq!(play(PLAIN_ONLY, &["+", "v1 NO no"])[2], "answer: NO no");
    assert_eq!(play(PLAIN_ONLY, &["v1 NO no"])[1], "unsupported: NO no");
    assert_eq!(
        play(PLAIN_ONLY, &["v1 OK done"])[1],
        "unexpected: OK before the password was sent"
    );
}

#[test]
fn login_command() {
    assert_eq!(
        play(COMMAND_ONLY, &["* OK still here", "v1 NO Login failed."]),
        [
            "v1 LOGIN \"jane@example.org\" \"s3cret\"", "read", "answer: NO Login failed."
        ]
    );
    assert_eq!(
        play(COMMAND_ONLY, &["+ more"])[1],
        "unexpected: a continuation request after LOGIN"
    );
}

#[test]
fn login_command_with_a_literal() {
    let head = "v1 LOGIN \"jane@example.org\" {10}";
    assert_eq!(
        play(UMLAUT, &["+ go", "v1 OK in"]),
        [head, "pässwörd", "answer: OK in"]
    );
    // Refused after the user name: only a word about the user is an answer.
    assert_eq!(
        play(UMLAUT, &["v1 BAD no literals"]),
        [head, "unsupported: BAD no literals"]
    );
    assert_eq!(play(UMLAUT, &["v1 NO [TOOBIG]"])[1], "unsupported: NO [TOOBIG]");
    assert_eq!(
        play(UMLAUT, &["v1 NO [AUTHENTICATIONFAILED]"])[1],
        "answer: NO [AUTHENTICATIONFAILED]"
    );
    assert_eq!(
        play(UMLAUT, &["v1 OK in"])[1],
        "unexpected: OK before the password was sent"
    );

    let plus = Ask {
        offered: "IMAP4rev1 LITERAL+",
        ..UMLAUT
    };
    assert_eq!(
        play(plus, &["v1 NO no"]),
        ["v1 LOGIN \"jane@example.org\" {10+}|pässwörd", "answer: NO no"]
    );
}

#[test]
fn authenticate_login_by_position() {
    assert_eq!(
        play(LOGIN_ONLY, &["+ UGFzc3dvcmQ6", "+ what?", "v1 NO no"]),
        [
            "v1 AUTHENTICATE LOGIN", "amFuZUBleGFtcGxlLm9yZw==", "czNjcmV0", "answer: NO no"
        ]
    );
    assert_eq!(play(LOGIN_ONLY, &["v1 NO no"])[1], "unsupported: NO no");
    assert_eq!(play(LOGIN_ONLY, &["+", "v1 NO no"])[2], "unsupported: NO no");
    assert_eq!(
        play(LOGIN_ONLY, &["+", "v1 NO [EXPIRED]"])[2],
        "answer: NO [EXPIRED]"
    );
    assert_eq!(
        play(LOGIN_ONLY, &["+", "v1 OK in"])[2],
        "unexpected: OK before the password was sent"
    );
}

#[test]
fn the_next_mechanism_only_before_any_credential() {
    let all = Ask {
        offered: "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN",
        ..JANE
    };
    assert_eq!(
        play(all, &["v1 NO not supported", "v2 NO wrong"]),
        [
            "v1 AUTHENTICATE PLAIN", "v2 LOGIN \"jane@example.org\" \"s3cret\"", "answer: NO wrong"
        ]
    );
    // Not after the password.
    assert_eq!(
        play(all, &["+", "v1 NO not supported"])[2],
        "answer: NO not supported"
    );
    // Not where TLS is missed.
    assert_eq!(
        play(all, &["v1 NO [PRIVACYREQUIRED] use TLS"])[1],
        "unsupported: NO [PRIVACYREQUIRED] use TLS"
    );
    // A user name that needs a literal: nothing was sent when it is refused.
    let umlaut = Ask {
        user: "jäne",
        offered: "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN",
        ..JANE
    };
    assert_eq!(
        play(umlaut, &["v1 BAD no", "v2 BAD no"]),
        [
            "v1 AUTHENTICATE PLAIN", "v2 AUTHENTICATE LOGIN", "unsupported: BAD no"
        ]
    );
    let control = Ask {
        user: "ja\tne",
        offered: "IMAP4rev1 AUTH=LOGIN",
        ..JANE
    };
    assert_eq!(
        play(control, &["v1 BAD no literals", "+", "+", "v2 OK in"]),
        [
            "v1 LOGIN {5}", "v2 AUTHENTICATE LOGIN", "amEJbmU=", "czNjcmV0", "answer: OK in"
        ]
    );
}

/// Offered, asked for, and the first command.
#[test]
fn the_choice() {
    let plain = Some(Method::AuthenticatePlain);
    let login = Some(Method::AuthenticateLogin);
    let command = Some(Method::LoginCommand);
    let none = "the remote offers no mechanism that can be used";
    let table = [
        (
            "IMAP4rev1 SASL-IR AUTH=PLAIN", None, "v1 AUTHENTICATE PLAIN AGphbmUAczNjcmV0",
        ),
        (
            "IMAP4rev2 AUTH=PLAIN", None, "v1 AUTHENTICATE PLAIN AGphbmUAczNjcmV0",
        ),
        ("IMAP4rev1 AUTH=PLAIN", None, "v1 AUTHENTICATE PLAIN"),
        ("IMAP4rev1 AUTH=LOGIN", None, "v1 LOGIN \"jane\" \"s3cret\""),
        (
            "IMAP4rev1 AUTH=LOGIN LOGINDISABLED", None, "v1 AUTHENTICATE LOGIN",
        ),
        ("IMAP4rev1 AUTH=CRAM-MD5", None, "v1 LOGIN \"jane\" \"s3cret\""),
        ("IMAP4rev1 AUTH=CRAM-MD5 LOGINDISABLED", None, none),
        ("IMAP4rev1 LOGINDISABLED", None, none),
        (
            "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", command, "v1 LOGIN \"jane\" \"s3cret\"",
        ),
        ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN LOGINDISABLED", command, none),
        ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", login, "v1 AUTHENTICATE LOGIN"),
        ("IMAP4rev1 AUTH=PLAIN", login, none),
        ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", plain, "v1 AUTHENTICATE PLAIN"),
        ("IMAP4rev1 AUTH=LOGIN", plain, none),
    ];
    for (offered, only, first) in table {
        let ask = Ask {
            offered,
            only,
            user: "jane",
            ..JANE
        };
        assert_eq!(play(ask, &[])[0], first, "{offered} {only:?}");
    }
    for (offered, only, first) in table {
        let is_offered = Method::is_offered(only, &Capabilities::parse(offered));
        assert_eq!(is_offered, first != none, "{offered} {only:?}");
    }
    for (offered, first) in [
        ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", "v1 AUTHENTICATE PLAIN"),
        ("IMAP4rev1 AUTH=LOGIN", "v1 AUTHENTICATE LOGIN"),
        ("IMAP4rev1", "v1 LOGIN \"jane\" {10}"),
        ("IMAP4rev1 LOGINDISABLED", none),
    ] {
        let ask = Ask {
            offered,
            user: "jane",
            password: "pässwörd",
            ..JANE
        };
        assert_eq!(play(ask, &[])[0], first, "{offered}");
    }
}

#[test]
fn a_surprise_is_cancelled() {
    assert_eq!(
        play(
            JANE,
            &["+ eyJzdGF0dXMiOiI0MDAifQ==", "* OK hm", "v1 BAD cancelled"]
        )[1..],
        ["*", "read", "surprise"]
    );
    // Even a late OK is none.
    assert_eq!(play(PLAIN_ONLY, &["+", "+", "v1 OK in"])[2..], ["*", "surprise"]);
    assert_eq!(
        play(LOGIN_ONLY, &["+", "+", "+", "+"])[3..],
        ["*", "unexpected: a continuation request out of place"]
    );
    assert_eq!(play(JANE, &["+", "* BYE"])[2], "bye: BYE");
    assert_eq!(
        play(JANE, &["+", "v2 BAD"])[2],
        "unexpected: a tag that is not in use"
    );
}

#[test]
fn a_goodbye_may_stand_before_the_answer() {
    for (lines, ends) in [
        (&["* BYE so long", "v1 NO no"][..], "answer: NO no"),
        (&["* BYE so long", "v1 OK in"], "answer: OK in"),
        (&["* BYE so long", "* BYE again", "v1 NO no"], "answer: NO no"),
        (
            &["* BYE so long", "+"],
            "unexpected: a continuation request behind a goodbye",
        ),
    ] {
        let did = play(JANE, lines);
        assert_eq!(did[1], "bye: BYE so long");
        assert_eq!(did.last().unwrap(), ends, "{lines:?}");
    }
    // The password is not said any more.
    let did = play(PLAIN_ONLY, &["* BYE so long", "+"]);
    assert!(did[2].starts_with("unexpected"), "{did:?}");
}

#[test]
fn it_is_known_when_the_password_was_said() {
    let said = |ask: Ask, lines: &[&str]| {
        let mut tags = Tags::new();
        let password = Secret::copy_from(ask.password.as_bytes());
        let offered = Capabilities::parse(ask.offered);
        let user = ask.user.as_bytes();
        let mut login = Login::new(&offered, &mut tags, None, user, &password, false).unwrap();
        login.start();
        let mut said = vec![login.has_said_password()];
        for line in lines {
            login.on_response(Response::parse(line).unwrap());
            said.push(login.has_said_password());
        }
        said
    };
    assert_eq!(said(JANE, &["+", "v1 BAD"]), [true; 3]);
    assert_eq!(
        said(PLAIN_ONLY, &["* OK", "+", "v1 NO no"]),
        [false, false, true, true]
    );
    assert_eq!(said(LOGIN_ONLY, &["+", "+"]), [false, false, true]);
    assert_eq!(said(LOGIN_ONLY, &["+", "v1 NO [EXPIRED]"]), [false; 3]);
    assert_eq!(said(COMMAND_ONLY, &["v1 NO no"]), [true; 2]);
    assert_eq!(said(UMLAUT, &["+"]), [false, true]);
}

#[test]
fn confirmation() {
    let ask = Ask {
        confirm: true,
        ..JANE
    };
    let ok = ["* CAPABILITY IMAP4rev1 ID", "v1 OK done", "* LIST () \"/\" \"\""];
    assert_eq!(
        play(ask, &[&ok[..], &["v2 OK"]].concat())[2..],
        ["v2 LIST \"\" \"\"", "read", "answer: OK done, IMAP4rev1 ID"]
    );
    for line in ["v2 BAD User is authenticated but not connected.", "v2 NO no"] {
        let did = play(ask, &[&ok[..], &[line]].concat());
        assert_eq!(did[4], format!("unconfirmed: {}", &line[3..]));
    }
    assert_eq!(play(ask, &["v1 OK", "* BYE gone"])[2], "bye: BYE gone");
    assert_eq!(
        play(ask, &["v1 OK", "v1 OK"])[2],
        "unexpected: a tag that is not in use"
    );
    assert_eq!(
        play(ask, &["v1 OK", "+"])[2],
        "unexpected: a continuation request out of place"
    );
    assert_eq!(play(ask, &["v1 NO no"])[1], "answer: NO no");
}

#[test]
fn nonsense_is_no_answer() {
    for (lines, ends) in [
        (&["v2 OK in"][..], "unexpected: a tag that is not in use"),
        (&["V1 OK in"], "unexpected: a tag that is not in use"),
        (&["v01 NO"], "unexpected: a tag that is not in use"),
        (&["* BYE [UNAVAILABLE] down"], "bye: BYE [UNAVAILABLE] down"),
        (&["* 1 EXISTS", "* bye"], "bye: BYE"),
        // An untagged refusal is a warning.
        (&["* NO [AUTHENTICATIONFAILED] no"], "read"),
        (&["v1 NO no", "v1 OK in"], "unexpected: a tag that is not in use"),
        (&["v1 NO no", "* OK"], "unexpected: a response to nothing"),
    ] {
        assert_eq!(play(JANE, lines).pop().unwrap(), ends, "{lines:?}");
    }
    let chatter = vec!["* OK wait"; UNTAGGED_LIMIT + 1];
    let did = play(JANE, &chatter);
    assert_eq!(did[UNTAGGED_LIMIT], "read");
    assert_eq!(
        did[UNTAGGED_LIMIT + 1],
        "unexpected: untagged responses without an end"
    );
}

#[test]
fn an_echo_of_the_password_is_withheld() {
    let long = Ask {
        password: "correct horse battery staple",
        ..COMMAND_ONLY
    };
    for (ask, line, ends) in [
        (
            JANE, "v1 BAD Unknown: AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0", "answer: BAD [withheld]",
        ),
        (
            COMMAND_ONLY, "v1 BAD [CLIENTBUG] jane s3cret?", "answer: BAD [CLIENTBUG] [withheld]",
        ),
        (JANE, "* BYE what is czNjcmV0", "bye: BYE [withheld]"),
        (long, "v1 BAD \"correct ho", "answer: BAD [withheld]"),
        (JANE, "v1 BAD no such command", "answer: BAD no such command"),
        (JANE, "v1 NO s3cret is not it", "answer: NO s3cret is not it"),
    ] {
        assert_eq!(play(ask, &[line])[1], ends, "{line}");
    }
    assert_eq!(play(Ask { password: "", ..JANE }, &["v1 BAD"])[1], "answer: BAD");
}

#[test]
fn what_cannot_be_sent_is_not() {
    for (user, password) in [
        ("ja\0ne", "x"),
        ("jane\r\nv2 LOGOUT", "x"),
        ("jane", "x\ny"),
        ("jane", "\0"),
    ] {
        for offered in [JANE.offered, COMMAND_ONLY.offered, LOGIN_ONLY.offered] {
            let did = play(
                Ask {
                    offered,
                    user,
                    password,
                    ..JANE
                },
                &[],
            );
            assert!(did[0].ends_with("holds a byte that cannot be sent"), "{did:?}");
        }
    }
}

#[test]
fn tags_go_on_and_secrets_stay_hidden() {
    let mut tags = Tags::new();
    let secret = Secret::copy_from(b"s3cret");
    let offered = Capabilities::parse(JANE.offered);
    for tag in ["v1", "v2"] {
        let mut login = Login::new(&offered, &mut tags, None, b"jane", &secret, false).unwrap();
        assert!(!format!("{login:?}").contains("s3cret"));
        let step = login.start();
        let shown = format!("{step:?} {login:?}");
        assert!(shown.starts_with(&format!("Send(Command({tag} AUTHENTICATE PLAIN [secret])) ")));
        assert!(!shown.contains("s3cret") && !shown.contains("AGphbm"), "{shown}");
    }
}

proptest! {
    /// Whatever is said: the password leaves at most once, an OK is believed only
    /// after it, and there is an end.
    #[test]
    fn one_password_one_mechanism(
        offered in prop::sample::select(vec![
            "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", "IMAP4rev1 SASL-IR AUTH=PLAIN", "IMAP4rev1",
            "IMAP4rev1 LOGINDISABLED AUTH=LOGIN", "IMAP4rev2 AUTH=LOGIN",
        ]),
        user in prop::sample::select(vec!["jane", "ja\tne", "jäne"]),
        password in prop::sample::select(vec!["s3cret", "s3\tcret", "s3cröt"]),
        confirm in any::<bool>(),
        said in prop::collection::vec(prop::sample::select(vec![
            "+", "+ UGFzc3dvcmQ6", "v1 OK", "v1 NO", "v1 BAD", "v2 OK", "v2 NO [EXPIRED]", "v3 NO",
            "v3 OK", "* OK", "* CAPABILITY IMAP4rev1", "* BYE",
        ]), 0..12),
    ) {
        let did = play(Ask { offered, only: None, user, password, confirm }, &said);
        let encoded = String::from_utf8(crate::sasl::base64_encode(password.as_bytes()).expose().to_vec()).unwrap();
        let plain = Sendable::new(user.as_bytes(), &Secret::copy_from(password.as_bytes())).unwrap();
        let plain = String::from_utf8(Command::plain(&plain).wire().expose().to_vec()).unwrap();
        let tells = |step: &String| {
            step.contains(password) || *step == encoded || step.ends_with(plain.trim_end())
        };
        let told = did.iter().filter(|step| tells(step)).count();
        prop_assert!(told <= 1, "{:?}", did);
        if let Some(at) = did.iter().position(|step| step.starts_with("answer: OK")) {
            prop_assert!(did.iter().position(tells).is_some_and(|told| told < at), "{:?}", did);
            prop_assert!(said[at - 1].ends_with("OK") && said[at - 1].starts_with('v'), "{:?}", did);
        }
    }
}
