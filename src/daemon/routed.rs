//! Builds the directory of a map: one for each server, made when it is asked.

use std::sync::Arc;

use crate::config;
use crate::directory::health::Watched;
use crate::directory::routed::{Make, Servers};
use crate::directory::{Counted, Directory};
use crate::session::tls;
use crate::settings::directory::Limits;
use crate::settings::limit::Limit;
use crate::settings::routes::map::Server;

/// The servers of a directory with a map. `one` builds the directory of a single server, with TLS for it.
pub(super) fn servers(
    directory: &config::Directory,
    client: tls::Client,
    one: impl Fn(&config::Directory, &tls::Client, &Counted) -> Result<Arc<dyn Directory>, tls::SettingsError>
    + Send
    + Sync
    + 'static,
) -> Arc<Servers> {
    let mut template = directory.clone();
    template.lookup.routes = None;
    let (client, counted) = (Arc::new(client), Counted::default());
    let (tls, counts) = (client.clone(), counted.clone());
    let make: Make = Box::new(move |server| {
        let made = one(&at(&template, server), &client, &counts)?;
        Ok(Arc::new(Watched::new(made)))
    });
    let most = directory.pool.max_servers as usize;
    Arc::new(Servers::new(make, most, counted, tls))
}

/// A directory at one of its servers. Where that speaks another protocol than the directory's type, the stricter of both
/// limits holds: what an LMTP server takes would have an SMTP server block us.
pub(super) fn at(directory: &config::Directory, server: &Server) -> config::Directory {
    let kind = server.kind.unwrap_or(directory.kind);
    let mut one = directory.clone();
    if kind != directory.kind {
        let usual = Limits::new(kind);
        one.kind = kind;
        one.limits.rcpt = stricter(one.limits.rcpt, usual.rcpt);
        one.limits.rcpt_errors = stricter(one.limits.rcpt_errors, usual.rcpt_errors);
    }
    one.port = None;
    let at = one.at(server.hosts.clone());
    config::Directory {
        port: server.port.or(at.port),
        ..at
    }
}

fn stricter(one: Limit, other: Limit) -> Limit {
    match (one.most(), other.most()) {
        (Some(a), Some(b)) if b < a => other,
        (None, _) => other,
        _ => one,
    }
}
