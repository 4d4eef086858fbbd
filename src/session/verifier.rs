//! Which certificates of a server are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::certificate::end_of;
use super::{chain, own};

/// When the first of the certificates that were taken ends, in seconds since 1970.
#[derive(Debug)]
pub(super) struct Ends(AtomicU64);

impl Default for Ends {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Ends {
    fn note(&self, der: &CertificateDer<'_>) {
        // What has no end that can be read is over at once: no session of it is resumed.
        self.0.fetch_min(end_of(der).unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether one of them has ended; a clock that does not tell the time ends them all.
    pub(super) fn are_over(&self, now: Option<UnixTime>) -> bool {
        now.is_none_or(|now| now.as_secs() > self.0.load(Ordering::Relaxed))
    }
}

/// Whose certificates are taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// Anybody's.
    Any,
    /// Those that an authority has signed, if a [bounded](chain::bounded) amount of work shows it, and those that are trusted
    /// [as themselves](own).
    Trusted {
        /// The authorities.
        roots: Arc<RootCertStore>,
        /// The certificates of `tls.ca-file`.
        own: Vec<CertificateDer<'static>>,
        /// Notes when what is taken ends.
        ends: Arc<Ends>,
    },
}

/// Takes these certificates, and of each insists that its owner signed the handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) taken: Taken,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Whether the chain leads to one of `roots`.
    fn check_chain(
        &self,
        certificate: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        roots: &RootCertStore,
        now: UnixTime,
    ) -> Result<(), Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let checked =
            verify_server_cert_signed_by_trust_anchor(certificate, roots, intermediates, now, algorithms);
        checked.map_err(|error| match error {
            // Of an authority that was made anew under its old name, the signature alone is another. That of the
            // handshake is a different matter.
            Error::InvalidCertificate(CertificateError::BadSignature) => {
                CertificateError::UnknownIssuer.into()
            }
            error => error,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Taken::Trusted { roots, own, ends } = &self.taken else {
            return Ok(ServerCertVerified::assertion());
        };
        if let Some(certificate) = own::find(own, end_entity) {
            own::check_dates(&certificate, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        } else {
            chain::bounded(end_entity, intermediates)
                .map_err(|much| CertificateError::Other(OtherError(Arc::new(much))))?;
            let certificate = ParsedCertificate::try_from(end_entity)?;
            self.check_chain(&certificate, intermediates, roots, now)?;
            verify_server_name(&certificate, server_name)?;
        }
        ends.note(end_entity);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
