//! `penalty`: how a listener delays answers to clients and users with repeated failures.

use std::time::Duration;

use toml::de::DeValue;

use super::key::{Item, Keyed, Keys, Shown, Value, keys};
use super::scalar::{Bound, DAY, INSTANT, MINUTE, SECOND, Scalar, Wrong};
use super::table::{Field, Findings, strings};
use crate::address::network::Network;

/// No answer is later: longer, a client is better told to come back.
const LATEST: Duration = MINUTE;

/// Failures are in memory, and an attacker guesses for hours.
const LONGEST_MEMORY: Duration = DAY;

/// More failures than these are not told apart.
const MOST: u32 = 1000;

/// Bound (cache): shortest penalty.forget of a listener whose failures are counted over all edges of a fleet. Beyond: each
/// edge counts its own. Why: the clocks of edges differ.
pub const LEAST_FORGET: Duration = Duration::from_secs(10);

keys! {
    /// Or `penalty = "off"`. A failure is a login, or at a `policy` listener a recipient, that
    /// a directory's server refused, now or recently. It counts for the client's address (of IPv6, its /64) and for the
    /// user; the same wrong password of the same user counts once while it is remembered. Requests without a client address,
    /// or with `no-penalty`, are neither delayed nor counted.
    ///
    /// Every answer to an address with too many failures is delayed. For a user with too many failures, only refusals are
    /// delayed; a good login from an address without failures never is, so that no client can slow down or lock out
    /// another. No answer is delayed beyond the listener's `deadline`, and none delays another. Each listener counts the
    /// failures of its own clients; with a `[fleet]`, together with the listener of the same name and `forget` at other edges.
    pub struct Penalty() {
        /// Failures without a delay.
        "after" after: u32 = 10,
            within 1..=MOST, hint "failures without a delay; the same wrong password of a user counts once";
        /// The delay of the next answer; each further failure doubles it.
        "delay" delay: Duration = SECOND,
            within INSTANT..=LATEST, hint "of the next answer; doubled by each further failure";
        /// The longest delay; at least `delay`. If the server answers within 4 s, Postfix, which waits 10 s, still gets the
        /// answer.
        "max-delay" max_delay: Duration = 4 * SECOND,
            within INSTANT..=LATEST, hint "the longest delay, within the deadline";
        /// How long a failure is remembered; in memory only.
        "forget" forget: Duration = 10 * MINUTE,
            within INSTANT..=LONGEST_MEMORY, hint "how long a failure counts";
        /// An address with this many failures gets the answer "later" without asking the remote, and with it every user at
        /// that address. Never by user.
        "refuse-after" refuse_after: Option<u32> = None,
            within 1..=MOST, parse never_or_count, none "never",
            hint "50: an address with so many failures gets \"later\", without asking";
        /// Networks whose clients are neither delayed nor counted, such as a webmail's.
        "exempt" exempt: Vec<Network> = loopback(), hint "add your webmail: its users share its address";
    }
}

fn loopback() -> Vec<Network> {
    ["127.0.0.0/8", "::1"]
        .iter()
        .flat_map(|text| Network::parse(text))
        .collect()
}

/// `penalty = "off" / table`
impl Value for Option<Penalty> {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        if field.value.as_str() == Some("off") {
            *self = None;
        } else if field.value.is_table() {
            let mut penalty = Penalty::new();
            penalty.read_table(found, field);
            *self = Some(penalty);
        } else {
            let example = "`{ after = 10 }`, or `\"off\"`";
            field.wrong(
                found,
                Wrong::mistyped("a table, or `\"off\"`", field.value, example),
            );
        }
    }

    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Unset(String::new()), |penalty| {
            let keyed = penalty.every_key();
            Shown::Table(Keyed {
                inline: Some(keyed.to_inline()),
                ..keyed
            })
        })
    }
}

/// `refuse-after = "never" / 1*DIGIT`
fn never_or_count(value: &DeValue<'_>, bound: &Bound) -> Result<Option<u32>, Wrong> {
    match value.as_str() {
        Some("never") => Ok(None),
        Some(_) => Err(Wrong::mistyped(
            "a number, or `\"never\"`", value, "a bare number, or `\"never\"`",
        )),
        None => u32::parse(value, bound).map(Some),
    }
}

impl Item for Network {
    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>) {
        list.clear();
        for (text, place) in strings(found, field, "`[\"192.0.2.0/24\"]`", false) {
            match Self::parse(&text) {
                Ok(network) => list.push(network),
                Err(why) => {
                    let wrong = Wrong::new("holds what is no network", why.to_string());
                    found.problem(field.problem(place, wrong));
                }
            }
        }
    }
}
