//! From a question to a verdict: route, refuse what cannot be asked, remember,
//! share, probe.
//!
//! [`Engine`] finds the directory; [`CachedDirectory`] is the directory with its memory.

pub mod cached_directory;
mod catch_all;
pub(crate) mod credibility;
mod domains;
pub(crate) mod entry;
mod epoch;
mod flight;
mod hash;
mod homes;
mod in_turn;
mod kept;
mod login_lookup;
pub mod logins;
mod lookup;
pub(crate) mod lookups;
mod not_understood;
mod phrase;
mod purge_scope;
mod purged;
mod recipient_lookup;
pub mod recipients;
mod refusals;
pub(crate) mod remembered;
mod several;
mod shared;
pub(crate) mod stale;
mod store;
mod trust;
mod trusted_elsewhere;
mod unknown_rate;
mod witnesses;

use std::sync::Arc;

use strum::{IntoStaticStr, VariantArray};
use tokio::time::Instant;
use vouch_protocol::sasl::RelayedMechanism;

use crate::address::{Address, Domain};
use crate::directory::routed::Lead;
use crate::verdict::{Abstention, Kind, Question, UserName, Verdict};
pub use cached_directory::CachedDirectory;
pub use credibility::canaries::State as CanaryState;
use flight::Late;
use homes::Homes;
use in_turn::HearsLate;
pub use logins::Tag;
pub use purge_scope::PurgeScope;
pub use shared::Sharing;

/// Answers the questions of one listener.
pub struct Engine {
    members: Vec<Arc<CachedDirectory>>,
    default_domain: Option<Domain>,
    asks_all: bool,
    /// Where users were accepted last; `None` where only the first directory is asked about a login.
    in_turn: Option<Arc<Homes>>,
}

/// A verdict and where it came from.
#[derive(Debug)]
pub struct Decision {
    /// The one answer.
    pub verdict: Verdict,
    /// The source of the verdict.
    pub source: Source,
    /// The directory that was asked or would have been. Of a login that several have refused, all of them: the names of the
    /// first, and how many more.
    pub directory: Option<Arc<str>>,
}

/// Where a verdict came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Source {
    /// The remote was asked.
    Probe,
    /// It was being asked the same already.
    Shared,
    /// It was asked before.
    Cache,
    /// The remote is down, and has accepted that login before.
    Stale,
    /// Another edge of the fleet has asked it before, or this one in an earlier life.
    Fleet,
    /// It needed no remote.
    Local,
    /// The client's session has used up its limit.
    Limit,
    /// The client failed too often.
    Penalty,
    /// The directory's remote has refused so many recipients that only known ones are asked about.
    UnknownRate,
    /// The listener does not answer this client, or nothing about this domain.
    Access,
}

impl Source {
    /// The name used in logs and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the verdict is a remote's, given now or before.
    const fn is_remote(self) -> bool {
        matches!(self, Self::Probe | Self::Shared | Self::Cache | Self::Fleet)
    }
}

impl Decision {
    /// Whether a remote heard the credential and did not take it, now or lately: it counts
    /// against who tried.
    pub fn is_failed_attempt(&self) -> bool {
        self.source.is_remote() && self.verdict.is_failed_attempt()
    }

    /// Whether a remote said no about this very user or mailbox, now or lately.
    pub fn is_refusal(&self) -> bool {
        self.source.is_remote() && matches!(self.verdict, Verdict::Reject(_))
    }
}

impl Engine {
    /// An engine over the directories of a listener, asked in this order.
    pub fn new(members: Vec<Arc<CachedDirectory>>, default_domain: Option<Domain>) -> Self {
        Self {
            members,
            default_domain,
            asks_all: false,
            in_turn: None,
        }
    }

    /// The same, which asks `all` directories that serve a recipient's domain, or the first of them alone.
    #[must_use]
    pub fn asking_all(self, all: bool) -> Self {
        Self {
            asks_all: all,
            ..self
        }
    }

    /// The same, which asks `all` directories that may know a login, one after another, or the first of them alone.
    #[must_use]
    pub fn asking_in_turn(self, all: bool) -> Self {
        Self {
            in_turn: all.then(|| Arc::new(Homes::new())),
            ..self
        }
    }

    /// The same, in place of `before`: it knows as well where users were accepted last.
    #[must_use]
    pub fn succeeding(self, before: &Self) -> Self {
        let known = before.in_turn.as_ref();
        let in_turn = self.in_turn.map(|new| known.cloned().unwrap_or(new));
        Self { in_turn, ..self }
    }

    /// The one answer to `question`, by `deadline`.
    pub fn decide(&self, question: Question, deadline: Instant) -> impl Future<Output = Decision> + Send {
        self.decide_or_late(question, deadline, None)
    }

    /// The same. What the remote says when its asker does not wait any more, be it that the deadline
    /// has passed or that this was dropped, `late` hears, if given: the remote has counted the question.
    pub fn decide_or_late(
        &self,
        mut question: Question,
        deadline: Instant,
        late: Option<HearsLate>,
    ) -> impl Future<Output = Decision> + Send {
        if let Kind::Login { user, .. } = &mut question.kind {
            *user = self.complete(user);
        }
        // What is borrowed of an argument of an `async fn` would be held twice, in each idle connection, too.
        async move {
            if self.asks_all && matches!(question.kind, Kind::Recipient(_)) {
                let serving = self.members.iter().filter(|member| member.takes(&question.kind));
                if let Some(decision) = Box::pin(several::decide(serving, &question, deadline)).await {
                    return decision;
                }
            }
            let Some(member) = self.route(&question.kind) else {
                let verdict = Verdict::Abstain(Abstention::NotOurs);
                return Decision {
                    verdict,
                    source: Source::Local,
                    directory: None,
                };
            };
            if let (Some(homes), Kind::Login { user, .. }) = (&self.in_turn, &question.kind) {
                let serving = self.members.iter().filter(|member| member.takes(&question.kind));
                let serving = serving.cloned().collect();
                let login = in_turn::Login {
                    account: self.account(user),
                    homes: homes.clone(),
                    question,
                    deadline,
                };
                return Box::pin(in_turn::decide(serving, login, late)).await;
            }
            let directory = member.name().clone();
            let late = late.map(|late| {
                Arc::new(Late::new(move |verdict| {
                    late(Decision {
                        verdict,
                        source: Source::Probe,
                        directory: Some(directory),
                    });
                }))
            });
            member.decide_or_late(question, deadline, late).await
        }
    }

    /// The directory that would be asked this question, if any.
    pub fn directory_for(&self, kind: &Kind) -> Option<Arc<str>> {
        self.route(kind).map(|member| member.name().clone())
    }

    /// As [`CachedDirectory::server_for`], of the directory that would be asked.
    pub fn server_for(&self, kind: &Kind) -> Option<Lead> {
        self.route(kind)?.server_for(kind)
    }

    /// What a login is known by in the memory of the directory that would be asked; equal
    /// ones have equal tags. `None` where no directory would be, and for a dialog: each is
    /// another.
    pub fn tag(&self, kind: &Kind) -> Option<Tag> {
        let Kind::Login { user, proof } = kind else {
            return None;
        };
        self.route(kind)?.tag(user, proof)
    }

    /// Whether a directory's remote is known to take this mechanism.
    pub fn relays(&self, mechanism: RelayedMechanism) -> bool {
        self.members.iter().any(|member| member.relays(mechanism))
    }

    /// The decision against a user whom a dialog named while it was under way; `None` where it
    /// may go on. The name is the dialog's, so none is completed.
    pub fn refuse(&self, user: &UserName) -> Option<Decision> {
        let verdict = match self.members.first() {
            Some(member) if member.takes_user(user) => refusals::refuse_name(user)?,
            _ => Verdict::Abstain(Abstention::NotOurs),
        };
        Some(Decision {
            verdict,
            source: Source::Local,
            directory: self.only_directory(),
        })
    }

    /// The directory of a listener that has one.
    pub fn only_directory(&self) -> Option<Arc<str>> {
        self.members.first().map(|member| member.name().clone())
    }

    /// The login with the default domain, where it has none. An empty one stays nobody's.
    #[must_use]
    pub fn complete(&self, user: &UserName) -> UserName {
        match &self.default_domain {
            Some(domain) if user.domain().is_none() && !user.as_bytes().is_empty() => {
                UserName::new(&[user.as_bytes(), b"@", domain.as_str().as_bytes()].concat())
            }
            _ => user.clone(),
        }
    }

    /// The first directory whose domains have this one, whatever it can be asked.
    pub fn directory_of(&self, domain: &Domain) -> Option<Arc<str>> {
        self.member_of(domain).map(|member| member.name().clone())
    }

    /// One form for each mailbox, as the directory that would be asked has it; for
    /// one of another domain, the address itself.
    #[must_use]
    pub fn mailbox(&self, address: Address) -> Address {
        let kind = Kind::Recipient(address.clone());
        match self.route(&kind).or_else(|| self.member_of(address.domain())) {
            Some(member) => member.canonical(address),
            None => address,
        }
    }

    /// One form for each account: as [`Engine::mailbox`], but a detail stays, for a
    /// name with one may be another's login. A name that is no address has one form.
    #[must_use]
    pub fn account(&self, user: &UserName) -> UserName {
        let Ok(address) = Address::from_unquoted(user.as_bytes()) else {
            return user.clone();
        };
        let folds = self
            .member_of(address.domain())
            .is_some_and(|member| member.folds_case());
        let address = if folds { address.folded() } else { address };
        UserName::new(&address.to_unquoted())
    }

    /// The mailboxes that are remembered to exist, one after the other as they are asked for; `None` where none ever is.
    /// An item is `None` where an entry was looked at that is of no such mailbox.
    pub fn known(&self) -> Option<impl Iterator<Item = Option<Address>> + Send> {
        let mut known = self.members.iter().filter_map(|member| member.known()).peekable();
        known.peek().is_some().then(|| known.flatten())
    }

    /// Forgets what is remembered of these users, or of all where none is named.
    /// Returns how many verdicts these were.
    pub fn forget(&self, users: &[UserName]) -> usize {
        if users.is_empty() {
            return self.members.iter().map(|member| member.forget_all()).sum();
        }
        let mut forgotten = 0;
        for user in users.iter().map(|user| self.complete(user)) {
            forgotten += self
                .members
                .iter()
                .map(|member| member.forget(&user))
                .sum::<usize>();
        }
        forgotten
    }

    /// What is remembered, and what it was good for; `None` where nothing ever is.
    pub async fn summary(&self) -> Option<lookups::Summary> {
        if !self.members.iter().any(|member| member.keeps()) {
            return None;
        }
        let mut summary = lookups::Summary::default();
        for member in &self.members {
            member.sum_up(&mut summary).await;
        }
        Some(summary)
    }

    fn member_of(&self, domain: &Domain) -> Option<&Arc<CachedDirectory>> {
        self.members.iter().find(|member| member.has(domain))
    }

    /// The first directory that can answer this kind of question and knows the
    /// domain. A login without any domain is taken by the listener's only
    /// directory, or by none; where logins are asked about in turn, by each.
    fn route(&self, kind: &Kind) -> Option<&Arc<CachedDirectory>> {
        let without_domain = matches!(kind, Kind::Login { user, .. } if user.domain().is_none());
        if without_domain && self.members.len() != 1 && self.in_turn.is_none() {
            return None;
        }
        self.members.iter().find(|member| member.takes(kind))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, ready};
    use std::pin::Pin;

    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::address::Address;
    use crate::chance::Chance;
    use crate::directory::{Directory, Terms};
    use crate::verdict::{Client, Proof};

    /// The keys of a directory that caches nothing, and takes jane+list for jane.
    pub(in crate::engine) fn keys_of_tests(
        name: &str,
        domains: &[&str],
    ) -> crate::settings::directory::Directory {
        use crate::settings::{address::Addresses, directory::Directory, kind::Kind};
        let mut keys = Directory::new(name, Kind::Smtp, Addresses::nowhere());
        let domains = domains.iter().map(|domain| Domain::parse(domain).unwrap());
        keys.lookup.domains.all = domains.collect();
        keys.lookup.fold_case = true;
        keys.lookup.recipient_delimiter = "+".into();
        keys.cache.entries = 0;
        keys.cache.credentials.negative = std::time::Duration::ZERO;
        keys
    }

    /// Accepts whatever it is asked and can be asked one kind of question.
    struct Yes {
        logins: bool,
    }

    impl Directory for Yes {
        fn can_answer(&self, kind: &Kind) -> bool {
            matches!(kind, Kind::Login { .. }) == self.logins
        }

        fn probe<'a>(
            &'a self,
            question: &'a Question,
            _: Terms,
        ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
            let name = match &question.kind {
                Kind::Login { user, .. } => user.as_bytes().to_vec(),
                Kind::Recipient(address) => address.to_wire(),
            };
            Box::pin(ready(Verdict::accept(name)))
        }
    }

    fn member(name: &str, logins: bool, domains: &[&str]) -> Arc<CachedDirectory> {
        let settings = cached_directory::Settings::from(&keys_of_tests(name, domains));
        Arc::new(CachedDirectory::new(
            settings,
            Arc::new(Yes { logins }),
            [0; 32],
            Chance::default(),
        ))
    }

    async fn ask(engine: &Engine, kind: Kind) -> (Option<String>, Verdict) {
        let decision = engine
            .decide(
                Question {
                    kind,
                    client: Client::default(),
                },
                Instant::now(),
            )
            .await;
        (decision.directory.map(|name| name.to_string()), decision.verdict)
    }

    fn login(user: &str) -> Kind {
        let proof = Proof::Password(Secret::copy_from(b"pw"));
        Kind::Login {
            user: UserName::new(user.as_bytes()),
            proof,
        }
    }

    fn recipient(address: &str) -> Kind {
        Kind::Recipient(Address::from_unquoted(address.as_bytes()).unwrap())
    }

    const NOT_OURS: Verdict = Verdict::Abstain(Abstention::NotOurs);

    #[tokio::test]
    async fn recipients_go_to_the_first_directory_with_their_domain() {
        let members = vec![
            member("imap", true, &["a.example"]),
            member("open", false, &[]),
            member("one", false, &["a.example"]),
            member("two", false, &["a.example", "b.example"]),
        ];
        let engine = Engine::new(members, None);
        assert_eq!(
            ask(&engine, recipient("x@A.example")).await.0.as_deref(),
            Some("one")
        );
        assert_eq!(
            ask(&engine, recipient("x@b.example")).await.0.as_deref(),
            Some("two")
        );
        assert_eq!(ask(&engine, recipient("x@c.example")).await, (None, NOT_OURS));
    }

    #[tokio::test]
    async fn logins_go_by_domain_or_to_the_only_directory() {
        let two = Engine::new(
            vec![member("a", true, &["a.example"]), member("any", true, &[])],
            None,
        );
        assert_eq!(ask(&two, login("x@a.example")).await.0.as_deref(), Some("a"));
        assert_eq!(ask(&two, login("x@c.example")).await.0.as_deref(), Some("any"));
        assert_eq!(ask(&two, login("x")).await, (None, NOT_OURS));

        let one = Engine::new(vec![member("a", true, &["a.example"])], None);
        assert_eq!(ask(&one, login("x")).await.1, Verdict::accept("x"));
        assert_eq!(ask(&one, login("x@c.example")).await, (None, NOT_OURS));

        let domain = Domain::parse("a.example").unwrap();
        let completed = Engine::new(vec![member("a", true, &["a.example"])], Some(domain));
        assert_eq!(
            ask(&completed, login("x")).await.1,
            Verdict::accept("x@a.example")
        );
        assert!(matches!(ask(&completed, login("")).await.1, Verdict::Reject(_)));
    }

    #[tokio::test]
    async fn a_user_has_one_name() {
        let engine = Engine::new(vec![member("a", false, &["a.example"])], None);
        let mailbox = |name: &str| {
            let address = Address::from_unquoted(name.as_bytes()).unwrap();
            String::from_utf8(engine.mailbox(address).to_unquoted()).unwrap()
        };
        let account = |name: &str| engine.account(&UserName::new(name.as_bytes())).to_string();
        assert_eq!(mailbox("Bob+x@A.Example"), "bob@a.example");
        assert_eq!(account("Bob+x@A.Example"), "bob+x@a.example");
        assert_eq!(mailbox("Bob+x@B.Example"), "Bob+x@b.example");
        assert_eq!(account("Bob+x@B.Example"), "Bob+x@b.example");
        assert_eq!(account("Bob"), "Bob");
        assert_eq!(account("a b@A.Example"), "a b@a.example");
    }

    #[tokio::test]
    async fn nothing_impossible_reaches_a_directory() {
        let engine = Engine::new(vec![member("a", true, &[])], None);
        assert!(matches!(
            ask(&engine, login("x\r\ny")).await.1,
            Verdict::Reject(_)
        ));
    }
}
