//! What must hold where mechanisms are for a remote to judge.

use crate::config::Config;
use crate::settings::listener::{AnyLogin, Listener};
use crate::settings::mechanism::Mechanism;
use crate::settings::problem::Problem;
use crate::settings::table::{Findings, Place};
use crate::template::Template;

/// A dialog holds a session, as a client that just failed may do: another must be left for
/// everybody else.
const FEWEST_SESSIONS: u32 = 3;

/// Refuses a mechanism that could not be carried faithfully, or only at the cost of the
/// passwords beside it.
pub(super) fn check(found: &mut Findings, config: &Config, listener: &Listener, table: &str) {
    let given = found.given(&format!("{table}.mechanisms"));
    let places = given.map(|given| given.items.clone()).unwrap_or_default();
    let relayed = listener.mechanisms.iter().zip(&places);
    let relayed: Vec<_> = relayed.filter(|(mechanism, _)| mechanism.is_relayed()).collect();
    let mut refuse = |place: &Place, title: String, label: String, help: &str| {
        found.problem(Problem::new(title, place.clone(), label).help(help));
    };
    if let (true, Some((mechanism, place))) = (listener.ok.pass, relayed.first()) {
        let title = format!(
            "listener \"{}\" cannot offer {mechanism} and have `ok.pass`",
            listener.name
        );
        let label = "a client that logs in by this gives no password".to_owned();
        refuse(place, title, label, "leave one of the two out");
    }
    let in_order = listener.any_login == AnyLogin::InOrder && listener.directory.len() > 1;
    let is_token = |(mechanism, _): &&(&Mechanism, &Place)| !mechanism.is_challenge_response();
    if let (true, Some((mechanism, place))) = (in_order, relayed.iter().find(is_token)) {
        let title = format!(
            "listener \"{}\" cannot offer {mechanism} with `any-login = \"in-order\"`",
            listener.name
        );
        let label = "a token is meant for one server, and would be sent to others".to_owned();
        refuse(place, title, label, "leave one of the two out");
    }
    let mut relayed = relayed
        .iter()
        .filter(|(mechanism, _)| mechanism.is_challenge_response());
    let Some((mechanism, place)) = relayed.next() else {
        return;
    };
    let mut refuse = |label: String, help: &str| {
        let title = format!("listener \"{}\" cannot relay {mechanism}", listener.name);
        refuse(place, title, label, help);
    };
    let [name] = listener.directory.as_slice() else {
        let label = "the user is not known yet when a directory must be asked for the challenge".to_owned();
        return refuse(label, "relay at a listener with one directory");
    };
    let Some(directory) = config.directory(name) else {
        return;
    };
    if directory.auth.username != Template::user() {
        let label = format!("\"{name}\" sends another name than the client's, which the dialog has sealed");
        refuse(label, "leave `auth.username` of the directory at `\"{user}\"`");
    }
    let sessions = directory.pool.max_sessions.logins;
    if sessions < FEWEST_SESSIONS {
        let label = format!("each dialog holds a session of \"{name}\", which has at most {sessions}");
        refuse(label, "set its `pool.max-sessions` to 3 or more");
    }
}
