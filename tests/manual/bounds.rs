//! The manual's table is whole: each constant that bounds something is in it, and each bound has a test.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use crate::scan::{Program, fills, root};

/// The groups of the manual, each by the word that the comments have for it.
const GROUPS: [(&str, &str); 7] = [
    ("clients", "Clients and what they send"),
    ("questions", "Questions under way"),
    ("sessions", "Sessions with mail servers"),
    ("replies", "What mail servers say"),
    ("cache", "What is remembered"),
    ("process", "The process, its files and its log"),
    ("commands", "Commands"),
];

/// Constants that are numbers or times and bound nothing.
const NO_BOUNDS: &[&str] = &[
    // How often who started us is told something.
    "daemon::STATUS", // Exit statuses.
    "cli::USAGE", "cli::NO_INPUT", "cli::UNAVAILABLE", "cli::OS_ERROR", "cli::CANNOT_CREATE",
    "cli::IO_ERROR", "cli::TEMPORARY", "cli::CONFIG", "cli::REFUSED", "session::pool::demand::MARGIN",
    "session::pool::pace::WEIGHT", "session::pool::quota::NETWORKS", // Parts of protocols and of texts.
    "vouch_protocol::auth::ESCAPE", "vouch_protocol::imap::command::draft::LITERAL_MINUS_LIMIT",
    "server::auth::connection::CANCELLED_SINCE", "server::userdb::connection::COMMAND_SHOWN",
    "service::dovecot::STATUS", "service::dovecot::DEAD", "service::dovecot::LISTEN_FIRST",
    "telemetry::clock::SECOND", "config::show::keys::REMARK_COLUMN", "config::show::listener::MOST_DOMAINS",
    "settings::scalar::DAY", "settings::scalar::HOUR", "settings::scalar::INSTANT",
    "settings::scalar::MINUTE", "settings::scalar::SECOND", "session::secrets::SHORT",
    "session::beginning::BEGINNING", "session::secrets::HEAD", "session::secrets::PRIME",
    "engine::catch_all::LETTERS", "engine::store::file::SLICES", "engine::store::file::FORMAT",
    "engine::store::file::DATABASE_FORMAT", "server::counts::CAUSES", "cli::control::columns::WIDTH",
    "cli::control::columns::NAME", "cli::control::columns::INDENT", "cli::control::columns::DIGITS",
    "daemon::status::remote::SHOWN", "cli::init::draft::REMARK_COLUMN",
    "daemon::status::remote::TEXTS_SHOWN", "daemon::STATUS_SHOWN", "settings::domains::LINE_SHOWN",
    "settings::routes::FAULTS_SHOWN", "settings::routes::mistake::WORD_SHOWN",
    "settings::routes::map::MOST_UNUSED", "directory::routed::report::SICK_SHOWN", "cli::online::MOST_SHOWN",
    // What a client takes from connecting to its question.
    "daemon::running::JUST_ACCEPTED", "daemon::running::listener::EMPTY_CHECK",
    "server::conversation::QUIET_CHECK",
    // Names of a list that are ready before its client has read those before them.
    "server::userdb::connection::NAMES_AHEAD", "report::attention::CERTIFICATE_DAYS", // Permissions.
    "daemon::ownership::METRICS_MODE", "telemetry::file::MODE", "telemetry::addresses::HASH",
    "telemetry::addresses::SHORT",
    // What others do, and what the reader asks of them.
    "config::read::relay::FEWEST_SESSIONS",
    // One question at a time is no bound; an implementation of the trait that takes more has one.
    "session::MAX_BATCH",
    // What the status page takes for trouble, and how it is drawn.
    "directory::health::RECENT_ANSWER", "directory::health::LATER_IN_A_ROW", "metrics::page::hour::ROWS",
    "metrics::page::chart::BELOW", "metrics::history::VERDICTS",
    // What happens at a certain pace, and never at a faster one.
    "daemon::dovecot::REPORT", "server::socket::ACCEPT_PAUSE", "daemon::running::sockets::LOOK",
    "directory::routed::servers::LOOK",
    // Descriptors kept for ourselves, and what is taken for granted of a kernel that does not tell.
    "service::limits::RESERVE", "service::limits::PER_SESSION", "service::limits::UNKNOWN",
    // What a key may say.
    "settings::penalty::LATEST", "settings::penalty::LONGEST_MEMORY", "settings::penalty::MOST",
    // How much is listed where nobody says, and how often a queue that is full is looked at.
    "daemon::remembered::LISTED", "engine::store::FULL_PAUSE", "engine::store::inbox::LINGER",
    // What is read of a word.
    "directory::challenge::VALUE", "vouch_protocol::smtp::named::KEYS",
    // Where something begins.
    "server::failures::EXPECTED",
    // How often edges tell each other of a user.
    "engine::trusted_elsewhere::TOLD", // What the store of a fleet keeps, and how often it is looked after.
    "fleet::finding::FORMAT", "fleet::finding::SIGNED", "fleet::finding::VALUE", "fleet::key::KEY",
    "fleet::key::NAME", "fleet::key::TAG", "fleet::key::WORLD", "fleet::link::TIMER",
    "fleet::outside::READINGS", "fleet::guesses::BATCH", "fleet::guesses::COUNTED", "fleet::health::READ",
    "fleet::health::record::PLACE", "fleet::health::record::CLEAR", "fleet::health::record::EDGE",
    "fleet::writer::BATCH", "settings::fleet::PORT", "settings::fleet::SENTINEL_PORT",
    "fleet::purges::mark::MARK", "fleet::purges::mark::OF_SOURCE", "fleet::purges::record::BELOW_SECONDS",
    "fleet::purges::record::EPOCH", "fleet::purges::record::FORMAT", "fleet::purges::record::SUM",
];

#[test]
fn every_constant_that_bounds_something_says_so() {
    let program = Program::read();
    let bounds = program.bounds();
    let bounds: BTreeSet<_> = bounds.iter().map(|bound| bound.name.as_str()).collect();
    let constants: BTreeSet<_> = program
        .constants
        .iter()
        .map(|constant| constant.path.as_str())
        .collect();
    assert!(bounds.len() > 80, "{bounds:?}");
    let no_bounds: BTreeSet<_> = NO_BOUNDS.iter().copied().collect();
    let untold: Vec<_> = constants
        .iter()
        .filter(|constant| !bounds.contains(*constant) && !no_bounds.contains(*constant))
        .collect();
    assert!(
        untold.is_empty(),
        "no comment `Bound (GROUP): ...`, and not in NO_BOUNDS of this test: {untold:#?}"
    );
    let gone: Vec<_> = no_bounds
        .iter()
        .filter(|name| !constants.contains(*name) || bounds.contains(*name))
        .collect();
    assert!(
        gone.is_empty(),
        "in NO_BOUNDS, and a bound or no constant: {gone:#?}"
    );
}

#[test]
fn every_bound_has_a_test_that_fills_it() {
    let bounds = Program::read().bounds();
    let fills = fills();
    let unclear: Vec<_> = fills
        .iter()
        .filter_map(|(name, file)| {
            let meant = bounds.iter().filter(|bound| bound.is_called(name));
            let meant: BTreeSet<_> = meant.map(|bound| &bound.name).collect();
            (meant.len() != 1).then(|| format!("{}: {name} is one of {meant:?}", file.display()))
        })
        .collect();
    assert!(
        unclear.is_empty(),
        "`Fills` names no bound, or several: {unclear:#?}"
    );
    let empty: Vec<_> = bounds
        .iter()
        .filter(|bound| {
            let tests = fills.iter().filter(|(name, _)| bound.is_called(name)).count();
            // A key may bound several things.
            tests < bounds.iter().filter(|other| other.name == bound.name).count()
        })
        .map(|bound| &bound.name)
        .collect();
    assert!(
        empty.is_empty(),
        "bounds that no test fills (a comment `// Fills NAME.` above it): {empty:#?}"
    );
}

#[test]
fn every_bound_says_what_and_why() {
    for bound in Program::read().bounds() {
        assert!(!bound.what.is_empty() && !bound.why.is_empty(), "{bound:?}");
        assert!(bound.limit == "none" || !bound.beyond.is_empty(), "{bound:?}");
        assert!(GROUPS.iter().any(|(word, _)| *word == bound.group), "{bound:?}");
        let texts = [&bound.what, &bound.beyond, &bound.why];
        assert!(
            texts.iter().all(|text| text.is_ascii() && !text.ends_with('.')),
            "{bound:?}"
        );
    }
}

/// `VOUCH_BLESS=1` writes it.
#[test]
fn the_manual_has_every_bound() {
    let bounds = Program::read().bounds();
    let mut text = String::new();
    for (word, title) in GROUPS {
        writeln!(text, "# {title}").unwrap();
        // What an operator may change comes first.
        let (keys, others): (Vec<_>, Vec<_>) = bounds
            .iter()
            .filter(|bound| bound.group == word)
            .partition(|bound| !bound.key.is_empty());
        for bound in keys.iter().chain(&others) {
            let columns = [&bound.what, &bound.key, &bound.limit, &bound.beyond, &bound.why];
            writeln!(text, "{}", columns.map(String::as_str).join("\t")).unwrap();
        }
    }
    let file = root().join("src/manual/bounds.txt");
    if std::env::var_os("VOUCH_BLESS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap();
    let differs = text
        .lines()
        .zip(written.lines())
        .find(|(ours, file)| ours != file);
    assert!(
        text == written,
        "src/manual/bounds.txt: run `VOUCH_BLESS=1 cargo test --test manual`: {differs:?}"
    );
}
