//! The listeners' answers and clients.

use super::text::{Named, Text};
use crate::report::Listener;

pub(super) fn write(text: &mut Text, listeners: &[Listener]) {
    let all = listeners.iter().map(|it| (vec![("listener", &*it.name)], it));
    let all: Named<'_, Listener> = all.collect();
    answers(text, listeners);
    text.counter(
        "vouch_answers_delayed_total", "Answers that were delayed after their verdict (penalty).",
    );
    text.each(&all, |it| it.delayed);
    text.counter(
        "vouch_connections_accepted_total", "Connections of clients that were served.",
    );
    text.each(&all, |it| it.accepted);
    text.counter(
        "vouch_connections_turned_away_total",
        "Connections that were closed at once because max-connections were open, or no descriptor was left.",
    );
    text.each(&all, |it| it.refused);
    text.counter(
        "vouch_connections_denied_total",
        "Connections that were closed at once because the client is not among the peers.",
    );
    text.each(&all, |it| it.strangers);
    text.gauge("vouch_connections_open", "Connections of clients that are open.");
    text.each(&all, |it| it.connections);
    text.gauge("vouch_connections_limit", "Setting max-connections.");
    text.each(&all, |it| it.max_connections);
}

fn answers(text: &mut Text, listeners: &[Listener]) {
    text.counter(
        "vouch_questions_total",
        "Answered questions: the verdict, the cause (- without one), and the source (probe, shared, cache, fleet, \
         local, limit, penalty, unknown-rate, access).",
    );
    for listener in listeners {
        for reason in &listener.reasons {
            let labels = [
                ("listener", &*listener.name),
                ("verdict", &reason.verdict),
                ("cause", &reason.cause),
                ("source", &reason.source),
            ];
            text.sample(&labels, reason.count);
        }
    }
    text.histogram(
        "vouch_question_duration_seconds", "Time from a question to its verdict.",
    );
    for listener in listeners {
        for answers in listener.verdicts.iter().filter(|answers| answers.count > 0) {
            let labels = [("listener", &*listener.name), ("verdict", &answers.verdict)];
            text.durations(&labels, &answers.took);
        }
    }
}
