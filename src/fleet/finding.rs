//! What the store keeps of a recipient: twelve bytes, which an edge believes only with the checksum of its fleet.
//!
//! | bytes | |
//! |---|---|
//! | 1 | format (high half) and what was found |
//! | 2 | the epoch of [purges](super::purges) that the edge knew as its probe began: the last two bytes of it |
//! | 1 | the remote's reply code (high half) and how long the store keeps the value |
//! | 4 | when the probe began, in seconds since 1970 |
//! | 4 | checksum under the fleet's key, of the name, of all before and of the whole epoch |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::key::{FleetKey, Name, Purpose};

/// Bytes of a value.
pub(super) const VALUE: usize = 12;

/// Those that the checksum is of.
const SIGNED: usize = 8;

/// The one format there is.
const FORMAT: u8 = 1;

/// How long a value may be kept, in seconds: its place in this table takes half a byte.
pub(super) const RETENTIONS: [u32; 16] = [
    5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000,
];

/// The reply codes that are kept; any other is none. Their place takes half a byte, and 0 is for none.
const CODES: [u16; 13] = [250, 251, 252, 421, 450, 451, 452, 550, 551, 552, 553, 554, 556];

/// Bound (cache): how far ahead of ours the clock of another edge may be. Beyond: its findings are not believed. Why:
/// nobody knows how old they are; clocks that are set by NTP differ by far less.
pub(super) const CLOCKS: u64 = 300;

/// What an edge has found of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It exists.
    Yes,
    /// It does not.
    No,
    /// Its administrator has closed it.
    Disabled,
    /// It exists, and takes no mail for now.
    Full,
}

/// What was found, and how long ago that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub said: Said,
    /// The remote's reply code, where it is a usual one.
    pub code: Option<u16>,
    /// Since the probe began.
    pub age: Duration,
}

impl Said {
    /// Whether mail for it is accepted.
    pub const fn is_yes(self) -> bool {
        matches!(self, Self::Yes | Self::Full)
    }

    const fn number(self) -> u8 {
        match self {
            Self::Yes => 1,
            Self::No => 2,
            Self::Disabled => 3,
            Self::Full => 4,
        }
    }
}

/// A time of the table that a value may be kept for: the shortest that is no shorter than `wanted`, or the longest.
pub(super) fn retention(wanted: Duration) -> (u8, Duration) {
    let fits = |seconds: &u32| Duration::from_secs(u64::from(*seconds)) >= wanted;
    let place = RETENTIONS.iter().position(fits).unwrap_or(RETENTIONS.len() - 1);
    let seconds = RETENTIONS.get(place).copied().unwrap_or_default();
    (place as u8, Duration::from_secs(u64::from(seconds)))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The value of a finding whose probe began at that `stamp`.
pub(super) fn encode(
    key: &FleetKey,
    name: &Name,
    (said, code): (Said, Option<u16>),
    retention: u8,
    stamp: SystemTime,
    epoch: u64,
) -> [u8; VALUE] {
    let code = CODES.iter().position(|known| Some(*known) == code);
    let code = code.map_or(0, |place| place as u8 + 1);
    let [.., e, f] = epoch.to_be_bytes();
    // Beyond 2106 it is too old for anybody.
    let [a, b, c, d] = u32::try_from(seconds(stamp)).unwrap_or_default().to_be_bytes();
    let signed = [
        FORMAT << 4 | said.number(),
        e,
        f,
        code << 4 | retention,
        a,
        b,
        c,
        d,
    ];
    let mut value = [0; VALUE];
    for (to, from) in value
        .iter_mut()
        .zip(signed.iter().chain(&checksum(key, name, &signed, epoch)))
    {
        *to = *from;
    }
    value
}

/// The finding of a value that the store keeps for so many milliseconds more, and its epoch, where `epochs` tells those that
/// end in two bytes; `None` where it is of no use: it is not of our fleet or of this name, too old, or of no such epoch.
pub(super) fn decode(
    key: &FleetKey,
    name: &Name,
    value: &[u8],
    left: i64,
    now: SystemTime,
    epochs: impl FnOnce(u16) -> Vec<u64>,
) -> Option<(Finding, u64)> {
    let value: &[u8; VALUE] = value.try_into().ok()?;
    let (signed, sum) = value.split_at(SIGNED);
    let [kind, e, f, halves, a, b, c, d] = *signed else {
        return None;
    };
    let mut epochs = epochs(u16::from_be_bytes([e, f])).into_iter();
    let epoch = epochs.find(|epoch| checksum(key, name, signed, *epoch) == sum)?;
    let said = match (kind >> 4, kind & 15) {
        (FORMAT, 1) => Said::Yes,
        (FORMAT, 2) => Said::No,
        (FORMAT, 3) => Said::Disabled,
        (FORMAT, 4) => Said::Full,
        _ => return None,
    };
    let code = usize::from(halves >> 4).checked_sub(1);
    let code = code.and_then(|place| CODES.get(place).copied());
    let kept = Duration::from_secs(u64::from(*RETENTIONS.get(usize::from(halves & 15))?));
    // What the store keeps for longer than it was to keep it, or for ever, is not what we wrote.
    let left = Duration::from_millis(u64::try_from(left).ok()?);
    let by_store = kept.checked_sub(left)?;
    let (stamp, now) = (u64::from(u32::from_be_bytes([a, b, c, d])), seconds(now));
    if stamp > now + CLOCKS {
        return None;
    }
    let age = by_store.max(Duration::from_secs(now.saturating_sub(stamp)));
    (age <= kept).then_some((Finding { said, code, age }, epoch))
}

fn checksum(key: &FleetKey, name: &Name, signed: &[u8], epoch: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = key.hash(Purpose::Checksum, &[name.bytes(), signed, &epoch.to_be_bytes()]);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const EPOCH: u64 = 0x6543_21ab_fffe;

    fn key() -> FleetKey {
        FleetKey::new(&[7; 32])
    }

    fn name(of: &str) -> Name {
        key().name(&key().source(b"lmtp mail.example.org"), of.as_bytes())
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    /// A yes of that time, to be kept for an hour.
    fn yes() -> [u8; VALUE] {
        encode(
            &key(),
            &name("jane"),
            (Said::Yes, Some(250)),
            retention(HOUR).0,
            at(0),
            EPOCH,
        )
    }

    fn read(value: &[u8], left: u64, now: u64) -> Option<Finding> {
        decode(
            &key(),
            &name("jane"),
            value,
            i64::try_from(left * 1000).unwrap(),
            at(now),
            |_| vec![EPOCH],
        )
        .map(|(finding, _)| finding)
    }

    #[test]
    fn a_finding_is_as_old_as_the_older_of_two_clocks_has_it() {
        let age = |left, now| read(&yes(), left, now).map(|finding| finding.age.as_secs());
        assert_eq!(age(3600, 0), Some(0));
        assert_eq!(age(3590, 3), Some(10));
        // A store that gives it more time, and one that gives it all that there is.
        assert_eq!(age(3600, 3000), Some(3000));
        assert_eq!((age(3600, 3600), age(3600, 3601)), (Some(3600), None));
        assert_eq!(
            (age(0, 0), age(3601, 0), age(1_000_000, 0)),
            (Some(3600), None, None)
        );
        // One without an end, and none at all.
        for left in [-1, -2, i64::MIN] {
            assert_eq!(
                decode(&key(), &name("jane"), &yes(), left, at(0), |_| vec![EPOCH]),
                None
            );
        }
    }

    // Fills CLOCKS.
    #[test]
    fn a_clock_that_is_far_ahead_is_not_believed() {
        let early = |seconds: u64| {
            let now = at(0) - Duration::from_secs(seconds);
            let read = decode(&key(), &name("jane"), &yes(), 3_600_000, now, |_| vec![EPOCH]);
            read.map(|(finding, _)| finding.age)
        };
        assert_eq!((early(CLOCKS), early(CLOCKS + 1)), (Some(Duration::ZERO), None));
    }

    #[test]
    fn what_is_written_reads_back() {
        for said in [Said::Yes, Said::No, Said::Disabled, Said::Full] {
            for code in [None, Some(250), Some(550), Some(556)] {
                for wanted in RETENTIONS {
                    let (place, kept) = retention(Duration::from_secs(u64::from(wanted)));
                    assert_eq!(kept.as_secs(), u64::from(wanted));
                    let value = encode(&key(), &name("jane"), (said, code), place, at(0), EPOCH);
                    let age = Duration::ZERO;
                    assert_eq!(read(&value, kept.as_secs(), 0), Some(Finding { said, code, age }));
                }
            }
        }
        assert_eq!(retention(Duration::ZERO).1.as_secs(), 5);
        assert_eq!(retention(Duration::MAX).1.as_secs(), 2_592_000);
        let strange = encode(&key(), &name("jane"), (Said::Yes, Some(299)), 0, at(0), EPOCH);
        assert_eq!(read(&strange, 5, 0).and_then(|finding| finding.code), None);
    }

    #[test]
    fn the_epoch_of_a_value_is_told_by_two_bytes_and_no_other_passes() {
        let epoch = |of: u64, known: &[u64]| {
            let value = encode(&key(), &name("jane"), (Said::Yes, None), 0, at(0), of);
            let ends_so = |end: u16| {
                known
                    .iter()
                    .copied()
                    .filter(|epoch| *epoch as u16 == end)
                    .collect()
            };
            let read = decode(&key(), &name("jane"), &value, 5000, at(0), ends_so);
            read.map(|(_, epoch)| epoch)
        };
        let known = [EPOCH, EPOCH + 1, EPOCH + 0x1_0000, 0];
        for one in known {
            assert_eq!(epoch(one, &known), Some(one));
        }
        for strange in [EPOCH - 0x1_0000, EPOCH - 1, EPOCH + 2, EPOCH << 16, 1, 0xfffe] {
            assert_eq!(epoch(strange, &known), None, "{strange:x}");
        }
    }

    #[test]
    fn a_value_is_of_one_name_and_one_fleet() {
        let of = |key: &FleetKey, name: &Name| {
            decode(key, name, &yes(), 3_600_000, at(0), |_| vec![EPOCH]).is_some()
        };
        assert!(of(&key(), &name("jane")));
        assert!(!of(&key(), &name("joe")) && !of(&FleetKey::new(&[8; 32]), &name("jane")));
        let foreign = key().name(&key().source(b"lmtp other.example.org"), b"jane");
        assert!(!of(&key(), &foreign));
    }

    #[test]
    fn of_a_hundred_thousand_altered_values_none_is_believed() {
        use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
        let config = Config {
            cases: 100_000,
            failure_persistence: None,
            ..Config::default()
        };
        let altered = prop_oneof![
            // Some bits of a good one.
            prop::collection::vec((0..VALUE, 1..=u8::MAX), 1..4).prop_map(|changes| {
                let mut value = yes().to_vec();
                for (place, change) in changes {
                    value[place] ^= change;
                }
                value
            }),
            // Anything of the right length, and of any other.
            prop::collection::vec(any::<u8>(), VALUE),
            prop::collection::vec(any::<u8>(), 0..40),
        ];
        let believed = |value: Vec<u8>| {
            // Two changes may undo each other.
            let is_good = value == yes();
            prop_assert!(is_good || read(&value, 3600, 0).is_none());
            Ok(())
        };
        // The same at each run: of so many, one in forty thousand runs would find a checksum of four bytes by chance.
        let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        TestRunner::new_with_rng(config, chance)
            .run(&altered, believed)
            .unwrap();
    }
}
