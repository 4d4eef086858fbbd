//! Canaries, and domains that accept every address.

use tokio::time::advance;

use super::*;
use crate::verdict::Abstention;

const CANARY: &str = "canary@e.org";

#[tokio::test(start_paused = true)]
async fn without_either_a_question_is_one_probe() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &[], false);
    remote.says("jane@e.org", yes());
    remote.says_of_others(no());
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(ask(&member, "nosuch@e.org").await, "reject");
    seconds(60).await;
    assert_eq!(remote.asked(), ["jane@e.org", "nosuch@e.org"]);
}

// Fills CANARY_CONFIRMS_FOR, CANARY_REFRESH_AGE.
#[tokio::test(start_paused = true)]
async fn a_refusal_waits_for_the_canary_once_and_asks_on_in_the_background() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &["Canary+x@E.org"], false);
    remote.says(CANARY, yes());
    remote.says_of_others(no());
    assert_eq!(ask(&member, "a@e.org").await, "reject");
    assert_eq!(remote.asked(), ["a@e.org", CANARY]);
    assert_eq!(ask(&member, "b@e.org").await, "reject");
    assert_eq!(remote.asked(), ["b@e.org"]);
    seconds(61).await;
    let asked = Instant::now();
    assert_eq!(ask(&member, "c@e.org").await, "reject");
    assert_eq!(asked.elapsed().as_millis(), 10, "it waited for the canary");
    seconds(1).await;
    assert_eq!(remote.asked(), ["c@e.org", CANARY]);
    // No refusal of another domain is its business.
    seconds(400).await;
    assert_eq!(ask(&member, "a@other.org").await, "reject");
    assert_eq!(remote.asked(), ["a@other.org"]);
}

// Fills CANARY_RETRY_INTERVAL.
#[tokio::test(start_paused = true)]
async fn while_the_canary_is_refused_nobody_is() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &[CANARY], false);
    remote.says("jane@e.org", yes());
    remote.says_of_others(no());
    let (verdict, source) = decide(&member, "a@e.org").await;
    let Verdict::Defer(cause) = &verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!((cause.class, source), (Class::NotBelieved, Source::Probe));
    assert!(
        cause.text.contains(CANARY) && cause.text.contains("550 5.1.1 no such user"),
        "{cause}"
    );
    assert_eq!(remote.asked(), ["a@e.org", CANARY]);
    // Nor is the canary itself; who is accepted is; and nothing was kept of the refusals.
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(ask(&member, "a@e.org").await, "defer");
    assert_eq!(ask(&member, CANARY).await, "defer");
    assert_eq!(remote.asked(), ["jane@e.org", "a@e.org", CANARY]);
    seconds(6).await;
    remote.says(CANARY, yes());
    let both = tokio::join!(ask(&member, "a@e.org"), ask(&member, "b@e.org"));
    assert_eq!(both, ("reject", "reject"));
    assert_eq!(remote.asked(), ["a@e.org", "b@e.org", CANARY]);
}

#[tokio::test(start_paused = true)]
async fn what_was_remembered_is_doubted_when_the_canary_falls() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &[CANARY], false);
    remote.says(CANARY, yes());
    remote.says("a@e.org", no());
    remote.says("jane@e.org", yes());
    remote.says_of_others(no());
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(ask(&member, "a@e.org").await, "reject");
    seconds(61).await;
    remote.says(CANARY, no());
    remote.says("jane@e.org", no());
    // Believed: the canary was accepted a minute ago. It is asked again behind this answer.
    assert_eq!(ask(&member, "b@e.org").await, "reject");
    seconds(1).await;
    assert_eq!(ask(&member, "a@e.org").await, "defer");
    assert_eq!(ask(&member, "b@e.org").await, "defer");
    // An accept that is refreshed against the fallen remote stays.
    advance(Duration::from_secs(3600)).await;
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    seconds(1).await;
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
}

#[tokio::test(start_paused = true)]
async fn what_a_fallen_remote_refused_is_asked_again_when_it_is_back() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &[CANARY], false);
    remote.says(CANARY, yes());
    remote.says_of_others(no());
    assert_eq!(ask(&member, "a@e.org").await, "reject");
    seconds(61).await;
    remote.says(CANARY, no());
    assert_eq!(ask(&member, "b@e.org").await, "reject");
    seconds(6).await;
    remote.says(CANARY, yes());
    remote.says("a@e.org", yes());
    assert_eq!(ask(&member, "c@e.org").await, "reject");
    // The negative entry would be good for two minutes.
    assert_eq!(decide(&member, "a@e.org").await, (yes(), Source::Probe));
}

#[tokio::test(start_paused = true)]
async fn a_canary_without_an_answer_confirms_nothing_new() {
    let remote = Arc::new(Remote::default());
    let one = member(&remote, &[CANARY], false);
    remote.says(CANARY, silence());
    remote.says_of_others(no());
    let (verdict, _) = decide(&one, "a@e.org").await;
    assert_eq!(
        (verdict.name(), verdict.reason().as_ref()),
        ("defer", "unreachable")
    );
    // It is not asked again with every refusal.
    assert_eq!(ask(&one, "b@e.org").await, "defer");
    assert_eq!(remote.asked(), ["a@e.org", CANARY, "b@e.org"]);
    seconds(6).await;
    remote.says(CANARY, yes());
    assert_eq!(ask(&one, "c@e.org").await, "reject");
    remote.says(CANARY, silence());
    seconds(290).await;
    assert_eq!(ask(&one, "d@e.org").await, "reject");
    seconds(20).await;
    assert_eq!(ask(&one, "e@e.org").await, "defer");

    // Of two, one that answers is enough, and one that is refused is too much.
    let two = member(&remote, &[CANARY, "other@e.org"], false);
    remote.says("other@e.org", yes());
    assert_eq!(ask(&two, "a@e.org").await, "reject");
    remote.says(CANARY, no());
    seconds(10).await;
    assert_eq!(ask(&two, "b@e.org").await, "reject");
    seconds(1).await;
    assert_eq!(ask(&two, "c@e.org").await, "defer");
}

// Fills TESTED, JITTER.
#[tokio::test(start_paused = true)]
async fn a_domain_that_accepts_everything_gets_no_opinion() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &[], true);
    remote.says("listed@e.org", no());
    remote.says_of_others(yes());
    let asked = Instant::now();
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(asked.elapsed().as_millis(), 10, "it waited for the test");
    seconds(1).await;
    let tested = remote.asked();
    let [_, nobody] = &tested[..] else {
        panic!("{tested:?}")
    };
    let (local, domain) = nobody.split_once('@').unwrap();
    assert!(local.len() >= 16 && local.bytes().all(|byte| byte.is_ascii_lowercase()));
    assert_eq!(domain, "e.org");

    let opinion = Verdict::Abstain(Abstention::NoOpinion);
    assert_eq!(
        decide(&member, "jane@e.org").await,
        (opinion.clone(), Source::Cache)
    );
    assert_eq!(decide(&member, "bob@e.org").await, (opinion, Source::Probe));
    assert_eq!(ask(&member, "listed@e.org").await, "reject");
    assert_eq!(remote.asked(), ["bob@e.org", "listed@e.org"]);

    // Hours later it is tested with another address. What it accepted before says nothing still.
    seconds(7 * 3600 + 60).await;
    assert_eq!(ask(&member, "late@e.org").await, "abstain");
    remote.says("jane@e.org", yes());
    remote.says_of_others(no());
    seconds(1).await;
    let again = remote.asked();
    assert!(again.len() == 2 && !again.contains(nobody), "{again:?}");
    assert_eq!(decide(&member, "late@e.org").await, (no(), Source::Probe));
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
}

// Fills RETEST_INTERVAL.
#[tokio::test(start_paused = true)]
async fn a_test_without_an_answer_is_tried_again_soon() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &[], true);
    remote.says("jane@e.org", yes());
    remote.says_of_others(silence());
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    seconds(59).await;
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    assert_eq!(remote.asked().len(), 2);
    seconds(2).await;
    remote.says_of_others(no());
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    seconds(3600).await;
    assert_eq!(remote.asked().len(), 1);
    // It has passed: hours go by without a test.
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    seconds(1).await;
    assert_eq!(remote.asked(), ["jane@e.org"]);
}

#[tokio::test(start_paused = true)]
async fn a_test_that_a_fallen_canary_refuses_proves_nothing() {
    let remote = Arc::new(Remote::default());
    let member = member(&remote, &[CANARY], true);
    remote.says_of_others(yes());
    assert_eq!(ask(&member, "jane@e.org").await, "accept");
    seconds(7 * 3600 + 60).await;
    remote.says_of_others(no());
    assert_eq!(ask(&member, "jane@e.org").await, "defer");
    remote.says("sue@e.org", yes());
    assert_eq!(ask(&member, "sue@e.org").await, "abstain");
    seconds(1).await;
    assert_eq!(ask(&member, "sue@e.org").await, "abstain");
    assert_eq!(ask(&member, "bob@e.org").await, "defer");
}
