//! The tables of `docs/fleet.md`.

use super::savings::Site;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

/// The default of `cache.ttl.stale`, for which the store keeps a recipient.
const KEPT: f64 = 7.0 * DAY;

/// What a recipient takes in the Redis 7.0 of Debian 12, in bytes: name, value, and the entries of two hash tables, which have
/// a slot for each, rounded up to a power of two. `cargo bench --bench goals -- fleet` measures the sum.
const ENTRY: f64 = 128.0;
const SLOTS: f64 = 16.0;

/// Edges and recipients.
const SITES: [(f64, u64); 3] = [(3.0, 100_000), (10.0, 1_000_000), (1000.0, 1_000_000_000)];

/// Questions about one recipient a day, on average.
const A_DAY: [f64; 3] = [10.0, 30.0, 100.0];

/// What a fleet saves.
pub(crate) fn saved() -> String {
    let mut table = "| edges | recipients | questions/s | probes/s alone | in a fleet | times fewer | waits, times fewer | \
                     with `refresh = \"4h\"`, probes, times fewer |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for site in sites() {
        let (alone, fleet) = (site.alone(), site.fleet());
        let seldom = Site {
            refresh: site.positive,
            ..site
        };
        table += &row(
            site,
            &[
                short(alone.probes),
                short(fleet.probes),
                short(alone.probes / fleet.probes),
                short(alone.waits / fleet.waits),
                short(seldom.alone().probes / seldom.fleet().probes),
            ],
        );
    }
    table
}

/// What it needs.
pub(crate) fn sizes() -> String {
    let mut table =
        "| edges | recipients | questions/s | look-ups/s | memory of the stores | an edge is asked about, within 4 h |\n\
         |---|---|---|---|---|---|\n"
            .to_owned();
    for site in sites() {
        let kept = site.seen_by_all(KEPT);
        let kept = kept * ENTRY + kept.log2().ceil().exp2() * SLOTS;
        let memory = if kept >= 1e9 {
            format!("{:.0} GB", kept / 1e9)
        } else {
            format!("{:.0} MB", kept / 1e6)
        };
        let seen = format!("{} recipients", short(site.seen_by_one(site.positive)));
        table += &row(site, &[short(site.fleet().looks), memory, seen]);
    }
    table
}

/// Each site at each rate, with the default keys.
fn sites() -> impl Iterator<Item = Site> {
    let rates = |(edges, recipients)| A_DAY.map(|rate| (edges, recipients, rate));
    let sites = SITES.into_iter().flat_map(rates);
    sites.map(|(edges, recipients, rate)| Site {
        edges,
        recipients,
        questions: recipients as f64 * rate / DAY,
        refresh: 30.0 * MINUTE,
        positive: 4.0 * HOUR,
    })
}

fn row(site: Site, cells: &[String]) -> String {
    let site = [
        thousands(site.edges),
        power(site.recipients).to_owned(),
        short(site.questions),
    ];
    format!("| {} | {} |\n", site.join(" | "), cells.join(" | "))
}

fn power(number: u64) -> &'static str {
    match number.ilog10() {
        5 => "10⁵",
        6 => "10⁶",
        9 => "10⁹",
        _ => "?",
    }
}

/// Two digits that count.
fn short(figure: f64) -> String {
    let place = 10f64.powf((figure.log10().floor() - 1.0).max(-1.0));
    let round = (figure / place).round() * place;
    match round {
        millions if millions >= 1e6 => format!("{} million", millions / 1e6),
        tens if tens >= 10.0 => thousands(tens),
        less => format!("{less:.1}"),
    }
}

/// A whole number below a million.
fn thousands(number: f64) -> String {
    match number {
        small if small < 1e3 => format!("{small:.0}"),
        large => format!("{},{:03.0}", (large / 1e3).floor(), large % 1e3),
    }
}
