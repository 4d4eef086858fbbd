//! Gives up what only root may do.

use std::ffi::CString;

use nix::sys::prctl;
use nix::unistd::{Gid, ROOT, Uid, User, getresgid, getresuid, initgroups, setresgid, setresuid, setuid};

use super::user::UserError;

/// A user that a process can run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the first group.
    pub gid: u32,
}

/// Why the process is not who it should be.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The system refused a step on the way.
    #[error("{0}: {1}")]
    Step(&'static str, nix::Error),
    /// Root can be gained back.
    #[error("the system did not take root's rights away")]
    Kept,
}

/// The user of that name, or of that number; nothing if there is none.
///
/// # Errors
/// When the system cannot be asked.
pub fn account(name: &str) -> Result<Option<Account>, UserError> {
    let look_up = |error: nix::Error| UserError::LookUp(format!("user {name}"), error.to_string());
    let mut user = User::from_name(name).map_err(look_up)?;
    if let (None, Ok(number)) = (&user, name.parse()) {
        user = User::from_uid(Uid::from_raw(number)).map_err(look_up)?;
    }
    Ok(user.map(|user| Account {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    }))
}

/// Permanently drops privileges to that user, with the user's groups.
///
/// # Errors
/// What the system refused. The process is then neither here nor there, and is to
/// end.
pub fn become_user(account: &Account) -> Result<(), PrivilegeError> {
    let step = |name| move |error| PrivilegeError::Step(name, error);
    let name = CString::new(account.name.as_str()).map_err(|_| step("initgroups")(nix::Error::EINVAL))?;
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    // Groups first: once it is not root any more, the process may change none.
    initgroups(&name, gid).map_err(step("initgroups"))?;
    setresgid(gid, gid, gid).map_err(step("setresgid"))?;
    setresuid(uid, uid, uid).map_err(step("setresuid"))?;
    // Seen to have happened: there are systems that keep capabilities beyond it.
    let users = getresuid().map_err(step("getresuid"))?;
    let groups = getresgid().map_err(step("getresgid"))?;
    let changed = [users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3];
    if !changed || (!uid.is_root() && setuid(ROOT).is_ok()) {
        return Err(PrivilegeError::Kept);
    }
    Ok(())
}

/// From here on no program that this process could start has more rights than it.
///
/// # Errors
/// When the kernel does not know of it.
pub fn no_new_privileges() -> Result<(), PrivilegeError> {
    prctl::set_no_new_privs().map_err(|error| PrivilegeError::Step("no_new_privs", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_name_and_number() {
        let root = account("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(account("0").unwrap().unwrap(), root);
        assert_eq!(account("no-such-user").unwrap(), None);
    }
}
