//! The mode, owner, access control list and user attributes of one open file, given to another. At no moment does the other
//! one grant more than the first. Labels of security modules are left to the system.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;

type Result<T> = std::result::Result<T, Errno>;

/// Where Linux keeps an access control list (acl(5)).
const ACL: &[u8] = b"system.posix_acl_access";

/// The largest list of names and the largest value that an attribute can have, in bytes (xattr(7)).
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;

/// Copies what can be copied; what this user may not set is left, and the mode is narrowed to fit.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let asked = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID;
    let source = rustix::fs::statx(from, c"", AtFlags::EMPTY_PATH, asked)?;
    let target = rustix::fs::statx(to, c"", AtFlags::EMPTY_PATH, asked)?;
    // What set-group-ID means for a folder is harmless: what is made in it has its group.
    let is_folder = FileType::from_raw_mode(source.stx_mode.into()) == FileType::Directory;
    let (kept, owners) = if is_folder { (0o3777, 0o700) } else { (0o1777, 0o600) };
    let mode = u32::from(source.stx_mode) & kept;
    let names = names_of(from)?;
    let is_the_same = u32::from(target.stx_mode) & 0o7777 == mode
        && (target.stx_uid, target.stx_gid) == (source.stx_uid, source.stx_gid);
    if is_the_same && names.is_empty() && names_of(to)?.is_empty() {
        return Ok(());
    }

    // The owner's alone until the end. User attributes come first: setting them takes the right to write.
    set_mode(to, owners)?;
    for name in names.split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        copy_attribute(from, to, name)?;
    }
    set_mode(to, mode & 0o700)?;

    let same_group = own(to, (source.stx_uid, source.stx_gid), (target.stx_uid, target.stx_gid))?;
    let has_list = names.split(|byte| *byte == 0).any(|name| name == ACL);
    if !has_list {
        // The folder's default list may have given it one.
        lenient(rustix::fs::fremovexattr(to, ACL))?;
        return set_mode(to, if same_group { mode } else { narrowed(mode) });
    }
    // Without its list the group's bits of the mode would mean something else (acl(5)).
    if !same_group || !copy_attribute(from, to, ACL)? {
        return Ok(());
    }
    set_mode(to, mode)
}

/// Gives a new file or folder the group of a folder that hands its group on (inode(7)); a folder then hands it on as well.
pub(super) fn inherit_group(folder: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let asked = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID;
    let above = rustix::fs::statx(folder, c"", AtFlags::EMPTY_PATH, asked)?;
    if above.stx_mode & 0o2000 == 0 {
        return Ok(());
    }
    lenient(rustix::fs::fchown(to, None, Some(Gid::from_raw(above.stx_gid))))?;
    let made = rustix::fs::statx(to, c"", AtFlags::EMPTY_PATH, asked)?;
    if made.stx_gid == above.stx_gid && FileType::from_raw_mode(made.stx_mode.into()) == FileType::Directory {
        set_mode(to, u32::from(made.stx_mode) & 0o7777 | 0o2000)?;
    }
    Ok(())
}

/// What is left of a mode for a file whose group could not be kept: the old group's members are now among the others, and
/// the new group's members were among the others before.
fn narrowed(mode: u32) -> u32 {
    let both = (mode >> 3) & mode & 0o7;
    mode & !0o077 | both << 3 | both
}

/// Sets owner and group as far as may be; says whether the group is right.
fn own(file: BorrowedFd<'_>, wanted: (u32, u32), is: (u32, u32)) -> Result<bool> {
    if wanted == is {
        return Ok(true);
    }
    let (owner, group) = (Some(Uid::from_raw(wanted.0)), Some(Gid::from_raw(wanted.1)));
    if lenient(rustix::fs::fchown(file, owner, group))? {
        return Ok(true);
    }
    Ok(wanted.1 == is.1 || lenient(rustix::fs::fchown(file, None, group))?)
}

/// Sets the permissions, as far as may be.
pub(super) fn set_mode(file: BorrowedFd<'_>, mode: u32) -> Result<()> {
    lenient(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))).map(|_| ())
}

fn names_of(file: BorrowedFd<'_>) -> Result<Vec<u8>> {
    match rustix::fs::flistxattr_query(file) {
        Ok(0) | Err(Errno::OPNOTSUPP | Errno::PERM) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(errno) => return Err(errno),
    }
    let mut names = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = rustix::fs::flistxattr(file, &mut *names)?;
    names.truncate(length);
    Ok(names)
}

/// Copies one attribute; says whether the target has it now.
fn copy_attribute(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8]) -> Result<bool> {
    let mut value = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = match rustix::fs::fgetxattr(from, name, &mut *value) {
        Ok(length) => length,
        // It has vanished, or may not be read.
        Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    lenient(rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()))
}

/// Says whether it was done; that this user or this file system may not is no error.
fn lenient(done: Result<()>) -> Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::NODATA | Errno::INVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}
