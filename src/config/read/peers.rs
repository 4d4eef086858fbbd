//! Reads `peers` of a listener: the users and groups that may connect.

use toml::de::DeValue;

use super::{
    problem::Problem,
    table::{Findings, Place, Table},
    value::{self, Wrong},
};
use crate::config::{ListenAddress, Listener, listener::Peer};

const EXAMPLE: &str = "`[\"postfix\", \"root\", \"@mail\", 107]`";

/// `peers = [ *( user / "@" group ) ]`, each a name or a number.
pub(super) fn peers(found: &mut Findings, table: &mut Table<'_>, listener: &mut Listener) {
    let Some(field) = table.field("peers") else { return };
    if let ListenAddress::Tcp(_) = listener.socket {
        let title = format!("`{}` does not go with an address", field.name);
        found.problem(
            Problem::new(title, field.key, "a client over TCP has no user and no group")
                .help("give the listener a Unix socket, or leave the key out"),
        );
        return;
    }
    let Some(items) = field.value.as_array() else {
        field.wrong(found, Wrong::mistyped("a list", field.value, EXAMPLE));
        return;
    };
    if items.is_empty() {
        let wrong = Wrong::new("names nobody", "nobody could connect");
        field.wrong(
            found,
            wrong.help("omit the key to admit all that the mode admits"),
        );
        return;
    }
    let mut read: Vec<(Peer, Place)> = Vec::new();
    for item in items.iter() {
        match peer(item.get_ref()) {
            Ok(peer) => match read.iter().find(|(known, _)| *known == peer) {
                Some((_, first)) => {
                    let title = format!("`{}` names `{peer}` twice", field.name);
                    found.problem(
                        Problem::new(title, item.span(), "named again here")
                            .also(first.clone(), "first named here"),
                    );
                }
                None => read.push((peer, item.span())),
            },
            Err(Wrong { what, label, help }) => {
                let problem = Problem::new(format!("`{}` {what}", field.name), item.span(), label);
                found.problem(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
            }
        }
    }
    listener.peers = Some(read.into_iter().map(|(peer, _)| peer).collect());
}

fn peer(value: &DeValue<'_>) -> Result<Peer, Wrong> {
    if value.as_integer().is_some() {
        let number = value::count(0..=u32::MAX - 1)(value)?;
        return Ok(Peer::User(number.to_string()));
    }
    if value.as_str().is_none() {
        return Err(Wrong::mistyped("a list of names and numbers", value, EXAMPLE));
    }
    let text = value::filled(value)?;
    match text.strip_prefix('@') {
        Some("") => Err(Wrong::new(
            "has a group without a name", "`@` stands before a group's name",
        )),
        Some(group) => Ok(Peer::Group(group.to_owned())),
        None if text.starts_with(['%', ':', '+']) => Err(Wrong::new(
            "has a name that no user has", "a group has `@` before its name",
        )),
        None => Ok(Peer::User(text)),
    }
}
