//! Replies in which a remote repeats what another server said.
//!
//! Postfix's `reject_unverified_recipient` and Exim's callouts do: `undeliverable address: host B said: 554 5.7.1 Relay
//! access denied (in reply to RCPT TO command)`. What such a reply means is what the quoted one does: the code in front
//! is the middle server's own, and the same for every reason.

use vouch_protocol::smtp::reply::Reply;

/// What a text quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quote {
    /// The quoted reply.
    pub(super) reply: Reply,
    /// It was the reply to `RCPT TO`, as far as is said.
    pub(super) to_rcpt: bool,
    /// The text around it.
    pub(super) around: String,
}

/// The commands that a quoted reply may have answered; `RCPT TO` is the one that is about a recipient.
const OTHER_COMMANDS: [&str; 12] = [
    "mail from", "end of data", "data command", "ehlo", "helo", "lhlo", "starttls", "auth command",
    "initial connection", "end-of-data", "refused to talk to me", "rset",
];

/// The first reply that the lines of a reply quote: a code behind a colon. Another may stand in that one.
pub(super) fn find(lines: &[&str]) -> Option<Quote> {
    let text = lines.join("\n");
    let lower = text.to_ascii_lowercase();
    let colons = lower.match_indices(':').map(|(at, _)| (at, at + 1));
    let (colon, behind, code) = whole_reply(&lower)
        .into_iter()
        .chain(colons)
        .find_map(|(end, begin)| {
            let code = lower[begin..].trim_start();
            Some((end, lower.len() - code.len(), reply_code(code)?))
        })?;
    let mut inner = text[behind + 3..].trim_start_matches([' ', '-']);
    let mut after = "";
    if let Some(end) = lower[behind..].rfind("(in reply to ") {
        inner = text[behind + 3..behind + end].trim_start_matches([' ', '-']);
        after = &text[behind + end..];
    }
    let told = &lower[lower.len() - after.len()..];
    let said_to = if told.is_empty() { &lower[..behind] } else { told };
    let mut to_rcpt = !OTHER_COMMANDS.iter().any(|command| said_to.contains(command));
    // Exim: "SMTP error from remote mail server after RCPT TO:<…>: 550 …".
    to_rcpt |= told.contains("rcpt to");
    Some(Quote {
        reply: Reply::new(code, inner.lines().map(str::to_owned)),
        to_rcpt,
        around: text[..colon].to_owned(),
    })
}

/// Where a reply with both its codes stands at the very beginning, behind an enhanced code perhaps: the end of what is
/// around it, and its beginning.
fn whole_reply(text: &str) -> Option<(usize, usize)> {
    let is_enhanced = |word: &str| {
        let mut parts = word.split('.');
        let number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u16>().is_ok());
        number(parts.next()) && number(parts.next()) && number(parts.next()) && parts.next().is_none()
    };
    let begin = match text.split_once(' ') {
        Some((first, _)) if is_enhanced(first) => first.len() + 1,
        _ => 0,
    };
    let mut words = text[begin..].split_whitespace();
    let is_reply =
        words.next().is_some_and(|code| reply_code(code).is_some()) && words.next().is_some_and(is_enhanced);
    is_reply.then_some((0, begin))
}

/// The code of a server's reply that refuses or defers.
fn reply_code(text: &str) -> Option<u16> {
    let digits = text.get(..3)?;
    let ends = text[3..].chars().next().is_none_or(|c| matches!(c, ' ' | '-'));
    let code: u16 = digits.parse().ok()?;
    (ends && (400..600).contains(&code)).then_some(code)
}
