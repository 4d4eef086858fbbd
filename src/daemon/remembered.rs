//! What the control socket answers about the memory of the directories.

use std::error::Error;

use serde_json::{Value, json};

use super::purges;
use super::status::{Daemon, Remote};
use crate::control::Refusal;
use crate::engine::remembered::{About, Entry, Listing, PurgeScope, Purged};

/// Bound (process): cache entries listed in one answer. Beyond: the others are counted. Why: nobody reads more at
/// once, and a domain narrows the list.
const MOST_LISTED: usize = 10_000;

/// Entries that are listed where nobody says how many.
const LISTED: u64 = 100;

/// Entries that are to be listed.
fn limit(request: &Value) -> usize {
    let wanted = request["limit"].as_u64().unwrap_or(LISTED);
    usize::try_from(wanted).map_or(MOST_LISTED, |wanted| wanted.min(MOST_LISTED))
}

impl Daemon {
    /// `cache-list`: the first entries by their names, of `directory`, of `domain`, at most
    /// `limit`.
    pub(super) async fn list(&self, request: &Value) -> Result<Value, Refusal> {
        let domain = text(request, "domain")?;
        let mut listing =
            Listing::new(limit(request), domain).map_err(|error| of(domain.unwrap_or_default(), error))?;
        for remote in self.asked(request)? {
            remote.member().list(&mut listing).await;
        }
        let entries = listing.first.iter().map(|(about, entry)| row(about, entry));
        Ok(json!({
            "entries": entries.collect::<Vec<_>>(),
            "found": listing.found,
            "refused-logins": listing.refused_logins,
        }))
    }

    /// `cache-get`: all about an address or a user's `name`.
    pub(super) fn look_up(&self, request: &Value) -> Result<Value, Refusal> {
        let name = text(request, "name")?.ok_or(Refusal::NamesNobody)?;
        let mut entries = Vec::new();
        for remote in self.asked(request)? {
            let found = remote.member().look_up(name.as_bytes());
            entries.extend(found.iter().map(|(about, entry)| {
                let mut row = row(about, entry);
                row["detail"] = entry.detail().into();
                row
            }));
        }
        Ok(json!({ "name": name, "entries": entries }))
    }

    /// `cache-purge`: of one of `mailbox`, `user`, `domain` and `all`, in `directory` or in every
    /// one.
    pub(super) async fn purge(&self, request: &Value) -> Result<Value, Refusal> {
        let whom = whom(request)?;
        let directories = self.asked(request)?;
        let members: Vec<_> = directories.iter().map(|remote| remote.member()).collect();
        let named = !request["directory"].is_null();
        let (purged, untold) = purges::purge(self.fleet.as_deref(), &members, named, &whom).await;
        let untold = untold.iter();
        let untold = untold.map(|(store, why)| json!({ "store": store, "trouble": why }));
        let sum = |number: fn(&Purged) -> usize| purged.iter().map(number).sum::<usize>();
        let waiting = directories
            .iter()
            .zip(&purged)
            .filter(|(_, purged)| purged.file_waits);
        let answer = json!({
            "recipients": sum(|purged| purged.recipients),
            "logins": sum(|purged| purged.logins),
            "refused-logins": sum(|purged| purged.refused_logins),
            "files-waiting": waiting.map(|(remote, _)| remote.name()).collect::<Vec<_>>(),
            "fleet": self.fleet.is_some(),
            "stores-waiting": untold.collect::<Vec<_>>(),
        });
        tracing::info!(
            about = ["mailbox", "user", "domain"]
                .iter()
                .find_map(|member| request[*member].as_str()),
            directory = request["directory"].as_str(),
            recipients = sum(|purged| purged.recipients),
            logins = sum(|purged| purged.logins),
            "the memory was purged by order of vouch cache"
        );
        Ok(answer)
    }

    /// The directory that a request names, or all.
    fn asked(&self, request: &Value) -> Result<Vec<&Remote>, Refusal> {
        let Some(name) = text(request, "directory")? else {
            return Ok(self.directories.iter().collect());
        };
        match self.directories.iter().find(|remote| remote.name() == name) {
            Some(remote) => Ok(vec![remote]),
            None => Err(Refusal::NoDirectory(name.to_owned())),
        }
    }
}

fn whom(request: &Value) -> Result<PurgeScope, Refusal> {
    if let Some(address) = text(request, "mailbox")? {
        return PurgeScope::mailbox(address).map_err(|error| of(address, error));
    }
    if let Some(user) = text(request, "user")? {
        return Ok(PurgeScope::user(user));
    }
    if let Some(domain) = text(request, "domain")? {
        return PurgeScope::domain(domain).map_err(|error| of(domain, error));
    }
    if request["all"] == true {
        return Ok(PurgeScope::All);
    }
    Err(Refusal::NamesNobody)
}

/// A member of a request that is a text, where it is there.
fn text<'a>(request: &'a Value, member: &str) -> Result<Option<&'a str>, Refusal> {
    match &request[member] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(Refusal::NoText(member.to_owned())),
    }
}

fn of(name: &str, error: impl Error + Send + Sync + 'static) -> Refusal {
    Refusal::NoName(name.to_owned(), Box::new(error))
}

/// Times in seconds.
fn row(about: &About, entry: &Entry) -> Value {
    json!({
        "name": String::from_utf8_lossy(&about.name),
        "kind": about.kind,
        "client": about.client.map(|client| client.to_string()),
        "directory": &*about.directory,
        "verdict": entry.verdict,
        "cause": entry.cause.as_ref().map(|cause| cause.class.name()),
        "state": entry.state.name(),
        "age": entry.age.as_secs(),
        "refresh-in": entry.refresh_in.map(|left| left.as_secs()),
        "ends-in": entry.ends_in.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills MOST_LISTED.
    #[test]
    fn no_more_is_listed_than_a_reader_can_use() {
        for (request, listed) in [
            (json!({}), 100),
            (json!({ "limit": 3 }), 3),
            (json!({ "limit": MOST_LISTED }), 10_000),
            (json!({ "limit": MOST_LISTED + 1 }), 10_000),
            (json!({ "limit": u64::MAX }), 10_000),
            (json!({ "limit": "all" }), 100),
        ] {
            assert_eq!(limit(&request), listed, "{request}");
        }
    }
}
