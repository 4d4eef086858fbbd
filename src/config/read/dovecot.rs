//! Reads `[dovecot]`.

use super::{
    listener::{Places, deadline, directories, limits, logins, users},
    table::{Findings, Table},
    trust,
};
use crate::config::{Dovecot, listener::Protocol};

/// Every key of the table, to recognise one in the wrong table.
const KEYS: &[&str] = &[
    "dovecot.logins", "dovecot.users", "dovecot.deadline", "dovecot.limits.rcpt",
    "dovecot.limits.rcpt-errors", "dovecot.limits.auth-errors", "dovecot.default-domain",
    "dovecot.mechanisms", "dovecot.tempfail", "dovecot.ok", "dovecot.exists", "dovecot.fields",
    "dovecot.allow", "dovecot.deny", "dovecot.penalty.after", "dovecot.penalty.delay",
    "dovecot.penalty.max-delay", "dovecot.penalty.forget", "dovecot.penalty.refuse-after",
    "dovecot.penalty.exempt",
];

/// Reads the table; with it come the places of `logins` and of `users`.
pub(super) fn read(found: &mut Findings, mut table: Table<'_>) -> (Dovecot, [Places; 2]) {
    let mut places = [Places::of(&table), Places::of(&table)];
    let [of_logins, of_users] = &mut places;
    let asked_logins = directories(found, &mut table, "logins", of_logins);
    let asked_users = directories(found, &mut table, "users", of_users);
    let mut dovecot = Dovecot::new(asked_logins, asked_users);
    deadline(found, &mut table, &mut dovecot.keys);
    if let Some(table) = table.table(found, "limits") {
        limits(found, table, &mut dovecot.keys.limits, KEYS);
    }
    trust::trust(found, &mut table, Some(Protocol::Login), &mut dovecot.keys, KEYS);
    of_logins.relayed = logins(found, &mut table, Some(Protocol::Login), &mut dovecot.keys);
    users(found, &mut table, Some(Protocol::Master), &mut dovecot.keys);
    table.finish(found, KEYS);
    (dovecot, places)
}
