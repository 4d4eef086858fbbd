//! A directory on the page.

use maud::{Markup, html};

use super::ago;
use super::chart::{self, Frame};
use super::hour::{Hour, Past, key_of_times, minutes_ago, within};
use super::html::{class, fact, facts, numbers, outside, path, sign, swatch, warning};
use super::words::percent;
use crate::metrics::history::DirectoryStep;
use crate::report::{CERTIFICATE_DAYS, Certificate, Directory, LastFailure, Pool, Routed, State};
use crate::telemetry::words::thousands;

const fn words(state: State) -> &'static str {
    match state {
        State::Unasked => "not asked yet",
        State::Answers => "answers",
        State::Falters => "answers some questions",
        State::Silent => "gives no answer",
    }
}

/// The card of the directory at this place.
pub(super) fn card(hour: &Hour, at: usize, it: &Directory) -> Markup {
    let past = hour.of(|step| step.directories.get(&it.name));
    html! {
        article id={ "d" (at) } aria-labelledby={ "d" (at) "-name" } {
            h3 id={ "d" (at) "-name" } { (outside(&it.name)) " " small { (it.r#type) } }
            p.state.(class(it.state)) { (sign(it.state)) (words(it.state)) }
            (facts("The directory", &rows(it)))
            @if !past.is_empty() { (last_hour(&format!("d{at}"), &past)) }
        }
    }
}

fn last_hour(id: &str, past: &Past<'_, DirectoryStep>) -> Markup {
    let sum = past.sum();
    html! {
        h4 { "Questions answered" }
        @if sum.answers + sum.failures > 0 {
            (answered(id, past, &sum))
            p.key {
                span { (swatch("answered")) "answered" } " "
                span { (swatch("unanswered")) "without an answer" } " "
            }
        }
        p { (in_words(&sum)) }
        @if sum.probed.count() > 0 {
            h4 { "Time to its answer" }
            (past.times(
                &format!("{id}-probed"),
                "Time between sending a question and receiving the answer",
                |step| &step.probed,
            ))
            (key_of_times())
            details { summary { "In numbers" } (by_five_minutes(past)) }
        }
    }
}

fn rows(it: &Directory) -> Markup {
    html! {
        (fact("Address", &path(&it.address)))
        (answers(it))
        @if let Some(routed) = &it.routed { (servers(routed)) }
        @for (what, pool) in &it.sessions {
            (fact("Sessions", &sessions(what, pool)))
            @if let Some(memory) = it.remembered.get(what).filter(|memory| memory.max > 0) {
                (fact("Cached", &html! {
                    (what) ": " (thousands(memory.entries)) " of at most " (thousands(memory.max))
                }))
            }
        }
        (encryption(it))
        (doubts(it))
    }
}

fn answers(it: &Directory) -> Markup {
    html! {
        (fact("Last answer", &html! {
            @if let Some(seconds) = it.last_answer { (ago(seconds)) " ago" } @else { "none yet" }
        }))
        @if let Some(failure) = &it.last_failure { (last_failure(failure)) }
        @if let (2.., Some(seconds)) = (it.unanswered, it.unanswered_for) {
            (warning("Without an answer", &html! {
                (thousands(it.unanswered)) " questions in a row, for " (ago(seconds))
            }))
        }
    }
}

/// The servers of a map: sums, and the worst.
fn servers(it: &Routed) -> Markup {
    html! {
        (fact("Servers", &html! {
            (thousands(it.in_use)) " in use of " (thousands(it.servers)) " in the map, at most " (thousands(it.max))
        }))
        @for sick in &it.shown {
            (warning("Sick server", &html! { (outside(&sick.server)) ": " (words(sick.state)) }))
        }
        @if it.sick > it.shown.len() as u64 {
            (warning("Sick servers", &html! { (thousands(it.sick)) " in all" }))
        }
    }
}

fn last_failure(it: &LastFailure) -> Markup {
    html! {
        (fact("Last failure", &html! {
            (ago(it.ago)) " ago: "
            // With a status, it is in the remote's words, which may name a user.
            @match &it.status {
                Some(status) => { (it.class) ", " (outside(status)) }
                None => (outside(&it.why)),
            }
        }))
        @if !it.advice.is_empty() { (fact("What to do", &outside(&it.advice))) }
    }
}

fn sessions(what: &str, pool: &Pool) -> Markup {
    html! {
        (what) ": " (thousands(pool.busy)) " busy, " (thousands(pool.idle)) " idle"
        @if pool.opening > 0 { ", " (thousands(pool.opening)) " opening" }
        " of at most "
        @if let Some(ceiling) = pool.ceiling { (thousands(ceiling)) " that the server allows, of " }
        (thousands(pool.max))
        @if pool.waiting > 0 {
            "; " (thousands(pool.waiting)) " questions wait, of at most " (thousands(pool.queue))
        }
        @if pool.pause_us > Some(0) { "; paused briefly, since the last one failed to open" }
    }
}

fn encryption(it: &Directory) -> Markup {
    html! {
        @if it.allow_invalid_certs {
            (warning("Certificate", &html! { "any is accepted (tls.allow-invalid-certs)" }))
        }
        @if let Some(tls) = &it.tls {
            @if let Some(version) = &tls.version { (fact("Encryption", &html! { (version) })) }
            (certificate("Its certificate", tls.certificate.as_ref()))
            (certificate("Own certificate", tls.own_certificate.as_ref()))
        }
    }
}

fn certificate(name: &str, it: Option<&Certificate>) -> Markup {
    let Some(Certificate { days_left, .. }) = it else {
        return Markup::default();
    };
    let left = html! {
        @if *days_left < 0 { "has expired" } @else { "expires in " (days_left) " days" }
    };
    if *days_left < CERTIFICATE_DAYS {
        warning(name, &left)
    } else {
        fact(name, &left)
    }
}

/// Whether its answers are believed. Canaries are addresses, and not named here.
fn doubts(it: &Directory) -> Markup {
    html! {
        @match (it.canaries.count, it.canaries.refused) {
            (0, _) => {}
            (all, 0) => (fact("Canaries", &html! { (all) ", none refused" })),
            (all, refused) => (warning("Canaries", &html! {
                (refused) " of " (all) " refused: refusals in their domains are deferred"
            })),
        }
        @if it.doubted.count > 0 {
            (warning("Refuses known recipients", &html! {
                "of " (it.doubted.count) " domains: their refusals are deferred"
            }))
        }
        @if it.not_understood.count > 0 {
            (fact("Replies not understood", &html! {
                (it.not_understood.count) " since the start: " code { "vouch status" } " shows the texts"
            }))
        }
        @if let Some(catch_all) = it.catch_all.as_ref().filter(|it| it.count > 0) {
            (warning("Accepts every address", &html! {
                "of " (catch_all.count) " domains, whose recipients vouch neither accepts nor rejects"
            }))
        }
    }
}

fn in_words(sum: &DirectoryStep) -> String {
    let asked = sum.answers + sum.failures;
    match (asked, sum.failures) {
        (0, _) => "No questions in the time shown.".to_owned(),
        (_, 0) => format!("{} questions in the time shown, all answered.", thousands(asked)),
        (_, failures) => format!(
            "{} questions in the time shown, {} of them ({}) without an answer.",
            thousands(asked),
            thousands(failures),
            percent(failures, asked)
        ),
    }
}

fn answered(id: &str, past: &Past<'_, DirectoryStep>, sum: &DirectoryStep) -> Markup {
    let shares = |part: fn(&DirectoryStep) -> u64| {
        let steps = past.steps.iter();
        steps.map(move |(_, it)| part(it) as f64 / (it.answers + it.failures).max(1) as f64)
    };
    let layers = [
        ("answered", shares(|it| it.answers).collect()),
        ("unanswered", shares(|it| it.failures).collect()),
    ];
    let frame = Frame {
        id: &format!("{id}-answers"),
        title: "Share of the questions that it answered, over time",
        description: &in_words(sum),
        height: 56,
        levels: &[(1.0, "100 %".to_owned()), (0.5, "50 %".to_owned())],
        begins: past.begins,
    };
    chart::chart(&frame, &chart::areas(id, &past.spans, &layers))
}

fn by_five_minutes(past: &Past<'_, DirectoryStep>) -> Markup {
    let rows = past.rows().into_iter().map(|(minutes, it)| {
        let mut cells = vec![thousands(it.answers), thousands(it.failures)];
        cells.extend([0.5, 0.95].map(|share| within(&it.probed, share)));
        (html! { (minutes_ago(minutes)) }, cells)
    });
    numbers(
        "The last hour, by five minutes",
        &["when", "answered", "without an answer", "median", "95 % within"],
        rows,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(it: &Value) -> String {
        rows(&serde_json::from_value(it.clone()).unwrap()).0
    }

    #[test]
    fn the_words_of_a_remote_about_somebody_are_not_shown() {
        let failure = json!({ "ago": 5, "class": "temporary", "status": "451 4.3.0", "why": "temporary: jane is busy" });
        let html = shown(&json!({ "last-failure": failure }));
        assert!(
            html.contains("5 s ago: temporary, <bdi>451 4.3.0</bdi>") && !html.contains("jane"),
            "{html}"
        );
        let failure = json!({ "ago": 5, "class": "tls", "status": null, "why": "tls: remote (h:25): TLS handshake: <no>" });
        let html = shown(&json!({ "last-failure": failure }));
        assert!(
            html.contains("<bdi>tls: remote (h:25): TLS handshake: &lt;no&gt;</bdi>"),
            "{html}"
        );
    }

    #[test]
    fn what_somebody_should_see_to_is_marked() {
        let quiet = json!({
            "address": "h:25", "last-answer": 1, "unanswered": 1, "unanswered-for": 0,
            "sessions": { "recipients": { "busy": 1, "idle": 2, "opening": 1, "max": 10, "waiting": 3, "queue": 20 } },
            "remembered": { "recipients": { "entries": 1234, "max": 9999 }, "logins": { "entries": 1, "max": 1 } },
            "tls": { "version": "TLS 1.3", "certificate": { "days-left": 14 }, "own-certificate": null },
            "canaries": { "count": 2, "refused": 0, "shown": [{ "address": "jane@example.org" }] },
            "doubted": { "count": 0 },
            "catch-all": { "count": 0 },
        });
        let html = shown(&quiet);
        for part in [
            "recipients: 1 busy, 2 idle, 1 opening of at most 10; 3 questions wait, of at most 20",
            "recipients: 1,234 of at most 9,999",
            "TLS 1.3",
            "expires in 14 days",
            "2, none refused",
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
        assert!(
            !html.contains("warning") && !html.contains("jane") && !html.contains("logins"),
            "{html}"
        );
        for (place, loud, words) in [
            ("/tls/certificate/days-left", json!(13), "expires in 13 days"),
            ("/tls/certificate/days-left", json!(-1), "has expired"),
            ("/canaries/refused", json!(1), "1 of 2 refused"),
            ("/catch-all/count", json!(1), "of 1 domains"),
            (
                "/doubted/count",
                json!(2),
                "of 2 domains: their refusals are deferred",
            ),
            ("/unanswered", json!(2), "2 questions in a row"),
        ] {
            let mut it = quiet.clone();
            *it.pointer_mut(place).unwrap() = loud;
            let html = shown(&it);
            assert!(
                html.matches("class=\"warning\"").count() == 1 && html.contains(words),
                "{place}: {html}"
            );
        }
    }
}
