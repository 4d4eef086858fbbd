//! Reads `[listener."NAME".action]`.

use toml::de::DeValue;
use vouch_protocol::policy;

use super::{
    listener::{KEYS, only},
    table::{Findings, Table},
    value::{self, Wrong},
};
use crate::config::listener::{Action, Protocol};

/// Reads `[….action]`.
pub(super) fn action(
    found: &mut Findings,
    mut table: Table<'_>,
    protocol: Option<Protocol>,
    action: &mut Action,
) {
    table.read(found, "accept", &mut action.accept, no_permission);
    table.read_some(found, "full", &mut action.full, no_permission);
    table.read(found, "reject", &mut action.reject, answer);
    table.read(found, "disabled", &mut action.disabled, answer);
    table.read(found, "defer", &mut action.defer, no_refusal);
    table.read(found, "limit", &mut action.limit, no_refusal);
    if only(found, &mut table, protocol, "vrfy").is_some() {
        table.read(found, "vrfy", &mut action.vrfy, value::flag);
    }
    if only(found, &mut table, protocol, "dry-run").is_some() {
        table.read(found, "dry-run", &mut action.dry_run, value::flag);
    }
    table.finish(found, KEYS);
}

/// An action that Postfix does what it says with.
fn answer(value: &DeValue<'_>) -> Result<policy::Action, Wrong> {
    const EXAMPLE: &str = "a word such as `DUNNO`, or a code with text such as `450 4.3.0 Try again later`";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::mistyped("a string", value, EXAMPLE))?;
    policy::Action::new(text).map_err(|why| {
        Wrong::new("is no answer for Postfix", why.to_string()).help(format!("write {EXAMPLE}"))
    })
}

/// An action for a recipient that exists: nothing that lets in mail for others, too.
fn no_permission(value: &DeValue<'_>) -> Result<policy::Action, Wrong> {
    let action = answer(value)?;
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
fn no_refusal(value: &DeValue<'_>) -> Result<policy::Action, Wrong> {
    let action = answer(value)?;
    if action.is_permanent() {
        return Err(Wrong::new("would reject permanently", "no answer is never a no")
            .help("write a 4xx code with text, `DEFER_IF_PERMIT …` or `DUNNO`"));
    }
    Ok(action)
}
