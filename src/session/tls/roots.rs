//! The authorities that the system trusts.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;

/// The system's trust anchors, read by a thread of their own: a few hundred files
/// are no reason to be late at a socket. The same thread has the cryptography gather
/// its first random bytes, which takes it longer than all the rest of the start.
#[derive(Clone)]
pub struct Roots(Arc<OnceLock<RootCertStore>>);

impl Roots {
    /// Those of the system, which are read from now on.
    pub fn of_system() -> Self {
        let roots = Self(Arc::default());
        let read = roots.clone();
        // Without a thread, the first handshake reads them.
        let _ = std::thread::Builder::new()
            .name("vouch-roots".into())
            .spawn(move || {
                read.get();
                // A connection that needs them will report the error.
                let _ = aws_lc_rs::default_provider().secure_random.fill(&mut [0]);
            });
        roots
    }

    pub(super) fn get(&self) -> &RootCertStore {
        self.0.get_or_init(system_roots)
    }
}

impl From<RootCertStore> for Roots {
    fn from(roots: RootCertStore) -> Self {
        Self(Arc::new(roots.into()))
    }
}

/// Files that cannot be read are logged and passed over: one bad file must not stop
/// all mail.
fn system_roots() -> RootCertStore {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(
            "a system certificate was ignored: {error}; the others are trusted, and update-ca-certificates may fix it"
        );
    }
    let mut roots = RootCertStore::empty();
    let (_, refused) = roots.add_parsable_certificates(loaded.certs);
    if refused > 0 {
        tracing::debug!(
            refused,
            "system certificates that cannot be trust anchors were ignored"
        );
    }
    roots
}
