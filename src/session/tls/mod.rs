//! TLS as a client: whom we trust, and the handshake.

mod files;
mod provider;
mod roots;
mod tickets;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{Error, HANDSHAKE, Kind};
use super::handshake::{own_identity, trouble};
use super::negotiate::{AT_ONCE, Cleartext, negotiate};
use super::verifier::{Ends, Taken, Verifier};
use crate::settings::directory::Tls;
use crate::telemetry::counter::Counter;
use crate::wire::Stream;
pub use files::SettingsError;
use files::{Own, file_error, read_certificates, read_pem};
pub use provider::provider;
pub use roots::Roots;
use tickets::{FEW, MANY, Tickets};

/// Bound (sessions): TLS handshake. Beyond: no answer, with a hint at tls.key-exchange. Why: some firewalls swallow
/// the larger first message of the hybrid key exchange.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How TLS begins on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// With the first byte.
    AtOnce,
    /// Behind an answer to STARTTLS.
    ByStartTls,
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

/// One client configuration for each server of a directory: session resumption lives in it. What is not the server's own,
/// they share.
pub struct Client {
    name: ServerName<'static>,
    /// The name is that of a key, whatever the server.
    is_named: bool,
    provider: Arc<CryptoProvider>,
    trust: Arc<Trust>,
    identity: Option<Arc<Identity>>,
    /// Those of the system and the directory's own, put together for the first handshake.
    anchors: Arc<OnceLock<Arc<RootCertStore>>>,
    /// What time it is for certificates and tickets.
    clock: Arc<dyn TimeProvider>,
    /// Puts TLS that was agreed on over its stream.
    over: TlsConnector,
    /// Made for the first handshake, and anew when a certificate that it has seen is over: the tickets go with it,
    /// since a resumed session shows no certificate.
    connector: Mutex<Option<(TlsConnector, Arc<Ends>)>>,
    /// Whose turn it is to work on a handshake.
    turns: Arc<Semaphore>,
    counts: Arc<Counts>,
    /// Tickets kept at most, and the directory's room for many.
    tickets: (usize, Arc<Semaphore>),
}

/// Our own certificate, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What came of the handshakes of a directory.
#[derive(Default)]
struct Counts {
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

impl Client {
    /// A client for one directory, whose certificate names `host` where no key names another. `roots` are the system's.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(keys: &Tls, host: &str, roots: &Roots) -> Result<Self, SettingsError> {
        let trust = if keys.allow_invalid_certs {
            Trust::Anybody
        } else {
            let own = keys.ca_file.as_ref().map(|path| Own::read(path));
            Trust::System(roots.clone(), own.transpose()?.unwrap_or_default())
        };
        let identity = keys
            .cert_file
            .as_ref()
            .zip(keys.key_file.as_ref())
            .map(|(chain, key)| {
                let bad_key = |_: pem::Error| {
                    let why = "it holds no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----";
                    file_error("key-file", key, why.to_owned())
                };
                let private = PrivateKeyDer::from_pem_slice(&read_pem("key-file", key)?).map_err(bad_key)?;
                Ok((read_certificates("cert-file", chain)?, private))
            });
        let name = keys.server_name.as_deref().unwrap_or(host);
        let provider = Arc::new(provider(keys.key_exchange));
        let client = Self {
            name: server_name(name)?,
            is_named: keys.server_name.is_some(),
            over: provider::over(provider.clone())
                .map_err(|error| SettingsError::Identity(own_identity(&error)))?,
            provider,
            trust: Arc::new(trust),
            identity: identity.transpose()?.map(Arc::new),
            anchors: Arc::default(),
            clock: Arc::new(DefaultTimeProvider),
            connector: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            counts: Arc::default(),
            tickets: (FEW, Arc::new(Semaphore::new(MANY))),
        };
        // What is wrong with the identity is to be known now.
        client
            .config(Arc::new(RootCertStore::empty()), Arc::default())
            .map_err(|error| SettingsError::Identity(own_identity(&error)))?;
        Ok(client)
    }

    /// The same for another server of the directory, with tickets of its own, whose certificate names `host` where no key
    /// names another.
    ///
    /// # Errors
    /// It can be in no certificate.
    pub fn at(&self, host: &str) -> Result<Self, SettingsError> {
        let client = self.again();
        match self.is_named {
            true => Ok(client),
            false => Ok(Self {
                name: server_name(host)?,
                ..client
            }),
        }
    }

    /// The same for another server, whose certificate has the same name.
    pub fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            is_named: self.is_named,
            provider: self.provider.clone(),
            trust: self.trust.clone(),
            identity: self.identity.clone(),
            anchors: self.anchors.clone(),
            clock: self.clock.clone(),
            over: self.over.clone(),
            connector: Mutex::default(),
            turns: self.turns.clone(),
            counts: self.counts.clone(),
            tickets: self.tickets.clone(),
        }
    }

    /// Keeps tickets for so many sessions with each server.
    #[must_use]
    pub fn with_sessions(mut self, sessions: usize) -> Self {
        self.tickets.0 = sessions;
        self
    }

    /// The configuration of handshakes, with these trust anchors; it notes when the certificates that it takes end.
    fn config(&self, roots: Arc<RootCertStore>, ends: Arc<Ends>) -> Result<ClientConfig, rustls::Error> {
        let provider = self.provider.clone();
        let taken = match &*self.trust {
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
        let mut config = match self.identity.as_deref() {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        };
        let (most, room) = &self.tickets;
        config.resumption = Resumption::store(Arc::new(Tickets::new(*most, room.clone())));
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
        self.anchors.get_or_init(|| match &*self.trust {
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
        matches!(&*self.trust, Trust::System(_, own) if !own.certificates.is_empty())
    }

    /// How the handshakes went so far.
    pub fn report(&self) -> Report {
        let own = self.identity.as_deref().and_then(|(chain, _)| chain.first());
        Report {
            agreed: self.counts.agreed.get(),
            failed: self.counts.failed.get(),
            last: self.counts.last.lock().clone(),
            own_certificate: own.map(|certificate| certificate.to_vec()),
            checked: !matches!(*self.trust, Trust::Anybody),
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
                self.counts.agreed.count();
                *self.counts.last.lock() = Some(details.clone());
            }
            Err(_) => self.counts.failed.count(),
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
        self.over.connect_with(self.name.clone(), stream, take).await
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

fn server_name(name: &str) -> Result<ServerName<'static>, SettingsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| SettingsError::Name(name.to_owned()))
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
