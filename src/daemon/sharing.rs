//! What a directory shares with the same directory of other edges.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::routed;
use crate::config;
use crate::directory::judge;
use crate::engine::Sharing;
use crate::fleet::health::Health;
use crate::fleet::{Fleet, Share, digest};
use crate::settings::routes::map::Route;

/// The version of vouch and of the words by which replies are read.
static READING: LazyLock<String> =
    LazyLock::new(|| format!("{} {}", env!("CARGO_PKG_VERSION"), digest(judge::PHRASES)));

/// All that the findings of a directory depend on.
fn source(directory: &config::Directory, answers_of: impl Fn(&config::Directory) -> String) -> String {
    let (answers, sender) = (answers_of(directory), &directory.rcpt.mail_from);
    format!("{} {answers} mail-from={sender:?}", *READING)
}

/// What edges doubt together of a directory; of a map, of all its servers.
pub(super) fn health(
    fleet: &Fleet,
    directory: &config::Directory,
    answers_of: impl Fn(&config::Directory) -> String,
) -> Health {
    Health::new(fleet, &source(directory, answers_of))
}

/// What edges share of the logins that a directory has accepted: of the same server, or of maps of directories of one name.
pub(super) fn logins(fleet: &Arc<Fleet>, directory: &config::Directory) -> Share {
    let server = match &directory.lookup.routes {
        Some(_) => format!("routes {}", directory.name),
        None => directory.endpoint(),
    };
    Share::new(fleet.clone(), &format!("logins {} {server}", directory.kind))
}

/// The shares of a directory: findings of the same server, that were asked for and read in the same way by the same vouch.
/// `answers_of` tells the server and the reading.
pub(super) fn of(
    fleet: &Arc<Fleet>,
    directory: &config::Directory,
    answers_of: impl Fn(&config::Directory) -> String,
) -> Sharing {
    let share = |directory: &config::Directory| Share::new(fleet.clone(), &source(directory, &answers_of));
    let Some(routes) = &directory.lookup.routes else {
        return Sharing::one(share(directory));
    };
    let mut template = directory.clone();
    (template.lookup.routes, template.lookup.domains) = (None, Default::default());
    let map = routes.map.clone();
    let servers = map.servers().iter();
    let shares: HashMap<_, _> = servers
        .map(|server| (server.clone(), share(&routed::at(&template, server))))
        .collect();
    let all: Vec<_> = shares.values().cloned().collect();
    Sharing::several(all, move |address| {
        match map.find(address.local(), address.domain()) {
            Some(Route::Server(server)) => shares.get(server).cloned(),
            Some(Route::Kept(_)) | None => None,
        }
    })
}
