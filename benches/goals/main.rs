//! What vouch must reach, measured: each goal against its yardstick, in one run on one machine.
//!
//! ```sh
//! cargo bench --bench goals                  # all rows, as a table in Markdown
//! cargo bench --bench goals -- logins start  # the rows of these files alone
//! ```
//!
//! One file measures one goal, or a few that share their stage. The daemon is the release binary, a process of its
//! own with its default configuration but for what a row names; its log goes to a file. Yardsticks that are programs
//! (Postfix, Dovecot, `saslauthd`) are those of the system; a row whose yardstick is not installed says so.
//! What is compared is measured in turns, and the medians are shown.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement stops at the first surprise and prints what it saw"
)]

mod attack;
mod clients;
mod crowd;
mod echo;
mod edge;
mod far_logins;
mod fleet;
mod from_memory;
mod gets;
mod half_done;
mod hostile;
mod idle_clients;
mod logins;
#[allow(unused_imports, reason = "its tests need more of it")]
#[path = "../../tests/remote/src/sasl/md5.rs"]
mod md5;
mod new_recipient;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/peers/people.rs"]
mod people;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/peers/postfix.rs"]
mod postfix;
mod probes;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/fleet/redis.rs"]
mod redis;
mod remembered;
mod stage;
mod start;
mod steps;
#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod warm_login;
mod yardsticks;

use table::Table;

/// Measures and adds its rows.
type Measure = fn(&mut Table);

/// Each measurement by the name of its file.
const MEASUREMENTS: [(&str, Measure); 16] = [
    ("from_memory", from_memory::measure),
    ("gets", gets::measure),
    ("probes", probes::measure),
    ("new_recipient", new_recipient::measure),
    ("logins", logins::measure),
    ("warm_login", warm_login::measure),
    ("far_logins", far_logins::measure),
    ("crowd", crowd::measure),
    ("attack", attack::measure),
    ("half_done", half_done::measure),
    ("hostile", hostile::measure),
    ("steps", steps::measure),
    ("idle_clients", idle_clients::measure),
    ("remembered", remembered::measure),
    ("start", start::measure),
    ("fleet", fleet::measure),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    if let [role, socket] = &arguments[..]
        && role == echo::ROLE
    {
        return echo::serve(socket.as_ref());
    }
    for name in &arguments {
        assert!(
            MEASUREMENTS.iter().any(|(known, _)| known == name),
            "no measurement is called {name}; there are {}",
            MEASUREMENTS.map(|(name, _)| name).join(", ")
        );
    }
    let mut table = Table::default();
    for (name, measure) in MEASUREMENTS {
        if arguments.is_empty() || arguments.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name} …");
            measure(&mut table);
        }
    }
    println!("{table}");
}
