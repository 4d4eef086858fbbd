//! The listeners' answers and clients.

use super::text::Text;
use super::{Watched, WatchedDoor};

pub(super) fn write(text: &mut Text, watched: &Watched) {
    answers(text, watched);
    text.counter(
        "vouch_connections_accepted_total", "Connections of clients that were served.",
    );
    each(text, watched, |door| door.admission.clients.accepted.get());
    text.counter(
        "vouch_connections_turned_away_total",
        "Connections that were closed at once because max-connections were open, or no descriptor was left.",
    );
    each(text, watched, |door| door.admission.clients.turned_away.get());
    text.counter(
        "vouch_connections_of_strangers_total",
        "Connections that were closed at once because the client is not among the peers.",
    );
    each(text, watched, |door| door.admission.clients.strangers.get());
    text.gauge("vouch_connections_open", "Connections of clients that are open.");
    each(text, watched, |door| door.admission.connections() as u64);
    text.gauge("vouch_connections_limit", "Setting max-connections.");
    each(text, watched, |door| door.admission.max_connections() as u64);
}

fn answers(text: &mut Text, watched: &Watched) {
    text.counter(
        "vouch_questions_total",
        "Answered questions: the verdict, the cause (- without one), and the source (probe, shared, cache, local, \
         limit, penalty, access).",
    );
    for door in &watched.doors {
        for answers in door.counts.answers() {
            let labels = [
                ("listener", &*door.name),
                ("verdict", answers.verdict),
                ("cause", answers.cause),
                ("source", answers.source),
            ];
            text.sample(&labels, answers.count);
        }
    }
    text.histogram(
        "vouch_question_duration_seconds", "Time from a question to its verdict.",
    );
    for door in &watched.doors {
        for (verdict, took) in door.counts.took().filter(|(_, took)| took.count() > 0) {
            text.durations(&[("listener", &*door.name), ("verdict", verdict)], &took);
        }
    }
    text.counter(
        "vouch_answers_delayed_total", "Answers that were delayed after their verdict (penalty).",
    );
    each(text, watched, |door| door.counts.delayed.get());
}

/// One number for each listener.
fn each(text: &mut Text, watched: &Watched, number: impl Fn(&WatchedDoor) -> u64) {
    for door in &watched.doors {
        text.sample(&[("listener", &*door.name)], number(door));
    }
}
