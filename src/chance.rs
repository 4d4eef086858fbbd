//! Chance: from the system, or from a source that gives the same again.
//!
//! Drawn from it are pauses, the addresses that show whether a domain accepts every address, and the key under which
//! passwords are remembered: so only tests have another source than the system's. TLS, cookies and tokens have no other at
//! all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A source of chance. Its clones are the same.
#[derive(Clone)]
pub struct Chance(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) -> bool + Send + Sync;

impl Chance {
    /// One that fills what it is given; `false` where it cannot.
    pub fn new(fill: impl Fn(&mut [u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// So many random bytes; `None` where the source gives none.
    pub fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.0)(&mut bytes).then_some(bytes)
    }

    /// Any part of `most`; nothing of it where the source gives none.
    pub fn up_to(&self, most: Duration) -> Duration {
        let part = u16::from_le_bytes(self.bytes().unwrap_or_default());
        most * u32::from(part) / u32::from(u16::MAX)
    }
}

/// The system's: nobody can guess it.
impl Default for Chance {
    fn default() -> Self {
        Self::new(|bytes| getrandom::fill(bytes).is_ok())
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_of_the_whole() {
        let most = Duration::from_secs(1);
        let all = |byte: u8| {
            Chance::new(move |bytes| {
                bytes.fill(byte);
                true
            })
        };
        assert_eq!((all(0).up_to(most), all(255).up_to(most)), (Duration::ZERO, most));
        assert!(Chance::default().bytes::<16>() != Chance::default().bytes());
        let none = Chance::new(|_| false);
        assert_eq!((none.bytes::<1>(), none.up_to(most)), (None, Duration::ZERO));
    }
}
