//! What a handshake offers, and in which order.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::TLS12;
use rustls::{ClientConfig, NamedGroup, RootCertStore, SupportedCipherSuite};
use tokio_rustls::TlsConnector;

use crate::settings::directory::KeyExchange;

/// All that rustls takes for secure. A handshake is a row of hashes, and processors have instructions for SHA-256 alone:
/// what needs SHA-384 comes last. What follows a handshake here is too short to count.
pub fn provider(key_exchange: KeyExchange) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if key_exchange == KeyExchange::Classic {
        provider.kx_groups.retain(|group| !is_hybrid(group.name()));
    } else {
        provider.kx_groups.sort_by_key(|group| !is_hybrid(group.name()));
    }
    provider
        .cipher_suites
        .sort_by_key(|suite| (!is_tls13(suite), needs_sha384(suite)));
    provider
}

/// A connector whose own connection is given up before it says anything: one of TLS 1.2 makes no keys for its first message,
/// and no ticket is spent on it.
pub(super) fn over(provider: Arc<CryptoProvider>) -> Result<TlsConnector, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn is_hybrid(group: NamedGroup) -> bool {
    group == NamedGroup::X25519MLKEM768
}

const fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    matches!(suite, SupportedCipherSuite::Tls13(_))
}

fn needs_sha384(suite: &SupportedCipherSuite) -> bool {
    let common = match suite {
        SupportedCipherSuite::Tls13(suite) => &suite.common,
        SupportedCipherSuite::Tls12(suite) => &suite.common,
    };
    common.hash_provider.algorithm() == HashAlgorithm::SHA384
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_suites_are_offered_and_those_with_sha384_last() {
        let names = |provider: CryptoProvider| -> Vec<_> {
            let suites = provider.cipher_suites.iter();
            suites.map(|suite| format!("{:?}", suite.suite())).collect()
        };
        let offered = names(provider(KeyExchange::Hybrid));
        assert_eq!(
            offered[..3],
            [
                "TLS13_AES_128_GCM_SHA256", "TLS13_CHACHA20_POLY1305_SHA256", "TLS13_AES_256_GCM_SHA384"
            ]
        );
        assert_eq!(offered[3], "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
        let set = |names: Vec<String>| names.into_iter().collect::<HashSet<_>>();
        assert_eq!(set(offered), set(names(aws_lc_rs::default_provider())));
    }
}
