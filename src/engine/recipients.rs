//! Recipient verdicts kept: an Accept long, a Reject short, a Defer never.
//!
//! An Accept that is past `refresh` is still the answer, and somebody should ask
//! again meanwhile. One past `positive` is the answer only while the directory
//! gives none of its own, and no longer than `stale`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quick_cache::sync::{Cache, EntryAction, EntryResult, GuardResult};
use tokio::time::Instant;

use super::entry::{Entry, State, in_pieces};
use super::epoch::Epoch;
use super::kept::{Said, end, key, read};
use super::lookups::{self, Lookups};
use super::store::{self, KeyScope, Store, Which};
use super::witnesses::Witnesses;
use crate::address::{Address, Domain};
use crate::settings::directory::Ttl;
use crate::verdict::{Identity, Verdict};

/// Verdicts on the recipients of one directory.
pub struct Recipients {
    ttl: Ttl,
    kept: Cache<Box<[u8]>, Kept>,
    /// Counted by the caller.
    pub(super) lookups: Lookups,
    /// A question records its time; an answer asked for before a purge is not kept after it.
    pub(super) epoch: Epoch,
    /// Those of each domain that were accepted last.
    pub(super) witnesses: Witnesses,
    /// Where they survive a restart.
    store: OnceLock<Store>,
}

/// What is kept of one recipient. There are many of them.
#[derive(Debug, Clone)]
struct Kept {
    since: Instant,
    /// Most are accepted without a word, and of those there is no more to tell.
    more: Option<Box<More>>,
}

#[derive(Debug, Clone)]
struct More {
    said: Said,
    /// It was refused at that time for the first time since, and that is not believed yet.
    refused: Option<Instant>,
}

impl Kept {
    fn new(said: Said, since: Instant) -> Self {
        let more = match said {
            Said::Yes(None) => None,
            said => Some(Box::new(More { said, refused: None })),
        };
        Self { since, more }
    }

    fn into_said(self) -> Said {
        self.more.map_or(Said::Yes(None), |more| more.said)
    }

    fn is_yes(&self) -> bool {
        self.more
            .as_ref()
            .is_none_or(|more| matches!(more.said, Said::Yes(_)))
    }

    fn refused(&self) -> Option<Instant> {
        self.more.as_ref()?.refused
    }
}

impl Recipients {
    /// A memory of at most `entries` recipients.
    pub fn new(entries: usize, ttl: Ttl) -> Self {
        Self {
            ttl,
            kept: Cache::new(entries),
            lookups: Lookups::default(),
            epoch: Epoch::default(),
            witnesses: Witnesses::default(),
            store: OnceLock::new(),
        }
    }

    /// Also keeps them in a file, and begins to read it: a recipient that is not
    /// read yet is not cached yet. Returns at once; what goes wrong is
    /// said in the log, and then there is no file.
    pub fn remember_in(self: &Arc<Self>, settings: store::Settings) {
        let (directory, memory) = (settings.directory.clone(), Arc::downgrade(self));
        let remember = move |key, said, age| {
            if let Some(memory) = memory.upgrade() {
                memory.restore(key, said, age);
            }
        };
        match Store::open(settings, remember) {
            // A second file would be one too many; none is asked for.
            Ok(store) => drop(self.store.set(store)),
            Err(error) => tracing::error!(
                directory = &*directory,
                "no thread for `cache.file`: {error}; recipients are cached without it"
            ),
        }
    }

    /// Has all that was found written to the file, if there is one, and closes
    /// it. Blocks, within a bound.
    pub fn close(&self) {
        if let Some(store) = self.store.get() {
            store.close();
        }
    }

    /// Why the file cannot be read or written at present; `None` where it can, or where there is
    /// none.
    pub fn file_trouble(&self) -> Option<String> {
        self.store.get().and_then(Store::trouble)
    }

    /// What is remembered of `address`.
    pub(super) fn recall(&self, address: &Address) -> Option<(State, Verdict)> {
        let name = address.to_wire();
        let kept = self.kept.get(&*name)?;
        let age = kept.since.elapsed();
        match kept.into_said() {
            Said::No(cause) if age < self.ttl.negative => Some((State::Fresh, Verdict::Reject(*cause))),
            Said::No(_) => None,
            Said::Yes(remark) => {
                let remark = remark.map(|cause| *cause);
                let verdict = Verdict::Accept(Identity {
                    name,
                    remark,
                    by_backup: false,
                });
                Some((self.state(age)?, verdict))
            }
        }
    }

    /// What an Accept of this age is good for.
    fn state(&self, age: Duration) -> Option<State> {
        let ttl = self.ttl;
        if age < ttl.refresh.min(ttl.positive) {
            Some(State::Fresh)
        } else if age < ttl.positive {
            Some(State::Ageing)
        } else {
            (age < ttl.stale).then_some(State::Stale)
        }
    }

    /// Keeps what a probe found. A Defer is no finding: it overwrites nothing. Nor is what a backup MX says, which may take
    /// everybody.
    pub fn keep(&self, address: &Address, verdict: &Verdict) {
        if verdict.is_by_backup() {
            return;
        }
        let said = match verdict {
            Verdict::Accept(identity) => Said::Yes(identity.remark.clone().map(Box::new)),
            Verdict::Reject(cause) => Said::No(Box::new(cause.clone())),
            Verdict::Defer(_) | Verdict::Abstain(_) => return,
        };
        let key = key(address);
        if let Some(store) = self.store.get() {
            store.keep(key.clone(), said.clone());
        }
        if let Said::No(_) = said {
            self.witnesses.forget_one(address);
        }
        self.kept.insert(key, Kept::new(said, Instant::now()));
    }

    /// Takes down that a recipient was refused that was asked about `at` that time. Gives when it was first refused, if
    /// it is remembered as accepted.
    pub(super) fn note_refusal(&self, address: &Address, at: Instant) -> Option<Instant> {
        let key = key(address);
        let kept = self.kept.get(&key)?;
        if !kept.is_yes() || kept.since.elapsed() >= self.ttl.positive.max(self.ttl.stale) {
            return None;
        }
        let earlier = kept.refused();
        if earlier.is_none() {
            let since = kept.since;
            let (said, refused) = (kept.into_said(), Some(at));
            let more = Some(Box::new(More { said, refused }));
            self.kept.insert(key, Kept { since, more });
        }
        earlier.or(Some(at))
    }

    /// Takes in what was found so long ago, unless something was found since.
    fn restore(&self, key: Box<[u8]>, said: Said, age: Duration) {
        // A clock that does not reach back so far cannot say how old it is: ask anew.
        let Some(since) = Instant::now().checked_sub(age) else {
            return;
        };
        if let (Said::Yes(_), Some(address)) = (&said, read(&key)) {
            self.witnesses.restore(&address, since);
        }
        if let GuardResult::Guard(place) = self.kept.get_value_or_guard(&key, Some(Duration::ZERO)) {
            // It is refused if something was found just now.
            let _ = place.insert(Kept::new(said, since));
        }
    }

    /// Takes in what another edge found `since` that time, unless what is known here is younger, or a yes that is to be
    /// refused by this edge's own remote alone. Whether it was taken.
    pub(super) fn learn(&self, address: &Address, said: Said, since: Instant) -> bool {
        let (is_yes, longest) = (
            matches!(said, Said::Yes(_)),
            self.ttl.positive.max(self.ttl.stale),
        );
        let learned = Kept::new(said, since);
        let replace = |kept: &mut Kept| {
            let is_known = kept.is_yes() && kept.since.elapsed() < longest;
            let gives_way = kept.since < since && (is_yes || !is_known);
            if gives_way {
                *kept = learned.clone();
            }
            EntryAction::Retain(gives_way)
        };
        let taken = match self.kept.entry(&key(address), None, |_, kept| replace(kept)) {
            EntryResult::Retained(taken) => taken,
            EntryResult::Vacant(place) => place.insert(learned.clone()).is_ok(),
            _ => false,
        };
        if taken && is_yes {
            self.witnesses.restore(address, since);
        }
        taken
    }

    /// Forgets who was refused in `domain`, since it was for no good reason.
    pub fn forget_refusals(&self, domain: &Domain) {
        self.forget(domain, |kept| !kept.is_yes());
    }

    /// Forgets who was accepted in `domain`, where everybody was.
    pub fn forget_accepts(&self, domain: &Domain) {
        self.witnesses.forget_domain(domain);
        self.forget(domain, Kept::is_yes);
    }

    /// Whether it ever keeps anything.
    pub fn keeps(&self) -> bool {
        let Ttl {
            positive,
            negative,
            stale,
            ..
        } = self.ttl;
        !positive.max(negative).max(stale).is_zero()
    }

    /// How full it is, and what it was good for.
    pub fn report(&self) -> lookups::Report {
        let limit = usize::try_from(self.kept.capacity()).unwrap_or(usize::MAX);
        self.lookups.report(self.kept.len(), limit)
    }

    /// Recipients cached as existing, even if only while there is no other answer; `None`
    /// where nobody ever is.
    ///
    /// Each item is one entry that was looked at; `None` where it is of no such mailbox. No lock is held between two.
    pub fn known(&self) -> Option<impl Iterator<Item = Option<Address>> + Send> {
        let longest = self.ttl.positive.max(self.ttl.stale);
        let exists = move |kept: &Kept| kept.is_yes() && kept.since.elapsed() < longest;
        let looked_at = move |(key, kept): (Box<[u8]>, Kept)| if exists(&kept) { read(&key) } else { None };
        (!longest.is_zero()).then(|| self.kept.iter().map(looked_at))
    }

    /// What is remembered of a recipient, with its times.
    pub fn entry(&self, address: &Address) -> Option<Entry> {
        self.aged(self.kept.get(&*key(address))?)
    }

    /// Everything that is remembered, by the one form of each address; `None` where it is of no
    /// use any more. No lock is held between two of them.
    pub fn entries(&self) -> impl Iterator<Item = (Box<[u8]>, Option<Entry>)> + Send {
        self.kept.iter().map(|(key, kept)| (key, self.aged(kept)))
    }

    fn aged(&self, kept: Kept) -> Option<Entry> {
        let (ttl, age) = (self.ttl, kept.since.elapsed());
        let left = |time: Duration| time.checked_sub(age).filter(|left| !left.is_zero());
        let (verdict, cause, state, ends) = match kept.into_said() {
            Said::No(cause) => ("reject", Some(cause), State::Fresh, ttl.negative),
            Said::Yes(remark) => ("accept", remark, self.state(age)?, ttl.positive.max(ttl.stale)),
        };
        let fresh = verdict == "accept" && state == State::Fresh;
        Some(Entry {
            verdict,
            cause: cause.map(|cause| *cause),
            client: None,
            age,
            state,
            refresh_in: left(ttl.refresh).filter(|_| fresh),
            ends_in: left(ends)?,
        })
    }

    /// Forgets a recipient; `false` where nothing was remembered.
    pub fn forget_one(&self, address: &Address) -> bool {
        self.epoch.end();
        self.witnesses.forget_one(address);
        let key = key(address);
        if let Some(store) = self.store.get() {
            store.forget(key.clone());
        }
        self.kept.remove(&key).is_some()
    }

    /// Forgets every recipient; how many they were.
    pub fn forget_all(&self) -> usize {
        self.epoch.end();
        self.witnesses.forget(|_| true);
        let forgotten = self.kept.len();
        self.kept.clear();
        if let Some(store) = self.store.get() {
            store.start_purge(KeyScope::All);
        }
        forgotten
    }

    /// Forgets recipients, one after another, so that nobody waits for long who looks into the
    /// memory meanwhile. Gives how many they were, and `false` where the file still has them:
    /// they go from it as soon as it can be written.
    pub async fn purge(&self, whom: &KeyScope) -> (usize, bool) {
        self.purge_for(whom, None).await
    }

    /// The same. From now on it remembers what another `source` says, where one is named.
    pub(super) async fn purge_for(&self, whom: &KeyScope, source: Option<String>) -> (usize, bool) {
        self.epoch.end();
        let forgotten = self.forget_each(whom).await;
        let Some(store) = self.store.get() else {
            return (forgotten, true);
        };
        let written = store.purge(whom.clone(), source).await;
        // At a start, the file may have been read until just now.
        self.forget_each(whom).await;
        (forgotten, written)
    }

    /// Forgets those of which this tells it, by the one form and by how long ago it was found; how many they were. What the
    /// file is read from at a start may be missing until then, so the start is waited for, if it is that.
    pub(super) async fn forget_those(
        &self,
        which: impl Fn(&[u8], Duration) -> bool,
        at_start: bool,
    ) -> usize {
        self.epoch.end();
        let forgotten = self.forget_known(&which).await;
        let Some(store) = self.store.get().filter(|_| at_start) else {
            return forgotten;
        };
        let nobody = KeyScope::Those(Which(Arc::new(|_| false)));
        store.purge(nobody, None).await;
        forgotten + self.forget_known(&which).await
    }

    async fn forget_known(&self, which: impl Fn(&[u8], Duration) -> bool) -> usize {
        self.witnesses
            .forget(|address| which(&key(address), Duration::ZERO));
        let mut forgotten = 0;
        let forget = |(key, kept): (Box<[u8]>, Kept)| {
            if !which(&key, kept.since.elapsed()) {
                return;
            }
            if let Some(address) = read(&key) {
                self.witnesses.forget_one(&address);
            }
            forgotten += usize::from(self.kept.remove(&key).is_some());
            if let Some(store) = self.store.get() {
                store.forget(key);
            }
        };
        in_pieces(self.kept.iter(), forget).await;
        forgotten
    }

    async fn forget_each(&self, whom: &KeyScope) -> usize {
        self.witnesses.forget(|address| whom.matches(&key(address)));
        if let KeyScope::One(key) = whom {
            return usize::from(self.kept.remove(key).is_some());
        }
        let mut forgotten = 0;
        let forget = |(key, _): (Box<[u8]>, _)| {
            forgotten += usize::from(whom.matches(&key) && self.kept.remove(&key).is_some());
        };
        in_pieces(self.kept.iter(), forget).await;
        forgotten
    }

    fn forget(&self, domain: &Domain, which: impl Fn(&Kept) -> bool) {
        let end = end(domain);
        self.kept.retain(|key, kept| {
            let forgotten = key.ends_with(&end) && which(kept);
            if let (true, Some(store)) = (forgotten, self.store.get()) {
                store.forget(key.clone());
            }
            !forgotten
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::verdict::{Cause, Class};

    const TTL: Ttl = Ttl {
        positive: Duration::from_secs(400),
        refresh: Duration::from_secs(30),
        negative: Duration::from_secs(20),
        stale: Duration::from_secs(7000),
    };

    fn address(text: &str) -> Address {
        Address::from_typed(text).unwrap()
    }

    fn no() -> Verdict {
        Verdict::Reject(Cause::said(Class::UnknownUser, "550 5.1.1", "no such user"))
    }

    fn defer() -> Verdict {
        Verdict::Defer(Cause::ours(Class::Timeout, "x"))
    }

    // Fills directory.NAME.cache.ttl.positive, directory.NAME.cache.ttl.refresh, directory.NAME.cache.ttl.stale.
    #[tokio::test(start_paused = true)]
    async fn an_accept_ages() {
        let (memory, jane) = (Recipients::new(100, TTL), address("jane@e.org"));
        let yes = Verdict::accept("jane@e.org");
        assert_eq!(memory.recall(&jane), None);
        memory.keep(&jane, &yes);
        assert_eq!(memory.recall(&jane), Some((State::Fresh, yes.clone())));
        advance(TTL.refresh).await;
        assert_eq!(memory.recall(&jane), Some((State::Ageing, yes.clone())));
        advance(TTL.positive - TTL.refresh).await;
        assert_eq!(memory.recall(&jane), Some((State::Stale, yes.clone())));
        memory.keep(&jane, &defer());
        assert_eq!(memory.recall(&jane), Some((State::Stale, yes)));
        advance(TTL.stale).await;
        assert_eq!(memory.recall(&jane), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_edge_has_found_gives_way_to_what_is_younger_here_and_a_no_to_every_yes() {
        let no = || Said::No(Box::new(Cause::said(Class::UnknownUser, "550 5.1.1", "x")));
        let yes = || Said::Yes(None);
        advance(TTL.negative).await;
        // What is known here, what another has found, whether that is younger, and whether it is taken.
        for (known, found, is_younger, is_taken) in [
            (no(), yes(), true, true),
            (no(), yes(), false, false),
            (no(), no(), true, true),
            (no(), no(), false, false),
            (yes(), yes(), true, true),
            (yes(), yes(), false, false),
            (yes(), no(), true, false),
            (yes(), no(), false, false),
        ] {
            let (memory, jane) = (Recipients::new(100, TTL), address("jane@e.org"));
            let (then, second) = (Instant::now() - Duration::from_secs(5), Duration::from_secs(1));
            assert!(memory.learn(&jane, known.clone(), then));
            let since = if is_younger { then + second } else { then - second };
            let taken = memory.learn(&jane, found.clone(), since);
            assert_eq!(taken, is_taken, "{known:?}, {found:?}, {is_younger}");
        }
        let (memory, jane) = (Recipients::new(100, TTL), address("jane@e.org"));
        assert!(memory.learn(&jane, yes(), Instant::now()));
        advance(TTL.stale).await;
        assert!(
            memory.learn(&jane, no(), Instant::now()),
            "nobody knows it any more"
        );
    }

    // Fills directory.NAME.cache.ttl.negative.
    #[tokio::test(start_paused = true)]
    async fn a_reject_is_kept_shortly_and_overwrites_an_accept() {
        let (memory, jane) = (Recipients::new(100, TTL), address("jane@e.org"));
        memory.keep(&jane, &Verdict::accept("jane@e.org"));
        memory.keep(&jane, &no());
        assert_eq!(memory.recall(&jane), Some((State::Fresh, no())));
        advance(TTL.negative).await;
        assert_eq!(memory.recall(&jane), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_kept_on_disk_ages_on_and_gives_way_to_what_is_known() {
        let (memory, jane, joe) = (
            Recipients::new(100, TTL),
            address("jane@e.org"),
            address("joe@e.org"),
        );
        memory.keep(&joe, &no());
        for address in [&jane, &joe] {
            memory.restore(
                key(address),
                Said::Yes(None),
                TTL.positive - Duration::from_secs(1),
            );
        }
        let yes = Verdict::accept("jane@e.org");
        assert_eq!(memory.recall(&jane), Some((State::Ageing, yes.clone())));
        assert_eq!(memory.recall(&joe), Some((State::Fresh, no())));
        advance(Duration::from_secs(1)).await;
        assert_eq!(memory.recall(&jane), Some((State::Stale, yes)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_refusal_of_who_is_known_is_taken_down() {
        let (memory, jane, full) = (
            Recipients::new(100, TTL),
            address("jane@e.org"),
            address("full@e.org"),
        );
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(memory.note_refusal(&jane, began), None);
        let is_full = Verdict::Accept(Identity {
            name: b"full@e.org".to_vec(),
            remark: Some(Cause::said(Class::Full, "452 4.2.2", "full")),
            by_backup: false,
        });
        let yes = Verdict::accept("jane@e.org");
        for (address, verdict) in [(&jane, yes), (&full, is_full)] {
            memory.keep(address, &verdict);
            assert_eq!(memory.note_refusal(address, began), Some(began));
            assert_eq!(memory.note_refusal(address, began + second), Some(began));
            assert_eq!(memory.recall(address), Some((State::Fresh, verdict.clone())));
            memory.keep(address, &verdict);
            assert_eq!(memory.note_refusal(address, began + second), Some(began + second));
        }
        memory.keep(&jane, &no());
        assert_eq!(memory.note_refusal(&jane, began), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_mailbox_is_one_entry() {
        let memory = Recipients::new(100, TTL);
        memory.keep(&address("\"jane\"@E.ORG"), &no());
        assert_eq!(memory.recall(&address("jane@e.org")), Some((State::Fresh, no())));
        assert_eq!(memory.recall(&address("Jane@e.org")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_domain_is_forgotten_alone_and_by_half() {
        let memory = Recipients::new(50, TTL);
        let known = |text| memory.recall(&address(text)).is_some();
        memory.keep(&address("yes@e.org"), &Verdict::accept("yes@e.org"));
        memory.keep(&address("no@e.org"), &no());
        memory.keep(&address("no@sub.e.org"), &no());
        memory.forget_refusals(address("x@e.org").domain());
        assert!(known("yes@e.org") && !known("no@e.org") && known("no@sub.e.org"));
        memory.forget_accepts(address("x@e.org").domain());
        assert!(!known("yes@e.org") && known("no@sub.e.org"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_exists_is_listed_until_forgotten() {
        let memory = Recipients::new(50, TTL);
        let listed = |memory: &Recipients| {
            let mut names: Vec<_> = memory
                .known()
                .unwrap()
                .flatten()
                .map(|address| address.to_string())
                .collect();
            names.sort();
            names
        };
        for yes in ["jane@e.org", "\"a b\"@e.org"] {
            memory.keep(&address(yes), &Verdict::accept(yes));
        }
        memory.keep(&address("no@e.org"), &no());
        assert_eq!(listed(&memory), ["\"a b\"@e.org", "jane@e.org"]);
        assert!(memory.forget_one(&address("jane@e.org")) && !memory.forget_one(&address("jane@e.org")));
        assert_eq!(listed(&memory), ["\"a b\"@e.org"]);
        advance(TTL.stale).await;
        assert_eq!(listed(&memory), [""; 0]);
        assert_eq!(memory.forget_all(), 2);
        let none = Ttl {
            positive: Duration::ZERO,
            stale: Duration::ZERO,
            ..TTL
        };
        assert!(Recipients::new(50, none).known().is_none());
    }

    // Fills directory.NAME.cache.entries.
    #[tokio::test(start_paused = true)]
    async fn it_holds_no_more_than_it_was_told_to() {
        let memory = Recipients::new(50, TTL);
        for number in 0..1000 {
            memory.keep(&address(&format!("{number}@e.org")), &no());
        }
        assert!(memory.kept.len() <= 50, "{}", memory.kept.len());
    }
}
