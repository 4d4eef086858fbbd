//! Whom a purge is about, in the form in which the store has it.

use crate::fleet::key::{FleetKey, Purpose, Source};

/// Bytes of a mark.
pub(super) const MARK: usize = 17;

/// What a purge is about, under the key of the fleet: its kind, then a hash of all that it names.
pub(super) type Mark = [u8; MARK];

/// Whom a purge is about. Names are compared in lower case: too much that is forgotten is asked again, and no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// All recipients and users.
    Everybody,
    /// Those of this domain.
    Domain(Box<[u8]>),
    /// A recipient, as in SMTP, and the user of that name.
    Mailbox(Box<[u8]>),
    /// A user alone.
    User(Box<[u8]>),
}

impl Whom {
    const fn number(&self) -> u8 {
        match self {
            Self::Everybody => 0,
            Self::Domain(_) => 1,
            Self::Mailbox(_) => 2,
            Self::User(_) => 3,
        }
    }

    fn name(&self) -> &[u8] {
        match self {
            Self::Everybody => b"",
            Self::Domain(name) | Self::Mailbox(name) | Self::User(name) => name,
        }
    }
}

/// Kinds that name a source have this added.
const OF_SOURCE: u8 = 4;

/// The mark of a purge, of one source or of all; `None` where it is of everything.
pub(super) fn mark(key: &FleetKey, source: Option<&Source>, whom: &Whom) -> Option<Mark> {
    let kind = whom.number() + source.map_or(0, |_| OF_SOURCE);
    (kind > 0).then(|| of(key, kind, source, whom.name()))
}

fn of(key: &FleetKey, kind: u8, source: Option<&Source>, name: &[u8]) -> Mark {
    let source = source.map_or(&b""[..], |source| source.bytes());
    let name = name.to_ascii_lowercase();
    let hash = key.hash(Purpose::Purge, &[&[kind], source, &name]);
    let mut mark = [0; MARK];
    for (to, from) in mark.iter_mut().zip([kind].iter().chain(&hash)) {
        *to = *from;
    }
    mark
}

/// A recipient or a user that may have been purged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// Of the server that knows it, if that is known.
    pub(super) source: Option<&'a Source>,
    /// As in SMTP, where it is an address.
    pub(super) name: &'a [u8],
    /// A login is purged as a user as well.
    pub(super) is_login: bool,
}

impl Subject<'_> {
    /// The marks of those purges that would be about it, of the kinds that there `is` one of.
    pub(super) fn marks(self, key: &FleetKey, is: impl Fn(u8) -> bool) -> impl Iterator<Item = Mark> {
        let domain = self.name.iter().rposition(|byte| *byte == b'@');
        let domain = domain.and_then(|at| self.name.get(at + 1..));
        let one = move |kind: u8| {
            let source = self.source.filter(|_| kind >= OF_SOURCE);
            if kind >= OF_SOURCE && source.is_none() || !is(kind) {
                return None;
            }
            let name = match kind % OF_SOURCE {
                0 => &b""[..],
                1 => domain?,
                2 => self.name,
                _ if self.is_login => self.name,
                _ => return None,
            };
            Some(of(key, kind, source, name))
        };
        (1..2 * OF_SOURCE).filter_map(one)
    }
}
