//! Which file systems are mounted below a folder. A rename takes them along, without a word (rename(2)), so it has to be asked before.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

/// Where Linux lists what is mounted, as this process sees it (proc_pid_mountinfo(5)).
const MOUNTS: &str = "/proc/self/mountinfo";

/// Whether anything is mounted below an open folder; `handles` is `/proc/self/fd`.
pub(super) fn any_below(handles: BorrowedFd<'_>, folder: BorrowedFd<'_>) -> Result<bool, Errno> {
    let place = rustix::fs::readlinkat(handles, folder.as_raw_fd().to_string(), Vec::new())?;
    let mounts = std::fs::read(MOUNTS).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(any_point_below(&mounts, place.as_bytes()))
}

/// Whether one of the mount points that this text lists lies below a place.
fn any_point_below(mounts: &[u8], place: &[u8]) -> bool {
    let points = mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points
        .map(unescaped)
        .any(|point| point.strip_prefix(place).is_some_and(|rest| rest.first() == Some(&b'/') && rest.len() > 1))
}

/// Blanks, line ends and backslashes are written as three octal digits.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                text = after;
            }
            _ => {
                plain.push(*first);
                text = rest;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_below_and_nowhere_else() {
        let mounts = b"21 1 8:1 / / rw - ext4 /dev/a rw\n\
            36 21 0:30 / /srv/share/a\\040b/usb rw shared:1 - vfat /dev/b rw\n\
            37 21 0:31 / /srv/other rw - tmpfs none rw\n";
        for (place, expected) in [
            ("/srv/share", true),
            ("/srv/share/a b", true),
            ("/srv/share/a b/usb", false),
            ("/srv/share/a", false),
            ("/srv/sha", false),
            ("/srv", true),
            ("/tmp", false),
        ] {
            assert_eq!(any_point_below(mounts, place.as_bytes()), expected, "{place}");
        }
    }
}
