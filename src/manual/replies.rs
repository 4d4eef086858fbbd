//! How a reply is interpreted: the rules, and examples that the interpreter itself has evaluated.

use super::roff::Page;
use crate::directory::judge::explain::{Command, explain};
use crate::directory::judge::recipient::Settings;

/// The rule for recipients, a sentence each.
const RECIPIENTS: [&str; 6] = [
    "A clause about something other than this recipient explains the refusal: the domain, relaying, the sender, the \
     client's host, the server itself, a limit, a message, a rule, the login method. Then there was no answer, whatever \
     the code.",
    "A full mailbox exists, whatever the code.",
    "\"Not now\" is no answer, even for a closed mailbox.",
    "A code about something other than this recipient is no answer: 4xx, 5.1.2, 5.1.7, 5.1.8, x.3, x.4, x.5, x.6 and x.7.",
    "Otherwise it is a \"no\" if a clause or the code states that this recipient does not exist or is closed: 5.1.1, \
     5.1.3, 5.1.6, 5.1.10 with 550, 5.2.1.",
    "A reply that vouch does not understand is no answer. It is logged once, with the key that would settle it.",
];

/// The same for logins.
const LOGINS: [&str; 5] = [
    "\"Not now\", a fault of the server, a limit, a statement about the client's host or the login method: no answer, \
     whatever the code.",
    "An account that is closed or expired, by a statement about the account, user or mailbox or by a code (EXPIRED, \
     CONTACTADMIN, 525, 5.7.13): a \"no\".",
    "A statement about the credential, or a code for it (AUTHENTICATIONFAILED, AUTHORIZATIONFAILED, 535 5.7.8): a \"no\". So \
     is a refusal without text.",
    "IMAP, POP or SMTP disabled for a user: no answer, unless a code refuses the credential.",
    "A reply that vouch does not understand is no answer. For `auth-errors` and `penalty` it still counts as a failure, \
     once per user and secret.",
];

/// What is shown with its reading.
pub(crate) const EXAMPLES: [(Command, &str); 5] = [
    (
        Command::Rcpt,
        "550 5.1.1 Recipient address rejected: User unknown",
    ),
    (Command::Rcpt, "550 5.1.1 Relay access denied"),
    (Command::Rcpt, "550 user over quota. (#5.1.1)"),
    (
        Command::ImapLogin,
        "NO [AUTHENTICATIONFAILED] Too many failed attempts",
    ),
    (Command::ImapLogin, "NO Login failed: authentication failure"),
];

pub(super) fn write(page: &mut Page) {
    page.section("HOW A REPLY IS INTERPRETED");
    page.text(
        "The recipient's or user's name, other addresses, host names, URLs and numbers are removed from a refusal. The rest \
         is split into clauses, at the ends of lines and sentences, at colons, semicolons and brackets. Each clause may \
         make a statement about something. A code is one more statement. A reply that repeats another server's (\"host B \
         said: 554 5.7.1 ...\") is interpreted as the quoted one. Phrases in `directory.NAME.replies` come first. `vouch \
         probe reply` shows how a reply is interpreted.",
    );
    page.text("For a refused recipient, in this order:");
    RECIPIENTS.iter().for_each(|rule| page.item("-", rule));
    page.text("For a refused login, in this order:");
    LOGINS.iter().for_each(|rule| page.item("-", rule));
    let settings = Settings::default();
    let rows: Vec<[String; 2]> = EXAMPLES
        .iter()
        .filter_map(|(command, reply)| {
            let explained = explain(*command, &settings, b"", reply).ok()?;
            let decided = explained.decided.map(|one| one.to_string()).unwrap_or_default();
            let cause = explained.verdict.reason();
            Some([
                (*reply).to_owned(),
                format!("{} ({cause}): {decided}", explained.verdict.name()),
            ])
        })
        .collect();
    page.table(&[36], ["Reply", "Verdict, and what decides"], &rows);
}
