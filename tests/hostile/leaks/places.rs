//! Where a secret is looked for.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::traces::{find, traces};

/// The holder of a secret has this long to be done with it, on a machine that does a lot besides.
const PATIENCE: Duration = Duration::from_secs(40);

/// What of memory is read at once; a trace is shorter than what two reads share.
const CHUNK: usize = 1 << 20;
const SHARED: usize = 256;

/// In none of the files of the test: logs, caches, configuration.
pub(super) fn assert_written_nowhere(scratch: &Scratch, secrets: &[&str]) {
    let searched = search(&scratch.path(""), secrets);
    assert!(searched >= 2, "only {searched} files are there");
}

/// Searches the files of a directory, and those below it. How many there are.
fn search(folder: &Path, secrets: &[&str]) -> usize {
    let mut searched = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let (path, kind) = entry
            .map(|entry| (entry.path(), entry.file_type().unwrap()))
            .unwrap();
        if kind.is_dir() {
            searched += search(&path, secrets);
        } else if kind.is_file() {
            let found = find(&fs::read(&path).unwrap(), secrets);
            assert_eq!(found, None, "in {}", path.display());
            searched += 1;
        }
    }
    searched
}

/// In nothing that the system tells everybody of the process.
pub(super) fn assert_shown_to_nobody(id: u32, secrets: &[&str]) {
    assert_not_in_files_of(id, &["cmdline", "comm", "status"], secrets);
}

fn assert_not_in_files_of(id: u32, names: &[&str], secrets: &[&str]) {
    for name in names {
        let shown = fs::read(format!("/proc/{id}/{name}")).unwrap();
        assert_eq!(find(&shown, secrets), None, "in {name}");
    }
}

/// In nothing that the system tells root alone, since the daemon is no process that its own user may look into
/// (prctl(2), `PR_SET_DUMPABLE`): its environment, the names and the contents of the files that it has open.
pub(super) fn assert_shown_nowhere(id: u32, secrets: &[&str]) {
    assert_not_in_files_of(id, &["environ"], secrets);
    for entry in fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten() {
        // One that is closed meanwhile is open no more.
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        assert_eq!(find(target.as_os_str().as_encoded_bytes(), secrets), None);
        if target.is_file() {
            let found = find(&fs::read(&target).unwrap(), secrets);
            assert_eq!(found, None, "in {}", target.display());
        }
    }
}

/// Not in the memory that the process writes to, once all is over.
pub(super) fn assert_forgotten(id: u32, secrets: &[&str]) {
    let traces: Vec<Vec<u8>> = secrets
        .iter()
        .flat_map(|secret| traces(secret.as_bytes()))
        .collect();
    let known = remembered(id, &[b"example.org".to_vec()]);
    assert!(
        !known.is_empty(),
        "not even what it must know is found in its memory"
    );
    let end = Instant::now() + PATIENCE;
    loop {
        let found = remembered(id, &traces);
        if found.is_empty() {
            return;
        }
        assert!(
            Instant::now() < end,
            "{} places:\n{}",
            found.len(),
            found.join("\n")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Where the traces are in memory, with what stands around them.
fn remembered(id: u32, traces: &[Vec<u8>]) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{id}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        let (from, to) = (number(from), number(to));
        let mut at = from;
        while at < to {
            let mut bytes = vec![0; CHUNK.min(to - at)];
            memory.seek(SeekFrom::Start(at as u64)).unwrap();
            // What was unmapped meanwhile holds nothing.
            let Ok(()) = memory.read_exact(&mut bytes) else {
                break;
            };
            for trace in traces {
                for place in positions(&bytes, trace) {
                    let around = &bytes[place.saturating_sub(60)..bytes.len().min(place + trace.len() + 30)];
                    found.push(format!("{:x} of {line}: {}", at + place, around.escape_ascii()));
                }
            }
            at += if bytes.len() == CHUNK {
                CHUNK - SHARED
            } else {
                bytes.len()
            };
        }
    }
    found
}

fn positions(bytes: &[u8], part: &[u8]) -> Vec<usize> {
    let mut positions = Vec::new();
    let mut from = 0;
    while let Some(at) = memchr(part[0], &bytes[from..]) {
        if bytes[from + at..].starts_with(part) {
            positions.push(from + at);
        }
        from += at + 1;
    }
    positions
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|one| *one == byte)
}
