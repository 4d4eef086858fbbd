//! `penalty`: how a listener delays answers to clients and users with repeated failures.

use std::time::Duration;

use super::{described, duration_text};
use crate::address::network::Network;

described! {
    /// `[listener."NAME".penalty]`: or `penalty = "off"`. A failure is a login, or at a `policy` listener a recipient, that
    /// a directory's server refused, now or recently. It counts for the client's address (of IPv6, its /64) and for the
    /// user; the same wrong password of the same user counts once while it is remembered. Requests without a client address,
    /// or with `no-penalty`, are neither delayed nor counted.
    ///
    /// Every answer to an address with too many failures is delayed. For a user with too many failures, only refusals are
    /// delayed; a good login from an address without failures never is, so that no client can slow down or lock out
    /// another. No answer is delayed beyond the listener's `deadline`, and none delays another. Each listener counts the
    /// failures of its own clients.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Penalty {
        /// `after`: failures without a delay, 1 to 1000. Default 10.
        pub after: u32,
        /// `delay`: the delay of the next answer; each further failure doubles it. 1 ms to 1 minute. Default 1 s.
        pub delay: Duration,
        /// `max-delay`: the longest delay; `delay` to 1 minute. Default 4 s: if the server answers within 4 s, Postfix,
        /// which waits 10 s, still gets the answer.
        pub max_delay: Duration,
        /// `forget`: how long a failure is remembered, 1 ms to 1 day; in memory only. Default 10 minutes.
        pub forget: Duration,
        /// `refuse-after`: an address with this many failures, 1 to 1000, gets the answer "later" without asking the
        /// remote, and with it every user at that address. Never by user. Default `"never"`.
        pub refuse_after: Option<u32>,
        /// `exempt`: networks whose clients are neither delayed nor counted, such as a webmail's. Default loopback.
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
