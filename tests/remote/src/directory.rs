//! The accounts of a server, and what it says about each.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use crate::log::lock;
use crate::options::{Account, Options, State};

/// What a login came to.
pub(crate) enum Login {
    /// The right password of an account in this state, or whatever the password if the state does not ask.
    Known(State),
    /// No such user, or another password.
    Wrong,
}

/// What is known about a recipient.
pub(crate) enum Recipient {
    /// A mailbox in this state.
    Known(State),
    /// One of our domains, but no such mailbox.
    Unknown,
    /// Not one of our domains.
    Elsewhere,
}

/// Accounts by their normal form, and domains.
pub(crate) struct Directory {
    state: Mutex<Accounts>,
    catch_all: bool,
    subaddress: bool,
    fold_case: bool,
}

struct Accounts {
    accounts: HashMap<String, Account>,
    domains: HashSet<String>,
}

impl Directory {
    pub(crate) fn new(options: &Options) -> Self {
        let domains = options
            .domains
            .iter()
            .map(|domain| domain.to_ascii_lowercase())
            .collect();
        let directory = Self {
            state: Mutex::new(Accounts {
                accounts: HashMap::new(),
                domains,
            }),
            catch_all: options.catch_all,
            subaddress: options.subaddress,
            fold_case: options.fold_case,
        };
        for account in &options.accounts {
            directory.set(account.clone());
        }
        directory
    }

    /// Adds or replaces an account, and makes its domain ours.
    pub(crate) fn set(&self, account: Account) {
        let mut state = lock(&self.state);
        if let Some((_, domain)) = account.user.rsplit_once('@') {
            state.domains.insert(domain.to_ascii_lowercase());
        }
        state.accounts.insert(self.user_key(&account.user), account);
    }

    pub(crate) fn remove(&self, user: &str) {
        lock(&self.state).accounts.remove(&self.user_key(user));
    }

    /// Judges credentials; also the account's pause.
    pub(crate) fn login(&self, user: &[u8], password: &[u8]) -> (Login, Duration) {
        let Ok(user) = std::str::from_utf8(user) else {
            return (Login::Wrong, Duration::ZERO);
        };
        let state = lock(&self.state);
        let Some(account) = state.accounts.get(&self.user_key(user)) else {
            return (Login::Wrong, Duration::ZERO);
        };
        let asks_no_password = matches!(account.state, State::TempFail | State::Says(_));
        if asks_no_password || account.password == password {
            (Login::Known(account.state.clone()), account.delay)
        } else {
            (Login::Wrong, account.delay)
        }
    }

    /// The password of a user, for a mechanism in which it is not said.
    pub(crate) fn password(&self, user: &str) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        let account = state.accounts.get(&self.user_key(user));
        account.map(|account| account.password.clone())
    }

    /// Looks a mailbox up; also the account's pause. A greylisted one is let through the next time.
    pub(crate) fn recipient(&self, local: &str, domain: &str) -> (Recipient, Duration) {
        let mut state = lock(&self.state);
        let domain = domain.to_ascii_lowercase();
        if !state.domains.contains(&domain) {
            return (Recipient::Elsewhere, Duration::ZERO);
        }
        let base = if self.subaddress {
            local.split('+').next().unwrap_or(local)
        } else {
            local
        };
        let keys = [self.key(local, &domain), self.key(base, &domain)];
        for key in &keys {
            if let Some(account) = state.accounts.get_mut(key) {
                let found = account.state.clone();
                if found == State::Greylisted {
                    account.state = State::Active;
                }
                return (Recipient::Known(found), account.delay);
            }
        }
        let found = if self.catch_all {
            Recipient::Known(State::Active)
        } else {
            Recipient::Unknown
        };
        (found, Duration::ZERO)
    }

    fn user_key(&self, user: &str) -> String {
        match user.rsplit_once('@') {
            Some((local, domain)) => self.key(local, &domain.to_ascii_lowercase()),
            None if self.fold_case => user.to_ascii_lowercase(),
            None => user.to_owned(),
        }
    }

    fn key(&self, local: &str, domain: &str) -> String {
        if self.fold_case {
            format!("{}@{domain}", local.to_ascii_lowercase())
        } else {
            format!("{local}@{domain}")
        }
    }
}
