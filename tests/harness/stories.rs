//! The requests that the tests of the commit walk through, each on a small folder and on every tier.
//!
//! A story knows what was asked and what the tier promises about it; what happens in it is the explorer's business.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use noclobber::model::author::{Author, WayIn};
use noclobber::model::chunk_name::ChunkName;
use noclobber::model::content_hash::ContentHash;
use noclobber::model::path::SharePath;
use noclobber::model::precondition::{ConditionalFields, Precondition};
use noclobber::model::principal::Principal;
use noclobber::model::stamp::Timestamp;
use noclobber::model::tag::EntityTag;
use noclobber::model::update_range::UpdateRange;
use noclobber::model::version::VersionId;
use noclobber::share::outcome::{Outcome, Stop};
use noclobber::share::{
    Begun, ChosenId, ChunkStart, CopyLimit, Dialect, HeldUpload, PartBytes, PartialWrite, RequestContext, Share,
    ShareSettings, Upload, UploadId, UploadName,
};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::local::commit::Tree;
use noclobber::store::local::history::KeepLimits;

use super::explore::Story;
use super::invariants::{Answer, Asked, Broken, End, judge};
use super::sim_disk::{Features, SimDisk};
use super::stranger::Act;

/// The file that requests for files are about.
pub const PATH: &str = "d/a";

/// The file in the folder that requests for folders are about.
pub const INSIDE: &str = "d/f/x";

/// What the client named, and what was there before.
pub const BEFORE: &str = "S";

/// What it uploads.
pub const UPLOAD: &str = "NN";

/// What was there before, and what is uploaded behind it.
pub const APPENDED: &str = "SNN";

/// What the upload that goes on is called.
const HALF_DONE: UploadId = UploadId::from_random([7; 16]);

/// What a restore brings back.
const EARLIER: &str = "earlier";

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// PUT with `If-Match`.
    PutNamed,
    /// PUT with `If-Match`, over a file that is too large to be hashed under the mutex.
    PutNamedLarge,
    /// An upload that goes on after it was left, with `If-Match`.
    Resume,
    /// An upload in two chunks, with `If-Match`.
    Chunks,
    /// PUT without a condition, over a file.
    Put,
    /// PUT without a condition, where nothing is.
    PutNew,
    /// PUT with `If-None-Match: *`, where nothing is.
    Create,
    /// PATCH with `If-Match`, which appends.
    PatchNamed,
    /// PATCH without a condition, which writes over all there is.
    Patch,
    /// DELETE with `If-Match`.
    DeleteNamed,
    /// DELETE without a condition.
    Delete,
    /// DELETE of a folder with a file in it.
    DeleteFolder,
    /// MKCOL.
    MakeFolder,
    /// POST of a version that is to come back over the file, with `If-Match`.
    Restore,
    /// POST of a folder that is to come back.
    RestoreFolder,
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
    /// Whether the history of the path is there already, and the upload has been written: then the story is little more than the commit.
    pub short: bool,
}

/// The server under test.
pub struct Server {
    /// The share.
    pub share: Share,
    upload: Mutex<Option<Upload>>,
    version: Mutex<Option<VersionId>>,
}

impl Request {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::PutNamed,
        Self::Resume,
        Self::Chunks,
        Self::PutNamedLarge,
        Self::Put,
        Self::PutNew,
        Self::Create,
        Self::PatchNamed,
        Self::Patch,
        Self::DeleteNamed,
        Self::Delete,
        Self::DeleteFolder,
        Self::MakeFolder,
        Self::Restore,
        Self::RestoreFolder,
    ];

    /// The file by which the outcome is judged.
    pub fn judged_at(self) -> &'static str {
        match self {
            Self::DeleteFolder | Self::RestoreFolder => INSIDE,
            _ => PATH,
        }
    }

    /// What it asks for.
    pub fn path(self) -> SharePath {
        match self {
            Self::DeleteFolder | Self::RestoreFolder => share_path("d/f"),
            _ => share_path(PATH),
        }
    }

    fn before(self) -> Option<&'static str> {
        let nothing = matches!(self, Self::PutNew | Self::Create | Self::MakeFolder | Self::RestoreFolder);
        (!nothing).then_some(BEFORE)
    }

    fn brings(self) -> Option<&'static str> {
        match self {
            Self::Delete | Self::DeleteNamed | Self::DeleteFolder | Self::MakeFolder => None,
            Self::Restore | Self::RestoreFolder => Some(EARLIER),
            Self::PatchNamed => Some(APPENDED),
            _ => Some(UPLOAD),
        }
    }

    fn uploads(self) -> bool {
        self.brings() == Some(UPLOAD) && self != Self::Patch
    }

    fn precondition(self) -> Precondition {
        let tag = tag_of(BEFORE);
        match self {
            Self::PutNamed
            | Self::PutNamedLarge
            | Self::PatchNamed
            | Self::Resume
            | Self::Chunks
            | Self::DeleteNamed
            | Self::Restore => if_match(&tag),
            Self::Create => Precondition::nothing_there(),
            _ => Precondition::default(),
        }
    }
}

impl Asking {
    /// A request on a disk of this tier, from the beginning.
    pub fn of(request: Request, tier: Tier) -> Self {
        Self { request, features: Features::of(tier), keeps: true, short: false }
    }

    /// A request on every kind of disk.
    pub fn everywhere(request: Request) -> [Self; 5] {
        let [a, b, c, d] = [Tier::A, Tier::B, Tier::C, Tier::D].map(|tier| Self::of(request, tier));
        [a, b, c, Self::with_links_only(request), d]
    }

    /// A request on a disk that has links, but can neither exchange names nor refuse to rename over one.
    pub fn with_links_only(request: Request) -> Self {
        Self { features: Features::with_links_only(), ..Self::of(request, Tier::C) }
    }

    /// As [`Asking::of`], from the end of the body.
    pub fn short(request: Request, tier: Tier) -> Self {
        Self::of(request, tier).shortened()
    }

    /// The same, from the end of the body.
    pub fn shortened(self) -> Self {
        Self { short: true, ..self }
    }

    /// The same with the history off.
    pub fn without_history(self) -> Self {
        Self { keeps: false, ..self }
    }

    /// A server on a disk of this tier, where nothing has happened yet.
    pub fn set_up_for_moves(&self) -> (SimDisk, Server) {
        let disk = SimDisk::new(self.features.clone());
        disk.place_folder("d");
        let server = self.server(&disk);
        (disk, server)
    }

    fn asked(&self) -> Asked {
        Asked {
            path: self.request.judged_at(),
            upload: self.request.brings(),
            before: self.request.before(),
            conditional: !self.request.precondition().is_empty(),
            takes_out: self.tier() == Tier::C,
            source: None,
            renames_over: self.tier() == Tier::D,
        }
    }

    fn brings(&self) -> Option<&'static [u8]> {
        self.request.brings().map(str::as_bytes)
    }

    fn tier(&self) -> Tier {
        self.features.abilities.tier()
    }

    /// A server on this disk, after whatever recovery it needs.
    pub fn server(&self, disk: &SimDisk) -> Server {
        let threshold = if self.request == Request::PutNamedLarge { 0 } else { 1 << 20 };
        let limits = KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 90 };
        let settings = ShareSettings {
            keep: self.keeps.then_some(limits),
            require_preconditions: false,
            tag_threshold: threshold,
            hashing_max: 1,
            syncs: true,
            ..ShareSettings::default()
        };
        let opened = Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), settings, disk.now());
        Server {
            share: opened.expect("nothing fails at the start"),
            upload: Mutex::default(),
            version: Mutex::default(),
        }
    }

    /// Displaces something from the path, so that there is a history, and forgets it.
    fn warm_up(&self, disk: &SimDisk, server: &Server) {
        let (at, path) = (self.request.judged_at(), self.request.path());
        disk.place(at, EARLIER);
        let removed = server.share.delete(&path, &RequestContext::unconditional(disk.now())).expect("nobody is about");
        *server.version.lock().expect("whole") = removed.displaced;
        disk.advance(Duration::from_secs(11));
        server.share.tick(disk.now());
        if !self.keeps {
            disk.disown(EARLIER.as_bytes());
        }
        disk.forget_newest(at);
    }

    fn upload(&self, disk: &SimDisk, server: &Server) -> Outcome<Upload> {
        let mut upload = server.share.begin_upload(&self.request.path(), Some(UPLOAD.len() as u64), disk.now())?;
        server.share.write(&mut upload, UPLOAD.as_bytes(), disk.now())?;
        Ok(upload)
    }

    /// Begins an upload that goes on, and writes this of it.
    fn half_done(&self, disk: &SimDisk, server: &Server, bytes: &[u8]) -> Outcome<HeldUpload> {
        let (path, now) = (self.request.path(), disk.now());
        let (dialect, owner) = (Dialect::Draft, Principal::Anonymous);
        let begun = Begun { dialect, owner, path, make_parents: false, fields: Vec::new(), at: now };
        let named = somebodys(self.request.precondition(), now);
        let share = &server.share;
        let mut held = share.begin_resumable(&HALF_DONE, begun, Some(UPLOAD.len() as u64), &named)?;
        share.write_on(&mut held, bytes, now)?;
        Ok(held)
    }

    /// Goes on with that upload to its end.
    fn resume(&self, disk: &SimDisk, server: &Server) -> Outcome<()> {
        let (share, now) = (&server.share, disk.now());
        if !self.short {
            drop(self.half_done(disk, server, &UPLOAD.as_bytes()[..1])?);
        }
        let name = UploadName::Secret(&HALF_DONE);
        let taken = share.take_up_upload(name, &Principal::Anonymous, Dialect::Draft, Box::new(|| {}))?;
        let mut held = taken.expect("nobody writes at it");
        let rest = &UPLOAD.as_bytes()[held.written() as usize..];
        share.write_on(&mut held, rest, now)?;
        let named = somebodys(self.request.precondition(), now);
        share.finish_upload(held, &self.request.path(), false, None, &named).map(drop)
    }

    /// Begins an upload in chunks, and brings them.
    fn chunks(&self, disk: &SimDisk, server: &Server) -> Outcome<()> {
        let (path, now) = (self.request.path(), disk.now());
        let (dialect, owner) = (Dialect::Chunks, Principal::Anonymous);
        let begun = Begun { dialect, owner, path, make_parents: false, fields: Vec::new(), at: now };
        let (share, named) = (&server.share, somebodys(self.request.precondition(), now));
        share.begin_chunked(&chosen(), begun, Some(UPLOAD.len() as u64), &named)?;
        for (number, byte) in UPLOAD.bytes().enumerate() {
            let start = ChunkStart { name: ChunkName::Number(number as u64 + 1), bytes: Some(1), total: None };
            let mut chunk = share.begin_chunk(&chosen(), &Principal::Anonymous, start, now)?;
            share.write_chunk(&mut chunk, &[byte], now)?;
            share.end_chunk(chunk)?;
        }
        Ok(())
    }

    /// Makes the file of those chunks.
    fn make_of_chunks(&self, disk: &SimDisk, server: &Server) -> Outcome<()> {
        let (share, path, now) = (&server.share, self.request.path(), disk.now());
        if !self.short {
            self.chunks(disk, server)?;
        }
        let named = somebodys(self.request.precondition(), now);
        let end = share.end_chunked(&chosen(), &Principal::Anonymous, None, now)?;
        let upload = share.put_together(&end, &path, &named, CopyLimit::UNLIMITED, &mut |_| {})?;
        let stored = share.put(&path, upload, None, &named)?;
        share.chunked_is_stored(end, &path, &stored);
        Ok(())
    }

    fn ask(&self, disk: &SimDisk, server: &Server) -> Outcome<()> {
        let (share, path, precondition) = (&server.share, self.request.path(), self.request.precondition());
        let now = disk.now();
        match self.request {
            Request::Delete | Request::DeleteNamed | Request::DeleteFolder => {
                share.delete(&path, &somebodys(precondition.clone(), now)).map(drop)
            }
            Request::PatchNamed | Request::Patch => {
                let range = if self.request == Request::Patch { UpdateRange::From(0) } else { UpdateRange::Append };
                let bytes = PartBytes::InMemory(UPLOAD.as_bytes());
                let write = PartialWrite { range, bytes, dated: None, size_max: None };
                share.patch(&path, &write, &somebodys(precondition.clone(), now), CopyLimit::UNLIMITED).map(drop)
            }
            Request::MakeFolder => share.make_collection(&path, &[], &somebodys(precondition.clone(), now)),
            Request::Restore | Request::RestoreFolder => {
                let version = server.version.lock().expect("whole").clone().expect("a version was kept");
                share
                    .restore(&path, &version, false, &somebodys(precondition.clone(), now), CopyLimit::UNLIMITED)
                    .map(drop)
            }
            Request::Resume => self.resume(disk, server),
            Request::Chunks => self.make_of_chunks(disk, server),
            _ => {
                let ready = server.upload.lock().expect("whole").take();
                let upload = match ready {
                    Some(upload) => upload,
                    None => {
                        share.may_put(&path, &somebodys(precondition.clone(), now), Some(UPLOAD.len() as u64))?;
                        self.upload(disk, server)?
                    }
                };
                share.put(&path, upload, None, &somebodys(precondition.clone(), now)).map(drop)
            }
        }
    }
}

impl Story for Asking {
    type Server = Server;

    fn name(&self) -> String {
        let history = if self.keeps { "" } else { ", no history" };
        let links = if self.tier() == Tier::C && !self.features.abilities.no_replace { " by links" } else { "" };
        format!("{:?} on tier {}{links}{history}", self.request, self.tier())
    }

    fn set_up(&self) -> (SimDisk, Server) {
        let disk = SimDisk::new(self.features.clone());
        disk.place_folder("d");
        let server = self.server(&disk);
        let restores = matches!(self.request, Request::Restore | Request::RestoreFolder);
        if self.short || restores {
            self.warm_up(&disk, &server);
        }
        if let Some(before) = self.request.before() {
            disk.place(self.request.judged_at(), before);
        }
        if self.short && self.request == Request::Resume {
            drop(self.half_done(&disk, &server, UPLOAD.as_bytes()).expect("nothing fails yet"));
        } else if self.short && self.request == Request::Chunks {
            self.chunks(&disk, &server).expect("nothing fails yet");
        } else if self.short && self.request.uploads() {
            *server.upload.lock().expect("whole") = Some(self.upload(&disk, &server).expect("nothing fails yet"));
        }
        (disk, server)
    }

    fn start(&self, disk: &SimDisk) -> Server {
        if !self.keeps && !self.request.precondition().is_empty() && has_settled_swap(disk) {
            // The swap was confirmed before its entry lost the tail. A stranger may have replaced or removed the upload since, which
            // makes nobody the owner again of the version that the client named.
            disk.disown(BEFORE.as_bytes());
        }
        let server = self.server(disk);
        if !self.keeps && disk.bytes_at(self.request.judged_at()).as_deref() == self.brings() {
            // The upload stands, or the removal is done, although nobody may have been told: nobody is owed what it replaced.
            disk.disown_what_was_taken();
        }
        if !self.keeps {
            disk.disown_what_was_renamed_over();
        }
        server
    }

    fn operate(&self, disk: &SimDisk, server: &Server) -> Answer {
        match self.ask(disk, server) {
            Ok(()) => Answer::Done,
            Err(Stop::Refusal(refusal)) => Answer::Refused(refusal.to_string()),
            Err(Stop::Fault(error)) => Answer::Fault(error.to_string()),
        }
    }

    fn look_again(&self, disk: &SimDisk, server: &Server) {
        server.share.tick(disk.now());
    }

    fn owe(&self, disk: &SimDisk) {
        if let Some(brings) = self.request.brings() {
            disk.owe(brings.as_bytes());
        }
        if !self.keeps {
            // Nobody is owed what a client replaced while the history is off.
            disk.disown_what_was_taken();
        }
    }

    fn judge(&self, disk: &SimDisk, end: &End) -> Vec<Broken> {
        let faulted = matches!(end.answer, Some(Answer::Fault(_)));
        if !self.keeps && faulted && disk.bytes_at(self.request.judged_at()).as_deref() == self.brings() {
            disk.disown_what_was_taken();
        }
        let mut broken = judge(disk, &self.asked(), end);
        if self.request == Request::MakeFolder {
            let made = disk.folders().iter().any(|folder| folder == PATH);
            if end.answer == Some(Answer::Done) && end.acts.is_empty() && !made {
                broken.push(Broken { invariant: "whole", found: "the folder is not there".to_owned() });
            }
        }
        broken
    }

    fn is_known(&self, broken: &Broken, end: &End) -> bool {
        let in_place = end.acts.iter().any(|act| matches!(act, Act::Write { .. } | Act::WriteAndClose { .. }));
        match (broken.invariant, self.tier()) {
            // A check that fails is as good as a second act: it makes the server undo a swap that was right.
            ("carried" | "I3p" | "raised", _) => end.acts.len() + usize::from(end.failed) >= 2,
            ("I1s", Tier::B | Tier::C | Tier::D) | ("I3", Tier::B) => in_place,
            ("window", _) => !end.acts.is_empty(),
            // Who keeps open what was renamed over, or deleted while nothing is kept, writes into nothing. The version that a request
            // names is in the history all the same.
            ("I1", Tier::D) => in_place && !(self.keeps && broken.found == format!("{BEFORE:?}")),
            // What a program writes in place into a folder that is being removed goes where the folder goes.
            ("I1s", Tier::A) => in_place && self.request == Request::DeleteFolder,
            ("I8", Tier::C) => true,
            _ => false,
        }
    }
}

/// Whether something that was swapped out lies in noclobber's own folder under its settled name, which has no tail.
fn has_settled_swap(disk: &SimDisk) -> bool {
    let everywhere = disk.contents_everywhere();
    let is_settled = |path: &str| !path.contains('~') && !path.ends_with(" (upload)");
    everywhere.iter().any(|(path, _)| path.starts_with(".noclobber/swap/") && is_settled(path))
}

/// What the upload in chunks is called.
fn chosen() -> ChosenId {
    ChosenId::new(&Principal::Anonymous, &["user", "up"])
}

/// The tag of a content, as it stands in a header.
pub fn tag_of(content: &str) -> String {
    EntityTag::of_content(&ContentHash::of(content.as_bytes())).to_string()
}

/// `If-Match` with one tag.
pub fn if_match(tag: &str) -> Precondition {
    let fields = ConditionalFields { if_match: vec![tag.as_bytes()], ..ConditionalFields::default() };
    Precondition::parse(&fields).expect("a clean tag")
}

/// A request of somebody who is known by name, so that what is displaced says who did it.
pub fn somebodys(precondition: Precondition, now: Timestamp) -> RequestContext {
    let by = Author::client(Principal::named("Alice"), WayIn::Token);
    RequestContext { by: Some(Arc::new(by)), ..RequestContext::new(precondition, now) }
}

/// A clean path.
pub fn share_path(path: &str) -> SharePath {
    SharePath::parse_disk(path.as_bytes()).expect("a clean path")
}
