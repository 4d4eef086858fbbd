//! The types of directories.

use super::words::words;

words! {
    /// A remote's protocol.
    Kind {
        /// IMAP: logins.
        Imap = "imap",
        /// SMTP: logins and recipients.
        Smtp = "smtp",
        /// LMTP: recipients.
        Lmtp = "lmtp",
    }
}

impl Kind {
    /// Whether it can verify a login.
    pub fn knows_logins(self) -> bool {
        matches!(self, Self::Imap | Self::Smtp)
    }

    /// Whether it can verify a recipient.
    pub fn knows_recipients(self) -> bool {
        matches!(self, Self::Smtp | Self::Lmtp)
    }

    /// The port used when the file names none (RFC 8314 §3.3, RFC 5321 §4.5.4.2, RFC 2033 §5).
    pub fn default_port(self, implicit_tls: bool) -> u16 {
        match (self, implicit_tls) {
            (Self::Imap, false) => 143,
            (Self::Imap, true) => 993,
            (Self::Smtp, false) => 25,
            (Self::Smtp, true) => 465,
            (Self::Lmtp, _) => 24,
        }
    }
}
