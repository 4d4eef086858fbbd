//! Questions that wait for a session, by their standing.
//!
//! The oldest is asked first while all are asked in good time. When the oldest has waited for half
//! of its time, more come than can be served: from there on the newest is asked first. Asked in
//! turn, each would be asked just before its end, and no answer would come in time; so as many as
//! ever are answered, and the others get an error as soon as they can no longer be answered in time.
//!
//! Measured by `goodput_does_not_fall_with_load`, with a remote of 20 answers a second that take 0.1
//! to 0.9 s, and a hundred askers that wait 5 s each: 21 answers come in time; 14 where the oldest is
//! asked first among those with time left, as CoDel has it; 7 where it is asked first whatever its time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::quota::Quota;
use super::{Asker, Priority};
use crate::session::error::Error;

/// A question on its way.
pub(super) struct Job<Q, V> {
    pub(super) question: Q,
    pub(super) asker: Asker,
    pub(super) arrived: Instant,
    /// It was asked once already, on a session that said nothing about it.
    pub(super) again: bool,
    /// It goes out without others: a session was lost at it.
    pub(super) alone: bool,
    /// Its place in the queue, once it has had one.
    pub(super) number: Option<Number>,
    /// Once it was taken from the queue: its part of what its standing may hold.
    pub(super) quota: Option<Quota>,
    pub(super) answer: oneshot::Sender<Result<V, Error>>,
}

/// A question in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u64);

pub(super) struct Queue<Q, V> {
    lanes: [BTreeMap<Number, Job<Q, V>>; Priority::ALL.len()],
    /// Those that only a session may be asked which was asked nothing else before.
    again: BTreeMap<Number, Job<Q, V>>,
    last: u64,
}

impl<Q, V> Job<Q, V> {
    /// A question that arrives now.
    pub(super) fn new(question: Q, asker: Asker, answer: oneshot::Sender<Result<V, Error>>) -> Self {
        Self {
            question,
            asker,
            arrived: Instant::now(),
            again: false,
            alone: false,
            number: None,
            quota: None,
            answer,
        }
    }

    /// Hands the answer to the caller, which may be gone.
    pub(super) fn tell(mut self, answer: Result<V, Error>) {
        // The receiver of the answer may ask at once, and finds the share free.
        self.quota = None;
        let _ = self.answer.send(answer);
    }

    /// Whether nobody would hear the answer.
    fn is_for_nobody(&self, now: Instant) -> bool {
        self.answer.is_closed() || self.asker.waiters.until().is_none_or(|until| until <= now)
    }

    /// Whether waiting has cost so much of its time that an answer, which lately `takes` so long,
    /// comes too late. One that never had as much time is asked all the same: what the remote says
    /// to it is remembered.
    fn is_hopeless(&self, now: Instant, takes: Duration) -> bool {
        let until = self.asker.waiters.until();
        until.is_some_and(|until| until < now + takes && self.arrived + takes <= until && self.arrived < now)
    }

    /// Whether it has waited for half of its time.
    fn is_late(&self, now: Instant) -> bool {
        let until = self.asker.waiters.until();
        until.is_some_and(|until| until.saturating_duration_since(now) < now.duration_since(self.arrived))
    }
}

impl<Q, V> Queue<Q, V> {
    pub(super) fn new() -> Self {
        Self {
            lanes: Default::default(),
            again: BTreeMap::new(),
            last: 0,
        }
    }

    /// Puts a question behind those of its standing; where it was before, if it is put back.
    pub(super) fn push(&mut self, mut job: Job<Q, V>) -> Number {
        let number = job.number.unwrap_or_else(|| {
            self.last += 1;
            Number(self.last)
        });
        job.number = Some(number);
        let lane = if job.again {
            &mut self.again
        } else {
            &mut self.lanes[job.asker.standing as usize]
        };
        lane.insert(number, job);
        number
    }

    /// Takes a question back; `None` where it is being asked, or was answered.
    pub(super) fn withdraw(&mut self, number: Number) -> Option<Job<Q, V>> {
        let mut lanes = self.lanes.iter_mut().chain([&mut self.again]);
        lanes.find_map(|lane| lane.remove(&number))
    }

    /// Takes at most `room` questions of this standing that `may` be asked, all of which go
    /// `together` with the first.
    pub(super) fn take(
        &mut self,
        standing: Priority,
        room: usize,
        may: impl FnMut(&Job<Q, V>) -> bool,
        together: impl Fn(&Q, &Q) -> bool,
    ) -> Vec<Job<Q, V>> {
        let lane = &mut self.lanes[standing as usize];
        let now = Instant::now();
        let oldest = lane.first_key_value();
        let order = if oldest.is_some_and(|(_, job)| job.is_late(now)) {
            Order::NewestFirst
        } else {
            Order::OldestFirst
        };
        pick(lane, now, order, room, may, together)
    }

    /// As [`Self::take`], of those that are asked again. One that goes out alone does so.
    pub(super) fn take_again(&mut self, room: usize, together: impl Fn(&Q, &Q) -> bool) -> Vec<Job<Q, V>> {
        let (mut some, mut alone) = (false, false);
        let may = |job: &Job<Q, V>| {
            let may = !(alone || some && job.alone);
            alone |= may && job.alone;
            some |= may;
            may
        };
        let now = Instant::now();
        pick(&mut self.again, now, Order::OldestFirst, room, may, together)
    }

    /// Drops those that nobody waits for, and gives those that cannot be answered in time where an
    /// answer `takes` so long.
    pub(super) fn sift(&mut self, takes: Duration) -> Vec<Job<Q, V>> {
        let now = Instant::now();
        let mut hopeless = Vec::new();
        for lane in self.lanes.iter_mut().chain([&mut self.again]) {
            // Of one lane, the oldest have the least time left, as a rule.
            while let Some(oldest) = lane.first_entry() {
                let job = oldest.get();
                let (for_nobody, late) = (job.is_for_nobody(now), job.is_hopeless(now, takes));
                if !for_nobody && !late {
                    break;
                }
                let job = oldest.remove();
                if !for_nobody {
                    hopeless.push(job);
                }
            }
        }
        hopeless
    }

    /// Drops all that nobody waits for.
    pub(super) fn drop_cancelled(&mut self) {
        let now = Instant::now();
        for lane in self.lanes.iter_mut().chain([&mut self.again]) {
            lane.retain(|_, job| !job.is_for_nobody(now));
        }
    }

    /// Takes those that get the same error as all that waited then.
    pub(super) fn take_older_than(&mut self, then: Instant, again_alone: bool) -> Vec<Job<Q, V>> {
        let now = Instant::now();
        let mut taken = Vec::new();
        let lanes = self.lanes.iter_mut().filter(|_| !again_alone);
        for lane in lanes.chain([&mut self.again]) {
            let is_told = |job: &Job<Q, V>| {
                job.arrived <= then || job.asker.waiters.until().is_none_or(|until| until <= now)
            };
            let told: Vec<_> = lane
                .iter()
                .filter(|(_, job)| is_told(job))
                .map(|(at, _)| *at)
                .collect();
            taken.extend(told.iter().filter_map(|at| lane.remove(at)));
        }
        taken
    }

    /// How many of a standing wait.
    pub(super) fn of(&self, standing: Priority) -> usize {
        self.lanes[standing as usize].len()
    }

    /// How many wait for a session of which nothing else was asked.
    pub(super) fn again(&self) -> usize {
        self.again.len()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(BTreeMap::len).sum::<usize>() + self.again.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Job<Q, V>> {
        let lanes = self.lanes.iter().chain([&self.again]);
        lanes.flat_map(BTreeMap::values)
    }
}

/// Which of a lane is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// Takes at most `room` that `may` be asked, and go `together` with the first of them.
fn pick<Q, V>(
    lane: &mut BTreeMap<Number, Job<Q, V>>,
    now: Instant,
    order: Order,
    room: usize,
    mut may: impl FnMut(&Job<Q, V>) -> bool,
    together: impl Fn(&Q, &Q) -> bool,
) -> Vec<Job<Q, V>> {
    let mut in_order: Box<dyn Iterator<Item = (&Number, &Job<Q, V>)>> = match order {
        Order::OldestFirst => Box::new(lane.iter()),
        Order::NewestFirst => Box::new(lane.iter().rev()),
    };
    let (mut picked, mut first) = (Vec::new(), None);
    while picked.len() < room
        && let Some((at, job)) = in_order.next()
    {
        let fits = first.is_none_or(|first| together(first, &job.question));
        if fits && !job.is_for_nobody(now) && may(job) {
            first.get_or_insert(&job.question);
            picked.push(*at);
        }
    }
    drop(in_order);
    picked.iter().filter_map(|at| lane.remove(at)).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::waiting::Waiter;

    const SECOND: Duration = Duration::from_secs(1);

    /// The caller's end.
    type End = (oneshot::Receiver<Result<(), Error>>, Waiter);

    fn push(queue: &mut Queue<u32, ()>, question: u32, patience: Duration) -> End {
        let (asker, waiter) = Asker::until(Instant::now() + patience);
        let (answer, answered) = oneshot::channel();
        queue.push(Job::new(question, asker, answer));
        (answered, waiter)
    }

    fn take(queue: &mut Queue<u32, ()>, room: usize) -> Vec<u32> {
        let taken = queue.take(Priority::Stranger, room, |_| true, |_, _| true);
        taken.into_iter().map(|job| job.question).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_go_first_once_the_oldest_has_waited_for_half_of_its_time() {
        let mut queue = Queue::new();
        let mut ends = Vec::new();
        for question in 0..6 {
            ends.push(push(&mut queue, question, 10 * SECOND));
            advance(SECOND / 10).await;
        }
        advance(4 * SECOND).await;
        assert_eq!(take(&mut queue, 1), [0]);
        advance(SECOND).await;
        assert_eq!(take(&mut queue, 2), [5, 4]);
        assert_eq!(take(&mut queue, 9), [3, 2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_is_dropped_and_what_comes_too_late_is_told_so() {
        let mut queue = Queue::new();
        let gone = push(&mut queue, 0, 10 * SECOND);
        let late = push(&mut queue, 1, 3 * SECOND);
        // It never had the time that an answer takes, which is remembered all the same.
        let short = push(&mut queue, 2, 2 * SECOND - SECOND / 10);
        let good = push(&mut queue, 3, 10 * SECOND);
        drop(gone);
        advance(SECOND + SECOND / 10).await;
        let hopeless = queue.sift(2 * SECOND);
        assert_eq!(hopeless.iter().map(|job| job.question).collect::<Vec<_>>(), [1]);
        assert_eq!(take(&mut queue, 9), [3, 2]);
        drop((late, short, good));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_put_back_has_its_place_again() {
        let mut queue = Queue::new();
        let ends: Vec<_> = (0..4)
            .map(|question| push(&mut queue, question, SECOND))
            .collect();
        let taken = queue.take(Priority::Stranger, 2, |_| true, |_, _| true);
        let mut taken = taken.into_iter();
        let (first, mut second) = (taken.next().unwrap(), taken.next().unwrap());
        (second.again, second.alone) = (true, true);
        let number = second.number.unwrap();
        queue.push(first);
        queue.push(second);
        assert_eq!((queue.again(), queue.len()), (1, 4));
        assert_eq!(take(&mut queue, 9), [0, 2, 3]);
        assert_eq!(queue.take_again(9, |_, _| true).len(), 1);
        assert!(queue.withdraw(number).is_none());
        drop(ends);
    }
}
