//! The parameters of a request of either protocol: the end user and the service that asks.

use super::{number, text};

/// The parameters of AUTH, USER and PASS that matter to us; the others are passed over.
///
/// All of it is what the client claims, and no truer than the permissions of
/// the socket make it. Of a parameter sent twice the last counts, as in
/// Dovecot; text that is not UTF-8 has replacement characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Who asks: `smtp`, `imap`, …; from `service=`, or `protocol=` of Dovecot 2.4.
    /// A request has one, maybe empty.
    pub service: String,
    /// Dovecot's session id, for logs.
    pub session: Option<String>,
    /// The end user's IP address, as the server that asks sees it (`rip`) and as it was sent: it need not be one.
    pub remote_ip: Option<String>,
    /// The end user's port (`rport`); absent where it is none.
    pub remote_port: Option<u16>,
    /// The client asks that failures be answered without delay.
    pub no_penalty: bool,
    /// No master request will follow (Postfix, Exim, chasquid).
    pub nologin: bool,
}

impl Parameters {
    /// Takes note of one parameter; unknown ones mean nothing to us. `true` where it
    /// names the service.
    ///
    /// ```text
    /// parameter = name ["=" value]
    /// ```
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) -> bool {
        let said = || Some(text(value));
        match name {
            b"service" | b"protocol" => {
                self.service = text(value);
                return true;
            }
            b"session" => self.session = said(),
            b"rip" => self.remote_ip = said(),
            b"rport" => self.remote_port = number(value).and_then(|port| u16::try_from(port).ok()),
            b"no-penalty" => self.no_penalty = true,
            b"nologin" => self.nologin = true,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{fields, parameter};

    /// The parameters of a line's end, and whether it named a service.
    fn read(line: &[u8]) -> (Parameters, bool) {
        let mut line = line.to_vec();
        let (mut found, mut named) = (Parameters::default(), false);
        for field in fields(&mut line) {
            let (name, value) = parameter(field);
            named |= found.note(name, value.unwrap_or_default());
        }
        (found, named)
    }

    #[test]
    fn knows_every_parameter_by_its_whole_name() {
        let (found, named) = read(
            b"service=imap\tsession=s1\trip=192.0.2.1\trport=4\tlip=192.0.2.2\tlport=143\treal_rip=192.0.2.3\t\
              real_rport=5\treal_lip=192.0.2.4\treal_lport=6\tlocal_name=mail.example.org\tclient_id=\"name\"\t\
              secured=tls\tvalid-client-cert\tcert_username=bob\tssl_ja3_hash=j\tssl_client_cert_fp=f\t\
              ssl_client_cert_pubkey_fp=k\tdebug\tno-penalty\tfinal-resp-ok\tnologin",
        );
        let expected = Parameters {
            service: "imap".into(),
            session: Some("s1".into()),
            remote_ip: Some("192.0.2.1".into()),
            remote_port: Some(4),
            no_penalty: true,
            nologin: true,
        };
        assert_eq!((found, named), (expected, true));
        let unknown = "services=x\treal=1\tsecuredly\tRIP=1\trip6=1\ttransport=TLS\ttls_cipher=x\t=\t";
        assert_eq!(read(unknown.as_bytes()), (Parameters::default(), false));
    }

    #[test]
    fn takes_what_is_odd() {
        let (found, _) = read(b"protocol=lmtp\trip=NULL\trport=65536\tsecured");
        assert_eq!(found.service, "lmtp");
        assert_eq!(found.remote_ip.as_deref(), Some("NULL"));
        assert_eq!(found.remote_port, None);
        assert_eq!(read(b"service=imap\tservice=pop3").0.service, "pop3");
    }
}
