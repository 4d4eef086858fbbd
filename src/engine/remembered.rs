//! A directory's cache, for the administrator: looked up, listed, purged.
//!
//! Whatever looks at all of a memory does so in pieces, with others at work between them.
//! Nothing here tells anything of a password.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::cached_directory::CachedDirectory;
pub(crate) use super::entry::Entry;
use super::entry::in_pieces;
use super::kept::{end, key, read};
use super::lookups::Summary;
pub(crate) use super::purge_scope::PurgeScope;
use super::store::{KeyScope, Which};
use crate::address::{Address, Domain, DomainError};
use crate::verdict::UserName;

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// The address as in SMTP, or the user's name.
    pub name: Box<[u8]>,
    /// The directory's name.
    pub directory: Arc<str>,
    /// `recipient` or `login`.
    pub kind: &'static str,
    /// [`Entry::client`]
    pub client: Option<IpAddr>,
}

/// The first entries of a memory, or of several, by their names.
#[derive(Debug)]
pub struct Listing {
    /// At most so many.
    limit: usize,
    /// Only this domain.
    domain: Option<Domain>,
    /// Entries that there are, shown or not.
    pub found: usize,
    /// Refused logins, of which there is only a hash.
    pub refused_logins: usize,
    /// What is shown.
    pub first: BTreeMap<About, Entry>,
}

impl Listing {
    /// One of at most `limit` entries, of `domain` alone if there is one.
    ///
    /// # Errors
    /// Where that is no domain.
    pub fn new(limit: usize, domain: Option<&str>) -> Result<Self, DomainError> {
        Ok(Self {
            limit,
            domain: domain.map(Domain::parse).transpose()?,
            found: 0,
            refused_logins: 0,
            first: BTreeMap::new(),
        })
    }

    fn take(&mut self, about: About, entry: Entry) {
        self.found += 1;
        self.first.insert(about, entry);
        if self.first.len() > self.limit {
            self.first.pop_last();
        }
    }
}

/// What a purge has forgotten.
#[derive(Debug, Clone, Copy, Default)]
pub struct Purged {
    /// Recipients.
    pub recipients: usize,
    /// Accepted logins.
    pub logins: usize,
    /// Refused logins. Their hash names no user, so any purge of a user's takes all of them.
    pub refused_logins: usize,
    /// The file still has the recipients. They go from it as soon as it can be written.
    pub file_waits: bool,
}

impl CachedDirectory {
    /// What it remembers of an address or a user's name.
    pub fn look_up(&self, name: &[u8]) -> Vec<(About, Entry)> {
        let address = Address::from_unquoted(name)
            .ok()
            .map(|address| self.canonical(address));
        let recipient = address.and_then(|address| {
            let entry = self.recipients().entry(&address)?;
            Some((self.about(key(&address), "recipient", &entry), entry))
        });
        let logins = self.logins().entries_of(&UserName::new(name));
        let login = logins
            .into_iter()
            .map(|entry| (self.about(name.into(), "login", &entry), entry));
        recipient.into_iter().chain(login).collect()
    }

    /// Lists what it remembers.
    pub async fn list(&self, listing: &mut Listing) {
        let domain = listing.domain.clone();
        let domain = domain.as_ref();
        let ending = domain.map(end);
        let is_asked_for = |name: &[u8]| ending.as_ref().is_none_or(|end| name.ends_with(end));
        let recipient = |(name, entry): (Box<[u8]>, _)| {
            if let (true, Some(entry)) = (is_asked_for(&name), entry) {
                listing.take(self.about(name, "recipient", &entry), entry);
            }
        };
        in_pieces(self.recipients().entries(), recipient).await;
        let login = |(user, entries): (UserName, Vec<Entry>)| {
            let is_asked_for = domain.is_none_or(|domain| is_of(&user, domain));
            for entry in entries.into_iter().filter(|_| is_asked_for) {
                listing.take(self.about(user.as_bytes().into(), "login", &entry), entry);
            }
        };
        in_pieces(self.logins().entries(), login).await;
        listing.refused_logins += self.logins().refused();
    }

    /// Adds what it remembers, and what that was good for.
    pub(super) async fn sum_up(&self, summary: &mut Summary) {
        summary.count(&self.recipients().lookups);
        summary.count(&self.logins().lookups);
        let recipient = |(_, entry): (_, Option<Entry>)| match entry.map(|entry| entry.verdict) {
            Some("accept") => summary.positive += 1,
            Some(_) => summary.negative += 1,
            None => {}
        };
        in_pieces(self.recipients().entries(), recipient).await;
        let login = |(_, entries): (_, Vec<Entry>)| summary.positive += entries.len();
        in_pieces(self.logins().entries(), login).await;
        summary.negative += self.logins().refused();
    }

    /// Forgets, in memory and on disk. Later questions go to the directory; answers to earlier
    /// ones are not kept, whenever they come.
    pub async fn purge(&self, whom: &PurgeScope) -> Purged {
        let recipients = match whom {
            PurgeScope::Mailbox(address) => Some(KeyScope::One(key(&self.canonical(address.clone())))),
            PurgeScope::User(_) => None,
            PurgeScope::Domain(domain) => Some(KeyScope::Ending(end(domain))),
            PurgeScope::All => Some(KeyScope::All),
        };
        let (recipients, written) = match recipients {
            Some(whom) => self.recipients().purge(&whom).await,
            None => (0, true),
        };
        let is = |user: &UserName| match whom {
            // Too much that is forgotten is asked again, and no more.
            PurgeScope::Mailbox(address) => user.as_bytes().eq_ignore_ascii_case(&address.to_unquoted()),
            PurgeScope::User(name) => user.as_bytes().eq_ignore_ascii_case(name.as_bytes()),
            PurgeScope::Domain(domain) => is_of(user, domain),
            PurgeScope::All => true,
        };
        let (logins, refused_logins) = self.logins().purge(is).await;
        Purged {
            recipients,
            logins,
            refused_logins,
            file_waits: !written,
        }
    }

    /// Forgets the recipients and users whom another map leads to other servers than before; `agree` tells of a local part
    /// and a domain whether it does not. What is remembered from now on, also on disk, is what this `source` says.
    pub async fn forget_moved(
        &self,
        agree: impl Fn(&[u8], &Domain) -> bool + Send + Sync + 'static,
        source: String,
    ) -> Purged {
        let moved = move |address: &Address| !agree(address.local(), address.domain());
        let moved = Arc::new(moved);
        let of_key = moved.clone();
        let which = Which(Arc::new(move |key: &[u8]| {
            read(key).is_none_or(|address| of_key(&address))
        }));
        let scope = KeyScope::Those(which);
        let (recipients, written) = self.recipients().purge_for(&scope, Some(source)).await;
        let is =
            |user: &UserName| Address::from_unquoted(user.as_bytes()).is_ok_and(|address| moved(&address));
        let (logins, refused_logins) = self.logins().purge(is).await;
        Purged {
            recipients,
            logins,
            refused_logins,
            file_waits: !written,
        }
    }

    fn about(&self, name: Box<[u8]>, kind: &'static str, entry: &Entry) -> About {
        About {
            name,
            directory: self.name().clone(),
            kind,
            client: entry.client,
        }
    }
}

fn is_of(user: &UserName, domain: &Domain) -> bool {
    let of = user.domain().and_then(|domain| str::from_utf8(domain).ok());
    of.is_some_and(|of| Domain::parse(of).is_ok_and(|of| of == *domain))
}
