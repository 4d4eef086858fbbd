//! How much one client may ask, or fail, in words.

use super::{Text, at_most, listed};
use crate::settings::limit::Limit;
use crate::settings::listener::Listener;
use crate::settings::protocol::Protocol;

pub(super) fn words(text: &mut Text, listener: &Listener) {
    let limits = &listener.limits;
    let (rcpt, errors) = (at_most(limits.rcpt), at_most(limits.rcpt_errors));
    let (whose, counted) = match listener.protocol {
        protocol if protocol.asks_logins() => return login_words(text, listener),
        Protocol::Policy => (
            format!(
                "One message may ask for {rcpt} recipients, one SMTP session for {errors} unknown ones; the count restarts \
                 with the next message after one that had an accepted recipient"
            ),
            [limits.rcpt, limits.rcpt_errors],
        ),
        _ => (
            format!("One connection may ask for {rcpt} recipients, {errors} unknown ones among them"),
            [limits.rcpt, limits.rcpt_errors],
        ),
    };
    text.say(format!("{whose}{}.", beyond(&counted)));
}

fn login_words(text: &mut Text, listener: &Listener) {
    let limit = listener.limits.auth_errors;
    let failed = at_most(limit);
    if limit == Limit::Unlimited {
        return text.say(format!("One session may fail {failed} logins."));
    }
    text.say(format!(
        "One session may fail {failed} different logins in ten minutes{}.",
        beyond(&[limit])
    ));
    let told = if listener.protocol == Protocol::Saslauthd {
        "A session is identified by process and client address"
    } else {
        "A session is identified by session= where the client sends one, else by connection and client address"
    };
    let exempt = listener.penalty.clone().unwrap_or_default().exempt;
    let exempt = match &exempt[..] {
        [] => String::new(),
        some => format!(", nor are clients in {}", listed(some)),
    };
    text.say(format!(
        "{told}, until a login from there is accepted. Clients that report no address are not limited{exempt}."
    ));
}

/// What becomes of more.
fn beyond(limits: &[Limit]) -> &'static str {
    if limits.iter().all(|limit| *limit == Limit::Unlimited) {
        ""
    } else {
        "; beyond, the answer is \"later\" without asking"
    }
}
