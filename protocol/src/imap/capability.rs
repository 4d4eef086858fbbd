//! What the server says it can do, as far as a login cares.

use std::fmt;

use super::printable;
use crate::sasl::Mechanisms;

/// The capabilities of one moment of one session (RFC 9051 §7.2.2, RFC 3501 §7.2.1).
///
/// They change: with TLS, with a login, and whenever the server says so. Nothing
/// of this outlives the session it was read on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `IMAP4rev1`, RFC 3501.
    pub imap4rev1: bool,
    /// `IMAP4rev2`, RFC 9051.
    pub imap4rev2: bool,
    /// `STARTTLS`: TLS can be turned on here.
    pub starttls: bool,
    /// `LOGINDISABLED`: the LOGIN command must not be sent (RFC 9051 §6.2.3).
    pub login_disabled: bool,
    /// `SASL-IR` (RFC 4959): AUTHENTICATE takes an initial response. Part of `IMAP4rev2`.
    pub sasl_ir: bool,
    /// `LITERAL+` (RFC 7888): literals of any size need not wait for a `+`.
    pub literal_plus: bool,
    /// `LITERAL-` (RFC 7888 §5): literals up to 4,096 octets need not wait. Part of `IMAP4rev2`.
    pub literal_minus: bool,
    /// `AUTH=`: the SASL mechanisms.
    pub auth: Mechanisms,
    /// `UNAUTHENTICATE` (RFC 8437): a login can be undone. Many servers list it only after login.
    pub unauthenticate: bool,
    /// `ID` (RFC 2971).
    pub id: bool,
}

impl Capabilities {
    /// Reads a capability list, with or without the word `CAPABILITY` in front.
    ///
    /// `capability-data = "CAPABILITY" *(SP capability) SP "IMAP4rev1" *(SP capability)`
    ///
    /// Any list can be read: case, order and number of spaces do not matter, what
    /// is not known is passed over, and every token may be the last.
    pub fn parse(list: &str) -> Self {
        let mut found = Self::default();
        for token in list.split_ascii_whitespace() {
            found.note(&token.to_ascii_uppercase());
        }
        found
    }

    /// Whether this is a protocol that we speak. A list that names neither revision
    /// may be an attempt to talk us down to an older one.
    pub fn is_imap4(&self) -> bool {
        self.imap4rev1 || self.imap4rev2
    }

    fn note(&mut self, token: &str) {
        match token {
            "IMAP4REV1" => self.imap4rev1 = true,
            "IMAP4REV2" => {
                self.imap4rev2 = true;
                self.sasl_ir = true;
                self.literal_minus = true;
            }
            "STARTTLS" => self.starttls = true,
            "LOGINDISABLED" => self.login_disabled = true,
            "SASL-IR" => self.sasl_ir = true,
            "LITERAL+" => self.literal_plus = true,
            "LITERAL-" => self.literal_minus = true,
            "UNAUTHENTICATE" => self.unauthenticate = true,
            "ID" => self.id = true,
            _ => {
                if let Some(name) = token.strip_prefix("AUTH=") {
                    self.auth.add(&printable(name));
                }
            }
        }
    }
}

impl fmt::Display for Capabilities {
    /// The tokens that we know, in our order, separated by spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [
            (self.imap4rev1, "IMAP4rev1"),
            (self.imap4rev2, "IMAP4rev2"),
            (self.starttls, "STARTTLS"),
            (self.login_disabled, "LOGINDISABLED"),
            (self.sasl_ir, "SASL-IR"),
            (self.literal_plus, "LITERAL+"),
            (self.literal_minus, "LITERAL-"),
            (self.unauthenticate, "UNAUTHENTICATE"),
            (self.id, "ID"),
        ];
        let mut separator = "";
        for (_, token) in known.iter().filter(|(has, _)| *has) {
            write!(f, "{separator}{token}")?;
            separator = " ";
        }
        for name in self.auth.names() {
            write!(f, "{separator}AUTH={name}")?;
            separator = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Greeting or pre-login lists of real servers, and what we must see in them.
    #[test]
    fn lists_of_real_servers() {
        let table = [
            // Dovecot before TLS.
            (
                "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED",
                "IMAP4rev1 STARTTLS LOGINDISABLED SASL-IR LITERAL+ ID",
            ),
            // Dovecot with TLS.
            (
                "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN",
                "IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN AUTH=LOGIN",
            ),
            // Cyrus 3, before and after login.
            (
                "IMAP4rev1 LITERAL+ ID ENABLE STARTTLS AUTH=PLAIN AUTH=SCRAM-SHA-256 SASL-IR",
                "IMAP4rev1 STARTTLS SASL-IR LITERAL+ ID AUTH=PLAIN AUTH=SCRAM-SHA-256",
            ),
            (
                "IMAP4rev1 LITERAL+ ID ENABLE ACL ANNOTATE-EXPERIMENT-1 QUOTA UNAUTHENTICATE URLAUTH",
                "IMAP4rev1 LITERAL+ UNAUTHENTICATE ID",
            ),
            // Courier: no AUTH= at all, LOGIN it is.
            (
                "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT \
                 QUOTA IDLE ACL ACL2=UNION STARTTLS",
                "IMAP4rev1 STARTTLS",
            ),
            // Exchange and Microsoft 365.
            (
                "IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS ID UNSELECT CHILDREN IDLE \
                 NAMESPACE LITERAL+",
                "IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN AUTH=XOAUTH2",
            ),
            // Gmail.
            (
                "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 XYZZY SASL-IR \
                 AUTH=XOAUTH2 AUTH=PLAIN AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER",
                "IMAP4rev1 SASL-IR ID AUTH=PLAIN AUTH=XOAUTH2 AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER",
            ),
            // Nothing that we speak.
            ("IMAP4 AUTH=KERBEROS_V4", "AUTH=KERBEROS_V4"),
            ("", ""),
        ];
        for (list, seen) in table {
            assert_eq!(Capabilities::parse(list).to_string(), seen, "{list}");
        }
    }

    #[test]
    fn any_token_may_be_the_last() {
        for list in [
            "IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT LITERAL+",
            "IMAP4rev1 AUTH=PLAIN IDLE",
            "IMAP4rev1 STARTTLS LOGINDISABLED",
        ] {
            let found = Capabilities::parse(list);
            assert!(found.imap4rev1, "{list}");
            assert_ne!(found.auth.plain, found.login_disabled, "{list}");
        }
    }

    #[test]
    fn revision_2_brings_its_parts() {
        let found = Capabilities::parse("imap4rev2 auth=plain");
        assert!(found.is_imap4() && found.sasl_ir && found.literal_minus && found.auth.plain);
        assert!(!found.imap4rev1 && !found.literal_plus);
    }

    #[test]
    fn odd_lists() {
        assert_eq!(
            Capabilities::parse(" \tCAPABILITY  Imap4Rev1   STARTTLS AUTH= AUTH "),
            Capabilities {
                imap4rev1: true,
                starttls: true,
                ..Capabilities::default()
            }
        );
        // A name that only begins like one we know is another one.
        let found = Capabilities::parse("IMAP4rev1x AUTH=PLAINER STARTTLSX SASL-IRX");
        assert!(!found.is_imap4() && !found.auth.plain && !found.starttls && !found.sasl_ir);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(list in "([ -~]{0,12} ?(AUTH=[A-Za-z0-9-]{1,8}|IMAP4rev[12]|ID|LITERAL[+-])? ){0,8}") {
            let found = Capabilities::parse(&list);
            prop_assert_eq!(Capabilities::parse(&found.to_string()), found);
        }

        #[test]
        fn any_text_is_read(list in ".{0,300}") {
            let _ = Capabilities::parse(&list).to_string();
        }
    }
}
