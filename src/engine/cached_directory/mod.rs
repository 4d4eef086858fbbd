//! A directory with its memory: what was asked lately is not asked again, and
//! what is being asked is asked once.

mod particular;

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vouch_protocol::sasl::RelayedMechanism;

use super::catch_all::CatchAll;
use super::credibility::Confirmer;
use super::credibility::canaries::{self, Canaries};
use super::flight::{Flights, Late};
use super::login_lookup::LoginLookup;
use super::logins::{Logins, Tag};
use super::lookup::Answer;
use super::not_understood::NotUnderstood;
use super::purge_scope::PurgeScope;
use super::recipient_lookup::RecipientLookup;
use super::recipients::Recipients;
use super::shared::{Shared, Sharing};
use super::stale::{self, StaleLogins};
use super::trust::Trust;
use super::trusted_elsewhere::TrustedElsewhere;
use super::unknown_rate::{Rate, UnknownRate};
use super::witnesses::Doubt;
use super::{Decision, Source, lookups, refusals, store};
use crate::address::{Address, Domain};
use crate::chance::Chance;
use crate::directory::Directory;
use crate::directory::routed::Lead;
use crate::settings::directory as settings;
use crate::verdict::{Kind, Proof, Question, UserName, Verdict};
pub use particular::Settings;

/// Bound (sessions): connection to learn which mechanisms a server offers. Beyond: it is repeated later. Why: nobody
/// waits for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Bound (sessions): first pause after such a connection that failed; each further one is twice as long. Beyond: the
/// server is asked again. Why: nobody waits for it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Bound (sessions): longest pause after such a connection that failed. Beyond: the server is asked again. Why:
/// nobody waits for it.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// What a directory remembers, and what it is not believed in.
#[derive(Debug, Clone)]
pub struct Report {
    /// Recipients that are remembered.
    pub recipients: lookups::Report,
    /// Logins that are remembered.
    pub logins: lookups::Report,
    /// Those that are accepted while the remote is down; `None` where none ever is.
    pub stale: Option<stale::Report>,
    /// Domains whose remote accepts every address.
    pub catch_all_domains: usize,
}

/// A directory as the listeners see it.
pub struct CachedDirectory {
    settings: Settings,
    directory: Arc<dyn Directory>,
    memory: Memory,
    recipients: Arc<RecipientLookup>,
    logins: Arc<LoginLookup>,
}

/// What goes on in a directory that succeeds another.
#[derive(Clone)]
struct Memory {
    recipients: Arc<Recipients>,
    logins: Arc<Logins>,
    trust: Arc<Trust>,
    chance: Chance,
    not_understood: Arc<NotUnderstood>,
    unknown_rate: Option<Arc<UnknownRate>>,
}

impl CachedDirectory {
    /// A directory that remembers nothing yet. `key` is random, and new in each
    /// life of the process; tests of its domains are drawn from `chance`.
    pub fn new(settings: Settings, directory: Arc<dyn Directory>, key: [u8; 32], chance: Chance) -> Self {
        let cache = &settings.keys.cache;
        let credentials = cache.credentials();
        let stale = || {
            let (lasts, key) = (credentials.stale?, chance.bytes()?);
            Some(StaleLogins::new(settings.name.clone(), cache.room(), lasts, &key))
        };
        let logins = Logins::new(cache.room(), credentials, key).with_stale(stale());
        let memory = Memory {
            recipients: Arc::new(Recipients::new(cache.room(), cache.ttl())),
            logins: Arc::new(logins),
            trust: Arc::new(Trust::new(&key)),
            chance,
            not_understood: Arc::new(NotUnderstood::new(settings.name.clone())),
            unknown_rate: None,
        };
        Self::with(settings, directory, memory)
    }

    /// One that goes on with what this one remembers. The bounds of that memory stay as they are.
    #[must_use]
    pub fn succeeded_by(&self, settings: Settings, directory: Arc<dyn Directory>) -> Self {
        Self::with(settings, directory, self.memory.clone())
    }

    /// The same, with the trust of `old`: users accepted there have priority here.
    #[must_use]
    pub fn with_trust_of(self, old: &Self) -> Self {
        let trust = old.memory.trust.clone();
        Self::with(self.settings, self.directory, Memory { trust, ..self.memory })
    }

    /// Whether both remember the same recipients.
    pub fn remembers_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory.recipients, &other.memory.recipients)
    }

    fn with(settings: Settings, directory: Arc<dyn Directory>, mut memory: Memory) -> Self {
        let (name, domains) = (&settings.name, &settings.domains);
        let lookup = &settings.keys.lookup;
        memory.recipients.witnesses.serve(name.clone(), domains.clone());
        memory.unknown_rate = settings.keys.limits.unknown_rate.map(|rate| {
            let same = memory.unknown_rate.filter(|refused| refused.rate() == rate);
            same.unwrap_or_else(|| Arc::new(UnknownRate::new(name.clone(), rate)))
        });
        let canonical = |canary: &Address| settings.canonical(canary.clone());
        let catch_all = || CatchAll::new(name.clone(), domains.clone(), memory.chance.clone());
        let confirmer = Confirmer {
            directory: directory.clone(),
            memory: memory.recipients.clone(),
            not_understood: memory.not_understood.clone(),
            unknown_rate: memory.unknown_rate.clone(),
            canaries: Canaries::new(name.clone(), lookup.canary.iter().map(canonical)),
            health: settings.health.clone(),
            flights: Flights::default(),
            checks: Flights::default(),
        };
        let recipients = Arc::new(RecipientLookup {
            confirmer: Arc::new(confirmer),
            catch_all: (lookup.catch_all == settings::CatchAll::Detect).then(catch_all),
            shared: settings
                .sharing
                .clone()
                .filter(|_| memory.recipients.keeps() && !settings.keys.auth.forward_client)
                .map(|sharing| Shared::new(sharing, settings.keys.cache.ttl())),
            forward_client: settings.keys.auth.forward_client,
        });
        let logins = Arc::new(LoginLookup {
            directory: directory.clone(),
            not_understood: memory.not_understood.clone(),
            memory: memory.logins.clone(),
            trust: memory.trust.clone(),
            trusted_elsewhere: settings.logins.clone().map(TrustedElsewhere::new),
            forward_client: settings.keys.auth.forward_client,
            flights: Flights::default(),
        });
        Self {
            settings,
            directory,
            memory,
            recipients,
            logins,
        }
    }

    /// The name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// The directory that is asked.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// What its remote says that nobody understands.
    pub fn not_understood(&self) -> &Arc<NotUnderstood> {
        &self.memory.not_understood
    }

    /// What it shares, if it is one of several edges.
    pub(super) fn sharing(&self) -> Option<&Sharing> {
        self.settings.sharing.as_ref()
    }

    /// The recipients that it remembers.
    pub(super) fn recipients(&self) -> &Recipients {
        &self.memory.recipients
    }

    /// The logins that it remembers.
    pub(super) fn logins(&self) -> &Logins {
        &self.memory.logins
    }

    /// What it remembers.
    pub fn report(&self) -> Report {
        let catch_all = self.recipients.catch_all.as_ref();
        Report {
            recipients: self.recipients().report(),
            logins: self.logins().report(),
            stale: self.logins().stale.as_ref().map(StaleLogins::report),
            catch_all_domains: catch_all.map_or(0, CatchAll::domains),
        }
    }

    /// How many recipients its remote has refused lately, and how many it may; `None` where any number.
    pub fn unknown_rate(&self) -> Option<(usize, Rate)> {
        let unknown = self.memory.unknown_rate.as_ref()?;
        Some((unknown.count(), unknown.rate()))
    }

    /// See [`Recipients::file_trouble`].
    pub fn file_trouble(&self) -> Option<String> {
        self.recipients().file_trouble()
    }

    /// Its canaries, and how each is.
    pub fn canaries(&self) -> Vec<(Address, canaries::State)> {
        self.recipients.confirmer.canaries.states()
    }

    /// The number of domains whose refusals are deferred, since the remote refuses a recipient that it accepted
    /// recently, and the first `most` of them by name.
    pub fn doubts(&self, most: usize) -> (usize, Vec<Doubt>) {
        self.recipients().witnesses.doubted(most)
    }

    /// The first `most` domains, by their names, whose remote accepts every address; `None`
    /// where nobody looks for such.
    pub fn catch_alls(&self, most: usize) -> Option<Vec<Domain>> {
        let catch_all = self.recipients.catch_all.as_ref()?;
        Some(catch_all.first(most))
    }

    /// Remembers recipients beyond a restart, see [`Recipients::remember_in`].
    pub fn remember_in(&self, path: PathBuf, source: String) {
        self.memory.recipients.remember_in(store::Settings {
            directory: self.settings.name.clone(),
            path,
            source,
            entries: self.settings.keys.cache.room(),
            ttl: self.settings.keys.cache.ttl(),
        });
    }

    /// Has what is remembered written, see [`Recipients::close`].
    pub fn close(&self) {
        self.recipients().close();
    }

    /// Whether a domain is one of its own.
    pub(super) fn has(&self, domain: &Domain) -> bool {
        self.settings.domains.has(domain)
    }

    /// Whether local parts that differ in case only are one.
    pub(super) fn folds_case(&self) -> bool {
        self.settings.folds_case()
    }

    /// One form for each mailbox.
    pub(super) fn canonical(&self, address: Address) -> Address {
        self.settings.canonical(address)
    }

    /// See [`Recipients::known`]; `None` as well where none is ever asked about.
    pub(super) fn known(&self) -> Option<impl Iterator<Item = Option<Address>> + Send> {
        let asked = self.is_asked_about_recipients();
        self.recipients().known().filter(|_| asked)
    }

    /// Whether anything is ever remembered of what it says.
    pub(super) fn keeps(&self) -> bool {
        self.recipients().keeps() && self.is_asked_about_recipients() || self.logins().keeps()
    }

    fn is_asked_about_recipients(&self) -> bool {
        let somebody = Address::from_unquoted(b"postmaster@localhost");
        let can_answer = |somebody| self.directory.can_answer(&Kind::Recipient(somebody));
        !self.settings.domains.is_empty() && somebody.is_ok_and(can_answer)
    }

    /// Forgets a user, as login and as mailbox, at all edges; how many verdicts these were here.
    pub(super) fn forget(&self, user: &UserName) -> usize {
        let mailbox = Address::from_unquoted(user.as_bytes()).ok();
        self.purge_in_fleet(&match &mailbox {
            Some(address) => PurgeScope::Mailbox(address.clone()),
            None => PurgeScope::User(user.clone()),
        });
        let mailbox = mailbox.is_some_and(|address| {
            let address = self.settings.canonical(address);
            self.recipients().forget_one(&address)
        });
        usize::from(mailbox) + self.logins().forget(user)
    }

    /// Forgets everybody, at all edges; how many verdicts these were here.
    pub(super) fn forget_all(&self) -> usize {
        self.purge_in_fleet(&PurgeScope::All);
        self.recipients().forget_all() + self.logins().forget_all()
    }

    /// Whether it is to be asked about a login or recipient of this domain.
    pub(super) fn takes(&self, kind: &Kind) -> bool {
        self.directory.can_answer(kind)
            && match kind {
                Kind::Recipient(address) => self.settings.domains.has_recipient(address),
                Kind::Login { user, .. } => self.takes_user(user),
            }
    }

    /// The server that its map leads a question to, or why it leads to none; `None` where it has no map.
    pub fn server_for(&self, kind: &Kind) -> Option<Lead> {
        match kind {
            Kind::Recipient(address) => {
                let canonical = self.settings.canonical(address.clone());
                self.directory.server_for(&Kind::Recipient(canonical))
            }
            Kind::Login { .. } => self.directory.server_for(kind),
        }
    }

    /// Whether a user of this name is one of its domains'.
    pub(super) fn takes_user(&self, user: &UserName) -> bool {
        self.settings.domains.takes_login(user)
    }

    /// Whether this mechanism can be carried to the remote, as far as is known.
    pub(super) fn relays(&self, mechanism: RelayedMechanism) -> bool {
        let known = self.directory.relays();
        known.is_some_and(|offered| offered.contains(&mechanism))
    }

    /// Calls the remote until it is known what it offers, or until nobody needs this directory
    /// any more.
    pub async fn learn_offers(member: Weak<Self>) {
        let mut pause = FIRST_PAUSE;
        while let Some(member) = member
            .upgrade()
            .filter(|member| member.directory.relays().is_none())
        {
            member.directory.call(Instant::now() + CALL_TIMEOUT).await;
            if member.directory.relays().is_none() {
                drop(member);
                sleep(pause).await;
                pause = (2 * pause).min(LAST_PAUSE);
            }
        }
    }

    /// The one answer of this directory, whatever its domains are.
    pub async fn decide(&self, question: Question, deadline: Instant) -> Decision {
        self.decide_or_late(question, deadline, None).await
    }

    /// The same; `late` hears what the remote says when nobody waits for it any more.
    pub(super) fn decide_or_late(
        &self,
        question: Question,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> impl Future<Output = Decision> + Send {
        let mut domain = None;
        let answer = match (refusals::refuse(&question.kind), question.kind) {
            (Some(verdict), _) => Answer::Known((verdict, Source::Local)),
            (None, Kind::Recipient(address)) => {
                let address = self.settings.canonical(address);
                domain = self.recipients.may_accept_everything(&address);
                self.recipients.decide(address, question.client, deadline, late)
            }
            (None, kind @ Kind::Login { .. }) => {
                let question = Question { kind, ..question };
                self.logins.decide(question, deadline, late)
            }
        };
        async move {
            let (verdict, source) = match answer {
                Answer::Known(decided) => decided,
                Answer::Waits(decided) => decided.await,
            };
            let verdict = match domain {
                Some(domain) => self.recipients.opinion(&domain, verdict),
                None => verdict,
            };
            Decision {
                verdict,
                source,
                directory: Some(self.settings.name.clone()),
            }
        }
    }

    /// What a login is known by; `None` for a dialog, whose answer is to the challenges of
    /// this very one.
    pub(super) fn tag(&self, user: &UserName, proof: &Proof) -> Option<Tag> {
        self.logins.tag(user, proof)
    }
}

#[cfg(test)]
mod tests;
