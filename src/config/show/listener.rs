//! A listener, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::{Text, limits, listed, trust};
use crate::address::Domain;
use crate::config::Config;
use crate::settings::directory::Directory;
use crate::settings::fields::Fields;
use crate::settings::listener::{Any, AnyLogin, Exists, Listener, TempFail};
use crate::settings::mechanism::Mechanism;
use crate::settings::protocol::{Asks, Protocol};
use crate::settings::scalar::duration_text;
use crate::settings::socket::ListenAddress;
use crate::template::Template;

/// Up to this many domains are listed; above it, their number is shown.
const MOST_DOMAINS: usize = 8;

pub(super) fn words(text: &mut Text, config: &Config, listener: &Listener) {
    let who = listener.protocol.row().who;
    text.head(format!("Listener \"{}\": {who}.", listener.name));
    socket_words(text, listener);
    answers(text, config, listener);
}

/// The directories that it asks, the deadline, and the answers.
pub(super) fn answers(text: &mut Text, config: &Config, listener: &Listener) {
    let protocol = listener.protocol;
    routes(text, config, listener);
    let [smtp, other] = [listener.deadline.smtp, listener.deadline.other].map(duration_text);
    text.say(if smtp == other {
        format!("Every answer comes within {other}.")
    } else {
        format!("Every answer comes within {smtp} for service=smtp, within {other} for others.")
    });
    match (protocol, listener.join_realm) {
        (Protocol::Saslauthd, true) => {
            text.say("A login with a realm is login@realm, as with saslauthd -r.");
        }
        (Protocol::Saslauthd, false) => {
            text.say("A login's realm is ignored, as with saslauthd without -r.");
        }
        (Protocol::Socketmap, _) => text.say(
            "Maps: recipients (OK ok, NOTFOUND, or TEMP where there is no answer), domains (the same), access (the \
             actions below), senders (OK with the owners below).",
        ),
        _ => {}
    }
    // What is said follows from the keys that there are.
    let about: [(&str, Words); 9] = [
        ("owners", owner_words),
        ("action", action_words),
        ("mechanisms", mechanism_words),
        ("tempfail", tempfail_words),
        ("ok", ok_words),
        ("exists", user_words),
        ("limits", limits::words),
        ("penalty", trust::penalties),
        ("allow", trust::access),
    ];
    for (key, words) in about {
        if listener.has(key) {
            words(text, listener);
        }
    }
}

/// The sentences about a key.
type Words = fn(&mut Text, &Listener);

fn socket_words(text: &mut Text, listener: &Listener) {
    let connections = listener.max_connections;
    match &listener.socket {
        ListenAddress::Path(path) => {
            let owner = listener
                .owner
                .as_ref()
                .map_or(String::new(), |owner| format!(", owner {owner}"));
            let group = listener
                .group
                .as_ref()
                .map_or("group of its directory".to_owned(), |it| format!("group {it}"));
            text.say(format!(
                "Unix socket {}, mode {}{owner}, {group}; at most {connections} connections.",
                path.display(),
                listener.mode
            ));
            if let Some(peers) = &listener.peers {
                text.say(format!(
                    "Of the processes that the mode admits, only {} may connect; others are disconnected.",
                    listed(peers)
                ));
            }
            // Postfix takes a path relative to its queue directory, inside a chroot as well.
            let Some(relative) = path
                .to_str()
                .and_then(|path| path.strip_prefix("/var/spool/postfix/"))
            else {
                return;
            };
            let postfix = listener.protocol.row().postfix;
            if !postfix.is_empty() {
                let patience = listener.deadline.other + std::time::Duration::from_secs(5);
                let postfix = postfix.replace("{patience}", &duration_text(patience));
                text.say(postfix.replace("{socket}", relative));
            }
        }
        ListenAddress::Tcp(address) => text.say(format!("TCP {address}; at most {connections} connections.")),
        ListenAddress::Systemd(name) => {
            text.say(format!(
                "Socket \"{name}\" of systemd (FileDescriptorName={name}), whose unit sets mode, owner and group; at \
                 most {connections} connections."
            ));
        }
        // In no file.
        ListenAddress::Dovecot => {}
    }
}

/// Which directory is asked for which domain, in the listener's order.
fn routes(text: &mut Text, config: &Config, listener: &Listener) {
    let logins = listener.protocol.asks_logins();
    let mut routes = Routes::default();
    for name in &listener.directory {
        match config.directory(name).filter(|it| listener.can_ask(it.kind)) {
            Some(directory) => routes.add(text, listener, directory),
            None => text.say(format!("Never asks \"{name}\": it cannot answer this protocol.")),
        }
    }
    if listener.any == Any::All {
        text.say(
            "Where several serve a domain, all are asked at once: one yes is enough, and a no takes all of them.",
        );
    }
    let in_order = logins && asks_all(listener) && routes.asked.len() > 1;
    if in_order {
        text.say(format!(
            "Passwords go to each of {} that serves the domain, one after another until one accepts, first to the one that \
             accepted the user last. A wrong password costs an attempt at each, and accounts of one name count as one user's.",
            listed(routes.asked.iter().map(|name| format!("\"{name}\"")))
        ));
    }
    let row = listener.protocol.row();
    if routes.everything.is_none() {
        text.say(format!("Any other domain: {}", row.not_ours));
    }
    if let Some(domain) = &listener.default_domain {
        text.say(format!("A name without a domain is taken as one of {domain}."));
    } else if logins {
        text.say(if listener.directory.len() == 1 {
            "A name without a domain is sent as it is."
        } else if in_order {
            "A name without a domain is sent to each of these, as it is."
        } else {
            "A name without a domain has no directory: set default-domain."
        });
    } else if row.asks == Asks::Users {
        text.say("A name without a domain is no user: set default-domain.");
    }
}

/// The directories of a listener so far: the first that has a domain is the one that is asked.
#[derive(Default)]
struct Routes<'a> {
    /// Those that are asked.
    asked: Vec<&'a str>,
    taken: BTreeMap<&'a Domain, &'a str>,
    /// The first that is asked about every login.
    everything: Option<&'a str>,
}

impl<'a> Routes<'a> {
    fn add(&mut self, text: &mut Text, listener: &Listener, directory: &'a Directory) {
        let name = directory.name.as_str();
        if let Some(routes) = &directory.lookup.routes {
            let rest = if routes.map.has_rest() {
                ", and the rest"
            } else {
                ""
            };
            text.say(asked(listener, name, &format!("the domains of its map{rest}")));
            self.asked.push(name);
            if routes.map.has_rest() {
                self.everything.get_or_insert(name);
            }
            return;
        }
        let domains = &directory.lookup.domains.all;
        let logins = listener.protocol.asks_logins();
        if domains.is_empty() && !logins {
            text.say(format!(
                "Never asks \"{name}\": it has no lookup.domains, so it serves no recipient."
            ));
            return;
        }
        let all = asks_all(listener);
        if let (Some(first), true, false) = (self.everything, logins, all) {
            return text.say(format!(
                "Never asks \"{name}\": \"{first}\" comes first, and is asked about every login."
            ));
        }
        if domains.is_empty() {
            text.say(format!("Asks \"{name}\" about every login."));
            self.asked.push(name);
            self.everything.get_or_insert(name);
            return;
        }
        let goes_first = |domain: &&Domain| !all && self.taken.contains_key(*domain);
        let (lost, own): (Vec<_>, Vec<_>) = domains.iter().partition(goes_first);
        let first: BTreeSet<_> = lost.iter().filter_map(|domain| self.taken.get(*domain)).collect();
        let comes = if first.len() > 1 { "come" } else { "comes" };
        let first: Vec<_> = first.iter().map(|name| format!("\"{name}\"")).collect();
        let first = first.join(" and ");
        let hint = if logins {
            "; any-login = \"in-order\" asks both"
        } else {
            "; any = \"all\" asks both"
        };
        match (&own[..], &lost[..]) {
            ([], _) => text.say(format!(
                "Never asks \"{name}\": {first} {comes} first for {}{hint}.",
                named(&lost)
            )),
            (_, []) => text.say(asked(listener, name, &named(&own))),
            _ => {
                let domains = format!(
                    "{}; not for {}, as {first} {comes} first{hint}",
                    named(&own),
                    named(&lost)
                );
                text.say(asked(listener, name, &domains));
            }
        }
        if !own.is_empty() {
            self.asked.push(name);
        }
        self.taken.extend(own.into_iter().map(|domain| (domain, name)));
    }
}

/// Whether all directories that serve a domain are asked, or the first of them alone.
fn asks_all(listener: &Listener) -> bool {
    if listener.protocol.asks_logins() {
        listener.any_login == AnyLogin::InOrder
    } else {
        listener.any == Any::All
    }
}

fn asked(listener: &Listener, name: &str, domains: &str) -> String {
    if !listener.protocol.asks_logins() && listener.exists == Exists::Domain {
        format!("Takes the domains of \"{name}\": {domains}.")
    } else {
        format!("Asks \"{name}\" for {domains}.")
    }
}

fn named(domains: &[&Domain]) -> String {
    if domains.len() > MOST_DOMAINS {
        return format!("its {} domains", domains.len());
    }
    listed(domains)
}

fn action_words(text: &mut Text, listener: &Listener) {
    let action = &listener.action;
    if action.dry_run {
        text.say("DRY RUN: always answers DUNNO, and logs what it would have answered:");
    }
    text.say(format!("recipient exists    -> {}", action.accept.as_str()));
    let full = action.full.as_ref().unwrap_or(&action.accept);
    text.say(format!("mailbox full        -> {}", full.as_str()));
    text.say(format!("recipient unknown   -> {}", action.reject.as_str()));
    text.say(format!("mailbox disabled    -> {}", action.disabled.as_str()));
    text.say(format!("no answer           -> {}", action.defer.as_str()));
    text.say(format!("client over a limit -> {}", action.limit.as_str()));
    if listener.protocol == Protocol::Policy {
        text.say(if action.vrfy {
            "VRFY is answered too."
        } else {
            "VRFY is not answered: DUNNO."
        });
    }
}

fn owner_words(text: &mut Text, listener: &Listener) {
    let owners: Vec<_> = listener.owners.iter().map(Template::to_string).collect();
    match &owners[..] {
        [] => {
            text.say("A sender that exists is owned by itself: only the login of the same name may use it.");
        }
        some => text.say(format!(
            "A sender that exists is owned by itself, and by the logins {}.",
            some.join(", ")
        )),
    }
    for owner in owners {
        if !owner.contains('{') {
            text.say(format!(
                "The login {owner} may send as every address of the domains above."
            ));
        } else if !owner.contains("{domain}") && !owner.contains("{user}") {
            text.say(format!(
                "A login {owner} may send as this name in every domain above."
            ));
        }
    }
}

fn mechanism_words(text: &mut Text, listener: &Listener) {
    let named = |which: fn(Mechanism) -> bool| listed(listener.mechanisms.iter().filter(|it| which(**it)));
    text.say(format!("Offers {}.", named(|_| true)));
    let (relayed, challenged) = (
        named(Mechanism::is_relayed),
        named(Mechanism::is_challenge_response),
    );
    if !relayed.is_empty() {
        text.say(format!(
            "Offers {relayed} only once a directory is known to accept it."
        ));
    }
    if !challenged.is_empty() {
        text.say(format!(
            "Relays {challenged} between client and directory, without seeing a password."
        ));
    }
}

fn tempfail_words(text: &mut Text, listener: &Listener) {
    text.say(format!("No answer: {}.", tempfail(listener.tempfail)));
}

/// What is kept of a login, and added to OK.
fn ok_words(text: &mut Text, listener: &Listener) {
    if listener.protocol == Protocol::Login {
        text.say("Keeps each login for 150s, for the mail process that asks for it at a master listener.");
        field_words(text, "The mail process receives", &listener.fields);
    }
    let ok = &listener.ok;
    field_words(text, "Adds to OK", &ok.fields);
    if ok.pass {
        text.say("Adds to OK the password that was accepted, as pass: for a proxy to log in with.");
    }
    if let Some(networks) = &ok.allow_nets {
        text.say(format!(
            "Logins from outside {} are refused without asking.",
            listed(networks)
        ));
    }
}

fn user_words(text: &mut Text, listener: &Listener) {
    text.say(match listener.exists {
        Exists::Probe => "A user exists if the directory confirms it; LIST returns the cached users.",
        Exists::Domain => "A user exists if its domain does, without asking; LIST is refused.",
    });
    field_words(text, "Each user comes with", &listener.fields);
    if listener.protocol == Protocol::Master {
        text.say(
            "REQUEST hands over a login that a login listener of this file accepted, once; CACHE-FLUSH empties the \
             cache, CACHE-STATUS counts.",
        );
    }
}

fn field_words(text: &mut Text, what: &str, fields: &Fields) {
    if !fields.is_empty() {
        let fields = fields.iter().map(|(name, template)| format!("{name}={template}"));
        text.say(format!("{what} {}.", listed(fields)));
    }
}

/// How "no answer" is expressed.
fn tempfail(word: TempFail) -> &'static str {
    match word {
        TempFail::Auto => {
            "hangs up when service=smtp asked alone (Postfix then answers 454), else FAIL with temp_fail"
        }
        TempFail::Close => "hangs up (Postfix then answers 454)",
        TempFail::Fail => "FAIL with temp_fail (Postfix takes it for a wrong password)",
        TempFail::No => "NO, as for a wrong password",
    }
}
