//! Refusals of recently accepted recipients, and runs of refusals.

use super::*;
use crate::engine::remembered::PurgeScope;
use crate::engine::witnesses::{
    CHECK_INTERVAL, ONLY_WITNESS_REFUSED, REFUSALS_IN_A_ROW, WITNESS_LIFE, WITNESSES_PER_DOMAIN,
};

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * hours)
}

/// A member that has accepted these recipients, long enough ago that each is asked about anew.
async fn member_that_knows(remote: &Arc<Remote>, known: &[&str]) -> Arc<CachedDirectory> {
    let member = Arc::new(member(remote, &[], false));
    for address in known {
        remote.says(address, yes());
        assert_eq!(ask(&member, address).await, "accept");
    }
    sleep(hours(5)).await;
    remote.asked();
    member
}

/// The remote has none of these any more, nor anybody whom it is not told of.
fn loses(remote: &Remote, addresses: &[&str]) {
    for address in addresses {
        remote.says(address, no());
    }
    remote.says_of_others(no());
}

fn has(remote: &Remote, addresses: &[&str]) {
    for address in addresses {
        remote.says(address, yes());
    }
}

/// Addresses of a row, of whom nobody has heard.
fn guesses(from: usize, count: usize) -> Vec<String> {
    (from..from + count)
        .map(|number| format!("g{number}@e.org"))
        .collect()
}

async fn refuse_guesses(member: &CachedDirectory, from: usize, count: usize) {
    for guess in guesses(from, count) {
        assert_eq!(ask(member, &guess).await, "reject");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_mailbox_is_refused_on_the_word_of_a_witness() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["jane@e.org"]);
    assert_eq!(decide(&member, "jane@e.org").await, (no(), Source::Probe));
    assert_eq!(remote.asked(), ["jane@e.org", "bob@e.org", "jane@e.org"]);
    assert_eq!(decide(&member, "jane@e.org").await, (no(), Source::Cache));
    assert_eq!(member.doubts(9).0, 0);
    // The witness's yes was kept as well.
    assert_eq!(decide(&member, "bob@e.org").await.1, Source::Cache);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_has_lost_its_users_refuses_nobody_until_it_has_them_again() {
    let remote = Arc::new(Remote::default());
    let known = ["jane@e.org", "bob@e.org"];
    let member = member_that_knows(&remote, &known).await;
    loses(&remote, &known);
    let (verdict, source) = decide(&member, "jane@e.org").await;
    let Verdict::Defer(cause) = &verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!((cause.class, source), (Class::NotBelieved, Source::Probe));
    assert!(
        cause.text.contains("bob@e.org") && cause.text.contains("550 5.1.1"),
        "{cause}"
    );
    // Nobody is refused now, whoever it is: nothing is asked but the question itself.
    remote.asked();
    assert_eq!(ask(&member, "new@e.org").await, "defer");
    assert_eq!(ask(&member, "bob@e.org").await, "defer");
    assert_eq!(remote.asked(), ["new@e.org", "bob@e.org"]);
    let (count, doubts) = member.doubts(9);
    assert_eq!((count, doubts[0].witness.to_string().as_str()), (1, "bob@e.org"));
    // A weekend later it is still so; and a witness is asked with the first refusal of each minute.
    sleep(hours(60)).await;
    assert_eq!(ask(&member, "new@e.org").await, "defer");
    assert_eq!(remote.asked().len(), 2);
    sleep(2 * CHECK_INTERVAL).await;
    has(&remote, &known);
    remote.says("new@e.org", yes());
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(member.doubts(9).0, 0);
    assert_eq!(ask(&member, "nosuch@e.org").await, "reject");
}

/// The refusal that is in hand when the remote has its users back is none of theirs.
#[tokio::test(start_paused = true)]
async fn who_was_refused_a_moment_before_the_users_are_back_is_asked_again() {
    let remote = Arc::new(Remote::default());
    let known = ["jane@e.org", "bob@e.org"];
    let member = member_that_knows(&remote, &known).await;
    loses(&remote, &known);
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    sleep(CHECK_INTERVAL).await;
    let recovery = async {
        sleep(Duration::from_millis(15)).await;
        has(&remote, &["jane@e.org", "bob@e.org", "new@e.org"]);
    };
    // An answer takes 10 ms: the first is said before it recovers, the witness's after.
    assert_eq!(tokio::join!(ask(&member, "new@e.org"), recovery).0, "accept");
    // So it is with who was known, and before anybody doubts.
    sleep(hours(5)).await;
    loses(&remote, &["jane@e.org"]);
    let recovery = async {
        sleep(Duration::from_millis(15)).await;
        has(&remote, &["jane@e.org"]);
    };
    assert_eq!(tokio::join!(ask(&member, "jane@e.org"), recovery).0, "accept");
}

// Fills REFUSALS_IN_A_ROW.
#[tokio::test(start_paused = true)]
async fn a_run_of_refusals_is_believed_on_the_word_of_a_witness() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org"]).await;
    loses(&remote, &[]);
    refuse_guesses(&member, 0, REFUSALS_IN_A_ROW - 1).await;
    // One that was refused before is no other.
    sleep(Duration::from_secs(130)).await;
    refuse_guesses(&member, 0, 1).await;
    assert!(!remote.asked().contains(&"jane@e.org".to_owned()));
    refuse_guesses(&member, 100, 1).await;
    assert_eq!(remote.asked(), ["g100@e.org", "jane@e.org"]);
    // Its yes is good for a minute.
    refuse_guesses(&member, 200, 3 * REFUSALS_IN_A_ROW).await;
    assert!(!remote.asked().contains(&"jane@e.org".to_owned()));
    sleep(CHECK_INTERVAL).await;
    refuse_guesses(&member, 300, 1).await;
    assert_eq!(remote.asked(), ["g300@e.org", "jane@e.org"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_refusals_by_a_remote_that_has_lost_its_users_comes_to_an_end() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["jane@e.org", "bob@e.org"]);
    refuse_guesses(&member, 0, REFUSALS_IN_A_ROW - 1).await;
    // Those who ask at once wait for the one answer of the one witness.
    remote.asked();
    let all = guesses(100, 5);
    let answers = futures_util::future::join_all(all.iter().map(|guess| ask(&member, guess))).await;
    assert_eq!(answers, ["defer"; 5]);
    assert_eq!(remote.asked().len(), 6);
    // What was refused before that is asked again.
    assert_eq!(decide(&member, "g0@e.org").await.1, Source::Probe);
    assert_eq!(ask(&member, "g0@e.org").await, "defer");
    // A yes of anybody ends it.
    remote.says("new@e.org", yes());
    assert_eq!(ask(&member, "new@e.org").await, "accept");
    assert_eq!(ask(&member, "g0@e.org").await, "reject");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_refusals_of_one_domain_says_nothing_of_another() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["jane@e.org", "bob@e.org"]);
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    // That one is none of the directory's: it has no record, whoever asks how often.
    for number in 0..5 * REFUSALS_IN_A_ROW {
        assert_eq!(ask(&member, &format!("g{number}@d{number}.org")).await, "reject");
    }
    assert_eq!(member.doubts(9).0, 1);
}

#[tokio::test(start_paused = true)]
async fn of_many_that_were_deleted_each_becomes_a_no() {
    let remote = Arc::new(Remote::default());
    let known = ["a@e.org", "b@e.org", "c@e.org", "d@e.org", "jane@e.org"];
    let member = member_that_knows(&remote, &known).await;
    let gone = &known[..4];
    loses(&remote, gone);
    let mut left: Vec<_> = gone.to_vec();
    let mut minutes = 0;
    while !left.is_empty() {
        let mut still = Vec::new();
        for address in left {
            match ask(&member, address).await {
                "reject" => {}
                "defer" => still.push(address),
                other => panic!("{other}"),
            }
        }
        left = still;
        minutes += 1;
        assert!(minutes < 10, "{left:?}");
        sleep(CHECK_INTERVAL).await;
    }
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(member.doubts(9).0, 0);
}

/// One may be from when the remote had lost its users for the first time, the other from the second.
// Fills REFUSED_AGAIN_WITHIN.
#[tokio::test(start_paused = true)]
async fn two_refusals_that_are_far_apart_do_not_make_a_no() {
    let remote = Arc::new(Remote::default());
    let known = ["bob@e.org", "jane@e.org", "sue@e.org"];
    for apart in [Duration::from_secs(300), hours(2)] {
        let member = member_that_knows(&remote, &known).await;
        // It is asked about sue, so that nobody is asked with the refusal of jane.
        loses(&remote, &["bob@e.org"]);
        assert_eq!(ask(&member, "bob@e.org").await, "reject");
        loses(&remote, &known);
        assert_eq!(ask(&member, "jane@e.org").await, "defer");
        assert_eq!(member.doubts(9).0, 0);
        has(&remote, &known);
        sleep(apart).await;
        assert_eq!(ask(&member, "new@e.org").await, "reject");
        remote.says("other@e.org", yes());
        assert_eq!(ask(&member, "other@e.org").await, "accept");
        loses(&remote, &known);
        loses(&remote, &["other@e.org"]);
        let expected = if apart < hours(1) { "reject" } else { "defer" };
        assert_eq!(ask(&member, "jane@e.org").await, expected);
    }
}

/// Nobody else can tell whether it was deleted.
// Fills ONLY_WITNESS_REFUSED.
#[tokio::test(start_paused = true)]
async fn the_only_witness_is_refused_after_a_day() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org"]).await;
    loses(&remote, &["jane@e.org"]);
    for _ in 0..11 {
        assert_eq!(ask(&member, "jane@e.org").await, "defer");
        assert_eq!(ask(&member, "new@e.org").await, "defer");
        sleep(hours(2)).await;
    }
    assert_eq!(remote.asked().len(), 3 * 11, "it is a witness against others");
    assert_eq!(member.doubts(9).0, 1);
    sleep(hours(2)).await;
    assert_eq!(ask(&member, "jane@e.org").await, "reject");
    assert_eq!(ask(&member, "new@e.org").await, "reject");
    assert_eq!(member.doubts(9).0, 0);
    assert_eq!(ONLY_WITNESS_REFUSED, hours(24));
}

#[tokio::test(start_paused = true)]
async fn who_is_purged_is_no_witness_and_no_reason_to_doubt() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org"]).await;
    loses(&remote, &["jane@e.org"]);
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    member.purge(&PurgeScope::mailbox("Jane@e.org").unwrap()).await;
    assert_eq!(ask(&member, "jane@e.org").await, "reject");
    assert_eq!(member.doubts(9).0, 0);
    refuse_guesses(&member, 0, 3 * REFUSALS_IN_A_ROW).await;
    for whom in [PurgeScope::domain("e.org").unwrap(), PurgeScope::All] {
        sleep(hours(5)).await;
        has(&remote, &["bob@e.org"]);
        assert_eq!(ask(&member, "bob@e.org").await, "accept");
        sleep(hours(5)).await;
        loses(&remote, &["bob@e.org"]);
        assert_eq!(ask(&member, "bob@e.org").await, "defer");
        member.purge(&whom).await;
        assert_eq!(ask(&member, "bob@e.org").await, "reject");
    }
}

// Fills WITNESSES_PER_DOMAIN, CHECK_INTERVAL.
#[tokio::test(start_paused = true)]
async fn a_witness_is_asked_once_a_minute_and_the_next_one_in_turn() {
    let remote = Arc::new(Remote::default());
    let known = ["a@e.org", "b@e.org", "c@e.org", "d@e.org", "e@e.org"];
    let member = member_that_knows(&remote, &known).await;
    loses(&remote, &known);
    let mut witnesses = Vec::new();
    for minute in 0..8 {
        for guess in guesses(100 * minute, REFUSALS_IN_A_ROW) {
            ask(&member, &guess).await;
        }
        let asked = remote.asked();
        let mut of_minute = asked.into_iter().filter(|address| !address.starts_with('g'));
        witnesses.push(of_minute.next().unwrap());
        assert_eq!(of_minute.next(), None, "a second one within a minute");
        sleep(CHECK_INTERVAL).await;
    }
    // Those that were accepted last, the last one first; then they begin anew.
    let in_turn = ["e@e.org", "d@e.org", "c@e.org", "b@e.org"];
    assert_eq!(in_turn.len(), WITNESSES_PER_DOMAIN);
    assert_eq!(witnesses, [in_turn, in_turn].concat());
}

/// One that nobody but us asks about raises doubts once.
#[tokio::test(start_paused = true)]
async fn a_witness_that_was_deleted_is_none_once_another_is_accepted() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["bob@e.org"]);
    refuse_guesses(&member, 0, REFUSALS_IN_A_ROW - 1).await;
    assert_eq!(ask(&member, "g99@e.org").await, "defer");
    sleep(CHECK_INTERVAL).await;
    assert_eq!(ask(&member, "g99@e.org").await, "reject");
    for minute in 1..9 {
        refuse_guesses(&member, 100 * minute, REFUSALS_IN_A_ROW).await;
        sleep(CHECK_INTERVAL).await;
    }
    assert_eq!(remote.asked().iter().filter(|it| *it == "bob@e.org").count(), 1);
    assert_eq!(ask(&member, "bob@e.org").await, "reject");
}

#[tokio::test(start_paused = true)]
async fn a_witness_without_an_answer_confirms_nothing() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["jane@e.org"]);
    remote.says("bob@e.org", silence());
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    let all = guesses(0, REFUSALS_IN_A_ROW);
    let mut last = None;
    for guess in &all {
        last = Some(decide(&member, guess).await.0);
    }
    let last = last.unwrap();
    assert_eq!((last.name(), last.reason().as_ref()), ("defer", "not-believed"));
    assert!(last.detail().ends_with("(unreachable)"), "{last:?}");
    // No doubt: there was no refusal.
    assert_eq!(member.doubts(9).0, 0);
    // Then it is another's turn; there is none but her.
    sleep(CHECK_INTERVAL).await;
    assert_eq!(ask(&member, "g99@e.org").await, "defer");
    assert_eq!(member.doubts(9).0, 1);
    sleep(CHECK_INTERVAL).await;
    has(&remote, &["bob@e.org"]);
    assert_eq!(ask(&member, "g99@e.org").await, "reject");
    sleep(CHECK_INTERVAL).await;
    assert_eq!(ask(&member, "jane@e.org").await, "reject");
}

#[tokio::test(start_paused = true)]
async fn a_witness_is_asked_about_whoever_goes_away() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["jane@e.org", "bob@e.org"]);
    let asking = tokio::time::timeout(Duration::from_millis(5), ask(&member, "jane@e.org")).await;
    assert!(asking.is_err());
    sleep(Duration::from_millis(50)).await;
    assert_eq!(member.doubts(9).0, 1);
}

// Fills WITNESS_LIFE.
#[tokio::test(start_paused = true)]
async fn who_was_accepted_long_ago_is_no_witness() {
    let remote = Arc::new(Remote::default());
    let member = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["jane@e.org", "bob@e.org"]);
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    sleep(WITNESS_LIFE).await;
    assert_eq!(ask(&member, "jane@e.org").await, "reject");
    assert_eq!(member.doubts(9).0, 0);
    refuse_guesses(&member, 0, 2 * REFUSALS_IN_A_ROW).await;
}

/// The canary is asked first; its yes is not that of a recipient.
#[tokio::test(start_paused = true)]
async fn a_canary_is_asked_before_a_witness() {
    let remote = Arc::new(Remote::default());
    let canary = "canary@e.org";
    let member = member(&remote, &[canary], false);
    has(&remote, &[canary, "jane@e.org", "bob@e.org"]);
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(ask(&member, "bob@e.org").await, "accept");
    sleep(hours(5)).await;
    remote.asked();
    loses(&remote, &["jane@e.org", "bob@e.org"]);
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    assert_eq!(remote.asked(), ["jane@e.org", canary, "bob@e.org"]);
    sleep(hours(5)).await;
    loses(&remote, &[canary]);
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    assert_eq!(remote.asked(), ["jane@e.org", canary]);
}

/// A reload goes on with what was found; a restart with what the memory has kept.
#[tokio::test(start_paused = true)]
async fn a_reload_does_not_end_doubts() {
    let remote = Arc::new(Remote::default());
    let before = member_that_knows(&remote, &["jane@e.org", "bob@e.org"]).await;
    loses(&remote, &["jane@e.org", "bob@e.org"]);
    assert_eq!(ask(&before, "jane@e.org").await, "defer");
    let after = before.succeeded_by(settings(&[], false), remote.clone());
    assert_eq!(ask(&after, "new@e.org").await, "defer");
    assert_eq!(after.doubts(9).0, 1);
    let elsewhere = cached_directory::Settings {
        domains: [Domain::parse("other.org").unwrap()].into_iter().collect(),
        ..settings(&[], false)
    };
    assert_eq!(after.succeeded_by(elsewhere, remote.clone()).doubts(9).0, 0);
}
