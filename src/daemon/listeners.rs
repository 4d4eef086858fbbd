//! Builds a listener's server, and changes it when the configuration does. How its socket came to be is no matter
//! here.

use std::sync::Arc;

use crate::config;
use crate::engine::{CachedDirectory, Engine};
use crate::server::actions::Actions;
use crate::server::auth::{AuthListener, OfferedMechanism, OkFields, Settings as AuthSettings, Tempfail};
use crate::server::current::Current;
use crate::server::fields::Fields;
use crate::server::handover::Handover;
use crate::server::penalty;
use crate::server::policy::{Policy, Settings as PolicySettings};
use crate::server::saslauthd::{self, Saslauthd};
use crate::server::socketmap::{self, Socketmap};
use crate::server::userdb::{Exists, Settings as UserdbSettings, UserdbListener};
use crate::server::{Deadline, Listener, login_limits, recipient_limits};
use crate::settings::action::Action;
use crate::settings::fields::Fields as FieldsOf;
use crate::settings::listener::{Any, Exists as UserExists, TempFail};
use crate::settings::mechanism::Mechanism;
use crate::settings::penalty::Penalty;
use crate::settings::protocol::Protocol;

/// The server of a listener, with those of `members` that it names. All listeners share `handover`.
pub fn listener(
    keys: &config::Listener,
    members: &[Arc<CachedDirectory>],
    handover: &Arc<Handover>,
) -> Arc<dyn Listener> {
    AnyListener::new(keys, members, handover).as_listener()
}

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
        keys: &config::Listener,
        members: &[Arc<CachedDirectory>],
        handover: &Arc<Handover>,
    ) -> Self {
        let engine = engine(keys, members);
        match keys.protocol {
            Protocol::Policy => Self::Policy(current(Policy::new(policy(keys), engine, None))),
            Protocol::Auth | Protocol::Login => Self::Auth(current(AuthListener::new(
                auth(keys),
                engine,
                handover.clone(),
                None,
            ))),
            Protocol::Socketmap => Self::Socketmap(current(Socketmap::new(socketmap(keys), engine, None))),
            Protocol::Saslauthd => Self::Saslauthd(current(Saslauthd::new(saslauthd(keys), engine, None))),
            Protocol::Userdb | Protocol::Master => Self::Userdb(current(UserdbListener::new(
                userdb(keys),
                engine,
                handover.clone(),
                None,
            ))),
        }
    }

    /// Answers by `keys`, of the same protocol, from the next question on.
    pub(super) fn change(
        &self,
        keys: &config::Listener,
        members: &[Arc<CachedDirectory>],
        handover: &Arc<Handover>,
    ) {
        let (engine, handover) = (engine(keys, members), handover.clone());
        match self {
            Self::Policy(listener) => {
                listener.change(|before| Policy::new(policy(keys), engine, Some(before)));
            }
            Self::Auth(listener) => {
                listener.change(|before| AuthListener::new(auth(keys), engine, handover, Some(before)));
            }
            Self::Socketmap(listener) => {
                listener.change(|before| Socketmap::new(socketmap(keys), engine, Some(before)));
            }
            Self::Saslauthd(listener) => {
                listener.change(|before| Saslauthd::new(saslauthd(keys), engine, Some(before)));
            }
            Self::Userdb(listener) => {
                listener.change(|before| UserdbListener::new(userdb(keys), engine, handover, Some(before)));
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
fn engine(keys: &config::Listener, members: &[Arc<CachedDirectory>]) -> Engine {
    let asked = asked(keys, members);
    if keys.mechanisms.iter().any(|mechanism| mechanism.is_relayed()) {
        for member in &asked {
            tokio::spawn(CachedDirectory::learn_offers(Arc::downgrade(member)));
        }
    }
    Engine::new(asked, keys.default_domain.clone()).asking_all(keys.any == Any::All)
}

/// Those of `members` that a listener names, in its order.
pub(super) fn asked(keys: &config::Listener, members: &[Arc<CachedDirectory>]) -> Vec<Arc<CachedDirectory>> {
    let member = |name: &String| members.iter().find(|member| **member.name() == **name).cloned();
    keys.directory.iter().filter_map(member).collect()
}

fn policy(keys: &config::Listener) -> PolicySettings {
    let action = &keys.action;
    PolicySettings {
        name: keys.name.clone(),
        actions: actions(action),
        deadline: keys.deadline.other,
        vrfy: action.vrfy,
        dry_run: action.dry_run,
        limits: recipients(keys),
        penalty: penalty(keys),
        access: keys.access(),
    }
}

fn actions(action: &Action) -> Actions {
    Actions {
        accept: action.accept.clone(),
        reject: action.reject.clone(),
        full: action.full.clone().unwrap_or_else(|| action.accept.clone()),
        disabled: action.disabled.clone(),
        defer: action.defer.clone(),
        limit: action.limit.clone(),
    }
}

fn penalty(keys: &config::Listener) -> Option<penalty::Settings> {
    let penalty = keys.penalty.as_ref()?;
    Some(penalty::Settings {
        listener: keys.name.clone(),
        after: penalty.after,
        delay: penalty.delay,
        max_delay: penalty.max_delay,
        forget: penalty.forget,
        refuse_after: penalty.refuse_after,
        exempt: penalty.exempt.clone(),
    })
}

fn auth(keys: &config::Listener) -> AuthSettings {
    AuthSettings {
        name: keys.name.clone(),
        mechanisms: keys.mechanisms.iter().copied().map(spoken).collect(),
        tempfail: match keys.tempfail {
            TempFail::Auto => Tempfail::Auto,
            TempFail::Close => Tempfail::Close,
            // `NO` is no word of this protocol, and not taken for it.
            TempFail::Fail | TempFail::No => Tempfail::Fail,
        },
        deadline: deadline(keys),
        limits: logins(keys),
        penalty: penalty(keys),
        access: keys.access(),
        hands_over: keys.protocol == Protocol::Login,
        ok: OkFields {
            fields: fields(&keys.ok.fields),
            pass: keys.ok.pass,
            allow_nets: keys.ok.allow_nets.clone(),
        },
        fields: fields(&keys.fields),
    }
}

fn spoken(mechanism: Mechanism) -> OfferedMechanism {
    match mechanism {
        Mechanism::Password(mechanism) => OfferedMechanism::Password(mechanism),
        Mechanism::Relayed(mechanism) => OfferedMechanism::Relayed(mechanism),
    }
}

fn recipients(keys: &config::Listener) -> recipient_limits::Limits {
    recipient_limits::Limits {
        rcpt: keys.limits.rcpt.most(),
        rcpt_errors: keys.limits.rcpt_errors.most(),
    }
}

fn socketmap(keys: &config::Listener) -> socketmap::Settings {
    socketmap::Settings {
        name: keys.name.clone(),
        actions: actions(&keys.action),
        deadline: keys.deadline.other,
        limits: recipients(keys),
    }
}

fn saslauthd(keys: &config::Listener) -> saslauthd::Settings {
    saslauthd::Settings {
        name: keys.name.clone(),
        tempfail: if keys.tempfail == TempFail::No {
            saslauthd::Tempfail::No
        } else {
            saslauthd::Tempfail::Close
        },
        join_realm: keys.join_realm,
        deadline: keys.deadline.other,
        limits: logins(keys),
    }
}

/// Where `penalty` is off, or the protocol has none, those are exempt who are by default.
fn logins(keys: &config::Listener) -> login_limits::Limits {
    let penalty = keys.penalty.as_ref();
    login_limits::Limits {
        auth_errors: keys.limits.auth_errors.most(),
        exempt: penalty.map_or_else(|| Penalty::default().exempt, |penalty| penalty.exempt.clone()),
    }
}

fn userdb(keys: &config::Listener) -> UserdbSettings {
    UserdbSettings {
        name: keys.name.clone(),
        master: keys.protocol == Protocol::Master,
        exists: match keys.exists {
            UserExists::Probe => Exists::Probe,
            UserExists::Domain => Exists::Domain,
        },
        fields: fields(&keys.fields),
        deadline: deadline(keys),
    }
}

fn deadline(keys: &config::Listener) -> Deadline {
    Deadline {
        smtp: keys.deadline.smtp,
        other: keys.deadline.other,
    }
}

fn fields(fields: &FieldsOf) -> Fields {
    fields
        .iter()
        .map(|(name, template)| (name.clone(), template.clone()))
        .collect()
}
