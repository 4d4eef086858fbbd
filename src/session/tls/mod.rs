//! TLS as a client: whom we trust, and the handshake.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::unistd::Uid;
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::error::{Error, HANDSHAKE, Kind};
use super::handshake::{own_identity, trouble};
use super::negotiate::{AT_ONCE, Cleartext, negotiate};
use super::verifier::{Ends, Taken, Verifier};
use crate::telemetry::counter::Counter;
use crate::wire::Stream;

/// Bound (sessions): TLS handshake. Beyond: no answer, with a hint at tls.key-exchange. Why: some firewalls swallow
/// the larger first message of the hybrid key exchange.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound (sessions, bytes): file of certificates or of a key. Beyond: it is refused at the start. Why: all public
/// authorities together have a quarter of a megabyte.
const LONGEST_PEM: u64 = 4 << 20;

/// Bound (sessions): TLS tickets kept for one directory. Beyond: the oldest goes. Why: rustls keeps eight for each
/// server name, of which there is one.
const TICKETS: usize = 16;

/// A directory's TLS settings.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The name that the certificate must be for: a host name or an IP address.
    pub server_name: String,
    /// PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate chain and key, PEM, for remotes that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Take any certificate; signatures are checked all the same.
    pub allow_invalid_certs: bool,
    /// Leave the hybrid post-quantum key exchange out.
    pub classic_key_exchange: bool,
}

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

/// How TLS begins on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// With the first byte.
    AtOnce,
    /// Behind an answer to STARTTLS.
    ByStartTls,
}

impl SettingsError {
    /// Whether the system does not let us read a file.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::File { denied: true, .. })
    }
}

/// What was agreed on in a handshake, for people to read.
#[derive(Debug, Clone)]
pub struct Details {
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: String,
    /// The cipher suite.
    pub suite: String,
    /// The key exchange group.
    pub key_exchange: String,
    /// The remote's own certificate, DER.
    pub certificate: Vec<u8>,
}

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

    fn get(&self) -> &RootCertStore {
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

/// One client configuration for each directory: session resumption lives in it.
pub struct Client {
    name: ServerName<'static>,
    provider: Arc<CryptoProvider>,
    trust: Trust,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// Those of the system and the directory's own, put together for the first handshake.
    anchors: OnceLock<Arc<RootCertStore>>,
    /// What time it is for certificates and tickets.
    clock: Arc<dyn TimeProvider>,
    /// Made for the first handshake, and anew when a certificate that it has seen is over: the tickets go with it,
    /// since a resumed session shows no certificate.
    connector: Mutex<Option<(TlsConnector, Arc<Ends>)>>,
    /// Whose turn it is to work on a handshake.
    turns: Arc<Semaphore>,
    agreed: Counter,
    failed: Counter,
    /// What the last handshake agreed on.
    last: Mutex<Option<Arc<Details>>>,
}

/// How the handshakes with a remote went.
#[derive(Debug, Clone)]
pub struct Report {
    /// Handshakes that succeeded.
    pub agreed: u64,
    /// Handshakes that failed, or got no answer in time.
    pub failed: u64,
    /// What the last one that succeeded agreed on.
    pub last: Option<Arc<Details>>,
    /// Our own certificate, DER, for remotes that ask for one.
    pub own_certificate: Option<Vec<u8>>,
    /// Whether the remote's certificate is checked.
    pub checked: bool,
}

/// Whose certificates are good.
enum Trust {
    /// Anybody's.
    Anybody,
    /// Those that the system trusts, and these.
    System(Roots, Own),
}

/// The certificates of `tls.ca-file`, and as trust anchors.
#[derive(Default)]
struct Own {
    certificates: Vec<CertificateDer<'static>>,
    roots: Vec<TrustAnchor<'static>>,
}

impl Client {
    /// A client for one directory. `roots` are the system's.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(settings: &Settings, roots: &Roots) -> Result<Self, SettingsError> {
        let mut provider = aws_lc_rs::default_provider();
        if settings.classic_key_exchange {
            provider.kx_groups.retain(|group| !is_hybrid(group.name()));
        } else {
            provider.kx_groups.sort_by_key(|group| !is_hybrid(group.name()));
        }
        let trust = if settings.allow_invalid_certs {
            Trust::Anybody
        } else {
            let own = settings.ca_file.as_ref().map(|path| Own::read(path));
            Trust::System(roots.clone(), own.transpose()?.unwrap_or_default())
        };
        let identity = settings.identity.as_ref().map(|(chain, key)| {
            let bad_key = |_: pem::Error| {
                let why = "it holds no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----";
                file_error("key-file", key, why.to_owned())
            };
            let private = PrivateKeyDer::from_pem_slice(&read_pem("key-file", key)?).map_err(bad_key)?;
            Ok((read_certificates("cert-file", chain)?, private))
        });
        let name = ServerName::try_from(settings.server_name.clone())
            .map_err(|_| SettingsError::Name(settings.server_name.clone()))?;
        let client = Self {
            name,
            provider: Arc::new(provider),
            trust,
            identity: identity.transpose()?,
            anchors: OnceLock::new(),
            clock: Arc::new(DefaultTimeProvider),
            connector: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            agreed: Counter::default(),
            failed: Counter::default(),
            last: Mutex::default(),
        };
        // What is wrong with the identity is to be known now.
        client
            .config(Arc::new(RootCertStore::empty()), Arc::default())
            .map_err(|error| SettingsError::Identity(own_identity(&error)))?;
        Ok(client)
    }

    /// The configuration of handshakes, with these trust anchors; it notes when the certificates that it takes end.
    fn config(&self, roots: Arc<RootCertStore>, ends: Arc<Ends>) -> Result<ClientConfig, rustls::Error> {
        let provider = self.provider.clone();
        let taken = match &self.trust {
            Trust::Anybody => Taken::Any,
            Trust::System(_, own) => Taken::Trusted {
                roots,
                own: own.certificates.clone(),
                ends,
            },
        };
        let verifier = Arc::new(Verifier {
            taken,
            provider: provider.clone(),
        });
        let builder = ClientConfig::builder_with_details(provider, self.clock.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        };
        config.resumption = Resumption::in_memory_sessions(TICKETS);
        Ok(config)
    }

    fn connector(&self) -> Result<TlsConnector, rustls::Error> {
        let mut kept = self.connector.lock();
        if let Some((connector, ends)) = &*kept
            && !ends.are_over(self.clock.current_time())
        {
            return Ok(connector.clone());
        }
        let ends = Arc::<Ends>::default();
        let config = self.config(self.anchors().clone(), ends.clone())?;
        let connector = TlsConnector::from(Arc::new(config));
        *kept = Some((connector.clone(), ends));
        Ok(connector)
    }

    fn anchors(&self) -> &Arc<RootCertStore> {
        self.anchors.get_or_init(|| match &self.trust {
            Trust::Anybody => Arc::new(RootCertStore::empty()),
            Trust::System(system, own) => {
                let mut roots = system.get().clone();
                roots.extend(own.roots.iter().cloned());
                Arc::new(roots)
            }
        })
    }

    /// Whether `tls.ca-file` names any.
    fn has_own_authority(&self) -> bool {
        matches!(&self.trust, Trust::System(_, own) if !own.certificates.is_empty())
    }

    /// How the handshakes went so far.
    pub fn report(&self) -> Report {
        let own = self.identity.as_ref().and_then(|(chain, _)| chain.first());
        Report {
            agreed: self.agreed.get(),
            failed: self.failed.get(),
            last: self.last.lock().clone(),
            own_certificate: own.map(|certificate| certificate.to_vec()),
            checked: !matches!(self.trust, Trust::Anybody),
        }
    }

    /// Turns TLS on over `stream`.
    pub(super) async fn handshake(
        &self,
        peer: &Arc<str>,
        stream: Stream,
        begun: Begun,
        deadline: Instant,
    ) -> Result<(Stream, Arc<Details>), Error> {
        let shaken = self.shake_hands(peer, stream, begun, deadline).await;
        match &shaken {
            Ok((_, details)) => {
                self.agreed.count();
                *self.last.lock() = Some(details.clone());
            }
            Err(_) => self.failed.count(),
        }
        shaken
    }

    async fn negotiated(
        &self,
        connector: &TlsConnector,
        mut stream: Stream,
    ) -> io::Result<TlsStream<Stream>> {
        let fresh = ClientConnection::new(connector.config().clone(), self.name.clone());
        let agreed = negotiate(fresh.map_err(io::Error::other)?, &mut stream, &self.turns).await?;
        // It has nothing left to do but to take the connection.
        let take = |connection: &mut ClientConnection| *connection = agreed;
        connector.connect_with(self.name.clone(), stream, take).await
    }

    async fn shake_hands(
        &self,
        peer: &Arc<str>,
        stream: Stream,
        begun: Begun,
        deadline: Instant,
    ) -> Result<(Stream, Arc<Details>), Error> {
        let connector = self.connector().map_err(|error| {
            let (detail, advice) = trouble(&error, self.has_own_authority());
            Error::new(Kind::Config, peer, HANDSHAKE, detail).advise(advice)
        })?;
        let deadline = deadline.min(Instant::now() + HANDSHAKE_TIMEOUT);
        match timeout_at(deadline, self.negotiated(&connector, stream)).await {
            Ok(Ok(stream)) => {
                let details = Arc::new(details(stream.get_ref().1));
                Ok((Box::new(stream), details))
            }
            Ok(Err(error)) => Err(self.broken_off(peer, begun, &error)),
            Err(_) => Err(Error::new(Kind::Timeout, peer, HANDSHAKE, "no answer in time")),
        }
    }

    /// The handshake came to no end.
    fn broken_off(&self, peer: &Arc<str>, begun: Begun, error: &io::Error) -> Error {
        let inner = error.get_ref();
        if let Some(Cleartext(beginning)) = inner.and_then(|inner| inner.downcast_ref()) {
            if begun == Begun::ByStartTls {
                return super::injected(peer);
            }
            let detail = format!("it begins with \"{beginning}\", which is not TLS");
            return Error::new(Kind::Tls, peer, HANDSHAKE, detail).advise(
                "its port does not begin with TLS: set directory.NAME.tls.implicit = false, or directory.NAME.port to one that \
                 does",
            );
        }
        if let Some(known) = inner.and_then(|inner| inner.downcast_ref()) {
            let (detail, advice) = trouble(known, self.has_own_authority());
            return Error::new(Kind::Tls, peer, HANDSHAKE, detail).advise(advice);
        }
        let ended = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        );
        let detail = match error.raw_os_error() {
            Some(_) => error.to_string(),
            None if ended => "it ended the connection in the middle".to_owned(),
            None => "it did not succeed".to_owned(),
        };
        let error =
            Error::new(Kind::Tls, peer, HANDSHAKE, detail).advise("the server broke off TLS: see its log");
        if ended { error.turned_away() } else { error }
    }
}

impl Own {
    fn read(path: &Path) -> Result<Self, SettingsError> {
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

fn is_hybrid(group: rustls::NamedGroup) -> bool {
    group == rustls::NamedGroup::X25519MLKEM768
}

/// A whole file within [`LONGEST_PEM`]; it may hold a key.
fn read_pem(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, SettingsError> {
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

fn read_certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let certificates = CertificateDer::pem_slice_iter(&read_pem(key, path)?).collect::<Result<Vec<_>, _>>();
    let none = "it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----";
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(file_error(key, path, none.to_owned())),
    }
}

fn file_error(key: &'static str, path: &Path, why: String) -> SettingsError {
    SettingsError::File {
        key,
        path: path.to_owned(),
        why,
        denied: false,
    }
}

fn details(connection: &ClientConnection) -> Details {
    let named = |what: Option<String>| what.unwrap_or_else(|| "unknown".into());
    Details {
        version: named(
            connection
                .protocol_version()
                .map(|version| format!("{version:?}")),
        ),
        suite: named(
            connection
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite())),
        ),
        key_exchange: named(
            connection
                .negotiated_key_exchange_group()
                .map(|group| format!("{:?}", group.name())),
        ),
        certificate: connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| certificate.to_vec())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
pub(super) mod tests;
