//! A user of this machine, and becoming it.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgroups, setresgid, setresuid};

/// A user of this machine (passwd(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Where what is the user's alone lies.
    pub home: PathBuf,
}

impl Account {
    /// Becomes this user, with the user's groups and no others, for good. Does nothing where that user is the one already.
    ///
    /// # Errors
    /// Where this is not root, who alone may do so.
    pub fn become_it(&self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if geteuid() == uid {
            return Ok(());
        }
        let name = CString::new(self.name.as_str())?;
        initgroups(&name, gid)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        if !uid.is_root() && setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
            return Err(io::Error::other("the way back to root is still open"));
        }
        Ok(())
    }

    /// Gives this user what lies at a path, which takes root where it is another's.
    ///
    /// # Errors
    /// Where that may not be.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }
}

/// Where root does this, becomes this user, with this group and no others, for good: what another user can put into a folder must not have root write
/// elsewhere.
///
/// # Errors
/// What setresuid(2) says.
pub fn give_up_root(uid: u32, gid: u32) -> io::Result<()> {
    if !geteuid().is_root() || uid == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[gid])?;
    setresgid(gid, gid, gid)?;
    Ok(setresuid(uid, uid, uid)?)
}

impl FromStr for Account {
    type Err = String;

    /// Looks a user up by name.
    fn from_str(name: &str) -> Result<Self, String> {
        match User::from_name(name) {
            Ok(Some(user)) => {
                Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), home: user.dir })
            }
            Ok(None) => Err("there is no user of this name on this machine".to_owned()),
            Err(error) => Err(format!("the users of this machine cannot be looked up: {error}")),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
