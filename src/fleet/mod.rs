//! Many edges, one memory: what one has found of recipients, the others need not ask. It is kept in a store that speaks the
//! Redis protocol, and that is not believed: it sees marks under the key of the fleet, and can make an edge ask the
//! remote, but answer nothing that no edge has found.
//!
//! Recipients alone are shared: no login, no word of a remote, no address. Nobody waits for another edge: a look-up has its
//! patience, what is written has a queue.
//!
//! [`Fleet`] has the stores, [`Share`] is the part of one directory. What is believed of it, and what is shared, the engine
//! decides.

#[cfg(feature = "fleet")]
mod bounded;
#[cfg_attr(not(feature = "fleet"), path = "no_client.rs")]
mod client;
mod exchange;
mod finding;
pub mod guesses;
pub mod health;
pub mod key;
mod link;
mod outside;
mod purges;
mod sentinel;
mod share;
#[cfg(feature = "fleet")]
mod sign_in;
mod store;
mod troubles;
mod writer;
mod wrong;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use futures_util::future::join_all;
use tokio_util::task::AbortOnDropHandle;
use vouch_protocol::secret::Secret;

use crate::session::connect::Dial;
use crate::session::tls;
use crate::settings::directory::Tls;
use crate::settings::fleet::{self as settings, StoreAddress};
use crate::telemetry::histogram::Durations;
pub use finding::{Finding, Said};
use health::{Board, Doubting};
use key::{FleetKey, KeyError};
use link::{State, Way};
pub use outside::{Clock, Outside, Place, WayTo};
use purges::Purges;
pub use purges::{Heard, News, Whom};
use sentinel::Sentinels;
pub use share::Share;
use store::Store;
use writer::Writing;

/// Bound (cache, bytes): password of the store. Beyond: it is refused at the start. Why: no password is that long.
const MOST_PASSWORD: u64 = 1024;

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Its key cannot be used.
    #[error("fleet.key-file: {0}")]
    Key(KeyError),
    /// The password cannot be used.
    #[error("fleet.password-file: {0}")]
    Password(KeyError),
    /// The file of the password holds none.
    #[error("fleet.password-file: {} must hold the password in one line, of at most {MOST_PASSWORD} bytes", .0.display())]
    NoPassword(PathBuf),
    /// What TLS needs cannot be used.
    #[error("fleet.store: {0}")]
    Tls(tls::SettingsError),
}

impl FleetError {
    /// Whether the system refused it to the user that we are.
    pub(crate) fn is_denied(&self) -> bool {
        match self {
            Self::Key(error) | Self::Password(error) => error.is_denied(),
            Self::NoPassword(_) => false,
            Self::Tls(error) => error.is_denied(),
        }
    }
}

/// The stores of a fleet, and its key.
pub struct Fleet {
    key: FleetKey,
    clock: Clock,
    stores: Vec<(u64, Store)>,
    board: Arc<Board>,
    _watch: Option<AbortOnDropHandle<()>>,
    purges: Arc<Purges>,
}

/// How a store is.
#[derive(Debug, Clone)]
pub struct StoreReport {
    /// As the configuration names it.
    pub store: String,
    /// Why it is not used, or takes no findings; in our words.
    pub trouble: Option<String>,
    /// It is asked.
    pub used: bool,
    /// Look-ups that it answered, with a value or without.
    pub answered: u64,
    /// How long these took.
    pub took: Durations,
    /// Values of it that were findings of use.
    pub found: u64,
    /// Values that were none: too old, or not of this fleet.
    pub unusable: u64,
    /// Look-ups that it did not answer in time, or with an error.
    pub failed: u64,
    /// Look-ups that it was spared while it was left alone.
    pub spared: u64,
    /// Findings that were written.
    pub written: u64,
    /// Findings that were not.
    pub unwritten: u64,
}

/// The files of a fleet, read.
pub struct Secrets {
    key: FleetKey,
    password: Option<Secret<[u8]>>,
    tls: Vec<Option<tls::Client>>,
}

impl Secrets {
    /// Reads them.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn read(keys: &settings::Fleet, roots: &tls::Roots) -> Result<Self, FleetError> {
        let key = FleetKey::read(&keys.key_file).map_err(FleetError::Key)?;
        let password = keys.password_file.as_deref().map(password);
        let client = |host: &str| {
            let tls = Tls {
                ca_file: keys.ca_file.clone(),
                server_name: keys.server_name.clone(),
                ..Tls::new()
            };
            tls::Client::new(&tls, host, roots)
                .map(Some)
                .map_err(FleetError::Tls)
        };
        let trust = |store: &StoreAddress| match store {
            StoreAddress::Tcp { host, tls: true, .. } => client(host),
            // The names of the others and of the primary take its place.
            StoreAddress::Sentinel(sentinels) => match sentinels.each.first() {
                Some((host, _)) => client(host),
                None => Ok(None),
            },
            _ => Ok(None),
        };
        Ok(Self {
            key,
            password: password.transpose()?,
            tls: keys.store.iter().map(trust).collect::<Result<_, _>>()?,
        })
    }
}

/// The password in a file.
fn password(path: &Path) -> Result<Secret<[u8]>, FleetError> {
    let text = key::read_private(path, MOST_PASSWORD + 2).map_err(FleetError::Password)?;
    let line = text.strip_suffix(b"\n").unwrap_or(&text);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_text = str::from_utf8(line).is_ok_and(|text| !text.chars().any(char::is_control));
    if line.is_empty() || line.len() as u64 > MOST_PASSWORD || !is_text {
        return Err(FleetError::NoPassword(path.to_path_buf()));
    }
    Ok(Secret::copy_from(line))
}

impl Fleet {
    /// Begins to connect to its stores. Needs a runtime.
    pub fn open(keys: &settings::Fleet, secrets: Secrets, outside: &Outside) -> Self {
        let Secrets { key, password, tls } = secrets;
        let purges = Arc::new(Purges::new(key.clone(), outside.clock.clone(), &outside.chance));
        let stores = keys.store.iter().zip(tls).map(|(address, tls)| {
            let name = address.to_string();
            let place = digest::digest(&digest::SHA256, name.as_bytes());
            let (dial, tls): (Arc<dyn Dial>, _) = match address {
                StoreAddress::Unix(path) => ((outside.way)(Place::Unix(path)), None),
                StoreAddress::Tcp { host, port, .. } => ((outside.way)(Place::Tcp(host, *port)), tls),
                StoreAddress::Sentinel(them) => {
                    let identity = (keys.user.clone(), password.clone());
                    let sentinels = Sentinels::new(them, tls, identity, outside.way.clone());
                    (Arc::new(sentinels), None)
                }
            };
            let way = Way {
                peer: name.into(),
                dial,
                tls,
                user: keys.user.clone(),
                password: password.clone(),
                wait: link::wait(keys.patience),
                readings: outside.readings,
                probe: key.name(&key.source(b""), b""),
                purges: purges.clone(),
                chance: outside.chance.clone(),
            };
            let mut weight = [0; 8];
            for (to, from) in weight.iter_mut().zip(place.as_ref()) {
                *to = *from;
            }
            let writing = Writing {
                key: key.clone(),
                clock: outside.clock.clone(),
                purges: purges.clone(),
            };
            (u64::from_le_bytes(weight), Store::open(way, writing))
        });
        let mut fleet = Self {
            stores: stores.collect(),
            clock: outside.clock.clone(),
            board: Arc::new(Board::new(&key, outside)),
            _watch: None,
            key,
            purges,
        };
        let link = fleet.store(fleet.board.name()).map(|store| store.link.clone());
        let watch = link.map(|link| tokio::spawn(fleet.board.clone().watch(link)));
        fleet._watch = watch.map(AbortOnDropHandle::new);
        fleet
    }

    /// One without a store.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        let key = FleetKey::new(&[1; 32]);
        Self {
            board: Arc::new(Board::new(&key, &Outside::default())),
            key,
            clock: Clock::default(),
            stores: Vec::new(),
            _watch: None,
            purges: Arc::new(Purges::new(
                FleetKey::new(&[1; 32]),
                Clock::default(),
                &crate::chance::Chance::default(),
            )),
        }
    }

    /// The store that has the place of this name, by rendezvous hashing: where one is added or goes, no other recipient
    /// moves.
    fn store(&self, name: &key::Name) -> Option<&Store> {
        self.store_of(name.spread())
    }

    fn store_of(&self, spread: u64) -> Option<&Store> {
        let weight = |(store, _): &&(u64, Store)| mixed(spread ^ store);
        self.stores.iter().max_by_key(weight).map(|(_, store)| store)
    }

    /// Tries every store once, for a report of how it is.
    pub async fn try_out(&self) {
        for (_, Store { link, .. }) in &self.stores {
            link.try_out().await;
        }
    }

    /// The other edges at which canaries are refused.
    pub fn doubting(&self) -> Vec<Doubting> {
        self.board.report()
    }

    /// Has what any edge has found so far forgotten by all of them: of the servers of these shares, or of all. The stores
    /// learn of it by [`Fleet::tell_purges`], or soon.
    pub fn purge(&self, of: Option<&[Share]>, whom: &[Whom]) {
        let sources = of.map(|shares| shares.iter().map(|share| &share.source).collect::<Vec<_>>());
        self.purges.add(sources.as_deref(), whom);
    }

    /// Has the stores know what was purged here. Gives those that do not take it now, and why: they will as soon as they do.
    pub async fn tell_purges(&self) -> Vec<(String, String)> {
        let told = self.stores.iter().map(|(_, Store { link, .. })| async {
            let wrong = link.tell_purges().await.err()?;
            Some((link.way.peer.to_string(), wrong.to_string()))
        });
        join_all(told).await.into_iter().flatten().collect()
    }

    /// Hears what is purged at any edge, from the first purge that is known.
    pub fn purges(&self) -> Heard {
        Heard::new(self.purges.clone())
    }

    /// How each store is, in the order of the configuration.
    pub fn report(&self) -> Vec<StoreReport> {
        let stores = self.stores.iter().map(|(_, Store { link, .. })| {
            let (troubles, counts) = (link.troubles.present(), &link.counts);
            StoreReport {
                store: link.way.peer.to_string(),
                trouble: troubles.first().map(|it| it.to_string()),
                used: matches!(*link.state.borrow(), State::Up(_)),
                answered: counts.answered.get(),
                took: counts.took.get(),
                found: counts.found.get(),
                unusable: counts.unusable.get(),
                failed: counts.failed.get(),
                spared: counts.spared.get(),
                written: counts.written.get(),
                unwritten: counts.unwritten.get(),
            }
        });
        stores.collect()
    }
}

/// A short form of a text that may be long: equal ones have equal forms.
pub fn digest(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Spreads the bits (the finalizer of SplitMix64): the same on every edge, in every version.
const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // Fills MOST_PASSWORD.
    #[test]
    fn a_password_is_one_line_for_few_eyes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let read = |text: &[u8], mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            password(&path).map(|password| password.expose().to_vec())
        };
        let longest = vec![b'x'; MOST_PASSWORD as usize];
        for (text, good) in [
            (&b"s3cret"[..], Some(&b"s3cret"[..])),
            (b"s3cret\n", Some(b"s3cret")),
            (b"s3cret\r\n", Some(b"s3cret")),
            (b" s 3 \n", Some(b" s 3 ")),
            (&longest, Some(&longest)),
            (&[&longest[..], b"\r\n"].concat(), Some(&longest)),
            (&[&longest[..], b"x"].concat(), None),
            (&[&longest[..], b"\r\n\n"].concat(), None),
            (b"", None),
            (b"\n", None),
            (b"a\nb", None),
            (b"\xff", None),
        ] {
            assert_eq!(read(text, 0o640).ok().as_deref(), good);
        }
        assert!(matches!(
            read(b"s3cret", 0o604),
            Err(FleetError::Password(KeyError::Open(..)))
        ));
    }

    #[test]
    fn recipients_are_spread_evenly_and_few_move_with_a_store() {
        let key = FleetKey::new(&[3; 32]);
        let source = key.source(b"x");
        let place = |number: u32, stores: &[u64]| {
            let spread = key.name(&source, &number.to_be_bytes()).spread();
            stores
                .iter()
                .copied()
                .max_by_key(|store| mixed(spread ^ store))
                .unwrap()
        };
        let three = [17, 1 << 40, u64::MAX];
        let mut moved = 0;
        let mut held = std::collections::HashMap::<u64, u32>::new();
        for number in 0..3000 {
            let (before, now) = (place(number, &three[..2]), place(number, &three));
            *held.entry(now).or_default() += 1;
            if before != now {
                assert_eq!(now, three[2]);
                moved += 1;
            }
        }
        assert!(
            held.len() == 3 && held.values().all(|held| (800..1200).contains(held)),
            "{held:?}"
        );
        assert!((800..1200).contains(&moved), "{moved}");
    }
}
