//! Users and groups of the system, by name or number.

use nix::unistd::{Gid, Group, User};

/// Why a name stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The system knows no user of that name.
    #[error("there is no user {0}")]
    NoUser(String),
    /// The system knows no group of that name.
    #[error("there is no group {0}")]
    NoGroup(String),
    /// It cannot be asked.
    #[error("cannot look up {0}: {1}")]
    LookUp(String, String),
}

/// The number of a user. As for chown(1), what is no name may be a number.
///
/// # Errors
/// When it is neither, or cannot be looked up.
pub fn uid(name: &str) -> Result<u32, UserError> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => number(name).ok_or_else(|| UserError::NoUser(name.to_owned())),
        Err(error) => Err(look_up("user", name, error)),
    }
}

/// The number of a group, in the same way.
///
/// # Errors
/// When it is neither, or cannot be looked up.
pub fn gid(name: &str) -> Result<u32, UserError> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => number(name).ok_or_else(|| UserError::NoGroup(name.to_owned())),
        Err(error) => Err(look_up("group", name, error)),
    }
}

/// The users whom the system lists as members of a group: not those whose first
/// group it is.
///
/// # Errors
/// When it cannot be asked.
pub fn members(gid: u32) -> Result<Vec<u32>, UserError> {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(group) => {
            let names = group.map(|group| group.mem).unwrap_or_default();
            Ok(names.iter().filter_map(|name| uid(name).ok()).collect())
        }
        Err(error) => Err(look_up("group", &gid.to_string(), error)),
    }
}

/// The last number stands for none: chown(2) then leaves the owner unchanged.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

fn look_up(kind: &str, name: &str, error: nix::Error) -> UserError {
    UserError::LookUp(format!("{kind} {name}"), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!((uid("root"), gid("root")), (Ok(0), Ok(0)));
        assert_eq!((uid("4711"), gid("4712")), (Ok(4711), Ok(4712)));
        assert_eq!(
            uid("no-such-user").unwrap_err().to_string(),
            "there is no user no-such-user"
        );
        assert_eq!(
            gid("no-such-group").unwrap_err().to_string(),
            "there is no group no-such-group"
        );
        for text in ["-1", "4294967295", "4294967296"] {
            assert!(uid(text).is_err() && gid(text).is_err(), "{text}");
        }
    }
}
