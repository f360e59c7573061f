//! What a process may still reach once it has opened what it needs: some folders, and no network but its open sockets (landlock(7)).

use std::path::{Path, PathBuf};

use super::locked_file::folder_of;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};

/// What the kernel is asked to hold a process to, as far as it can: the rights of Linux 6.15.
const ASKED_FOR: ABI = ABI::V7;

/// What it must be able to hold a process to. Before Linux 5.19 whoever was held to anything could rename nothing into another folder.
const REQUIRED: ABI = ABI::V2;

/// What may be done with files that are beneath something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything but running them.
    All,
    /// Files are read.
    Read,
    /// Files are made, and written to.
    Append,
    /// Names are removed that are no folders.
    Remove,
}

/// The bounds of a process, and what its files are found by: the kernel knows a folder for as long as somebody has it open.
#[derive(Debug)]
pub struct Confinement {
    _places: Vec<PathFd>,
}

impl Reach {
    fn rights(self) -> BitFlags<AccessFs> {
        match self {
            Self::All => AccessFs::from_all(ASKED_FOR) & !(AccessFs::Execute | AccessFs::IoctlDev),
            Self::Read => AccessFs::ReadFile.into(),
            Self::Append => AccessFs::WriteFile | AccessFs::MakeReg,
            Self::Remove => AccessFs::RemoveFile.into(),
        }
    }
}

impl Confinement {
    /// Confines this thread, and all that it starts from now on, for good: of all files it opens, makes, changes and removes those that are
    /// beneath these places as is said there, connects to nothing and binds nothing by TCP, and sends no signal to other programs. What is open
    /// stays open. It may still ask for the status of every file. Places that are missing are left out.
    ///
    /// # Errors
    /// Why nothing was confined.
    pub fn begin(places: impl IntoIterator<Item = (PathBuf, Reach)>) -> Result<Self, NotConfined> {
        let reach = places.into_iter().filter_map(|(path, reach)| Some((PathFd::new(path).ok()?, reach)));
        let reach: Vec<_> = reach.collect();
        confine(&reach)?;
        Ok(Self { _places: reach.into_iter().map(|(place, _)| place).collect() })
    }
}

/// Why a process is not confined.
#[derive(Debug, thiserror::Error)]
pub enum NotConfined {
    /// The kernel cannot, or whoever started the process does not let it.
    #[error("there is no Landlock here: it takes Linux 5.19, unless that or a container leaves it out")]
    Unsupported,
    /// It failed.
    #[error(transparent)]
    Failed(#[from] RulesetError),
}

fn confine(reach: &[(PathFd, Reach)]) -> Result<(), NotConfined> {
    let required = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let required = required.handle_access(AccessFs::from_all(REQUIRED)).map_err(|_| NotConfined::Unsupported)?;
    let mut ruleset = required
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ASKED_FOR))?
        .handle_access(AccessNet::from_all(ASKED_FOR))?
        .scope(Scope::from_all(ASKED_FOR))?
        .create()?;
    for (place, reach) in reach {
        ruleset = ruleset.add_rule(PathBeneath::new(place, reach.rights()))?;
    }
    ruleset.restrict_self()?;
    Ok(())
}

/// Where a file is looked for that may be replaced by another one: the folder that its path names, and the one that it really lies in. What is no
/// regular file, such as a terminal, stays what it is.
pub fn places_of(file: &Path) -> Vec<PathBuf> {
    let folder = |path: &Path| folder_of(path).to_owned();
    match std::fs::canonicalize(file) {
        Ok(real) if !real.is_file() => vec![real],
        Ok(real) => vec![folder(file), folder(&real)],
        // A link that leads to what is still to be made.
        Err(_) => match std::fs::read_link(file) {
            Ok(to) => vec![folder(file), folder(&folder(file).join(to))],
            Err(_) => vec![folder(file)],
        },
    }
}
