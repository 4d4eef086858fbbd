//! A store of the fleet in the report.

use super::Timed;
use super::record::records;

records! {
    /// A store.
    Store {
        /// As the configuration has it.
        store: String,
        /// It is asked; else it is left alone until it answers again.
        used: bool,
        /// Why it is not used, keeps nothing new, or counts no failures.
        trouble: Option<String>,
        /// Questions that it has answered, with a finding or without.
        answered: u64,
        /// How long its answers took.
        round_trip: Timed,
        /// Answers that were findings of use.
        found: u64,
        /// Answers that were none: too old, or not of this fleet.
        unusable: u64,
        /// Questions without an answer in `patience`, or with an error.
        failed: u64,
        /// Questions that it was spared while it was left alone.
        spared: u64,
        /// Findings written to it.
        written: u64,
        /// Findings that were not, as it took none or too many waited.
        unwritten: u64,
    }

    /// An edge that doubts.
    Doubting {
        /// The name of its host.
        edge: String,
        /// How many domains have a canary that is refused there.
        domains: u64,
        /// Seconds since one was refused.
        ago: u64,
    }
}
