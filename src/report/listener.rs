//! A listener in the report.

use super::Quantiles;
use super::record::{records, wholes};
use crate::telemetry::histogram::Durations;

records! {
    /// A listener as configured, its clients, and its answers.
    Listener {
        /// As the configuration has it.
        name: String,
        /// The same.
        protocol: String,
        /// The same.
        socket: String,
        /// Clients that are connected.
        connections: u64,
        /// The most allowed.
        max_connections: u64,
        /// Connections since the start.
        accepted: u64,
        /// Connections that were closed at once, since `max-connections` were open.
        refused: u64,
        /// Connections that were closed at once, since the client's user is not among `peers`.
        strangers: u64,
        /// Answers that a penalty delayed.
        delayed: u64,
        /// A row of each verdict.
        verdicts: Vec<Answers>,
        /// A row of each combination that there was.
        reasons: Vec<Reason>,
        /// The percentage of its servers' answers that were a "no": `lately` (in the last 10 to 15 minutes) and `before`
        /// (in the six hours before); the number of `answers` lately; and whether the two are `far` apart: by 30 or more,
        /// with at least 50 answers lately and 200 before. Cached answers do not count.
        share_of_no: ShareOfNo,
    }

    /// Answers of one verdict.
    Answers {
        /// `accept`, `reject`, `defer`, `abstain`: a row of each.
        verdict: String,
        /// How many there were.
        count: u64,
        /// `p50`, `p90`, `p99`: the microseconds within which 50, 90 and 99 % of them were given, as precise as the buckets
        /// of the metrics; `null` if there were none.
        us: Quantiles,
        ;
        /// All of it.
        took: Durations,
    }

    /// Answers of one verdict, for one reason.
    Reason {
        /// The same, counted separately by cause and source.
        verdict: String,
        /// As in the log.
        cause: String,
        /// The same.
        source: String,
        /// How many there were.
        count: u64,
    }
}

wholes! {
    /// How many answers are a "no", in percent.
    ShareOfNo {
        /// In the last 10 to 15 minutes.
        lately: Option<u64>,
        /// In the six hours before.
        before: Option<u64>,
        /// How many answers there were lately.
        answers: u64,
        /// The two are far apart.
        far: bool,
    }
}

impl Listener {
    /// No client more can connect.
    pub fn is_full(&self) -> bool {
        self.max_connections > 0 && self.connections >= self.max_connections
    }
}
