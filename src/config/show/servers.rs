//! The servers of a directory, in words.

use super::Text;
use crate::settings::address::{Addresses, MAX_SERVERS, RemoteAddress};
use crate::settings::directory::Directory;

/// Which are asked, in which order, and which never.
pub(super) fn words(text: &mut Text, directory: &Directory) {
    let kind = directory.kind.as_str().to_ascii_uppercase();
    match directory.address.only() {
        Some(RemoteAddress::Host { .. }) => text.say(format!("{kind} to {}.", directory.endpoint())),
        Some(RemoteAddress::Socket(path)) => {
            text.say(format!("{kind} over the Unix socket {}.", path.display()));
        }
        None => match &directory.address {
            Addresses::Listed(_) => several_words(text, directory, &kind),
            Addresses::Mx(_) | Addresses::Srv(_) => dns_words(text, directory),
        },
    }
}

/// Whose certificate it must be where no key names another.
pub(super) fn whose(address: &Addresses) -> String {
    match address {
        Addresses::Listed(_) => {}
        Addresses::Mx(_) => return "that of the host in the MX record".to_owned(),
        Addresses::Srv(service) => return format!("{}'s", service.domain),
    }
    let mut names: Vec<_> = address.servers().iter().filter_map(RemoteAddress::host).collect();
    names.dedup();
    match &names[..] {
        [name] => format!("{name}'s"),
        names => format!("the server's own ({})", names.join(", ")),
    }
}

/// Which servers DNS names.
fn dns_words(text: &mut Text, directory: &Directory) {
    match &directory.address {
        Addresses::Listed(_) => return,
        Addresses::Mx(domain) => {
            text.say(format!(
                "SMTP to port {} of the servers in the MX records of {domain}, the best preference first; without MX \
                 records, of {domain} itself.",
                directory.port.unwrap_or_default()
            ));
            text.say(
                "Never asks this machine, nor a server whose preference is not better than this machine's: they would \
                 ask this one. What a backup MX (any but the best preference) says is not cached.",
            );
            text.say("Is never asked about a login: DNS must not say who gets passwords.");
        }
        Addresses::Srv(service) => text.say(format!(
            "{} to the servers and ports in the SRV records {service}, in their order of priority and weight.",
            directory.kind.as_str().to_ascii_uppercase()
        )),
    }
    text.say(format!(
        "At most {MAX_SERVERS} of them are tried. An answer of DNS is used for its TTL, within 10 s and one hour, and as long as \
         there is no new one."
    ));
    next_words(text, directory);
}

/// What is done where there are several servers.
fn several_words(text: &mut Text, directory: &Directory, kind: &str) {
    text.say(format!(
        "{kind} to the first of these servers that opens a session, each with the same accounts: {}.",
        directory.endpoint()
    ));
    next_words(text, directory);
}

/// When the next of several servers is tried.
fn next_words(text: &mut Text, directory: &Directory) {
    text.say(
        "The next one is tried where a server refuses the connection, is silent, says 421 or BYE, or fails in TLS; one \
         that failed while another worked is tried last for 60 s. A user or recipient that one of them refuses is not \
         asked about at another.",
    );
    if directory.knows_logins() {
        text.say("A login's password is sent to one of them only.");
    }
}
