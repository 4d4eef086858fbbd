//! What is typed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::chance::Chance;

pub(crate) const USAGE: &str = "contrib/soak [--debug] [--seconds N] [--seed N] [--clients N]";

/// Below this nothing would be measured.
const LEAST_SECONDS: u64 = 30;

/// How long, how many, and which chance.
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) clients: usize,
}

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut seconds, mut seed, mut clients) = (600, 1, 3000);
        while let Some(argument) = arguments.next() {
            let number = match argument.as_str() {
                "--seconds" => &mut seconds,
                "--seed" => &mut seed,
                "--clients" => &mut clients,
                // What cargo adds to every benchmark.
                "--bench" => continue,
                _ => return Err(format!("unknown argument {argument}")),
            };
            let typed = arguments.next().unwrap_or_default();
            *number = typed
                .parse()
                .map_err(|_| format!("{argument} takes a number, not \"{typed}\""))?;
        }
        if seconds < LEAST_SECONDS {
            return Err(format!("--seconds is at least {LEAST_SECONDS}"));
        }
        Ok(Self {
            time: Duration::from_secs(seconds),
            seed,
            clients: usize::try_from(clients).map_err(|error| error.to_string())?,
        })
    }

    /// Chance of one hand on one day.
    pub(crate) fn chance(&self, day: &str, number: usize) -> Chance {
        let mut hasher = DefaultHasher::new();
        (self.seed, day, number).hash(&mut hasher);
        Chance::new(hasher.finish())
    }
}
