//! Builds a listener's server, and changes it when the configuration does. How its socket came to be is no matter
//! here.

use std::sync::Arc;

use crate::engine::{CachedDirectory, Engine};
use crate::fleet::Fleet;
use crate::fleet::guesses::Guesses;
use crate::server::Listener;
use crate::server::auth::AuthListener;
use crate::server::current::Current;
use crate::server::handover::Handover;
use crate::server::policy::Policy;
use crate::server::saslauthd::Saslauthd;
use crate::server::socketmap::Socketmap;
use crate::server::userdb::UserdbListener;
use crate::settings::listener::{self, Any, AnyLogin};
use crate::settings::protocol::Protocol;

/// The server of a listener, with those of `members` that it names. All listeners share `handover`.
pub fn listener(
    keys: &listener::Listener,
    members: &[Arc<CachedDirectory>],
    handover: &Arc<Handover>,
) -> Arc<dyn Listener> {
    listener_of(keys, members, handover, None)
}

/// As [`listener()`], for an edge of a `fleet`.
pub fn listener_of(
    keys: &listener::Listener,
    members: &[Arc<CachedDirectory>],
    handover: &Arc<Handover>,
    fleet: Option<&Arc<Fleet>>,
) -> Arc<dyn Listener> {
    AnyListener::new(keys, members, (handover, fleet)).as_listener()
}

/// What listeners have in common: the logins on their way to a mail process, and the other edges.
pub(super) type Common<'a> = (&'a Arc<Handover>, Option<&'a Arc<Fleet>>);

/// The server of a listener, by its protocol.
pub(super) enum AnyListener {
    Policy(Arc<Current<Policy>>),
    Auth(Arc<Current<AuthListener>>),
    Socketmap(Arc<Current<Socketmap>>),
    Saslauthd(Arc<Current<Saslauthd>>),
    Userdb(Arc<Current<UserdbListener>>),
}

impl AnyListener {
    pub(super) fn new(
        keys: &listener::Listener,
        members: &[Arc<CachedDirectory>],
        (handover, fleet): Common<'_>,
    ) -> Self {
        let (engine, guesses) = (engine(keys, members), guesses(keys, fleet));
        match keys.protocol {
            Protocol::Policy => Self::Policy(current(Policy::new(keys.clone(), engine, guesses, None))),
            Protocol::Auth | Protocol::Login => Self::Auth(current(AuthListener::new(
                keys.clone(),
                engine,
                (handover.clone(), guesses),
                None,
            ))),
            Protocol::Socketmap => Self::Socketmap(current(Socketmap::new(keys.clone(), engine, None))),
            Protocol::Saslauthd => Self::Saslauthd(current(Saslauthd::new(keys.clone(), engine, None))),
            Protocol::Userdb | Protocol::Master => Self::Userdb(current(UserdbListener::new(
                keys.clone(),
                engine,
                handover.clone(),
                None,
            ))),
        }
    }

    /// Answers by `keys`, of the same protocol, from the next question on.
    pub(super) fn change(
        &self,
        keys: &listener::Listener,
        members: &[Arc<CachedDirectory>],
        (handover, fleet): Common<'_>,
    ) {
        let (engine, handover) = (engine(keys, members), handover.clone());
        let guesses = guesses(keys, fleet);
        match self {
            Self::Policy(listener) => {
                listener.change(|before| Policy::new(keys.clone(), engine, guesses, Some(before)));
            }
            Self::Auth(listener) => {
                let of_all = (handover, guesses);
                listener.change(|before| AuthListener::new(keys.clone(), engine, of_all, Some(before)));
            }
            Self::Socketmap(listener) => {
                listener.change(|before| Socketmap::new(keys.clone(), engine, Some(before)));
            }
            Self::Saslauthd(listener) => {
                listener.change(|before| Saslauthd::new(keys.clone(), engine, Some(before)));
            }
            Self::Userdb(listener) => {
                listener.change(|before| UserdbListener::new(keys.clone(), engine, handover, Some(before)));
            }
        }
    }

    pub(super) fn as_listener(&self) -> Arc<dyn Listener> {
        match self {
            Self::Policy(listener) => listener.clone(),
            Self::Auth(listener) => listener.clone(),
            Self::Socketmap(listener) => listener.clone(),
            Self::Saslauthd(listener) => listener.clone(),
            Self::Userdb(listener) => listener.clone(),
        }
    }
}

fn current<D>(listener: D) -> Arc<Current<D>> {
    Arc::new(Current::new(listener))
}

/// What a listener asks.
fn engine(keys: &listener::Listener, members: &[Arc<CachedDirectory>]) -> Engine {
    let asked = asked(keys, members);
    if keys.mechanisms.iter().any(|mechanism| mechanism.is_relayed()) {
        for member in &asked {
            tokio::spawn(CachedDirectory::learn_offers(Arc::downgrade(member)));
        }
    }
    Engine::new(asked, keys.default_domain.clone())
        .asking_all(keys.any == Any::All)
        .asking_in_turn(keys.any_login == AnyLogin::InOrder)
}

/// What counts a listener's failures together with other edges: with the listener of the same name and kind.
fn guesses(keys: &listener::Listener, fleet: Option<&Arc<Fleet>>) -> Option<Guesses> {
    let penalty = keys.penalty.as_ref()?;
    let kind = match keys.protocol {
        Protocol::Policy => "recipients",
        _ => "logins",
    };
    Guesses::new(fleet?.clone(), &format!("{kind} {}", keys.name), penalty.forget)
}

/// Those of `members` that a listener names, in its order.
pub(super) fn asked(
    keys: &listener::Listener,
    members: &[Arc<CachedDirectory>],
) -> Vec<Arc<CachedDirectory>> {
    let member = |name: &String| members.iter().find(|member| **member.name() == **name).cloned();
    keys.directory.iter().filter_map(member).collect()
}
