//! What became of the questions of one day.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::truth::{Answer, Listener, Question};

/// Complaints that are kept in words; beyond, they are counted.
const KEPT: usize = 10;

/// Counts, and how long the answers of directories took that are well.
pub(crate) struct Tally {
    pub(crate) day: &'static str,
    asked: AtomicU64,
    answered: AtomicU64,
    later: AtomicU64,
    wrong: AtomicU64,
    lost: AtomicU64,
    /// Clients of the rude kind that came, and faults of the remotes.
    pub(crate) rude: AtomicU64,
    pub(crate) faults: AtomicU64,
    took: Mutex<[Vec<Duration>; 5]>,
    words: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn new(day: &'static str) -> Self {
        Self {
            day,
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            later: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            rude: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            took: Mutex::default(),
            words: Mutex::default(),
        }
    }

    pub(crate) fn asked(&self) {
        one_more(&self.asked);
    }

    /// Judges an answer.
    pub(crate) fn answered(&self, listener: Listener, question: &Question, answer: Answer, took: Duration) {
        one_more(&self.answered);
        if question.well {
            let mut all = self.took.lock().unwrap_or_else(PoisonError::into_inner);
            all[listener as usize].push(took);
        }
        match answer {
            Answer::Later if !question.well => one_more(&self.later),
            answer if answer != question.truth => {
                one_more(&self.wrong);
                let name = &question.name;
                self.complain(format!("{answer:?} about {name} ({listener:?}) after {took:?}"));
            }
            _ => {}
        }
    }

    /// A question had no answer.
    pub(crate) fn lost(&self, how: String) {
        one_more(&self.lost);
        self.complain(how);
    }

    fn complain(&self, words: String) {
        let mut kept = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(format!("{}: {words}", self.day));
        }
    }

    /// What went wrong, in words.
    pub(crate) fn words(&self) -> Vec<String> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asked, answered, of these later, wrong, lost.
    pub(crate) fn counts(&self) -> [u64; 5] {
        [&self.asked, &self.answered, &self.later, &self.wrong, &self.lost]
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// The time within which so many of a hundred answers came, at a directory that is well.
    pub(crate) fn percentile(&self, listener: Listener, percent: usize) -> Duration {
        let mut all = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let took = &mut all[listener as usize];
        took.sort_unstable();
        let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(at).copied().unwrap_or_default()
    }
}

pub(crate) fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
