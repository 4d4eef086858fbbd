//! `penalty`: how a listener answers those who fail again and again.

use std::time::Duration;

use super::{described, duration_text};
use crate::address::network::Network;

described! {
    /// `[listener."NAME".penalty]`: or `penalty = "off"`. A failure is a login, or at a `policy` listener a recipient, that a
    /// directory's server refused, now or lately. It is held against the client's address (of IPv6, its /64) and against
    /// the user; the same user with the same wrong password counts once while it is remembered. Requests that name no
    /// address of a client are not delayed and do not count, nor are those that say `no-penalty`.
    ///
    /// Every answer to an address with too many failures is late. Of a user with too many, refusals are, and a good login
    /// from an address that has not failed itself is never: nobody can slow or lock out somebody else. No answer is later
    /// than the listener's `deadline`, and none holds up another. Each listener remembers the failures of its own clients.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Penalty {
        /// `after`: so many failures cost nothing, 1 to 1000. Default 10.
        pub after: u32,
        /// `delay`: how late the next answer is; each failure more doubles it. 1 ms to 1 minute. Default 1 s.
        pub delay: Duration,
        /// `max-delay`: no answer is later; `delay` to 1 minute. Default 4 s, with which a server that answers within 4 s
        /// leaves Postfix, which waits 10 s, its answer.
        pub max_delay: Duration,
        /// `forget`: how long a failure is remembered, 1 ms to 1 day; in memory only. Default 10 minutes.
        pub forget: Duration,
        /// `refuse-after`: with so many failures remembered of it, 1 to 1000, an address is told "later" and nobody is
        /// asked: everybody behind it, whoever failed. Never by user. Default `"never"`.
        pub refuse_after: Option<u32>,
        /// `exempt`: networks whose clients are not delayed and do not count, such as that of a webmail. Default loopback.
        pub exempt: Vec<Network>,
    }
}

impl Default for Penalty {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1"];
        Self {
            after: 10,
            delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(4),
            forget: Duration::from_secs(600),
            refuse_after: None,
            exempt: loopback.iter().flat_map(|text| Network::parse(text)).collect(),
        }
    }
}

impl Penalty {
    /// As it is written in the file: an inline table.
    pub fn to_text(&self) -> String {
        let [delay, max_delay, forget] = [self.delay, self.max_delay, self.forget].map(duration_text);
        let refuse_after = self
            .refuse_after
            .map_or("\"never\"".to_owned(), |most| most.to_string());
        let exempt: Vec<_> = self
            .exempt
            .iter()
            .map(|network| format!("\"{network}\""))
            .collect();
        format!(
            "{{ after = {}, delay = \"{delay}\", max-delay = \"{max_delay}\", forget = \"{forget}\", refuse-after = \
             {refuse_after}, exempt = [{}] }}",
            self.after,
            exempt.join(", ")
        )
    }
}
