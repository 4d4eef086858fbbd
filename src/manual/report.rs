//! What `vouch status` says, for people and for programs.

use super::roff::Page;

/// Members of the report, each by its path: `[]` for any element of a list, `*` for any member of an object. A list or
/// an object has a row of its own where it needs an explanation.
pub const MEMBERS: [(&str, &str); 72] = [
    ("version", "the daemon's"),
    ("process", "its process id"),
    ("uptime", "seconds since its start"),
    ("draining", "it ends, and lets nobody new in"),
    (
        "configuration.ago", "seconds since the configuration in force was read",
    ),
    (
        "configuration.refused",
        "where a reload was refused since: `ago` in seconds, and `why`",
    ),
    ("memory", "resident bytes"),
    ("log.level", "what is logged now"),
    ("log.configured", "what the configuration says of it"),
    ("log.lines-lost", "lines that nobody read in time"),
    (
        "sockets-lost[]",
        "sockets that somebody removed, or put something else in the place of, and that could not be bound anew",
    ),
    (
        "attention[]",
        "what an administrator should know first, in sentences; empty where all is well. The sentences may change from \
         version to version",
    ),
    ("listeners[].name", "as the configuration has it"),
    ("listeners[].protocol", "the same"),
    ("listeners[].socket", "the same"),
    ("listeners[].connections", "clients that are connected"),
    ("listeners[].max-connections", "as many as may be"),
    ("listeners[].accepted", "connections since the start"),
    (
        "listeners[].refused",
        "connections that were closed at once, since so many were open already",
    ),
    (
        "listeners[].strangers",
        "connections that were closed at once, since who connected is none of `peers`",
    ),
    ("listeners[].delayed", "answers that a penalty held back"),
    (
        "listeners[].verdicts[].verdict", "`accept`, `reject`, `defer`, `abstain`: a row of each",
    ),
    ("listeners[].verdicts[].count", "how many there were"),
    (
        "listeners[].verdicts[].us.*",
        "`p50`, `p90`, `p99`: within so many microseconds half, nine of ten, ninety-nine of a hundred of them were given, as \
         far as the buckets of the metrics tell; `null` where there were none",
    ),
    (
        "listeners[].reasons[].verdict", "the same, counted apart by cause and source",
    ),
    ("listeners[].reasons[].cause", "as the log has it"),
    ("listeners[].reasons[].source", "the same"),
    ("listeners[].reasons[].count", "how many there were"),
    (
        "listeners[].share-of-no",
        "how many of a hundred answers of its servers were a \"no\": `lately` (of the last 10 to 15 minutes) and `before` (of \
         the six hours before); the number of `answers` lately; and whether the two are `far` from each other, which is by 30 \
         or more, with at least 50 answers lately and 200 before. What is remembered does not count",
    ),
    ("directories[].name", "as the configuration has it"),
    ("directories[].type", "the same"),
    ("directories[].address", "the same"),
    (
        "directories[].state",
        "`answers`; `answers in part`: the last question had no answer, and others had one within 5 minutes, or the last \
         10 answers or more were `later`; `no answer`: the last question had none, nor had any within 5 minutes; `not asked`. A \
         temporary refusal of one mailbox or user is an answer",
    ),
    (
        "directories[].answers",
        "questions that it answered: yes, no, or `later` for this mailbox or user",
    ),
    ("directories[].failures", "questions that it gave no answer to"),
    ("directories[].last-answer", "seconds since the last answer"),
    (
        "directories[].last-failure.ago", "seconds since the last question without an answer",
    ),
    ("directories[].last-failure.class", "why, in one word"),
    (
        "directories[].last-failure.status", "the remote's status, if these are its words",
    ),
    (
        "directories[].last-failure.why",
        "all of it: which server, at which step, and what it said. It may name whom it was asked about",
    ),
    (
        "directories[].last-failure.advice", "what to do about it; empty where the words say so",
    ),
    (
        "directories[].unanswered", "questions without an answer since it last gave one",
    ),
    ("directories[].unanswered-for", "seconds since the first of these"),
    (
        "directories[].later",
        "where it says nothing but \"later\": to how many questions since its last yes or no",
    ),
    (
        "directories[].sessions.*",
        "of `recipients` and `logins`, as the directory knows either",
    ),
    ("directories[].sessions.*.busy", "sessions that are asking"),
    (
        "directories[].sessions.*.idle", "sessions that wait for a question",
    ),
    (
        "directories[].sessions.*.opening", "sessions that are being opened",
    ),
    ("directories[].sessions.*.closing", "sessions that say goodbye"),
    ("directories[].sessions.*.max", "`pool.max-sessions`"),
    (
        "directories[].sessions.*.ceiling",
        "sessions that are opened at most, as the server turned one more away; it rises by one every 30 s",
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
        "microseconds for which the server, which refused the last session, is still left alone",
    ),
    ("directories[].sessions.*.opened", "sessions since the start"),
    (
        "directories[].sessions.*.reused", "questions on a session that had been asked before",
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
        "of `recipients` and `logins`: `entries`, `max`, and `lookups` that found an answer that was `fresh`, one that was \
         `ageing` (it is asked again meanwhile) or `stale` (for want of a better one), or none (`miss`)",
    ),
    (
        "directories[].file-trouble",
        "why `cache.file` cannot be read or written at present; who is remembered is so in memory alone",
    ),
    ("directories[].allow-invalid-certs", "any certificate is taken"),
    (
        "directories[].tls.agreed",
        "handshakes that succeeded; `tls` is `null` where there never is one",
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
        "`count` of domains whose refusals are put off, since the server refuses who it accepted lately, and the first of them \
         as `shown`: `domain`, `recipient` (the one that was refused), `why` (in its words), `ago` in seconds",
    ),
    (
        "directories[].not-understood",
        "`count` of refusals in words that are not understood, and the three most frequent as `shown`: `question` \
         (`recipient`, `login`), `status`, `phrase` (its words without names; `*` is any words), `count`",
    ),
    (
        "directories[].catch-all",
        "`count` of domains whose server accepts every address, so that there is no opinion on who is accepted, and the first \
         of them as `shown`; `null` where nobody looks for such",
    ),
    (
        "directories[].unknown-rate",
        "how many recipients were `refused` within the last `seconds`, and from how `most` on those that are not remembered \
         are not asked about; `null` where `limits.unknown-rate` is off",
    ),
];

pub(super) fn write(page: &mut Page) {
    page.section("REPORT");
    page.text(
        "`vouch status` shows, from top to bottom: what needs attention; the listeners, and the connections that were refused \
         at each; their answers by verdict, with the times in which half, 90% and 99% of them were given; the directories, \
         whether each answers, and the days that the server's certificate is still good; the sessions with them, how many in a \
         row could not be opened (FAILED), the questions that wait for one and the length of that queue, and how long the \
         servers take; what is remembered, and what it was good for; the last failure of each directory that answers again; what \
         they say most often of that which is not understood. All \
         counts are since the start.",
    );
    page.text(
        "With `--json` it is one object with the members below. A member keeps its name and meaning from version to version; \
         there may be more. What does not apply, or is not known yet, is `null`. Anybody who may ask at the control socket can \
         have the same without `vouch`: it answers the line {\"ask\":\"status\"}.",
    );
    for (member, meaning) in MEMBERS {
        page.item(&format!("`{member}`"), meaning);
    }
    memory(page);
}

fn memory(page: &mut Page) {
    page.section("MEMORY");
    page.text(
        "`vouch cache list` shows of each recipient or accepted login: since when it is known (AGE), when it is asked about \
         again while it is still the answer (REFRESH: `due` where the next question does so, `stale` where used only while \
         the directory gives no answer), and when it is forgotten (ENDS). A refused login is known by a hash alone, which \
         is shown to nobody. Where `auth.forward-client` hands the client's address on, a login is remembered for that address \
         alone, which stands behind its name.",
    );
    page.text(
        "With `--json` it is one object: `entries`, each with `name`, `kind` (`recipient` or `login`), `client` (the address, \
         where a login is remembered for it alone), `directory`, `verdict`, `cause`, `state` (`fresh`, `ageing`, `stale`), and `age`, `refresh-in`, `ends-in` in seconds; how many were `found`; and \
         `refused-logins`. `vouch cache get` adds `detail`, the mail server's words. `vouch cache purge` says how many \
         `recipients`, `logins` and `refused-logins` went, and which directories still have them in their file \
         (`files-waiting`), as one on a disk that is full: they are deleted from it once it can be written.",
    );
}
