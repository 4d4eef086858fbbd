//! Builds the servers of a directory from its configuration, and the ways to them.

use std::path::PathBuf;
use std::sync::Arc;

use vouch_protocol::encryption::Encryption;

use crate::chance::Chance;
use crate::config::Directory;
use crate::session::discovery::Source;
use crate::session::dns::Resolver;
use crate::session::smtp::Hello;
use crate::session::{Remote, Servers, connect, lookup::Host, tls};
use crate::settings::address::{Addresses, RemoteAddress};
use crate::settings::directory::StartTls;

/// The servers of a directory and the ways to them.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn servers(directory: &Directory, roots: &tls::Roots) -> Result<Servers, tls::SettingsError> {
    servers_by(directory, roots, &Resolver::default(), |_| ())
}

/// As [`servers`], with what DNS says by this resolver, where `change` may change each that is listed first: tests have theirs
/// in memory.
///
/// # Errors
/// As [`servers`].
pub fn servers_by(
    directory: &Directory,
    roots: &tls::Roots,
    resolver: &Resolver,
    change: impl Fn(&mut Remote),
) -> Result<Servers, tls::SettingsError> {
    let first = directory.address.servers().first();
    let client = client(directory, first.map_or("localhost", host), roots)?;
    servers_at(directory, &client, resolver, change)
}

/// The same, with what is not a server's own from `client`.
///
/// # Errors
/// A host that no certificate can name.
pub(super) fn servers_at(
    directory: &Directory,
    client: &tls::Client,
    resolver: &Resolver,
    change: impl Fn(&mut Remote),
) -> Result<Servers, tls::SettingsError> {
    let peer: Arc<str> = format!("{} ({})", directory.name, directory.endpoint()).into();
    let (source, domain) = match &directory.address {
        Addresses::Listed(addresses) => return listed(directory, addresses, client, peer, change),
        Addresses::Mx(domain) => {
            let source = Source::Mx {
                domain: domain.to_string(),
                own_name: Hello::from(directory).name,
                port: directory.port.unwrap_or_default(),
            };
            (source, domain)
        }
        Addresses::Srv(service) => (Source::Srv(service.to_string()), &service.domain),
    };
    let of_source = matches!(source, Source::Srv(_));
    let client = Arc::new(client.at(&domain.to_string())?);
    let (template, shared) = (directory.clone(), client.clone());
    let make = move |host: &str, port, is_backup| {
        // What DNS says is no proof of who may have the name (RFC 6186 section 6).
        let certified = if of_source {
            shared.again()
        } else {
            shared.at(host).ok()?
        };
        let address = RemoteAddress::Host {
            name: host.to_owned(),
            port: Some(port),
        };
        let host = Host::new(host, port);
        let host = if of_source { host } else { host.elsewhere() };
        Some(Remote {
            dial: Arc::new(connect::Endpoint::Tcp(host)),
            is_backup,
            ..remote(&template, &address, certified)
        })
    };
    Ok(Servers::found(
        peer,
        client,
        source,
        resolver.clone(),
        Box::new(make),
    ))
}

/// TLS with the servers of a directory, whose certificate names `host` where no key names another.
///
/// # Errors
/// As [`servers`].
pub(super) fn client(
    directory: &Directory,
    host: &str,
    roots: &tls::Roots,
) -> Result<tls::Client, tls::SettingsError> {
    let most = directory.pool.max_sessions;
    let client = tls::Client::new(&directory.tls, host, roots)?;
    Ok(client.with_sessions(most.logins.max(most.recipients) as usize))
}

/// The servers of a list.
fn listed(
    directory: &Directory,
    addresses: &[RemoteAddress],
    client: &tls::Client,
    peer: Arc<str>,
    change: impl Fn(&mut Remote),
) -> Result<Servers, tls::SettingsError> {
    let nowhere = RemoteAddress::Socket(PathBuf::new());
    let (first, others) = addresses.split_first().unwrap_or((&nowhere, &[]));
    let one = |address| {
        let mut remote = remote(directory, address, client.at(host(address))?);
        change(&mut remote);
        Ok(remote)
    };
    let others = others.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(Servers::new(peer, one(first)?, others))
}

/// The name in a server's certificate. A socket has none; without tls.server-name no TLS is started over it, see below.
fn host(address: &RemoteAddress) -> &str {
    address.host().unwrap_or("localhost")
}

/// One server of a directory, and the way to it.
fn remote(directory: &Directory, address: &RemoteAddress, client: tls::Client) -> Remote {
    let endpoint = match address {
        RemoteAddress::Host { name, port } => {
            let port = port.or(directory.port).unwrap_or_default();
            connect::Endpoint::Tcp(Host::new(name, port))
        }
        RemoteAddress::Socket(path) => connect::Endpoint::Unix(path.clone()),
    };
    let tls = &directory.tls;
    let encryption = match (tls.implicit, tls.starttls) {
        (true, _) => Encryption::AlreadyOn,
        // Nobody is between us and a socket, and its certificate could be for no name.
        (false, StartTls::IfAvailable)
            if matches!(address, RemoteAddress::Socket(_)) && tls.server_name.is_none() =>
        {
            Encryption::Never
        }
        (false, StartTls::IfAvailable) => Encryption::IfOffered,
        (false, StartTls::Required) => Encryption::Required,
        (false, StartTls::Never) => Encryption::Never,
    };
    Remote {
        peer: format!("{} ({})", directory.name, address.endpoint(directory.port)).into(),
        dial: Arc::new(endpoint),
        tls: Arc::new(client),
        encryption,
        timeout: directory.timeout,
        password_in_clear: directory.password_in_clear(address),
        is_backup: false,
        chance: Chance::default(),
    }
}
