//! What a remote offers, as its reply to EHLO or LHLO tells.

use std::fmt;

use super::Reply;
use crate::sasl::Mechanisms;

/// The extensions of one remote that matter to us. They are forgotten when TLS
/// starts (RFC 3207 §4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `STARTTLS` (RFC 3207).
    pub starttls: bool,
    /// `PIPELINING` (RFC 2920): commands of a group may leave in one write.
    pub pipelining: bool,
    /// `ENHANCEDSTATUSCODES` (RFC 2034). Replies are searched for them all the same.
    pub enhanced_status_codes: bool,
    /// `SMTPUTF8` (RFC 6531): addresses need not be ASCII.
    pub smtputf8: bool,
    /// `IGNOREQUOTA` (Cyrus LMTP): RCPT can be asked not to look at the quota.
    pub ignore_quota: bool,
    /// `XCLIENT` (Postfix): the attributes that may be sent, as the remote lists them.
    pub xclient: Option<String>,
    /// `AUTH` (RFC 4954): the SASL mechanisms.
    pub auth: Mechanisms,
    /// `LIMITS` (RFC 9422).
    pub limits: Limits,
}

/// How much a remote bears, where it says so (RFC 9422). Never 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// `RCPTMAX`: recipients of one transaction.
    pub rcpt_max: Option<u32>,
    /// `MAILMAX`: transactions of one session.
    pub mail_max: Option<u32>,
    /// `RCPTDOMAINMAX`: different recipient domains of one transaction.
    pub rcpt_domain_max: Option<u32>,
}

/// What is offered, in the words of EHLO, for people to read.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        for (offered, word) in [
            (self.starttls, "STARTTLS"),
            (self.pipelining, "PIPELINING"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.smtputf8, "SMTPUTF8"),
            (self.ignore_quota, "IGNOREQUOTA"),
            (self.xclient.is_some(), "XCLIENT"),
        ] {
            words.extend(offered.then(|| word.to_owned()));
        }
        words.extend(self.auth.names().map(|name| format!("AUTH={name}")));
        for (limit, word) in [
            (self.limits.rcpt_max, "RCPTMAX"),
            (self.limits.mail_max, "MAILMAX"),
            (self.limits.rcpt_domain_max, "RCPTDOMAINMAX"),
        ] {
            words.extend(limit.map(|limit| format!("{word}={limit}")));
        }
        f.write_str(&words.join(" "))
    }
}

impl Capabilities {
    /// `ehlo-line = ehlo-keyword *( SP ehlo-param )`, every line of the reply but the
    /// first (RFC 5321 §4.1.1.1). Keywords without case; unknown ones are passed
    /// over, and so are parameters that make no sense.
    pub fn from_reply(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines().iter().skip(1) {
            found.read(line);
        }
        found
    }

    /// Whether this attribute may be sent by XCLIENT.
    pub fn takes_xclient(&self, attribute: &str) -> bool {
        let listed = self.xclient.as_deref().unwrap_or_default();
        listed
            .split_ascii_whitespace()
            .any(|name| name.eq_ignore_ascii_case(attribute))
    }

    fn read(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "STARTTLS" => self.starttls = true,
            "PIPELINING" => self.pipelining = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "IGNOREQUOTA" => self.ignore_quota = true,
            "XCLIENT" => self.xclient = Some(words.collect::<Vec<_>>().join(" ")),
            "AUTH" => words.for_each(|name| self.auth.add(name)),
            "LIMITS" => words.for_each(|limit| self.limits.add(limit)),
            // Older than RFC 2554, still sent beside the proper form: `AUTH=PLAIN LOGIN`.
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.auth.add(first);
                    words.for_each(|name| self.auth.add(name));
                }
            }
        }
    }
}

impl Limits {
    /// `limit-name-value = limit-name ["=" limit-value]` (RFC 9422)
    fn add(&mut self, limit: &str) {
        let Some((name, value)) = limit.split_once('=') else {
            return;
        };
        let Some(value) = value.parse().ok().filter(|value| *value > 0) else {
            return;
        };
        match name.to_ascii_uppercase().as_str() {
            "RCPTMAX" => self.rcpt_max = Some(value),
            "MAILMAX" => self.mail_max = Some(value),
            "RCPTDOMAINMAX" => self.rcpt_domain_max = Some(value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        Capabilities::from_reply(&Reply::new(250, lines.iter().copied()))
    }

    fn mechanisms(plain: bool, login: bool, other: &[&str]) -> Mechanisms {
        let other = other.iter().map(|name| (*name).to_owned()).collect();
        Mechanisms { plain, login, other }
    }

    #[test]
    fn postfix() {
        let found = read(&[
            "mx.example.org", "PIPELINING", "SIZE 10240000", "VRFY", "ETRN", "STARTTLS", "AUTH PLAIN LOGIN",
            "AUTH=PLAIN LOGIN", "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
            "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING",
        ]);
        let expected = Capabilities {
            starttls: true,
            pipelining: true,
            enhanced_status_codes: true,
            smtputf8: true,
            xclient: Some("NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT".into()),
            auth: mechanisms(true, true, &[]),
            ..Capabilities::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn exim() {
        let found = read(&[
            "mail.example.org Hello vouch.example.net [192.0.2.1]", "SIZE 52428800",
            "LIMITS MAILMAX=1000 RCPTMAX=50000", "8BITMIME", "PIPELINING", "PIPECONNECT",
            "AUTH PLAIN CRAM-MD5", "STARTTLS", "HELP",
        ]);
        let expected = Capabilities {
            starttls: true,
            pipelining: true,
            auth: mechanisms(true, false, &["CRAM-MD5"]),
            limits: Limits {
                rcpt_max: Some(50_000),
                mail_max: Some(1000),
                rcpt_domain_max: None,
            },
            ..Capabilities::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn exchange() {
        let found = read(&[
            "EX1.example.org Hello [192.0.2.1]", "SIZE 37748736", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES",
            "STARTTLS", "X-ANONYMOUSTLS", "AUTH GSSAPI NTLM LOGIN XOAUTH2", "X-EXPS GSSAPI NTLM", "8BITMIME",
            "BINARYMIME", "CHUNKING", "SMTPUTF8", "XRDST",
        ]);
        assert_eq!(
            found.auth,
            mechanisms(false, true, &["GSSAPI", "NTLM", "XOAUTH2"])
        );
        assert!(found.starttls && found.smtputf8 && found.enhanced_status_codes && !found.ignore_quota);
    }

    #[test]
    fn cyrus_and_dovecot_lmtp() {
        let cyrus = read(&[
            "mbox.example.org", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE", "AUTH EXTERNAL",
            "IGNOREQUOTA",
        ]);
        assert!(cyrus.ignore_quota && cyrus.pipelining && !cyrus.starttls);
        assert_eq!(cyrus.auth, mechanisms(false, false, &["EXTERNAL"]));
        let dovecot = read(&[
            "imap.example.org", "XCLIENT ADDR PORT TTL TIMEOUT", "8BITMIME", "ENHANCEDSTATUSCODES",
            "PIPELINING", "STARTTLS",
        ]);
        assert_eq!(dovecot.xclient.as_deref(), Some("ADDR PORT TTL TIMEOUT"));
        assert_eq!(dovecot.auth, Mechanisms::default());
    }

    #[test]
    fn odd_lists() {
        let nothing = Capabilities::default();
        assert_eq!(read(&[]), nothing);
        assert_eq!(read(&["STARTTLS"]), nothing, "the first line is a name");
        assert_eq!(
            read(&["x", "", " ", "AUTH", "AUTH=", "LIMITS", "AUTHPLAIN", "STARTTLS=1"]),
            nothing
        );
        assert!(read(&["x", "starttls "]).starttls);
        assert_eq!(read(&["x", "auth=login"]).auth, mechanisms(false, true, &[]));
        assert_eq!(
            read(&["x", "Auth plain  xoauth2", "AUTH=LOGIN XOAUTH2 Plain"]).auth,
            mechanisms(true, true, &["XOAUTH2"])
        );
        assert_eq!(read(&["x", "XCLIENT"]).xclient.as_deref(), Some(""));
        let limits = read(&["x", "LIMITS rcptmax=5 MAILMAX=0 RCPTDOMAINMAX=x OTHER=7 RCPTMAX"]).limits;
        assert_eq!(
            limits,
            Limits {
                rcpt_max: Some(5),
                ..Limits::default()
            }
        );
        assert_eq!(
            read(&["x", "LIMITS RCPTMAX=99999999999 MAILMAX=-1"]).limits,
            Limits::default()
        );
        assert_eq!(
            read(&["x", "LIMITS RCPTDOMAINMAX=1"]).limits.rcpt_domain_max,
            Some(1)
        );
    }
}
