//! A directory on the page.

use serde_json::Value;

use super::chart::{self, Frame};
use super::hour::{Hour, Past, key_of_times, minutes_ago, within};
use super::html::Html;
use super::table::Table;
use super::words::percent;
use super::{ago, count, swatch, text, word};
use crate::metrics::history::DirectoryStep;

/// How a directory is; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Nobody asked it anything.
    Unasked,
    /// It answers.
    Well,
    /// The last questions got no answer, but others did lately.
    Troubled,
    /// It gives no answer.
    Silent,
}

impl State {
    /// Of a directory in the report.
    pub(super) fn of(it: &Value) -> Self {
        match it["state"].as_str() {
            Some("answers") => Self::Well,
            Some("answers in part") => Self::Troubled,
            Some("no answer") => Self::Silent,
            _ => Self::Unasked,
        }
    }

    /// Its class in the style.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Unasked => "unasked",
            Self::Well => "well",
            Self::Troubled => "troubled",
            Self::Silent => "silent",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Unasked => "not asked yet",
            Self::Well => "answers",
            Self::Troubled => "answers some questions",
            Self::Silent => "gives no answer",
        }
    }

    /// A sign for it, told by its shape.
    pub(super) fn sign(self, html: &mut Html) {
        html.markup("<svg class=\"sign ")
            .markup(self.class())
            .markup("\" aria-hidden=\"true\" viewBox=\"0 0 16 16\"><use href=\"#sign-")
            .markup(self.class())
            .markup("\"/></svg> ");
    }
}

/// Writes the card of the directory at this place.
pub(super) fn card(html: &mut Html, hour: &Hour, at: usize, it: &Value, state: State) {
    html.markup("<article id=\"d").text(at);
    html.markup("\" aria-labelledby=\"d").text(at);
    html.markup("-name\"><h3 id=\"d").text(at);
    html.markup("-name\">")
        .outside(text(&it["name"]))
        .markup(" <small>")
        .text(text(&it["type"]))
        .markup("</small></h3><p class=\"state ")
        .markup(state.class())
        .markup("\">");
    state.sign(html);
    html.markup(state.words()).markup("</p>");
    facts(html, it);
    let past = hour.of(|step| step.directories.get(text(&it["name"])));
    if !past.is_empty() {
        last_hour(html, &format!("d{at}"), &past);
    }
    html.markup("</article>");
}

fn last_hour(html: &mut Html, id: &str, past: &Past<'_, DirectoryStep>) {
    let sum = past.sum();
    html.markup("<h4>Questions answered</h4>");
    if sum.answers + sum.failures > 0 {
        html.piece(&answered(id, past, &sum));
        html.markup("<p class=\"key\">");
        for (class, words) in [("answered", "answered"), ("unanswered", "without an answer")] {
            html.markup("<span>");
            swatch(html, class);
            html.markup(words).markup("</span> ");
        }
        html.markup("</p>");
    }
    html.markup("<p>").text(in_words(&sum)).markup("</p>");
    if sum.probed.count() > 0 {
        let title = "Time between sending a question and receiving the answer";
        html.markup("<h4>Time to its answer</h4>").piece(&past.times(
            &format!("{id}-probed"),
            title,
            |step| &step.probed,
        ));
        key_of_times(html);
        html.markup("<details><summary>In numbers</summary>");
        numbers(html, past);
        html.markup("</details>");
    }
}

fn facts(html: &mut Html, it: &Value) {
    let mut facts = Table::facts("The directory");
    facts.fact("Address", |html| {
        html.path(text(&it["address"]));
    });
    answers(&mut facts, it);
    for (what, pool) in it["sessions"].as_object().into_iter().flatten() {
        facts.fact("Sessions", |html| sessions(html, what, pool));
        let memory = &it["remembered"][what];
        if memory["max"].as_u64() > Some(0) {
            facts.fact("Cached", |html| {
                html.text(what)
                    .markup(": ")
                    .text(word(&memory["entries"]))
                    .markup(" of at most ")
                    .text(word(&memory["max"]));
            });
        }
    }
    encryption(&mut facts, it);
    doubts(&mut facts, it);
    facts.end(html);
}

fn answers(facts: &mut Table, it: &Value) {
    facts.fact("Last answer", |html| match it["last-answer"].as_u64() {
        Some(seconds) => {
            html.text(ago(seconds)).markup(" ago");
        }
        None => {
            html.markup("none yet");
        }
    });
    let failure = &it["last-failure"];
    if let Some(seconds) = failure["ago"].as_u64() {
        facts.fact("Last failure", |html| {
            html.text(ago(seconds)).markup(" ago: ");
            match (failure["status"].as_str(), failure["why"].as_str()) {
                // In the remote's words, which may name a user.
                (Some(status), _) => html.text(text(&failure["class"])).markup(", ").outside(status),
                (None, Some(why)) => html.outside(why),
                (None, None) => html.text(text(&failure["class"])),
            };
        });
        if let Some(advice) = failure["advice"].as_str().filter(|advice| !advice.is_empty()) {
            facts.fact("What to do", |html| {
                html.outside(advice);
            });
        }
    }
    if let (Some(number @ 2..), Some(seconds)) = (it["unanswered"].as_u64(), it["unanswered-for"].as_u64()) {
        facts.warning("Without an answer", |html| {
            html.text(count(number))
                .markup(" questions in a row, for ")
                .text(ago(seconds));
        });
    }
}

fn sessions(html: &mut Html, what: &str, pool: &Value) {
    html.text(what)
        .markup(": ")
        .text(word(&pool["busy"]))
        .markup(" busy, ");
    html.text(word(&pool["idle"])).markup(" idle");
    if let Some(opening @ 1..) = pool["opening"].as_u64() {
        html.markup(", ").text(count(opening)).markup(" opening");
    }
    html.markup(" of at most ");
    if let Some(ceiling) = pool["ceiling"].as_u64() {
        html.text(count(ceiling)).markup(" that the server allows, of ");
    }
    html.text(word(&pool["max"]));
    if let Some(waiting @ 1..) = pool["waiting"].as_u64() {
        html.markup("; ").text(count(waiting)).markup(" questions wait");
        if pool["queue"].is_u64() {
            html.markup(", of at most ").text(word(&pool["queue"]));
        }
    }
    if pool["pause-us"].as_u64() > Some(0) {
        html.markup("; paused briefly, since the last one failed to open");
    }
}

fn encryption(facts: &mut Table, it: &Value) {
    if it["allow-invalid-certs"] == true {
        facts.warning("Certificate", |html| {
            html.markup("any is accepted (tls.allow-invalid-certs)");
        });
    }
    let tls = &it["tls"];
    if let Some(version) = tls["version"].as_str() {
        facts.fact("Encryption", |html| {
            html.text(version);
        });
    }
    for (member, name) in [
        ("certificate", "Its certificate"),
        ("own-certificate", "Own certificate"),
    ] {
        let Some(days) = tls[member]["days-left"].as_i64() else {
            continue;
        };
        let left = |html: &mut Html| {
            if days < 0 {
                html.markup("has expired");
            } else {
                html.markup("expires in ").text(days).markup(" days");
            }
        };
        // As the alerts in contrib/ do.
        if days < 14 {
            facts.warning(name, left);
        } else {
            facts.fact(name, left);
        }
    }
}

/// Whether its answers are believed. Canaries are addresses, and not named here.
fn doubts(facts: &mut Table, it: &Value) {
    let canaries = &it["canaries"];
    match (canaries["count"].as_u64(), canaries["refused"].as_u64()) {
        (Some(all @ 1..), Some(refused @ 1..)) => facts.warning("Canaries", |html| {
            html.text(format_args!("{refused} of {all} refused"))
                .markup(": refusals in their domains are deferred");
        }),
        (Some(all @ 1..), _) => facts.fact("Canaries", |html| {
            html.text(all).markup(", none refused");
        }),
        _ => {}
    }
    if let Some(domains @ 1..) = it["doubted"]["count"].as_u64() {
        facts.warning("Refuses known recipients", |html| {
            html.markup("of ")
                .text(domains)
                .markup(" domains: their refusals are deferred");
        });
    }
    if let Some(replies @ 1..) = it["not-understood"]["count"].as_u64() {
        facts.fact("Replies not understood", |html| {
            html.text(replies)
                .markup(" since the start: <code>vouch status</code> shows the texts");
        });
    }
    if let Some(domains @ 1..) = it["catch-all"]["count"].as_u64() {
        facts.warning("Accepts every address", |html| {
            html.markup("of ")
                .text(domains)
                .markup(" domains, whose recipients vouch neither accepts nor rejects");
        });
    }
}

fn in_words(sum: &DirectoryStep) -> String {
    let asked = sum.answers + sum.failures;
    match (asked, sum.failures) {
        (0, _) => "No questions in the time shown.".to_owned(),
        (_, 0) => format!("{} questions in the time shown, all answered.", count(asked)),
        (_, failures) => format!(
            "{} questions in the time shown, {} of them ({}) without an answer.",
            count(asked),
            count(failures),
            percent(failures, asked)
        ),
    }
}

fn answered(id: &str, past: &Past<'_, DirectoryStep>, sum: &DirectoryStep) -> Html {
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

fn numbers(html: &mut Html, past: &Past<'_, DirectoryStep>) {
    let mut table = Table::numbers(
        "The last hour, by five minutes",
        &["when", "answered", "without an answer", "median", "95 % within"],
    );
    for (minutes, it) in past.rows() {
        let mut cells = vec![count(it.answers), count(it.failures)];
        cells.extend([0.5, 0.95].map(|share| within(&it.probed, share)));
        table.row(
            |html| {
                html.text(minutes_ago(minutes));
            },
            &cells,
        );
    }
    table.end_numbers(html);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_state_of_a_directory_is_told() {
        for (health, state) in [
            ("not asked", State::Unasked),
            ("answers", State::Well),
            ("answers in part", State::Troubled),
            ("no answer", State::Silent),
        ] {
            assert_eq!(State::of(&json!({ "state": health })), state);
        }
    }

    fn shown(it: &Value) -> String {
        let mut html = Html::default();
        facts(&mut html, it);
        html.end()
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
