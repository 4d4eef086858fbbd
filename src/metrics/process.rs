//! What the system says of this process, under the names that every exporter uses
//! for it.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use super::text::Text;
use crate::report::Report;

pub(super) fn write(text: &mut Text, report: &Report) {
    text.gauge("vouch_build_info", "Always 1; the label has the running version.");
    text.sample(&[("version", &report.version)], 1);
    text.counter(
        "vouch_log_lines_lost_total",
        "Log lines that were lost because they were not read in time.",
    );
    text.sample(&[], report.log.lines_lost);

    text.gauge(
        "process_start_time_seconds", "When the process started, in seconds since 1970.",
    );
    text.sample(&[], report.began);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        text.counter(
            "process_cpu_seconds_total",
            "Processor time spent, by the process and by the kernel for it.",
        );
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        text.sample(&[], micros as f64 / 1e6);
    }
    if let Some(bytes) = report.memory {
        text.gauge("process_resident_memory_bytes", "Memory that is in use.");
        text.sample(&[], bytes);
    }
    // One of these is there only while they are counted.
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "Descriptors that are open.");
        text.sample(&[], open.count().saturating_sub(1));
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        text.gauge("process_max_fds", "Descriptors that may be open.");
        text.sample(&[], most);
    }
}

/// Resident memory in bytes, as proc(5) has it: `VmRSS:      7404 kB`.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
