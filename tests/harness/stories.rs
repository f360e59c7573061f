//! The requests that the tests of the commit walk through, each on a small folder and on every tier.
//!
//! A story knows what was asked and what the tier promises about it; what happens in it is the explorer's business.

use std::sync::Arc;
use std::time::Duration;

use noclobber::model::path::SharePath;
use noclobber::model::stamp::Timestamp;
use noclobber::store::commit::{Seen, SeenFile, Surprise, Swap, Tree};
use noclobber::store::disk::{Disk, DiskError, Tier};
use noclobber::store::history::{History, KeepLimits};
use noclobber::store::staging::{Staged, Staging};

use super::explore::Story;
use super::invariants::{Answer, Asked, Broken, End, judge};
use super::sim_disk::{Features, SimDisk};
use super::stranger::Act;

/// The file that every request is about.
pub const PATH: &str = "d/a";

/// What the client named, and what was there before.
pub const BEFORE: &str = "S";

/// What it uploads.
pub const UPLOAD: &str = "NN";

const LOOKS_MAX: usize = 5;

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// PUT with `If-Match`.
    PutNamed,
    /// PUT without a condition, over a file.
    Put,
    /// PUT without a condition, where nothing is.
    PutNew,
    /// PUT with `If-None-Match: *`, where nothing is.
    Create,
    /// DELETE with `If-Match`.
    DeleteNamed,
    /// DELETE without a condition.
    Delete,
}

/// A request on a tier.
#[derive(Clone, Debug)]
pub struct Asking {
    /// What is asked.
    pub request: Request,
    /// What the disk can do.
    pub features: Features,
    /// Whether displaced files are kept.
    pub keeps: bool,
    /// Whether the history of the path is there already, and the upload has been staged: then the story is only the commit.
    pub short: bool,
}

/// The server under test, and an upload that is ready.
pub struct Server {
    tree: Tree,
    staged: std::sync::Mutex<Option<Staged>>,
}

impl Asking {
    /// A request on a disk of this tier, from the beginning.
    pub fn of(request: Request, tier: Tier) -> Self {
        Self { request, features: Features::of(tier), keeps: true, short: false }
    }

    /// The same, only the commit.
    pub fn short(request: Request, tier: Tier) -> Self {
        Self { short: true, ..Self::of(request, tier) }
    }

    fn asked(&self) -> Asked {
        use Request::*;
        let upload = (!matches!(self.request, Delete | DeleteNamed)).then_some(UPLOAD);
        let before = (!matches!(self.request, PutNew | Create)).then_some(BEFORE);
        Asked {
            path: PATH,
            upload,
            before,
            conditional: matches!(self.request, PutNamed | DeleteNamed | Create),
            takes_out: self.tier() == Tier::C,
            keeps: self.keeps,
        }
    }

    fn tier(&self) -> Tier {
        self.features.abilities.tier()
    }

    fn stage(&self, disk: &Arc<dyn Disk>, tree: &Tree, now: Timestamp) -> Result<Option<Staged>, DiskError> {
        let Some(bytes) = self.asked().upload else { return Ok(None) };
        let path = path();
        let site = tree.site(&path)?.expect("not the share itself");
        let swap = || tree.history().swap(&path, site.mount);
        let mut staging = Staging::begin(disk, &site.parent, Some(bytes.len() as u64), swap)?;
        staging.write(bytes.as_bytes())?;
        staging.seal(None, now).map(Some)
    }

    fn commit(&self, disk: &SimDisk, server: &Server) -> Result<Answer, DiskError> {
        let now = disk.now();
        let kept = server.staged.lock().expect("whole").take();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut staged = if self.short { kept } else { self.stage(&shared, &server.tree, now)? };
        for _ in 0..LOOKS_MAX {
            let Some(claim) = server.tree.claim(&path())? else { unreachable!("not the share itself") };
            let refuse = |why: &str| Ok(Answer::Refused(why.to_owned()));
            let swap = match (claim.look()?, &mut staged) {
                (Seen::Busy(_), _) => return refuse("423"),
                (Seen::Nothing, Some(_)) if self.request == Request::PutNamed => return refuse("412"),
                (Seen::Nothing, Some(staged)) => claim.create(staged)?,
                (Seen::Nothing, None) => {
                    return refuse(if self.request == Request::DeleteNamed { "412" } else { "404" });
                }
                (Seen::File(_), _) if self.request == Request::Create => return refuse("412"),
                (Seen::File(seen), _) if self.names_another(disk, &seen)? => return refuse("412"),
                (Seen::File(seen), Some(staged)) => claim.replace(seen, staged, self.surprise(), now)?,
                (seen, None) => claim.remove(seen, self.surprise(), now)?,
                _ => return refuse("409"),
            };
            match swap {
                Swap::Done(_) => return Ok(Answer::Done),
                Swap::Lost => {}
                Swap::Busy => return refuse("423"),
                Swap::Spoilt => return refuse("409"),
            }
        }
        Ok(Answer::Refused("409".to_owned()))
    }

    fn surprise(&self) -> Surprise {
        if self.asked().conditional { Surprise::Undo } else { Surprise::Accept }
    }

    fn names_another(&self, disk: &SimDisk, seen: &SeenFile) -> Result<bool, DiskError> {
        let mut bytes = [0; 16];
        let count = disk.read(&seen.file, 0, &mut bytes)?;
        Ok(self.asked().conditional && bytes[..count] != *BEFORE.as_bytes())
    }

    fn server(&self, disk: &SimDisk) -> Server {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let limits = KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 90 };
        let history = History::new(Arc::clone(&shared), self.keeps.then_some(limits));
        Server { tree: Tree::new(shared, history), staged: None.into() }
    }

    /// Displaces something from the path and forgets it, so that its history is there.
    fn warm_up(&self, disk: &SimDisk, server: &Server) {
        disk.place(PATH, "earlier");
        let claim = server.tree.claim(&path()).expect("claim").expect("not the share itself");
        let Seen::File(seen) = claim.look().expect("look") else { unreachable!("it was placed") };
        let removed = claim.remove(Seen::File(seen), Surprise::Undo, disk.now());
        assert!(matches!(removed, Ok(Swap::Done(_))), "nobody is about");
        disk.advance(Duration::from_secs(11));
        server.tree.second_look(disk.now());
        if !self.keeps {
            disk.disown("earlier".as_bytes());
        }
        disk.forget_newest(PATH);
    }
}

impl Story for Asking {
    type Server = Server;

    fn name(&self) -> String {
        let history = if self.keeps { "" } else { ", no history" };
        format!("{:?} on tier {}{history}", self.request, self.tier())
    }

    fn set_up(&self) -> (SimDisk, Server) {
        let disk = SimDisk::new(self.features.clone());
        disk.place_folder("d");
        let server = self.server(&disk);
        if self.short {
            self.warm_up(&disk, &server);
        }
        if let Some(before) = self.asked().before {
            disk.place(PATH, before);
        }
        if self.short {
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            *server.staged.lock().expect("whole") = self.stage(&shared, &server.tree, disk.now()).expect("staged");
        }
        (disk, server)
    }

    fn start(&self, disk: &SimDisk) -> Server {
        let server = self.server(disk);
        server.tree.recover(disk.now()).expect("recovered");
        server
    }

    fn operate(&self, disk: &SimDisk, server: &Server) -> Answer {
        self.commit(disk, server).unwrap_or_else(|error| Answer::Fault(error.to_string()))
    }

    fn look_again(&self, disk: &SimDisk, server: &Server) {
        server.tree.second_look(disk.now());
    }

    fn owe(&self, disk: &SimDisk) {
        match self.asked().upload {
            Some(upload) => disk.owe(upload.as_bytes()),
            None => {}
        }
        if !self.keeps
            && let Some(before) = self.asked().before
        {
            // Nobody is owed what a client replaced while the history is off.
            disk.disown(before.as_bytes());
        }
    }

    fn judge(&self, disk: &SimDisk, end: &End) -> Vec<Broken> {
        judge(disk, &self.asked(), end)
    }

    fn is_known(&self, broken: &Broken, end: &End) -> bool {
        let in_place = end.acts.iter().any(|act| matches!(act, Act::Write { .. }));
        match (broken.invariant, self.tier()) {
            ("carried" | "I3p" | "raised", _) => end.acts.len() >= 2,
            ("I1s", Tier::B | Tier::C) | ("I3", Tier::B) => in_place,
            ("I8", Tier::C) => true,
            _ => false,
        }
    }
}

fn path() -> SharePath {
    SharePath::parse_disk(PATH.as_bytes()).expect("a clean path")
}
