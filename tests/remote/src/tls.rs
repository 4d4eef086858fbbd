//! Certificates made on the spot: an authority, and identities that it issued, or ought not to have.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

/// What making a certificate can end in; tests unwrap it.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A certificate authority of its own, unknown to everyone but who is given [`Authority::pem`].
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    /// A fresh authority. Two of them do not trust each other's leaves: the second is the unknown root.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of the test remote");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        Ok(Self {
            pem: cert.pem(),
            der: cert.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority's own certificate, for a client's `ca-file`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The same in DER, for a client's root store.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Writes [`Authority::pem`] to a file.
    pub fn write_pem(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        std::fs::write(path, &self.pem)
    }

    /// A good leaf for these names; a name that is an IP address becomes an iPAddress name (RFC 5280
    /// §4.2.1.6). Issued for another name than the client asks for, it is the wrong name.
    pub fn issue(&self, names: &[&str]) -> Result<Identity> {
        self.sign(leaf(names)?)
    }

    /// A leaf for these names that expired in 2021.
    pub fn expired(&self, names: &[&str]) -> Result<Identity> {
        let mut params = leaf(names)?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    /// A leaf for these names that is not valid before 2099.
    pub fn not_yet_valid(&self, names: &[&str]) -> Result<Identity> {
        let mut params = leaf(names)?;
        params.not_before = date_time_ymd(2099, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        self.sign(params)
    }

    /// A leaf with this dNSName, also if it looks like an address.
    pub fn named(&self, name: &str) -> Result<Identity> {
        let mut params = leaf(&[])?;
        params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
        self.sign(params)
    }

    /// A leaf whose only name is the common name of its subject.
    pub fn unnamed(&self, common_name: &str) -> Result<Identity> {
        let mut params = leaf(&[])?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        self.sign(params)
    }

    /// A leaf for these names that is good for clients only.
    pub fn for_clients(&self, names: &[&str]) -> Result<Identity> {
        let mut params = leaf(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Identity::new(cert.der().clone(), cert.pem(), &key)
    }
}

/// A server's certificate and key, ready for handshakes. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    der: CertificateDer<'static>,
    cert_pem: String,
    key_pem: String,
}

impl Identity {
    /// A leaf for these names that signed itself.
    pub fn self_signed(names: &[&str]) -> Result<Self> {
        let key = KeyPair::generate()?;
        let cert = leaf(names)?.self_signed(&key)?;
        Self::new(cert.der().clone(), cert.pem(), &key)
    }

    /// What `openssl req -x509` makes: the server's own certificate for these names, and an authority.
    pub fn own_authority(names: &[&str]) -> Result<Self> {
        let mut params = leaf(names)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.clear();
        params.extended_key_usages.clear();
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        Self::new(cert.der().clone(), cert.pem(), &key)
    }

    /// The same identity, speaking TLS 1.2 alone.
    pub fn tls12_only(&self) -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key_der(&self.key_pem)?)?;
        Ok(Self {
            config: Arc::new(config),
            ..self.clone()
        })
    }

    /// The same identity, demanding a client certificate issued by `authority`.
    pub fn demanding(&self, authority: &Authority) -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone())?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.der.clone()], key_der(&self.key_pem)?)?;
        Ok(Self {
            config: Arc::new(config),
            ..self.clone()
        })
    }

    /// The same certificate, shown by somebody who has another key.
    pub fn stolen(&self) -> Result<Self> {
        let other = KeyPair::generate()?;
        let key = aws_lc_rs::sign::any_supported_type(&key_der(&other.serialize_pem())?)?;
        let shown = CertifiedKey::new(vec![self.der.clone()], key);
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        Ok(Self {
            config: Arc::new(config),
            ..self.clone()
        })
    }

    /// The certificate and the key (PKCS #8) in PEM, for other servers or for a client's own certificate.
    pub fn pem(&self) -> (&str, &str) {
        (&self.cert_pem, &self.key_pem)
    }

    /// The settings for a handshake as server.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    fn new(der: CertificateDer<'static>, cert_pem: String, key: &KeyPair) -> Result<Self> {
        let key_pem = key.serialize_pem();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key_der(&key_pem)?)?;
        Ok(Self {
            config: Arc::new(config),
            der,
            cert_pem,
            key_pem,
        })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

fn leaf(names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "test remote");
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn key_der(pem: &str) -> Result<PrivateKeyDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    Ok(PrivateKeyDer::from_pem_slice(pem.as_bytes())?)
}
