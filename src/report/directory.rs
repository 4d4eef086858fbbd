//! A directory in the report.

use std::collections::BTreeMap;

use super::record::{records, wholes};
use super::{State, Timed};

/// Counts by name.
type Counted = Vec<(&'static str, u64)>;

records! {
    /// A directory as configured, and how it is.
    Directory {
        /// As the configuration has it.
        name: String,
        /// The same.
        r#type: String,
        /// The same.
        address: String,
        /// `answers`; `answers in part`: the last question had no answer, and others had one within 5 minutes, or the last 10
        /// answers or more were `later`; `no answer`: the last question had none, and no other had one within 5 minutes;
        /// `not asked`. A temporary refusal of one mailbox or user is an answer.
        state: State,
        /// Questions that it answered: yes, no, or `later` for this mailbox or user.
        answers: u64,
        /// Questions without an answer.
        failures: u64,
        /// Seconds since the last answer.
        last_answer: Option<u64>,
        /// The last question without an answer.
        last_failure: Option<LastFailure>,
        /// Questions without an answer since the last answer.
        unanswered: u64,
        /// Seconds since the first of these.
        unanswered_for: Option<u64>,
        /// If it answers only "later": the number of these since its last yes or no.
        later: Option<u64>,
        /// Of `recipients` and `logins`, as far as the directory serves them.
        sessions: BTreeMap<String, Pool>,
        /// Of `recipients` and `logins`: `entries`, `max`, and `lookups` that found an answer that was `fresh`, `ageing`
        /// (used, and asked again) or `stale` (used for lack of a newer one), or none (`miss`).
        remembered: BTreeMap<String, Memory>,
        /// Why `cache.file` cannot be read or written at present; answers are then cached in memory only.
        file_trouble: Option<String>,
        /// Any certificate is accepted.
        allow_invalid_certs: bool,
        /// The handshakes; none without TLS.
        tls: Option<Tls>,
        /// `count` and how many are `refused`, and the first of them as `shown`: `address`, `state` (`accepted`, `refused`, `no
        /// answer`, `not asked`), `ago` in seconds, `why`.
        canaries: Canaries,
        /// `count` of domains whose refusals are deferred, since the server refuses a recipient that it accepted recently,
        /// and the first of them as `shown`: `domain`, `recipient` (the refused one), `why` (the server's reply), `ago` in
        /// seconds.
        doubted: Doubted,
        /// `count` of refusals that are not understood, and the three most frequent as `shown`: `question`
        /// (`recipient`, `login`), `status`, `phrase` (the reply without names; `*` is any words), `count`.
        not_understood: NotUnderstood,
        /// `count` of domains whose server accepts every address, so that vouch neither accepts nor rejects, and the first of
        /// them as `shown`; `null` if `lookup.catch-all` is off.
        catch_all: Option<CatchAll>,
        /// Lines of the map of `lookup.routes` as `routes`, the `servers` that they lead to, how many of these are `in-use`, `max`
        /// at once, and questions that were `refused` for want of room; how many servers in use are `sick`, that give no answer
        /// or not always, and the worst of them as `shown`: `server`, `state`, `unanswered`, `unanswered-for` in seconds, `why`;
        /// `null` without a map. The other members are sums then.
        routed: Option<Routed>,
        /// How many recipients were `refused` within the last `seconds`, and the `most` allowed, beyond which recipients
        /// without a cached answer are not asked about; `null` if `limits.unknown-rate` is off.
        unknown_rate: Option<UnknownRate>,
        /// Logins that were `accepted` from the cache since the server last replied to one, and seconds since the first of
        /// them as `ago`; `null` if `cache.credentials.stale` is off.
        stale_logins: Option<StaleLogins>,
    }

    /// Why a question had no answer.
    LastFailure {
        /// Seconds since the last question without an answer.
        ago: u64,
        /// Why, in one word.
        class: String,
        /// The remote's status, if the remote gave the reason.
        status: Option<String>,
        /// In full: which server, at which step, and its reply. It may name the user.
        why: String,
        /// What to do about it; empty if `why` contains it.
        advice: String,
    }

    /// Sessions with the remote, and what waits for them.
    Pool {
        /// Sessions that are asking.
        busy: u64,
        /// Sessions that wait for a question; for logins, those that are kept ready as well.
        idle: u64,
        /// Sessions that are being opened.
        opening: u64,
        /// Sessions that are being closed.
        closing: u64,
        /// `pool.max-sessions`.
        max: u64,
        /// The most sessions that are opened, as the server refused one more; it rises by one every 30 s.
        ceiling: Option<u64>,
        /// Questions that wait for a session.
        waiting: u64,
        /// `pool.queue`.
        queue: u64,
        /// Sessions in a row that could not be opened.
        failures: u64,
        /// Microseconds until the next attempt, after the server refused the last session.
        pause_us: Option<u64>,
        /// Sessions since the start.
        opened: u64,
        /// Questions on a session that was used before.
        reused: u64,
        /// How long questions waited for a session: `count` and `us`, as above.
        queued: Timed,
        /// How long the server took to answer: `count` and `us`, as above.
        probed: Timed,
        ;
        /// How long sessions took to open.
        opening_took: Timed,
        /// Questions without an answer from the remote, by cause.
        errors: Counted,
        /// Sessions that could not be opened, by cause.
        not_opened: Counted,
        /// Sessions that ended, by reason.
        closed: Counted,
    }

    /// The TLS handshakes with the remote.
    Tls {
        /// Handshakes that succeeded; `tls` is `null` if the directory uses no TLS.
        agreed: u64,
        /// Handshakes that failed.
        failed: u64,
        /// Of the last one.
        version: Option<String>,
        /// The server's, as last seen: `ends` in seconds since 1970, `days-left`.
        certificate: Option<Certificate>,
        /// Of `tls.cert-file`, the same.
        own_certificate: Option<Certificate>,
    }
}

wholes! {
    /// A cache.
    Memory {
        /// Verdicts in it.
        entries: u64,
        /// The most that it holds.
        max: u64,
        /// What look-ups found.
        lookups: Lookups,
    }

    /// Look-ups in a cache, by what was found.
    Lookups {
        /// An answer.
        fresh: u64,
        /// An answer, which is asked for again.
        ageing: u64,
        /// An answer, used for lack of a newer one.
        stale: u64,
        /// None.
        miss: u64,
    }

    /// A certificate.
    Certificate {
        /// Seconds since 1970.
        ends: u64,
        /// Until then; negative once it has expired.
        days_left: i64,
    }

    /// Addresses that are known to exist.
    Canaries {
        /// All of them.
        count: u64,
        /// Those that the remote refuses.
        refused: u64,
        /// The first of them.
        shown: Vec<Canary>,
    }

    /// An address that is known to exist.
    Canary {
        /// The address.
        address: String,
        /// `accepted`, `refused`, `no answer`, `not asked`.
        state: String,
        /// Seconds since it was accepted.
        ago: Option<u64>,
        /// Why it was not.
        why: Option<String>,
    }

    /// Domains whose refusals are deferred.
    Doubted {
        /// All of them.
        count: u64,
        /// The first of them.
        shown: Vec<Doubt>,
    }

    /// A domain whose refusals are deferred.
    Doubt {
        /// The domain.
        domain: String,
        /// A recipient that was accepted recently, and is refused.
        recipient: String,
        /// The remote's reply.
        why: String,
        /// Seconds since.
        ago: u64,
    }

    /// Refusals that are not understood.
    NotUnderstood {
        /// All of them.
        count: u64,
        /// The most frequent.
        shown: Vec<Refusal>,
        ;
        /// All of them, by what was asked.
        questions: Counted,
    }

    /// A refusal that is not understood.
    Refusal {
        /// `recipient` or `login`.
        question: String,
        /// The remote's status.
        status: String,
        /// The reply without names; `*` is any words.
        phrase: String,
        /// How often it came.
        count: u64,
    }

    /// Domains whose remote accepts every address.
    CatchAll {
        /// All of them.
        count: u64,
        /// The first of them.
        shown: Vec<String>,
    }

    /// The servers of a map.
    Routed {
        /// Lines of the map.
        routes: u64,
        /// Servers in it.
        servers: u64,
        /// Those in use.
        in_use: u64,
        /// As many may be.
        max: u64,
        /// Questions for which there was no room.
        refused: u64,
        /// Servers that give no answer, or not always.
        sick: u64,
        /// The worst of them.
        shown: Vec<SickServer>,
    }

    /// A server that gives no answer, or not always.
    SickServer {
        /// As the map has it.
        server: String,
        /// How it is.
        state: State,
        /// Questions without an answer since the last answer.
        unanswered: u64,
        /// Seconds since the first of these.
        unanswered_for: Option<u64>,
        /// Why the last had none.
        why: Option<String>,
    }

    /// How many recipients the remote refused lately.
    UnknownRate {
        /// So many.
        refused: u64,
        /// So many may be.
        most: u64,
        /// Within these seconds.
        seconds: u64,
    }

    /// Logins that are accepted while the remote is down.
    StaleLogins {
        /// So many, since the remote last replied to a login.
        accepted: u64,
        /// Seconds since the first of them.
        ago: Option<u64>,
    }
}
