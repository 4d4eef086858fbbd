//! A directory with its memory: what was asked lately is not asked again, and
//! what is being asked is asked once.

use std::hash::Hash;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vouch_protocol::sasl::RelayedMechanism;

use super::catch_all::CatchAll;
use super::credibility::canaries::{self, Canaries};
use super::credibility::witnesses::Doubt;
use super::domains::Domains;
use super::epoch::Generation;
use super::flight::{self, Flights, LATE_ANSWER_GRACE, Late, Role, Unanswered, WAITING};
use super::logins::{self, LoginKey, Logins, Tag};
use super::not_understood::NotUnderstood;
use super::recipient_lookup::RecipientLookup;
use super::recipients::{self, Recipients};
use super::trust::Trust;
use super::unknown_rate::{self, UnknownRate};
use super::{Decision, Source, lookups, refusals, store};
use crate::address::{Address, Domain};
use crate::directory::{Directory, Terms};
use crate::verdict::{Abstention, Cause, Class, Client, Kind, Proof, Question, UserName, Verdict};
use crate::waiting::Waiters;

/// Bound (sessions): connection to learn which mechanisms a server offers. Beyond: it is repeated later. Why: nobody
/// waits for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Bound (sessions): first pause after such a connection that failed; each further one is twice as long. Beyond: the
/// server is asked again. Why: nobody waits for it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Bound (sessions): longest pause after such a connection that failed. Beyond: the server is asked again. Why:
/// nobody waits for it.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// What is particular to a directory's questions and their memory.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The domains it is asked about.
    pub domains: Domains,
    /// Local parts that differ in case only are one.
    pub fold_case: bool,
    /// Characters behind which a local part's detail begins.
    pub recipient_delimiter: String,
    /// Addresses that must exist: while one is refused, no refusal of its domain
    /// is believed.
    pub canaries: Vec<Address>,
    /// Domains that accept every address are looked for.
    pub detect_catch_all: bool,
    /// Recipients remembered, and users with a remembered login.
    pub entries: usize,
    /// How long verdicts on recipients are kept.
    pub recipients: recipients::Ttl,
    /// How long verdicts on logins are kept.
    pub logins: logins::Ttl,
    /// It hands the client's address on, so that what it says may be of that address alone.
    pub forward_client: bool,
    /// How many recipients its remote may refuse; `None` is without limit.
    pub unknown_rate: Option<unknown_rate::Rate>,
}

/// What a directory remembers, and what it is not believed in.
#[derive(Debug, Clone)]
pub struct Report {
    /// Recipients that are remembered.
    pub recipients: lookups::Report,
    /// Logins that are remembered.
    pub logins: lookups::Report,
    /// Domains whose remote accepts every address.
    pub catch_all_domains: usize,
    /// Canaries that the remote refuses.
    pub canaries_refused: usize,
    /// Domains whose refusals are deferred, since the remote refuses a recipient that it accepted recently.
    pub doubted_domains: usize,
}

/// A directory as the listeners see it.
pub struct CachedDirectory {
    settings: Settings,
    directory: Arc<dyn Directory>,
    recipients: Arc<RecipientLookup>,
    logins: Arc<Logins>,
    trust: Arc<Trust>,
    flights: Flights<(Generation, LoginKey), Verdict>,
}

/// A probe that others may share.
pub(super) struct SharedProbe<'a, K> {
    pub(super) flights: &'a Flights<K, Verdict>,
    pub(super) key: K,
    /// How long its asker waits for it.
    pub(super) patience: Instant,
    /// What is done with an answer that comes later.
    pub(super) late: Option<Arc<Late<Verdict>>>,
}

impl CachedDirectory {
    /// A directory that remembers nothing yet. `key` is random, and new in each
    /// life of the process.
    pub fn new(settings: Settings, directory: Arc<dyn Directory>, key: [u8; 32]) -> Self {
        let recipients = Arc::new(Recipients::new(settings.entries, settings.recipients));
        let logins = Arc::new(Logins::new(settings.entries, settings.logins, key));
        let trust = Arc::new(Trust::new(&key));
        let not_understood = Arc::new(NotUnderstood::new(settings.name.clone()));
        Self::with(
            settings,
            directory,
            recipients,
            (logins, trust),
            not_understood,
            None,
        )
    }

    /// One that goes on with what this one remembers. The bounds of that memory stay as they are.
    #[must_use]
    pub fn succeeded_by(&self, settings: Settings, directory: Arc<dyn Directory>) -> Self {
        Self::with(
            settings,
            directory,
            self.recipients.memory.clone(),
            (self.logins.clone(), self.trust.clone()),
            self.recipients.not_understood.clone(),
            self.recipients.unknown_rate.clone(),
        )
    }

    /// The same, with the trust of `old`: users accepted there have priority here.
    #[must_use]
    pub fn with_trust_of(mut self, old: &Self) -> Self {
        self.trust = old.trust.clone();
        self
    }

    /// Whether both remember the same recipients.
    pub fn remembers_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.recipients.memory, &other.recipients.memory)
    }

    fn with(
        settings: Settings,
        directory: Arc<dyn Directory>,
        memory: Arc<Recipients>,
        (logins, trust): (Arc<Logins>, Arc<Trust>),
        not_understood: Arc<NotUnderstood>,
        refused: Option<Arc<UnknownRate>>,
    ) -> Self {
        let name = &settings.name;
        memory.witnesses.serve(name.clone(), settings.domains.clone());
        let canonical = |canary: &Address| settings.canonical(canary.clone());
        let recipients = Arc::new(RecipientLookup {
            directory: directory.clone(),
            memory,
            not_understood,
            flights: Flights::default(),
            checks: Flights::default(),
            forward_client: settings.forward_client,
            unknown_rate: settings.unknown_rate.map(|rate| {
                let same = refused.filter(|refused| refused.rate() == rate);
                same.unwrap_or_else(|| Arc::new(UnknownRate::new(name.clone(), rate)))
            }),
            canaries: Canaries::new(name.clone(), settings.canaries.iter().map(canonical)),
            catch_all: settings.detect_catch_all.then(|| CatchAll::new(name.clone())),
        });
        Self {
            settings,
            directory,
            recipients,
            logins,
            trust,
            flights: Flights::default(),
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
        &self.recipients.not_understood
    }

    /// The recipients that it remembers.
    pub(super) fn recipients(&self) -> &Recipients {
        &self.recipients.memory
    }

    /// The logins that it remembers.
    pub(super) fn logins(&self) -> &Logins {
        &self.logins
    }

    /// What it remembers.
    pub fn report(&self) -> Report {
        let recipients = &self.recipients;
        Report {
            recipients: recipients.memory.report(),
            logins: self.logins.report(),
            catch_all_domains: recipients.catch_all.as_ref().map_or(0, CatchAll::domains),
            canaries_refused: recipients.canaries.refused(),
            doubted_domains: recipients.memory.witnesses.doubted(0).0,
        }
    }

    /// How many recipients its remote has refused lately, and how many it may; `None` where any number.
    pub fn unknown_rate(&self) -> Option<(usize, unknown_rate::Rate)> {
        let unknown = self.recipients.unknown_rate.as_ref()?;
        Some((unknown.count(), unknown.rate()))
    }

    /// See [`Recipients::file_trouble`].
    pub fn file_trouble(&self) -> Option<String> {
        self.recipients.memory.file_trouble()
    }

    /// Its canaries, and how each is.
    pub fn canaries(&self) -> Vec<(Address, canaries::State)> {
        self.recipients.canaries.states()
    }

    /// The number of domains whose refusals are deferred, since the remote refuses a recipient that it accepted
    /// recently, and the first `most` of them by name.
    pub fn doubts(&self, most: usize) -> (usize, Vec<Doubt>) {
        self.recipients.memory.witnesses.doubted(most)
    }

    /// The first `most` domains, by their names, whose remote accepts every address; `None`
    /// where nobody looks for such.
    pub fn catch_alls(&self, most: usize) -> Option<Vec<Domain>> {
        let catch_all = self.recipients.catch_all.as_ref()?;
        Some(catch_all.first(most))
    }

    /// Remembers recipients beyond a restart, see [`Recipients::remember_in`].
    pub fn remember_in(&self, path: PathBuf, source: String) {
        self.recipients.memory.remember_in(store::Settings {
            directory: self.settings.name.clone(),
            path,
            source,
            entries: self.settings.entries,
            ttl: self.settings.recipients,
        });
    }

    /// Has what is remembered written, see [`Recipients::close`].
    pub fn close(&self) {
        self.recipients.memory.close();
    }

    /// Whether a domain is one of its own.
    pub(super) fn has(&self, domain: &Domain) -> bool {
        self.settings.domains.has(domain)
    }

    /// Whether local parts that differ in case only are one.
    pub(super) fn folds_case(&self) -> bool {
        self.settings.fold_case
    }

    /// One form for each mailbox.
    pub(super) fn canonical(&self, address: Address) -> Address {
        self.settings.canonical(address)
    }

    /// See [`Recipients::known`]; `None` as well where none is ever asked about.
    pub(super) fn known(&self) -> Option<impl Iterator<Item = Option<Address>> + Send> {
        let asked = self.is_asked_about_recipients();
        self.recipients.memory.known().filter(|_| asked)
    }

    /// Whether anything is ever remembered of what it says.
    pub(super) fn keeps(&self) -> bool {
        self.recipients().keeps() && self.is_asked_about_recipients() || self.logins.keeps()
    }

    fn is_asked_about_recipients(&self) -> bool {
        let somebody = self
            .settings
            .domains
            .any()
            .and_then(|domain| Address::from_unquoted(format!("postmaster@{domain}").as_bytes()).ok());
        somebody.is_some_and(|somebody| self.directory.can_answer(&Kind::Recipient(somebody)))
    }

    /// Forgets a user, as login and as mailbox; how many verdicts these were.
    pub(super) fn forget(&self, user: &UserName) -> usize {
        let mailbox = Address::from_unquoted(user.as_bytes()).is_ok_and(|address| {
            let address = self.settings.canonical(address);
            self.recipients.memory.forget_one(&address)
        });
        usize::from(mailbox) + self.logins.forget(user)
    }

    /// Forgets everybody; how many verdicts these were.
    pub(super) fn forget_all(&self) -> usize {
        self.recipients.memory.forget_all() + self.logins.forget_all()
    }

    /// Whether it is to be asked about a login or recipient of this domain.
    pub(super) fn takes(&self, kind: &Kind) -> bool {
        self.directory.can_answer(kind)
            && match kind {
                Kind::Recipient(address) => self.settings.domains.has(address.domain()),
                Kind::Login { user, .. } => self.takes_user(user),
            }
    }

    /// Whether a user of this name is one of its domains'.
    pub(super) fn takes_user(&self, user: &UserName) -> bool {
        let domains = &self.settings.domains;
        user.domain().is_none_or(|domain| domains.takes_login(domain))
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
    pub(super) async fn decide_or_late(
        &self,
        question: Question,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> Decision {
        let Question { kind, client } = question;
        let directory = Some(self.settings.name.clone());
        let (verdict, source) = match refusals::refuse(&kind) {
            Some(verdict) => (verdict, Source::Local),
            None => match kind {
                Kind::Recipient(address) => self.recipient(address, client, deadline, late).await,
                Kind::Login { user, proof } => self.login(user, proof, client, (deadline, late)).await,
            },
        };
        Decision {
            verdict,
            source,
            directory,
        }
    }

    async fn recipient(
        &self,
        address: Address,
        client: Client,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> (Verdict, Source) {
        let address = self.settings.canonical(address);
        // Anybody may ask the command line for any domain; only the directory's own are tested.
        let tested = self.recipients.catch_all.is_some() && self.settings.domains.has(address.domain());
        let domain = tested.then(|| address.domain().clone());
        let asked = self.recipients.known_or_asked(address, client, deadline, late);
        let (verdict, source) = asked.await;
        match domain {
            Some(domain) => (self.recipients.opinion(&domain, verdict), source),
            None => (verdict, source),
        }
    }

    /// What a login is known by; `None` for a dialog, whose answer is to the challenges of
    /// this very one.
    pub(super) fn tag(&self, user: &UserName, proof: &Proof) -> Option<Tag> {
        match proof {
            Proof::Password(password) => Some(self.logins.tag(user, b"", password)),
            Proof::Token { mechanism, rest } => {
                Some(self.logins.tag(user, mechanism.name().as_bytes(), rest))
            }
            Proof::Relay(_) => None,
        }
    }

    async fn login(
        &self,
        user: UserName,
        proof: Proof,
        client: Client,
        (deadline, late): (Instant, Option<Arc<Late<Verdict>>>),
    ) -> (Verdict, Source) {
        let Some(tag) = self.tag(&user, &proof) else {
            let kind = Kind::Login { user, proof };
            let probe = |waiters| self.probe_login(Question { kind, client }, waiters);
            let landed = flight::alone(deadline, late, probe).await;
            return answer(landed.map(|verdict| (verdict, Role::Leader)));
        };
        let key = LoginKey {
            tag,
            client: of_question(self.settings.forward_client, &client),
        };
        if let Some(verdict) = self.logins.recall(&user, &key) {
            self.logins.lookups.fresh.count();
            return (verdict, Source::Cache);
        }
        self.logins.lookups.miss.count();
        let question = Question {
            kind: Kind::Login {
                user: user.clone(),
                proof,
            },
            client,
        };
        let asked = self.logins.epoch.current();
        let probe = |waiters| {
            let probe = self.probe_login(question.clone(), waiters);
            let memory = self.logins.clone();
            let (user, key) = (user.clone(), key.clone());
            async move {
                // Somebody's probe may have landed since the memory was looked into.
                if let Some(verdict) = memory.recall(&user, &key) {
                    return verdict;
                }
                let verdict = probe.await;
                memory.epoch.keep(asked, || memory.keep(&user, &key, &verdict));
                verdict
            }
        };
        let flight = SharedProbe {
            flights: &self.flights,
            key: (asked, key.clone()),
            patience: deadline,
            late,
        };
        share(flight, probe).await
    }

    /// A probe of a login for those who wait for it. A user that it accepts is trusted from then on.
    fn probe_login(
        &self,
        question: Question,
        waiters: Waiters,
    ) -> impl Future<Output = Verdict> + Send + 'static {
        let (directory, trust) = (self.directory.clone(), self.trust.clone());
        let not_understood = self.not_understood().clone();
        async move {
            let Kind::Login { user, proof } = &question.kind else {
                return Verdict::Abstain(Abstention::NotOurs);
            };
            let sign = trust.sign(user, proof, &question.client);
            let terms = Terms {
                trusted: trust.has(user, &sign),
                waiters,
            };
            let verdict = directory.probe(&question, terms).await;
            not_understood.note(&question.kind, &verdict);
            trust.note(user, &sign, &verdict);
            // A dialog may have named nobody before it was asked: it is known by its network alone then.
            if let Proof::Relay(dialog) = proof
                && let Some(named) = dialog.user().map(UserName::new)
                && named != *user
            {
                trust.note(&named, &sign, &verdict);
            }
            verdict
        }
    }
}

impl Settings {
    /// One form for each mailbox, as the configuration has it.
    fn canonical(&self, address: Address) -> Address {
        let address = address.without_detail(&self.recipient_delimiter);
        if self.fold_case { address.folded() } else { address }
    }
}

/// The client's address as a part of the question: where it is handed on, the answer may be of it alone.
pub(super) fn of_question(forward_client: bool, client: &Client) -> Option<IpAddr> {
    client.address.filter(|_| forward_client)
}

/// The verdict of a probe that is shared by equal questions. One that ran out
/// of time had less of it than those that joined late: they ask again.
pub(super) async fn share<K, F>(flight: SharedProbe<'_, K>, probe: impl Fn(Waiters) -> F) -> (Verdict, Source)
where
    K: Eq + Hash + Clone + Send + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let SharedProbe {
        flights,
        key,
        patience,
        late,
    } = flight;
    match flights.join(key.clone(), patience, late.clone(), &probe).await {
        Ok((Verdict::Defer(cause), Role::Follower))
            if cause.class == Class::Timeout && Instant::now() + LATE_ANSWER_GRACE < patience =>
        {
            answer(flights.join(key, patience, late, probe).await)
        }
        landed => answer(landed),
    }
}

/// What to do about a remote that does not answer in time.
const SLOW: &str = "the server is slow or hangs: see its log; directory.NAME.timeout bounds its answer, the \
                    listener's deadline how long it is waited for";

fn answer(landed: Result<(Verdict, Role), Unanswered>) -> (Verdict, Source) {
    let cause = match landed {
        Ok((verdict, Role::Leader)) => return (verdict, Source::Probe),
        Ok((verdict, Role::Follower)) => return (verdict, Source::Shared),
        Err(Unanswered::Late { sent: true }) => {
            let cause = Cause::ours(Class::Timeout, "it was asked, and has not answered in time");
            let advice = Some(SLOW.to_owned());
            return (Verdict::Defer(Cause { advice, ..cause }), Source::Probe);
        }
        Err(Unanswered::Late { sent: false }) => Cause::ours(Class::Timeout, "no answer in time"),
        Err(Unanswered::Crowded) => {
            let why = format!("{WAITING} questions wait for the directory already");
            Cause::ours(Class::Overload, why)
        }
    };
    (Verdict::Defer(cause), Source::Probe)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::yield_now;
    use tokio::time::{advance, sleep};
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::engine::remembered::{Listing, PIECE, PurgeScope, State};

    /// Gives the prepared answer, a second after the question.
    #[derive(Default)]
    struct Remote {
        says: Mutex<Option<Verdict>>,
        asked: Mutex<Vec<String>>,
    }

    impl Directory for Remote {
        fn can_answer(&self, _: &Kind) -> bool {
            true
        }

        fn probe<'a>(
            &'a self,
            question: &'a Question,
            _: Terms,
        ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
            self.asked.lock().unwrap().push(match &question.kind {
                Kind::Recipient(address) => address.to_string(),
                Kind::Login { user, .. } => user.to_string(),
            });
            Box::pin(async {
                sleep(Duration::from_secs(1)).await;
                self.says.lock().unwrap().clone().unwrap()
            })
        }
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(3600 * hours)
    }

    fn member(remote: &Arc<Remote>) -> CachedDirectory {
        let no_accepts = logins::Ttl {
            positive: Duration::ZERO,
            negative: Duration::from_secs(30),
        };
        member_with(remote, no_accepts)
    }

    fn member_with(remote: &Arc<Remote>, logins: logins::Ttl) -> CachedDirectory {
        let settings = Settings {
            name: "m".into(),
            domains: Domains::default(),
            fold_case: true,
            recipient_delimiter: "+".into(),
            canaries: Vec::new(),
            detect_catch_all: false,
            entries: 100,
            recipients: recipients::Ttl {
                positive: hours(4),
                refresh: hours(1),
                negative: Duration::from_secs(60),
                stale: hours(100),
            },
            logins,
            forward_client: false,
            unknown_rate: None,
        };
        CachedDirectory::new(settings, remote.clone(), [1; 32])
    }

    async fn recipient(member: &CachedDirectory, address: &str) -> (&'static str, Source) {
        let kind = Kind::Recipient(Address::from_typed(address).unwrap());
        let question = Question {
            kind,
            client: Client::default(),
        };
        let decision = member
            .decide(question, Instant::now() + Duration::from_secs(20))
            .await;
        (decision.verdict.name(), decision.source)
    }

    fn says(remote: &Remote, verdict: Verdict) {
        *remote.says.lock().unwrap() = Some(verdict);
    }

    fn no() -> Verdict {
        Verdict::Reject(Cause::said(Class::UnknownUser, "550 5.1.1", "no"))
    }

    fn down() -> Verdict {
        Verdict::Defer(Cause::ours(Class::Unreachable, "down"))
    }

    #[tokio::test(start_paused = true)]
    async fn one_mailbox_is_asked_about_once() {
        let remote = Arc::new(Remote::default());
        let member = member(&remote);
        says(&remote, Verdict::accept("x"));
        assert_eq!(
            recipient(&member, "Jane+a@e.org").await,
            ("accept", Source::Probe)
        );
        assert_eq!(
            recipient(&member, "jane+b@E.org").await,
            ("accept", Source::Cache)
        );
        let (one, other) = tokio::join!(recipient(&member, "bob@e.org"), recipient(&member, "bob@e.org"));
        assert_eq!(
            (one, other),
            (("accept", Source::Probe), ("accept", Source::Shared))
        );
        assert_eq!(*remote.asked.lock().unwrap(), ["jane@e.org", "bob@e.org"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_mailbox_is_refused_after_refresh_and_one_question() {
        let remote = Arc::new(Remote::default());
        let member = member(&remote);
        says(&remote, Verdict::accept("x"));
        recipient(&member, "jane@e.org").await;
        says(&remote, no());
        assert_eq!(recipient(&member, "jane@e.org").await, ("accept", Source::Cache));
        advance(hours(1)).await;
        assert_eq!(recipient(&member, "jane@e.org").await, ("accept", Source::Cache));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(recipient(&member, "jane@e.org").await, ("reject", Source::Cache));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_known_is_accepted_while_the_remote_is_down() {
        let remote = Arc::new(Remote::default());
        let member = member(&remote);
        says(&remote, Verdict::accept("x"));
        recipient(&member, "jane@e.org").await;
        says(&remote, down());
        advance(hours(10)).await;
        assert_eq!(recipient(&member, "jane@e.org").await, ("accept", Source::Cache));
        assert_eq!(recipient(&member, "new@e.org").await, ("defer", Source::Probe));
        says(&remote, no());
        assert_eq!(recipient(&member, "jane@e.org").await, ("reject", Source::Probe));
        says(&remote, down());
        advance(hours(1)).await;
        assert_eq!(recipient(&member, "jane@e.org").await.0, "defer");
    }

    #[tokio::test(start_paused = true)]
    async fn who_joins_a_probe_late_is_not_cut_short_by_it() {
        let remote = Arc::new(Remote::default());
        let member = member(&remote);
        says(&remote, Verdict::Defer(Cause::ours(Class::Timeout, "too late")));
        let early = recipient(&member, "jane@e.org");
        let late = async {
            sleep(Duration::from_millis(999)).await;
            says(&remote, Verdict::Defer(Cause::ours(Class::Timeout, "too late")));
            let asking = recipient(&member, "jane@e.org");
            let turning = async {
                sleep(Duration::from_millis(10)).await;
                says(&remote, Verdict::accept("x"));
            };
            tokio::join!(asking, turning).0
        };
        let (early, late) = tokio::join!(early, late);
        assert_eq!(
            (early, late),
            (("defer", Source::Probe), ("accept", Source::Probe))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn equal_logins_share_and_wrong_ones_are_remembered_exactly() {
        let remote = Arc::new(Remote::default());
        let member = member(&remote);
        let login = |password: &str| {
            let proof = Proof::Password(Secret::copy_from(password.as_bytes()));
            let kind = Kind::Login {
                user: UserName::new(b"jane@e.org"),
                proof,
            };
            let question = Question {
                kind,
                client: Client::default(),
            };
            let member = &member;
            async move {
                let decision = member
                    .decide(question, Instant::now() + Duration::from_secs(20))
                    .await;
                (decision.verdict.name(), decision.source)
            }
        };
        says(
            &remote,
            Verdict::Reject(Cause::said(Class::BadCredentials, "NO", "no")),
        );
        let both = tokio::join!(login("wrong"), login("wrong"));
        assert_eq!(both, (("reject", Source::Probe), ("reject", Source::Shared)));
        assert_eq!(login("wrong").await, ("reject", Source::Cache));
        says(&remote, Verdict::accept("x"));
        assert_eq!(login("right").await, ("accept", Source::Probe));
        assert_eq!(login("right").await, ("accept", Source::Probe));
        assert_eq!(login("wrong").await, ("reject", Source::Cache));
        assert_eq!(remote.asked.lock().unwrap().len(), 3);
    }

    /// Purged names are asked about anew; an answer that was under way goes to its caller, and is
    /// not kept.
    #[tokio::test(start_paused = true)]
    async fn nothing_comes_back_that_was_asked_before_a_purge() {
        let remote = Arc::new(Remote::default());
        let member = member(&remote);
        says(&remote, Verdict::accept("x"));
        let purge = async {
            sleep(Duration::from_millis(500)).await;
            let nothing = member.purge(&PurgeScope::All).await;
            // What is asked from now on is another probe, with another answer.
            let after = recipient(&member, "jane@e.org");
            let change = async {
                sleep(Duration::from_millis(700)).await;
                assert!(
                    member.look_up(b"jane@e.org").is_empty(),
                    "the first answer is kept"
                );
                says(&remote, no());
            };
            (nothing.recipients, tokio::join!(after, change).0)
        };
        let (before, after) = tokio::join!(recipient(&member, "jane@e.org"), purge);
        assert_eq!(before, ("accept", Source::Probe));
        assert_eq!(after, (0, ("reject", Source::Probe)));
        assert_eq!(recipient(&member, "jane@e.org").await, ("reject", Source::Cache));
        assert_eq!(remote.asked.lock().unwrap().len(), 2);

        let (_, entry) = &member.look_up(b"Jane+x@E.org")[0];
        assert_eq!((entry.verdict, entry.state), ("reject", State::Fresh));
        assert_eq!(entry.ends_in, Duration::from_secs(60) - entry.age);
        let purged = member.purge(&PurgeScope::mailbox("JANE@e.org").unwrap()).await;
        assert_eq!((purged.recipients, purged.file_waits), (1, false));
        assert_eq!(recipient(&member, "jane@e.org").await, ("reject", Source::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn no_login_comes_back_either() {
        let remote = Arc::new(Remote::default());
        let memory = logins::Ttl {
            positive: hours(1),
            negative: hours(1),
        };
        let member = member_with(&remote, memory);
        let login = |user: &'static str, password: &'static [u8]| {
            let proof = Proof::Password(Secret::copy_from(password));
            let kind = Kind::Login {
                user: UserName::new(user.as_bytes()),
                proof,
            };
            let client = Client::default();
            member.decide(Question { kind, client }, Instant::now() + hours(1))
        };
        says(&remote, Verdict::accept("x"));
        let purge = async {
            sleep(Duration::from_millis(500)).await;
            member.purge(&PurgeScope::user("jane@e.org")).await.logins
        };
        let (asked, purged) = tokio::join!(login("jane@e.org", b"old"), purge);
        assert_eq!((asked.verdict.name(), purged), ("accept", 0));
        assert_eq!(login("jane@e.org", b"old").await.source, Source::Probe);
        assert_eq!(login("jane@e.org", b"old").await.source, Source::Cache);
        login("joe@f.org", b"x").await;
        let cause = Cause::said(Class::BadCredentials, "NO", "no");
        says(&remote, Verdict::Reject(cause));
        login("ann@g.org", b"wrong").await;

        let mut listing = Listing::new(10, Some("F.org")).unwrap();
        member.list(&mut listing).await;
        let names: Vec<_> = listing.first.keys().map(|about| about.name.clone()).collect();
        assert_eq!(
            (names, listing.refused_logins),
            (vec![b"joe@f.org"[..].into()], 1)
        );
        let purged = member.purge(&PurgeScope::user("JANE@e.org")).await;
        assert_eq!(
            (purged.logins, purged.refused_logins, purged.recipients),
            (1, 1, 0)
        );
        let purged = member.purge(&PurgeScope::domain("f.org").unwrap()).await;
        assert_eq!((purged.logins, purged.refused_logins), (1, 0));
        assert!(member.look_up(b"joe@f.org").is_empty());
    }

    /// Others are at work between the pieces.
    // Fills PIECE.
    #[tokio::test]
    async fn a_large_memory_is_listed_and_purged_in_pieces() {
        let remote = Arc::new(Remote::default());
        let mut member = member(&remote);
        member.settings.entries = 10 * PIECE;
        let member = Arc::new(CachedDirectory::new(member.settings.clone(), remote, [1; 32]));
        let address = |number| Address::from_typed(&format!("u{number:05}@e.org")).unwrap();
        for number in 0..5 * PIECE {
            let address = address(number);
            member
                .recipients()
                .keep(&address, &Verdict::accept(address.to_wire()));
        }
        let others = Arc::new(AtomicUsize::new(0));
        let at_work = others.clone();
        let work = tokio::spawn(async move {
            loop {
                at_work.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        let mut listing = Listing::new(3, None).unwrap();
        member.list(&mut listing).await;
        assert!(others.swap(0, Ordering::Relaxed) >= 5);
        let names: Vec<_> = listing
            .first
            .keys()
            .map(|about| String::from_utf8_lossy(&about.name).into_owned())
            .collect();
        assert_eq!(names, ["u00000@e.org", "u00001@e.org", "u00002@e.org"]);
        assert_eq!(listing.found, 5 * PIECE);
        let purged = member.purge(&PurgeScope::domain("e.org").unwrap()).await;
        assert!(others.load(Ordering::Relaxed) >= 5);
        assert_eq!(
            (purged.recipients, member.report().recipients.entries),
            (5 * PIECE, 0)
        );
        work.abort();
    }
}
