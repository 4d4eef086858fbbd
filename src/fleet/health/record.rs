//! What is in one place of the board: which edge it is, and what it doubts; sealed by AES-256-GCM.
//!
//! | bytes | |
//! |---|---|
//! | 12 | nonce, drawn anew for each writing |
//! | 228 | sealed: the edge's number 8, its name 64 with its length before, how many doubts 1, twelve times a hash of the domain 8 and when the canary was refused, in seconds since 1970, 4; zeros |
//! | 16 | tag, of these and of the place |

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::Mark;
use crate::chance::Chance;
use crate::fleet::key::{FleetKey, Name, Purpose};

/// Bytes of a place.
pub(super) const PLACE: usize = 256;

/// Those that are sealed.
const CLEAR: usize = PLACE - NONCE_LEN - 16;

/// Bytes of the name of an edge, its length included.
const EDGE: usize = 64;

/// Bound (cache): domains with a refused canary that one edge tells the others. Beyond: those whose canaries were refused last
/// are told. Why: a place of one size for each edge, and a server that has lost its users is seen in any of its domains.
pub(super) const DOUBTS_TOLD: usize = 12;

/// What an edge doubts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubts {
    pub(super) id: [u8; 8],
    pub(super) edge: String,
    /// Hashes of domains, and when a canary of each was refused last, in seconds since 1970.
    pub(super) of: Vec<(Mark, u32)>,
}

/// What closes and opens records.
pub(super) struct Seal(Option<LessSafeKey>);

impl Seal {
    /// Under the key of the fleet.
    pub(super) fn new(key: &FleetKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &key.hash(Purpose::Seal, &[]));
        Self(key.ok().map(LessSafeKey::new))
    }

    /// Seals what is to be in that place; `None` where the system gives no random bytes.
    pub(super) fn close(
        &self,
        board: &Name,
        place: usize,
        doubts: &Doubts,
        chance: &Chance,
    ) -> Option<[u8; PLACE]> {
        let nonce: [u8; NONCE_LEN] = chance.bytes()?;
        let mut clear = doubts.to_bytes();
        let aad = Aad::from(with(board, place));
        let sealed = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .as_ref()?
            .seal_in_place_separate_tag(sealed, aad, &mut clear)
            .ok()?;
        [&nonce[..], &clear, tag.as_ref()].concat().try_into().ok()
    }

    /// What is in that place; `None` where no edge of this fleet has written it there.
    pub(super) fn open(&self, board: &Name, place: usize, sealed: &[u8]) -> Option<Doubts> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(with(board, place));
        let clear = self.0.as_ref()?.open_in_place(nonce, aad, &mut rest).ok()?;
        Doubts::from_bytes(clear)
    }
}

/// What a record belongs to: it is none in another place.
fn with(board: &Name, place: usize) -> Vec<u8> {
    let mut bytes = board.bytes().to_vec();
    bytes.extend((place as u64).to_be_bytes());
    bytes
}

impl Doubts {
    fn to_bytes(&self) -> Vec<u8> {
        let name = self.edge.as_bytes();
        let name = name.get(..EDGE - 1).unwrap_or(name);
        let mut bytes = self.id.to_vec();
        bytes.push(name.len() as u8);
        bytes.extend(name);
        bytes.resize(self.id.len() + EDGE, 0);
        let told = self.of.len().min(DOUBTS_TOLD);
        bytes.push(told as u8);
        for (mark, at) in self.of.iter().take(told) {
            bytes.extend(mark);
            bytes.extend(at.to_be_bytes());
        }
        bytes.resize(CLEAR, 0);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, bytes) = bytes.split_first_chunk()?;
        let (name, bytes) = bytes.split_first_chunk::<EDGE>()?;
        let (length, name) = name.split_first()?;
        let name = String::from_utf8_lossy(name.get(..usize::from(*length))?);
        let (told, bytes) = bytes.split_first()?;
        let mut of = Vec::new();
        let (doubts, _) = bytes.as_chunks::<12>();
        for doubt in doubts.iter().take(usize::from(*told)) {
            let (mark, at) = doubt.split_first_chunk()?;
            of.push((*mark, u32::from_be_bytes(at.try_into().ok()?)));
        }
        // It is shown: of the letters of host names alone.
        let edge = name.chars().map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => letter,
            _ => '?',
        });
        Some(Self {
            id: *id,
            edge: edge.collect(),
            of,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(key: u8, place: usize, doubts: &Doubts) -> (Seal, Name, [u8; PLACE]) {
        let key = FleetKey::new(&[key; 32]);
        let (seal, board) = (Seal::new(&key), key.name(&key.source(b"health"), b"board"));
        let sealed = seal.close(&board, place, doubts, &Chance::default()).unwrap();
        (seal, board, sealed)
    }

    proptest! {
        // Fills DOUBTS_TOLD.
        #[test]
        fn what_is_sealed_is_opened_in_its_place_alone(
            id: [u8; 8],
            edge in "[a-z0-9.-]{0,63}",
            of in proptest::collection::vec(any::<(Mark, u32)>(), 0..=2 * DOUBTS_TOLD),
            place in 0_usize..32,
            bit in 0..PLACE * 8,
        ) {
            let mut doubts = Doubts { id, edge, of };
            let (seal, board, mut bytes) = sealed(1, place, &doubts);
            let (other, _, _) = sealed(2, place, &doubts);
            doubts.of.truncate(DOUBTS_TOLD);
            prop_assert_eq!(seal.open(&board, place, &bytes), Some(doubts.clone()));
            prop_assert_eq!(seal.open(&board, place + 1, &bytes), None);
            prop_assert_eq!(other.open(&board, place, &bytes), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(seal.open(&board, place, &bytes), None);
        }

        #[test]
        fn whatever_is_there_does_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let key = FleetKey::new(&[1; 32]);
            let board = key.name(&key.source(b"health"), b"board");
            prop_assert_eq!(Seal::new(&key).open(&board, 0, &bytes), None);
            let _ = Doubts::from_bytes(&bytes);
        }
    }

    #[test]
    fn a_name_is_shown_in_letters_of_host_names_and_cut_where_it_is_long() {
        let doubts = |edge: &str| Doubts {
            id: [0; 8],
            edge: edge.to_owned(),
            of: Vec::new(),
        };
        let read = |edge: &str| Doubts::from_bytes(&doubts(edge).to_bytes()).unwrap().edge;
        assert_eq!(read("mx1.example.org"), "mx1.example.org");
        assert_eq!(read("a\nb\u{1b}[0m"), "a?b??0m");
        assert_eq!(read(&"x".repeat(300)), "x".repeat(63));
    }
}
