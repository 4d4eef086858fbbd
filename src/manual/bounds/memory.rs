//! The cache: how much, and how long.

use super::{Bound, Limit, bytes, count, directory, row, time};
use crate::config::directory::Kind;

pub(super) fn rows() -> Vec<Bound> {
    let mut rows = verdicts();
    rows.extend(trust());
    rows.extend(file());
    rows
}

fn verdicts() -> Vec<Bound> {
    let cache = directory(Kind::Lmtp).cache;
    let (ttl, logins) = (cache.ttl, cache.credentials);
    vec![
        row(
            "recipients of one directory; as many accepted, and as many refused logins",
            Limit::key("directory.NAME.cache.entries", cache.entries),
            "the least recently used are dropped",
            "some twenty megabytes when full",
            "it_holds_no_more_than_it_was_told_to",
        ),
        row(
            "time for which a recipient is known to exist",
            Limit::time_of("directory.NAME.cache.ttl.positive", ttl.positive),
            "it is asked again",
            "mailboxes are seldom deleted",
            "an_accept_ages",
        ),
        row(
            "age at which it is asked again in the background",
            Limit::time_of("directory.NAME.cache.ttl.refresh", ttl.refresh),
            "the answer comes from the cache meanwhile",
            "no request waits, and a deleted mailbox is noticed",
            "an_accept_ages",
        ),
        row(
            "time for which it is known while the server gives no answer",
            Limit::time_of("directory.NAME.cache.ttl.stale", ttl.stale),
            "no answer",
            "a server that is down for a week has other problems",
            "an_accept_ages",
        ),
        row(
            "time for which a recipient is known not to exist",
            Limit::time_of("directory.NAME.cache.ttl.negative", ttl.negative),
            "it is asked again",
            "a new mailbox receives mail within minutes",
            "a_reject_is_kept_shortly_and_overwrites_an_accept",
        ),
        row(
            "time for which a login is known to be good",
            Limit::time_of("directory.NAME.cache.credentials.positive", logins.positive),
            "it is asked again",
            "not at all, unless the operator says so",
            "an_accepted_login_is_kept_for_an_absolute_time",
        ),
        row(
            "time for which the same wrong password is refused without asking",
            Limit::time_of("directory.NAME.cache.credentials.negative", logins.negative),
            "it is asked again",
            "a phone with an old password asks every few seconds",
            "a_refusal_is_of_exactly_this_login",
        ),
        row(
            "addresses that a user is known to log in from, where auth.forward-client passes them to the server",
            count!(crate::engine::logins::ADDRESSES),
            "one more takes the place of the oldest",
            "the devices of one person, and a few networks that a telephone uses",
            "a_user_is_remembered_from_so_many_addresses",
        ),
        row(
            "time for which an accepted user has priority",
            time!(crate::engine::trust::TRUST),
            "the user waits with all others",
            "nearly every user logs in again within it",
            "who_was_accepted_is_trusted_with_that_secret_for_a_while",
        ),
        row(
            "users with priority, and as many of their networks",
            count!(crate::engine::trust::USERS),
            "some wait with all others",
            "some megabytes",
            "who_was_accepted_is_trusted_with_that_secret_for_a_while",
        ),
        row(
            "passwords of one user that give priority",
            count!(crate::engine::trust::PASSWORDS),
            "the oldest is dropped",
            "each device may have its own",
            "a_guess_at_a_known_user_is_a_strangers",
        ),
        row(
            "bits kept of each of these, of a keyed hash, in memory alone",
            count!(crate::engine::trust::BITS),
            "about one guess in a hundred gets priority too",
            "of no use to an attacker who reads them: one password in thousands has the same",
            "a_guess_at_a_known_user_is_a_strangers",
        ),
    ]
}

fn trust() -> Vec<Bound> {
    vec![
        row(
            "time for which an accepted canary confirms refusals",
            time!(crate::engine::credibility::canaries::CANARY_CONFIRMS_FOR),
            "a refusal waits for the canary",
            "a server that loses its users is noticed within it",
            "a_refusal_waits_for_the_canary_once_and_asks_on_in_the_background",
        ),
        row(
            "age at which a canary is asked again in the background",
            time!(crate::engine::credibility::canaries::CANARY_REFRESH_AGE),
            "it is asked when the next refusal comes",
            "no refusal has to wait",
            "a_refusal_waits_for_the_canary_once_and_asks_on_in_the_background",
        ),
        row(
            "time for which a refused or unanswered canary is not asked again",
            time!(crate::engine::credibility::canaries::CANARY_RETRY_INTERVAL),
            "it is asked again",
            "otherwise it would take every second question",
            "while_the_canary_is_refused_nobody_is",
        ),
        row(
            "witnesses of a domain: recipients that were accepted last",
            count!(crate::engine::credibility::witnesses::WITNESSES_PER_DOMAIN),
            "the one that was accepted first makes room",
            "if three are deleted on one day, a fourth remains",
            "a_witness_is_asked_once_a_minute_and_the_next_one_in_turn",
        ),
        row(
            "different recipients of a domain refused without a yes between",
            count!(crate::engine::credibility::witnesses::REFUSALS_IN_A_ROW),
            "a witness is asked before they are believed",
            "guesses come in runs as well",
            "a_run_of_refusals_is_believed_on_the_word_of_a_witness",
        ),
        row(
            "time between questions about witnesses of a domain",
            time!(crate::engine::credibility::witnesses::CHECK_INTERVAL),
            "another one is asked, if needed",
            "refusals must not double the questions",
            "a_witness_is_asked_once_a_minute_and_the_next_one_in_turn",
        ),
        row(
            "time between two refusals of a known recipient that belong together",
            time!(crate::engine::credibility::witnesses::REFUSED_AGAIN_WITHIN),
            "the second counts as the first",
            "mail servers try again within an hour or so",
            "two_refusals_that_are_far_apart_do_not_make_a_no",
        ),
        row(
            "time for which an accepted recipient is a witness",
            time!(crate::engine::credibility::witnesses::WITNESS_LIFE),
            "it is none any more; without any, refusals are believed",
            "mail waits elsewhere for five days",
            "who_was_accepted_long_ago_is_no_witness",
        ),
        row(
            "time for which a refusal of a domain's only witness is not believed",
            time!(crate::engine::credibility::witnesses::ONLY_WITNESS_REFUSED),
            "it is refused, as deleted",
            "there is no other evidence; mail waits longer elsewhere",
            "the_only_witness_is_refused_after_a_day",
        ),
        row(
            "texts of a directory that are not understood, and are counted separately",
            count!(crate::engine::not_understood::TEXTS),
            "they are counted, and not logged",
            "a server has a few",
            "a_remote_that_says_something_else_each_time_is_counted_and_no_more",
        ),
        row(
            "characters of such a text",
            count!(crate::engine::phrase::PHRASE_CHARS),
            "the rest is cut off",
            "later characters rarely distinguish texts",
            "a_phrase_has_an_end",
        ),
        row(
            "time between tests whether a domain takes every address",
            time!(crate::engine::catch_all::TESTED).and(time!(crate::engine::catch_all::JITTER)),
            "it is tested again; up to the second time later",
            "such settings change a few times in a server's life",
            "a_domain_that_accepts_everything_gets_no_opinion",
        ),
        row(
            "the same after a test without an answer",
            time!(crate::engine::catch_all::RETEST_INTERVAL),
            "it is tested again",
            "longer than a test takes",
            "a_test_without_an_answer_is_tried_again_soon",
        ),
        row(
            "canaries, domains with witnesses, and domains tested",
            Limit::key("directory.NAME.lookup", "those of the configuration"),
            "there is never one more",
            "only what the configuration names is kept",
            "a_strangers_domain_is_not_tested",
        ),
    ]
}

fn file() -> Vec<Bound> {
    vec![
        row(
            "recipients in cache.file",
            Limit::key(
                "directory.NAME.cache.entries",
                directory(Kind::Lmtp).cache.entries,
            ),
            "the oldest go",
            "the file is no larger than the memory",
            "the_oldest_give_way",
        ),
        row(
            "results that wait to be written to it",
            count!(crate::engine::store::WAITING),
            "further ones are cached in memory only; the log counts them",
            "no server answers so many questions while a slow disk writes",
            "beyond_what_may_wait_findings_are_dropped_and_counted",
        ),
        row(
            "results written together, and time until they are written",
            count!(crate::engine::store::batch::BATCH).and(time!(crate::engine::store::writer::COMMIT)),
            "they are written",
            "a crash loses so much",
            "what_was_found_survives_sigkill_a_little_later",
        ),
        row(
            "purges that wait for a disk that refuses",
            count!(crate::engine::store::batch::PURGES),
            "all in the file is deleted",
            "deleted answers only cost another question",
            "a_purge_waits_for_a_disk_that_refuses",
        ),
        row(
            "wait of a purge for the file",
            time!(crate::engine::store::PURGE),
            "the purge reports it, and the entry is deleted later",
            "a slow disk has enough time, and one that hangs is reported",
            "a_purge_waits_for_a_disk_that_refuses",
        ),
        row(
            "pages of the file in memory",
            bytes!(crate::engine::store::file::CACHE),
            "they are read again",
            "enough for what is written together",
            "the_oldest_give_way",
        ),
        row(
            "wait for a file that another process is about to close",
            time!(crate::engine::store::writer::HANDED_ON),
            "recipients are cached without it, with an error in the log",
            "a process that Dovecot has replaced closes it at once",
            "a_file_that_another_is_about_to_close_is_waited_for",
        ),
        row(
            "pause before a disk that refuses is tried again",
            time!(crate::engine::store::writer::FIRST_PAUSE)
                .to(time!(crate::engine::store::writer::LAST_PAUSE)),
            "it is tried again",
            "freed space is used soon, and a broken disk is not tried constantly",
            "what_is_found_while_the_disk_is_full_is_written_later",
        ),
        row(
            "time by which the clock may be behind that under which the file was written",
            time!(crate::engine::store::file::MAX_CLOCK_LEAD),
            "what is in it is asked again",
            "a corrected clock makes no entry younger; ages from a wrong clock mean nothing",
            "what_was_found_under_a_clock_that_was_far_ahead_is_asked_again",
        ),
        row(
            "last writing at the end",
            time!(crate::engine::store::CLOSE).and(time!(crate::daemon::files::WRITE_GRACE)),
            "the latest results are lost; the log reports it",
            "a disk that hangs must not hold up the end (of one file, of all)",
            "a_disk_that_hangs_does_not_hold_up_the_end",
        ),
    ]
}
