//! Reads penalties and access lists: `penalty`, `allow` and `deny`.

use std::time::Duration;

use toml::de::DeValue;

use super::{
    listener::only,
    problem::Problem,
    table::{Field, Findings, Table, strings},
    value::{self, Wrong},
};
use crate::{
    address::{access::List, network::Network},
    config::{Listener, Penalty, duration_text, listener::Protocol},
};

/// No answer is later: longer, a client is better told to come back.
const LATEST: Duration = Duration::from_secs(60);

/// Failures are in memory, and an attacker guesses for hours.
const LONGEST_MEMORY: Duration = Duration::from_secs(86_400);

/// More failures than these are not told apart.
const MOST: u32 = 1000;

/// Reads the keys of a listener.
pub(super) fn trust(
    found: &mut Findings,
    table: &mut Table<'_>,
    protocol: Option<Protocol>,
    listener: &mut Listener,
    keys: &[&'static str],
) {
    if only(found, table, protocol, "penalty").is_some() {
        penalty(found, table, listener, keys);
    }
    for (key, list) in [
        ("allow", &mut listener.access.allow),
        ("deny", &mut listener.access.deny),
    ] {
        if only(found, table, protocol, key).is_some()
            && let Some(field) = table.field(key)
        {
            read_list(found, &field, list);
        }
    }
}

/// `penalty = "off" / table`
fn penalty(found: &mut Findings, table: &mut Table<'_>, listener: &mut Listener, keys: &[&'static str]) {
    let Some(field) = table.field("penalty") else {
        return;
    };
    if field.value.as_str() == Some("off") {
        listener.penalty = None;
        return;
    }
    if !field.value.is_table() {
        let wrong = Wrong::mistyped(
            "a table, or `\"off\"`", field.value, "`{ after = 10 }`, or `\"off\"`",
        );
        return field.wrong(found, wrong);
    }
    let Some(mut table) = table.table(found, "penalty") else {
        return;
    };
    let mut penalty = Penalty::default();
    table.read(found, "after", &mut penalty.after, value::count(1..=MOST));
    let delay = table.read(found, "delay", &mut penalty.delay, value::wait(LATEST));
    let most = table.read(found, "max-delay", &mut penalty.max_delay, value::wait(LATEST));
    table.read(found, "forget", &mut penalty.forget, value::wait(LONGEST_MEMORY));
    table.read(found, "refuse-after", &mut penalty.refuse_after, never_or_count);
    if let Some(field) = table.field("exempt") {
        penalty.exempt = networks(found, &field);
    }
    let deadline = listener.deadline_for(Some(b"smtp"));
    if penalty.delay > penalty.max_delay {
        let title = format!("`{}` is longer than `max-delay`", table.full("delay"));
        let place = delay.unwrap_or_else(|| table.place.clone());
        let label = format!("`max-delay` is \"{}\"", duration_text(penalty.max_delay));
        found.problem(Problem::new(title, place, label));
    } else if let Some(at) = most.filter(|_| penalty.max_delay >= deadline) {
        let (name, deadline) = (table.full("max-delay"), duration_text(deadline));
        found.note(
            &at,
            format!("`{name}`: never reached: every answer leaves within `deadline`, {deadline}"),
        );
    }
    table.finish(found, keys);
    listener.penalty = Some(penalty);
}

/// `refuse-after = "never" / 1*DIGIT`
fn never_or_count(value: &DeValue<'_>) -> Result<Option<u32>, Wrong> {
    match value.as_str() {
        Some("never") => Ok(None),
        Some(_) => Err(Wrong::mistyped(
            "a number, or `\"never\"`", value, "a bare number, or `\"never\"`",
        )),
        None => value::count(1..=MOST)(value).map(Some),
    }
}

fn networks(found: &mut Findings, field: &Field<'_>) -> Vec<Network> {
    let mut networks = Vec::new();
    for (text, place) in strings(found, field, "`[\"192.0.2.0/24\"]`", false) {
        match Network::parse(&text) {
            Ok(network) => networks.push(network),
            Err(why) => {
                let title = format!("`{}` holds what is no network", field.name);
                found.problem(Problem::new(title, place, why.to_string()));
            }
        }
    }
    networks
}

/// `allow` and `deny`: networks and domains.
fn read_list(found: &mut Findings, field: &Field<'_>, list: &mut List) {
    for (text, place) in strings(found, field, "`[\"192.0.2.0/24\", \"example.org\"]`", false) {
        if let Err(why) = list.add(&text) {
            let title = format!("`{}` holds what is neither a network nor a domain", field.name);
            found.problem(Problem::new(title, place, why.to_string()));
        }
    }
}
