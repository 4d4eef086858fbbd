//! Several directories that may know one login: they are asked one after another, and what they say is one verdict. A
//! password goes to a directory only once those before it have not accepted it.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::flight::Late;
use super::homes::Homes;
use super::several::weight;
use super::{CachedDirectory, Decision, Source};
use crate::verdict::{Cause, Class, Question, UserName, Verdict};

/// Bound (cache): directories of one login that the log names. Beyond: their number is shown. Why: a line should stay
/// readable.
const MOST_NAMED: usize = 4;

/// What hears an answer for which nobody waits any more.
pub(super) type HearsLate = Box<dyn FnOnce(Decision) + Send>;

/// A login that is asked about.
pub(super) struct Login {
    pub(super) question: Question,
    pub(super) deadline: Instant,
    /// One form for each account.
    pub(super) account: UserName,
    /// Where users were accepted last.
    pub(super) homes: Arc<Homes>,
}

/// What the directories say together by the deadline. The one that accepted the user last is asked first, then the others
/// in their order: the next once one has not accepted, or has used its share of the time without an answer. Its answer
/// may still come. `late` hears once what they say after that, be it that the deadline has passed or that this was
/// dropped.
pub(super) async fn decide(
    mut members: Vec<Arc<CachedDirectory>>,
    login: Login,
    late: Option<HearsLate>,
) -> Decision {
    let Login {
        question,
        deadline,
        account,
        homes,
    } = login;
    if let Some(home) = homes.of(&account)
        && let Some(at) = members.iter().position(|member| *member.name() == home)
        && let Some(before) = members.get_mut(..=at)
    {
        before.rotate_right(1);
    }
    let said = Arc::new(Said::new(members.clone(), account, homes, late));
    let mut members = members.into_iter().enumerate();
    let mut answers = FuturesUnordered::new();
    loop {
        let newest = members.next().map(|(at, member)| {
            let (question, late) = (question.clone(), said.late_answer_of(at));
            answers.push(async move { (at, member.decide_or_late(question, deadline, late).await) });
            at
        });
        let left = members.len();
        let share = share_of(deadline, left + 1);
        loop {
            let answer = if left > 0 {
                timeout_at(share, answers.next()).await
            } else {
                Ok(answers.next().await)
            };
            let Ok(Some((at, decision))) = answer else { break };
            if said.note(at, decision) {
                return said.tell();
            }
            if Some(at) == newest {
                break;
            }
        }
        if left == 0 && answers.is_empty() {
            return said.tell();
        }
    }
}

/// Until when the first of so many directories is waited for alone.
fn share_of(deadline: Instant, directories: usize) -> Instant {
    let now = Instant::now();
    let directories = u32::try_from(directories).unwrap_or(u32::MAX);
    now + deadline.saturating_duration_since(now) / directories
}

/// What each directory has answered so far; held by the asker and by each answer that may still come.
struct Said {
    /// In the order in which they are asked.
    members: Vec<Arc<CachedDirectory>>,
    account: UserName,
    homes: Arc<Homes>,
    answers: Mutex<Answers>,
}

struct Answers {
    /// By each of the members.
    by: Vec<Option<Decision>>,
    /// The asker has the answer.
    told: bool,
    /// One came after that.
    late: bool,
    /// `None` where nobody hears more.
    hears_late: Option<HearsLate>,
}

impl Said {
    fn new(
        members: Vec<Arc<CachedDirectory>>,
        account: UserName,
        homes: Arc<Homes>,
        hears_late: Option<HearsLate>,
    ) -> Self {
        let answers = Answers {
            by: members.iter().map(|_| None).collect(),
            told: false,
            late: false,
            hears_late,
        };
        Self {
            members,
            account,
            homes,
            answers: Mutex::new(answers),
        }
    }

    /// Notes an answer; whether it is a yes.
    fn note(&self, at: usize, decision: Decision) -> bool {
        let accepted = matches!(decision.verdict, Verdict::Accept(_));
        if let (true, Some(member)) = (accepted, self.members.get(at)) {
            let moved = self.homes.note(&self.account, member.name());
            if moved && decision.source != Source::Stale {
                self.end_stale_logins(at);
            }
        }
        let mut answers = self.answers.lock();
        answers.late |= answers.told;
        if let Some(answer) = answers.by.get_mut(at) {
            *answer = Some(decision);
        }
        accepted
    }

    /// The user has come to this directory: what another remembers of the user is from before, and may be a password that
    /// was changed since.
    fn end_stale_logins(&self, home: usize) {
        let others = self.members.iter().enumerate().filter(|(at, _)| *at != home);
        for (_, member) in others {
            if let Some(stale) = &member.logins().stale {
                stale.end_all(&self.account);
            }
        }
    }

    /// What hears the answer of a directory for which nobody waits any more.
    fn late_answer_of(self: &Arc<Self>, at: usize) -> Option<Arc<Late<Verdict>>> {
        let (said, directory) = (
            self.clone(),
            self.members.get(at).map(|member| member.name().clone()),
        );
        let hears = move |verdict| {
            let source = Source::Probe;
            said.note(
                at,
                Decision {
                    verdict,
                    source,
                    directory,
                },
            );
        };
        let is_heard = self.answers.lock().hears_late.is_some();
        is_heard.then(|| Arc::new(Late::new(hears)))
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.members.iter().map(|member| member.name().clone()).collect()
    }

    /// What they say together, for the asker. After a yes or no nothing more is to be heard.
    fn tell(&self) -> Decision {
        let mut answers = self.answers.lock();
        let decision = together(&self.names(), &answers.by);
        answers.told = true;
        if !matches!(decision.verdict, Verdict::Defer(_)) {
            answers.hears_late = None;
        }
        decision
    }
}

impl Drop for Said {
    /// All have said what they will ever say.
    fn drop(&mut self) {
        let names = self.names();
        let answers = self.answers.get_mut();
        if let Some(hears_late) = answers
            .hears_late
            .take()
            .filter(|_| answers.late || !answers.told)
        {
            hears_late(together(&names, &answers.by));
        }
    }
}

/// What the directories of these names say together. A "no" takes all of them, and names them; no answer counts as a
/// failed attempt where another directory has heard the credential and not taken it, or it could be guessed for free while
/// one is down.
fn together(names: &[Arc<str>], by: &[Option<Decision>]) -> Decision {
    let missing = Decision {
        verdict: Verdict::Defer(Cause::ours(Class::Timeout, "not every directory has answered")),
        source: Source::Probe,
        directory: None,
    };
    let is_missing = by.iter().any(Option::is_none);
    let said = || by.iter().flatten();
    // The first of those that weigh the same.
    let heaviest = is_missing.then_some(&missing).into_iter().chain(said().rev());
    let heaviest = heaviest.max_by_key(|decision| weight(&decision.verdict));
    let Decision {
        verdict,
        source,
        directory,
    } = heaviest.unwrap_or(&missing);
    if matches!(verdict, Verdict::Accept(_)) {
        return Decision {
            verdict: verdict.clone(),
            source: *source,
            directory: directory.clone(),
        };
    }
    let sources = said().map(|decision| decision.source);
    let failed = said().any(Decision::is_failed_attempt);
    let refused = matches!(verdict, Verdict::Reject(_));
    Decision {
        verdict: if failed {
            verdict.clone().heard()
        } else {
            verdict.clone()
        },
        source: sources.max_by_key(|source| rank(*source)).unwrap_or(*source),
        directory: if refused {
            Some(named(names))
        } else {
            directory.clone()
        },
    }
}

/// Which source a verdict of several has: one that was asked now is one that counts.
fn rank(source: Source) -> u8 {
    match source {
        Source::Probe => 3,
        Source::Shared => 2,
        Source::Cache => 1,
        _ => 0,
    }
}

fn named(names: &[Arc<str>]) -> Arc<str> {
    let first: Vec<_> = names.iter().take(MOST_NAMED).map(|name| &**name).collect();
    let more = match names.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(",+{more}"),
    };
    (first.join(",") + &more).into()
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::time::Duration;

    use tokio::time::sleep;
    use vouch_protocol::secret::Secret;

    use super::super::tests::keys_of_tests;
    use super::super::{Engine, cached_directory};
    use super::*;
    use crate::chance::Chance;
    use crate::directory::{Directory, Terms};
    use crate::verdict::{Client, Kind, Proof, Reach};

    /// Says the same of every login, after so many seconds.
    struct Says(Mutex<(&'static str, u64)>);

    impl Directory for Says {
        fn can_answer(&self, kind: &Kind) -> bool {
            matches!(kind, Kind::Login { .. })
        }

        fn probe<'a>(
            &'a self,
            _: &'a Question,
            terms: Terms,
        ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
            Box::pin(async move {
                let (word, seconds) = *self.0.lock();
                terms.waiters.sent();
                sleep(Duration::from_secs(seconds)).await;
                verdict(word)
            })
        }
    }

    fn verdict(word: &str) -> Verdict {
        match word {
            "yes" => Verdict::accept("jane"),
            "later" => Verdict::Defer(Cause::ours(Class::Unreachable, "x")),
            "down" => Verdict::Defer(Cause {
                reach: Reach::Away,
                ..Cause::ours(Class::Unreachable, "x")
            }),
            "expired" => Verdict::Reject(Cause::ours(Class::Expired, "x")),
            "disabled" => Verdict::Reject(Cause::ours(Class::Disabled, "x")),
            _ => Verdict::Reject(Cause::ours(Class::BadCredentials, "x")),
        }
    }

    fn engine(says: &[(&'static str, u64)]) -> Engine {
        let says = says.iter().map(|says| Arc::new(Says(Mutex::new(*says))));
        engine_of(says.collect(), None)
    }

    fn engine_of(says: Vec<Arc<Says>>, stale: Option<Duration>) -> Engine {
        let member = |(at, directory): (usize, Arc<Says>)| {
            let mut keys = keys_of_tests(&format!("d{at}"), &[]);
            keys.cache.credentials.stale = stale;
            keys.cache.entries = if stale.is_some() { 100 } else { 0 };
            let settings = cached_directory::Settings::from(&keys);
            Arc::new(CachedDirectory::new(
                settings,
                directory,
                [0; 32],
                Chance::default(),
            ))
        };
        let members = says.into_iter().enumerate().map(member).collect();
        Engine::new(members, None).asking_in_turn(true)
    }

    fn question() -> Question {
        let proof = Proof::Password(Secret::copy_from(b"pw"));
        let user = UserName::new(b"jane");
        let (kind, client) = (Kind::Login { user, proof }, Client::default());
        Question { kind, client }
    }

    /// What the client has within eight seconds, when, and what is heard after it; it leaves after `patience`.
    async fn ask(engine: &Engine, patience: u64) -> (Option<(Decision, u64)>, Arc<Mutex<Vec<Decision>>>) {
        let began = Instant::now();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let late = heard.clone();
        let hears = move |decision| late.lock().push(decision);
        let decided =
            engine.decide_or_late(question(), began + Duration::from_secs(8), Some(Box::new(hears)));
        let decision = timeout_at(began + Duration::from_secs(patience), decided)
            .await
            .ok();
        let decision = decision.map(|decision| (decision, began.elapsed().as_secs()));
        (decision, heard)
    }

    #[test]
    fn a_no_takes_all_and_a_heard_credential_is_an_attempt() {
        const WORDS: [&str; 5] = ["wrong", "disabled", "expired", "later", "yes"];
        let names: Vec<Arc<str>> = ["a", "b"].map(Arc::from).into();
        for (one, other) in (0..25).map(|n| (n / 5, n % 5)) {
            let said = [(one, "a"), (other, "b")].map(|(word, name)| {
                Some(Decision {
                    verdict: verdict(WORDS[word]),
                    source: Source::Probe,
                    directory: Some(name.into()),
                })
            });
            let decision = together(&names, &said);
            let expected = verdict(WORDS[one.max(other)]);
            let refused = matches!(expected, Verdict::Reject(_));
            assert_eq!(decision.verdict.name(), expected.name(), "{one} {other}");
            assert_eq!(decision.verdict.reason(), expected.reason(), "{one} {other}");
            let attempt = one.max(other) < 4 && one.min(other) < 3;
            assert_eq!(decision.is_failed_attempt(), attempt, "{one} {other}");
            let directory = decision.directory.unwrap();
            assert_eq!(refused, &*directory == "a,b", "{one} {other}");
        }
    }

    // Fills MOST_NAMED.
    #[test]
    fn many_directories_are_named_by_their_number() {
        let names = |count| (0..count).map(|n| n.to_string().into()).collect::<Vec<_>>();
        assert_eq!(&*named(&names(1)), "0");
        assert_eq!(&*named(&names(MOST_NAMED)), "0,1,2,3");
        assert_eq!(&*named(&names(MOST_NAMED + 8)), "0,1,2,3,+8");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_directory_is_asked_in_time_behind_those_that_hang() {
        let hanging = [("later", 60), ("later", 60), ("yes", 0)];
        let engine = engine(&hanging);
        let (Some((decision, seconds)), _) = ask(&engine, 9).await else {
            panic!("no answer");
        };
        assert_eq!(decision.verdict, Verdict::accept("jane"));
        // A third of eight seconds, then half of what is left.
        assert_eq!((decision.directory.as_deref(), seconds), (Some("d2"), 5));
        // It is the first now, and is so behind a reload.
        let engine = self::engine(&hanging).succeeding(&engine);
        let (Some((_, seconds)), _) = ask(&engine, 9).await else {
            panic!("no answer");
        };
        assert_eq!(seconds, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_has_moved_leaves_no_old_password_behind() {
        for (then, expected) in [
            (["down", "down"], Some("d0")),
            (["wrong", "wrong"], None),
            (["down", "wrong"], Some("d0")),
            (["wrong", "yes"], Some("d1")),
            // The second was not asked.
            (["down", "yes"], Some("d0")),
        ] {
            let says = [("yes", 0), ("wrong", 0)].map(|says| Arc::new(Says(Mutex::new(says))));
            let engine = engine_of(says.clone().into(), Some(Duration::from_secs(3600)));
            let (decision, _) = ask(&engine, 9).await.0.unwrap();
            assert_eq!(decision.verdict, Verdict::accept("jane"));
            for words in [then, ["down", "down"]] {
                for (directory, word) in says.iter().zip(words) {
                    *directory.0.lock() = (word, 0);
                }
                ask(&engine, 9).await;
            }
            let (decision, _) = ask(&engine, 9).await.0.unwrap();
            let accepted = (decision.source == Source::Stale).then_some(decision.directory);
            let accepted = accepted.as_ref().and_then(|name| name.as_deref());
            assert_eq!(accepted, expected, "{then:?}");
            *says[1].0.lock() = ("wrong", 0);
            ask(&engine, 9).await;
            *says[1].0.lock() = ("down", 0);
            let (decision, _) = ask(&engine, 9).await.0.unwrap();
            let is_left = expected == Some("d0");
            assert_eq!(decision.source == Source::Stale, is_left, "{then:?}: at d0");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_is_heard_once() {
        for (says, patience, heard_late) in [
            // The answer was all there is to hear.
            ([("wrong", 1), ("wrong", 1)], 9, None),
            ([("wrong", 1), ("later", 1)], 9, None),
            ([("later", 60), ("yes", 1)], 9, None),
            // The first has not answered in time.
            ([("wrong", 12), ("wrong", 1)], 9, Some("reject d0,d1")),
            ([("wrong", 12), ("wrong", 10)], 9, Some("reject d0,d1")),
            ([("yes", 12), ("wrong", 1)], 9, Some("accept d0")),
            // The client left while it was asked, or the second was.
            ([("wrong", 3), ("wrong", 1)], 1, Some("defer -")),
            ([("wrong", 1), ("wrong", 3)], 2, Some("reject d0,d1")),
            ([("wrong", 1), ("yes", 3)], 2, Some("accept d1")),
        ] {
            let engine = engine(&says);
            let (decision, heard) = ask(&engine, patience).await;
            assert_eq!(decision.is_some(), patience > 8, "{says:?}");
            sleep(Duration::from_secs(120)).await;
            let heard: Vec<_> = heard.lock().drain(..).collect();
            let words = |decision: &Decision| {
                let name = decision.verdict.name();
                assert_eq!(decision.is_failed_attempt(), name != "accept");
                format!("{name} {}", decision.directory.as_deref().unwrap_or("-"))
            };
            let heard: Vec<_> = heard.iter().map(words).collect();
            assert_eq!(heard, heard_late.into_iter().collect::<Vec<_>>(), "{says:?}");
        }
    }
}
