//! Penalties and access control, in words.

use super::{Text, listed};
use crate::address::access::{Access, List};
use crate::settings::listener::Listener;
use crate::settings::penalty::Penalty;
use crate::settings::scalar::duration_text;

pub(super) fn penalties(text: &mut Text, listener: &Listener) {
    let logins = listener.protocol.asks_logins();
    match &listener.penalty {
        Some(penalty) => penalty_words(text, penalty, logins),
        None if logins => text.say("Password guessing is not slowed down: penalty is off."),
        None => text.say("Recipient guessing is not slowed down: penalty is off."),
    }
}

pub(super) fn access(text: &mut Text, listener: &Listener) {
    access_words(text, &listener.access(), listener.protocol.row().denied);
}

fn penalty_words(text: &mut Text, penalty: &Penalty, logins: bool) {
    let [delay, most, forget] = [penalty.delay, penalty.max_delay, penalty.forget].map(duration_text);
    let (failures, whose) = if logins {
        ("refused logins", "client, and refusals of that user,")
    } else {
        ("unknown recipients", "client")
    };
    text.say(format!(
        "After {} {failures} in {forget}, answers to that {whose} are delayed by {delay}, then twice that, at most {most}.",
        penalty.after
    ));
    if let Some(most) = penalty.refuse_after {
        text.say(format!(
            "After {most} in {forget}, the answer to that client is \"later\" without asking."
        ));
    }
    if !penalty.exempt.is_empty() {
        let exempt = listed(&penalty.exempt);
        text.say(format!("Clients in {exempt} are never delayed."));
    }
}

fn access_words(text: &mut Text, access: &Access, others: &str) {
    let mut words = Vec::new();
    for (list, answers) in [(&access.allow, "only"), (&access.deny, "never")] {
        let networks = List {
            networks: list.networks.clone(),
            ..List::default()
        };
        let domains = List {
            domains: list.domains.clone(),
            ..List::default()
        };
        for (what, part) in [("clients in", networks), ("requests about", domains)] {
            if part != List::default() {
                words.push(format!("{answers} {what} {part}"));
            }
        }
    }
    if words.is_empty() {
        return;
    }
    let words = words.join(", ");
    text.say(format!(
        "Answers {words}. Other requests are not forwarded; the answer is {others}."
    ));
}
