//! Plays every `tests/transcripts/**.txt` against the daemon, in process: listeners and directories are built from
//! a configuration as the daemon builds them, clients and remotes are pipes in memory, and time is paused.
//!
//! A transcript is a configuration, a line `---`, and then who says what while how much time passes. An arrow
//! shows who speaks: `->` away from the one named, to vouch; `<-` what they must hear from it.
//!
//! ```text
//! # What it shows, and why that matters.
//! [directory."mailbox"]
//! …
//! ---
//! client asks protocol_state=RCPT recipient=nosuch@example.org
//! remote 1 -> 220 mbox ready
//! remote 1 <- LHLO vouch.test
//! …
//! client is told 550 5.1.1 User unknown
//! ```
//!
//! | line | meaning |
//! |---|---|
//! | `NAME -> TEXT` | says a line; adjacent lines of one speaker leave in one write |
//! | `NAME <- TEXT` | must hear this line next; `{any}` stands for any text, which `{any:WORD}` keeps as `WORD N` |
//! | `NAME says no more` | ends its half of the connection |
//! | `NAME hangs up` | ends all of it |
//! | `NAME is hung up on` | must hear nothing but the end |
//! | `client asks A=B …` | sends a policy request with these attributes |
//! | `client is told ACTION` | must hear this action and the empty line |
//! | `client says strings A\|B\|…` | sends counted strings, as to saslauthd |
//! | `client hears string TEXT` | must hear this counted string |
//! | `client says netstring TEXT` | sends a netstring |
//! | `client hears netstring TEXT` | must hear this netstring |
//! | `client is greeted` | must hear the greeting of an auth listener; its cookie is kept as `cookie N` |
//! | `client N connects [to LISTENER] [as process PID] [as stranger UID]` | where its first line is not enough |
//! | `remote N is DIRECTORY` | the session must be one of this directory |
//! | `remote N takes the call` | the connection is made, and nothing is said yet |
//! | `remote N refuses the call` | there is no such session: the connection is refused |
//! | `remote N never takes the call` | the connection is neither made nor refused |
//! | `remote N starts TLS` | TLS, from the next byte on, with a certificate that nobody has signed |
//! | `remote N cannot start TLS` | TLS must fail, or be the end |
//! | `wait 8s` | this time passes, and nobody hears anything meanwhile |
//! | `vouch drains` | as at its end |
//! | `vouch logs LEVEL TEXT` | the next line of this level in its log, verdicts aside, must hold this text |
//!
//! `client` is `client 1`, and connects to the first listener when it is first named. `remote 1`, `remote 2` and
//! so on are the sessions that vouch opens, in that order; it takes the call when it is first named. Lines of
//! clients end in LF, those of remotes in CRLF; `\c` at the end of a line leaves that out, and there are
//! `\t \r \n \s \\ \0` and `\xHH`; in what is said, `{x*100}` is a hundred times `x`, and
//! `{the WORD N}` is what was kept of what client or remote N heard.
//!
//! What must be heard must come at once: time passes in `wait` alone. A line that nobody expects, an end that
//! nobody expects and a session that nobody expects are failures, there and at the end of the transcript.

mod log;
mod script;
mod stage;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use script::Script;

/// Time is paused, so a transcript takes milliseconds; one that takes this long has vouch in an endless loop.
const ENDLESS: Duration = Duration::from_secs(60);

fn play(path: &Path, text: String) -> datatest_stable::Result<()> {
    let script = Script::parse(&text)?;
    let (done, ended) = mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || done.send(play_paused(&path, &script)));
    match ended.recv_timeout(ENDLESS) {
        Ok(result) => Ok(result?),
        Err(_) => Err("no end after a minute of real time".into()),
    }
}

fn play_paused(path: &Path, script: &Script) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(stage::play(path, script))
}

datatest_stable::harness! {
    { test = play, root = "tests/transcripts", pattern = r"\.txt$" },
}
