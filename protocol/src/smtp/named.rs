//! The recipient that a reply to RCPT names: replies carry no number, and a name is the only sign that one
//! belongs to another command.

use std::collections::{HashSet, VecDeque};

use super::Reply;

/// Bound (replies): recipients of a session that replies may name. Beyond: a reply that names an older one is read as
/// the answer to the current question. Why: more than one session's recipients by default, in some 64 KiB.
pub const NAMES: usize = 1024;

/// The recipients that a session was asked for.
#[derive(Debug, Default)]
pub(super) struct Named {
    known: HashSet<String>,
    /// The oldest first.
    order: VecDeque<String>,
}

impl Named {
    /// One more, in wire form.
    pub(super) fn add(&mut self, to: &[u8]) {
        let name = canonical(&String::from_utf8_lossy(to));
        if self.known.insert(name.clone()) {
            self.order.push_back(name);
        }
        if self.order.len() > NAMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether a reply to a question for `to` names another of the recipients, and not this one.
    pub(super) fn is_about_another(&self, to: &[u8], reply: &Reply) -> bool {
        // These say where the recipient has gone (RFC 5321 §3.4).
        if self.known.len() < 2 || matches!(reply.code(), 251 | 551) {
            return false;
        }
        let asked = canonical(&String::from_utf8_lossy(to));
        let domain = asked.rsplit_once('@').map_or("", |(_, domain)| domain);
        let mut another = false;
        for line in reply.lines() {
            let line = canonical(line);
            let bare = addresses(&line).map(str::to_owned);
            for name in bare.chain(bracketed(&line, domain)) {
                if name == asked {
                    return false;
                }
                another |= self.known.contains(&name);
            }
        }
        another
    }
}

/// One form for an address, whatever its case and quotes.
fn canonical(text: &str) -> String {
    let mut form: String = text.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
    form.make_ascii_lowercase();
    form
}

/// What could be an address at each `@` of a text: all that can stand in one, and less of its
/// beginning, which may be a key (`rcpt=jane@example.org`) or an apostrophe.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('@').flat_map(move |(at, _)| {
        let (before, behind) = (&text[..at], &text[at + 1..]);
        let begins = before.rfind(|c| !is_local(c)).map_or(0, |stop| {
            stop + before[stop..].chars().next().map_or(0, char::len_utf8)
        });
        let length = behind.find(|c| !is_domain(c)).unwrap_or(behind.len());
        let ends = at + 1 + behind[..length].trim_end_matches('.').len();
        let starts = before[begins..].match_indices(['=', '\'', '`', '/', '{', '*']);
        let shorter = starts.take(KEYS).map(move |(key, _)| begins + key + 1);
        std::iter::once(begins)
            .chain(shorter)
            .map(move |begins| &text[begins..ends])
    })
}

/// Characters of one address that may end a key in front of it, at the most.
const KEYS: usize = 8;

/// `<jane>` is short for an address of the domain that was asked for.
fn bracketed(text: &str, domain: &str) -> impl Iterator<Item = String> {
    let insides = text.split('<').skip(1).filter_map(|part| part.split_once('>'));
    insides.map(move |(inside, _)| {
        if inside.contains('@') {
            inside.to_owned()
        } else {
            format!("{inside}@{domain}")
        }
    })
}

/// `atext`, `.`, and what is not ASCII (RFC 5321 §4.1.2, RFC 6531 §3.3).
fn is_local(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~.".contains(c)
}

fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() || matches!(c, '-' | '.' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about_another(known: &[&str], to: &str, reply: &str) -> bool {
        let mut named = Named::default();
        known.iter().for_each(|known| named.add(known.as_bytes()));
        named.add(to.as_bytes());
        named.is_about_another(to.as_bytes(), &Reply::parse(reply).unwrap())
    }

    #[test]
    fn a_reply_names_whom_it_is_about() {
        let known = ["nosuch1@example.org", "o'neill@example.org", "a b@example.org"];
        for reply in [
            "550 5.1.1 <nosuch1@example.org>: Recipient address rejected: User unknown",
            "550 5.1.1 nosuch1@example.org... User unknown",
            "550 5.1.1 NoSuch1@Example.ORG: no such user",
            "550 no such user: nosuch1@example.org.",
            "550 5.1.1 rcpt=nosuch1@example.org unknown",
            "550 'nosuch1@example.org' unknown",
            "550 <nosuch1>: no such user here",
            "550-5.1.1 no such user\r\n550 5.1.1 nosuch1@example.org",
            "550 5.1.1 <o'neill@example.org>: unknown",
            "550 5.1.1 <\"a b\"@example.org>: unknown",
            "450 4.1.1 <\"nosuch1\"@example.org>: later",
            "250 2.1.5 <nosuch1@example.org>... Recipient ok",
        ] {
            assert!(is_about_another(&known, "jane@example.org", reply), "{reply}");
        }
        for reply in [
            "550 5.1.1 <jane@example.org>: User unknown", "550 5.1.1 <JANE@example.org>: User unknown",
            "550 5.1.1 jane@example.org, not nosuch1@example.org", "550 nosuch1@example.org, not <jane>",
            "550 5.1.1 User unknown", "550 5.1.1 <xnosuch1@example.org>: User unknown",
            "550 5.1.1 <nosuch1@example.org.net>: User unknown",
            "550 5.1.1 <nosuch1@example.com>: User unknown",
            "551 User not local; please try <nosuch1@example.org>", "550 nosuch1: unknown", "550 @ < > <",
        ] {
            assert!(!is_about_another(&known, "jane@example.org", reply), "{reply}");
        }
        assert!(!is_about_another(
            &[],
            "jane@example.org",
            "550 <nosuch1@example.org>"
        ));
    }

    // Fills named::NAMES.
    #[test]
    fn the_latest_are_known() {
        let mut named = Named::default();
        for number in 0..=NAMES {
            named.add(format!("u{number}@example.org").as_bytes());
            named.add(b"u0@example.org");
        }
        assert!(named.known.len() <= NAMES && named.order.len() == named.known.len());
        let about = |text: &str| {
            let reply = Reply::parse(text).unwrap();
            named.is_about_another(format!("u{NAMES}@example.org").as_bytes(), &reply)
        };
        assert!(about("550 <u7@example.org>") && !about("550 <u1@example.org>"));
    }
}
