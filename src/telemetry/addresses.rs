//! What the log tells of the addresses that were asked about (`log.addresses`).
//!
//! Every record of an event is made through `record`, so no line shows more than the configuration allows: a value of
//! a key that names somebody (`NAMES`) is hidden whole, and each address in any other text. A user's name without a
//! domain can be found in a text only if it is known: [`without`] hides it there.

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use aws_lc_rs::hmac;
use tracing::Event;
use tracing::field::{Field, Visit};

use crate::settings::process::LogAddresses;

/// Keys whose value is a user or a mailbox.
const NAMES: [&str; 4] = ["about", "canary", "recipient", "user"];

/// Characters of a hash: two of a million users have the same by a chance of one in a hundred million.
const HASH: usize = 16;

/// A name of fewer characters is hidden where it is a word alone: it is part of half of all words.
const SHORT: usize = 4;

/// [`LogAddresses`] as it is now: a process has one log.
static SHOWN: AtomicU8 = AtomicU8::new(LogAddresses::Full as u8);

/// Of this process alone; none where the system gives no random bytes.
static KEY: OnceLock<Option<hmac::Key>> = OnceLock::new();

/// Shows so much of addresses from now on.
pub(crate) fn configure(shown: LogAddresses) {
    SHOWN.store(shown as u8, Ordering::Relaxed);
}

fn shown() -> LogAddresses {
    match SHOWN.load(Ordering::Relaxed) {
        shown if shown == LogAddresses::Full as u8 => LogAddresses::Full,
        shown if shown == LogAddresses::Hashed as u8 => LogAddresses::Hashed,
        _ => LogAddresses::Domain,
    }
}

/// Whether addresses are shown whole.
pub(crate) fn are_full() -> bool {
    shown() == LogAddresses::Full
}

/// `text` about these `names`, each an address or a user's name: without them, and without what stands before their `@`.
/// For the replies of remotes, which quote the user or recipient.
pub(crate) fn without<'t>(text: &'t str, names: &[&str]) -> Cow<'t, str> {
    Hiding(shown()).without(text, names)
}

/// Records the fields of an event, of which nothing is to be shown that the configuration hides.
pub(super) fn record(event: &Event<'_>, fields: &mut dyn Visit) {
    match shown() {
        LogAddresses::Full => event.record(fields),
        hidden => event.record(&mut Hidden {
            fields,
            hiding: Hiding(hidden),
        }),
    }
}

struct Hidden<'a> {
    fields: &'a mut dyn Visit,
    hiding: Hiding,
}

impl Visit for Hidden<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let shown = if NAMES.contains(&field.name()) {
            self.hiding.name(value)
        } else {
            self.hiding.text(value).into_owned()
        };
        self.fields.record_str(field, &shown);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        let shown = if NAMES.contains(&field.name()) {
            self.hiding.name(&value)
        } else {
            self.hiding.text(&value).into_owned()
        };
        self.fields.record_debug(field, &format_args!("{shown}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.record_u64(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.record_i64(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.record_bool(field, value);
    }
}

/// How names are hidden.
#[derive(Clone, Copy)]
struct Hiding(LogAddresses);

impl Hiding {
    /// What stands for an address or a user's name.
    fn name(self, name: &str) -> String {
        if self.0 == LogAddresses::Full || matches!(name, "" | "-") {
            return name.to_owned();
        }
        let domain = name.rsplit_once('@').map_or("", |(_, domain)| domain);
        // A domain alone is nobody's.
        if name.strip_prefix('@') == Some(domain) {
            return name.to_owned();
        }
        let key = KEY.get_or_init(|| {
            let mut key = [0; 32];
            getrandom::fill(&mut key).ok()?;
            Some(hmac::Key::new(hmac::HMAC_SHA256, &key))
        });
        match (self.0, key) {
            (LogAddresses::Hashed, Some(key)) => hashed(key, name),
            _ => format!("@{domain}"),
        }
    }

    /// A text in which each address is hidden.
    fn text(self, text: &str) -> Cow<'_, str> {
        if self.0 == LogAddresses::Full || !text.contains('@') {
            return Cow::Borrowed(text);
        }
        let (mut hidden, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find('@') {
            let (before, after) = rest.split_at(at);
            let begin = begin_of_local_part(before);
            let end = at + 1 + length_of_domain(after.get(1..).unwrap_or_default());
            hidden.push_str(rest.get(..begin).unwrap_or_default());
            hidden.push_str(&self.name(rest.get(begin..end).unwrap_or_default()));
            rest = rest.get(end..).unwrap_or_default();
        }
        hidden.push_str(rest);
        Cow::Owned(hidden)
    }

    fn without<'t>(self, text: &'t str, names: &[&str]) -> Cow<'t, str> {
        if self.0 == LogAddresses::Full {
            return Cow::Borrowed(text);
        }
        let mut hidden = Cow::Borrowed(text);
        for name in names {
            let stands_for_it = self.name(name);
            let local = name.rsplit_once('@').map_or(*name, |(local, _)| local);
            let unquoted = local.trim_matches('"').replace('\\', "");
            // The longest first: each is part of the one before.
            for part in [*name, local, &unquoted, base_of(&unquoted)] {
                hidden = Cow::Owned(replace(&hidden, part, &stands_for_it));
            }
        }
        Cow::Owned(self.text(&hidden).into_owned())
    }
}

/// The local part without the detail behind a usual delimiter: a remote may have been asked for this alone.
fn base_of(local: &str) -> &str {
    let end = local.find(['+', '=', '#']).filter(|end| *end > 0);
    end.map_or(local, |end| local.get(..end).unwrap_or(local))
}

fn hashed(key: &hmac::Key, name: &str) -> String {
    // Remotes and clients write one name in their own case, with quotes or without.
    let plain = name.to_lowercase().replace(['"', '\\'], "");
    let tag = hmac::sign(key, plain.as_bytes());
    let mut text = String::from("#");
    for byte in tag.as_ref().iter().take(HASH / 2) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Where the local part of an address begins that ends here.
fn begin_of_local_part(before: &str) -> usize {
    let quoted = before.strip_suffix('"').and_then(|inner| {
        let mut quotes = inner.match_indices('"').rev();
        quotes.find(|(at, _)| !inner.get(..*at).unwrap_or_default().ends_with('\\'))
    });
    if let Some((begin, _)) = quoted {
        return begin;
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | '"' | '`');
    before
        .char_indices()
        .rfind(|(_, c)| ends(*c))
        .map_or(0, |(at, c)| at + c.len_utf8())
}

/// How long the domain is with which this text begins: a name, or a literal in brackets.
fn length_of_domain(text: &str) -> usize {
    if text.starts_with('[') {
        return text.find(']').map_or(text.len(), |end| end + 1);
    }
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let length = text.find(|c| !part(c)).unwrap_or(text.len());
    let domain = text.get(..length).unwrap_or_default();
    // The dot that ends a sentence.
    domain.trim_end_matches('.').len()
}

/// Every `part` of a text replaced, in whatever case it is written; a short one where it is a word alone.
fn replace(text: &str, part: &str, by: &str) -> String {
    if part.is_empty() || part == "-" {
        return text.to_owned();
    }
    let short = part.chars().count() < SHORT;
    let mut replaced = String::with_capacity(text.len());
    let (mut rest, mut before) = (text, None);
    while let Some(first) = rest.chars().next() {
        let length = length_of_match(rest, part);
        let after = length.and_then(|length| rest.get(length..)?.chars().next());
        let is_in_a_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match length {
            Some(length) if !short || !(is_in_a_word(before) || is_in_a_word(after)) => {
                replaced.push_str(by);
                before = part.chars().next_back();
                rest = rest.get(length..).unwrap_or_default();
            }
            _ => {
                replaced.push(first);
                before = Some(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    replaced
}

/// The length of what `text` begins with, where that is `part` in any case.
fn length_of_match(text: &str, part: &str) -> Option<usize> {
    let mut length = 0;
    let mut found = text.chars();
    for wanted in part.chars() {
        let next = found.next()?;
        if next != wanted && !next.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
        length += next.len_utf8();
    }
    Some(length)
}

/// What a dialog says where addresses are not to be shown: a command or reply may hold a name anywhere, in any code.
pub(crate) struct Withheld<'a>(pub &'a dyn Display);

impl Display for Withheld<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if are_full() {
            return self.0.fmt(f);
        }
        let length = self.0.to_string().chars().count();
        write!(f, "[{length} characters withheld: log.addresses]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ODD: [&str; 9] = [
        "jane@example.org", "\"jane doe\"@example.org", "\"ja\\\"ne\"@example.org", "o'brien@example.org",
        "jäne@bücher.example", "jane+list@example.org", "a=b/c@example.org", "jane@[192.0.2.1]",
        "jane%example.net@example.org",
    ];

    #[test]
    fn a_name_is_a_hash_or_its_domain() {
        let (hashed, domain) = (Hiding(LogAddresses::Hashed), Hiding(LogAddresses::Domain));
        for name in ODD {
            let hash = hashed.name(name);
            assert!(hash.len() == 1 + HASH && hash.starts_with('#'), "{hash}");
            assert_eq!(hash, hashed.name(&name.to_uppercase().replace('"', "")));
            assert_eq!(
                domain.name(name),
                format!("@{}", name.rsplit_once('@').unwrap().1)
            );
        }
        assert_ne!(hashed.name("jane@example.org"), hashed.name("john@example.org"));
        assert_eq!(domain.name("jane"), "@");
        for (hiding, nobody) in [
            (hashed, "-"),
            (domain, ""),
            (hashed, "@example.org"),
            (domain, "@example.org"),
        ] {
            assert_eq!(hiding.name(nobody), nobody);
        }
    }

    #[test]
    fn each_address_of_a_text_is_hidden() {
        let hiding = Hiding(LogAddresses::Domain);
        for (text, shown) in [
            ("no address", "no address"),
            ("<jane@example.org>: User unknown", "<@example.org>: User unknown"),
            ("sorry, \"jane \\\" doe\"@example.org.", "sorry, @example.org."),
            ("a@b.c,d@e.f", "@b.c,@e.f"),
            ("for (o'brien@example.org)", "for (@example.org)"),
            ("jane@[192.0.2.1] is gone", "@[192.0.2.1] is gone"),
            ("@example.org @ x", "@example.org @ x"),
        ] {
            assert_eq!(hiding.text(text), shown);
        }
    }

    #[test]
    fn a_known_name_is_hidden_in_whatever_form_a_remote_quotes_it() {
        let hiding = Hiding(LogAddresses::Domain);
        for (text, name, shown) in [
            (
                "550 JANE: unknown user", "jane@example.org", "550 @example.org: unknown user",
            ),
            ("no janet here", "jane@example.org", "no @example.orgt here"),
            (
                "a user al is not al-so", "al@example.org", "a user @example.org is not @example.org-so",
            ),
            (
                "mailbox jane of jane+x", "jane+x@example.org", "mailbox @example.org of @example.org",
            ),
            (
                "user jane doe unknown", "\"jane doe\"@example.org", "user @example.org unknown",
            ),
            ("Jürgen!", "jürgen", "@!"),
        ] {
            assert_eq!(hiding.without(text, &[name]), shown);
        }
        assert_eq!(Hiding(LogAddresses::Full).without("jane", &["jane"]), "jane");
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_name(before in ".{0,20}", name in "[a-zöü0-9!#$%&'*+/=?^_{|}~.-]{4,20}", after in ".{0,20}") {
            let text = format!("{before} {name}@example.org {name} {after}");
            for hiding in [Hiding(LogAddresses::Hashed), Hiding(LogAddresses::Domain)] {
                let hidden = hiding.without(&text, &[&format!("{name}@example.org")]);
                let around = format!("{before} {after}");
                prop_assert!(!hidden.contains(&name) || around.contains(&name), "{}", hidden);
                let address = [&*name, "@"].concat();
                prop_assert!(!hiding.text(&text).contains(&address));
            }
        }
    }

    /// Of all that makes records, nothing sees an event's fields but through here.
    #[test]
    fn no_record_is_made_past_it() {
        for source in [
            include_str!("line.rs"),
            include_str!("json.rs"),
            include_str!("journal.rs"),
        ] {
            assert!(!source.contains("event.record(") && source.contains("addresses::record("));
        }
    }
}
