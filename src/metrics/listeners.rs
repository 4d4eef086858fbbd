//! The listeners' answers and clients.

use super::text::Text;
use super::{Watched, WatchedListener};

pub(super) fn write(text: &mut Text, watched: &Watched) {
    answers(text, watched);
    text.counter(
        "vouch_connections_accepted_total", "Connections of clients that were served.",
    );
    each(text, watched, |listener| {
        listener.admission.clients.accepted.get()
    });
    text.counter(
        "vouch_connections_turned_away_total",
        "Connections that were closed at once because max-connections were open, or no descriptor was left.",
    );
    each(text, watched, |listener| {
        listener.admission.clients.turned_away.get()
    });
    text.counter(
        "vouch_connections_denied_total",
        "Connections that were closed at once because the client is not among the peers.",
    );
    each(text, watched, |listener| {
        listener.admission.clients.strangers.get()
    });
    text.gauge("vouch_connections_open", "Connections of clients that are open.");
    each(text, watched, |listener| listener.admission.connections() as u64);
    text.gauge("vouch_connections_limit", "Setting max-connections.");
    each(text, watched, |listener| {
        listener.admission.max_connections() as u64
    });
}

fn answers(text: &mut Text, watched: &Watched) {
    text.counter(
        "vouch_questions_total",
        "Answered questions: the verdict, the cause (- without one), and the source (probe, shared, cache, local, \
         limit, penalty, access).",
    );
    for listener in &watched.listeners {
        for answers in listener.counts.answers() {
            let labels = [
                ("listener", &*listener.name),
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
    for listener in &watched.listeners {
        for (verdict, took) in listener.counts.took().filter(|(_, took)| took.count() > 0) {
            text.durations(&[("listener", &*listener.name), ("verdict", verdict)], &took);
        }
    }
    text.counter(
        "vouch_answers_delayed_total", "Answers that were delayed after their verdict (penalty).",
    );
    each(text, watched, |listener| listener.counts.delayed.get());
}

/// One number for each listener.
fn each(text: &mut Text, watched: &Watched, number: impl Fn(&WatchedListener) -> u64) {
    for listener in &watched.listeners {
        text.sample(&[("listener", &*listener.name)], number(listener));
    }
}
