//! What the server says first.

use std::fmt;

use crate::sasl::{Mechanism, RelayedMechanism};

/// A mechanism on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mech {
    /// Its SASL name, in upper case.
    pub name: &'static str,
    /// What is known of its strength: `plaintext`, `dictionary`, `active`,
    /// `mutual-auth`, … Without `plaintext`, a client told to avoid cleartext
    /// passwords would offer it all the same.
    pub flags: &'static [&'static str],
}

impl From<Mechanism> for Mech {
    fn from(mechanism: Mechanism) -> Self {
        Self {
            name: mechanism.name(),
            flags: &["plaintext"],
        }
    }
}

/// The flags of Dovecot 2.3.
impl From<RelayedMechanism> for Mech {
    fn from(carried: RelayedMechanism) -> Self {
        let flags: &[&str] = match carried {
            RelayedMechanism::XOauth2 | RelayedMechanism::OAuthBearer => &["plaintext"],
            RelayedMechanism::CramMd5 => &["dictionary", "active"],
            RelayedMechanism::DigestMd5 => &["dictionary", "active", "mutual-auth"],
            RelayedMechanism::ScramSha1 | RelayedMechanism::ScramSha256 => &["mutual-auth"],
        };
        Self {
            name: carried.name(),
            flags,
        }
    }
}

/// The server's half of the handshake, sent whole as soon as a client
/// connects: some clients say nothing before they have read it, and some read
/// only once.
#[derive(Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The mechanisms; at least one, or clients take us for another service.
    pub mechanisms: Vec<Mech>,
    /// Names this run of the server; changes when it restarts.
    pub spid: u32,
    /// Names the connection within this run.
    pub cuid: u32,
    /// 128 random bits of this connection. A login process shows them to prove
    /// that a login was its own, so they are not printed.
    pub cookie: [u8; 16],
}

impl Greeting {
    /// The bytes to send: at most 131 for PLAIN and LOGIN with the longest numbers, 319 for
    /// every mechanism that there is.
    ///
    /// ```text
    /// handshake = "VERSION" TAB "1" TAB "2" LF
    ///             1*("MECH" TAB name *(TAB flag) LF)
    ///             "SPID" TAB number LF "CUID" TAB number LF
    ///             "COOKIE" TAB 32HEXDIG LF "DONE" LF
    /// ```
    /// MECH comes before SPID, against the published text: Postfix and Exim
    /// take the other order for that of a master socket. The minor version is
    /// 2: from 3 on, Radicale waits for a second packet.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::from("VERSION\t1\t2\n");
        for mech in &self.mechanisms {
            out.extend(["MECH\t", mech.name]);
            out.extend(mech.flags.iter().flat_map(|flag| ["\t", flag]));
            out.push('\n');
        }
        out.push_str(&format!("SPID\t{}\nCUID\t{}\nCOOKIE\t", self.spid, self.cuid));
        out.extend(self.cookie.iter().map(|byte| format!("{byte:02x}")));
        out.push_str("\nDONE\n");
        out.into_bytes()
    }
}

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeting")
            .field("mechanisms", &self.mechanisms)
            .field("spid", &self.spid)
            .field("cuid", &self.cuid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(spid: u32, cuid: u32) -> Greeting {
        Greeting {
            mechanisms: vec![Mechanism::Plain.into(), Mechanism::Login.into()],
            spid,
            cuid,
            cookie: *b"\x43\x9f\x43\xdd\xff\xf7\xca\xfc\x3a\xdf\x89\x7c\xee\xa9\x69\xda",
        }
    }

    #[test]
    fn is_the_handshake_that_all_clients_take() {
        let bytes = greeting(14815, 1).to_bytes();
        let expected = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t14815\nCUID\t1\n\
            COOKIE\t439f43ddfff7cafc3adf897ceea969da\nDONE\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn fits_one_small_read() {
        // 512 is what the smallest clients read.
        let mut greeting = greeting(u32::MAX, u32::MAX);
        assert_eq!(greeting.to_bytes().len(), 131);
        greeting.mechanisms.extend(RelayedMechanism::ALL.map(Mech::from));
        assert_eq!(greeting.to_bytes().len(), 319);
    }

    #[test]
    fn lists_flags_in_order() {
        let bytes = Greeting {
            mechanisms: RelayedMechanism::ALL.map(Mech::from).to_vec(),
            ..greeting(1, 1)
        }
        .to_bytes();
        // As Dovecot 2.3.19 prints them.
        let expected = "VERSION\t1\t2\nMECH\tXOAUTH2\tplaintext\nMECH\tOAUTHBEARER\tplaintext\n\
            MECH\tCRAM-MD5\tdictionary\tactive\nMECH\tDIGEST-MD5\tdictionary\tactive\tmutual-auth\n\
            MECH\tSCRAM-SHA-1\tmutual-auth\nMECH\tSCRAM-SHA-256\tmutual-auth\nSPID\t1\n";
        assert!(bytes.starts_with(expected.as_bytes()));
    }

    #[test]
    fn hides_its_cookie() {
        let printed = format!("{:?}", greeting(1, 1));
        assert!(
            !printed.contains("cookie") && !printed.contains("67, 159"),
            "{printed}"
        );
    }
}
