//! Who is answered late and who not at all, in words.

use super::Text;
use crate::address::access::{Access, List};
use crate::config::{Listener, Penalty, duration_text};

pub(super) fn penalties(text: &mut Text, listener: &Listener) {
    let logins = listener.protocol.asks_logins();
    match &listener.penalty {
        Some(penalty) => penalty_words(text, penalty, logins),
        None if logins => text.say("Who guesses passwords is answered as fast as others: penalty is off."),
        None => text.say("Who guesses recipients is answered as fast as others: penalty is off."),
    }
}

pub(super) fn access(text: &mut Text, listener: &Listener) {
    access_words(text, &listener.access, listener.protocol.row().denied);
}

fn penalty_words(text: &mut Text, penalty: &Penalty, logins: bool) {
    let [delay, most, forget] = [penalty.delay, penalty.max_delay, penalty.forget].map(duration_text);
    let (failures, whose) = if logins {
        ("refused logins", "client, or refusals of one user,")
    } else {
        ("unknown recipients", "client")
    };
    text.say(format!(
        "Behind {} {failures} in {forget}, answers to one {whose} are {delay} late, then twice that, at most {most}.",
        penalty.after
    ));
    if let Some(most) = penalty.refuse_after {
        text.say(format!(
            "Behind {most} in {forget}, a client is told \"later\", and nobody is asked."
        ));
    }
    if !penalty.exempt.is_empty() {
        let exempt: Vec<_> = penalty.exempt.iter().map(ToString::to_string).collect();
        text.say(format!("Clients of {} are never late.", exempt.join(", ")));
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
        for (what, part) in [("clients of", networks), ("what is asked about", domains)] {
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
        "Answers {words}; else nobody is asked, and the answer is {others}."
    ));
}
