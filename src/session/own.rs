//! A certificate that somebody made for one server and named in `tls.ca-file`: it is taken as itself.
//!
//! What `openssl req -x509` makes is an authority (CA:TRUE) as well as the server's own certificate, and RFC 5280 has no
//! room for that. OpenSSL takes one that it was told to trust, and so do we: byte for byte, with its name and dates.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::verifier::{Ends, Trusted};

/// Verifies as ever, but for certificates that are their own authority and trusted as such.
#[derive(Debug)]
pub(super) struct OwnCertificates {
    inner: Arc<Trusted>,
    own: Vec<CertificateDer<'static>>,
    ends: Arc<Ends>,
}

impl OwnCertificates {
    /// `own` are those of `tls.ca-file`; `inner` verifies all others. It notes in `ends` when what it takes ends.
    pub(super) fn new(own: &[CertificateDer<'static>], inner: Arc<Trusted>, ends: Arc<Ends>) -> Self {
        Self {
            inner,
            own: own.to_vec(),
            ends,
        }
    }
}

impl ServerCertVerifier for OwnCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_own = self.own.iter().any(|own| own == end_entity);
        let Some(certificate) = Certificate::from_der(end_entity)
            .ok()
            .filter(|certificate| is_own && issues_itself(certificate))
        else {
            return self
                .inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        };
        check_dates(&certificate, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        self.ends.note(end_entity);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn issues_itself(certificate: &Certificate) -> bool {
    let signed = certificate.tbs_certificate();
    signed.issuer() == signed.subject()
}

fn check_dates(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
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
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
    use rustls::RootCertStore;
    use rustls::crypto::aws_lc_rs;

    use super::*;

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

    fn verify(own: &[CertificateDer<'static>], shown: &CertificateDer<'_>, name: &str) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        for certificate in own {
            roots.add(certificate.clone()).unwrap();
        }
        let (provider, ends) = (Arc::new(aws_lc_rs::default_provider()), Arc::new(Ends::default()));
        let trusted = Arc::new(Trusted::new(Arc::new(roots), provider, ends.clone()));
        let verifier = OwnCertificates::new(own, trusted, ends);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        // The year 2025.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_740_000_000));
        let verified = verifier.verify_server_cert(shown, &[], &name, &[], now);
        verified.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_that_is_trusted_as_itself_needs_its_name_and_dates() {
        let good = made("mail.example.org", (2020, 2040));
        let own = [made("other.example.org", (2020, 2040)), good.clone()];
        assert_eq!(verify(&own, &good, "mail.example.org"), Ok(()));
        let another_name = verify(&own, &good, "imap.example.org").unwrap_err();
        assert!(another_name.contains("not valid for name"), "{another_name}");
        for years in [(2030, 2040), (2010, 2020)] {
            let wrong = made("mail.example.org", years);
            let error = verify(std::slice::from_ref(&wrong), &wrong, "mail.example.org").unwrap_err();
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
