//! `vouch cache`: the running daemon's cached answers.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::columns::Side::{Left, Right};
use super::columns::{Table, each, name, paragraph, warning, word};
use crate::address::{Address, Domain, DomainError, NotAnAddress};
use crate::cli::{ConfigFile, print, status, unknown_directory};
use crate::telemetry::colour;
use crate::telemetry::words::spoken;

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// List the cached recipients and accepted logins
    #[command(after_help = "Exit status: 0, 69 no daemon is running, 78 bad configuration.")]
    List(List),
    /// Show the cached answers for addresses or users
    #[command(
        after_help = "Exit status: 0, 1 one of them has no cached answer, 69 no daemon is running, 78 bad configuration."
    )]
    Get(Get),
    /// Delete cached recipients and logins, in memory and on disk
    #[command(
        after_help = "Name what to delete; --directory alone deletes everything of that directory. What was deleted is asked \
                      again when a request comes, and an answer already under way is not cached. Deleting any login also \
                      deletes all refused logins of the directory: they are kept as hashes, which name no user. With a \
                      [fleet], every edge does the same. Exit status: 0, also if nothing was cached; 69 no daemon is running, 78 bad configuration."
    )]
    Purge(Purge),
}

/// Arguments of `vouch cache list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: Common,
    /// Only this domain
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    domain: Option<String>,
    /// At most N entries, in the order of their names
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
}

/// Arguments of `vouch cache get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    common: Common,
    /// The addresses, or users' names
    #[arg(value_name = "ADDRESS", required = true)]
    names: Vec<String>,
}

/// Arguments of `vouch cache purge`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).multiple(true).args(["mailbox", "user", "domain", "directory", "all"]))]
pub(crate) struct Purge {
    #[command(flatten)]
    common: Common,
    /// This recipient, and logins under this address
    #[arg(value_name = "ADDRESS", conflicts_with_all = ["user", "domain", "all"], value_parser = mailbox)]
    mailbox: Option<String>,
    /// Logins under this name, as the log shows it
    #[arg(long, value_name = "USER", conflicts_with_all = ["domain", "all"])]
    user: Option<String>,
    /// Recipients and users of this domain
    #[arg(long, value_name = "DOMAIN", conflicts_with = "all", value_parser = domain)]
    domain: Option<String>,
    /// Everything
    #[arg(long, conflicts_with = "directory")]
    all: bool,
}

/// Arguments that all of them share.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Only this directory
    #[arg(short, long, value_name = "NAME")]
    directory: Option<String>,
    /// Print one JSON object; of several addresses, one per line
    #[arg(long)]
    json: bool,
}

/// A name is purged of which there may be logins alone.
#[derive(Debug, thiserror::Error)]
#[error("{0}; --user takes any name")]
struct NoMailbox(#[source] NotAnAddress);

fn domain(text: &str) -> Result<String, DomainError> {
    Domain::parse(text).map(|domain| domain.to_string())
}

fn mailbox(text: &str) -> Result<String, NoMailbox> {
    let address = Address::from_unquoted(text.as_bytes());
    address.map(|_| text.to_owned()).map_err(NoMailbox)
}

/// Asks, and prints the answer.
pub(crate) fn run(cache: &Cache, file: &ConfigFile) -> Result<(), ExitCode> {
    match cache {
        Cache::List(list) => run_list(list, file),
        Cache::Get(get) => run_get(get, file),
        Cache::Purge(purge) => run_purge(purge, file),
    }
}

impl Common {
    /// The answer to a request, which is given the directory.
    fn ask(&self, mut request: Value, file: &ConfigFile) -> Result<Value, ExitCode> {
        let (config, _) = file.load()?;
        if let Some(name) = &self.directory {
            if !config.directory.iter().any(|directory| directory.name == *name) {
                return Err(unknown_directory("cache", name, &config));
            }
            request["directory"] = name.as_str().into();
        }
        super::ask("cache", &config, &request)
    }

    fn show(&self, answer: &Value, shown: impl Fn(&Value) -> String) -> Result<(), ExitCode> {
        if self.json {
            print(&format!("{answer}\n"))
        } else {
            print(&shown(answer))
        }
    }
}

fn run_list(list: &List, file: &ConfigFile) -> Result<(), ExitCode> {
    let request = json!({ "ask": "cache-list", "domain": list.domain, "limit": list.limit });
    let answer = list.common.ask(request, file)?;
    list.common.show(&answer, listed)
}

fn run_get(get: &Get, file: &ConfigFile) -> Result<(), ExitCode> {
    let mut ended = Ok(());
    for name in &get.names {
        let answer = get
            .common
            .ask(json!({ "ask": "cache-get", "name": name }), file)?;
        get.common.show(&answer, got)?;
        if each(&answer["entries"]).next().is_none() {
            ended = Err(status::REFUSED.into());
        }
    }
    ended
}

fn run_purge(purge: &Purge, file: &ConfigFile) -> Result<(), ExitCode> {
    let mut request = json!({ "ask": "cache-purge" });
    match (&purge.mailbox, &purge.user, &purge.domain) {
        (Some(address), ..) => request["mailbox"] = address.as_str().into(),
        (_, Some(user), _) => request["user"] = user.as_str().into(),
        (.., Some(domain)) => request["domain"] = domain.as_str().into(),
        // Of a directory, if one is named.
        _ => request["all"] = true.into(),
    }
    let answer = purge.common.ask(request, file)?;
    purge.common.show(&answer, purged)
}

fn listed(answer: &Value) -> String {
    let mut table = Table::whole(&[
        ("DIRECTORY", Left),
        ("WHAT", Left),
        ("VERDICT", Left),
        ("CAUSE", Left),
        ("AGE", Right),
        ("REFRESH", Right),
        ("ENDS", Right),
        ("NAME", Left),
    ]);
    let mut shown = 0;
    for entry in each(&answer["entries"]) {
        shown += 1;
        table.row(vec![
            name(&word(&entry["directory"])),
            word(&entry["kind"]),
            word(&entry["verdict"]),
            word(&entry["cause"]),
            seconds(&entry["age"]),
            refresh(entry),
            format!("in {}", seconds(&entry["ends-in"])),
            format!("{}{}", word(&entry["name"]), from(entry)),
        ]);
    }
    let mut text = String::new();
    table.write(&mut text);
    // Without a table above, no empty line is needed.
    let mut text = text.trim_start().to_owned();
    let found = answer["found"].as_u64().unwrap_or_default();
    if found == 0 {
        text.push_str("nothing is cached\n");
    } else if found > shown {
        text.push_str(&format!(
            "\nand {} more: --limit shows more, --domain only one domain\n",
            found - shown
        ));
    }
    let refused = answer["refused-logins"].as_u64().unwrap_or_default();
    if refused > 0 {
        text.push_str(&format!("\nrefused logins, kept as hashes only: {refused}\n"));
    }
    text
}

/// The address that a login was accepted from, where it counts.
fn from(entry: &Value) -> String {
    let client = entry["client"].as_str();
    client.map_or_else(String::new, |client| format!(" from {client}"))
}

fn refresh(entry: &Value) -> String {
    match entry["state"].as_str() {
        Some("ageing") => "due".to_owned(),
        Some("stale") => "stale".to_owned(),
        _ if entry["refresh-in"].is_u64() => format!("in {}", seconds(&entry["refresh-in"])),
        _ => "-".to_owned(),
    }
}

fn got(answer: &Value) -> String {
    let mut text = String::new();
    for entry in each(&answer["entries"]) {
        paragraph(&mut text, &sentence(entry));
    }
    if text.is_empty() {
        text = format!("no cached answer for {}\n", word(&answer["name"]));
    }
    text
}

fn sentence(entry: &Value) -> String {
    let verdict = match (entry["kind"].as_str(), entry["verdict"].as_str()) {
        (Some("recipient"), Some("accept")) => "exists",
        (Some("recipient"), _) => "is refused",
        _ => "may log in",
    };
    let from = from(entry);
    let why = match entry["detail"].as_str() {
        Some(detail) => format!(" ({}: {detail})", word(&entry["cause"])),
        None => String::new(),
    };
    let good_for = match entry["state"].as_str() {
        Some("ageing") => "valid; asked again at the next request".to_owned(),
        Some("stale") => "used only while the directory gives no answer".to_owned(),
        _ if entry["refresh-in"].is_u64() => {
            format!(
                "valid; asked again at the first request after {}",
                seconds(&entry["refresh-in"])
            )
        }
        _ => "valid".to_owned(),
    };
    format!(
        "{}: {} {verdict}{from}{why}, {} ago; {good_for}; expires in {}",
        word(&entry["directory"]),
        word(&entry["name"]),
        seconds(&entry["age"]),
        seconds(&entry["ends-in"])
    )
}

fn purged(answer: &Value) -> String {
    let mut text = format!(
        "deleted: recipients {}, accepted logins {}, refused logins {}\n",
        word(&answer["recipients"]),
        word(&answer["logins"]),
        word(&answer["refused-logins"])
    );
    for directory in each(&answer["files-waiting"]) {
        let told = format!(
            "{}: its cache.file could not be written yet: what it holds of them is deleted as soon as it can be, unless \
             vouch ends before; the log names the error",
            word(directory)
        );
        warning(&mut text, &told, colour::wanted(&io::stdout()));
    }
    if answer["fleet"] == true && each(&answer["stores-waiting"]).next().is_none() {
        text.push_str("the other edges of the fleet do the same within a second\n");
    }
    for store in each(&answer["stores-waiting"]) {
        let told = format!(
            "{}: this store of the fleet has not taken the purge yet: {}. It is given the purge as soon as it takes it, unless \
             vouch ends before; until then, edges that know of no other store go on with what they have",
            word(&store["store"]),
            word(&store["trouble"])
        );
        warning(&mut text, &told, colour::wanted(&io::stdout()));
    }
    text
}

fn seconds(value: &Value) -> String {
    let seconds = value.as_u64().map(Duration::from_secs);
    seconds.map_or_else(|| "-".to_owned(), spoken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Value {
        json!({
            "name": "jane@example.org", "kind": "recipient", "directory": "mailbox", "verdict": "accept", "cause": null,
            "state": "fresh", "age": 190, "refresh-in": 1_610, "ends-in": 604_610, "detail": null,
        })
    }

    #[test]
    fn a_list_is_in_columns_and_says_what_it_leaves_out() {
        let mut no = entry();
        for (member, value) in [
            ("name", json!("no\u{1b}@example.org")),
            ("verdict", json!("reject")),
            ("cause", json!("unknown-user")),
            ("refresh-in", json!(null)),
            ("ends-in", json!(70)),
        ] {
            no[member] = value;
        }
        let answer = json!({ "entries": [entry(), no], "found": 7, "refused-logins": 3 });
        let expected = "\
DIRECTORY  WHAT       VERDICT  CAUSE           AGE    REFRESH       ENDS  NAME
mailbox    recipient  accept   -             3 min  in 26 min  in 6 days  jane@example.org
mailbox    recipient  reject   unknown-user  3 min          -    in 70 s  no?@example.org

and 5 more: --limit shows more, --domain only one domain

refused logins, kept as hashes only: 3
";
        assert_eq!(listed(&answer), expected);
        assert_eq!(listed(&json!({})), "nothing is cached\n");
    }

    #[test]
    fn what_is_remembered_of_one_is_a_sentence() {
        let answer = |entry: Value| got(&json!({ "name": "x", "entries": [entry] }));
        assert_eq!(
            answer(entry()).replace('\n', " "),
            "mailbox: jane@example.org exists, 3 min ago; valid; asked again at the first request after 26 min; expires in \
             6 days "
        );
        let mut stale = entry();
        stale["state"] = "stale".into();
        assert!(
            answer(stale)
                .replace('\n', " ")
                .contains("used only while the directory gives no answer")
        );
        let mut no = entry();
        no["verdict"] = "reject".into();
        no["cause"] = "unknown-user".into();
        no["detail"] = "550 5.1.1 no such user".into();
        let told = answer(no).replace('\n', " ");
        assert!(
            told.contains("jane@example.org is refused (unknown-user: 550 5.1.1 no such user), 3 min ago"),
            "{told}"
        );
        let login = json!({
            "name": "jane@example.org", "kind": "login", "client": "192.0.2.7", "directory": "mailbox",
            "verdict": "accept", "state": "fresh", "age": 5, "ends-in": 55,
        });
        assert!(listed(&json!({ "entries": [login.clone()] })).contains("jane@example.org from 192.0.2.7"));
        let told = answer(login).replace('\n', " ");
        assert!(
            told.contains("mailbox: jane@example.org may log in from 192.0.2.7, 5 s ago"),
            "{told}"
        );
        assert_eq!(got(&json!({ "name": "x" })), "no cached answer for x\n");
    }

    #[test]
    fn a_purge_says_how_many_went_and_where_they_still_are() {
        let answer =
            json!({ "recipients": 2, "logins": 1, "refused-logins": 0, "files-waiting": ["mailbox"] });
        let told = purged(&answer);
        assert!(
            told.starts_with("deleted: recipients 2, accepted logins 1, refused logins 0\n! mailbox: "),
            "{told}"
        );
        assert!(!told.contains("fleet"), "{told}");
        let told = purged(&json!({ "recipients": 1, "fleet": true, "stores-waiting": [] }));
        assert!(
            told.ends_with("\nthe other edges of the fleet do the same within a second\n"),
            "{told}"
        );
        let waiting = json!([{ "store": "unix:/run/redis.sock", "trouble": "it is full" }]);
        let told = purged(&json!({ "recipients": 1, "fleet": true, "stores-waiting": waiting }));
        assert!(told.contains("\n! unix:/run/redis.sock: this store"), "{told}");
        assert!(!told.contains("within a second"), "{told}");
    }
}
