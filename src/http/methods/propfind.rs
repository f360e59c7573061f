//! PROPFIND (RFC 4918 §9.1): what resources are, streamed while the folder is read.
//!
//! A file is opened only if its tag is not known, or its checksums are asked for and are not. Memory does not grow with the number of members, and
//! a listing that fails half-way is broken off, so that no client takes it for a whole one. The requested resource is answered first, then
//! its members.

use crate::http::context::reader;
use crate::http::urls::View;
use crate::share::{RequestContext, Tags, Walk, WalkEnd, WalkReach};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use actix_http::Payload;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use crate::http::bodies::{parse_xml, xml_body};
use crate::http::clock::now;
use crate::http::context::{RequestScope, request_context};
use crate::http::headers::dav_headers;
use crate::http::headers::dav_headers::Depth;
use crate::http::headers::digest::Checker;
use crate::http::limits::held_bytes::HeldBytes;
use crate::http::quirks::Quirks;
use crate::http::reply;
use crate::http::reply::{HandlerError, of_property};
use crate::http::representations::active_lock::describe;
use crate::http::representations::lasting_form::LastingForm;
use crate::http::representations::listing::{Listing, Output, PIECE_BYTES};
use crate::http::representations::live::{Facts, Live, OF_ALLPROP_ON_WINDOWS};
use crate::http::request::target::RequestTarget;
use crate::http::xml::read::Propfind;
use crate::http::xml::write::{ActiveLock, Condition, END_OF_MULTISTATUS, Multistatus, ResponseWriter};
use crate::model::cursor::Cursor;
use crate::model::http_date;
use crate::model::path::SharePath;
use crate::model::property::{DeadProperty, PropertyName};
use crate::model::rights::Rights;
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;
use crate::share::outcome::{Outcome, Refusal};
use crate::share::{Kind, ListedMember, ListingEffort, Notes, OpenResource, PagedListing, Share, Synced};

/// How many bytes are read for one answer to tell the checksums of files that came without any.
const CHECKSUMMED_BYTES_MAX: u64 = 64 << 20;

pub(crate) async fn propfind(
    app: &RequestScope,
    request: &HttpRequest,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    let depth = dav_headers::depth(&head.headers)?;
    let context = request_context(app, head, asked)?;
    let asked_for = parse_xml(xml_body(app, head, body).await?, Propfind::parse).await?;
    let reach = depth.map_or(Depth::Infinity, |asked| asked.depth);
    let has_trailing_slash = asked.has_trailing_slash;
    let request = Arc::new(PropfindRequest {
        needs: Needs::new(&asked_for),
        asked_for,
        path: asked.path.clone(),
        view: View::of(head.uri.path()),
        reach,
        members_max: if reach == Depth::Infinity { app.settings.propfind_members_max } else { usize::MAX },
        without_root: dav_headers::prefers_no_root(&head.headers, depth),
        is_minimal: dav_headers::prefers_minimal(&head.headers),
        quirks: Quirks::of(head),
        reader: reader(app),
    });
    let is_plain = context.is_unconditional();
    if is_plain && let Some(listing) = request.at_hand(&app.share, ListingEffort::Little) {
        return Ok(answer(asked, &request.view, request.is_minimal, true).body(listing));
    }
    let path = asked.path.clone();
    let context = context.that_must_match();
    app.hashings.have_hashed(&path, None, &context).await?;
    let asking = Arc::clone(&request);
    let target = app.ask(move |share| {
        if is_plain && let Some(listing) = asking.at_hand(share, ListingEffort::Some) {
            return Ok(Target::Listed(listing));
        }
        let target = share.resource(&path, asking.needs.tags, &context)?;
        if has_trailing_slash && target.kind != Kind::Dir {
            return Err(Refusal::NotFound.into());
        }
        share.judge_read(&path, &context.at(now()))?;
        Ok(Target::Found(target))
    });
    let target = match target.await? {
        Target::Listed(listing) => return Ok(answer(asked, &request.view, request.is_minimal, true).body(listing)),
        Target::Found(target) => target,
    };
    let is_collection = target.kind == Kind::Dir;
    let share = Arc::clone(&app.share);
    let (minimal, view) = (request.is_minimal, request.view.clone());
    let is_one = !is_collection || reach == Depth::Zero;
    let write = move |output: &mut Output| request.answer(&share, target, output);
    let listing = if is_one { Listing::of_one(write).await } else { Listing::begin(write).await }?;
    Ok(answer(asked, &view, minimal, is_collection).body(listing))
}

/// The head of the answer.
fn answer(asked: &RequestTarget, view: &View, is_minimal: bool, is_collection: bool) -> HttpResponseBuilder {
    let mut answer = reply::multistatus();
    if is_minimal {
        answer.insert_header(("preference-applied", "return=minimal"));
    }
    if is_collection && !asked.has_trailing_slash {
        answer.insert_header((header::CONTENT_LOCATION, view.url_of_folder(&asked.path)));
    }
    answer
}

/// What is there where a PROPFIND goes.
enum Target {
    /// A folder, of which all was told already.
    Listed(Listing),
    Found(ListedMember),
}

/// Which properties are told, and to whom.
pub(super) struct PropfindRequest {
    pub(super) path: SharePath,
    /// By which place it came, and is told of.
    pub(super) view: View,
    /// Which properties.
    pub(super) asked_for: Propfind,
    pub(super) needs: Needs,
    pub(super) reach: Depth,
    pub(super) members_max: usize,
    pub(super) without_root: bool,
    pub(super) is_minimal: bool,
    pub(super) quirks: Quirks,
    pub(super) reader: RequestContext,
}

/// What has to be found out for the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    tags: bool,
    room: bool,
    notes: bool,
    checksums: bool,
    rights: bool,
    locks: bool,
    sync_tokens: bool,
}

/// Which properties are told of every resource.
struct Selection {
    /// Those that were named, with the live one that each of them is, if it is one.
    named: Vec<(PropertyName, Option<Live>)>,
    /// The live ones that are told where all are asked for.
    of_all: &'static [Live],
}

impl Needs {
    pub(super) fn new(asked_for: &Propfind) -> Self {
        let names = match asked_for {
            Propfind::AllProp { include } => include,
            Propfind::PropName => {
                let all = true;
                return Self {
                    tags: all,
                    room: all,
                    notes: all,
                    checksums: all,
                    rights: all,
                    locks: all,
                    sync_tokens: all,
                };
            }
            Propfind::Prop(names) => names,
        };
        let lives: Vec<_> = names.iter().map(Live::of).collect();
        let has = |wanted: &[Live]| lives.iter().flatten().any(|live| wanted.contains(live));
        let is_all = matches!(asked_for, Propfind::AllProp { .. });
        Self {
            tags: is_all || has(&[Live::Etag, Live::Checksums]),
            room: has(&[Live::QuotaAvailable, Live::QuotaUsed]),
            checksums: has(&[Live::Checksums]),
            rights: has(&[Live::PrivilegeSet]),
            locks: is_all || has(&[Live::LockDiscovery]),
            sync_tokens: has(&[Live::SyncToken]),
            notes: is_all || lives.iter().any(Option::is_none) || has(&[Live::DisplayName]),
        }
    }
}

impl PropfindRequest {
    /// The whole answer, if every part of it was written before, nothing in the folder is otherwise since, and no more is needed than so much to know
    /// that.
    fn at_hand(&self, share: &Share, effort: ListingEffort) -> Option<Listing> {
        let notes = share.changes_of_notes();
        let form = self.lasting_form(notes, self.needs.locks && share.has_locks())?;
        let reader = self.reader.clone().at(now());
        let listing = share.paged_at_hand(&self.path, self.tags(), effort, &reader)?;
        let form = form.for_client(self.needs.rights, &listing);
        let mut pieces = Vec::with_capacity(listing.pages().len() + 2);
        pieces.push(listing.written(&form.of_folder(&listing))?);
        for page in listing.pages() {
            pieces.push(listing.written_of(page, form.as_bytes())?);
        }
        pieces.push(Bytes::from_static(END_OF_MULTISTATUS.as_bytes()));
        let mut held = HeldBytes::default();
        held.add(pieces.iter().map(Bytes::len).sum()).then(|| Listing::whole(pieces, held))
    }

    /// In which form members are told of; `None` where what is told of one depends on more than itself and this, or changes with time: room, checksums,
    /// the time that is left of a lock.
    fn lasting_form(&self, notes: u64, has_locks: bool) -> Option<LastingForm> {
        let Needs { room, checksums, locks, sync_tokens, .. } = self.needs;
        let is_plain = self.reach == Depth::One && self.view.is_usual();
        if !is_plain || room || checksums || sync_tokens || locks && has_locks {
            return None;
        }
        let notes = if self.needs.notes { notes } else { 0 };
        Some(LastingForm::new(
            &self.path,
            &self.asked_for,
            notes,
            [self.quirks.are_of_windows, self.is_minimal, self.without_root],
        ))
    }

    pub(super) fn tags(&self) -> Tags {
        if self.needs.tags { Tags::Show } else { Tags::Omit }
    }

    /// Writes the whole answer.
    fn answer(&self, share: &Share, target: ListedMember, output: &mut Output) -> Outcome<()> {
        let reader = self.reader.clone().at(now());
        let notes = share.changes_of_notes();
        let mut answer = Answer::new(self, share, reader.now)?;
        let is_collection = target.kind == Kind::Dir;
        if is_collection
            && let Some(form) = self.lasting_form(notes, answer.has_locks)
            && let Some(listing) = share.paged(&self.path, self.tags(), &reader)?
        {
            return answer.tell_pages(&listing, &form.for_client(self.needs.rights, &listing), output);
        }
        if !(self.without_root && is_collection && self.reach != Depth::Zero) {
            let href = if is_collection { self.view.url_of_folder(&self.path) } else { self.view.url(&self.path) };
            answer.tell(&href, &target, || share.place_of(&self.path))?;
        }
        if !is_collection || self.reach == Depth::Zero {
            answer.finish(output);
            return Ok(());
        }
        let reach = if self.reach == Depth::Infinity { WalkReach::Everything } else { WalkReach::Members };
        let walk = Walk { top: self.path.clone(), reach, tags: self.tags(), members_max: self.members_max };
        let (mut href, mut told) = (Href::default(), 0);
        let end = share.walk(&walk, &reader, &mut |folder, member| {
            told += 1;
            answer.tell(href.of(&self.view, &folder.path, &member), &member, || folder.place.join(&member.name))?;
            Ok(answer.pass_on(output))
        })?;
        if end == WalkEnd::CutShort {
            answer.cut_short(&self.view.url_of_folder(&self.path), told);
        }
        answer.finish(output);
        Ok(())
    }
}

/// The URL paths of the members of a folder, one after the other in one text.
#[derive(Default)]
struct Href {
    folder: Option<SharePath>,
    text: String,
    /// Where the name of the member begins.
    place: usize,
}

impl Href {
    fn of(&mut self, view: &View, folder: &SharePath, member: &ListedMember) -> &str {
        if self.folder.as_ref() != Some(folder) {
            self.text = view.url_of_folder(folder);
            self.place = self.text.len();
            self.folder = Some(folder.clone());
        }
        self.text.truncate(self.place);
        self.text.extend(member.name.to_url());
        self.text.push_str(if member.kind == Kind::Dir { "/" } else { "" });
        &self.text
    }
}

/// An answer while it is written.
pub(super) struct Answer<'a> {
    request: &'a PropfindRequest,
    share: &'a Share,
    selection: Selection,
    xml: Multistatus,
    notes: Option<Notes>,
    has_locks: bool,
    /// The place in the feed at which the answer began.
    cursor: Cursor,
    room: Option<(u64, u64)>,
    /// How many bytes may still be read to tell checksums.
    left_to_read: u64,
    /// The date that was told last, in seconds and as text: members of one folder often share it.
    date: (i64, String),
    /// The URL of the share itself.
    root: String,
    now: Timestamp,
}

impl<'a> Answer<'a> {
    pub(super) fn new(request: &'a PropfindRequest, share: &'a Share, now: Timestamp) -> Outcome<Self> {
        // Before anything is looked at: what happens meanwhile comes behind it.
        let cursor = share.feed_end();
        let room = match request.needs.room {
            true => Some(share.space(&request.path)?).map(|space| (space.free, space.total - space.free)),
            false => None,
        };
        let notes = if request.needs.notes { Some(share.notes()?).filter(|notes| !notes.is_empty()) } else { None };
        let names = match &request.asked_for {
            Propfind::Prop(names) | Propfind::AllProp { include: names } => names.as_slice(),
            Propfind::PropName => &[],
        };
        let of_all: &[Live] = if request.quirks.are_of_windows { &OF_ALLPROP_ON_WINDOWS } else { Live::of_allprop() };
        let selection = Selection { named: names.iter().map(|name| (name.clone(), Live::of(name))).collect(), of_all };
        let has_locks = share.has_locks_about(&share.place_of(&request.path));
        let (xml, date) = (Multistatus::new(names), (i64::MIN, String::new()));
        let left_to_read = if request.needs.checksums { CHECKSUMMED_BYTES_MAX } else { 0 };
        let root = request.view.url_of_folder(&SharePath::root());
        Ok(Self { request, share, selection, xml, notes, has_locks, cursor, room, left_to_read, date, root, now })
    }

    /// Tells of a folder whose members are remembered: what was written of a page is told again, and what is written now is kept where it lasts.
    fn tell_pages(mut self, listing: &PagedListing<'_>, form: &LastingForm, output: &mut Output) -> Outcome<()> {
        let of_folder = form.of_folder(listing);
        let (head, is_kept) = match listing.written(&of_folder) {
            Some(head) => (head, true),
            None => {
                if !self.request.without_root {
                    let path = &self.request.path;
                    self.tell(&self.request.view.url_of_folder(path), listing.itself(), || path.clone())?;
                }
                let head = Bytes::copy_from_slice(self.xml.written());
                let is_kept = listing.keep(&of_folder, &head);
                (head, is_kept)
            }
        };
        self.xml.clear();
        let _ = output.append_piece(head, is_kept);
        let told = self.tell_each_page(listing, form, output);
        listing.has_kept();
        told?;
        let _ = output.append_piece(Bytes::from_static(END_OF_MULTISTATUS.as_bytes()), true);
        Ok(())
    }

    fn tell_each_page(&mut self, listing: &PagedListing<'_>, form: &LastingForm, output: &mut Output) -> Outcome<()> {
        let (path, mut href) = (&self.request.path, Href::default());
        for page in listing.pages() {
            let (piece, is_kept) = match listing.written_of(page, form.as_bytes()) {
                Some(piece) => (piece, true),
                None => {
                    let lasts = listing.tell(page, &mut |member| match member.kind {
                        Kind::Dir | Kind::File => {
                            self.tell(href.of(&self.request.view, path, &member), &member, || path.join(&member.name))
                        }
                        Kind::Link | Kind::Special => Ok(()),
                    })?;
                    let piece = Bytes::copy_from_slice(self.xml.written());
                    self.xml.clear();
                    let is_kept = lasts && listing.keep_of(page, form.as_bytes(), &piece);
                    (piece, is_kept)
                }
            };
            if output.append_piece(piece, is_kept).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Tells of one resource. `path` is asked for only where properties, locks or checksums are looked for, since links may have to be resolved for it.
    pub(super) fn tell(&mut self, href: &str, resource: &ListedMember, path: impl Fn() -> SharePath) -> Outcome<()> {
        let notes = match &self.notes {
            Some(notes) => notes.of(&path())?,
            None => Vec::new(),
        };
        let locks = if self.has_locks { self.locks_on(&path()) } else { Vec::new() };
        let asked_of = resource.tag.as_ref().filter(|_| self.request.needs.checksums && resource.kind == Kind::File);
        let checksums = asked_of
            .and_then(|tag| self.share.checksums(tag).or_else(|| self.work_out_checksums(resource, tag, &path)));
        if self.date.0 != resource.modified.seconds() {
            self.date = (resource.modified.seconds(), http_date::format(resource.modified));
        }
        let permissions = &self.request.reader.permissions;
        let rights = if self.request.needs.rights { permissions.at(&path()) } else { Rights::empty() };
        let has_sync_token = self.request.needs.sync_tokens && resource.kind == Kind::Dir;
        let sync_token = has_sync_token.then(|| self.share.sync_token(&path(), permissions, self.cursor).to_string());
        let facts = Facts {
            resource,
            modified: &self.date.1,
            is_root: href == self.root,
            room: self.room,
            locks: &locks,
            has_noted_name: notes.iter().any(|note| Live::of(note.name()) == Some(Live::DisplayName)),
            rights,
            checksums: checksums.as_deref(),
            sync_token: sync_token.as_deref(),
        };
        let (asked_for, selection, minimal) = (&self.request.asked_for, &self.selection, self.request.is_minimal);
        self.xml.response(href, |response| match asked_for {
            Propfind::Prop(_) => selection.write_named(response, &facts, &notes, minimal),
            Propfind::AllProp { .. } => selection.write_all(response, &facts, &notes, minimal),
            Propfind::PropName => write_names(response, &facts, &notes),
        });
        Ok(())
    }

    /// The checksums of a file that came without any: those of a small one, as long as not too much was read for this answer. They are kept,
    /// so that they are worked out once.
    fn work_out_checksums(
        &mut self,
        resource: &ListedMember,
        tag: &EntityTag,
        path: impl Fn() -> SharePath,
    ) -> Option<Arc<str>> {
        if matches!(self.request.asked_for, Propfind::PropName) {
            return None;
        }
        let left = self.left_to_read.checked_sub(resource.size)?;
        let path = path();
        let Ok(OpenResource::File(content, identity)) =
            self.share.read(&path, &self.request.reader.clone().at(self.now))
        else {
            return None;
        };
        if !identity.validators.shown.strong_eq(tag) || !self.share.is_cheap_to_hash(&content) {
            return None;
        }
        self.left_to_read = left;
        let mut checker = Checker::of_checksums();
        self.share.read_identified(&content, &identity, |bytes| checker.update(bytes)).then_some(())?;
        let checksums = checker.finish().ok().flatten()?;
        self.share.keep_checksums(tag, &checksums);
        Some(checksums.into())
    }

    fn locks_on(&self, path: &SharePath) -> Vec<ActiveLock> {
        let locks = self.share.locks_on(path, &self.request.reader.clone().at(self.now));
        locks.iter().map(|lock| describe(lock, &self.share.root_of(lock), self.request.quirks, self.now)).collect()
    }

    /// Tells of what is not there any more (RFC 6578 §3.5.2).
    pub(super) fn gone(&mut self, href: &str) {
        self.xml.status(&[href], of_property::MISSING, None, None);
    }

    /// Tells of a folder that what is in it is told elsewhere (RFC 6578 §3.3).
    pub(super) fn not_entered(&mut self, href: &str) {
        let why = "A symbolic link leads to this folder: what is in it is told where that lies.";
        self.xml.status(&[href], reply::NOT_ENTERED, Some(&Condition::SyncTraversalSupported), Some(why));
    }

    /// Ends with the token of what was told, and whether there is more (RFC 6578 §3.6).
    pub(super) fn finish_with_token(mut self, told: &Synced, output: &mut Output) {
        if told.goes_on {
            let how = "There is more than was told. Ask again with the token that comes with this answer.";
            let folder = self.request.view.url_of_folder(&self.request.path);
            self.xml.status(&[&folder], reply::CUT_SHORT, Some(&Condition::NumberOfMatchesWithinLimits), Some(how));
        }
        self.xml.sync_token(&told.token.to_string());
        self.finish(output);
    }

    /// Says that there is more below a folder than was told, and how to get at it.
    fn cut_short(&mut self, folder: &str, told: usize) {
        let how = format!(
            "Only {told} members are told of everything below a folder, and there are more. Ask folder by folder, with Depth: 1, or start \
             the server with --propfind-infinity."
        );
        self.xml.status(&[folder], reply::CUT_SHORT, Some(&Condition::NumberOfMatchesWithinLimits), Some(&how));
    }

    pub(super) fn pass_on(&mut self, output: &mut Output) -> ControlFlow<()> {
        if self.xml.waiting() >= PIECE_BYTES { output.append(self.xml.take()) } else { output.go_on() }
    }

    fn finish(self, output: &mut Output) {
        // Whether anybody still reads is not asked any more: this is the end.
        let _ = output.append(self.xml.finish());
    }
}

impl Selection {
    /// Those that were named: what there is, and what there is not (RFC 4918 §9.1).
    fn write_named(&self, response: &mut ResponseWriter<'_>, facts: &Facts<'_>, notes: &[DeadProperty], minimal: bool) {
        let noted = by_name(notes);
        response.propstat(of_property::DONE, |out| {
            for (name, live) in &self.named {
                match live.filter(|live| live.is_of(facts)) {
                    Some(live) => live.write(out, facts),
                    None => noted.get(name).into_iter().for_each(|note| out.dead(note)),
                }
            }
        });
        if minimal {
            return;
        }
        response.propstat(of_property::MISSING, |out| {
            for (name, live) in &self.named {
                if !live.is_some_and(|live| live.is_of(facts)) && !noted.contains_key(name) {
                    out.name(name);
                }
            }
        });
    }

    /// All dead ones, those of RFC 4918, and what was asked for besides.
    fn write_all(&self, response: &mut ResponseWriter<'_>, facts: &Facts<'_>, notes: &[DeadProperty], minimal: bool) {
        let brought = |live: Live| self.of_all.contains(&live);
        let noted = by_name(notes);
        let mut missing = Vec::new();
        response.propstat(of_property::DONE, |out| {
            self.of_all.iter().filter(|live| live.is_of(facts)).for_each(|live| live.write(out, facts));
            notes.iter().for_each(|note| out.dead(note));
            for (name, live) in &self.named {
                match live {
                    Some(live) if brought(*live) => {}
                    Some(live) if live.is_of(facts) => live.write(out, facts),
                    _ if noted.contains_key(name) => {}
                    _ => missing.push(name),
                }
            }
        });
        if !minimal {
            response.propstat(of_property::MISSING, |out| missing.iter().for_each(|name| out.name(name)));
        }
    }
}

/// To look up as many names as a request may hold among as many notes as a resource may have.
fn by_name(notes: &[DeadProperty]) -> HashMap<&PropertyName, &DeadProperty> {
    notes.iter().map(|note| (note.name(), note)).collect()
}

fn write_names(response: &mut ResponseWriter<'_>, facts: &Facts<'_>, notes: &[DeadProperty]) {
    response.propstat(of_property::DONE, |out| {
        Live::all().filter(|live| live.is_of(facts)).for_each(|live| out.name(&live.name()));
        notes.iter().for_each(|note| out.name(note.name()));
    });
}
