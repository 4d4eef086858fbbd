//! Builds a listener's server, and changes it when the configuration does. How its socket came to be is no matter
//! here.

use std::sync::Arc;

use vouch_protocol::sasl::{Carried, Mechanism};

use super::directories::limit;
use crate::config::listener::{
    Action, Any, Exists as UserExists, Fields as FieldsOf, Mechanism as Offered, Protocol, TempFail,
};
use crate::config::{Listener, Penalty};
use crate::engine::{Engine, Member};
use crate::server::actions::Actions;
use crate::server::auth::{AuthDoor, OkFields, Settings as AuthSettings, Spoken, Tempfail};
use crate::server::current::Current;
use crate::server::fields::Fields;
use crate::server::handover::Handover;
use crate::server::penalty;
use crate::server::policy::{Policy, Settings as PolicySettings};
use crate::server::saslauthd::{self, Saslauthd};
use crate::server::socketmap::{self, Socketmap};
use crate::server::userdb::{Exists, Settings as UserdbSettings, UserdbDoor};
use crate::server::{Deadline, Door, login_limits, recipient_limits};

/// The server of a listener, with those of `members` that it names. All listeners share `handover`.
pub fn door(listener: &Listener, members: &[Arc<Member>], handover: &Arc<Handover>) -> Arc<dyn Door> {
    ListenerDoor::new(listener, members, handover).as_door()
}

/// The server of a listener, by its protocol.
pub(super) enum ListenerDoor {
    Policy(Arc<Current<Policy>>),
    Auth(Arc<Current<AuthDoor>>),
    Socketmap(Arc<Current<Socketmap>>),
    Saslauthd(Arc<Current<Saslauthd>>),
    Userdb(Arc<Current<UserdbDoor>>),
}

impl ListenerDoor {
    pub(super) fn new(listener: &Listener, members: &[Arc<Member>], handover: &Arc<Handover>) -> Self {
        let engine = engine(listener, members);
        match listener.protocol {
            Protocol::Policy => Self::Policy(current(Policy::new(policy(listener), engine))),
            Protocol::Auth | Protocol::Login => {
                Self::Auth(current(AuthDoor::new(auth(listener), engine, handover.clone())))
            }
            Protocol::Socketmap => Self::Socketmap(current(Socketmap::new(socketmap(listener), engine))),
            Protocol::Saslauthd => Self::Saslauthd(current(Saslauthd::new(saslauthd(listener), engine))),
            Protocol::Userdb | Protocol::Master => Self::Userdb(current(UserdbDoor::new(
                userdb(listener),
                engine,
                handover.clone(),
            ))),
        }
    }

    /// Answers as `listener`, which speaks the same protocol, has it from the next question on.
    pub(super) fn change(&self, listener: &Listener, members: &[Arc<Member>]) {
        let engine = engine(listener, members);
        match self {
            Self::Policy(door) => door.change(|door| door.succeeded_by(policy(listener), engine)),
            Self::Auth(door) => door.change(|door| door.succeeded_by(auth(listener), engine)),
            Self::Socketmap(door) => door.change(|door| door.succeeded_by(socketmap(listener), engine)),
            Self::Saslauthd(door) => door.change(|door| door.succeeded_by(saslauthd(listener), engine)),
            Self::Userdb(door) => door.change(|door| door.succeeded_by(userdb(listener), engine)),
        }
    }

    pub(super) fn as_door(&self) -> Arc<dyn Door> {
        match self {
            Self::Policy(door) => door.clone(),
            Self::Auth(door) => door.clone(),
            Self::Socketmap(door) => door.clone(),
            Self::Saslauthd(door) => door.clone(),
            Self::Userdb(door) => door.clone(),
        }
    }
}

fn current<D>(door: D) -> Arc<Current<D>> {
    Arc::new(Current::new(door))
}

/// What a listener asks.
fn engine(listener: &Listener, members: &[Arc<Member>]) -> Engine {
    let asked = asked(listener, members);
    if listener.mechanisms.iter().any(|mechanism| mechanism.is_carried()) {
        for member in &asked {
            tokio::spawn(Member::learn_offers(Arc::downgrade(member)));
        }
    }
    Engine::new(asked, listener.default_domain.clone()).asking_all(listener.any == Any::All)
}

/// Those of `members` that a listener names, in its order.
pub(super) fn asked(listener: &Listener, members: &[Arc<Member>]) -> Vec<Arc<Member>> {
    let member = |name: &String| members.iter().find(|member| **member.name() == **name).cloned();
    listener.directory.iter().filter_map(member).collect()
}

fn policy(listener: &Listener) -> PolicySettings {
    let action = &listener.action;
    PolicySettings {
        name: listener.name.clone(),
        actions: actions(action),
        deadline: listener.deadline_for(None),
        vrfy: action.vrfy,
        dry_run: action.dry_run,
        limits: recipients(listener),
        penalty: penalty(listener),
        access: listener.access.clone(),
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

fn penalty(listener: &Listener) -> Option<penalty::Settings> {
    let penalty = listener.penalty.as_ref()?;
    Some(penalty::Settings {
        door: listener.name.clone(),
        after: penalty.after,
        delay: penalty.delay,
        max_delay: penalty.max_delay,
        forget: penalty.forget,
        refuse_after: penalty.refuse_after,
        exempt: penalty.exempt.clone(),
    })
}

fn auth(listener: &Listener) -> AuthSettings {
    AuthSettings {
        name: listener.name.clone(),
        mechanisms: listener.mechanisms.iter().copied().map(spoken).collect(),
        tempfail: match listener.tempfail {
            TempFail::Auto => Tempfail::Auto,
            TempFail::Close => Tempfail::Close,
            // `NO` is no word of this protocol, and not taken for it.
            TempFail::Fail | TempFail::No => Tempfail::Fail,
        },
        deadline: deadline(listener),
        limits: logins(listener),
        penalty: penalty(listener),
        access: listener.access.clone(),
        hands_over: listener.protocol == Protocol::Login,
        ok: OkFields {
            fields: fields(&listener.ok.fields),
            pass: listener.ok.pass,
            allow_nets: listener.ok.allow_nets.clone(),
        },
        fields: fields(&listener.fields),
    }
}

fn spoken(mechanism: Offered) -> Spoken {
    match mechanism {
        Offered::Plain => Spoken::Password(Mechanism::Plain),
        Offered::Login => Spoken::Password(Mechanism::Login),
        Offered::XOauth2 => Spoken::Carried(Carried::XOauth2),
        Offered::OAuthBearer => Spoken::Carried(Carried::OAuthBearer),
        Offered::CramMd5 => Spoken::Carried(Carried::CramMd5),
        Offered::DigestMd5 => Spoken::Carried(Carried::DigestMd5),
        Offered::ScramSha1 => Spoken::Carried(Carried::ScramSha1),
        Offered::ScramSha256 => Spoken::Carried(Carried::ScramSha256),
    }
}

fn recipients(listener: &Listener) -> recipient_limits::Limits {
    recipient_limits::Limits {
        rcpt: limit(listener.limits.rcpt),
        rcpt_errors: limit(listener.limits.rcpt_errors),
    }
}

fn socketmap(listener: &Listener) -> socketmap::Settings {
    socketmap::Settings {
        name: listener.name.clone(),
        actions: actions(&listener.action),
        deadline: listener.deadline_for(None),
        limits: recipients(listener),
    }
}

fn saslauthd(listener: &Listener) -> saslauthd::Settings {
    saslauthd::Settings {
        name: listener.name.clone(),
        tempfail: if listener.tempfail == TempFail::No {
            saslauthd::Tempfail::No
        } else {
            saslauthd::Tempfail::Close
        },
        join_realm: listener.join_realm,
        deadline: listener.deadline_for(None),
        limits: logins(listener),
    }
}

/// Where `penalty` is off, or the protocol has none, those are exempt who are by default.
fn logins(listener: &Listener) -> login_limits::Limits {
    let penalty = listener.penalty.as_ref();
    login_limits::Limits {
        auth_errors: limit(listener.limits.auth_errors),
        exempt: penalty.map_or_else(|| Penalty::default().exempt, |penalty| penalty.exempt.clone()),
    }
}

fn userdb(listener: &Listener) -> UserdbSettings {
    UserdbSettings {
        name: listener.name.clone(),
        master: listener.protocol == Protocol::Master,
        exists: match listener.exists {
            UserExists::Probe => Exists::Probe,
            UserExists::Domain => Exists::Domain,
        },
        fields: fields(&listener.fields),
        deadline: deadline(listener),
    }
}

fn deadline(listener: &Listener) -> Deadline {
    Deadline {
        smtp: listener.deadline_for(Some(b"smtp")),
        other: listener.deadline_for(None),
    }
}

fn fields(fields: &FieldsOf) -> Fields {
    fields
        .iter()
        .map(|(name, template)| (name.clone(), template.clone()))
        .collect()
}
