//! The cases for SMTP, and the same for LMTP.

use super::Then::{NotOffered, PassedOver, Refused, Useless};
use super::{Case, Protocol, Then, play};

const STARTTLS: &str = "STARTTLS;AUTH PLAIN LOGIN XOAUTH2 SCRAM-SHA-256";
const CLEAR: &str = "AUTH PLAIN LOGIN XOAUTH2 SCRAM-SHA-256";

/// The texts with which the study's server refuses.
const REFUSALS: [&str; 10] = [
    "221 Closing connection!", "354 Start mail input; End with <CRLF>.<CRLF>", "421 Service shutting down",
    "454 TLS not available due to temporary reason", "500 Syntax error, command unrecognized",
    "501 Syntax error in command or arguments", "502 Command not implemented",
    "504 Command Parameter not implemented", "530 Must issue STARTTLS first", "554 No SMTP service here",
];

fn case(id: impl Into<String>, then: Then) -> Case {
    Case::new(id, then, "220 eve ESMTP", STARTTLS)
}

fn stripping() -> Vec<Case> {
    let refused = |id: &str, reply: &str| case(id, Refused).reply("STARTTLS", reply);
    let go = "220 Ready to start TLS";
    vec![
        Case::new("Negotiation/O_1", NotOffered, "220 eve", CLEAR)
            .reply("STARTTLS", "502 Command not implemented"),
        refused("Negotiation/O_2", "502 Command not implemented"),
        refused("Negotiation/O_3", "454 TLS not available due to temporary reason"),
        refused("Negotiation/O_4", "354 do something else"),
        case("Negotiation/D_1", Useless)
            .reply("EHLO", "502 Command not implemented")
            .reply("STARTTLS", "502 Command not implemented"),
        refused(
            "Buffering/B_1",
            &format!("{go}\r\n250-example.org\r\n250 AUTH LOGIN{{tls}}"),
        ),
        refused(
            "Buffering/B_1 [the login, too]",
            &format!("{go}\r\n250 AUTH PLAIN\r\n235 welcome{{tls}}"),
        ),
        refused(
            "Buffering/B_1 [half a line]",
            &format!("{go}\r\n250-exam{{cut}}{{tls}}"),
        ),
        refused("Buffering/B_1 [a byte]", &format!("{go}\r\n\r{{cut}}{{tls}}")),
        refused(
            "Buffering/B_1 [late]",
            &format!("{go}{{pause}}250 AUTH PLAIN{{tls}}"),
        ),
        refused(
            "[a goodbye behind it]",
            &format!("{go}\r\n421 eve says goodbye{{tls}}"),
        ),
        refused("[on in the clear]", "220 go\r\n250 eve"),
        refused("[nothing behind it]", "220 go"),
        refused("[the end behind it]", "220 go{close}"),
        refused("[no reply]", "{pause}"),
        refused("[the end]", "{close}"),
        refused("[no reply of SMTP]", "* OK go"),
        refused("[an endless reply]", "220-go\r\n220-go"),
        case("[two lines]", PassedOver).reply("STARTTLS", "220-eve says\r\n220 go{tls}"),
        case("[a reply ahead of the first command inside]", Refused)
            .first_inside("250-eve\r\n250 AUTH PLAIN LOGIN\r\n235 welcome\r\n"),
        case("setup_opportunistic_encryption", PassedOver),
    ]
}

fn codes() -> Vec<Case> {
    let mut cases = vec![
        case("others/greeting/220", PassedOver),
        case("others/starttls/220", PassedOver).reply("STARTTLS", "220 EHLO client!{tls}"),
        case("others/ehlo/220", Useless).reply("EHLO", "220 EHLO client!"),
        case("others/ehlo/250-all", PassedOver).reply(
            "EHLO",
            "250-eve\r\n250-STARTTLS\r\n250-SIZE 1\r\n250 AUTH PLAIN NTLM X-EVE",
        ),
        case("others/ehlo/250-all-no-starttls", NotOffered).reply(
            "EHLO",
            "250-eve\r\n250 AUTH ANONYMOUS CRAM-MD5 DIGEST-MD5 EXTERNAL LOGIN PLAIN NTLM",
        ),
        case("others/ehlo/250-empty", NotOffered).reply("EHLO", "250 eve"),
        case("others/ehlo/550", Useless).reply("EHLO", "550 Requested action not taken: Command rejected"),
    ];
    for refusal in REFUSALS {
        let code = &refusal[..3];
        cases.push(Case::new(
            format!("others/greeting/{code}"),
            Useless,
            refusal,
            STARTTLS,
        ));
        cases.push(case(format!("others/ehlo/{code}"), Useless).reply("EHLO", refusal));
        cases.push(case(format!("others/starttls/{code}"), Refused).reply("STARTTLS", refusal));
        // What comes of HELO, RSET and QUIT is all the same: the first is never said, nor the second in such a case.
        let no_ehlo = |id: String| case(id, Useless).reply("EHLO", "500 Syntax error, command unrecognized");
        cases.push(no_ehlo(format!("others/helo/ehlo500_helo{code}")).reply("HELO", refusal));
        cases.push(no_ehlo(format!("others/rset/ehlo500_rset{code}")).reply("RSET", refusal));
        let greeting = "500 Syntax error, command unrecognized";
        let quit = Case::new(
            format!("others/quit/greeting500_quit{code}"),
            Useless,
            greeting,
            STARTTLS,
        );
        cases.push(quit.reply("QUIT", refusal));
    }
    cases
}

#[test]
fn smtp_stripping_downgrade_and_what_is_sent_ahead_of_tls() {
    play(Protocol::Smtp, &stripping());
}

#[test]
fn smtp_codes_at_each_step() {
    play(Protocol::Smtp, &codes());
}

#[test]
fn lmtp_stripping_downgrade_and_what_is_sent_ahead_of_tls() {
    play(Protocol::Lmtp, &stripping());
}

#[test]
fn lmtp_codes_at_each_step() {
    play(Protocol::Lmtp, &codes());
}
