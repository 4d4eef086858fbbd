use std::pin::Pin;

use parking_lot::Mutex;
use tokio::time::{advance, sleep};
use vouch_protocol::sasl::RelayedMechanism;

use super::*;
use crate::chance::Chance;
use crate::directory::{Directory, Terms};
use crate::engine::cached_directory::{CachedDirectory, Settings};
use crate::engine::remembered::PurgeScope;
use crate::engine::tests::keys_of_tests;
use crate::engine::{Decision, Source};
use crate::verdict::{Client, Kind, Proof, Question};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// Answers after a while, as it was told for that password, and else as for all.
#[derive(Default)]
struct Remote {
    says: Mutex<Vec<(&'static str, Duration, Verdict)>>,
    away: Mutex<Option<Cause>>,
    asked: Mutex<Vec<String>>,
}

impl Directory for Remote {
    fn can_answer(&self, _: &Kind) -> bool {
        true
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        terms: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        let password = match &question.kind {
            Kind::Login {
                proof: Proof::Password(password),
                ..
            } => String::from_utf8_lossy(password.expose()).into_owned(),
            _ => String::new(),
        };
        self.asked.lock().push(password.clone());
        let says = self.says.lock().clone();
        let (_, after, verdict) = says
            .iter()
            .find(|(of, ..)| *of == password || of.is_empty())
            .cloned()
            .unwrap();
        Box::pin(async move {
            if self.away.lock().is_none() {
                terms.waiters.sent();
            }
            sleep(after).await;
            verdict
        })
    }

    fn away(&self) -> Option<Cause> {
        self.away.lock().clone()
    }
}

/// One thing said at once to all.
fn says(remote: &Remote, verdict: Verdict) {
    *remote.says.lock() = vec![("", Duration::ZERO, verdict)];
}

fn of(reach: Reach) -> Cause {
    let cause = Cause::ours(Class::Unreachable, "it is not there");
    Cause { reach, ..cause }
}

fn down() -> Verdict {
    Verdict::Defer(of(Reach::Away))
}

fn no(class: Class) -> Verdict {
    Verdict::Reject(Cause::said(class, "NO", "no"))
}

fn member(remote: &Arc<Remote>) -> CachedDirectory {
    let mut keys = keys_of_tests("m", &["e.org"]);
    keys.cache.entries = 100;
    keys.cache.credentials.stale = Some(8 * HOUR);
    keys.auth.forward_client = true;
    CachedDirectory::new(Settings::from(&keys), remote.clone(), [1; 32], Chance::default())
}

fn login(user: &str, proof: Proof) -> Question {
    Question {
        kind: Kind::Login {
            user: UserName::new(user.as_bytes()),
            proof,
        },
        client: Client {
            address: Client::address_in(b"192.0.2.7"),
            ..Client::default()
        },
    }
}

fn password(password: &str) -> Proof {
    Proof::Password(Secret::copy_from(password.as_bytes()))
}

async fn ask(member: &CachedDirectory, user: &str, proof: Proof) -> Decision {
    let deadline = Instant::now() + 8 * SECOND;
    // Nothing is asked and answered at one moment.
    advance(Duration::from_millis(1)).await;
    member.decide(login(user, proof), deadline).await
}

async fn said(member: &CachedDirectory, user: &str, secret: &str) -> (&'static str, Source) {
    let decision = ask(member, user, password(secret)).await;
    (decision.verdict.name(), decision.source)
}

const YES: (&str, Source) = ("accept", Source::Stale);
const LATER: (&str, Source) = ("defer", Source::Probe);

/// A remote and its directory, where Jane's password was good.
async fn known() -> (Arc<Remote>, CachedDirectory) {
    let remote = Arc::new(Remote::default());
    let member = member(&remote);
    says(&remote, Verdict::accept("jane"));
    assert_eq!(
        said(&member, "jane@e.org", "good").await,
        ("accept", Source::Probe)
    );
    says(&remote, down());
    (remote, member)
}

// Fills directory.NAME.cache.credentials.stale.
#[tokio::test(start_paused = true)]
async fn a_good_login_stays_good_while_the_remote_is_down_and_no_longer_than_that() {
    let (remote, member) = known().await;
    for _ in 0..3 {
        assert_eq!(said(&member, "jane@e.org", "good").await, YES);
    }
    assert_eq!(member.report().stale.unwrap().accepted.unwrap().0, 3);
    assert_eq!(remote.asked.lock().len(), 4, "it is asked first, each time");
    assert_eq!(said(&member, "joe@e.org", "good").await, LATER);
    assert_eq!(said(&member, "Jane@e.org", "good").await, LATER);
    // From the remote's own yes on.
    advance(8 * HOUR - SECOND).await;
    assert_eq!(said(&member, "jane@e.org", "good").await, YES);
    advance(SECOND).await;
    assert_eq!(said(&member, "jane@e.org", "good").await, LATER);

    says(&remote, Verdict::accept("jane"));
    assert_eq!(
        said(&member, "jane@e.org", "good").await,
        ("accept", Source::Probe)
    );
    assert_eq!(member.report().stale.unwrap().accepted, None);
}

#[tokio::test(start_paused = true)]
async fn whatever_the_remote_says_is_the_answer() {
    let (remote, member) = known().await;
    for (verdict, expected) in [
        (Verdict::Defer(of(Reach::Heard)), LATER),
        (Verdict::Defer(of(Reach::Unknown)), LATER),
        (
            Verdict::Defer(Cause::said(
                Class::Temporary,
                "NO [UNAVAILABLE]",
                "temporarily locked",
            )),
            LATER,
        ),
        (Verdict::Defer(Cause::ours(Class::Overload, "full")), LATER),
        (Verdict::Defer(Cause::ours(Class::Timeout, "in the queue")), LATER),
        (Verdict::Defer(of(Reach::Away)), YES),
    ] {
        says(&remote, verdict.clone());
        let decision = ask(&member, "jane@e.org", password("good")).await;
        assert_eq!(
            (decision.verdict.name(), decision.source),
            expected,
            "{verdict:?}"
        );
        let decision = ask(&member, "jane@e.org", password("wrong")).await;
        assert_eq!(decision.verdict.name(), "defer");
        assert_eq!(decision.is_failed_attempt(), expected == YES, "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_over_once_refused_or_changed_or_closed_or_purged() {
    for ends in [
        "refused", "changed", "disabled", "expired", "by a token", "purged",
    ] {
        let (remote, member) = known().await;
        let token = Proof::Token {
            mechanism: RelayedMechanism::XOauth2,
            rest: Secret::copy_from(b"token"),
        };
        let (verdict, proof) = match ends {
            "refused" => (no(Class::BadCredentials), password("good")),
            "changed" => (Verdict::accept("jane"), password("new")),
            "disabled" => (no(Class::Disabled), password("other")),
            "expired" => (no(Class::Expired), password("other")),
            "by a token" => (no(Class::Disabled), token),
            _ => {
                let purged = member.purge(&PurgeScope::user("jane@e.org")).await;
                assert_eq!(purged.logins, 1);
                (down(), password("other"))
            }
        };
        says(&remote, verdict);
        ask(&member, "jane@e.org", proof).await;
        says(&remote, down());
        assert_eq!(said(&member, "jane@e.org", "good").await, LATER, "{ends}");
        if ends == "changed" {
            assert_eq!(said(&member, "jane@e.org", "new").await, YES);
        }
        says(&remote, Verdict::accept("jane"));
        ask(&member, "jane@e.org", password("good")).await;
        says(&remote, down());
        assert_eq!(
            said(&member, "jane@e.org", "good").await,
            YES,
            "{ends}, and again"
        );
    }
    // A guess takes nothing away, and neither does what is no answer.
    let (remote, member) = known().await;
    for verdict in [no(Class::BadCredentials), Verdict::Defer(of(Reach::Heard))] {
        says(&remote, verdict);
        ask(&member, "jane@e.org", password("guess")).await;
    }
    says(&remote, down());
    assert_eq!(said(&member, "jane@e.org", "good").await, YES);
}

/// At most servers a name in another case is the same account, at some it is another.
#[tokio::test(start_paused = true)]
async fn a_password_is_changed_for_all_spellings_of_a_name() {
    let (remote, member) = known().await;
    says(&remote, Verdict::accept("jane"));
    ask(&member, "JANE@e.org", password("good")).await;
    says(&remote, down());
    for spelled in ["jane@e.org", "JANE@e.org"] {
        assert_eq!(said(&member, spelled, "good").await, YES, "{spelled}");
    }
    assert_eq!(said(&member, "Jane@e.org", "good").await, LATER);
    says(&remote, Verdict::accept("jane"));
    ask(&member, "Jane@e.org", password("new")).await;
    says(&remote, down());
    for spelled in ["jane@e.org", "JANE@e.org"] {
        assert_eq!(said(&member, spelled, "good").await, LATER, "{spelled}");
        assert_eq!(said(&member, spelled, "new").await, LATER, "{spelled}");
    }
    assert_eq!(said(&member, "Jane@e.org", "new").await, YES);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_match_counts_and_of_whom_nothing_is_known_too() {
    let (_, member) = known().await;
    for (user, secret, counts) in [
        ("jane@e.org", "good", false),
        ("jane@e.org", "wrong", true),
        ("nobody@e.org", "wrong", true),
    ] {
        let decision = ask(&member, user, password(secret)).await;
        assert_eq!(decision.is_failed_attempt(), counts, "{user} {secret}");
        assert!(!decision.is_refusal());
        let told = decision.verdict.detail();
        assert_eq!(told.contains("cache.credentials.stale"), counts, "{told}");
    }
    // Where there is nothing to guess, nobody guesses.
    member.purge(&PurgeScope::All).await;
    let decision = ask(&member, "nobody@e.org", password("another")).await;
    assert!(!decision.is_failed_attempt());
    // What this memory is not about cannot be guessed by it.
    let token = Proof::Token {
        mechanism: RelayedMechanism::XOauth2,
        rest: Secret::copy_from(b"good"),
    };
    let decision = ask(&member, "jane@e.org", token).await;
    assert_eq!(decision.verdict.name(), "defer");
    assert!(!decision.is_failed_attempt());
}

#[tokio::test(start_paused = true)]
async fn a_login_is_good_from_where_it_was_good() {
    let (_, member) = known().await;
    let mut abroad = login("jane@e.org", password("good"));
    abroad.client.address = Client::address_in(b"203.0.113.9");
    let decision = member.decide(abroad, Instant::now() + SECOND).await;
    assert_eq!(decision.verdict.name(), "defer");
}

/// One that has a secret and is silent may be slow to refuse it. One that left a login for as long as a command may take,
/// and has answered nobody since, is down.
#[tokio::test(start_paused = true)]
async fn a_remote_that_is_silent_is_down_once_it_is_to_all() {
    let (remote, member) = known().await;
    *remote.says.lock() = vec![
        ("slow", 30 * SECOND, no(Class::BadCredentials)),
        ("", 30 * SECOND, Verdict::Defer(of(Reach::Silent))),
    ];
    assert_eq!(said(&member, "jane@e.org", "good").await, LATER);
    assert_eq!(said(&member, "jane@e.org", "good").await, LATER);
    sleep(30 * SECOND).await;
    assert_eq!(said(&member, "jane@e.org", "good").await, YES);
    // It was refused in the end.
    assert_eq!(said(&member, "jane@e.org", "slow").await, LATER);
    sleep(10 * SECOND).await;
    assert_eq!(said(&member, "jane@e.org", "good").await, YES);
    sleep(15 * SECOND).await;
    assert_eq!(said(&member, "jane@e.org", "good").await, LATER);
}

/// Nobody waits for the time-out of a remote that swallows packets; whether the password is the remembered one makes no
/// difference to that.
#[tokio::test(start_paused = true)]
async fn a_remote_that_cannot_be_reached_is_waited_for_briefly() {
    let (remote, member) = known().await;
    *remote.says.lock() = vec![("", 30 * SECOND, Verdict::Defer(of(Reach::Unknown)))];
    for (away, secret, expected, took) in [
        (None, "good", LATER, 8),
        (Some(of(Reach::Away)), "good", YES, 2),
        (Some(of(Reach::Away)), "wrong", LATER, 2),
    ] {
        let began = Instant::now();
        *remote.away.lock() = away;
        assert_eq!(said(&member, "jane@e.org", secret).await, expected, "{secret}");
        assert_eq!(began.elapsed().as_secs(), took, "{secret}");
        sleep(30 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_replies_to_others_is_there() {
    let (remote, member) = known().await;
    *remote.says.lock() = vec![
        ("good", 2 * SECOND, down()),
        ("", SECOND, Verdict::Defer(of(Reach::Heard))),
    ];
    let (jane, joe) = tokio::join!(
        said(&member, "jane@e.org", "good"),
        said(&member, "joe@e.org", "x")
    );
    assert_eq!((jane, joe), (LATER, LATER));
    assert_eq!(said(&member, "jane@e.org", "good").await, YES);
}

/// Which of two passwords the remote accepted last, nobody knows where both were asked at once.
#[tokio::test(start_paused = true)]
async fn a_late_yes_brings_no_old_password_back() {
    let (remote, member) = known().await;
    let yes = || Verdict::accept("jane");
    *remote.says.lock() = vec![("good", 5 * SECOND, yes()), ("new", SECOND, yes())];
    tokio::join!(
        said(&member, "jane@e.org", "good"),
        said(&member, "jane@e.org", "new")
    );
    says(&remote, down());
    assert_eq!(said(&member, "jane@e.org", "good").await, LATER);
    assert_eq!(said(&member, "jane@e.org", "new").await, LATER);
}

#[tokio::test(start_paused = true)]
async fn it_is_listed_as_what_it_is() {
    let (remote, member) = known().await;
    let (about, entry) = &member.look_up(b"jane@e.org")[0];
    assert_eq!((about.kind, entry.state), ("login", State::Stale));
    assert_eq!(entry.ends_in + entry.age, 8 * HOUR);
    says(&remote, no(Class::BadCredentials));
    ask(&member, "jane@e.org", password("good")).await;
    assert!(member.look_up(b"jane@e.org").is_empty());
}

// Fills directory.NAME.cache.entries.
#[test]
fn there_is_room_for_so_many_users_and_no_password_in_it() {
    let stale = StaleLogins::new("m".into(), 10, HOUR, &[7; 32]);
    let (now, secret) = (Instant::now(), Secret::copy_from(b"good"));
    for number in 0..100 {
        let user = UserName::new(format!("user{number}").as_bytes());
        stale.keep(&user, &secret, None, now, &Verdict::accept("x"));
    }
    assert!(stale.report().users <= 10);
    let hashes: Vec<_> = stale.known.iter().map(|(_, known)| known.hash).collect();
    let mut different = hashes.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(hashes.len(), different.len(), "of one password, each is another");
}
