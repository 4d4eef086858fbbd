//! What the control socket answers by.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::status::Daemon;
use crate::control::Refusal;
use crate::control::serve::Answer;
use crate::settings::process::LogLevel;
use crate::telemetry::level;

pub(super) fn answers(now: watch::Receiver<Arc<Daemon>>) -> Arc<Answer> {
    Arc::new(move |ask, request| {
        let daemon = now.borrow().clone();
        Box::pin(async move { answer(&daemon, &ask, &request).await })
    })
}

async fn answer(daemon: &Daemon, ask: &str, request: &Value) -> Result<Value, Refusal> {
    match ask {
        "status" => Ok(serde_json::to_value(daemon.report())?),
        "cache-list" => daemon.list(request).await,
        "cache-get" => daemon.look_up(request),
        "cache-purge" => daemon.purge(request).await,
        "log-level" => set_level(&request["set"]),
        _ => Err(Refusal::Unknown(ask.to_owned())),
    }
}

/// Sets the level of the log where that is asked for: to a level, or to `reset`.
fn set_level(set: &Value) -> Result<Value, Refusal> {
    match set {
        Value::Null => {}
        Value::String(word) if word == "reset" => level::reset(),
        Value::String(word) => match LogLevel::named(word) {
            Some(level) => level::set(level),
            None => return Err(Refusal::NoLevel(word.clone())),
        },
        _ => return Err(Refusal::NoText("set".to_owned())),
    }
    Ok(json!({ "level": level::now().as_str(), "configured": level::configured().as_str() }))
}
