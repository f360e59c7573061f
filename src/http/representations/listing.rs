//! A folder for people, as a plain page of HTML, and for programs, as JSON: both streamed while the folder is read.
//! Memory does not grow with the folder, a client that goes away ends the reading, and a listing that breaks off never looks whole. Names
//! are what somebody chose: none of them becomes markup.

use crate::share::{RequestContext, Tags};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::iter::Peekable;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::str::Chars;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::model::path::{Name, SharePath};
use crate::model::stamp::Timestamp;
use crate::share::outcome::{Outcome, Refusal, Stop};
use crate::share::{Kind, ListedMember, Share};

use crate::http::limits::held_bytes::HeldBytes;
use crate::http::limits::walks::RunningWalk;
use crate::http::urls;

/// For `Content-Type` of [`html`].
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// For `Content-Type` of [`json`].
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How much of a listing is handed over at once, in bytes.
pub(crate) const PIECE_BYTES: usize = 120 * 1024;

/// How long a client may leave one piece lying before the reading of the folder ends.
const STALL_TIME_MAX: Duration = Duration::from_secs(60);

/// How many members a page shows in order. They have to be held for that; a larger folder is shown as the disk gives it.
const SORTED_MAX: usize = 20_000;

/// How much their names may take together, in bytes.
const SORTED_NAME_BYTES_MAX: usize = 2 * 1024 * 1024;

const STYLE: &str = include_str!("../../../static/listing.css");

/// A folder as a page that needs no script. Goes out with [`html_policy`].
pub(crate) async fn html(share: Arc<Share>, path: SharePath, reader: RequestContext) -> Outcome<Listing> {
    Listing::begin(move |output| write_html(&path, output, |each| share.list(&path, Tags::Omit, &reader, each))).await
}

/// A folder as JSON, with the tags of its files.
pub(crate) async fn json(share: Arc<Share>, path: SharePath, reader: RequestContext) -> Outcome<Listing> {
    Listing::begin(move |output| write_json(&path, output, |each| share.list(&path, Tags::Show, &reader, each))).await
}

/// The `Content-Security-Policy` of the page: its own style, and nothing else.
pub(crate) fn html_policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).expect("letters, digits and punctuation")
    });
    POLICY.clone()
}

/// A listing on its way: the body of an answer. Its length is known if all of it was ready at once.
#[derive(Debug)]
pub(crate) struct Listing {
    /// What has come and was not sent yet.
    ready: VecDeque<Bytes>,
    /// How long it is, if all of it has come.
    length: Option<u64>,
    rest: Option<mpsc::Receiver<Message>>,
    /// What of it others hold as well.
    _held: HeldBytes,
}

/// What the thread that reads the folder hands over.
#[derive(Debug)]
enum Message {
    Piece(Vec<Bytes>),
    Last(Vec<Bytes>, HeldBytes),
    Failed(Stop),
}

impl Listing {
    /// Writes a listing in the blocking pool, and waits for the first of it: until then a refusal can still be told.
    pub(crate) async fn begin(write: impl FnOnce(&mut Output) -> Outcome<()> + Send + 'static) -> Outcome<Self> {
        Self::begin_within(STALL_TIME_MAX, write).await
    }

    async fn begin_within(
        stall_time_max: Duration,
        write: impl FnOnce(&mut Output) -> Outcome<()> + Send + 'static,
    ) -> Outcome<Self> {
        let Some(walk) = RunningWalk::begin().await else { return Err(Refusal::Overloaded.into()) };
        let (sender, mut rest) = mpsc::channel(1);
        let runtime = Handle::current();
        walk.carry_out(move |walk| {
            let ready = Vec::with_capacity(PIECE_BYTES + 4096);
            let mut output = Output { ready, ..Output::new(sender, runtime, Some(walk), stall_time_max) };
            match write(&mut output) {
                Ok(()) => output.finish(),
                Err(stop) => output.hand_over(Message::Failed(stop)),
            }
        });
        match rest.recv().await {
            Some(Message::Failed(stop)) => Err(stop),
            Some(Message::Last(all, held)) => Ok(Self::whole(all, held)),
            Some(Message::Piece(first)) => Ok(Self::begun(first, rest)),
            None => Ok(Self::begun(Vec::new(), rest)),
        }
    }

    /// A listing that is there.
    pub(crate) fn whole(pieces: Vec<Bytes>, held: HeldBytes) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { ready: pieces.into(), length: Some(length), rest: None, _held: held }
    }

    fn begun(pieces: Vec<Bytes>, rest: mpsc::Receiver<Message>) -> Self {
        Self { ready: pieces.into(), length: None, rest: Some(rest), _held: HeldBytes::default() }
    }

    /// Writes a listing of one resource in the blocking pool. It is short: it waits for no other, and is held as a whole.
    pub(crate) async fn of_one(write: impl FnOnce(&mut Output) -> Outcome<()> + Send + 'static) -> Outcome<Self> {
        let (sender, mut rest) = mpsc::channel(1);
        let runtime = Handle::current();
        let written = spawn_blocking(move || {
            let mut output = Output::new(sender, runtime, None, Duration::ZERO);
            write(&mut output)?;
            output.finish();
            Outcome::Ok(())
        });
        match written.await {
            Ok(written) => written?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
        match rest.recv().await {
            Some(Message::Last(all, held)) => Ok(Self::whole(all, held)),
            _ => Ok(Self::begun(Vec::new(), rest)),
        }
    }
}

impl MessageBody for Listing {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        self.length.map_or(BodySize::Stream, BodySize::Sized)
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
            match ready!(rest.poll_recv(cx)) {
                Some(Message::Piece(pieces)) => self.ready.extend(pieces),
                Some(Message::Last(pieces, held)) => {
                    self.ready.extend(pieces);
                    (self.rest, self._held) = (None, held);
                }
                // An error here ends the connection, so that the client sees that something is missing.
                Some(Message::Failed(stop)) => {
                    return Poll::Ready(Some(Err(io::Error::other(format!("the listing broke off: {stop:?}")))));
                }
                None => return Poll::Ready(Some(Err(io::Error::other("the listing broke off")))),
            }
        }
    }
}

/// Where a listing is written to, piece by piece.
pub(crate) struct Output {
    /// What was written last.
    ready: Vec<u8>,
    /// What comes before that, and how much of it nobody else holds.
    pieces: Vec<Bytes>,
    own_bytes: usize,
    held: HeldBytes,
    sender: mpsc::Sender<Message>,
    runtime: Handle,
    /// `None`: the listing is held as a whole.
    walk: Option<RunningWalk>,
    stall_time_max: Duration,
    is_open: bool,
}

impl Output {
    fn new(
        sender: mpsc::Sender<Message>,
        runtime: Handle,
        walk: Option<RunningWalk>,
        stall_time_max: Duration,
    ) -> Self {
        let (ready, pieces) = (Vec::new(), Vec::new());
        let held = HeldBytes::default();
        Self { ready, pieces, own_bytes: 0, held, sender, runtime, walk, stall_time_max, is_open: true }
    }

    /// Whether somebody still reads; asked for every member, also while nothing is handed over.
    pub(crate) fn go_on(&self) -> ControlFlow<()> {
        if self.is_open && !self.sender.is_closed() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Hands over what is ready, if it is enough for a piece.
    pub(crate) fn pass_on(&mut self) -> ControlFlow<()> {
        if self.own_bytes + self.ready.len() >= PIECE_BYTES && self.walk.is_some() {
            let pieces = self.take_pieces();
            self.hand_over(Message::Piece(pieces));
        }
        self.go_on()
    }

    /// Takes over what was written elsewhere.
    pub(crate) fn append(&mut self, bytes: Vec<u8>) -> ControlFlow<()> {
        if self.ready.is_empty() && bytes.len() >= PIECE_BYTES && self.walk.is_some() {
            self.own_bytes += bytes.len();
            self.pieces.push(bytes.into());
        } else {
            self.ready.extend_from_slice(&bytes);
        }
        self.pass_on()
    }

    /// Takes over what was written elsewhere, and is kept there as well or for this alone.
    pub(crate) fn append_piece(&mut self, piece: Bytes, is_kept: bool) -> ControlFlow<()> {
        self.seal();
        let is_held = is_kept && self.held.add(piece.len());
        self.own_bytes += if is_held { 0 } else { piece.len() };
        self.pieces.push(piece);
        self.pass_on()
    }

    /// What was written last is a piece.
    fn seal(&mut self) {
        if !self.ready.is_empty() {
            self.own_bytes += self.ready.len();
            self.pieces.push(Bytes::copy_from_slice(&self.ready));
            self.ready.clear();
        }
    }

    fn take_pieces(&mut self) -> Vec<Bytes> {
        self.seal();
        self.own_bytes = 0;
        std::mem::take(&mut self.pieces)
    }

    fn finish(mut self) {
        if self.go_on().is_continue() {
            let last = self.take_pieces();
            let held = std::mem::take(&mut self.held);
            self.hand_over(Message::Last(last, held));
        }
    }

    fn hand_over(&mut self, message: Message) {
        let Err(mpsc::error::TrySendError::Full(message)) = self.sender.try_send(message) else { return };
        let Some(walk) = &mut self.walk else { return };
        let sent = self.runtime.block_on(walk.wait(self.stall_time_max, self.sender.send(message)));
        self.is_open = matches!(sent, Some(Ok(())));
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.ready.write_fmt(text).expect("memory takes everything");
    }
}

/// A member, as JSON tells it. Every member has every field.
#[derive(Serialize)]
struct JsonMember<'a> {
    name: &'a str,
    kind: &'static str,
    size: Option<u64>,
    modified: String,
    etag: Option<String>,
    href: String,
}

fn write_json(
    path: &SharePath,
    output: &mut Output,
    walk: impl FnOnce(&mut dyn FnMut(ListedMember) -> ControlFlow<()>) -> Outcome<()>,
) -> Outcome<()> {
    let place = urls::of_folder(path);
    let shown = serde_json::to_string(&to_collection_text(path)).expect("text is JSON");
    output.write(format_args!("{{\"path\":{shown},\"entries\":["));
    let mut separator = "\n";
    walk(&mut |listed| {
        output.write(format_args!("{separator}"));
        separator = ",\n";
        let is_folder = listed.kind == Kind::Dir;
        let entry = JsonMember {
            name: &listed.name.to_text(),
            kind: kind_of(listed.kind),
            size: (listed.kind == Kind::File).then_some(listed.size),
            modified: listed.modified.rfc_3339(),
            etag: listed.tag.map(|tag| tag.to_string()),
            href: format!("{place}{}{}", listed.name.to_url(), if is_folder { "/" } else { "" }),
        };
        serde_json::to_writer(&mut output.ready, &entry).expect("memory takes everything");
        output.pass_on()
    })?;
    output.write(format_args!("\n]}}\n"));
    Ok(())
}

/// A member, held for as long as it takes to put it in its place.
struct SortedMember {
    name: Name,
    kind: Kind,
    size: u64,
    modified: Timestamp,
}

/// Whether the rows of a page are in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Sorted,
    AsFound,
}

/// What a page says at its end.
#[derive(Default)]
struct Total {
    folders: u64,
    files: u64,
    others: u64,
    bytes: u64,
}

fn write_html(
    path: &SharePath,
    output: &mut Output,
    walk: impl FnOnce(&mut dyn FnMut(ListedMember) -> ControlFlow<()>) -> Outcome<()>,
) -> Outcome<()> {
    let place = urls::of_folder(path);
    let mut total = Total::default();
    let mut held: Vec<SortedMember> = Vec::new();
    let mut name_bytes = 0;
    let mut order = Order::Sorted;
    walk(&mut |listed| {
        let row = SortedMember { name: listed.name, kind: listed.kind, size: listed.size, modified: listed.modified };
        total.count(&row);
        if order == Order::AsFound {
            write_row(output, &place, &row);
            return output.pass_on();
        }
        name_bytes += row.name.as_bytes().len();
        held.push(row);
        if held.len() <= SORTED_MAX && name_bytes <= SORTED_NAME_BYTES_MAX {
            return output.go_on();
        }
        order = Order::AsFound;
        write_top(output, path, order);
        write_rows(output, &place, std::mem::take(&mut held))
    })?;
    if order == Order::Sorted {
        held.sort_unstable_by(SortedMember::compare);
        write_top(output, path, order);
        if write_rows(output, &place, held).is_break() {
            return Ok(());
        }
    }
    write_end(output, &total);
    Ok(())
}

fn write_rows(output: &mut Output, place: &str, rows: Vec<SortedMember>) -> ControlFlow<()> {
    for row in rows {
        write_row(output, place, &row);
        output.pass_on()?;
    }
    ControlFlow::Continue(())
}

fn write_top(output: &mut Output, path: &SharePath, order: Order) {
    let shown = to_collection_text(path);
    let title = HtmlText(&shown);
    output.write(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} – noclobber</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <svg width=\"0\" height=\"0\" hidden>\
         <symbol id=\"folder\" viewBox=\"0 0 20 20\"><path d=\"M2.5 5h5l2 2h8v8.5h-15z\"/></symbol>\
         <symbol id=\"file\" viewBox=\"0 0 20 20\"><path d=\"M5 2.5h6.5l4 4v11H5zM11.5 2.5v4h4\"/></symbol>\
         <symbol id=\"other\" viewBox=\"0 0 20 20\"><circle cx=\"10\" cy=\"10\" r=\"6\"/></symbol>\
         <symbol id=\"up\" viewBox=\"0 0 20 20\"><path d=\"M10 16V4M5 9l5-5 5 5\"/></symbol></svg>\n<header>\n"
    ));
    write_place(output, path);
    output.write(format_args!("</header>\n<main>\n"));
    if order == Order::AsFound {
        output.write(format_args!(
            "<p class=\"note\">This folder has too many members to put them in order: they are shown as the disk gives them.</p>\n"
        ));
    }
    output.write(format_args!(
        "<table>\n<caption>The members of {title}</caption>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Size</th>\
         <th scope=\"col\">Changed<span> (UTC)</span></th></tr></thead>\n<tbody>\n"
    ));
    if let Some((parent, _)) = path.split() {
        let parent = urls::of_folder(&parent);
        output.write(format_args!(
            "<tr><th scope=\"row\"><a href=\"{parent}\">{}Parent folder</a></th><td></td><td></td></tr>\n",
            Icon("up")
        ));
    }
}

/// The way down from the share to this folder.
fn write_place(output: &mut Output, path: &SharePath) {
    let Some((parent, name)) = path.split() else {
        return output.write(format_args!("<h1>Home</h1>\n"));
    };
    let mut above = SharePath::root();
    let home = urls::of_folder(&above);
    output.write(format_args!("<nav aria-label=\"Folders above\"><ol><li><a href=\"{home}\">Home</a></li>"));
    for name in parent.names() {
        above = above.join(&name);
        let (href, text) = (urls::of_folder(&above), name.to_text());
        output.write(format_args!("<li><a href=\"{href}\"><bdi>{}</bdi></a></li>", HtmlText(&text)));
    }
    output.write(format_args!("</ol></nav>\n<h1><bdi>{}</bdi></h1>\n", HtmlText(&name.to_text())));
}

fn write_row(output: &mut Output, place: &str, row: &SortedMember) {
    let (href, text) = (row.name.to_url(), row.name.to_text());
    let text = HtmlText(&text);
    match row.kind {
        Kind::Dir => output.write(format_args!(
            "<tr class=\"folder\"><th scope=\"row\"><a href=\"{place}{href}/\">{}<bdi>{text}</bdi></a></th><td></td>",
            Icon("folder")
        )),
        Kind::File => output.write(format_args!(
            "<tr><th scope=\"row\"><a href=\"{place}{href}\">{}<bdi>{text}</bdi></a></th><td><data value=\"{}\">{}</data></td>",
            Icon("file"),
            row.size,
            size(row.size)
        )),
        // No answer but a refusal would be behind a link.
        Kind::Link | Kind::Special => output.write(format_args!(
            "<tr><th scope=\"row\"><span>{}<bdi>{text}</bdi></span></th><td></td>",
            Icon("other")
        )),
    }
    output.write(format_args!(
        "<td><time datetime=\"{}\">{}<span> {}</span></time></td></tr>\n",
        row.modified.format("%Y-%m-%dT%H:%M:%SZ"),
        row.modified.format("%Y-%m-%d"),
        row.modified.format("%H:%M")
    ));
}

fn write_end(output: &mut Output, total: &Total) {
    if total.is_empty() {
        output.write(format_args!("<tr class=\"empty\"><td colspan=\"3\">This folder is empty.</td></tr>\n"));
    }
    output.write(format_args!(
        "</tbody>\n</table>\n</main>\n<footer><p>{total}</p><p><a href=\"?json\">This list as JSON</a></p></footer>\n\
         </body>\n</html>\n"
    ));
}

impl SortedMember {
    /// Folders first, then by name as a person counts: `part 9` before `Part 10`.
    fn compare(&self, other: &Self) -> Ordering {
        let is_no_folder = |row: &Self| row.kind != Kind::Dir;
        is_no_folder(self)
            .cmp(&is_no_folder(other))
            .then_with(|| compare_naturally(&self.name.to_text(), &other.name.to_text()))
            .then_with(|| self.name.cmp(&other.name))
    }
}

impl Total {
    fn count(&mut self, row: &SortedMember) {
        match row.kind {
            Kind::Dir => self.folders += 1,
            Kind::File => self.files += 1,
            Kind::Link | Kind::Special => self.others += 1,
        }
        self.bytes = self.bytes.saturating_add(row.size);
    }

    fn is_empty(&self) -> bool {
        self.folders + self.files + self.others == 0
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted =
            [(self.folders, "folder", "folders"), (self.files, "file", "files"), (self.others, "other", "others")];
        let mut separator = "";
        for (count, one, many) in counted.into_iter().filter(|(count, ..)| *count > 0) {
            write!(f, "{separator}{count} {}", if count == 1 { one } else { many })?;
            separator = ", ";
        }
        if self.files > 0 { write!(f, " · {}", size(self.bytes)) } else { Ok(()) }
    }
}

/// Text inside HTML, also between quotes. What cannot be seen is shown by its picture.
struct HtmlText<'a>(&'a str);

impl fmt::Display for HtmlText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut done = 0;
        for (at, c) in self.0.char_indices() {
            let replacement = match c {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                c if c.is_control() || turns_text_around(c) => "",
                _ => continue,
            };
            f.write_str(&self.0[done..at])?;
            f.write_str(replacement)?;
            if replacement.is_empty() {
                write!(f, "{}", picture(c))?;
            }
            done = at + c.len_utf8();
        }
        f.write_str(&self.0[done..])
    }
}

/// Marks that reorder what stands around them: with them a program can be made to look like a picture.
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn picture(control: char) -> char {
    match control {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(control)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        _ => '\u{fffd}',
    }
}

/// A picture from the top of the page; a screen reader has no need of it.
struct Icon(&'static str);

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<svg aria-hidden=\"true\"><use href=\"#{}\"/></svg>", self.0)
    }
}

fn kind_of(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Dir => "folder",
        Kind::Link | Kind::Special => "other",
    }
}

fn to_collection_text(path: &SharePath) -> String {
    if path.is_root() { path.to_text() } else { path.to_text() + "/" }
}

/// A size that a person can read.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    // Where rounding would make it 1024, it is 1.0 of the next unit.
    while value >= 1023.5 {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 99.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Compares without regard to case, and numbers by their value.
fn compare_naturally(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.chars().peekable(), other.chars().peekable());
    loop {
        let order = match (one.peek(), other.peek()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some('0'..='9'), Some('0'..='9')) => {
                let (one, other) = (take_number(&mut one), take_number(&mut other));
                one.len().cmp(&other.len()).then_with(|| one.cmp(&other))
            }
            (Some(left), Some(right)) => {
                let order = left.to_lowercase().cmp(right.to_lowercase());
                one.next();
                other.next();
                order
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits that come next, without leading zeros.
fn take_number(text: &mut Peekable<Chars<'_>>) -> String {
    while text.next_if_eq(&'0').is_some() {}
    std::iter::from_fn(|| text.next_if(char::is_ascii_digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tag::EntityTag;
    use crate::share::outcome::Refusal;
    use proptest::prelude::*;
    use std::future::poll_fn;
    use std::sync::mpsc as channel;

    type Each<'a> = &'a mut dyn FnMut(ListedMember) -> ControlFlow<()>;

    fn member(name: &[u8], kind: Kind, size: u64) -> ListedMember {
        let modified = Timestamp::new(1_795_358_107, 123_456_789);
        let tag = (kind == Kind::File).then(|| EntityTag::received(false, b"s0"));
        ListedMember {
            name: Name::new(name).expect("a name"),
            kind,
            size,
            modified,
            born: None,
            is_executable: false,
            tag,
            linked: None,
        }
    }

    fn file(name: &str) -> ListedMember {
        member(name.as_bytes(), Kind::File, 1)
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn walk_of(members: Vec<ListedMember>) -> impl FnOnce(Each<'_>) -> Outcome<()> {
        move |each| {
            let _ = members.into_iter().try_for_each(each);
            Ok(())
        }
    }

    async fn next(listing: &mut Listing) -> Option<io::Result<Bytes>> {
        poll_fn(|cx| Pin::new(&mut *listing).poll_next(cx)).await
    }

    async fn read(mut listing: Listing) -> io::Result<String> {
        let mut all = Vec::new();
        while let Some(piece) = next(&mut listing).await {
            let piece = piece?;
            assert!(piece.len() <= PIECE_BYTES + 8192, "{} bytes at once", piece.len());
            all.extend_from_slice(&piece);
        }
        Ok(String::from_utf8(all).expect("UTF-8"))
    }

    async fn json_of(at: &str, members: Vec<ListedMember>) -> serde_json::Value {
        let at = path(at);
        let listing = Listing::begin(move |output| write_json(&at, output, walk_of(members))).await.expect("begins");
        serde_json::from_str(&read(listing).await.expect("whole")).expect("JSON")
    }

    async fn html_of(at: &str, members: Vec<ListedMember>) -> String {
        let at = path(at);
        let listing = Listing::begin(move |output| write_html(&at, output, walk_of(members))).await.expect("begins");
        read(listing).await.expect("whole")
    }

    #[actix_web::test]
    async fn programs_get_every_field_of_every_member() {
        let members = vec![
            member(b"a \"b\".txt", Kind::File, 5),
            member(b"deep", Kind::Dir, 0),
            member(b"pipe", Kind::Special, 0),
            member(b"caf\xe9", Kind::File, 0),
        ];
        let modified = "2026-11-22T14:35:07.123456Z";
        let none = serde_json::Value::Null;
        assert_eq!(
            json_of("docs/\u{e9}", members).await,
            serde_json::json!({"path": "/docs/\u{e9}/", "entries": [
                {"name": "a \"b\".txt", "kind": "file", "size": 5, "modified": modified, "etag": "\"s0\"",
                 "href": "/docs/%C3%A9/a%20%22b%22.txt"},
                {"name": "deep", "kind": "folder", "size": none, "modified": modified, "etag": none,
                 "href": "/docs/%C3%A9/deep/"},
                {"name": "pipe", "kind": "other", "size": none, "modified": modified, "etag": none,
                 "href": "/docs/%C3%A9/pipe"},
                {"name": "caf\u{fffd}", "kind": "file", "size": 0, "modified": modified, "etag": "\"s0\"",
                 "href": "/docs/%C3%A9/caf%E9"},
            ]})
        );
        assert_eq!(json_of("", vec![]).await, serde_json::json!({"path": "/", "entries": []}));
    }

    #[actix_web::test]
    async fn people_get_folders_first_and_then_names_as_they_count() {
        let names = ["part 10", "Part 9", "b", "A", "1000", "999", "01", "\u{c9}t\u{e9}", "\u{e9}tage"];
        let mut members: Vec<_> = names.iter().map(|name| file(name)).collect();
        members.push(member(b"zeta", Kind::Dir, 0));
        let page = html_of("docs", members).await;
        let places: Vec<usize> =
            ["zeta", "01", "999", "1000", "A", "b", "Part 9", "part 10", "\u{e9}tage", "\u{c9}t\u{e9}"]
                .iter()
                .map(|name| page.find(&format!("<bdi>{name}</bdi></a></th>")).expect(name))
                .collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(page.contains("<a href=\"/docs/zeta/\">") && page.contains("<a href=\"/docs/part%2010\">"), "{page}");
        assert!(page.contains("<a href=\"/\"><svg"), "the parent: {page}");
        assert!(
            page.contains("<time datetime=\"2026-11-22T14:35:07Z\">2026-11-22<span> 14:35</span></time>"),
            "{page}"
        );
        assert!(page.contains("<p>1 folder, 9 files · 9 B</p>"), "{page}");
        assert!(!page.contains("class=\"note\""));
    }

    #[actix_web::test]
    async fn names_never_become_markup() {
        let hostile = "<img src=x onerror=alert(1)>&\"'\n\u{202e}";
        let page = html_of("", vec![file(hostile), member(hostile.as_bytes(), Kind::Special, 0)]).await;
        assert!(!page.contains("<img"), "{page}");
        let shown = "&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#39;\u{240a}\u{fffd}";
        assert_eq!(page.matches(&format!("<bdi>{shown}</bdi>")).count(), 2, "{page}");
        let below = html_of(&format!("{hostile}/{hostile}"), vec![]).await;
        assert!(!below.contains("<img") && below.contains(shown) && below.contains("This folder is empty."), "{below}");
        assert!(!page.contains("<script") && !page.contains(" style="), "{page}");
    }

    #[actix_web::test]
    async fn the_policy_allows_the_style_of_the_page_and_nothing_else() {
        let page = html_of("", vec![]).await;
        let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
        let hash = STANDARD.encode(Sha256::digest(style));
        let policy = html_policy();
        let policy = policy.to_str().expect("ASCII");
        assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "{policy}");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    }

    #[actix_web::test]
    async fn a_small_listing_has_a_length_and_a_large_one_comes_in_pieces() {
        let members = |count: usize| (0..count).map(|number| file(&format!("{number}.txt"))).collect::<Vec<_>>();
        let begin = |members| Listing::begin(move |output| write_json(&path("a"), output, walk_of(members)));
        let small = begin(members(10)).await.expect("begins");
        let BodySize::Sized(length) = small.size() else { panic!("no length: {small:?}") };
        assert_eq!(read(small).await.expect("whole").len() as u64, length);
        let large = begin(members(5000)).await.expect("begins");
        assert_eq!(large.size(), BodySize::Stream);
        let listing: serde_json::Value = serde_json::from_str(&read(large).await.expect("whole")).expect("JSON");
        assert_eq!(listing["entries"].as_array().expect("a list").len(), 5000);
    }

    #[actix_web::test]
    async fn a_folder_that_is_too_large_to_be_put_in_order_is_shown_whole() {
        for (count, is_sorted) in [(SORTED_MAX, true), (SORTED_MAX + 1, false), (SORTED_MAX + 3000, false)] {
            let members = (0..count).rev().map(|number| file(&format!("{number}.txt"))).collect();
            let page = html_of("", members).await;
            assert_eq!(page.matches("<bdi>").count(), count);
            assert_eq!(
                page.find("<bdi>0.txt").expect("the first") < page.find("<bdi>9.txt").expect("the tenth"),
                is_sorted
            );
            assert_eq!(page.contains("class=\"note\""), !is_sorted);
            assert!(page.contains(&format!("<p>{count} files")) && page.ends_with("</html>\n"));
        }
        // Names count too, not only how many there are.
        let long = |number: usize| file(&format!("{number:0>250}"));
        let page = html_of("", (0..SORTED_NAME_BYTES_MAX / 250 + 2).map(long).collect()).await;
        assert!(page.contains("class=\"note\""));
    }

    #[actix_web::test]
    async fn a_refusal_before_the_first_member_is_told_as_one() {
        for broken in [Refusal::NotFound, Refusal::ShareGone] {
            let told = broken.clone();
            let refused = Listing::begin(move |output| write_json(&path("a"), output, |_| Err(told.into()))).await;
            assert!(matches!(refused, Err(Stop::Refusal(refusal)) if refusal.to_string() == broken.to_string()));
        }
        let refused = Listing::begin(|output| write_html(&path("a"), output, |_| Err(Refusal::NotFound.into()))).await;
        assert!(refused.is_err());
    }

    /// Breaks off after so many members.
    fn broken_walk(count: usize) -> impl FnOnce(Each<'_>) -> Outcome<()> {
        move |each| {
            let _ = (0..count).map(|number| file(&format!("{number}.txt"))).try_for_each(each);
            Err(Refusal::ShareGone.into())
        }
    }

    #[actix_web::test]
    async fn a_listing_that_breaks_off_never_looks_whole() {
        let listing = Listing::begin(|output| write_json(&path("a"), output, broken_walk(5000))).await.expect("begins");
        assert!(read(listing).await.is_err());
        let listing = Listing::begin(|output| write_html(&path("a"), output, broken_walk(SORTED_MAX + 5000)))
            .await
            .expect("begins");
        assert!(read(listing).await.is_err());
        let listing = Listing::begin(|_| panic!("for this test")).await.expect("begins");
        assert!(read(listing).await.is_err());
    }

    /// Goes on until it is told to stop, and then says how many members it gave.
    fn endless_walk(ended: channel::Sender<u64>) -> impl FnOnce(Each<'_>) -> Outcome<()> {
        move |each| {
            let count = (0..10_000_000).find(|_| each(file("a.txt")).is_break()).expect("it was told to stop");
            let _ = ended.send(count);
            Ok(())
        }
    }

    #[actix_web::test]
    async fn nothing_is_read_for_a_client_that_has_gone_away() {
        let limit = Duration::from_secs(20);
        let (sender, ended) = channel::channel();
        let mut listing =
            Listing::begin(|output| write_json(&path("a"), output, endless_walk(sender))).await.expect("begins");
        assert!(next(&mut listing).await.expect("a piece").is_ok());
        assert!(ended.try_recv().is_err(), "it goes on while somebody reads");
        drop(listing);
        ended.recv_timeout(limit).expect("the reading ends");

        // A page that is still being put in order has handed over nothing yet: the handler is dropped while it waits.
        let (sender, ended) = channel::channel();
        let (began, begun) = channel::channel();
        let mut waiting = Box::pin(Listing::begin(move |output| {
            write_html(&path("a"), output, |each| {
                assert!(each(file("a.txt")).is_continue());
                began.send(()).expect("the test waits");
                for _ in 0..10_000 {
                    if each(file("a.txt")).is_break() {
                        let _ = sender.send(());
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            })
        }));
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        begun.recv_timeout(limit).expect("it begins");
        drop(waiting);
        ended.recv_timeout(limit).expect("the reading ends");
    }

    #[actix_web::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (sender, ended) = channel::channel();
        let stall = Duration::from_millis(50);
        let write = |output: &mut Output| write_json(&path("a"), output, endless_walk(sender));
        let listing = Listing::begin_within(stall, write).await.expect("begins");
        let ended = spawn_blocking(move || ended.recv_timeout(Duration::from_secs(20))).await.expect("no panic");
        ended.expect("the reading ends");
        assert!(read(listing).await.is_err(), "what was given up does not look whole");
    }

    proptest! {
        #[test]
        fn no_text_escapes_as_markup(text: String) {
            let escaped = HtmlText(&text).to_string();
            let is_bad = |c: char| matches!(c, '<' | '>' | '"' | '\'') || c.is_control() || turns_text_around(c);
            prop_assert!(!escaped.contains(is_bad));
            let back = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
            let back = back.replace("&amp;", "&");
            let kept = |text: &str| text.chars().filter(|c| !c.is_control()).count();
            prop_assert_eq!(back.chars().count(), text.chars().count());
            prop_assert!(kept(&back) >= kept(&text));
        }

        #[test]
        fn names_have_one_order(names in prop::collection::vec("[aAbB\u{e9}\u{c9}01 9]{0,5}", 3)) {
            let [one, two, three] = names.as_slice() else { unreachable!("three were drawn") };
            prop_assert_eq!(compare_naturally(one, two), compare_naturally(two, one).reverse());
            if compare_naturally(one, two).is_le() && compare_naturally(two, three).is_le() {
                prop_assert!(compare_naturally(one, three).is_le());
            }
        }
    }

    #[test]
    fn sizes_can_be_read() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (2048, "2.0 KiB"),
            (102_348, "99.9 KiB"),
            (102_400, "100 KiB"),
            (1_047_551, "1023 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (3_221_225_472, "3.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }
}
