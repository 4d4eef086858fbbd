//! From replies to verdicts: the overriding rule.

use vouch::directory::judge::recipient::{Settings, judge};
use vouch::directory::judge::replies::{Means, Replies};
use vouch::directory::judge::{imap, smtp_auth};
use vouch::session::{After, Judged};
use vouch::settings::directory::{Code252, Policy, Rcpt};
use vouch::verdict::{Cause, Class, UserName, Verdict};
use vouch_protocol::imap::login::Outcome as ImapOutcome;
use vouch_protocol::imap::response::{Code, Status, StatusKind};
use vouch_protocol::smtp::Reply;
use vouch_protocol::smtp::auth::Outcome;
use vouch_protocol::smtp::recipients::Answer;

use crate::input;

/// The characters of a foreign text that are kept.
const TEXT: usize = 200;

/// A name that no text is about.
const NOBODY: &[u8] = b"zqxj@nobody.invalid";

/// How doubtful replies are read: `2`: 252 is a yes; `p`: policy is a no; `m`: Microsoft.
fn reading(settings: &[u8]) -> Settings {
    Settings {
        rcpt: Rcpt {
            code_252: if input::has(settings, b'2') {
                Code252::Exists
            } else {
                Code252::Defer
            },
            policy: if input::has(settings, b'p') {
                Policy::Unknown
            } else {
                Policy::Defer
            },
            microsoft: input::has(settings, b'm'),
            ..Rcpt::new()
        },
        replies: Replies::default(),
    }
}

/// What an operator says that a text means, counts.
fn by_operator(name: &[u8], reply: &Reply) {
    let text = reply.words();
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let word = words.find(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let word = word.map(str::to_owned);
    let Some(word) = word.filter(|_| matches!(reply.code(), 400..=420 | 504..=549 | 555..=599)) else {
        return;
    };
    let settings = Settings {
        replies: Replies::new([(Means::Later, word)]),
        ..reading(b"")
    };
    let verdict = judge(&settings, name, Answer::Recipient(reply.clone())).verdict;
    assert!(matches!(verdict, Verdict::Defer(_)), "{reply}");
}

/// In the first lines how doubtful replies are read, and whom it is about; then a reply of
/// SMTP, or what follows the tag in IMAP.
pub fn run(input: &[u8]) {
    let ([settings, name], said) = input::lines(input);
    let text = input::text(said);
    if let Ok(reply) = Reply::parse(&text) {
        judged(reading(settings), name, Answer::Recipient(reply.clone()));
        judged(reading(settings), name, Answer::SenderRefused(reply.clone()));
        by_operator(name, &reply);
        for outcome in [
            Outcome::Reply,
            Outcome::Early,
            Outcome::Surprise,
            Outcome::Unsupported,
        ] {
            by_reply(name, outcome(reply.clone()));
        }
        names(name, |user| {
            smtp_auth::judge(&Replies::default(), user, Outcome::Reply(reply.clone()))
        });
    }
    if let Ok(status) = Status::parse(text.lines().next().unwrap_or_default()) {
        by_status(name, &status);
    }
    judged(reading(settings), name, Answer::Utf8Unsupported);
    trouble(reading(settings), name, text.trim());
}

/// The verdict on a recipient: a yes or a no for the remote's own words about it, and
/// nothing else.
fn judged(reading: Settings, address: &[u8], answer: Answer) {
    let found = judge(&reading, address, answer.clone());
    harmless(&found.verdict);
    let Answer::Recipient(reply) = &answer else {
        let about_us = matches!(found.verdict, Verdict::Defer(_));
        return assert!(about_us, "{answer:?} is not about the recipient");
    };
    let code = reply.code();
    let enhanced = reply.enhanced().map(|code| (code.subject, code.detail));
    assert_eq!(found.after == After::Goodbye, code == 421);
    match &found.verdict {
        Verdict::Accept(identity) => {
            assert_eq!(identity.name, address);
            match &identity.remark {
                None => assert!(
                    matches!(code, 250 | 251) || code == 252 && reading.rcpt.code_252 == Code252::Exists
                ),
                Some(full) => assert_eq!(full.class, Class::Full),
            }
        }
        Verdict::Reject(cause) => {
            assert!(reply.is_permanent(), "not now is a no: {reply}");
            assert!(
                !matches!(code, 500 | 502 | 503 | 504 | 530 | 555),
                "about the command: {reply}"
            );
            // A reply that repeats another's is read by that one's code.
            let quotes = reply.words().contains(':');
            match (cause.class, enhanced) {
                _ if quotes => {}
                // The operator wants it so.
                (Class::Policy, by) => assert!(
                    reading.rcpt.policy == Policy::Unknown
                        && (matches!(code, 521 | 571) || matches!(by, Some((7, _) | (4, 1)))),
                    "{reply}"
                ),
                // About the domain, the remote's own state, its network, the dialog.
                (_, Some((1, 2) | (3 | 5, 1..) | (4, 2..))) => panic!("not about the mailbox: {reply}"),
                (_, Some((4, 1))) => assert!(reading.rcpt.microsoft, "{reply}"),
                (Class::UnknownUser | Class::Disabled, _) => {}
                (class, _) => panic!("a no for {class}: {reply}"),
            }
            // A name makes no "no" of a text that does not repeat it.
            let other = judge(&reading, NOBODY, answer.clone()).verdict;
            assert!(
                matches!(other, Verdict::Reject(_)) || repeats(&reply.words(), address),
                "a no because of the name: {reply}"
            );
        }
        Verdict::Defer(_) => assert!(!matches!(code, 250 | 251)),
        Verdict::Abstain(_) => panic!("no opinion"),
    }
}

/// Whether a text may repeat the local part of a name, whatever the signs between its words.
fn repeats(text: &str, name: &[u8]) -> bool {
    let letters = |text: &str| -> String {
        text.to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect()
    };
    let name = String::from_utf8_lossy(name);
    let local = name.rsplit_once('@').map_or(&*name, |(local, _)| local);
    letters(text).contains(&letters(local))
}

/// The verdict on an outcome: a yes for 235, a no at most for a refusal.
fn by_reply(user: &[u8], outcome: Outcome) {
    let reply = match &outcome {
        Outcome::Reply(reply) => Some(reply.clone()),
        _ => None,
    };
    let code = reply.as_ref().map(Reply::code);
    match smtp_auth::judge(&Replies::default(), &UserName::new(user), outcome).verdict {
        Verdict::Accept(identity) => {
            assert_eq!(code, Some(235));
            assert_eq!(identity.name, user);
        }
        Verdict::Reject(_) => {
            // Of what is "not now", RFC 4954 §4 has one that does not heal by waiting: 432 4.7.12.
            let refused = reply.is_some_and(|reply| reply.is_permanent() || reply.status() == "432 4.7.12");
            assert!(refused, "a no from {code:?}");
        }
        Verdict::Defer(_) => assert_ne!(code, Some(235)),
        Verdict::Abstain(_) => panic!("no opinion"),
    }
}

/// Codes that name trouble are never a no.
fn by_status(name: &[u8], status: &Status) {
    let answer = |status: &Status| ImapOutcome::Status {
        status: status.clone(),
        capabilities: None,
    };
    for outcome in [
        answer(status),
        ImapOutcome::Unsupported(status.clone()),
        ImapOutcome::Unconfirmed(status.clone()),
        ImapOutcome::Surprise,
    ] {
        by_outcome(name, outcome);
    }
    let judged = imap::judge(&Replies::default(), &UserName::new(name), answer(status));
    harmless(&judged.verdict);
    if let Verdict::Reject(_) = judged.verdict {
        let about_the_login = matches!(
            status.code,
            None | Some(Code::Alert | Code::WebAlert | Code::Capability(_))
                | Some(Code::AuthenticationFailed | Code::AuthorizationFailed)
                | Some(Code::Expired | Code::ContactAdmin)
        );
        assert!(
            about_the_login && status.kind == StatusKind::No,
            "a no from {status}"
        );
    }
    names(name, |user| {
        imap::judge(&Replies::default(), user, answer(status))
    });
}

/// The verdict on an outcome: a yes for OK, a no at most for NO.
fn by_outcome(user: &[u8], outcome: ImapOutcome) {
    let answer = match &outcome {
        ImapOutcome::Status { status, .. } => Some(status.kind),
        _ => None,
    };
    match imap::judge(&Replies::default(), &UserName::new(user), outcome).verdict {
        Verdict::Accept(identity) => {
            assert_eq!(answer, Some(StatusKind::Ok));
            assert_eq!(identity.name, user);
        }
        Verdict::Reject(_) => assert_eq!(answer, Some(StatusKind::No)),
        Verdict::Defer(_) => assert_ne!(answer, Some(StatusKind::Ok)),
        Verdict::Abstain(_) => panic!("no opinion"),
    }
}

/// A user's name makes no "no" of a text that does not repeat it.
fn names(name: &[u8], judge: impl Fn(&UserName) -> Judged<Verdict>) {
    let found = judge(&UserName::new(name)).verdict;
    harmless(&found);
    let other = judge(&UserName::new(NOBODY)).verdict;
    if let Verdict::Reject(cause) = &found {
        assert!(
            matches!(other, Verdict::Reject(_)) || repeats(&cause.text, name),
            "a no because of the name: {found:?}"
        );
    }
    let is_yes = |verdict: &Verdict| matches!(verdict, Verdict::Accept(_));
    assert_eq!(is_yes(&found), is_yes(&other));
}

/// A text that begins with plain trouble is a no in no protocol, whatever follows.
fn trouble(reading: Settings, name: &[u8], text: &str) {
    let login = UserName::new(name);
    let text = text.replace(['\r', '\n'], " ");
    // Behind an open bracket it could be a part of what is left out of a text.
    let behind = format!("NO {}. Internal error", text.replace(['<', '[', '/', '@'], " "));
    for line in [format!("NO Internal error. {text}"), behind] {
        // What is longer than this is not looked at.
        let Ok(status) = Status::parse(&line) else {
            continue;
        };
        if line.len() > 4000 || status.code.is_some() {
            continue;
        }
        let outcome = ImapOutcome::Status {
            status,
            capabilities: None,
        };
        assert!(
            matches!(
                imap::judge(&Replies::default(), &login, outcome).verdict,
                Verdict::Defer(_)
            ),
            "{line}"
        );
    }
    let reply = Reply::new(535, [format!("Internal error. {text}")]);
    if reply.enhanced().is_none() {
        let verdict = smtp_auth::judge(&Replies::default(), &login, Outcome::Reply(reply)).verdict;
        assert!(matches!(verdict, Verdict::Defer(_)), "{text}");
    }
    for code in ["", "5.1.1 "] {
        let reply = Reply::new(550, [format!("{code}Internal error. {text}")]);
        let enhanced = reply.enhanced().map(|code| (code.subject, code.detail));
        if matches!(enhanced, None | Some((1, 1))) {
            let verdict = judge(&reading, name, Answer::Recipient(reply)).verdict;
            // "Over quota" behind it says that there is a mailbox.
            assert!(!matches!(verdict, Verdict::Reject(_)), "{text}");
        }
    }
}

/// What goes to the log is one short line.
fn harmless(verdict: &Verdict) {
    let Some(Cause { text, status, .. }) = verdict.cause() else {
        return;
    };
    for text in status.iter().chain([text]) {
        assert!(text.chars().count() <= TEXT + 10, "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
