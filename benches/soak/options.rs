//! What is typed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::chance::Chance;

pub(crate) const USAGE: &str = "contrib/soak [--debug] [--seconds N] [--seed N] [--clients N]
contrib/soak [--debug] --fleet [--seconds N] [--seed N]";

/// Below this nothing would be measured.
const LEAST_SECONDS: u64 = 30;

/// How long, how many, and which chance.
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    /// The day of a fleet.
    pub(crate) fleet: bool,
}

/// Why it is not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mistyped {
    #[error("unknown argument {0}")]
    Unknown(String),
    #[error("{0} takes a number, not \"{1}\"")]
    NoNumber(String, String),
    #[error("--seconds is at least {LEAST_SECONDS}")]
    TooShort,
}

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Mistyped> {
        let (mut seconds, mut seed, mut clients, mut fleet) = (600, 1, 3000_u64, false);
        while let Some(argument) = arguments.next() {
            let number = match argument.as_str() {
                "--seconds" => &mut seconds,
                "--seed" => &mut seed,
                "--clients" => &mut clients,
                "--fleet" => {
                    fleet = true;
                    continue;
                }
                // What cargo adds to every benchmark.
                "--bench" => continue,
                _ => return Err(Mistyped::Unknown(argument)),
            };
            let typed = arguments.next().unwrap_or_default();
            *number = typed.parse().map_err(|_| Mistyped::NoNumber(argument, typed))?;
        }
        if seconds < LEAST_SECONDS {
            return Err(Mistyped::TooShort);
        }
        Ok(Self {
            time: Duration::from_secs(seconds),
            seed,
            clients: usize::try_from(clients).unwrap_or(usize::MAX),
            fleet,
        })
    }

    /// Chance of one hand on one day.
    pub(crate) fn chance(&self, day: &str, number: usize) -> Chance {
        let mut hasher = DefaultHasher::new();
        (self.seed, day, number).hash(&mut hasher);
        Chance::new(hasher.finish())
    }
}
