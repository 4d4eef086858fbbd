//! The file itself: a `redb` database of two tables.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
};

use super::batch::{Batch, KeyScope};
use super::{Finding, Key, Settings};
use crate::engine::kept::Said;
use crate::verdict::{Cause, Reach};

/// Bound (cache, bytes): pages of cache.file in memory. Beyond: they are read again. Why: enough for what is written
/// together.
const CACHE: usize = 8 * 1024 * 1024;

/// Bound (cache, one in): recipients in cache.file beyond cache.entries. Beyond: the oldest go, until there are no more than
/// cache.entries. Why: to look for them takes a walk through all.
const SURPLUS: u64 = 8;

/// Into how many parts the ages are cut to find the oldest.
const SLICES: usize = 1024;

/// Found when (milliseconds since 1970 by the file's [`Clock`]), exists or not, class, status and text
/// of the cause.
type Row<'a> = (u64, bool, Option<&'a str>, Option<&'a str>, &'a str);

/// By the address's one form.
const RECIPIENTS: TableDefinition<'_, &[u8], Row<'_>> = TableDefinition::new("recipients");

/// What is in the tables, and how: raised with each change that an older version would misread.
const FORMAT: u64 = 1;

/// The newest format of `redb` itself that is read here.
const DATABASE_FORMAT: u8 = 3;

/// What the file is about.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
const SOURCE: &str = "source";
/// [`FORMAT`] of the version that has written it.
const WRITTEN_AS: &str = "format";
/// The time at which it was last written, as in a [`Row`].
const WRITTEN: &str = "written";

/// Bound (cache): time by which the clock may be behind that under which cache.file was written. Beyond: what is in
/// it is asked again. Why: a corrected clock makes no entry younger; ages from a wrong clock mean nothing.
const MAX_CLOCK_LEAD: Duration = Duration::from_secs(24 * 3600);

/// An open file.
pub(super) struct File {
    database: Database,
    settings: Settings,
    clock: Clock,
}

/// The file's own time. It begins with that of the clock on the wall, and never goes
/// back: were the wall's set back by an hour, all that is in the file would be an hour
/// younger.
struct Clock {
    opened: Instant,
    /// In milliseconds since 1970.
    at: u64,
}

impl Clock {
    fn at(&self, instant: Instant) -> u64 {
        let later = as_millis(instant.saturating_duration_since(self.opened));
        // Rounded up: nothing that was found before becomes younger by a part of a millisecond.
        let earlier = self.opened.saturating_duration_since(instant);
        let earlier = as_millis(earlier.saturating_add(Duration::from_nanos(999_999)));
        self.at.saturating_add(later).saturating_sub(earlier)
    }

    fn now(&self) -> u64 {
        self.at(Instant::now())
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Another process, or another directory of ours, has it open.
    #[error("it is in use by another vouch or another directory")]
    InUse,
    /// It is no file of ours, or is no longer.
    #[error("it is corrupt: {0}")]
    Corrupt(String),
    /// Another version of vouch has written it in a way that this one does not know.
    #[error("another version of vouch has written it: {0}")]
    OtherVersion(String),
    /// The system or the disk refuses.
    #[error("{0}")]
    Other(String),
}

impl<E: Into<redb::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        use redb::Error as E;
        match error.into() {
            E::DatabaseAlreadyOpen | E::LockProtocolMismatch => Self::InUse,
            E::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
                Self::Corrupt(error.to_string())
            }
            E::Io(error) => Self::Other(error.to_string()),
            error @ (E::Corrupted(_) | E::RepairAborted) => Self::Corrupt(error.to_string()),
            error @ (E::UpgradeRequired(_)
            | E::TableTypeMismatch { .. }
            | E::TypeDefinitionChanged { .. }
            | E::TableIsMultimap(_)) => Self::OtherVersion(error.to_string()),
            error => Self::Other(error.to_string()),
        }
    }
}

/// The name under which a file is kept that cannot be used, where it is the file's own fault.
pub(super) fn aside(path: &Path, refusal: &Refusal) -> Option<PathBuf> {
    let why = match refusal {
        Refusal::Corrupt(_) => "corrupt",
        Refusal::OtherVersion(_) => "other-version",
        Refusal::InUse | Refusal::Other(_) => return None,
    };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{why}-{}", millis(SystemTime::now()) / 1000));
    Some(name.into())
}

/// The format of a database, where it is newer than what this version reads: what `redb` itself takes for damage.
fn newer_format(path: &Path) -> Option<u8> {
    // The head of the file, and in it the first byte of each of the two commit slots (redb's `docs/design.md`).
    let mut head = [0; 256];
    fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    let [one, other] = [head.get(64)?, head.get(192)?];
    let newer = one == other && *one > DATABASE_FORMAT;
    (head.starts_with(b"redb\x1a\x0a\xa9\x0d\x0a") && newer).then_some(*one)
}

impl File {
    /// Opens the file, or makes it. What is too old or too much in it, and what
    /// another source said, is deleted.
    pub(super) fn open(settings: &Settings) -> Result<Self, Refusal> {
        Self::open_at(settings, SystemTime::now())
    }

    /// The same, by this time on the wall.
    pub(super) fn open_at(settings: &Settings, wall: SystemTime) -> Result<Self, Refusal> {
        let mut builder = Builder::new();
        // A file that was closed in order is trusted otherwise, whatever became of it since.
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = if settings.path.exists() {
            let opened = builder.create(&settings.path);
            opened.map_err(
                |error| match (Refusal::from(error), newer_format(&settings.path)) {
                    (Refusal::Corrupt(_), Some(format)) => {
                        Refusal::OtherVersion(format!("its database has format {format}"))
                    }
                    (refusal, _) => refusal,
                },
            )?
        } else {
            create(&builder, &settings.path)?
        };
        let clock = Clock {
            opened: Instant::now(),
            at: millis(wall),
        };
        let mut file = Self {
            database,
            settings: settings.clone(),
            clock,
        };
        file.tidy()?;
        Ok(file)
    }

    fn tidy(&mut self) -> Result<(), Refusal> {
        let transaction = self.database.begin_write()?;
        {
            let mut about = transaction.open_table(ABOUT)?;
            let format = about
                .get(WRITTEN_AS)?
                .and_then(|format| format.value().parse().ok());
            if let Some(newer) = format.filter(|format: &u64| *format > FORMAT) {
                return Err(Refusal::OtherVersion(format!("its tables have format {newer}")));
            }
            about.insert(WRITTEN_AS, &*FORMAT.to_string())?;
            let source = self.settings.source.as_str();
            let same = about.get(SOURCE)?.is_some_and(|kept| kept.value() == source);
            let written = about.get(WRITTEN)?.and_then(|at| at.value().parse().ok());
            let written: u64 = written.unwrap_or(0);
            let sane = written.saturating_sub(self.clock.at) <= as_millis(MAX_CLOCK_LEAD);
            if sane {
                self.clock.at = self.clock.at.max(written);
            }
            if !same || !sane {
                about.insert(SOURCE, source)?;
                transaction.delete_table(RECIPIENTS)?;
            }
            about.insert(WRITTEN, &*self.clock.at.to_string())?;
            self.prune(&mut transaction.open_table(RECIPIENTS)?)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Returns all of its content: each recipient, its verdict and its age.
    pub(super) fn load(&self, mut remember: impl FnMut(Key, Said, Duration)) -> Result<(), Refusal> {
        let table = self.database.begin_read()?.open_table(RECIPIENTS)?;
        let now = self.clock.now();
        for entry in table.iter()? {
            let (key, row) = entry?;
            if let Some(said) = said(&row.value()) {
                remember(
                    key.value().into(),
                    said,
                    Duration::from_millis(age(&row.value(), now)),
                );
            }
        }
        Ok(())
    }

    /// Deletes what is to be forgotten, writes findings, and empties the batch, or leaves
    /// it as it is.
    pub(super) fn commit(&mut self, batch: &mut Batch) -> Result<(), Refusal> {
        if batch.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        {
            let now = self.clock.now().to_string();
            let mut about = transaction.open_table(ABOUT)?;
            about.insert(WRITTEN, &*now)?;
            if let Some(source) = batch.source() {
                about.insert(SOURCE, source)?;
            }
            let mut table = transaction.open_table(RECIPIENTS)?;
            for whom in batch.purges() {
                match whom {
                    KeyScope::One(key) => drop(table.remove(&**key)?),
                    _ => table.retain(|key, _| !whom.matches(key))?,
                }
            }
            for (key, finding) in batch.findings() {
                match finding {
                    Some(finding) => table.insert(&**key, row(finding, self.clock.at(finding.at)))?,
                    None => table.remove(&**key)?,
                };
            }
            // Those that are past their use go at a start, or when their place is needed. To look for them takes a walk
            // through all, so it is not done for each that is one too many.
            let most = self.settings.entries as u64;
            if table.len()? > most + most / SURPLUS {
                self.prune(&mut table)?;
            }
        }
        transaction.commit()?;
        batch.clear();
        Ok(())
    }

    /// Closes it in order.
    pub(super) fn close(self) -> Result<(), Refusal> {
        Ok(self.database.close()?)
    }

    /// Deletes what is past its use. If too much is left, the oldest go.
    fn prune(&self, table: &mut Table<'_, &'static [u8], Row<'static>>) -> Result<(), Refusal> {
        let ttl = self.settings.ttl;
        let accept = as_millis(ttl.positive.max(ttl.stale));
        let reject = as_millis(ttl.negative);
        let now = self.clock.now();
        let width = accept.max(reject) / SLICES as u64 + 1;
        let slice = |row: &Row<'_>| usize::try_from(age(row, now) / width).unwrap_or(SLICES);
        let mut slices = [0_u64; SLICES];
        table.retain(|_, row| {
            let of_use = age(&row, now) < if row.1 { accept } else { reject };
            if let (true, Some(count)) = (of_use, slices.get_mut(slice(&row))) {
                *count += 1;
            }
            of_use
        })?;
        let most = self.settings.entries as u64;
        let left: u64 = slices.iter().sum();
        if left <= most {
            return Ok(());
        }
        let mut surplus = left - most;
        let mut oldest = SLICES;
        for (number, count) in slices.iter().enumerate().rev() {
            oldest = number;
            if *count >= surplus {
                break;
            }
            surplus -= count;
        }
        table.retain(|_, row| {
            let slice = slice(&row);
            let goes = slice > oldest || (slice == oldest && surplus > 0);
            if slice == oldest {
                surplus = surplus.saturating_sub(1);
            }
            !goes
        })?;
        Ok(())
    }
}

/// A new file, complete from the moment that it has its name: one that is cut
/// off while it is made would be found corrupt later. Whose mailbox is where
/// is nobody's business but ours.
fn create(builder: &Builder, path: &Path) -> Result<Database, Refusal> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    // Nobody else finishes what a crash has left.
    let _ = fs::remove_file(&name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(&name)?;
    let database = builder.create(&name)?;
    fs::rename(&name, path)?;
    Ok(database)
}

fn row(finding: &Finding, at: u64) -> Row<'_> {
    let (exists, cause) = match &finding.said {
        Said::Yes(remark) => (true, remark.as_deref()),
        Said::No(cause) => (false, Some(&**cause)),
    };
    (
        at,
        exists,
        cause.map(|cause| cause.class.name()),
        cause.and_then(|cause| cause.status.as_deref()),
        cause.map_or("", |cause| &cause.text),
    )
}

/// Nothing where another version wrote a class that this one does not know.
fn said(&(_, exists, class, status, text): &Row<'_>) -> Option<Said> {
    let Some(class) = class else {
        return exists.then_some(Said::Yes(None));
    };
    let cause = Box::new(Cause {
        class: class.parse().ok()?,
        status: status.map(str::to_owned),
        text: text.to_owned(),
        challenge: None,
        advice: None,
        credential_heard: false,
        reach: status.map_or(Reach::Unknown, |_| Reach::Heard),
        by_backup: false,
    });
    Some(if exists {
        Said::Yes(Some(cause))
    } else {
        Said::No(cause)
    })
}

/// In milliseconds. A time to come counts as now.
fn age(row: &Row<'_>, now: u64) -> u64 {
    now.saturating_sub(row.0)
}

fn millis(time: SystemTime) -> u64 {
    as_millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn as_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
