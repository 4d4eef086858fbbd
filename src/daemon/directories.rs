//! Builds directories from the configuration, and a listener's limit from what it says there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::remotes::{client, servers_at, servers_by};
use super::{DaemonError, routed, sharing};
use crate::chance::Chance;
use crate::config::{self, Config};
use crate::directory::routed::{Routed, Servers as RoutedServers};
use crate::directory::{Counted, Directory, health::Watched, imap::Imap, smtp::Smtp};
use crate::engine::CachedDirectory;
use crate::engine::cached_directory::Settings;
use crate::fleet::Fleet;
use crate::settings::directory::{self as keys, LoginMethod};
use crate::settings::kind::Kind;
use crate::settings::routes::Routes;
use crate::settings::routes::map::{Map, Server};

use crate::session::dns::Resolver;
use crate::session::{Remote, Servers, tls};

/// The directories of a configuration, each ready to be asked. Where there is a `method`, logins use it, whatever
/// `auth.mechanism` says.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn members(
    config: &Config,
    method: Option<LoginMethod>,
) -> Result<Vec<Arc<CachedDirectory>>, DaemonError> {
    members_by(config, method, None, &Chance::default(), |_, _| ())
}

/// Changes a remote, which is a server of this directory, before it is called. Those of a map each have the directory at
/// that server.
type Change = Arc<dyn Fn(&config::Directory, &mut Remote) + Send + Sync>;

/// Changes nothing.
fn as_it_is() -> Change {
    Arc::new(|_, _| ())
}

/// As [`members`], for an edge of a `fleet`, if it is of one; where all that is drawn is drawn from `chance`, and `change`
/// may change each remote first: tests have theirs in memory. Of a map it is given the directory at each server.
///
/// # Errors
/// As [`members`].
pub fn members_by(
    config: &Config,
    method: Option<LoginMethod>,
    fleet: Option<&Arc<Fleet>>,
    chance: &Chance,
    change: impl Fn(&config::Directory, &mut Remote) + Send + Sync + 'static,
) -> Result<Vec<Arc<CachedDirectory>>, DaemonError> {
    let roots = tls::Roots::of_system();
    let drawn = chance.clone();
    let change: Change = Arc::new(move |directory, remote| {
        remote.chance = drawn.clone();
        change(directory, remote);
    });
    let member = |directory: &config::Directory| {
        let mut directory = directory.clone();
        directory.auth.mechanism = method.unwrap_or(directory.auth.mechanism);
        let (asked, _) = remote_of(&directory, &roots, &change)?;
        let member = CachedDirectory::new(settings(&directory, fleet), asked, key(chance)?, chance.clone());
        Ok(Arc::new(member))
    };
    config.directory.iter().map(member).collect()
}

/// What is particular to a directory, with what it shares with other edges.
fn settings(directory: &config::Directory, fleet: Option<&Arc<Fleet>>) -> Settings {
    Settings {
        sharing: fleet.map(|fleet| sharing::of(fleet, directory, answers_of)),
        health: fleet.map(|fleet| sharing::health(fleet, directory, answers_of)),
        logins: fleet.map(|fleet| sharing::logins(fleet, directory)),
        ..directory.into()
    }
}

/// A directory as it was built, and what it was built from.
pub(super) struct Built {
    pub(super) member: Arc<CachedDirectory>,
    /// Its file of recipients is not open yet.
    pub(super) is_new: bool,
    fleet: Option<Arc<Fleet>>,
    from: config::Directory,
    files: Vec<Option<Version>>,
    /// Those of its map, where it has one.
    servers: Option<Arc<RoutedServers>>,
    /// Its map of before, where that has changed and the memory goes on.
    map_before: Option<Arc<Map>>,
}

impl Built {
    /// Forgets what servers said of users whom the map leads to others now. To be called once nobody asks by the old map.
    pub(super) async fn forget_moved(&mut self) {
        let (Some(before), Some(routes)) = (self.map_before.take(), &self.from.lookup.routes) else {
            return;
        };
        let now = routes.map.clone();
        let source = source_of(&self.from);
        let forgotten = self
            .member
            .forget_moved(move |local, domain| now.agrees(&before, local, domain), source);
        let forgotten = forgotten.await;
        tracing::info!(
            directory = self.from.name,
            recipients = forgotten.recipients,
            logins = forgotten.logins,
            "{routes} has changed: answers about users who are at another server now are forgotten"
        );
    }
}

/// What shows that a file has changed: its time of change, length and inode.
pub(super) type Version = (SystemTime, u64, u64);

/// All directories of a configuration. Of `old` goes on what it makes no difference to: the sessions where nothing
/// is different but what is asked and remembered, the memory where the same server is asked and understood in the
/// same way.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub(super) fn build_all(
    config: &Config,
    old: &[Built],
    fleet: Option<&Arc<Fleet>>,
) -> Result<Vec<Built>, DaemonError> {
    let (roots, chance) = (tls::Roots::of_system(), Chance::default());
    let built = |directory: &config::Directory| {
        let files = files_of(directory);
        let old = old.iter().find(|old| old.from.name == directory.name);
        let same_fleet = |old: &Built| old.fleet.as_ref().map(Arc::as_ptr) == fleet.map(Arc::as_ptr);
        let settings = settings(directory, fleet);
        let (member, servers) = match old {
            Some(old) if old.from == *directory && old.files == files && same_fleet(old) => {
                (old.member.clone(), old.servers.clone())
            }
            Some(old) => {
                let (member, servers) = succeed(old, directory, settings, &files, (&roots, &chance))?;
                (Arc::new(member), servers)
            }
            None => {
                let (asked, servers) = remote_of(directory, &roots, &as_it_is())?;
                let member = CachedDirectory::new(settings, asked, key(&chance)?, chance.clone());
                (Arc::new(member), servers)
            }
        };
        let goes_on = old.is_some_and(|old| old.member.remembers_with(&member));
        let map = |directory: &config::Directory| Some(directory.lookup.routes.as_ref()?.map.clone());
        let map_before = old.filter(|_| goes_on).and_then(|old| map(&old.from));
        let map_before = map_before.filter(|before| map(directory).is_some_and(|map| map != *before));
        Ok(Built {
            is_new: !goes_on,
            fleet: fleet.cloned(),
            member,
            from: directory.clone(),
            files,
            servers,
            map_before,
        })
    };
    config.directory.iter().map(built).collect()
}

fn succeed(
    old: &Built,
    directory: &config::Directory,
    settings: Settings,
    files: &[Option<Version>],
    (roots, chance): (&tls::Roots, &Chance),
) -> Result<(CachedDirectory, Option<Arc<RoutedServers>>), DaemonError> {
    let same_sessions = old.files == files
        && old.from
            == config::Directory {
                lookup: old.from.lookup.clone(),
                cache: old.from.cache.clone(),
                limits: keys::Limits {
                    unknown_rate: old.from.limits.unknown_rate,
                    ..directory.limits.clone()
                },
                ..directory.clone()
            };
    let (asked, servers) = match (same_sessions, &old.servers, &directory.lookup.routes) {
        (true, Some(servers), Some(routes)) => (led(directory, routes, servers), Some(servers.clone())),
        (true, None, None) => (old.member.directory().clone(), None),
        _ => remote_of(directory, roots, &as_it_is())?,
    };
    let same_server = answers_of(&old.from) == answers_of(directory);
    if same_server && let Some(carried) = old.member.directory().relays() {
        // Else a client that connects now would be greeted without them, and could not log in.
        asked.note_offers(carried);
    }
    let same_answers = same_server && old.from.auth == directory.auth && old.from.cache == directory.cache;
    let member = if same_answers {
        old.member.succeeded_by(settings, asked)
    } else {
        let member = CachedDirectory::new(settings, asked, key(chance)?, chance.clone());
        // A user whom the same server accepted goes first, however it is asked from now on.
        if same_server {
            member.with_trust_of(&old.member)
        } else {
            member
        }
    };
    Ok((member, servers))
}

/// The source of the answers that are remembered on disk. Which users moved to another server while vouch did not run is
/// not known, so all of a map counts.
pub(super) fn source_of(directory: &config::Directory) -> String {
    let answers = answers_of(directory);
    match &directory.lookup.routes {
        Some(routes) => format!("{answers} map={}", routes.map.digest()),
        None => answers,
    }
}

/// The source of the answers that are remembered, and how they were read: what another server said, or what was read by
/// other rules, is no answer of this directory.
fn answers_of(directory: &config::Directory) -> String {
    let rcpt = &directory.rcpt;
    // Of a map, the users who moved to another server are forgotten by themselves.
    let servers = match &directory.lookup.routes {
        Some(_) => "routes".to_owned(),
        None => directory.endpoint(),
    };
    format!(
        "2 {} {} code-252={} policy={} microsoft={} replies={:?}",
        directory.kind, servers, rcpt.code_252, rcpt.policy, rcpt.microsoft, directory.replies
    )
}

/// The files that TLS reads.
fn files_of(directory: &config::Directory) -> Vec<Option<Version>> {
    let tls = &directory.tls;
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    files.into_iter().flatten().map(version).collect()
}

/// Which version of a file there is; `None` where there is none.
pub(super) fn version(file: &PathBuf) -> Option<Version> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// What is asked, and the servers of its map, where it has one.
type Asked = (Arc<dyn Directory>, Option<Arc<RoutedServers>>);

fn remote_of(
    directory: &config::Directory,
    roots: &tls::Roots,
    change: &Change,
) -> Result<Asked, DaemonError> {
    let unusable = |error| DaemonError::Directory(directory.name.clone(), error);
    let Some(routes) = &directory.lookup.routes else {
        let change = |remote: &mut Remote| change(directory, remote);
        let servers = servers_by(directory, roots, &Resolver::default(), change).map_err(unusable)?;
        let built = build(directory, Arc::new(servers), &Counted::default());
        return Ok((Arc::new(Watched::new(built)), None));
    };
    // Of no server yet.
    let client = client(directory, "localhost", roots).map_err(unusable)?;
    let change = change.clone();
    let one = move |at: &config::Directory, client: &tls::Client, counted: &Counted| {
        let servers = servers_at(at, client, &Resolver::default(), |remote| change(at, remote))?;
        Ok(build(at, Arc::new(servers.of_a_map()), counted))
    };
    let servers = routed::servers(directory, client, one);
    Ok((led(directory, routes, &servers), Some(servers)))
}

/// Every server that the map of a directory leads to, with the keys by which it is asked; none without a map.
///
/// # Errors
/// A certificate or key file that cannot be used, or a host that no certificate can name.
pub fn routed_servers(
    directory: &config::Directory,
    roots: &tls::Roots,
) -> Result<Vec<(config::Directory, Servers)>, tls::SettingsError> {
    let Some(routes) = &directory.lookup.routes else {
        return Ok(Vec::new());
    };
    let client = client(directory, "localhost", roots)?;
    let mut template = directory.clone();
    template.lookup.routes = None;
    let one = |server: &Arc<Server>| {
        let at = routed::at(&template, server);
        let servers = servers_at(&at, &client, &Resolver::default(), |_| ())?;
        Ok((at, servers.of_a_map()))
    };
    routes.map.servers().iter().map(one).collect()
}

/// The directory of a map.
fn led(directory: &config::Directory, routes: &Routes, servers: &Arc<RoutedServers>) -> Arc<dyn Directory> {
    Arc::new(Routed::new(directory.kind, routes.map.clone(), servers.clone()))
}

/// A key for what is remembered of passwords.
fn key(chance: &Chance) -> Result<[u8; 32], DaemonError> {
    chance.bytes().ok_or(DaemonError::Random)
}

fn build(directory: &config::Directory, servers: Arc<Servers>, counted: &Counted) -> Arc<dyn Directory> {
    if directory.kind == Kind::Imap {
        Arc::new(Imap::new(servers, directory, counted))
    } else {
        Arc::new(Smtp::new(servers, directory, counted))
    }
}
