//! What can be wrong with a store, and what to do about it: in words of ours alone, since a store is not believed.

use crate::session::{Error, Kind};

/// What a store was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "fleet"), allow(dead_code))]
pub(super) enum Step {
    /// To let us in.
    SignIn,
    /// For a value.
    Read,
    /// To keep one.
    Write,
    /// To put a mark into a count.
    Put,
    /// For a count.
    Count,
}

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "fleet"), allow(dead_code))]
pub(super) enum Wrong {
    /// It cannot be reached, or its TLS is not good.
    #[error("{0}")]
    Unreachable(String),
    /// No answer within the patience.
    #[error("no answer in time: it hangs, or is too far away for fleet.patience")]
    Slow,
    /// It has ended the connection.
    #[error("it has ended the connection")]
    Ended,
    /// It wants to know who we are.
    #[error("it wants a password: set fleet.user and fleet.password-file")]
    NoPassword,
    /// It does not know us.
    #[error("it refuses the password: see fleet.user and fleet.password-file, and ACL LIST at the store")]
    Password,
    /// It does not let us.
    #[error("its user has no right to {}: give it the rights of docs/fleet.md (ACL SETUSER)", right(*.0))]
    NoRight(Step),
    /// It has no room.
    #[error("it is full: set its maxmemory-policy to allkeys-lfu, or give it more memory")]
    Full,
    /// It is not the one that is written to.
    #[error("it is a replica, which keeps nothing: name the primary in fleet.store")]
    Replica,
    /// It has only just started.
    #[error("it is still loading its data")]
    Loads,
    /// It wants to write to a disk, and cannot.
    #[error("it keeps nothing while it cannot write its snapshot: set its save to \"\", vouch needs none")]
    NoSnapshot,
    /// It is one part of a cluster.
    #[error(
        "it is a node of a cluster, which vouch does not speak to: name stores that stand alone in fleet.store"
    )]
    Cluster,
    /// It is nothing that we know.
    #[error("its answer is not understood: it must be Valkey or Redis, 7.0 or later")]
    Strange(Step),
}

const fn right(step: Step) -> &'static str {
    match step {
        Step::SignIn => "sign in",
        Step::Read => "read",
        Step::Write => "write",
        Step::Put => "PFADD and PEXPIRE",
        Step::Count => "PFCOUNT",
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        let keys = match error.kind() {
            Kind::Tls | Kind::Config => "fleet.store and fleet.ca-file, and tls-port at the store",
            _ => "fleet.store, and whether the store runs and lets this host connect",
        };
        Self::Unreachable(format!("{error}; see {keys}"))
    }
}
