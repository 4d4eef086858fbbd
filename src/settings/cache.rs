//! `[directory."NAME".cache]`: cached answers.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::key::keys;
use super::scalar::{Bound, DAY, HOUR, INSTANT, MINUTE, SECOND, Scalar, Wrong};

keys! {
    /// Cached answers.
    pub struct Cache() {
        /// Recipients cached at most; 0 caches none.
        // Bound (cache, directory.NAME.cache.entries): recipients of one directory; as many accepted, and as many
        // refused logins. Beyond: the least recently used are dropped. Why: some twenty megabytes when full.
        //
        // Bound (cache, directory.NAME.cache.entries): recipients in cache.file. Beyond: the oldest go. Why: the file
        // is no larger than the memory.
        "entries" entries: u32 = 100_000, within 0..=100_000_000;
        /// Absolute path of a file in which recipients survive a restart.
        "file" file: Option<PathBuf> = None,
            unset "memory only", example "\"/var/lib/vouch/mailbox.redb\"",
            hint "none by default: keeps recipients across restarts";
        /// How long recipients are cached.
        "ttl" ttl: Ttl = Ttl::new();
        /// How long logins are cached; in memory only, as keyed hashes.
        "credentials" credentials: Credentials = Credentials::new();
    }
}

impl Cache {
    /// Recipients cached, and users with a cached login; at least one.
    pub fn room(&self) -> usize {
        self.entries.max(1) as usize
    }

    /// How long logins are cached: not at all where there are no entries.
    pub fn credentials(&self) -> Credentials {
        if self.entries == 0 {
            return Credentials {
                positive: Duration::ZERO,
                negative: Duration::ZERO,
                stale: None,
            };
        }
        self.credentials
    }

    /// How long recipients are cached: not at all where there are no entries.
    pub fn ttl(&self) -> Ttl {
        let kept = |ttl| if self.entries == 0 { Duration::ZERO } else { ttl };
        Ttl {
            positive: kept(self.ttl.positive),
            refresh: kept(self.ttl.refresh),
            negative: kept(self.ttl.negative),
            stale: kept(self.ttl.stale),
        }
    }
}

keys! {
    /// How long recipients are cached.
    #[derive(Copy)]
    pub struct Ttl() {
        /// That a recipient exists.
        // Bound (cache, directory.NAME.cache.ttl.positive): time for which a recipient is known to exist. Beyond: it
        // is asked again. Why: mailboxes are seldom deleted.
        "positive" positive: Duration = 4 * HOUR;
        /// When it is asked again in the background, at most `positive`.
        // Bound (cache, directory.NAME.cache.ttl.refresh): age at which an accepted recipient is asked again in the
        // background. Beyond: the answer comes from the cache meanwhile. Why: no request waits, and a deleted mailbox
        // is noticed.
        "refresh" refresh: Duration = 30 * MINUTE;
        /// That a recipient is unknown.
        // Bound (cache, directory.NAME.cache.ttl.negative): time for which a recipient is known not to exist. Beyond:
        // it is asked again. Why: a new mailbox receives mail within minutes.
        "negative" negative: Duration = 2 * MINUTE;
        /// Up to which age an answer is served while the directory cannot answer, at least `positive`.
        // Bound (cache, directory.NAME.cache.ttl.stale): time for which a recipient is known to exist while the
        // server gives no answer. Beyond: no answer. Why: a server that is down for a week has other problems.
        "stale" stale: Duration = 7 * DAY;
    }
}

keys! {
    /// How long logins are cached; in memory only, as keyed hashes.
    #[derive(Copy)]
    pub struct Credentials() {
        /// That a login was good, counted from the probe. 0s: not cached.
        // Bound (cache, directory.NAME.cache.credentials.positive): time for which a login is known to be good.
        // Beyond: it is asked again. Why: not at all, unless the operator says so.
        "positive" positive: Duration = Duration::ZERO;
        /// That exactly this user and password were refused.
        // Bound (cache, directory.NAME.cache.credentials.negative): time for which the same wrong password is refused
        // without asking. Beyond: it is asked again. Why: a phone with an old password asks every few seconds.
        "negative" negative: Duration = 30 * SECOND;
        /// For how long a login stays good while the remote itself is down: it is not reached, says nothing in time, or
        /// fails in TLS. Counted from the remote's own yes, at most `"7d"`; `"off"` for never. It ends when the remote
        /// refuses that password, accepts another of that user, or says that the account is closed. Any reply about a
        /// user is the answer, "later" too. A password that was changed or an account that was closed at the remote
        /// alone, and unknown to vouch, still works meanwhile. While the remote is down, every password that is not the
        /// remembered one counts for `limits.auth-errors` and `penalty`, of any user: otherwise passwords could be guessed
        /// at the speed of vouch. Tokens and SCRAM, CRAM-MD5 and such dialogs are never accepted from memory.
        // Bound (cache, directory.NAME.cache.credentials.stale): time for which a login is good while the server is down.
        // Beyond: no answer. Why: not at all, unless the operator says so.
        //
        // Bound (cache, directory.NAME.cache.entries): users whose last good login is kept for a server that is down.
        // Beyond: the least recently used are dropped. Why: their next login is asked again.
        "stale" stale: Option<Duration> = None,
            within INSTANT..=7 * DAY, parse duration_or_off, none "off";
    }
}

/// A duration, or `"off"`.
fn duration_or_off(value: &DeValue<'_>, bound: &Bound) -> Result<Option<Duration>, Wrong> {
    if value.as_str() == Some("off") {
        return Ok(None);
    }
    match Duration::parse(value, bound) {
        Err(wrong) if wrong.help.is_none() => Err(wrong.help("write a time as in `\"8h\"`, or `\"off\"`")),
        read => read.map(Some),
    }
}
