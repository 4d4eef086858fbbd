//! The files of a directory's TLS settings.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use zeroize::Zeroizing;

/// Bound (sessions, bytes): file of certificates or of a key. Beyond: it is refused at the start. Why: all public
/// authorities together have a quarter of a megabyte.
pub(super) const LONGEST_PEM: u64 = 4 << 20;

/// Why TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file that a key names is missing, unreadable or holds no PEM of the right kind.
    #[error("tls.{key} = \"{path}\": {why}")]
    File {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The system does not let us read it.
        denied: bool,
    },
    /// Not a host name and not an IP address.
    #[error("\"{0}\" is not a name that a certificate could be for; set tls.server-name")]
    Name(String),
    /// Certificate and key do not belong together, or the key is of a kind
    /// that is not supported.
    #[error("tls.cert-file and tls.key-file cannot be used together: {0}")]
    Identity(&'static str),
}

impl SettingsError {
    /// Whether the system does not let us read a file.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::File { denied: true, .. })
    }
}

/// The certificates of `tls.ca-file`, and as trust anchors.
#[derive(Default)]
pub(super) struct Own {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) roots: Vec<TrustAnchor<'static>>,
}

impl Own {
    pub(super) fn read(path: &Path) -> Result<Self, SettingsError> {
        let certificates = read_certificates("ca-file", path)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            let refused = |_| {
                let why = "it holds a certificate that cannot be read as that of an authority";
                file_error("ca-file", path, why.to_owned())
            };
            store.add(certificate.clone()).map_err(refused)?;
        }
        Ok(Self {
            certificates,
            roots: store.roots,
        })
    }
}

/// A whole file within [`LONGEST_PEM`]; it may hold a key.
pub(super) fn read_pem(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, SettingsError> {
    let mut pem = Zeroizing::new(Vec::new());
    let read = fs::File::open(path).and_then(|file| file.take(LONGEST_PEM + 1).read_to_end(&mut pem));
    match read {
        Ok(length) if length as u64 > LONGEST_PEM => {
            let why = format!("longer than {} MiB", LONGEST_PEM >> 20);
            Err(file_error(key, path, why))
        }
        Ok(_) => Ok(pem),
        // The daemon is not who has written its configuration.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let path_shown = path.display();
            let why = format!(
                "user {} may not read it: {error}; let the group vouch do so by `chgrp vouch {path_shown}` and `chmod g+r \
                 {path_shown}`, and enter its folders",
                Uid::effective()
            );
            Err(SettingsError::File {
                key,
                path: path.to_owned(),
                why,
                denied: true,
            })
        }
        Err(error) => Err(file_error(key, path, error.to_string())),
    }
}

pub(super) fn read_certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let certificates = CertificateDer::pem_slice_iter(&read_pem(key, path)?).collect::<Result<Vec<_>, _>>();
    let none = "it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----";
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(file_error(key, path, none.to_owned())),
    }
}

pub(super) fn file_error(key: &'static str, path: &Path, why: String) -> SettingsError {
    SettingsError::File {
        key,
        path: path.to_owned(),
        why,
        denied: false,
    }
}
