//! What a fleet shares, and with whom.

use super::{Text, listed};
use crate::config::{Config, Fleet, Listener};
use crate::settings::address::RemoteAddress;
use crate::settings::directory::Directory;
use crate::settings::penalty::LEAST_FORGET;

pub(super) fn words(text: &mut Text, config: &Config, fleet: &Fleet) {
    text.head("Fleet");
    let user = fleet.user.as_deref().unwrap_or("default");
    text.say(format!(
        "What is found of recipients is shared with the other edges that have the key in {}, at {}, as user {user}.",
        fleet.key_file.display(),
        listed(&fleet.store)
    ));
    text.say(format!(
        "A question waits for the store up to {} ms; without its answer, this edge answers as it would alone.",
        fleet.patience.as_millis()
    ));
    text.say("The store sees marks under that key and twelve bytes for each: no address, no password, no word of a server.");
    let shares = |directory: &&Directory| directory.kind.knows_recipients();
    for directory in config.directory.iter().filter(shares) {
        let name = &directory.name;
        let keeps = directory.cache.ttl();
        if directory.auth.forward_client {
            text.say(format!(
                "\"{name}\" shares nothing: its answers are for one client (auth.forward-client)."
            ));
        } else if keeps.positive.max(keeps.negative).max(keeps.stale).is_zero() {
            text.say(format!("\"{name}\" shares nothing: it caches no recipients."));
        } else if directory.address.servers().iter().any(RemoteAddress::is_local) {
            text.say(format!(
                "\"{name}\" is on this machine: its answers count as those of every edge whose directory has the same address."
            ));
        }
    }
    let counts = |listener: &&Listener| {
        let penalty = listener.penalty.as_ref();
        penalty.is_some_and(|penalty| penalty.forget >= LEAST_FORGET)
    };
    for listener in config.listener.iter().filter(counts) {
        text.say(format!(
            "Listener \"{}\" counts failures (penalty) together with those of the same name and penalty.forget at other edges.",
            listener.name
        ));
    }
    if config.dovecot.is_some() {
        text.say("Only `vouch serve` shares, not `vouch dovecot-service`.");
    }
}
