//! The cases for IMAP.

use super::Then::{AskedInVain, NotOffered, PassedOver, Refused, Useless};
use super::{Case, Protocol, Then, play};

/// What the study's servers offer where they offer TLS, and where they do not.
const STARTTLS: &str = "IMAP4rev1 STARTTLS LOGINDISABLED";
const BOTH: &str = "IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2 AUTH=SCRAM-SHA-256 SASL-IR";
const CLEAR: &str = "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2 AUTH=SCRAM-SHA-256 SASL-IR";

const REFERRAL: &str = "[REFERRAL imap://;AUTH=*@attacker.example.org:243/]";

/// Greets with what it offers.
fn offering(id: impl Into<String>, then: Then, offers: &str) -> Case {
    Case::new(
        id,
        then,
        &format!("* OK [CAPABILITY {offers}] eve is ready"),
        offers,
    )
}

/// Greets otherwise.
fn greeting(id: &str, then: Then, greeting: &str) -> Case {
    Case::new(id, then, greeting, BOTH)
}

#[test]
fn stripping_and_odd_refusals() {
    let refused = |id: &str, reply: &str| offering(id, Refused, BOTH).reply("STARTTLS", reply);
    play(
        Protocol::Imap,
        &[
            offering("Negotiation/O_1", NotOffered, CLEAR).reply("STARTTLS", "{tag} BAD eve does not"),
            refused("Negotiation/O_2", "{tag} NO eve does not"),
            refused("Negotiation/O_3", "{tag} BAD eve does not"),
            refused("Negotiation/O_4", "+ go on, says eve"),
            offering("others/exploit/stripping_drafts", NotOffered, CLEAR)
                .reply("STARTTLS", "{tag} BAD what"),
            offering(
                "others/X_1",
                NotOffered,
                &format!("{CLEAR} AUTH=ANONYMOUS AUTH=CRAM-MD5 AUTH=DIGEST-MD5 AUTH=EXTERNAL"),
            ),
            offering("others/utf8_only_1", NotOffered, "IMAP4rev1 UTF8=ONLY ENABLE"),
            offering(
                "others/utf8_only_2", PassedOver, "IMAP4rev1 UTF8=ONLY ENABLE STARTTLS",
            ),
            offering(
                "others/imapsieve_1",
                PassedOver,
                &format!("{STARTTLS} IMAPSIEVE=sieve://example.org"),
            ),
            offering("setup_opportunistic_encryption", PassedOver, BOTH),
            refused("[OK without a tag]", "* OK go"),
            refused("[the tag of an earlier command]", "v0 OK go"),
            refused("[the tag of a later command]", "v2 OK go"),
            refused("[an empty line]", ""),
            refused("[no reply at all]", "{pause}"),
            refused("[the end]", "{close}"),
            refused(
                "[OK, and on in the clear]", "{tag} OK go\r\n* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] eve",
            ),
            refused("[OK, and nothing]", "{tag} OK go"),
            refused("[OK, and the end]", "{tag} OK go{close}"),
            refused("[PREAUTH]", "* PREAUTH you are in\r\n{tag} NO go on"),
        ],
    );
}

#[test]
fn downgrade() {
    let nothing = |id: &str| {
        greeting(id, Useless, "* OK eve is ready")
            .reply("CAPABILITY", "{tag} BAD what")
            .reply("STARTTLS", "{tag} BAD what")
    };
    play(
        Protocol::Imap,
        &[
            nothing("Negotiation/D_1"),
            nothing("others/reproduction/balsa_issue_48"),
            offering("Negotiation/D_2", Useless, "IMAP4").reply("STARTTLS", "{tag} BAD what"),
            Case::new("Negotiation/D_3", Useless, "* OK eve is ready", "IMAP4")
                .reply("STARTTLS", "{tag} BAD what"),
            greeting("[an empty list]", Useless, "* OK hi")
                .reply("CAPABILITY", "* CAPABILITY\r\n{tag} OK done"),
            greeting("[no list]", Useless, "* OK hi").reply("CAPABILITY", "{tag} OK done"),
        ],
    );
}

#[test]
fn preauth() {
    let preauth = |id: &str, offers: &str| {
        Case::new(
            id,
            Useless,
            &format!("* PREAUTH [CAPABILITY {offers}] eve lets you in"),
            BOTH,
        )
    };
    play(
        Protocol::Imap,
        &[
            preauth("Negotiation/P", STARTTLS),
            preauth("Negotiation/P_1", "IMAP4rev1"),
            preauth("Negotiation/P_2", CLEAR),
            preauth("Negotiation/P_3", BOTH),
            preauth("Negotiation/P_4", "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN"),
            preauth("Negotiation/P_5", "IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=LOGIN"),
            preauth("Negotiation/M_1_A", "IMAP4rev1 MAILBOX-REFERRALS"),
            greeting(
                "others/protocol/greeting/04_greeting_preauth", Useless, "* PREAUTH X0n0fCj9",
            ),
            greeting("[without case]", Useless, "* preauth [ALERT] X0n0fCj9"),
        ],
    );
}

#[test]
fn what_is_sent_ahead_of_tls() {
    let buffered = |id: &str, then: Then, reply: &str| offering(id, then, STARTTLS).reply("STARTTLS", reply);
    let go = "{tag} OK begin TLS now";
    play(
        Protocol::Imap,
        &[
            buffered(
                "Buffering/B_1",
                Refused,
                &format!(
                    "{go}\r\n* CAPABILITY IMAP4REV1 AUTH=PLAIN AUTH=LOGIN\r\nv2 OK capability done.{{tls}}"
                ),
            ),
            buffered(
                "Buffering/B_1 [the login, too]",
                Refused,
                &format!("{go}\r\n* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\nv2 OK done\r\nv3 OK logged in{{tls}}"),
            ),
            buffered(
                "Buffering/B_1 [half a line]",
                Refused,
                &format!("{go}\r\n* CAPAB{{cut}}{{tls}}"),
            ),
            buffered(
                "Buffering/B_1 [a byte]",
                Refused,
                &format!("{go}\r\n\r{{cut}}{{tls}}"),
            ),
            buffered(
                "Buffering/B_1 [late]",
                Refused,
                &format!("{go}{{pause}}* CAPABILITY IMAP4rev1{{tls}}"),
            ),
            buffered(
                "Buffering/B_2 [prefix]",
                PassedOver,
                &format!("* OK [ALERT] eve says.\r\n{go}{{tls}}"),
            ),
            buffered(
                "Buffering/B_2 [inside]", PassedOver, "{tag} OK [ALERT] eve says.{tls}",
            ),
            buffered(
                "Buffering/B_2 [suffix]",
                Refused,
                &format!("{go}\r\n* OK [ALERT] eve says.{{tls}}"),
            ),
            offering("Buffering/B_2 [after TLS]", PassedOver, STARTTLS)
                .first_inside("* OK [ALERT] eve says.\r\n"),
            buffered(
                "UI Spoofing/starttls/ok/01_alert", PassedOver, "* OK [ALERT] eve says.\r\n{tag} OK ...{tls}",
            ),
            buffered(
                "Buffering/B_3",
                Refused,
                &format!("{go}\r\n* BYE close the connection please.{{tls}}"),
            ),
            buffered(
                "Buffering/B_3 [prefix]",
                Refused,
                &format!("* BYE close the connection please.\r\n{go}{{tls}}"),
            ),
        ],
    );
}

#[test]
fn referrals_are_not_followed() {
    let secured = |id: &str| offering(id, AskedInVain, STARTTLS);
    let no = format!("{{tag}} NO {REFERRAL} try another server.");
    play(
        Protocol::Imap,
        &[
            Case::new(
                "Negotiation/L_1_A", AskedInVain, "* OK eve is ready", "IMAP4rev1 STARTTLS LOGIN-REFERRALS",
            )
            .inside("AUTHENTICATE", &no),
            secured("Negotiation/L_1_A [BYE]")
                .inside("AUTHENTICATE", &format!("* BYE {REFERRAL} try another server.")),
            offering("Negotiation/L_1_B", NotOffered, CLEAR)
                .reply("LOGIN", no.as_str())
                .reply("AUTHENTICATE", no.as_str()),
            greeting(
                "Negotiation/L_1_B [BYE]",
                Useless,
                &format!("* BYE {REFERRAL} try another server."),
            ),
            // Mailboxes are none of our business: nothing is ever selected.
            offering("Negotiation/M_1_B", PassedOver, STARTTLS).inside("SELECT", &no),
            offering(
                "Negotiation/M_2_A", PassedOver, "IMAP4rev1 MAILBOX-REFERRALS STARTTLS",
            )
            .inside("SELECT", &no),
            offering(
                "Negotiation/M_2_B", PassedOver, "IMAP4rev1 MAILBOX-REFERRALS STARTTLS",
            )
            .inside("SELECT", &no),
            greeting(
                "Tampering/untagged/protocol_state/01_referral",
                PassedOver,
                &format!("* OK [CAPABILITY {STARTTLS}] hi\r\n* OK [REFERRAL imaps://example.org:993] ..."),
            ),
            offering("[a referral in the answer to STARTTLS]", PassedOver, STARTTLS)
                .reply("STARTTLS", format!("{{tag}} OK {REFERRAL} go{{tls}}")),
        ],
    );
}

/// Data of a mailbox, before there could be one.
const UNTAGGED: [(&str, &str); 16] = [
    ("01_list", "* LIST () \"/\" 7XiYhgS7"),
    ("02_lsub", "* LSUB () \"/\" jcaZji2A"),
    (
        "03_status_1",
        "* STATUS YFlgClUY (MESSAGES 529001 RECENT 529002 UIDNEXT 529003)",
    ),
    (
        "03_status_2",
        "* STATUS INBOX (MESSAGES 718001 RECENT 718002 UIDNEXT 718003)",
    ),
    (
        "04_search",
        "* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    ),
    ("05_flags", "* FLAGS (\\Flagged)"),
    ("06_exists", "* 54321 EXISTS"),
    ("07_recent", "* 12345 RECENT"),
    ("08_expunge", "* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n* 3 EXPUNGE"),
    (
        "09_fetch",
        "* 1 FETCH (BODY[] {28}\r\nFrom: Injected\r\n\r\nInjected\r\n)",
    ),
    ("[../../../others/untagged_capability]", "* CAPABILITY IDLE"),
    (
        "[../../../others/exploit/list_injection_expunge]", "* LIST () \"/\" \"Click me! <Payload>\"",
    ),
    ("[an alert]", "* NO [ALERT] eve says"),
    (
        "[an offer of cleartext]", "* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN",
    ),
    ("[PREAUTH]", "* PREAUTH you are in"),
    ("[ENABLED]", "* ENABLED UTF8=ACCEPT"),
];

#[test]
fn data_before_tls_is_passed_over() {
    let mut cases = Vec::new();
    for (name, data) in UNTAGGED {
        let greeted = format!("* OK [CAPABILITY {STARTTLS}] hi\r\n{data}");
        cases.push(greeting(
            &format!("Tampering/untagged/after_greeting/{name}"),
            PassedOver,
            &greeted,
        ));
        cases.push(
            offering(
                format!("Tampering/untagged/before_starttls/{name}"),
                PassedOver,
                STARTTLS,
            )
            .reply(
                "STARTTLS",
                format!("{data}\r\n{{tag}} OK ready for starttls{{tls}}"),
            ),
        );
    }
    play(Protocol::Imap, &cases);
}

#[test]
fn greetings() {
    let plain = |id: &str, line: &str| greeting(id, PassedOver, line);
    let no_list = "{tag} OK done";
    play(
        Protocol::Imap,
        &[
            plain("others/protocol/greeting/01_greeting_ok", "* OK wE4tXlYX"),
            greeting("others/protocol/greeting/02_greeting_no", Useless, "* NO 1BsL3pIq"),
            greeting("others/protocol/greeting/03_greeting_bad", Useless, "* BAD GFkaX18C"),
            greeting("others/protocol/greeting/05_greeting_bye", Useless, "* BYE X0n0fCj9"),
            greeting("others/protocol/construction/01_greeting_invalid", Useless, "1Gdo00V4 wFaIW2WP"),
            greeting("others/protocol/construction/02_greeting_invalid_ok", Useless, "Ac3cXIo1 rJzgnVlo\r\n* OK DHYw9lXw"),
            greeting(
                "others/protocol/construction/03_greeting_invalid_invalid_ok",
                Useless,
                "wbaDMYq5 2ox2EFkf\r\nPPV3lCiJ zOp8wpIo\r\n* OK oxii684O",
            ),
            greeting("others/protocol/construction/greeting_tagged", Useless, "XYZ OK 6Iy0xHRr"),
            greeting("[tagged as our first command]", Useless, "v1 OK 6Iy0xHRr"),
            greeting("others/protocol/construction/reorder", Useless, "* OK z7fkPNEe").reply(
                "CAPABILITY",
                "v2 OK begin TLS now (CsOKx3Fj)\r\n* CAPABILITY IMAP4REV1 STARTTLS LOGINDISABLED\r\n{tag} OK done",
            ),
            greeting("[a tag that was used]", Refused, "* OK hi")
                .reply("CAPABILITY", "* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done")
                .reply("STARTTLS", "v1 OK go{tls}"),
            plain("UI Spoofing/greeting/ok/01_alert", "* OK [ALERT] bAjdyeKO"),
            plain("UI Spoofing/greeting/ok/02_badcharset", "* OK [BADCHARSET (kkgIhdNV)] MyF21bpV"),
            plain("UI Spoofing/greeting/ok/03_parse", "* OK [PARSE] MyF21bpV"),
            greeting("UI Spoofing/greeting/no/01_alert", Useless, "* NO [ALERT] bAjdyeKO"),
            greeting("UI Spoofing/greeting/no/02_badcharset", Useless, "* NO [BADCHARSET (kkgIhdNV)] x").reply("CAPABILITY", no_list),
            greeting("UI Spoofing/greeting/no/03_parse", Useless, "* NO [PARSE] x"),
            greeting("[an SMTP server]", Useless, "220 mx.example.org ESMTP"),
            greeting("[silence]", Useless, "{pause}"),
            greeting("[the end]", Useless, "{close}"),
        ],
    );
}
