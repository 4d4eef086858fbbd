//! The table is whole: each constant that bounds something has a row, and each row a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use vouch::cli::man::bounds;

/// Constants that are numbers or times and bound nothing. A new one that does belongs into the table.
const NO_BOUNDS: &[&str] = &[
    // How often who started us is told something.
    "daemon::STATUS", // Exit statuses.
    "cli::USAGE", "cli::NO_INPUT", "cli::UNAVAILABLE", "cli::OS_ERROR", "cli::CANNOT_CREATE",
    "cli::IO_ERROR", "cli::TEMPORARY", "cli::CONFIG", "cli::REFUSED", "session::pool::pace::WEIGHT",
    "session::pool::quota::NETWORKS", // Parts of protocols and of texts.
    "vouch_protocol::auth::ESCAPE", "vouch_protocol::imap::command::LITERAL_MINUS_LIMIT",
    "server::auth::connection::CANCELLED_SINCE", "server::userdb::connection::COMMAND_SHOWN",
    "service::dovecot::STATUS", "service::dovecot::DEAD", "service::dovecot::LISTEN_FIRST",
    "telemetry::clock::SECOND", "config::keys::REMARK_COLUMN", "config::show::listener::MOST_DOMAINS",
    "config::read::directory::HOUR", "session::secrets::SHORT", "session::remote::BEGINNING",
    "session::secrets::HEAD", "session::secrets::PRIME", "engine::catch_all::LETTERS",
    "engine::store::file::SLICES", "engine::store::file::FORMAT", "engine::store::file::DATABASE_FORMAT",
    "server::counts::CAUSES", "cli::control::columns::WIDTH", "cli::control::columns::NAME",
    "cli::control::columns::INDENT", "cli::control::columns::DIGITS", "daemon::status::remote::SHOWN",
    "cli::init::draft::REMARK_COLUMN", "daemon::status::remote::TEXTS_SHOWN", "daemon::STATUS_SHOWN",
    "config::read::lookup::LINE_SHOWN",
    // What a client takes from connecting to its question.
    "daemon::running::JUST_ACCEPTED", "daemon::running::EMPTY_CHECK", "server::auth::connection::QUIET_CHECK",
    "daemon::status::attention::CERTIFICATE_DAYS", // Permissions.
    "daemon::metrics::MODE", "telemetry::file::MODE", "telemetry::addresses::HASH",
    "telemetry::addresses::SHORT",
    // What others do, and what the reader asks of them.
    "config::read::relay::FEWEST_SESSIONS",
    // Said again by an implementation of a trait, for one question at a time.
    "session::imap::MAX_BATCH", "session::smtp::auth::MAX_BATCH", "session::MAX_BATCH",
    // What the status page takes for trouble, and how it is drawn.
    "directory::health::RECENT_ANSWER", "directory::health::LATER_IN_A_ROW", "metrics::page::hour::ROWS",
    "metrics::page::chart::BELOW", "metrics::history::VERDICTS",
    // What happens at a certain pace, and never at a faster one.
    "daemon::dovecot::REPORT", "server::ACCEPT_PAUSE", "control::serve::ACCEPT_PAUSE",
    "metrics::http::ACCEPT_PAUSE", "daemon::running::sockets::LOOK",
    // Descriptors kept for ourselves, and what is taken for granted of a kernel that does not tell.
    "service::limits::RESERVE", "service::limits::PER_SESSION", "service::limits::UNKNOWN",
    // What a key may say.
    "config::read::trust::LATEST", "config::read::trust::LONGEST_MEMORY", "config::read::trust::MOST",
    // How much is listed where nobody says, and how often a queue that is full is looked at.
    "daemon::remembered::LISTED", "engine::store::FULL_PAUSE", "engine::store::inbox::LINGER",
    // What is read of a word.
    "directory::challenge::VALUE", "vouch_protocol::smtp::named::KEYS",
    // Where something begins.
    "server::failures::EXPECTED", "telemetry::level::INFO",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The module that a file is, as a path.
fn module(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap().with_extension("");
    let mut parts: Vec<_> = relative
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    parts.retain(|part| !matches!(part.as_str(), "mod" | "lib"));
    parts.join("::")
}

/// Every constant of the program that is a number or a time, by its path.
fn constants() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (folder, prefix) in [("src", ""), ("protocol/src", "vouch_protocol::")] {
        let folder = root().join(folder);
        for file in sources(&folder) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if name.starts_with("tests") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for line in program.lines() {
                let line = line.trim_start();
                let bare = ["pub ", "pub(crate) ", "pub(super) "]
                    .iter()
                    .find_map(|vis| line.strip_prefix(vis));
                let Some(rest) = bare.unwrap_or(line).strip_prefix("const ") else {
                    continue;
                };
                let Some((name, kind)) = rest.split_once(": ") else {
                    continue;
                };
                let kind = kind.split([' ', ';']).next().unwrap();
                let counted = [
                    "usize", "u8", "u16", "u32", "u64", "i32", "i64", "RawFd", "Duration",
                ];
                if counted.contains(&kind) {
                    let module = module(&folder, &file);
                    found.insert(format!("{prefix}{module}::{name}").replace("::::", "::"));
                }
            }
        }
    }
    found
}

/// A constant may be told by the module above its own, where that hands it on.
fn is_told(constant: &str, told: &BTreeSet<String>) -> bool {
    let (module, name) = constant.rsplit_once("::").unwrap();
    let above = module
        .rsplit_once("::")
        .map(|(above, _)| format!("{above}::{name}"));
    told.contains(constant) || above.is_some_and(|above| told.contains(&above))
}

#[test]
fn every_constant_that_bounds_something_has_a_row() {
    let told: BTreeSet<String> = bounds()
        .iter()
        .flat_map(|group| &group.bounds)
        .flat_map(|row| &row.limit.constants)
        .map(|constant| constant.trim_start_matches("crate::").replace(' ', ""))
        .collect();
    let constants = constants();
    assert!(constants.len() > 80, "{constants:?}");
    let no_bounds: BTreeSet<_> = NO_BOUNDS.iter().copied().collect();
    let untold: Vec<_> = constants
        .iter()
        .filter(|constant| !is_told(constant, &told) && !no_bounds.contains(constant.as_str()))
        .collect();
    assert!(
        untold.is_empty(),
        "neither a row of src/manual/bounds nor in NO_BOUNDS of this test: {untold:#?}"
    );
    let gone: Vec<_> = no_bounds
        .iter()
        .filter(|name| !constants.contains(**name))
        .collect();
    assert!(gone.is_empty(), "in NO_BOUNDS, and no constant: {gone:#?}");
}

#[test]
fn every_row_has_a_test_that_fills_it() {
    let mut tests = String::new();
    for folder in ["src", "protocol/src", "tests"] {
        for file in sources(&root().join(folder)) {
            tests.push_str(&fs::read_to_string(file).unwrap());
        }
    }
    let mut missing = Vec::new();
    for row in bounds().iter().flat_map(|group| &group.bounds) {
        let exists = if row.test.ends_with(".txt") {
            root().join("tests/transcripts").join(row.test).is_file()
        } else {
            tests.contains(&format!("fn {}()", row.test))
        };
        if !exists {
            missing.push((row.what, row.test));
        }
    }
    assert!(missing.is_empty(), "rows without their test: {missing:#?}");
}

#[test]
fn every_row_says_what_and_why() {
    for row in bounds().iter().flat_map(|group| &group.bounds) {
        assert!(!row.what.is_empty() && !row.why.is_empty(), "{row:?}");
        assert!(row.limit.text == "none" || !row.beyond.is_empty(), "{row:?}");
        let texts = [row.what, row.beyond, row.why];
        assert!(
            texts.iter().all(|text| text.is_ascii() && !text.ends_with('.')),
            "{row:?}"
        );
    }
}
