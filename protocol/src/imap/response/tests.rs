//! What servers say, as it is read.

use proptest::prelude::*;

use super::*;
use crate::imap::TEXT_LIMIT;

/// A line, and its trace form.
#[test]
fn known_answers() {
    let table = [
        ("* OK ready", "* OK ready"),
        ("* ok Ready", "* OK Ready"),
        ("*  OK   ready ", "* OK ready"),
        ("* OK", "* OK"),
        (
            "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi", "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi",
        ),
        ("* OK[CAPABILITY IMAP4rev1] hi", "* …"),
        ("* PREAUTH hello", "* PREAUTH hello"),
        ("* BYE [ALERT] down", "* BYE [ALERT] down"),
        ("* bye", "* BYE"),
        (
            "* CAPABILITY  IMAP4rev1   AUTH=PLAIN IDLE", "* CAPABILITY IMAP4rev1 AUTH=PLAIN",
        ),
        ("* CAPABILITY", "* CAPABILITY "),
        ("* 5 EXISTS", "* …"),
        ("* LIST (\\Noselect) \"/\" \"\"", "* …"),
        ("* OKAY", "* …"),
        ("v1 OK done", "v1 OK done"),
        ("v1 NO", "v1 NO"),
        ("v1  no  [limit]", "v1 NO [LIMIT]"),
        ("v1 BAD [CLIENTBUG]what", "v1 BAD [CLIENTBUG] what"),
        (
            "v1 NO [REFERRAL imap://evil.example/] moved", "v1 NO [REFERRAL] moved",
        ),
        (
            "v1 NO [WEBALERT https://x/] Web login required.", "v1 NO [WEBALERT] Web login required.",
        ),
        ("v1 NO [x-own arg] why", "v1 NO [X-OWN] why"),
        ("v1 NO [ALERT why", "v1 NO [ALERT why"),
        ("v1 NO [] why", "v1 NO [] why"),
        ("v1 NO [ ] why", "v1 NO [ ] why"),
        (
            "v1 OK [capability imap4rev1 unauthenticate]", "v1 OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE]",
        ),
        ("v1 NO Gesperrt f\u{fc}r heute", "v1 NO Gesperrt f\u{fc}r heute"),
        ("v1 NO a\u{1b}[31mb\tc\u{202e}d", "v1 NO a?[31mb?c?d"),
        ("+ go", "+ go"),
        ("+", "+ "),
        ("+ ", "+ "),
        ("+VXNlcg==", "+ VXNlcg=="),
    ];
    for (line, shown) in table {
        assert_eq!(Response::parse(line).unwrap().to_string(), shown, "{line}");
    }
}

#[test]
fn refused() {
    for line in [
        "", " ", "*", "* ", "*OK ready", "v1", "v1 ", "v1 MAYBE", "v1 BYE now", "v1 PREAUTH", " v1 OK",
        "v\u{e4} OK", "a+b OK", "(v1) OK", "HTTP/1.1 400 Bad Request", "220 mx.example.org ESMTP",
    ] {
        let read = Response::parse(line);
        assert!(
            matches!(read, Err(DecodeError::Malformed(_))),
            "{line:?} {read:?}"
        );
    }
}

#[test]
fn every_code_by_name_in_any_case() {
    for (name, code) in Code::NAMED {
        assert_eq!(code.name(), name);
        for written in [
            name.to_owned(),
            name.to_lowercase(),
            format!("{name} with arguments"),
        ] {
            let status = Status::parse(&format!("NO [{written}] text")).unwrap();
            assert_eq!(status.code.as_ref(), Some(&code), "{written}");
            assert_eq!(status.text(), "text");
        }
    }
    let status = Status::parse("NO [AUTHENTICATIONFAILEDX]").unwrap();
    assert_eq!(status.code, Some(Code::Other("AUTHENTICATIONFAILEDX".into())));
}

#[test]
fn labels() {
    for (status, label) in [
        ("no [authenticationfailed] wrong", "NO [AUTHENTICATIONFAILED]"),
        ("OK [CAPABILITY IMAP4rev1] in", "OK [CAPABILITY]"),
        ("BAD what", "BAD"),
    ] {
        assert_eq!(Status::parse(status).unwrap().label(), label);
    }
}

#[test]
fn text_is_short_and_harmless() {
    let status = Status::parse(&format!("NO [{}] {}", "x".repeat(900), "\u{7f}é".repeat(900))).unwrap();
    assert_eq!(status.text().chars().count(), TEXT_LIMIT);
    assert!(status.text().starts_with("?é?é"));
    assert_eq!(status.words().chars().count(), 1800);
    assert_eq!(status.code.unwrap().name().len(), TEXT_LIMIT);
}

#[test]
fn literals() {
    assert_eq!(literal(b"* LIST () \"/\" {5}"), Some(5));
    assert_eq!(literal(b"~{0}"), Some(0));
    assert_eq!(literal(b"{99999999999999999999999}"), Some(u64::MAX));
    for not in [
        &b"{}"[..],
        b"5}",
        b"{5",
        b"{5+}",
        b"{-5}",
        b"{5} ",
        b"}",
        b"",
        b"{5}x}",
    ] {
        assert_eq!(literal(not), None, "{not:?}");
    }
}

proptest! {
    #[test]
    fn any_line_ends(line in "(\\* |v1 |\\+ ?)?((ok|NO|BAD|BYE|CAPABILITY) ?)?(\\[[^x]{0,9}\\]?)?.{0,60}") {
        if let Ok(response) = Response::parse(&line) {
            prop_assert!(!response.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn what_is_shown_reads_back(kind in 0_usize..5, code in 0_usize..20, text in "[!-Z^-~][ -~]{0,40}[!-~]") {
        let kind = [StatusKind::Ok, StatusKind::No, StatusKind::Bad, StatusKind::PreAuth, StatusKind::Bye][kind];
        let code = Code::NAMED.get(code).map(|(_, code)| code.clone());
        let status = Status { kind, code, words: text.clone(), text };
        prop_assert_eq!(Status::parse(&status.to_string()).unwrap(), status);
    }
}
