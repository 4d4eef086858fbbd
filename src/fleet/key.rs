//! The key of a fleet, and what the store is given in the place of addresses: marks under that key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::chance::Chance;

/// Bytes of a key.
const KEY: usize = 32;

/// Bytes of a name in the store.
pub(super) const NAME: usize = 27;

/// Bytes of a name that are of its source.
const TAG: usize = 4;

/// What every name of ours in the store begins with; the access list of the store grants no other.
const BEGINNING: &[u8] = b"vouch1:";

/// The permissions of the whole world to read or write.
const WORLD: u32 = 0o006;

/// The key that all edges of a fleet share. It is never shown.
#[derive(Clone)]
pub struct FleetKey(hmac::Key);

/// Why a key cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system refuses the file.
    #[error("{path} cannot be {1}: {2}", path = .0.display())]
    File(PathBuf, &'static str, io::Error),
    /// Everybody on this machine may read or change the file.
    #[error("{0} has mode {1:04o}: anybody on this machine may use it; run chmod 0600 {0}")]
    Open(String, u32),
    /// It holds something else.
    #[error("{} holds no key: 64 hexadecimal digits are wanted, as `vouch fleet key` writes them", .0.display())]
    NoKey(PathBuf),
    /// There is one already.
    #[error("{} is there already, and a key is never overwritten: the edges that have it would share no more", .0.display())]
    Exists(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl KeyError {
    /// Whether the system refused it to the user that we are.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::File(_, _, error) if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// What is only for this machine's users that are meant to have it: at most so many bytes of a file that not everybody
/// may read.
///
/// # Errors
/// It cannot be read, or everybody may.
pub(super) fn read_private(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |error| KeyError::File(path.to_path_buf(), "read", error);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & WORLD != 0 {
        return Err(KeyError::Open(path.display().to_string(), mode));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(most as usize + 1));
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl FleetKey {
    /// The key in the file.
    ///
    /// # Errors
    /// There is none, or everybody may read it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        // The digits and the end of their line.
        let most = 2 * KEY + 2;
        let text = read_private(path, most as u64)?;
        let key = from_hex(text.trim_ascii()).filter(|_| text.len() <= most);
        let key = key.ok_or_else(|| KeyError::NoKey(path.to_path_buf()))?;
        Ok(Self::new(&key))
    }

    /// This key.
    pub(super) fn new(key: &[u8; KEY]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Makes a new key in a new file, which its owner alone may read: that user and group, if any are named.
    ///
    /// # Errors
    /// There is such a file already, or it cannot be written.
    pub fn make(path: &Path, owner: Option<(u32, u32)>, chance: &Chance) -> Result<(), KeyError> {
        let key: Zeroizing<[u8; KEY]> = Zeroizing::new(chance.bytes().ok_or(KeyError::Random)?);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_path_buf()),
            _ => KeyError::File(path.to_path_buf(), "written", error),
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY + 1));
        for byte in key.iter() {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(half), 16).unwrap_or_default());
            }
        }
        text.push('\n');
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| owner.map_or(Ok(()), |(user, group)| fchown(&file, Some(user), Some(group))))
            .and_then(|()| file.sync_all());
        written.map_err(|error| {
            // Half a key is none.
            let _ = fs::remove_file(path);
            failed(error)
        })
    }

    /// A hash of `parts` that serves this `purpose` alone.
    pub(super) fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = hmac::Context::with_key(&self.0);
        hash.update(&[purpose as u8]);
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut tag = [0; 32];
        for (to, from) in tag.iter_mut().zip(hash.sign().as_ref()) {
            *to = *from;
        }
        tag
    }

    /// The name of a mailbox in the store: that of its source, then its own mark.
    pub(super) fn name(&self, source: &Source, mailbox: &[u8]) -> Name {
        let mark = self.hash(Purpose::Mark, &[&source.0, mailbox]);
        let mut name = Name([0; NAME]);
        let parts = BEGINNING.iter().chain(source.0.iter().take(TAG)).chain(&mark);
        for (to, from) in name.0.iter_mut().zip(parts) {
            *to = *from;
        }
        name
    }

    /// A source of findings, described by all that they depend on.
    pub(super) fn source(&self, text: &[u8]) -> Source {
        Source(self.hash(Purpose::Source, &[text]))
    }
}

/// What a hash is for: none of one purpose is one of another.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Purpose {
    Mark = 1,
    Source = 2,
    Checksum = 3,
    Hint = 4,
    Guess = 5,
    Counted = 6,
    Doubt = 7,
    Seal = 8,
    Purge = 9,
    Record = 10,
}

/// A source of findings: a hash of what describes the server, and how its replies are read.
#[derive(Debug, Clone)]
pub(super) struct Source([u8; 32]);

impl Source {
    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A name in the store: the beginning, four bytes of the source, sixteen of the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name([u8; NAME]);

impl Name {
    pub(super) const fn bytes(&self) -> &[u8; NAME] {
        &self.0
    }

    /// Of what is evenly spread over all mailboxes.
    pub(super) fn spread(&self) -> u64 {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(self.0.iter().rev()) {
            *to = *from;
        }
        u64::from_le_bytes(bytes)
    }
}

fn from_hex(text: &[u8]) -> Option<Zeroizing<[u8; KEY]>> {
    let mut key = Zeroizing::new([0; KEY]);
    if text.len() != 2 * KEY {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        for digit in digits {
            let half = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(half).ok()?;
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.key");
        FleetKey::make(&path, None, &Chance::default()).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let (key, again) = (FleetKey::read(&path).unwrap(), FleetKey::read(&path).unwrap());
        let hash = |key: &FleetKey| key.hash(Purpose::Mark, &[b"a"]);
        assert_eq!(hash(&key), hash(&again));
        let made = FleetKey::make(&path, None, &Chance::default());
        assert!(matches!(made, Err(KeyError::Exists(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let other = folder.path().join("other.key");
        FleetKey::make(&other, None, &Chance::default()).unwrap();
        assert_ne!(hash(&FleetKey::read(&other).unwrap()), hash(&key));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.key");
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            FleetKey::read(&path).map(drop)
        };
        let good = "0123456789abcdefABCDEF".repeat(3)[..64].to_owned();
        assert!(read(&good, 0o600).is_ok() && read(&format!("{good}\n"), 0o640).is_ok());
        assert!(matches!(read(&good, 0o644), Err(KeyError::Open(_, 0o644))));
        assert!(matches!(read(&good, 0o602), Err(KeyError::Open(..))));
        for text in [
            "",
            "\n",
            &good[1..],
            &format!("{good}0"),
            &good.replace('a', "g"),
            &format!("{good}\n\n\n"),
        ] {
            assert!(matches!(read(text, 0o600), Err(KeyError::NoKey(_))), "{text}");
        }
        let missing = FleetKey::read(&folder.path().join("missing"));
        assert!(matches!(missing, Err(KeyError::File(..))));
    }

    #[test]
    fn names_are_of_a_source_and_a_mailbox_alone() {
        let (key, other) = (FleetKey::new(&[1; 32]), FleetKey::new(&[2; 32]));
        let name = |key: &FleetKey, source: &[u8], mailbox: &[u8]| key.name(&key.source(source), mailbox);
        let jane = name(&key, b"lmtp a", b"jane@example.org");
        assert_eq!(jane, name(&key, b"lmtp a", b"jane@example.org"));
        assert!(jane.bytes().starts_with(BEGINNING));
        for different in [
            name(&other, b"lmtp a", b"jane@example.org"),
            name(&key, b"lmtp b", b"jane@example.org"),
            name(&key, b"lmtp a", b"joe@example.org"),
            name(&key, b"lmtp aj", b"ane@example.org"),
        ] {
            assert_ne!(jane, different);
        }
    }
}
