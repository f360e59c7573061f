//! LOCK and UNLOCK (RFC 4918 §9.10, §9.11): parse, ask the share, tell of the locks.

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;

use crate::model::lock::{Lock, Reach, Scope};
use crate::model::lock_token::LockToken;
use crate::model::stamp::Timestamp;
use crate::share::LockWish;
use crate::share::outcome::{LockRoot, Refusal, Stop};

use crate::http::clock::now;
use crate::http::context::{Trouble, Verbs, parse_xml, request_context, xml_body};
use crate::http::headers::dav_headers::{self, BadHeader, Depth};
use crate::http::reply::{self, Wrong};
use crate::http::request::target::{self, Asked};
use crate::http::xml::read::LockInfo;
use crate::http::xml::write::ActiveLock;

/// The drives of Windows.
pub(crate) const WINDOWS: [&str; 2] = ["Microsoft-WebDAV-MiniRedir/", "DavClnt"];

/// Old versions of Office stumble over the root of a lock.
const STUMBLE_OVER_ROOTS: [&str; 2] = ["Microsoft Data Access", "Microsoft Office"];

/// This client takes 409 for a file that is gone, and forgets it.
const FORGETS_ON_CONFLICT: [&str; 2] = ["WebDAVFS/", "WebDAVLib/"];

/// Answers LOCK: without a body it grants a lock more time, with one it takes a new lock.
pub(crate) async fn lock(
    verbs: &Verbs,
    head: &RequestHead,
    body: &mut Payload,
    asked: &Asked,
) -> Result<HttpResponse, Trouble> {
    let context = request_context(head, asked)?;
    let timeout = Some(dav_headers::timeout(&head.headers));
    let body = xml_body(verbs, head, body).await?;
    let path = asked.path.clone();
    verbs.have_hashed(&path, None, &context).await?;
    if body.is_empty() {
        if !context.has_tokens() {
            return Err(Wrong::Header("If").into());
        }
        let (lock, root) = verbs
            .ask(move |share| {
                let lock = share.refresh_lock(&path, timeout, &context.at(now()))?;
                let root = share.root_of(&lock);
                Ok((lock, root))
            })
            .await?;
        return Ok(reply::locked(None, false, &[describe(&lock, &root, head, now())]));
    }
    let info = parse_xml(body, LockInfo::parse).await?;
    let reach = match dav_headers::depth_of_change(&head.headers)? {
        Some(Depth::Zero) => Reach::Itself,
        None | Some(Depth::Infinity) => Reach::Below,
        Some(Depth::One) => return Err(BadHeader("Depth").into()),
    };
    let wish = LockWish { token: new_token(), scope: info.scope, reach, owner: info.owner, timeout };
    let names_a_collection = asked.names_a_collection;
    let taken = verbs.ask(move |share| {
        if names_a_collection && !share.is_collection(&path).unwrap_or(false) {
            return Err(Refusal::NotFound.into());
        }
        let taken = share.lock(&path, wish, &context.at(now()))?;
        let root = share.root_of(&taken.lock);
        Ok((taken, root))
    });
    let (taken, root) = taken.await?;
    Ok(reply::locked(Some(&taken.lock.token), taken.created, &[describe(&taken.lock, &root, head, now())]))
}

/// Answers UNLOCK.
pub(crate) async fn unlock(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<HttpResponse, Trouble> {
    let token = dav_headers::lock_token(&head.headers)?.ok_or(BadHeader("Lock-Token"))?;
    let context = request_context(head, asked)?;
    let path = asked.path.clone();
    verbs.have_hashed(&path, None, &context).await?;
    match verbs.ask(move |share| share.unlock(&path, &token, &context.at(now()))).await {
        Err(Trouble::Stop(Stop::Refusal(Refusal::ForeignToken))) if is_one_of(head, &FORGETS_ON_CONFLICT) => {
            Err(BadHeader("Lock-Token").into())
        }
        unlocked => unlocked.map(|()| reply::done()),
    }
}

/// A lock, as an answer tells of it.
pub(crate) fn describe(lock: &Lock, root: &LockRoot, head: &RequestHead, now: Timestamp) -> ToldLock {
    ToldLock {
        scope: lock.scope,
        is_deep: lock.reach == Reach::Below,
        owner: lock.owner.clone(),
        timeout: lock.timeout.map(|_| lock.remaining(now).as_secs()),
        token: lock.token.clone(),
        root: (!is_one_of(head, &STUMBLE_OVER_ROOTS)).then(|| href(root)),
    }
}

/// The URL path of the root of a lock.
pub(crate) fn href(root: &LockRoot) -> String {
    if root.is_collection { root.path.to_collection_url() } else { root.path.to_url() }
}

/// What an answer tells of a lock.
#[derive(Clone, Debug)]
pub(crate) struct ToldLock {
    scope: Scope,
    is_deep: bool,
    owner: Option<Box<str>>,
    timeout: Option<u64>,
    token: LockToken,
    root: Option<String>,
}

impl ToldLock {
    /// As the writer of XML takes it.
    pub(crate) fn active(&self) -> ActiveLock<'_> {
        ActiveLock {
            scope: self.scope,
            is_deep: self.is_deep,
            owner: self.owner.as_deref(),
            timeout: self.timeout,
            token: self.token.as_str(),
            root: self.root.as_deref(),
        }
    }
}

/// Whether the client calls itself one of these.
pub(crate) fn is_one_of(head: &RequestHead, beginnings: &[&str]) -> bool {
    let agent = target::text(&head.headers, "user-agent").unwrap_or_default();
    beginnings.iter().any(|beginning| agent.starts_with(beginning))
}

/// A token that nobody can guess (RFC 4918 §20.7).
fn new_token() -> LockToken {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert_eq!(filled, Ok(bytes.len()), "the kernel has random bytes");
    LockToken::from_random(bytes)
}
