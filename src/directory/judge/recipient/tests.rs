//! Replies about recipients, with their meaning.

use super::*;

fn careful() -> Settings {
    Settings {
        rcpt: Rcpt::new(),
        replies: Replies::default(),
    }
}

/// A reply that repeats so many.
fn repeating(number: usize) -> Vec<String> {
    let text = format!("{}550 5.1.1 User unknown", "550 5.1.1 host said: ".repeat(number));
    let bytes = text.as_bytes().chunks(4000);
    bytes
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

// Fills REPEATED.
#[test]
fn of_replies_that_repeat_each_other_a_few_are_read() {
    let asked = Asked::new(b"user@example.com");
    let conclusion = |number| {
        let reply = Reply::new(550, repeating(number));
        read(&careful(), &asked, &reply).conclusion
    };
    for number in 0..REPEATED {
        assert_eq!(conclusion(number), Conclusion::No(Class::UnknownUser), "{number}");
    }
    // As many as fit, on a stack as small as that of the threads that answer.
    for number in [REPEATED + 1, 2900] {
        assert_eq!(
            conclusion(number),
            Conclusion::Later(Class::Temporary),
            "{number}"
        );
    }
}

fn judged(reading: &Settings, reply: &str) -> Judged<Verdict> {
    let reply = Reply::parse(reply).unwrap();
    judge(reading, b"user@example.com", Answer::Recipient(reply))
}

/// The table of RCPT replies, row by row: the class, and what becomes of the
/// session.
#[test]
fn table() {
    use After::{Close, Goodbye, Keep, KeepRefused, RetryPolicy};
    for (reply, verdict, class, after) in [
        ("250 2.1.5 ok", "accept", None, Keep),
        ("250 ok", "accept", None, Keep),
        ("251 forward", "accept", None, Keep),
        ("252 cannot verify", "accept", None, Keep),
        ("550 5.1.1 no", "reject", Some(Class::UnknownUser), KeepRefused),
        ("550 5.1.3 no", "reject", Some(Class::UnknownUser), KeepRefused),
        ("550 5.1.6 no", "reject", Some(Class::UnknownUser), KeepRefused),
        (
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound",
            "reject",
            Some(Class::UnknownUser),
            KeepRefused,
        ),
        ("550 no (#5.1.1)", "reject", Some(Class::UnknownUser), KeepRefused),
        (
            "550 5.1.0 user unknown",
            "reject",
            Some(Class::UnknownUser),
            KeepRefused,
        ),
        (
            "550 5.1.0 sender rejected",
            "defer",
            Some(Class::Policy),
            KeepRefused,
        ),
        ("550 5.1.2 bad domain", "defer", Some(Class::Config), KeepRefused),
        (
            "550 user unknown",
            "reject",
            Some(Class::UnknownUser),
            KeepRefused,
        ),
        (
            "550 relay not permitted",
            "defer",
            Some(Class::Policy),
            KeepRefused,
        ),
        (
            "550 something else",
            "defer",
            Some(Class::NotUnderstood),
            KeepRefused,
        ),
        (
            "551 User not local; please try <x@e.org>",
            "reject",
            Some(Class::UnknownUser),
            KeepRefused,
        ),
        ("550 5.2.1 closed", "reject", Some(Class::Disabled), KeepRefused),
        ("552 5.2.2 over quota", "accept", Some(Class::Full), KeepRefused),
        ("452 4.2.2 over quota", "accept", Some(Class::Full), KeepRefused),
        ("552 storage", "defer", Some(Class::Temporary), KeepRefused),
        ("552 5.5.3 too many", "defer", Some(Class::Temporary), RetryPolicy),
        ("452 4.5.3 too many", "defer", Some(Class::Temporary), RetryPolicy),
        (
            "452 too many recipients",
            "defer",
            Some(Class::Temporary),
            RetryPolicy,
        ),
        (
            "550 5.5.3 one recipient for bounces",
            "defer",
            Some(Class::Temporary),
            RetryPolicy,
        ),
        ("550 5.7.1 no", "defer", Some(Class::Policy), KeepRefused),
        ("554 5.7.1 no", "defer", Some(Class::Policy), KeepRefused),
        ("571 no", "defer", Some(Class::Policy), KeepRefused),
        ("521 no", "defer", Some(Class::Policy), KeepRefused),
        (
            "550 5.4.1 access denied",
            "defer",
            Some(Class::Policy),
            KeepRefused,
        ),
        ("550 5.6.7 no", "defer", Some(Class::Policy), KeepRefused),
        ("553 5.6.7 no", "defer", Some(Class::Policy), KeepRefused),
        ("553 5.1.3 no", "reject", Some(Class::UnknownUser), KeepRefused),
        ("553 no", "defer", Some(Class::NotUnderstood), KeepRefused),
        (
            "501 5.1.3 bad address",
            "reject",
            Some(Class::UnknownUser),
            KeepRefused,
        ),
        ("501 syntax", "defer", Some(Class::Config), Close),
        ("555 parameter", "defer", Some(Class::Config), Close),
        ("530 5.7.0 STARTTLS first", "defer", Some(Class::Config), Close),
        ("530 5.7.57 authenticate", "defer", Some(Class::Config), Close),
        ("550 5.7.57 authenticate", "defer", Some(Class::Config), Close),
        ("500 what", "defer", Some(Class::Config), RetryPolicy),
        ("502 no", "defer", Some(Class::Config), RetryPolicy),
        ("503 5.5.1 need MAIL", "defer", Some(Class::Config), RetryPolicy),
        (
            "450 4.7.1 greylisted",
            "defer",
            Some(Class::Temporary),
            KeepRefused,
        ),
        (
            "451 4.3.0 too many deliveries",
            "defer",
            Some(Class::Temporary),
            KeepRefused,
        ),
        ("452 4.3.1 disk", "defer", Some(Class::Temporary), KeepRefused),
        (
            "421 4.7.0 too many errors",
            "defer",
            Some(Class::Temporary),
            Goodbye,
        ),
        ("354 what", "defer", Some(Class::Protocol), Close),
        ("299 what", "defer", Some(Class::Protocol), Close),
        ("599 what", "defer", Some(Class::Policy), KeepRefused),
        (
            "550 5.0.0 user unknown",
            "reject",
            Some(Class::UnknownUser),
            KeepRefused,
        ),
        (
            "554 5.3.5 local configuration error",
            "defer",
            Some(Class::Config),
            KeepRefused,
        ),
        (
            "550 5.1.8 sender domain",
            "defer",
            Some(Class::Policy),
            KeepRefused,
        ),
    ] {
        let judged = judged(&careful(), reply);
        let found = (
            judged.verdict.name(),
            judged.verdict.cause().map(|cause| cause.class),
            judged.after,
        );
        assert_eq!(found, (verdict, class, after), "{reply}");
    }
}

#[test]
fn doubtful_replies_are_read_as_configured() {
    let name = |reading: &Settings, reply| judged(reading, reply).verdict.name();
    assert_eq!(
        name(
            &Settings {
                rcpt: Rcpt {
                    code_252: Code252::Defer,
                    ..Rcpt::new()
                },
                ..careful()
            },
            "252 cannot verify"
        ),
        "defer"
    );
    assert_eq!(
        name(
            &Settings {
                rcpt: Rcpt {
                    policy: Policy::Unknown,
                    ..Rcpt::new()
                },
                ..careful()
            },
            "550 5.7.1 no"
        ),
        "reject"
    );
    assert_eq!(
        name(
            &Settings {
                rcpt: Rcpt {
                    microsoft: true,
                    ..Rcpt::new()
                },
                ..careful()
            },
            "550 5.4.1 access denied"
        ),
        "reject"
    );
    let policy = Settings {
        rcpt: Rcpt {
            policy: Policy::Unknown,
            ..Rcpt::new()
        },
        ..careful()
    };
    for reply in [
        "550 5.6.7 no", "550 5.1.8 sender domain", "550 your ip is listed", "550 something else", "538 no",
    ] {
        assert_eq!(name(&policy, reply), "defer", "{reply}");
    }
}

#[test]
fn a_refused_sender_is_never_a_word_about_the_recipient() {
    for (reply, class) in [
        ("553 5.7.1 sender rejected", Class::SenderRefused),
        ("550 5.1.1 user unknown", Class::SenderRefused),
        ("451 later", Class::Temporary),
        ("421 bye", Class::Temporary),
    ] {
        let answer = Answer::SenderRefused(Reply::parse(reply).unwrap());
        let judged = judge(&careful(), b"user@example.com", answer);
        assert_eq!(judged.verdict.name(), "defer", "{reply}");
        assert_eq!(judged.verdict.cause().unwrap().class, class, "{reply}");
        assert_ne!(judged.after, After::Keep, "{reply}");
    }
}

#[test]
fn replies_of_real_servers() {
    super::super::tests::real_replies(include_str!("../recipient-replies.txt"), |reply| {
        judged(&careful(), &reply.replace("\\n", "\r\n")).verdict
    });
}
