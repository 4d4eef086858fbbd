//! Every key with its effective value, as TOML that reads back to the same configuration.

use crate::config::Config;
use crate::settings::directory::Directory;
use crate::settings::dovecot::Dovecot;
use crate::settings::fleet::Fleet;
use crate::settings::key::{Entry, Keyed, Shown};
use crate::settings::listener::Listener;
use crate::settings::process::{Control, Log, Service};
use crate::settings::scalar::quoted;
use crate::settings::socket::ListenAddress;

/// Where the remark on a key begins.
const REMARK_COLUMN: usize = 44;

/// All keys of a configuration.
pub(super) fn all(config: &Config) -> String {
    let mut out = String::new();
    for directory in &config.directory {
        let (kind, address) = (directory.kind, directory.address.clone());
        let default = Directory {
            // The port that it would have without the key.
            port: address.port(kind, directory.tls.implicit),
            ..Directory::new(&directory.name, kind, address)
        };
        let table = format!("directory.{}", quoted(&directory.name));
        write_table(&mut out, &table, &directory.every_key(), &default.every_key());
    }
    for listener in &config.listener {
        let (protocol, socket) = (listener.protocol, listener.socket.clone());
        let default = Listener::new(&listener.name, protocol, socket, listener.directory.clone());
        let table = format!("listener.{}", quoted(&listener.name));
        let mut keyed = listener.keyed();
        let mut default = default.keyed();
        if matches!(listener.socket, ListenAddress::Tcp(_)) {
            // Nobody is known at an address.
            keyed.keys.retain(|entry| entry.key.name != "peers");
            default.keys.retain(|entry| entry.key.name != "peers");
        }
        write_table(&mut out, &table, &keyed, &default);
    }
    if let Some(dovecot) = &config.dovecot {
        let default = Dovecot::new(dovecot.logins.clone(), dovecot.users.clone());
        write_table(&mut out, "dovecot", &dovecot.keyed(), &default.keyed());
    }
    if let Some(fleet) = &config.fleet {
        let default = Fleet::new(fleet.store.clone(), fleet.key_file.clone());
        write_table(&mut out, "fleet", &fleet.every_key(), &default.every_key());
    }
    if let Some(metrics) = &config.metrics {
        write_table(&mut out, "metrics", &metrics.every_key(), &metrics.every_key());
    }
    for (table, keyed, default) in [
        ("control", config.control.every_key(), Control::new().every_key()),
        ("log", config.log.every_key(), Log::new().every_key()),
        ("service", config.service.every_key(), Service::new().every_key()),
    ] {
        write_table(&mut out, table, &keyed, &default);
    }
    out
}

fn write_table(out: &mut String, table: &str, keyed: &Keyed, defaults: &Keyed) {
    out.push_str(&format!("[{table}]\n"));
    let entries = || keyed.keys.iter().zip(&defaults.keys);
    for (entry, default) in entries() {
        if let Some(line) = line(entry, entry.value == default.value) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    for (entry, default) in entries() {
        if let (Shown::Table(below @ Keyed { inline: None, .. }), Shown::Table(defaults)) =
            (&entry.value, &default.value)
        {
            write_table(out, &format!("{table}.{}", entry.key.name), below, defaults);
        }
    }
}

/// The line of a key; none of one that has lines of its own.
fn line(Entry { key, value }: &Entry, is_default: bool) -> Option<String> {
    let (shown, remark) = match value {
        Shown::Set(value)
        | Shown::Table(Keyed {
            inline: Some(value), ..
        }) => {
            let remark = (is_default && key.required.is_none()).then(|| "default".to_owned());
            (format!("{} = {value}", key.name), remark)
        }
        Shown::Unset(words) => (format!("# {}", key.name), Some(format!("default: {words}"))),
        Shown::Table(_) => return None,
    };
    Some(match remark {
        Some(remark) => format!("{shown:REMARK_COLUMN$} # {remark}"),
        None => shown,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::read;

    /// Holds every key, none with its default.
    const FULL: &str = include_str!("../../../tests/configs/good/full.toml");

    #[test]
    fn what_is_shown_reads_back_to_the_same() {
        let (config, _) = read::parse(Path::new("full.toml"), FULL).unwrap();
        let shown = all(&config);
        let (again, _) =
            read::parse(Path::new("shown.toml"), &shown).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, config);
    }

    #[test]
    fn a_default_is_marked_and_what_is_set_is_not() {
        let (config, _) = read::parse(Path::new("full.toml"), FULL).unwrap();
        let shown = all(&config);
        // Of a full file, only what no key can change is still the default.
        let defaults: Vec<_> = shown.lines().filter(|line| line.contains("# default")).collect();
        let name = |line: &&str| line.trim_start_matches("# ").split(' ').next().map(str::to_owned);
        let defaults: Vec<_> = defaults.iter().filter_map(name).collect();
        assert_eq!(defaults, ["routes"], "it does not go with `address`");
        let text = "[directory.a]\ntype = 'imap'\naddress = 'a.example'\nport = 144\n";
        let (config, _) = read::parse(Path::new("small.toml"), text).unwrap();
        let shown = all(&config);
        assert!(shown.contains("\nport = 144\n"), "{shown}");
        for line in shown.lines().filter(|line| !line.starts_with('[')) {
            let given = ["type", "address", "port"]
                .iter()
                .any(|key| line.starts_with(&format!("{key} = ")));
            assert_eq!(line.contains("# default"), !given, "{line}");
        }
    }
}
