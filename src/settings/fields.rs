//! The fields that a listener adds to its answers: `ok` and `fields`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use toml::de::DeValue;

use super::key::{Key, Keyed, Shown, Value};
use super::problem::Problem;
use super::protocol::Protocol;
use super::scalar::{Bound, Wrong, filled, quoted};
use super::table::{Field, Findings, Table};
use crate::address::network::Network;
use crate::template::Template;

/// Names, each with its template. Every name is allowed; Dovecot reads unknown ones as settings of the user.
pub type Fields = BTreeMap<String, Template>;

/// `fields`: a table of fields whose names the file chooses, each a template.
impl Value for Fields {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        let Some(fields) = field.as_table(found) else {
            return;
        };
        for (name, field) in named(found, &fields) {
            template(found, &field, name, self);
        }
    }

    fn show(&self) -> Shown {
        Shown::Set(inline(
            self.iter().map(|(name, template)| (name, template.to_string())),
        ))
    }
}

/// An inline table.
fn inline(fields: impl Iterator<Item = (impl ToString, String)>) -> String {
    let fields: Vec<_> = fields
        .map(|(name, text)| format!("{} = {}", quoted(name), quoted(text)))
        .collect();
    if fields.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", fields.join(", "))
    }
}

/// What is added to OK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OkFields {
    /// By template.
    pub fields: Fields,
    /// `pass=`: the password that the remote accepted, for a proxy to log in with.
    pub pass: bool,
    /// Where logins may come from; everywhere, where it is `None`.
    pub allow_nets: Option<Vec<Network>>,
}

impl Value for OkFields {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        if let Some(table) = field.as_table(found) {
            ok(found, &table, field.context.protocol, self);
        }
    }

    fn show(&self) -> Shown {
        let mut text: BTreeMap<&str, String> = self
            .fields
            .iter()
            .map(|(name, template)| (name.as_str(), template.to_string()))
            .collect();
        if self.pass {
            text.insert("pass", PASSWORD.to_owned());
        }
        if let Some(networks) = &self.allow_nets {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            text.insert("allow_nets", networks.join(","));
        }
        let key = |name, about| Key::<Option<String>>::new(name, about).entry(&None);
        Shown::Table(Keyed {
            about: " Fields added to OK, which tell Dovecot's login processes to do more with a login than start a session. \
                    Any name, by template. `proxy = \"y\"` forwards the user to `host`, an IP address, and needs `pass`; \
                    `nologin = \"y\"` refuses every session, with `reason`. Names that vouch sends itself, such as `user`, \
                    are refused.",
            inline: Some(inline(text.into_iter())),
            keys: vec![
                key(
                    "pass",
                    " `\"{password}\"`: the password that the remote accepted, for the proxy.",
                ),
                key(
                    "allow_nets",
                    " A list of networks, separated by commas. A login from another or an unknown address is refused \
                     without asking the remote. vouch applies it and does not send it to clients.",
                ),
            ],
        })
    }
}

/// The only value of `pass`.
const PASSWORD: &str = "{password}";

/// `ok`: the same, with some names that mean more to us or to Dovecot.
fn ok(found: &mut Findings, table: &Table<'_>, protocol: Option<Protocol>, ok: &mut OkFields) {
    let entries = named(found, table);
    let has = |name| entries.iter().any(|(known, _)| *known == name);
    let has_hostip = has("hostip");
    for (name, field) in &entries {
        let wrong = match *name {
            "user" | "original_user" | "auth_user" | "resp" | "code" | "temp" => Some(Wrong::new(
                "cannot be set", "vouch says this itself, or never does",
            )),
            "pass" => pass(field, ok),
            "allow_nets" => allow_nets(field, ok),
            "proxy" | "nologin" => only(field, "must be \"y\"", |text| text == "y")
                .map(|wrong| wrong.help("leave the key out where it is not meant")),
            "port" => only(field, "is no port", |text| {
                text.parse::<u16>().is_ok_and(|port| port > 0)
            }),
            "hostip" => only(field, "is not an IP address", is_address),
            "host" if !has_hostip => only(field, "is not an IP address", is_address).map(|wrong| {
                wrong.help("Dovecot's login processes look up no names: give the address, or add `hostip`")
            }),
            _ => None,
        };
        match wrong {
            Some(wrong) => field.wrong(found, wrong),
            None if !matches!(*name, "pass" | "allow_nets") => {
                template(found, field, name, &mut ok.fields);
            }
            None => {}
        }
    }
    if has("proxy") && !(has("host") && has("pass")) {
        let title = format!("`{}` has `proxy` without `host` and `pass`", table.name);
        let label = "Dovecot's login processes crash without them";
        let help = "add `host = \"192.0.2.1\"`, the server's address, and `pass = \"{password}\"`";
        found.problem(Problem::new(title, table.place.clone(), label).help(help));
    }
    notes(found, table, protocol, ok);
}

/// What is taken and should not go unnoticed.
fn notes(found: &mut Findings, table: &Table<'_>, protocol: Option<Protocol>, ok: &OkFields) {
    let has = |name| ok.fields.contains_key(name);
    if has("nologin") && protocol == Some(Protocol::Auth) {
        let text = "Postfix, Exim and others take such a login for a good one; protocol `login` is Dovecot's";
        found.note(&table.place, format!("`{}.nologin`: {text}", table.name));
    }
    if has("proxy") && protocol == Some(Protocol::Auth) {
        let text = "a login is accepted here once a directory has accepted it, also without a proxy";
        found.note(&table.place, format!("`{}.proxy`: {text}", table.name));
    }
    let address = |name| {
        let text = ok.fields.get(name).and_then(Template::as_text)?;
        text.parse::<IpAddr>().ok()
    };
    let stays = address("hostip")
        .or_else(|| address("host"))
        .is_some_and(|host| host.is_loopback());
    if has("proxy") && !has("ssl") && !has("starttls") && !stays {
        let text = "the password goes to that host where anyone on the way reads it: add `ssl = \"yes\"` or \
                    `starttls = \"yes\"`";
        found.note(&table.place, format!("`{}.proxy`: {text}", table.name));
    }
}

/// The password is the user's own. Another one is not shown again.
fn pass(field: &Field<'_>, ok: &mut OkFields) -> Option<Wrong> {
    ok.pass = true;
    let wrong = only(field, "must be \"{password}\"", |text| text == PASSWORD)?;
    Some(Wrong {
        label: "a password in a file does not stay secret".to_owned(),
        ..wrong
    })
}

fn allow_nets(field: &Field<'_>, ok: &mut OkFields) -> Option<Wrong> {
    let read = filled(field.value).and_then(|text| {
        let networks = text.split(',').map(|network| Network::parse(network.trim()));
        networks.collect::<Result<Vec<_>, _>>().map_err(|why| {
            Wrong::new("is no list of networks", why.to_string())
                .help("write it as in `\"192.0.2.0/24,2001:db8::/32\"`")
        })
    });
    match read {
        Ok(networks) => {
            ok.allow_nets = Some(networks);
            None
        }
        Err(wrong) => Some(wrong),
    }
}

/// A text that must be of one kind.
fn only(field: &Field<'_>, what: &str, fits: impl Fn(&str) -> bool) -> Option<Wrong> {
    match filled(field.value) {
        Ok(text) if fits(&text) => None,
        Ok(text) => Some(Wrong::new(what, format!("this is \"{text}\""))),
        Err(wrong) => Some(wrong),
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// The keys of a table of fields. Fields are separated by TAB and end at `=`
/// (Dovecot auth-protocol): a key that could not be distinguished from its value
/// is refused.
fn named<'t>(found: &mut Findings, table: &Table<'t>) -> Vec<(&'t str, Field<'t>)> {
    let mut fields = Vec::new();
    for (name, field) in table.entries() {
        let name: &str = name.get_ref();
        if name.is_empty() || name.contains(['=', '\t', ' ']) || name.chars().any(char::is_control) {
            let title = format!("`{}` has no usable name", field.name);
            found.problem(Problem::new(
                title, field.key, "a field's name holds no `=`, space or control character",
            ));
        } else {
            fields.push((name, field));
        }
    }
    fields
}

fn template(found: &mut Findings, field: &Field<'_>, name: &str, into: &mut BTreeMap<String, Template>) {
    match field_template(field.value) {
        Ok(template) => {
            into.insert(name.to_owned(), template);
        }
        Err(wrong) => field.wrong(found, wrong),
    }
}

/// A template for a field of an answer, which may hold what is known of the request.
fn field_template(value: &DeValue<'_>) -> Result<Template, Wrong> {
    let text = filled(value)?;
    Template::parse_for_request(&text).map_err(|why| {
        Wrong::new("is not a template", why.to_string()).help(
            "`{user}` is the whole name, `{local}` and `{domain}` what is left and right of the last `@`; `{service}`, \
             `{rip}` and `{session}` are the request's",
        )
    })
}
