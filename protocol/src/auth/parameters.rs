//! The parameters of a request of either protocol: the end user and the service that asks.

use super::{fields, number, parameter, text};

/// The parameters of AUTH, USER and PASS.
///
/// All of it is what the client claims, and no truer than the permissions of
/// the socket make it. Of a parameter sent twice the last counts, as in
/// Dovecot; text that is not UTF-8 has replacement characters. An address or
/// port need not be one (Exim sends `lip=NULL`): ports that are none are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Who asks: `smtp`, `imap`, …; from `service=`, or `protocol=` of Dovecot 2.4.
    /// A request has one, maybe empty.
    pub service: String,
    /// Dovecot's session id, for logs.
    pub session: Option<String>,
    /// The end user's IP address and port, as the server that asks sees them.
    pub remote: Host,
    /// That server's own.
    pub local: Host,
    /// What they are in truth, where a proxy stands between: `real_rip`, `real_rport`.
    pub real_remote: Host,
    /// The same: `real_lip`, `real_lport`.
    pub real_local: Host,
    /// The name that the end user's program asked for in TLS.
    pub local_name: Option<String>,
    /// What the end user's program says of itself in IMAP ID.
    pub client_id: Option<String>,
    /// What protects the end user's connection.
    pub secured: Secured,
    /// A certificate of the end user was verified.
    pub valid_client_cert: bool,
    /// The name in that certificate.
    pub cert_username: Option<String>,
    /// Fingerprints of the end user's TLS (Dovecot 2.4): of its hello, of its
    /// certificate, and of that one's key.
    pub fingerprints: Fingerprints,
    /// What a proxy in front hands on, for the server behind it.
    pub forward_fields: Vec<(String, String)>,
    /// The request is to be logged at length.
    pub debug: bool,
    /// The client asks that failures be answered without delay.
    pub no_penalty: bool,
    /// The client can pass on `resp=` in OK.
    pub final_resp_ok: bool,
    /// No master request will follow (Postfix, Exim, chasquid).
    pub nologin: bool,
}

/// An end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its IP address, as it was sent: it need not be one.
    pub ip: Option<String>,
    /// Its port.
    pub port: Option<u16>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Secured {
    /// Not at all.
    #[default]
    No,
    /// By TLS, or because it does not leave the host or a trusted network: older
    /// clients do not say which.
    Yes,
    /// By TLS (Dovecot from 2.3 on).
    Tls,
}

/// Fingerprints of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprints {
    /// `ssl_ja3_hash=`
    pub ja3: Option<String>,
    /// `ssl_client_cert_fp=`
    pub certificate: Option<String>,
    /// `ssl_client_cert_pubkey_fp=`
    pub public_key: Option<String>,
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
            b"rip" => self.remote.ip = said(),
            b"rport" => self.remote.port = port(value),
            b"lip" => self.local.ip = said(),
            b"lport" => self.local.port = port(value),
            b"real_rip" => self.real_remote.ip = said(),
            b"real_rport" => self.real_remote.port = port(value),
            b"real_lip" => self.real_local.ip = said(),
            b"real_lport" => self.real_local.port = port(value),
            b"local_name" => self.local_name = said(),
            b"client_id" => self.client_id = said(),
            b"secured" if value == b"tls" => self.secured = Secured::Tls,
            b"secured" => self.secured = Secured::Yes,
            b"valid-client-cert" => self.valid_client_cert = true,
            b"cert_username" => self.cert_username = said(),
            b"ssl_ja3_hash" => self.fingerprints.ja3 = said(),
            b"ssl_client_cert_fp" => self.fingerprints.certificate = said(),
            b"ssl_client_cert_pubkey_fp" => self.fingerprints.public_key = said(),
            b"forward_fields" => self.forward_fields = forwarded(value),
            b"debug" => self.debug = true,
            b"no-penalty" => self.no_penalty = true,
            b"final-resp-ok" => self.final_resp_ok = true,
            b"nologin" => self.nologin = true,
            _ => {}
        }
        false
    }
}

fn port(value: &[u8]) -> Option<u16> {
    number(value).and_then(|port| u16::try_from(port).ok())
}

/// A list within a value: its fields are escaped once more.
fn forwarded(value: &[u8]) -> Vec<(String, String)> {
    let mut list = value.to_vec();
    fields(&mut list)
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = parameter(field);
            (text(name), text(value.unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let host = |ip: &str, port| Host {
            ip: Some(ip.into()),
            port: Some(port),
        };
        let said = |text: &str| Some(text.to_owned());
        let expected = Parameters {
            service: "imap".into(),
            session: said("s1"),
            remote: host("192.0.2.1", 4),
            local: host("192.0.2.2", 143),
            real_remote: host("192.0.2.3", 5),
            real_local: host("192.0.2.4", 6),
            local_name: said("mail.example.org"),
            client_id: said("\"name\""),
            secured: Secured::Tls,
            valid_client_cert: true,
            cert_username: said("bob"),
            fingerprints: Fingerprints {
                ja3: said("j"),
                certificate: said("f"),
                public_key: said("k"),
            },
            forward_fields: Vec::new(),
            debug: true,
            no_penalty: true,
            final_resp_ok: true,
            nologin: true,
        };
        assert_eq!((found, named), (expected, true));
        let unknown = "services=x\treal=1\tsecuredly\tRIP=1\trip6=1\ttransport=TLS\ttls_cipher=x\t=\t";
        assert_eq!(read(unknown.as_bytes()), (Parameters::default(), false));
    }

    #[test]
    fn takes_what_is_odd() {
        let (found, _) = read(b"protocol=lmtp\tlip=NULL\tlport=x\trport=65536\tsecured");
        assert_eq!(found.service, "lmtp");
        assert_eq!(found.local.ip.as_deref(), Some("NULL"));
        assert_eq!((found.local.port, found.remote.port), (None, None));
        assert_eq!(found.secured, Secured::Yes);
        assert_eq!(read(b"service=imap\tservice=pop3").0.service, "pop3");
    }

    #[test]
    fn unescapes_a_forwarded_list_twice() {
        // On the wire: forward_fields=a=1<0x01>tb=x<0x01>1ty
        let (found, _) = read(b"forward_fields=a=1\x01tb=x\x011ty\x01tc");
        let pairs = [("a", "1"), ("b", "x\ty"), ("c", "")];
        let expected: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(found.forward_fields, expected);
    }
}
