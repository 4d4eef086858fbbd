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
use super::chain;

/// When the first of the certificates that were taken ends, in seconds since 1970.
#[derive(Debug)]
pub(super) struct Ends(AtomicU64);

impl Default for Ends {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Ends {
    pub(super) fn note(&self, der: &CertificateDer<'_>) {
        // What has no end that can be read is over at once: no session of it is resumed.
        self.0.fetch_min(end_of(der).unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether one of them has ended; a clock that does not tell the time ends them all.
    pub(super) fn are_over(&self, now: Option<UnixTime>) -> bool {
        now.is_none_or(|now| now.as_secs() > self.0.load(Ordering::Relaxed))
    }
}

/// Takes the certificates for whose owner an authority vouches, if a [bounded](chain::bounded) amount of work shows
/// it.
#[derive(Debug)]
pub(super) struct Trusted {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    ends: Arc<Ends>,
}

impl Trusted {
    /// Trusts `roots`, and notes in `ends` when what it takes ends.
    pub(super) fn new(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>, ends: Arc<Ends>) -> Self {
        Self {
            roots,
            provider,
            ends,
        }
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        chain::bounded(end_entity, intermediates)
            .map_err(|much| CertificateError::Other(OtherError(Arc::new(much))))?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        verify_server_name(&certificate, server_name)?;
        self.ends.note(end_entity);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        AnyCertificate(self.provider.clone()).verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        AnyCertificate(self.provider.clone()).verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        AnyCertificate(self.provider.clone()).supported_verify_schemes()
    }
}

/// Takes any certificate, and still insists that its owner signed the handshake.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message, certificate, signature, &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message, certificate, signature, &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
