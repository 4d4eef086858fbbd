//! A certification authority of one test, and the certificate of its servers.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Scratch;

/// A private authority with one server certificate, for `localhost` and 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Authority {
    /// PEM file of the authority: what a client must trust.
    pub(crate) ca: PathBuf,
    /// PEM file of the server's certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file of the server's private key.
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes the three files in the scratch directory, under names that begin with `name`.
    pub(crate) fn new(scratch: &Scratch, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{name} authority of a test"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();

        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        Self {
            ca: scratch.write(&format!("{name}-ca.pem"), authority.pem()),
            certificate: scratch.write(&format!("{name}.pem"), leaf.pem()),
            key: scratch.write(&format!("{name}.key"), key.serialize_pem()),
        }
    }

    /// Settings of a TLS client that trusts this authority and no other.
    pub(crate) fn client(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.ca).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}
