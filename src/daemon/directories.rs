//! Builds directories from the configuration, and a listener's limit from what it says there.

use std::sync::Arc;
use std::time::Duration;

use protocol::encryption::Encryption;
use protocol::sasl::Mechanism;
use protocol::smtp::Protocol as SmtpProtocol;

use super::DaemonError;
use crate::config::directory::{CatchAll, Code252, KeyExchange, Kind, Policy as RcptPolicy, StartTls};
use crate::config::{self, Config, Endpoint, Limit};
use crate::directory::judge::recipient::Reading;
use crate::directory::smtp::Settings as SmtpSettings;
use crate::directory::{Directory, Username, health::Watched, imap::Imap, smtp::Smtp};
use crate::engine::{Member, logins, member, recipients};
use crate::session::smtp::Hello;
use crate::session::{Remote, connect, connect::Dial, imap::Options, lookup::Host, pool, tls};
use crate::template::Filling;

/// The directories of a configuration, each ready to be asked. `mechanism` is
/// the only one that logins use, if there is to be one.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn members(config: &Config, mechanism: Option<Mechanism>) -> Result<Vec<Arc<Member>>, DaemonError> {
    members_by(config, mechanism, |_, remote| remote.dial.clone())
}

/// As [`members`], where `dial` opens the connections: tests have remotes in
/// memory.
///
/// # Errors
/// As [`members`].
pub fn members_by(
    config: &Config,
    mechanism: Option<Mechanism>,
    dial: impl Fn(&config::Directory, &Remote) -> Arc<dyn Dial>,
) -> Result<Vec<Arc<Member>>, DaemonError> {
    let roots = tls::Roots::of_system();
    let member = |directory: &config::Directory| {
        let mut remote = remote(directory, &roots)
            .map_err(|error| DaemonError::Directory(directory.name.clone(), error))?;
        remote.dial = dial(directory, &remote);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| DaemonError::Random)?;
        let member = Member::new(
            memory(directory),
            Arc::new(Watched::new(build(directory, Arc::new(remote), mechanism))),
            key,
        );
        Ok(Arc::new(member))
    };
    config.directory.iter().map(member).collect()
}

fn memory(directory: &config::Directory) -> member::Settings {
    let cache = &directory.cache;
    let kept = |ttl: Duration| if cache.entries == 0 { Duration::ZERO } else { ttl };
    member::Settings {
        name: directory.name.as_str().into(),
        domains: directory.lookup.domains.all.iter().cloned().collect(),
        fold_case: directory.lookup.fold_case,
        recipient_delimiter: directory.lookup.recipient_delimiter.clone(),
        canaries: directory.lookup.canary.clone(),
        detect_catch_all: directory.lookup.catch_all == CatchAll::Detect,
        entries: cache.entries.max(1) as usize,
        recipients: recipients::Ttl {
            positive: kept(cache.ttl.positive),
            refresh: kept(cache.ttl.refresh),
            negative: kept(cache.ttl.negative),
            stale: kept(cache.ttl.stale),
        },
        logins: logins::Ttl {
            positive: kept(cache.credentials.positive),
            negative: kept(cache.credentials.negative),
        },
    }
}

/// The remote of a directory and the way to it.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn remote(directory: &config::Directory, roots: &tls::Roots) -> Result<Remote, tls::SettingsError> {
    let (endpoint, host) = match &directory.address {
        Endpoint::Host { host, port } => (connect::Endpoint::Tcp(Host::new(host, *port)), host.as_str()),
        // A socket has no name; without tls.server-name no TLS is started over it, see below.
        Endpoint::Socket(path) => (connect::Endpoint::Unix(path.clone()), "localhost"),
    };
    let tls = &directory.tls;
    let settings = tls::Settings {
        server_name: tls.server_name.clone().unwrap_or_else(|| host.to_owned()),
        ca_file: tls.ca_file.clone(),
        identity: tls.cert_file.clone().zip(tls.key_file.clone()),
        allow_invalid_certs: tls.allow_invalid_certs,
        classic_key_exchange: tls.key_exchange == KeyExchange::Classic,
    };
    let encryption = match (tls.implicit, tls.starttls) {
        (true, _) => Encryption::AlreadyOn,
        // Nobody is between us and a socket, and its certificate could be for no name.
        (false, StartTls::IfAvailable)
            if matches!(directory.address, Endpoint::Socket(_)) && tls.server_name.is_none() =>
        {
            Encryption::Never
        }
        (false, StartTls::IfAvailable) => Encryption::IfOffered,
        (false, StartTls::Required) => Encryption::Required,
        (false, StartTls::Never) => Encryption::Never,
    };
    Ok(Remote {
        peer: format!("{} ({})", directory.name, directory.address).into(),
        dial: Arc::new(endpoint),
        tls: Arc::new(tls::Client::new(&settings, roots)?),
        encryption,
        timeout: directory.timeout,
        allow_cleartext: directory.auth.allow_cleartext,
    })
}

/// How an SMTP or LMTP remote is greeted.
pub fn hello(directory: &config::Directory) -> Hello {
    let protocol = if directory.kind == Kind::Lmtp {
        SmtpProtocol::Lmtp
    } else {
        SmtpProtocol::Smtp
    };
    let name = directory.ehlo_name.clone().unwrap_or_else(host_name);
    Hello { protocol, name }
}

/// The host's name; an address literal where it has none (RFC 5321 §4.1.1.1).
fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "[127.0.0.1]".into())
}

fn build(
    directory: &config::Directory,
    remote: Arc<Remote>,
    mechanism: Option<Mechanism>,
) -> Arc<dyn Directory> {
    let template = directory.auth.username.clone();
    let username: Username = Arc::new(move |login| {
        // A template that wants a domain where the login has none would make a name of nobody.
        let from = Filling {
            user: login.as_bytes(),
            ..Filling::default()
        };
        template.fill(&from).unwrap_or_else(|_| login.as_bytes().to_vec())
    });
    let pool = &directory.pool;
    let logins = pool::Limits {
        max_sessions: pool.max_sessions as usize,
        warm_sessions: pool.warm_sessions as usize,
        queue: pool.queue as usize,
        idle_timeout: pool.idle_timeout,
        max_age: pool.max_age,
        questions: None,
        refusals: limit(directory.limits.auth_errors),
    };
    if directory.kind == Kind::Imap {
        let options = Options {
            mechanism,
            confirm: directory.auth.confirm,
        };
        return Arc::new(Imap::new(
            remote, options, username, logins, directory.auth.forward_client,
        ));
    }
    let recipients = pool::Limits {
        questions: limit(directory.limits.rcpt),
        refusals: limit(directory.limits.rcpt_errors),
        warm_sessions: 0,
        ..logins
    };
    let rcpt = &directory.rcpt;
    let settings = SmtpSettings {
        hello: hello(directory),
        mail_from: rcpt.mail_from.clone().into_bytes(),
        reading: Reading {
            code_252_exists: rcpt.code_252 == Code252::Exists,
            policy_means_unknown: rcpt.policy == RcptPolicy::Unknown,
            microsoft: rcpt.microsoft,
        },
        mechanism,
        username,
        forward_client: directory.auth.forward_client,
    };
    Arc::new(Smtp::new(remote, settings, recipients, logins))
}

pub(super) const fn limit(limit: Limit) -> Option<u32> {
    match limit {
        Limit::Unlimited => None,
        Limit::At(most) => Some(most),
    }
}
