//! A real Chromium, without a window, led by the DevTools protocol over a pipe.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::Scratch;

/// A browser that starts on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eyes {
    /// Pixels of width and height.
    pub(crate) screen: (u32, u32),
    /// Pixels of the screen to one of the page.
    pub(crate) density: u32,
    pub(crate) dark: bool,
    /// `none`, or what DevTools calls a deficiency.
    pub(crate) vision: &'static str,
}

/// The browser, and one page in it. It ends when the value is dropped.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    calls: u64,
    /// What happened, besides answers: method and parameters.
    events: Vec<(String, Value)>,
    _profile: Scratch,
}

/// Where it is: what `VOUCH_BROWSER` says. Where that is not set, says so past the capture of test output.
pub(crate) fn program() -> Option<PathBuf> {
    let wish = std::env::var("VOUCH_BROWSER").unwrap_or_default();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let word = match wish.as_str() {
        // `contrib/test` without --full: it was not wanted.
        "never" => "LEFT OUT",
        "" => "SKIPPED",
        path => {
            let found = crate::support::program(path);
            assert!(found.is_some(), "VOUCH_BROWSER={path}: there is no such program");
            return found;
        }
    };
    let text = format!("\n{word}: {test}: no browser; VOUCH_BROWSER=chromium has it run\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
    None
}

impl Browser {
    pub(crate) fn start(program: &Path) -> Self {
        let profile = Scratch::new();
        let mut command = Command::new("sh");
        command
            // Chromium listens at descriptor 3 and speaks at 4.
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>&2"])
            .arg(program)
            .args([
                "--headless", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run", "--hide-scrollbars", "--disable-component-update",
            ])
            // Root has no other way; what is looked at is ours.
            .arg("--no-sandbox")
            .arg(format!("--user-data-dir={}", profile.path("profile").display()))
            .env("HOME", profile.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().unwrap();
        let (sender, messages) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Self {
            input: child.stdin.take().unwrap(),
            child,
            messages,
            session: String::new(),
            calls: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Network", "Log", "Runtime", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Looks at a page.
    pub(crate) fn open(&mut self, url: &str, eyes: &Eyes) {
        let (width, height) = eyes.screen;
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({
                "width": width, "height": height, "deviceScaleFactor": eyes.density, "mobile": width < 600,
            }),
        );
        let scheme = if eyes.dark { "dark" } else { "light" };
        let scheme = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", &json!({ "features": [scheme] }));
        self.call(
            "Emulation.setEmulatedVisionDeficiency",
            &json!({ "type": eyes.vision }),
        );
        self.events.clear();
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{opened}");
        let end = Instant::now() + PATIENCE;
        while !self
            .events
            .iter()
            .any(|(method, _)| method == "Page.loadEventFired")
        {
            self.listen(end, "the page");
        }
    }

    /// What an expression comes to in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            &json!({ "expression": expression, "returnByValue": true }),
        );
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// A picture of the whole page, or of what is seen first, as PNG.
    pub(crate) fn picture(&mut self, whole: bool) -> Vec<u8> {
        let answer = self.call(
            "Page.captureScreenshot",
            &json!({ "captureBeyondViewport": whole }),
        );
        STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    /// What a screen reader is told: each element's role and the rest.
    pub(crate) fn heard(&mut self) -> Vec<Value> {
        let answer = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = answer["nodes"].as_array().unwrap().iter();
        nodes.filter(|node| node["ignored"] != true).cloned().collect()
    }

    /// What was asked for from the net since the page was opened.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.told("Network.requestWillBeSent", "/request/url")
    }

    /// What the browser has complained of since.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut all = self.told("Log.entryAdded", "/entry/text");
        all.extend(self.told("Runtime.exceptionThrown", "/exceptionDetails/text"));
        all
    }

    fn told(&self, event: &str, place: &str) -> Vec<String> {
        let of_it = self.events.iter().filter(|(method, _)| method == event);
        of_it
            .map(|(_, told)| {
                told.pointer(place)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.listen(end, method).filter(|answer| answer["id"] == id) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The next answer; an event is kept.
    fn listen(&mut self, end: Instant, what: &str) -> Option<Value> {
        let message = match self
            .messages
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("waited {PATIENCE:?} for {what} in vain"),
            Err(RecvTimeoutError::Disconnected) => panic!("the browser ended before {what}"),
        };
        let Some(method) = message["method"].as_str() else {
            return Some(message);
        };
        self.events.push((method.to_owned(), message["params"].clone()));
        None
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let close = json!({ "id": 0, "method": "Browser.close" });
        let _ = self.input.write_all(format!("{close}\0").as_bytes());
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
