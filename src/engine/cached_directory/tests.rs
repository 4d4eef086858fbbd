use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::yield_now;
use tokio::time::{advance, sleep};
use vouch_protocol::secret::Secret;

use super::*;
use crate::directory::Terms;
use crate::engine::entry::{PIECE, State};
use crate::engine::remembered::{Listing, PurgeScope};
use crate::verdict::{Cause, Class, Client};

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
    let no_accepts = settings::Credentials {
        positive: Duration::ZERO,
        negative: Duration::from_secs(30),
        stale: None,
    };
    member_with(remote, no_accepts)
}

fn member_with(remote: &Arc<Remote>, logins: settings::Credentials) -> CachedDirectory {
    let mut keys = crate::engine::tests::keys_of_tests("m", &[]);
    keys.cache.entries = 100;
    keys.cache.ttl = settings::Ttl {
        positive: hours(4),
        refresh: hours(1),
        negative: Duration::from_secs(60),
        stale: hours(100),
    };
    keys.cache.credentials = logins;
    let settings = Settings::from(&keys);
    CachedDirectory::new(settings, remote.clone(), [1; 32], Chance::default())
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
async fn what_a_backup_says_is_passed_on_and_leaves_nothing_behind() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote);
    for verdict in [Verdict::accept("x"), no()] {
        let name = verdict.name();
        says(&remote, verdict.by_backup());
        for _ in 0..2 {
            assert_eq!(recipient(&member, "bob@e.org").await, (name, Source::Probe));
        }
    }
    assert_eq!(member.report().recipients.entries, 0);
    // What the best one said stays, whatever a backup says of it.
    says(&remote, Verdict::accept("x"));
    assert_eq!(recipient(&member, "jane@e.org").await.0, "accept");
    advance(hours(5)).await;
    says(&remote, Verdict::accept("x").by_backup());
    assert_eq!(recipient(&member, "jane@e.org").await, ("accept", Source::Probe));
    says(&remote, down());
    assert_eq!(recipient(&member, "jane@e.org").await, ("accept", Source::Cache));
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

/// Users who are at another server now are asked about there; the answers about all others are remembered.
#[tokio::test(start_paused = true)]
async fn who_has_moved_is_forgotten_and_nobody_else() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote);
    says(&remote, Verdict::accept("x"));
    for address in ["jane@e.org", "joe@e.org", "jane@f.org"] {
        assert_eq!(recipient(&member, address).await, ("accept", Source::Probe));
    }
    let under_way = recipient(&member, "ann@e.org");
    let stays = |local: &[u8], domain: &Domain| local == b"jane" || domain.as_str() != "e.org";
    let move_all = async {
        sleep(Duration::from_millis(500)).await;
        let purged = member.forget_moved(stays, "new".to_owned()).await;
        (purged.recipients, purged.file_waits)
    };
    let (_, forgotten) = tokio::join!(under_way, move_all);
    assert_eq!(forgotten, (1, false));
    for (address, source) in [
        ("jane@e.org", Source::Cache),
        ("joe@e.org", Source::Probe),
        ("jane@f.org", Source::Cache),
        // The old server's answer came after that.
        ("ann@e.org", Source::Probe),
    ] {
        assert_eq!(recipient(&member, address).await, ("accept", source), "{address}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_login_comes_back_either() {
    let remote = Arc::new(Remote::default());
    let memory = settings::Credentials {
        positive: hours(1),
        negative: hours(1),
        stale: None,
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
    member.settings.keys.cache.entries = 10 * PIECE as u32;
    let member = Arc::new(CachedDirectory::new(
        member.settings.clone(),
        remote,
        [1; 32],
        Chance::default(),
    ));
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

#[tokio::test(start_paused = true)]
async fn without_entries_nothing_is_remembered() {
    let remote = Arc::new(Remote::default());
    let mut keys = crate::engine::tests::keys_of_tests("m", &[]);
    keys.cache.entries = 0;
    keys.cache.credentials.positive = hours(1);
    keys.cache.credentials.negative = hours(1);
    let member = CachedDirectory::new(Settings::from(&keys), remote.clone(), [1; 32], Chance::default());
    let refused = Verdict::Reject(Cause::said(Class::BadCredentials, "NO", "no"));
    for verdict in [refused, Verdict::accept("x")] {
        says(&remote, verdict.clone());
        for _ in 0..2 {
            let proof = Proof::Password(Secret::copy_from(b"pw"));
            let user = UserName::new(b"jane@e.org");
            let question = Question {
                kind: Kind::Login { user, proof },
                client: Client::default(),
            };
            let decision = member.decide(question, Instant::now() + hours(1)).await;
            assert_eq!(
                (decision.verdict.name(), decision.source),
                (verdict.name(), Source::Probe)
            );
            assert_eq!(
                recipient(&member, "jane@e.org").await,
                (verdict.name(), Source::Probe)
            );
        }
    }
    assert!(!member.keeps());
}
