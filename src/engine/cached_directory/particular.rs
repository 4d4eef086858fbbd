//! What is particular to a directory.

use std::sync::Arc;

use crate::address::Address;
use crate::engine::domains::Domains;
use crate::engine::shared::Sharing;
use crate::fleet::Share;
use crate::fleet::health::Health;
use crate::settings::directory as settings;

/// What is particular to a directory's questions and their memory.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The domains it is asked about.
    pub domains: Domains,
    /// Its keys, but for the domains.
    pub keys: settings::Directory,
    /// What it shares with other edges, if it is one of several.
    pub sharing: Option<Sharing>,
    /// What it and other edges doubt, likewise.
    pub health: Option<Health>,
    /// Which users were accepted, likewise.
    pub logins: Option<Share>,
}

impl From<&settings::Directory> for Settings {
    fn from(directory: &settings::Directory) -> Self {
        let lookup = &directory.lookup;
        Self {
            name: directory.name.as_str().into(),
            domains: lookup.into(),
            keys: settings::Directory {
                // There may be a million.
                lookup: settings::Lookup {
                    domains: Default::default(),
                    routes: None,
                    ..lookup.clone()
                },
                ..directory.clone()
            },
            sharing: None,
            health: None,
            logins: None,
        }
    }
}

impl Settings {
    /// Whether local parts that differ in case only are one.
    pub(super) fn folds_case(&self) -> bool {
        self.keys.lookup.fold_case
    }

    /// One form for each mailbox, as the configuration has it.
    pub(super) fn canonical(&self, address: Address) -> Address {
        let lookup = &self.keys.lookup;
        let address = address.without_detail(&lookup.recipient_delimiter);
        if self.folds_case() {
            address.folded()
        } else {
            address
        }
    }
}
