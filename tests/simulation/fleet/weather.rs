//! When a store is out of order, and how.

use std::time::Duration;

use tokio::time::Instant;

use crate::chance::Chance;

/// So long after it was unwell a store is used again by every edge.
const RECOVERY: Duration = Duration::from_secs(5);

/// What a store does with an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It does what it should.
    Well,
    /// It is so far away.
    Far(Duration),
    /// It does nothing until this is over, then all that it was sent meanwhile.
    Hangs,
    /// It ends its connections, and refuses new ones.
    Ends,
    /// A connection to it never comes about.
    Deaf,
    /// It has no room.
    Full,
    /// It lets us do nothing.
    NoRight,
    /// It is not the one that is written to.
    Replica,
    /// It has only just started.
    Loads,
    /// It alters what it gives, and loses what it takes.
    Lies,
    /// It sends anything.
    Babbles,
}

/// What befalls all that a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// All of it is lost.
    Flush,
    /// It is copied.
    Copy,
    /// The copy takes its place.
    Restore,
}

/// A time in which it is not well, for one edge or for all.
struct Spell {
    from: Instant,
    until: Instant,
    mood: Mood,
    edge: Option<usize>,
}

/// What a day brings.
pub(crate) struct Weather {
    began: Instant,
    spells: Vec<Spell>,
    pub(crate) events: Vec<(Instant, Event)>,
    /// Times are told as they are: what is written or read takes no second, and nobody alters how long a value is kept.
    pub(crate) is_punctual: bool,
}

impl Weather {
    /// A day for so many edges, by chance.
    pub(crate) fn of(chance: &Chance, began: Instant, day: Duration, edges: usize) -> Self {
        let is_punctual = chance.coin();
        let (mut spells, mut from) = (Vec::new(), began + chance.ms(0, 120_000));
        while from < began + day {
            let until = from + chance.one(&[chance.ms(100, 5000), chance.ms(1000, 120_000)]);
            let edge = chance.coin().then(|| chance.among(0, edges as u64 - 1) as usize);
            let mood = Self::mood_by(chance, is_punctual);
            spells.push(Spell {
                from,
                until,
                mood,
                edge,
            });
            from = until + chance.ms(1000, 120_000);
        }
        let (mut events, mut at) = (Vec::new(), began + chance.ms(0, 180_000));
        while at < began + day {
            let event = chance.one(&[Event::Copy, Event::Copy, Event::Restore, Event::Flush]);
            events.push((at, event));
            at += chance.ms(1000, 240_000);
        }
        Self {
            began,
            spells,
            events,
            is_punctual,
        }
    }

    fn mood_by(chance: &Chance, is_punctual: bool) -> Mood {
        let near = Mood::Far(chance.ms(1, 50));
        let far = Mood::Far(chance.ms(1, 900));
        let moods = [
            Mood::Lies,
            Mood::Lies,
            Mood::Ends,
            Mood::Deaf,
            Mood::Full,
            Mood::NoRight,
            Mood::Replica,
            Mood::Loads,
            Mood::Babbles,
            if is_punctual { near } else { far },
            if is_punctual { Mood::Ends } else { Mood::Hangs },
            if is_punctual { near } else { Mood::Hangs },
        ];
        chance.one(&moods)
    }

    /// All day the same, for all, from then on.
    pub(crate) fn always(mood: Mood, from: Instant, until: Instant) -> Self {
        let edge = None;
        Self {
            began: Instant::now(),
            spells: vec![Spell {
                from,
                until,
                mood,
                edge,
            }],
            events: Vec::new(),
            is_punctual: true,
        }
    }

    /// In words, for the eye.
    pub(crate) fn told(&self, began: Instant) -> String {
        let second = |at: Instant| (at - began).as_secs_f64();
        let spells = self.spells.iter().map(|spell| {
            let whom = spell.edge.map_or("all".to_owned(), |edge| edge.to_string());
            format!(
                "{:.1} to {:.1} {:?} to {whom}",
                second(spell.from),
                second(spell.until),
                spell.mood
            )
        });
        let events = self.events.iter();
        let events = events.map(|(at, event)| format!("{:.1} {event:?}", second(*at)));
        spells.chain(events).collect::<Vec<_>>().join("; ")
    }

    /// How it is to an edge now, and until when if that has an end.
    pub(crate) fn now(&self, edge: usize) -> (Mood, Option<Instant>) {
        let now = Instant::now();
        let mut spells = self.of_edge(edge).filter(|spell| now < spell.until);
        match spells.next() {
            Some(spell) if spell.from <= now => (spell.mood, Some(spell.until)),
            Some(spell) => (Mood::Well, Some(spell.from)),
            None => (Mood::Well, None),
        }
    }

    /// The times in which it does what it should for these edges, each of which has come back to it, and in which nothing
    /// befalls what it has.
    pub(crate) fn calms(&self, edges: [usize; 2]) -> Vec<(Instant, Instant)> {
        let concerns = |spell: &&Spell| spell.edge.is_none_or(|one| edges.contains(&one));
        let spells = self.spells.iter().filter(concerns);
        let spells = spells.map(|spell| (spell.from, spell.until + RECOVERY));
        let events = self.events.iter().map(|(at, _)| (*at, *at));
        let mut breaks: Vec<_> = spells.chain(events).collect();
        breaks.sort();
        let (mut calms, mut from) = (Vec::new(), self.began);
        for (begins, ends) in breaks {
            if from < begins {
                calms.push((from, begins));
            }
            from = from.max(ends);
        }
        calms.push((from, from + Duration::from_secs(24 * 3600)));
        calms
    }

    /// Whether it has told this edge anything but the truth since then.
    pub(crate) fn was_untrue(&self, edge: usize, since: Instant) -> bool {
        let now = Instant::now();
        let is_untrue = |spell: &Spell| matches!(spell.mood, Mood::Lies | Mood::Babbles);
        self.of_edge(edge)
            .any(|spell| is_untrue(spell) && spell.from <= now && since <= spell.until)
    }

    fn of_edge(&self, edge: usize) -> impl Iterator<Item = &Spell> {
        let is_of = move |spell: &&Spell| spell.edge.is_none_or(|one| one == edge);
        self.spells.iter().filter(is_of)
    }
}
