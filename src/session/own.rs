//! A certificate that somebody made for one server and named in `tls.ca-file`: it is taken as itself.
//!
//! What `openssl req -x509` makes is an authority (CA:TRUE) as well as the server's own certificate, and RFC 5280 has no
//! room for that. OpenSSL accepts one that it is configured to trust, and so does vouch: byte for byte, with its name and
//! dates.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The certificate of a server, if it is one of `trusted` and its own authority: an authority of others has to have signed it.
pub(super) fn find(trusted: &[CertificateDer<'_>], shown: &CertificateDer<'_>) -> Option<Certificate> {
    let is_trusted = trusted.iter().any(|own| own == shown);
    let certificate = Certificate::from_der(shown).ok();
    certificate.filter(|certificate| is_trusted && issues_itself(certificate))
}

fn issues_itself(certificate: &Certificate) -> bool {
    let signed = certificate.tbs_certificate();
    signed.issuer() == signed.subject()
}

/// Whether it is valid at this time.
///
/// # Errors
/// It is not valid yet, or has ended.
pub(super) fn check_dates(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
    let validity = certificate.tbs_certificate().validity();
    let at = |since: Duration| UnixTime::since_unix_epoch(since);
    let not_before = at(validity.not_before.to_unix_duration());
    let not_after = at(validity.not_after.to_unix_duration());
    if now < not_before {
        let error = CertificateError::NotValidYetContext {
            time: now,
            not_before,
        };
        return Err(Error::InvalidCertificate(error));
    }
    if now > not_after {
        let error = CertificateError::ExpiredContext { time: now, not_after };
        return Err(Error::InvalidCertificate(error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
    use rustls::RootCertStore;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::session::verifier::{Taken, Verifier};

    /// What `openssl req -x509` makes for this name, good for these years.
    fn made(name: &str, (from, to): (i32, i32)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().into()
    }

    fn verify(own: &[CertificateDer<'static>], shown: &CertificateDer<'_>, name: &str) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        for certificate in own {
            roots.add(certificate.clone()).unwrap();
        }
        let verifier = Verifier {
            taken: Taken::Trusted {
                roots: Arc::new(roots),
                own: own.to_vec(),
                ends: Arc::default(),
            },
            provider: Arc::new(aws_lc_rs::default_provider()),
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        // The year 2025.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_740_000_000));
        let verified = verifier.verify_server_cert(shown, &[], &name, &[], now);
        verified.map(|_| ())
    }

    #[test]
    fn a_certificate_that_is_trusted_as_itself_needs_its_name_and_dates() {
        let good = made("mail.example.org", (2020, 2040));
        let own = [made("other.example.org", (2020, 2040)), good.clone()];
        assert_eq!(verify(&own, &good, "mail.example.org"), Ok(()));
        let another_name = verify(&own, &good, "imap.example.org").unwrap_err().to_string();
        assert!(another_name.contains("not valid for name"), "{another_name}");
        for years in [(2030, 2040), (2010, 2020)] {
            let wrong = made("mail.example.org", years);
            let error = verify(std::slice::from_ref(&wrong), &wrong, "mail.example.org")
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("expired") || error.contains("not valid"),
                "{error}"
            );
        }
        // One of the same name and another key is somebody else's.
        let forged = made("mail.example.org", (2020, 2040));
        assert!(verify(&own, &forged, "mail.example.org").is_err());
    }
}
