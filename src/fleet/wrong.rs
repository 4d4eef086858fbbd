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
    /// To keep a part of a value.
    Tell,
    /// To pass on that something was purged.
    Announce,
    /// Of a Sentinel: for its primary.
    Primary,
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
    #[error("it is a replica, which keeps nothing: name the primary in fleet.store, or their Sentinels")]
    Replica,
    /// It watches over others.
    #[error("it is a Sentinel, which keeps nothing: write \"sentinel:NAME@HOST:PORT\" in fleet.store")]
    Sentinel,
    /// It wants to have replicas.
    #[error("it keeps nothing without its replicas: start them, or set its min-replicas-to-write to 0")]
    NoReplicas,
    /// It lets in no other host.
    #[error("it lets in nobody without a password from another host: give it the users of docs/fleet.md")]
    Protected,
    /// It has as many clients as it takes.
    #[error("it has all the clients that it takes: raise its maxclients, or see CLIENT LIST at the store")]
    Crowded,
    /// It runs a script for long.
    #[error(
        "it is busy with a script that is not of vouch: run SCRIPT KILL at the store, and use it for vouch alone"
    )]
    Busy,
    /// It has only just started.
    #[error("it is still loading its data")]
    Loads,
    /// It wants to write to a disk, and cannot.
    #[error("it keeps nothing while it cannot write its snapshot: set its save to \"\", vouch needs none")]
    NoSnapshot,
    /// Others change what we change.
    #[error("its record of purges is changed by others all the time: it is tried again at once")]
    Contested,
    /// It is one part of a cluster.
    #[error(
        "it is part of a cluster, which vouch does not speak to: name servers that stand alone in fleet.store"
    )]
    Cluster,
    /// It lacks a command.
    #[error(
        "it has no command {0}: take that out of its rename-command; it must be Valkey or Redis, 7.0 or later"
    )]
    Lacks(&'static str),
    /// It is nothing that we know.
    #[error("its answer is not understood: it must be Valkey or Redis, 7.0 or later")]
    Strange(Step),
}

impl Wrong {
    /// What an error of the store means that begins with this code.
    #[cfg(feature = "fleet")]
    pub(super) fn by_code(step: Step, code: &str, detail: &str) -> Self {
        match code {
            "NOAUTH" => Self::NoPassword,
            "WRONGPASS" => Self::Password,
            "NOPERM" => Self::NoRight(step),
            "OOM" => Self::Full,
            "READONLY" | "MASTERDOWN" => Self::Replica,
            "NOREPLICAS" => Self::NoReplicas,
            "LOADING" => Self::Loads,
            "BUSY" => Self::Busy,
            "MISCONF" => Self::NoSnapshot,
            "DENIED" => Self::Protected,
            "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "CROSSSLOT" => Self::Cluster,
            "ERR" if detail.starts_with("max number of clients") => Self::Crowded,
            _ => Self::Strange(step),
        }
    }
}

const fn right(step: Step) -> &'static str {
    match step {
        Step::SignIn => "sign in",
        Step::Read => "read",
        Step::Write => "write",
        Step::Primary => "ask for the primary",
        Step::Put => "PFADD and PEXPIRE",
        Step::Count => "PFCOUNT",
        Step::Tell => "SETRANGE and PEXPIRE",
        Step::Announce => "PUBLISH and SUBSCRIBE in channels &vouch1:*",
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As Redis 7.0.15, Redis 8.0.2 and Valkey 8.1.1 have it.
    #[test]
    fn an_error_of_a_store_is_known_by_its_code() {
        for (line, wrong) in [
            ("NOAUTH Authentication required.", Wrong::NoPassword),
            (
                "WRONGPASS invalid username-password pair or user is disabled.",
                Wrong::Password,
            ),
            (
                "NOPERM this user has no permissions to run the 'get' command",
                Wrong::NoRight(Step::Read),
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Wrong::Full,
            ),
            (
                "READONLY You can't write against a read only replica.",
                Wrong::Replica,
            ),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                Wrong::Replica,
            ),
            ("NOREPLICAS Not enough good replicas to write.", Wrong::NoReplicas),
            ("LOADING Redis is loading the dataset in memory", Wrong::Loads),
            (
                "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
                Wrong::Busy,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                Wrong::NoSnapshot,
            ),
            (
                "DENIED Redis is running in protected mode because protected mode is enabled",
                Wrong::Protected,
            ),
            ("MOVED 3999 127.0.0.1:6381", Wrong::Cluster),
            ("CLUSTERDOWN Hash slot not served", Wrong::Cluster),
            ("ERR max number of clients reached", Wrong::Crowded),
            (
                "ERR unknown command 'GET', with args beginning with: 'x'",
                Wrong::Strange(Step::Read),
            ),
            ("", Wrong::Strange(Step::Read)),
        ] {
            let (code, detail) = line.split_once(' ').unwrap_or((line, ""));
            assert_eq!(Wrong::by_code(Step::Read, code, detail), wrong, "{line}");
        }
    }
}
