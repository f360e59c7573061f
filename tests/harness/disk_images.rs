//! File systems to try things on: images of ext4, xfs and btrfs in a loop device, tmpfs, and those behind another program (FUSE). It takes root.
//! Each is unmounted and its image removed when it is dropped; nothing else on the machine is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::programs::StartProgram as _;
use super::{has_program, is_root};

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4, in an image.
    Ext4,
    /// ext3 with small inodes, which keeps whole seconds, in an image.
    Ext3OfWholeSeconds,
    /// xfs, in an image.
    Xfs,
    /// btrfs, in an image.
    Btrfs,
    /// tmpfs, in memory.
    Tmpfs,
}

/// A file system of its own, mounted.
#[derive(Debug)]
pub struct DiskImage {
    mounted: PathBuf,
    // Holds the image and the mount point; removed after the unmount.
    _place: TempDir,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Ext4, Kind::Xfs, Kind::Btrfs, Kind::Tmpfs];

    fn maker(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Kind::Ext4 => Some(("mkfs.ext4", &["-q", "-F"])),
            Kind::Ext3OfWholeSeconds => Some(("mkfs.ext3", &["-q", "-F", "-I", "128"])),
            Kind::Xfs => Some(("mkfs.xfs", &["-q", "-f"])),
            Kind::Btrfs => Some(("mkfs.btrfs", &["-q", "-f"])),
            Kind::Tmpfs => None,
        }
    }

    /// The least size its maker takes, in MiB.
    fn least(self) -> u64 {
        match self {
            Kind::Ext4 | Kind::Ext3OfWholeSeconds | Kind::Tmpfs => 1,
            Kind::Xfs => 320,
            Kind::Btrfs => 128,
        }
    }
}

impl DiskImage {
    /// Makes and mounts one of about so many MiB, or says why that cannot be had here.
    pub fn mount(kind: Kind, mebibytes: u64) -> Result<Self, String> {
        let size = mebibytes.max(kind.least());
        Self::mount_with(kind, size * 1024 * 1024, &format!("size={size}m"))
    }

    /// A tmpfs with these mount options, such as `size=16m,nr_inodes=200`.
    pub fn tmpfs(options: &str) -> Result<Self, String> {
        Self::mount_with(Kind::Tmpfs, 0, options)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mounted
    }

    /// Makes it read-only or writable again under whoever uses it.
    #[track_caller]
    pub fn remount(&self, mode: &str) {
        run("mount", &["-o", &format!("remount,{mode}"), &self.mounted.display().to_string()])
            .expect("it is remounted");
    }

    /// Cuts the power: from here on nothing reaches the image, and what was not synced never did (`FS_IOC_SHUTDOWN`). With
    /// `journal` the file system's journal is still written, but no data: the worst that can be found.
    pub fn cut_power(&self, journal: bool) -> Result<(), String> {
        let script = "import fcntl, os, struct, sys\n\
                      place = os.open(sys.argv[1], os.O_RDONLY)\n\
                      fcntl.ioctl(place, 0x8004587d, struct.pack('I', int(sys.argv[2])))";
        run("python3", &["-c", script, &self.mounted.display().to_string(), if journal { "1" } else { "2" }])
    }

    /// Mounts the image anew, as after a cut; nobody may use it meanwhile.
    #[track_caller]
    pub fn mount_again(&self) {
        let target = self.mounted.display().to_string();
        let image = self.mounted.with_file_name("image").display().to_string();
        // A process that has just been killed may hold it for a moment.
        super::eventually(std::time::Duration::from_secs(10), "the unmount", || run("umount", &[&target]).ok());
        run("mount", &["-o", "loop", &image, &target]).expect("the image can be mounted again");
    }

    fn mount_with(kind: Kind, bytes: u64, options: &str) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting takes root".to_owned());
        }
        let place = tempfile::Builder::new().prefix("noclobber-disk-").tempdir().map_err(|error| error.to_string())?;
        let mounted = place.path().join("mounted");
        fs::create_dir(&mounted).map_err(|error| error.to_string())?;
        let target = mounted.display().to_string();
        let Some((maker, arguments)) = kind.maker() else {
            run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", &target])?;
            return Ok(Self { mounted, _place: place });
        };
        if !has_program(maker) {
            return Err(format!("{maker} is not installed"));
        }
        let image = place.path().join("image");
        let file = fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(bytes).map_err(|error| error.to_string())?;
        let image = image.display().to_string();
        run(maker, &[arguments, &[image.as_str()]].concat())?;
        run("mount", &["-o", "loop", &image, &target])?;
        Ok(Self { mounted, _place: place })
    }
}

/// A file system behind another program, unmounted when it is dropped.
#[derive(Debug)]
pub struct FuseDisk {
    mounted: PathBuf,
    loop_device: Option<String>,
    // Holds the mount point, and the image or the folder behind it.
    _place: TempDir,
}

impl FuseDisk {
    /// A folder of this machine once more: links and nothing more.
    pub fn bindfs() -> Result<Self, String> {
        Self::new("bindfs", |place, mounted| {
            let behind = place.join("behind");
            fs::create_dir(&behind).map_err(|error| error.to_string())?;
            run("bindfs", &[&behind.display().to_string(), mounted]).map(|()| None)
        })
    }

    /// This folder once more, with what is mounted in it.
    pub fn bindfs_of(behind: &Path) -> Result<Self, String> {
        Self::new("bindfs", |_, mounted| run("bindfs", &[&behind.display().to_string(), mounted]).map(|()| None))
    }

    /// exFAT: not even links, and names that differ in the letters' case are one.
    pub fn exfat() -> Result<Self, String> {
        Self::on_loop_device("mount.exfat-fuse", ("mkfs.exfat", &[]), 64, &[])
    }

    /// NTFS, told that names which differ in the letters' case are one.
    pub fn ntfs_that_folds() -> Result<Self, String> {
        Self::on_loop_device("lowntfs-3g", ("mkntfs", &["-Q", "-F"]), 64, &["-o", "ignore_case"])
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mounted
    }

    fn on_loop_device(
        program: &str,
        (maker, arguments): (&str, &[&str]),
        mebibytes: u64,
        options: &[&str],
    ) -> Result<Self, String> {
        Self::new(program, |place, mounted| {
            let image = place.join("image");
            fs::File::create(&image)
                .and_then(|file| file.set_len(mebibytes << 20))
                .map_err(|error| error.to_string())?;
            let image = image.display().to_string();
            run(maker, &[arguments, &[image.as_str()]].concat())?;
            let device = tell("losetup", &["--find", "--show", &image])?;
            match run(program, &[options, &[device.as_str(), mounted]].concat()) {
                Ok(()) => Ok(Some(device)),
                Err(why) => {
                    let _ = run("losetup", &["--detach", &device]);
                    Err(why)
                }
            }
        })
    }

    fn new(program: &str, mount: impl FnOnce(&Path, &str) -> Result<Option<String>, String>) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting takes root".to_owned());
        }
        if !has_program(program) {
            return Err(format!("{program} is not installed"));
        }
        let place = tempfile::Builder::new().prefix("noclobber-fuse-").tempdir().map_err(|error| error.to_string())?;
        let mounted = place.path().join("mounted");
        fs::create_dir(&mounted).map_err(|error| error.to_string())?;
        let loop_device = mount(place.path(), &mounted.display().to_string())?;
        Ok(Self { mounted, loop_device, _place: place })
    }
}

/// A folder that is mounted at another place too; it goes when it is dropped.
#[derive(Debug)]
pub struct Bound(PathBuf);

impl Bound {
    /// Mounts `folder` at `place`, which is there.
    pub fn at(place: &Path, folder: &Path) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting takes root".to_owned());
        }
        run("mount", &["--bind", &folder.display().to_string(), &place.display().to_string()])?;
        Ok(Self(place.to_owned()))
    }
}

impl Drop for DiskImage {
    fn drop(&mut self) {
        unmount(&self.mounted);
    }
}

impl Drop for FuseDisk {
    fn drop(&mut self) {
        unmount(&self.mounted);
        if let Some(device) = &self.loop_device {
            let _ = run("losetup", &["--detach", device]);
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

/// A process that is just ending may still hold it for a moment; lazily it goes in any case.
fn unmount(place: &Path) {
    let place = place.display().to_string();
    if run("umount", &[&place]).is_err() {
        let _ = run("umount", &["-l", &place]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    tell(program, arguments).map(drop)
}

fn tell(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    command.args(arguments).env("PATH", path).stdin(Stdio::null());
    let output = command.run().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
