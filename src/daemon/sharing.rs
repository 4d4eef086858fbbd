//! What a directory shares with the same directory of other edges.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::routed;
use crate::config;
use crate::directory::judge;
use crate::engine::Sharing;
use crate::fleet::{Fleet, Share, digest};
use crate::settings::routes::map::Route;

/// The version of vouch and of the words by which replies are read.
static READING: LazyLock<String> =
    LazyLock::new(|| format!("{} {}", env!("CARGO_PKG_VERSION"), digest(judge::PHRASES)));

/// The shares of a directory: findings of the same server, that were asked for and read in the same way by the same vouch.
/// `answers_of` tells the server and the reading.
pub(super) fn of(
    fleet: &Arc<Fleet>,
    directory: &config::Directory,
    answers_of: impl Fn(&config::Directory) -> String,
) -> Sharing {
    let share = |directory: &config::Directory| {
        let (answers, sender) = (answers_of(directory), &directory.rcpt.mail_from);
        Share::new(
            fleet.clone(),
            &format!("{} {answers} mail-from={sender:?}", *READING),
        )
    };
    let Some(routes) = &directory.lookup.routes else {
        let share = share(directory);
        return Sharing::new(move |_| Some(share.clone()));
    };
    let mut template = directory.clone();
    (template.lookup.routes, template.lookup.domains) = (None, Default::default());
    let map = routes.map.clone();
    let servers = map.servers().iter();
    let shares: HashMap<_, _> = servers
        .map(|server| (server.clone(), share(&routed::at(&template, server))))
        .collect();
    Sharing::new(move |address| match map.find(address.local(), address.domain()) {
        Some(Route::Server(server)) => shares.get(server).cloned(),
        Some(Route::Kept(_)) | None => None,
    })
}
