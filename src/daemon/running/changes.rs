//! What a reload has come to, for the log.

use std::fmt;

/// What a reload has changed, by name.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Changes {
    pub(in crate::daemon) opened: Vec<String>,
    pub(in crate::daemon) changed: Vec<String>,
    pub(in crate::daemon) anew: Vec<String>,
    pub(in crate::daemon) closed: Vec<String>,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("opened", &self.opened),
            ("changed", &self.changed),
            ("served anew", &self.anew),
            ("closed", &self.closed),
        ];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> = parts
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        if parts.is_empty() {
            return f.write_str("no listener is any different");
        }
        write!(f, "listeners {}; all others go on", parts.join("; "))
    }
}
