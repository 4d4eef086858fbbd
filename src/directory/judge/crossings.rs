//! The property behind the table of words: whatever is about something else is never a "no", beside whatever.

use vouch_protocol::smtp::recipients::Answer;
use vouch_protocol::smtp::reply::Reply;

use super::phrases::Says;
use super::phrases::tests::texts;
use super::recipient::{self, Settings};
use super::replies::Replies;
use super::statement::{About, What};
use super::{imap, smtp_auth};
use crate::settings::directory::{Policy, Rcpt};
use crate::verdict::{UserName, Verdict};

const CAREFUL: fn() -> Settings = || Settings {
    rcpt: Rcpt::new(),
    replies: Replies::default(),
};

/// Codes in front of a text, each of a permanent refusal.
const CODES: [&str; 16] = [
    "550 ", "551 ", "553 ", "554 ", "550 5.1.1 ", "550 5.1.3 ", "550 5.1.6 ", "550 5.1.10 ", "550 5.2.1 ",
    "553 5.1.1 ", "554 5.1.1 ", "550 5.0.0 ", "550 5.7.1 ", "501 5.1.1 ", "525 5.7.13 ", "550 5.1.0 ",
];

/// The codes that say of themselves that a credential is wrong, and those that say nothing.
const REFUSED_LOGINS: [&str; 4] = ["NO ", "NO [AUTHENTICATIONFAILED] ", "535 5.7.8 ", "535 "];

fn judged(asked: &str, reply: &str) -> &'static str {
    judged_with(&CAREFUL(), asked, reply)
}

fn judged_with(settings: &Settings, asked: &str, reply: &str) -> &'static str {
    let reply = Reply::parse(reply).unwrap();
    recipient::judge(settings, asked.as_bytes(), Answer::Recipient(reply))
        .verdict
        .name()
}

fn login(user: &str, reply: &str) -> Verdict {
    let (replies, user) = (Replies::default(), UserName::new(user.as_bytes()));
    if reply.starts_with("NO") {
        let status = vouch_protocol::imap::response::Status::parse(reply).unwrap();
        let capabilities = None;
        imap::judge(
            &replies,
            &user,
            vouch_protocol::imap::login::Outcome::Status { status, capabilities },
        )
        .verdict
    } else {
        let reply = Reply::parse(reply).unwrap();
        smtp_auth::judge(&replies, &user, vouch_protocol::smtp::auth::Outcome::Reply(reply)).verdict
    }
}

fn phrases(fits: impl Fn(Says) -> bool) -> Vec<String> {
    let texts = texts();
    texts
        .into_iter()
        .filter(|(says, _)| fits(*says))
        .map(|(_, text)| text)
        .collect()
}

fn about_something_else() -> Vec<String> {
    phrases(|says| says.is_some_and(|(about, _)| about != About::Recipient))
}

fn about_the_user() -> Vec<String> {
    phrases(|says| matches!(says, Some((About::Recipient, What::Missing | What::Closed))))
}

/// Each phrase about something else, behind each code and beside phrases about the user, on both sides.
#[test]
fn what_is_about_something_else_is_never_a_no() {
    let (others, users) = (about_something_else(), about_the_user());
    assert!(
        others.len() > 500 && users.len() > 500,
        "{} {}",
        others.len(),
        users.len()
    );
    let mut wrong = Vec::new();
    for (number, other) in others.iter().enumerate() {
        let mut texts: Vec<String> = CODES.iter().map(|code| format!("{code}{other}")).collect();
        // Every phrase meets some of the users' phrases, and every one of those some phrase: all pairs of them would
        // be a million.
        for step in 0..8 {
            let user = &users[(number * 8 + step * 97) % users.len()];
            let code = CODES[(number + step) % CODES.len()];
            for text in [
                format!("{code}{user}: {other}"),
                format!("{code}{other}: {user}"),
                format!("{code}{other}. {user} ({other})"),
                format!("{code}Sorry; {user} and {other}"),
            ] {
                texts.push(text);
            }
        }
        for text in texts {
            // Replies like `too many recipients` are asked again elsewhere.
            if judged("kijitora@example.org", &text) == "reject" {
                wrong.push(text);
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// `rcpt.policy = "unknown"` and `rcpt.microsoft` reach what they are about, and no word about the sender, the client,
/// a limit or the server itself; under a code of another kind they reach nothing.
#[test]
fn what_an_operator_declares_reaches_no_further() {
    let policy = Settings {
        rcpt: Rcpt {
            policy: Policy::Unknown,
            ..Rcpt::new()
        },
        ..CAREFUL()
    };
    let microsoft = Settings {
        rcpt: Rcpt {
            microsoft: true,
            ..Rcpt::new()
        },
        ..CAREFUL()
    };
    assert_eq!(
        judged_with(&policy, "x@e.org", "554 5.7.1 Access denied"),
        "reject"
    );
    assert_eq!(
        judged_with(&microsoft, "x@e.org", "550 5.4.1 Access denied"),
        "reject"
    );
    let mut wrong = Vec::new();
    for (says, phrase) in texts() {
        let Some((about, _)) = says.filter(|(about, _)| *about != About::Recipient) else {
            continue;
        };
        let reached = matches!(
            about,
            About::Policy | About::Relay | About::Domain | About::Message
        );
        for (settings, code) in [
            (&policy, "554 5.7.1"),
            (&policy, "571"),
            (&microsoft, "550 5.4.1"),
        ] {
            let text = format!("{code} {phrase}");
            if !reached && judged_with(settings, "x@e.org", &text) == "reject" {
                wrong.push(text);
            }
        }
        for settings in [&policy, &microsoft] {
            let text = format!("550 5.1.1 {phrase}");
            if judged_with(settings, "x@e.org", &text) == "reject" {
                wrong.push(text);
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Each phrase about the user is a "no" by itself, behind a code that says so and behind one that says nothing.
#[test]
fn what_is_about_the_user_is_a_no() {
    let mut wrong = Vec::new();
    for user in about_the_user() {
        for code in ["550 ", "550 5.1.1 "] {
            for text in [
                format!("{code}{user}"),
                format!("{code}<x@example.org>: Recipient address rejected: {user}"),
            ] {
                if judged("kijitora@example.org", &text) != "reject" {
                    wrong.push(text);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Each phrase as the local part of the asked address, quoted and not, and as the name of a host: no change.
#[test]
fn a_name_says_nothing() {
    let mut all = about_something_else();
    all.extend(about_the_user());
    let mut wrong = Vec::new();
    for phrase in all {
        let host = format!("{}.example.org", phrase.replace([' ', ':', '\''], "-"));
        let dotted = phrase.replace([' ', ':'], ".").replace("..", ".");
        for (asked, repeated) in [
            (format!("{dotted}@example.org"), format!("<{dotted}@example.org>")),
            (
                format!("{dotted}@example.org"),
                format!("{dotted}@example.org..."),
            ),
            (
                format!("\"{phrase}\"@example.org"),
                format!("<\"{phrase}\"@example.org>"),
            ),
            (
                format!("\"{phrase}\"@example.org"),
                format!("<{phrase}@example.org>"),
            ),
            (
                format!("\"{phrase}\"@example.org"),
                format!("{phrase}@example.org:"),
            ),
            ("kijitora@example.org".into(), host.clone()),
            ("kijitora@example.org".into(), format!("[{host}]")),
            (format!("\"{phrase}\"@example.org"), String::new()),
        ] {
            for (text, wanted) in [
                ("550 5.1.1 {} User unknown", "reject"),
                ("550 {} No such user here", "reject"),
                ("554 5.7.1 {} Relay access denied", "defer"),
                ("550 5.1.1 {} is over quota", "accept"),
                ("550 {} see the book", "defer"),
            ] {
                let text = text.replace("{}", &repeated);
                if judged(&asked, &text) != wanted {
                    wrong.push(format!("{wanted} of {asked}: {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Trouble, a limit or "not now" beside whatever: never a wrong password.
#[test]
fn trouble_is_never_a_wrong_password() {
    let troubles = phrases(|says| {
        says.is_some_and(|(about, what)| {
            matches!(
                about,
                About::Remote | About::Limit | About::Client | About::Domain
            ) || what == What::NotNow
        })
    });
    let wrongs = phrases(|says| matches!(says, Some((About::Credential, _))));
    let mut failed = Vec::new();
    for (number, trouble) in troubles.iter().enumerate() {
        for code in REFUSED_LOGINS {
            for step in 0..8 {
                let wrong = &wrongs[(number * 8 + step * 31) % wrongs.len()];
                for text in [
                    format!("{code}{trouble}"),
                    format!("{code}{wrong}: {trouble}"),
                    format!("{code}{trouble}. {wrong}"),
                ] {
                    if matches!(login("kijitora@example.org", &text), Verdict::Reject(_)) {
                        failed.push(text);
                    }
                }
            }
        }
    }
    failed.dedup();
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
}

/// Each phrase about the credential is a "no" by itself.
#[test]
fn what_is_about_the_credential_is_a_no() {
    let wrongs = phrases(|says| matches!(says, Some((About::Credential, _))));
    let failed: Vec<_> = wrongs
        .iter()
        .flat_map(|wrong| REFUSED_LOGINS.map(|code| format!("{code}{wrong}")))
        .filter(|text| !matches!(login("kijitora@example.org", text), Verdict::Reject(_)))
        .collect();
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
}
