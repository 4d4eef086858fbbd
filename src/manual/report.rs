//! The report of `vouch status`, for people and for programs.

use super::roff::Page;

/// Members of the report, each by its path: `[]` for any element of a list, `*` for any member of an object. A list or
/// an object has a row of its own where it needs an explanation.
pub const MEMBERS: [(&str, &str); 72] = [
    ("version", "the daemon's"),
    ("process", "its process id"),
    ("uptime", "seconds since its start"),
    ("draining", "it is shutting down, and accepts no new connections"),
    (
        "configuration.ago", "seconds since the configuration in force was read",
    ),
    (
        "configuration.refused",
        "where a reload was refused since: `ago` in seconds, and `why`",
    ),
    ("memory", "resident bytes"),
    ("log.level", "what is logged now"),
    ("log.configured", "the configured level"),
    (
        "log.lines-lost", "lines lost because standard error was not read in time",
    ),
    (
        "sockets-lost[]",
        "sockets that were removed or replaced, and could not be bound again",
    ),
    (
        "attention[]",
        "what needs an administrator's attention, in sentences; empty if all is well. The sentences may change from \
         version to version",
    ),
    ("listeners[].name", "as the configuration has it"),
    ("listeners[].protocol", "the same"),
    ("listeners[].socket", "the same"),
    ("listeners[].connections", "clients that are connected"),
    ("listeners[].max-connections", "the most allowed"),
    ("listeners[].accepted", "connections since the start"),
    (
        "listeners[].refused",
        "connections that were closed at once, since `max-connections` were open",
    ),
    (
        "listeners[].strangers",
        "connections that were closed at once, since the client's user is not among `peers`",
    ),
    ("listeners[].delayed", "answers that a penalty delayed"),
    (
        "listeners[].verdicts[].verdict", "`accept`, `reject`, `defer`, `abstain`: a row of each",
    ),
    ("listeners[].verdicts[].count", "how many there were"),
    (
        "listeners[].verdicts[].us.*",
        "`p50`, `p90`, `p99`: the microseconds within which 50, 90 and 99 % of them were given, as precise as the buckets \
         of the metrics; `null` if there were none",
    ),
    (
        "listeners[].reasons[].verdict", "the same, counted separately by cause and source",
    ),
    ("listeners[].reasons[].cause", "as in the log"),
    ("listeners[].reasons[].source", "the same"),
    ("listeners[].reasons[].count", "how many there were"),
    (
        "listeners[].share-of-no",
        "the percentage of its servers' answers that were a \"no\": `lately` (in the last 10 to 15 minutes) and `before` \
         (in the six hours before); the number of `answers` lately; and whether the two are `far` apart: by 30 or more, \
         with at least 50 answers lately and 200 before. Cached answers do not count",
    ),
    ("directories[].name", "as the configuration has it"),
    ("directories[].type", "the same"),
    ("directories[].address", "the same"),
    (
        "directories[].state",
        "`answers`; `answers in part`: the last question had no answer, and others had one within 5 minutes, or the last 10 \
         answers or more were `later`; `no answer`: the last question had none, and no other had one within 5 minutes; \
         `not asked`. A temporary refusal of one mailbox or user is an answer",
    ),
    (
        "directories[].answers",
        "questions that it answered: yes, no, or `later` for this mailbox or user",
    ),
    ("directories[].failures", "questions without an answer"),
    ("directories[].last-answer", "seconds since the last answer"),
    (
        "directories[].last-failure.ago", "seconds since the last question without an answer",
    ),
    ("directories[].last-failure.class", "why, in one word"),
    (
        "directories[].last-failure.status", "the remote's status, if the remote gave the reason",
    ),
    (
        "directories[].last-failure.why",
        "in full: which server, at which step, and its reply. It may name the user",
    ),
    (
        "directories[].last-failure.advice", "what to do about it; empty if `why` contains it",
    ),
    (
        "directories[].unanswered", "questions without an answer since the last answer",
    ),
    ("directories[].unanswered-for", "seconds since the first of these"),
    (
        "directories[].later",
        "if it answers only \"later\": the number of these since its last yes or no",
    ),
    (
        "directories[].sessions.*",
        "of `recipients` and `logins`, as far as the directory serves them",
    ),
    ("directories[].sessions.*.busy", "sessions that are asking"),
    (
        "directories[].sessions.*.idle", "sessions that wait for a question",
    ),
    (
        "directories[].sessions.*.opening", "sessions that are being opened",
    ),
    (
        "directories[].sessions.*.closing", "sessions that are being closed",
    ),
    ("directories[].sessions.*.max", "`pool.max-sessions`"),
    (
        "directories[].sessions.*.ceiling",
        "the most sessions that are opened, as the server refused one more; it rises by one every 30 s",
    ),
    (
        "directories[].sessions.*.waiting", "questions that wait for a session",
    ),
    ("directories[].sessions.*.queue", "`pool.queue`"),
    (
        "directories[].sessions.*.failures", "sessions in a row that could not be opened",
    ),
    (
        "directories[].sessions.*.pause-us",
        "microseconds until the next attempt, after the server refused the last session",
    ),
    ("directories[].sessions.*.opened", "sessions since the start"),
    (
        "directories[].sessions.*.reused", "questions on a session that was used before",
    ),
    (
        "directories[].sessions.*.queued",
        "how long questions waited for a session: `count` and `us`, as above",
    ),
    (
        "directories[].sessions.*.probed",
        "how long the server took to answer: `count` and `us`, as above",
    ),
    (
        "directories[].remembered.*",
        "of `recipients` and `logins`: `entries`, `max`, and `lookups` that found an answer that was `fresh`, `ageing` \
         (used, and asked again) or `stale` (used for lack of a newer one), or none (`miss`)",
    ),
    (
        "directories[].file-trouble",
        "why `cache.file` cannot be read or written at present; answers are then cached in memory only",
    ),
    ("directories[].allow-invalid-certs", "any certificate is accepted"),
    (
        "directories[].tls.agreed",
        "handshakes that succeeded; `tls` is `null` if the directory uses no TLS",
    ),
    ("directories[].tls.failed", "handshakes that failed"),
    ("directories[].tls.version", "of the last one"),
    (
        "directories[].tls.certificate",
        "the server's, as last seen: `ends` in seconds since 1970, `days-left`",
    ),
    (
        "directories[].tls.own-certificate", "of `tls.cert-file`, the same",
    ),
    (
        "directories[].canaries",
        "`count` and how many are `refused`, and the first of them as `shown`: `address`, `state` (`accepted`, `refused`, `no \
         answer`, `not asked`), `ago` in seconds, `why`",
    ),
    (
        "directories[].doubted",
        "`count` of domains whose refusals are deferred, since the server refuses a recipient that it accepted recently, \
         and the first of them as `shown`: `domain`, `recipient` (the refused one), `why` (the server's reply), `ago` in \
         seconds",
    ),
    (
        "directories[].not-understood",
        "`count` of refusals that are not understood, and the three most frequent as `shown`: `question` \
         (`recipient`, `login`), `status`, `phrase` (the reply without names; `*` is any words), `count`",
    ),
    (
        "directories[].catch-all",
        "`count` of domains whose server accepts every address, so that vouch neither accepts nor rejects, and the first of \
         them as `shown`; `null` if `lookup.catch-all` is off",
    ),
    (
        "directories[].unknown-rate",
        "how many recipients were `refused` within the last `seconds`, and the `most` allowed, beyond which recipients \
         without a cached answer are not asked about; `null` if `limits.unknown-rate` is off",
    ),
];

pub(super) fn write(page: &mut Page) {
    page.section("REPORT");
    page.text(
        "`vouch status` shows, from top to bottom: what needs attention; the listeners, and the connections that were \
         refused at each; their answers by verdict, with the times within which 50, 90 and 99 % of them were given; the \
         directories, whether each answers, and the days until the server's certificate expires; the sessions with them, \
         how many in a row could not be opened (FAILED), the questions that wait for one and the size of that queue, and \
         how long the servers take; the cache, and how often it had an answer; the last failure of each directory that \
         answers again; the most frequent refusals that are not understood. All counts are since the start.",
    );
    page.text(
        "With `--json` it is one object with the members below. Members keep their name and meaning from version to \
         version; new ones may be added. A member that does not apply, or is not known yet, is `null`. Any program that may \
         use the control socket gets the same: the socket answers the line {\"ask\":\"status\"}.",
    );
    for (member, meaning) in MEMBERS {
        page.item(&format!("`{member}`"), meaning);
    }
    memory(page);
}

fn memory(page: &mut Page) {
    page.section("CACHE");
    page.text(
        "`vouch cache list` shows for each recipient or accepted login: the age of the answer (AGE), when it is asked again \
         while it is still used (REFRESH: `due` if at the next question, `stale` if it is used only while the directory \
         gives no answer), and when it expires (ENDS). A refused login is kept as a hash only, which is never shown. With \
         `auth.forward-client`, a login is cached for one client address only, which follows its name.",
    );
    page.text(
        "With `--json` it is one object: `entries`, each with `name`, `kind` (`recipient` or `login`), `client` (the \
         address, if a login is cached for it only), `directory`, `verdict`, `cause`, `state` (`fresh`, `ageing`, \
         `stale`), and `age`, `refresh-in`, `ends-in` in seconds; how many were `found`; and `refused-logins`. `vouch \
         cache get` adds `detail`, the mail server's reply. `vouch cache purge` reports how many `recipients`, `logins` \
         and `refused-logins` were deleted, and which directories still have them in their file (`files-waiting`), for \
         example on a full disk: they are deleted from it once it can be written.",
    );
}
