//! `[listener."NAME".action]`: the answers to Postfix.

use toml::de::DeValue;
use vouch_protocol::policy;

use super::key::keys;
use super::protocol::Protocol::Policy;
use super::scalar::{Bound, Scalar, Wrong, quoted};

keys! {
    /// Access(5) actions, each a word or a reply code with text, on one line.
    pub struct Action() {
        /// The recipient exists. Never `OK` or `permit…`: before `reject_unauth_destination` they make an open relay.
        "accept" accept: policy::Action = fixed("DUNNO"), parse no_permission, hint "go on to the next restriction";
        /// The mailbox is full. By default mail for it is retried by the next server. A 4xx code defers such mail at the
        /// edge: `452 4.2.2 Mailbox full`. Never `OK` or `permit…`.
        "full" full: Option<policy::Action> = None,
            parse |value, bound| no_permission(value, bound).map(Some), unset "as `accept`", example "\"DUNNO\"",
            hint "by default as accept; \"452 4.2.2 Mailbox full\" defers its mail at the edge";
        /// The recipient is unknown. `{reply}` stands for the remote's own text.
        "reject" reject: policy::Action = fixed("550 5.1.1 User unknown"),
            hint "{reply} stands for the server's own text";
        /// The mailbox is disabled.
        "disabled" disabled: policy::Action = fixed("550 5.2.1 Mailbox disabled");
        /// There was no answer. Never 5xx or `REJECT…`: "no answer" is never a "no".
        "defer" defer: policy::Action = fixed("DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again later"),
            parse no_refusal;
        /// The client asked too much. Never 5xx or `REJECT…`.
        "limit" limit: policy::Action = fixed("450 4.7.1 Too many recipients in one session, try again later"),
            parse no_refusal;
        /// Also answer VRFY; else `DUNNO`.
        "vrfy" vrfy: bool = false, at &[Policy], hint "true: also answer VRFY";
        /// Always answer `DUNNO`, and log the action that would have been taken.
        "dry-run" dry_run: bool = false,
            at &[Policy], hint "true: always DUNNO, and log the action instead: a good way to start";
    }
}

/// A default, which the tests below hold to be an action. The other arm leaves the decision to Postfix.
fn fixed(text: &str) -> policy::Action {
    policy::Action::new(text).unwrap_or_else(|_| policy::Action::dunno())
}

/// An action that Postfix does what it says with.
impl Scalar for policy::Action {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        const EXAMPLE: &str =
            "a word such as `DUNNO`, or a code with text such as `450 4.3.0 Try again later`";
        let text = value
            .as_str()
            .ok_or_else(|| Wrong::mistyped("a string", value, EXAMPLE))?;
        Self::new(text).map_err(|why| {
            Wrong::new("is no answer for Postfix", why.to_string()).help(format!("write {EXAMPLE}"))
        })
    }

    fn to_toml(&self) -> String {
        quoted(self.as_str())
    }
}

/// An action for a recipient that exists: nothing that lets in mail for others, too.
fn no_permission(value: &DeValue<'_>, bound: &Bound) -> Result<policy::Action, Wrong> {
    let action = policy::Action::parse(value, bound)?;
    let word = action.word();
    if word == "OK" || word.starts_with("PERMIT") {
        let label = "before `reject_unauth_destination` this lets all mail in";
        return Err(
            Wrong::new("would open the relay", label).help("write `\"DUNNO\"`: the next restriction decides")
        );
    }
    Ok(action)
}

/// An action for "no answer": none that rejects permanently.
fn no_refusal(value: &DeValue<'_>, bound: &Bound) -> Result<policy::Action, Wrong> {
    let action = policy::Action::parse(value, bound)?;
    if action.is_permanent() {
        return Err(Wrong::new("would reject permanently", "no answer is never a no")
            .help("write a 4xx code with text, `DEFER_IF_PERMIT …` or `DUNNO`"));
    }
    Ok(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_an_action() {
        let Action {
            accept,
            reject,
            disabled,
            defer,
            limit,
            ..
        } = Action::new();
        assert_eq!(accept, policy::Action::dunno());
        for action in [reject, disabled, defer, limit] {
            assert_ne!(action, policy::Action::dunno());
        }
    }
}
