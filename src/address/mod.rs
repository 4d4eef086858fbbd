//! Addresses and domains, brought into one form once.

pub mod access;
pub mod network;

use std::fmt;
use std::sync::Arc;

/// Bound (clients, bytes): mail address. Beyond: the recipient is unknown, without asking. Why: RFC 5321 section
/// 4.5.3.1.3: no longer one can be written in SMTP, with < and >.
const MAX_ADDRESS: usize = 254;

/// Bound (clients, bytes): domain, without a dot at its end. Beyond: it is not a domain, and no directory serves it.
/// Why: RFC 1035 section 2.3.4.
pub(crate) const MAX_DOMAIN: usize = 253;

/// Bound (clients, bytes): label of a domain. Beyond: it is not a domain, and no directory serves it. Why: RFC 1035
/// section 2.3.4.
const MAX_LABEL: usize = 63;

/// A domain in lower-case ASCII (A-labels), without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

/// Why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing is left once a trailing dot is taken away.
    #[error("a domain cannot be empty")]
    Empty,
    /// An address literal such as `[192.0.2.7]` names a host, not a domain.
    #[error("an address literal is not a domain")]
    Literal,
    /// Not a host name, whatever the script (UTS 46, RFC 5891).
    #[error("not a domain name")]
    Invalid,
}

impl Domain {
    /// Reads a domain in any case, as U-labels or A-labels, with or without
    /// one trailing dot.
    ///
    /// # Errors
    /// See [`DomainError`].
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.starts_with('[') {
            return Err(DomainError::Literal);
        }
        // Nearly every domain is in its one form already; nothing that begins with `xn--` is that plain.
        if text.len() <= MAX_DOMAIN && text.split('.').all(is_plain) {
            return Ok(Self(text.into()));
        }
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL)
            .map_err(|_| DomainError::Invalid)?;
        let hostlike = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(hostlike);
        if ascii.len() > MAX_DOMAIN || !ascii.split('.').all(fits) {
            return Err(DomainError::Invalid);
        }
        Ok(Self(ascii.into()))
    }

    /// The A-label form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether UTS 46 leaves a label as it is, and finds nothing wrong with it: lower-case
/// letters, digits and single hyphens between them.
fn is_plain(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=MAX_LABEL).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.contains("--")
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mailbox name: an unquoted local part and a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    local: Arc<[u8]>,
    domain: Domain,
}

/// The bytes name no mailbox in a domain: there is no `@`, nothing before it,
/// or no domain name behind it. Somebody may know such a recipient
/// (`postmaster`, `root@[192.0.2.7]`), but no directory of ours does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no mailbox in a domain can be read from it")]
pub struct NotAnAddress;

/// Why an address cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A control byte has no form in SMTP (RFC 5321 §4.1.2).
    #[error("it holds a control character")]
    Control,
    /// Longer than an SMTP path may be.
    #[error("it is longer than {MAX_ADDRESS} octets")]
    TooLong,
    /// 8-bit bytes that are not UTF-8 have no form in any version of SMTP, yet
    /// reach us from a Postfix with `smtputf8_enable = no`.
    #[error("its local part is neither ASCII nor UTF-8")]
    Charset,
}

impl Address {
    /// Reads the form that Postfix hands over: unquoted, the domain behind the
    /// *last* `@` (the internal form of Postfix `src/global/quote_821_local.c`).
    ///
    /// A local part over 64 octets is taken: RFC 5321 §4.5.3.1 gives that
    /// figure as the least that must be accepted, and senders that encode the
    /// recipient in the bounce address (VERP) pass it.
    ///
    /// # Errors
    /// See [`NotAnAddress`].
    pub fn from_unquoted(bytes: &[u8]) -> Result<Self, NotAnAddress> {
        let at = bytes.iter().rposition(|&byte| byte == b'@').ok_or(NotAnAddress)?;
        let (local, domain) = (&bytes[..at], &bytes[at + 1..]);
        let domain = str::from_utf8(domain).map_err(|_| NotAnAddress)?;
        let domain = Domain::parse(domain).map_err(|_| NotAnAddress)?;
        if local.is_empty() {
            return Err(NotAnAddress);
        }
        Ok(Self {
            local: local.into(),
            domain,
        })
    }

    /// Why no remote can be asked for it, if so.
    pub fn fault(&self) -> Option<Fault> {
        if self.local.iter().any(u8::is_ascii_control) {
            Some(Fault::Control)
        } else if self.wire_len() > MAX_ADDRESS {
            Some(Fault::TooLong)
        } else if str::from_utf8(&self.local).is_err() {
            Some(Fault::Charset)
        } else {
            None
        }
    }

    /// Reads what a person types: as [`Address::from_unquoted`], but a local
    /// part in double quotes is unquoted first (RFC 5321 §4.1.2 Quoted-string).
    ///
    /// # Errors
    /// See [`NotAnAddress`].
    pub fn from_typed(text: &str) -> Result<Self, NotAnAddress> {
        // A space of another script may be the first character of a name: it is asked for as it is.
        let text = text.trim_ascii();
        let text = text
            .strip_prefix('<')
            .and_then(|text| text.strip_suffix('>'))
            .unwrap_or(text);
        Self::from_quoted(text.as_bytes())
    }

    /// Reads an address as SMTP writes it, in which a local part may stand in double quotes (RFC 5321 §4.1.2
    /// Quoted-string), or one without any.
    ///
    /// # Errors
    /// See [`NotAnAddress`].
    pub fn from_quoted(bytes: &[u8]) -> Result<Self, NotAnAddress> {
        let quoted = bytes.iter().rposition(|&byte| byte == b'@').and_then(|at| {
            let (local, domain) = bytes.split_at(at);
            let inside = local.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            Some((inside, domain))
        });
        let Some((inside, domain)) = quoted else {
            return Self::from_unquoted(bytes);
        };
        let mut plain = Vec::with_capacity(bytes.len());
        let mut inside = inside.iter().copied();
        while let Some(byte) = inside.next() {
            plain.push(if byte == b'\\' {
                inside.next().unwrap_or(b'\\')
            } else {
                byte
            });
        }
        plain.extend_from_slice(domain);
        Self::from_unquoted(&plain)
    }

    /// The unquoted local part, as it was given.
    pub fn local(&self) -> &[u8] {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether a server must offer SMTPUTF8 to be asked for it (RFC 6531 §3.4).
    pub fn needs_utf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The length of [`Address::to_wire`].
    fn wire_len(&self) -> usize {
        let quoting = if is_dot_string(&self.local) {
            0
        } else {
            2 + self
                .local
                .iter()
                .filter(|byte| matches!(byte, b'"' | b'\\'))
                .count()
        };
        self.local.len() + quoting + 1 + self.domain.0.len()
    }

    /// What stands between `<` and `>` in `RCPT TO`: the local part quoted
    /// where it is no Dot-string (RFC 5321 §4.1.2), the domain as A-labels.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.wire_len());
        if is_dot_string(&self.local) {
            wire.extend_from_slice(&self.local);
        } else {
            wire.push(b'"');
            for &byte in &*self.local {
                if matches!(byte, b'"' | b'\\') {
                    wire.push(b'\\');
                }
                wire.push(byte);
            }
            wire.push(b'"');
        }
        wire.push(b'@');
        wire.extend_from_slice(self.domain.0.as_bytes());
        wire
    }

    /// The address as a user's name: the form that [`Address::from_unquoted`] reads.
    pub fn to_unquoted(&self) -> Vec<u8> {
        [&*self.local, b"@", self.domain.0.as_bytes()].concat()
    }

    /// The address without its detail: `name+detail` becomes `name` where
    /// `delimiters` holds `+`. A local part that begins with a delimiter is
    /// left alone, as Postfix does (`src/global/split_addr.c`).
    #[must_use]
    pub fn without_detail(self, delimiters: &str) -> Self {
        let cut = self
            .local
            .iter()
            .position(|&byte| delimiters.as_bytes().contains(&byte));
        match cut {
            Some(at) if at > 0 => Self {
                local: self.local[..at].into(),
                domain: self.domain,
            },
            _ => self,
        }
    }

    /// The address with its local part in lower case (ASCII only: what other
    /// scripts fold to is the remote's affair).
    #[must_use]
    pub fn folded(mut self) -> Self {
        Arc::make_mut(&mut self.local).make_ascii_lowercase();
        self
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_wire()))
    }
}

/// `Dot-string = Atom *("." Atom)`, RFC 5321 §4.1.2, with UTF-8 as RFC 6531
/// §3.3 adds it.
fn is_dot_string(local: &[u8]) -> bool {
    let atext =
        |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local
        .split(|&byte| byte == b'.')
        .all(|atom| !atom.is_empty() && atom.iter().copied().all(atext))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Result<String, DomainError> {
        Domain::parse(text).map(|domain| domain.to_string())
    }

    #[test]
    fn a_domain_has_one_form() {
        assert_eq!(domain("Example.ORG."), Ok("example.org".into()));
        assert_eq!(domain("BÜCHER.example"), Ok("xn--bcher-kva.example".into()));
        assert_eq!(
            domain("xn--bcher-kva.EXAMPLE"),
            Ok("xn--bcher-kva.example".into())
        );
        assert_eq!(domain("my_host.example"), Ok("my_host.example".into()));
        assert_eq!(domain("a-b.4x.example"), Ok("a-b.4x.example".into()));
        assert_eq!(domain("xn--a.example"), Err(DomainError::Invalid));
        assert_eq!(domain(""), Err(DomainError::Empty));
        assert_eq!(domain("."), Err(DomainError::Empty));
        assert_eq!(domain("[127.0.0.1]"), Err(DomainError::Literal));
        for bad in [
            "a..b",
            "a b",
            "a/b",
            "..",
            "-\u{0}",
            "exa mple.org",
            &"a".repeat(64),
        ] {
            assert_eq!(domain(bad), Err(DomainError::Invalid), "{bad}");
        }
    }

    // Fills MAX_DOMAIN, MAX_LABEL.
    #[test]
    fn domains_have_a_length() {
        let of_labels = |length: usize| format!("{}.example", vec!["a"; length].join("."));
        let longest = of_labels((MAX_DOMAIN - ".example".len()).div_ceil(2));
        assert_eq!(longest.len(), MAX_DOMAIN);
        assert!(Domain::parse(&longest).is_ok());
        assert_eq!(Domain::parse(&format!("aa{longest}")), Err(DomainError::Invalid));
        for (length, good) in [(MAX_LABEL, true), (MAX_LABEL + 1, false)] {
            assert_eq!(
                Domain::parse(&format!("{}.example", "a".repeat(length))).is_ok(),
                good
            );
        }
    }

    /// The rows of Postfix's own hand-over: what a client sent, what arrives,
    /// what must go out again.
    #[test]
    fn what_postfix_unquotes_is_quoted_again() {
        for (given, wire) in [
            ("bob@example.com", "bob@example.com"),
            ("a b@example.com", r#""a b"@example.com"#),
            ("a@b@example.com", r#""a@b"@example.com"#),
            (r#"a"b\c@example.com"#, r#""a\"b\\c"@example.com"#),
            ("q@Example.COM.", "q@example.com"),
            ("Bob+Det.Ail@Example.COM", "Bob+Det.Ail@example.com"),
            ("bob6%example.org@example.com", "bob6%example.org@example.com"),
            ("host!bob8@example.com", "host!bob8@example.com"),
            (".dot..dot.@example.com", r#"".dot..dot."@example.com"#),
            ("bob11@@example.com", r#""bob11@"@example.com"#),
            ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
            ("o'brien@example.com", "o'brien@example.com"),
            ("a>b@example.com", r#""a>b"@example.com"#),
        ] {
            let address = Address::from_unquoted(given.as_bytes()).unwrap();
            assert_eq!(address.to_wire(), wire.as_bytes(), "{given}");
            assert_eq!(address.wire_len(), wire.len(), "{given}");
            assert_eq!(Address::from_unquoted(&address.to_unquoted()).unwrap(), address);
        }
    }

    // Fills MAX_ADDRESS.
    #[test]
    fn what_is_no_address_and_what_cannot_be_asked() {
        for given in [
            &b"bob"[..],
            b"",
            b"@e.org",
            b"bob@",
            b"bob7@[127.0.0.1]",
            b"bob@\xff.org",
            b"b@e\r\n.org",
        ] {
            assert_eq!(Address::from_unquoted(given), Err(NotAnAddress), "{given:?}");
        }
        let fault = |given: &[u8]| Address::from_unquoted(given).unwrap().fault();
        assert_eq!(fault(b"b\x01b@e.org"), Some(Fault::Control));
        assert_eq!(fault(b"b\r\nRSET@e.org"), Some(Fault::Control));
        assert_eq!(fault(b"b\x7f@e.org"), Some(Fault::Control));
        assert_eq!(fault(b"j\xfcrgen@e.org"), Some(Fault::Charset));
        assert_eq!(fault("jürgen@e.org".as_bytes()), None);
        let long = |local: usize| fault(format!("{}@e.org", "a".repeat(local)).as_bytes());
        assert_eq!(long(65), None);
        assert_eq!(long(254 - 6), None);
        assert_eq!(long(255 - 6), Some(Fault::TooLong));
    }

    #[test]
    fn typed_addresses_may_be_quoted() {
        for (typed, wire) in [
            (r#""a b"@example.com"#, r#""a b"@example.com"#),
            (r#""jane"@example.com"#, "jane@example.com"),
            (r#""a\"b\\c"@example.com"#, r#""a\"b\\c"@example.com"#),
            (" <jane@example.com> ", "jane@example.com"),
            ("\u{3000}jane@example.com\n", "\u{3000}jane@example.com"),
        ] {
            assert_eq!(
                Address::from_typed(typed).unwrap().to_wire(),
                wire.as_bytes(),
                "{typed}"
            );
        }
    }

    #[test]
    fn details_and_case() {
        let plain = |given: &str| Address::from_unquoted(given.as_bytes()).unwrap();
        assert_eq!(plain("bob+x+y@e.org").without_detail("+").to_wire(), b"bob@e.org");
        assert_eq!(plain("bob-x@e.org").without_detail("+-").to_wire(), b"bob@e.org");
        assert_eq!(plain("+x@e.org").without_detail("+").to_wire(), b"+x@e.org");
        assert_eq!(plain("bob+x@e.org").without_detail("").to_wire(), b"bob+x@e.org");
        assert_eq!(plain("BoB@e.org").folded().to_wire(), b"bob@e.org");
        // Letters beyond ASCII keep their case, and one that can be written in two ways is two: NFC and NFD.
        let wire = "b\u{c4}b@e.org".as_bytes();
        assert_eq!(plain("B\u{c4}B@e.org").folded().to_wire(), wire);
        assert_ne!(
            plain("jos\u{e9}@e.org").folded(),
            plain("jose\u{301}@e.org").folded()
        );
    }
}
