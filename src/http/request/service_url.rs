//! URLs of noclobber's own below a folder: `FOLDER/.noclobber/uploads/` and `FOLDER/.noclobber/tus/`; and `.noclobber/remote.php/dav/uploads/` below
//! the share, where clients of Nextcloud send chunks. No member of the share has such a path.
//!
//! They lie below the folder that a request is about, so that whoever comes there by a link, or by a cookie for that place, has them too.

use actix_http::RequestHead;
use percent_encoding::percent_decode_str;

use crate::http::request::query::Query;
use crate::http::request::target::RequestTarget;
use crate::http::urls;
use crate::model::path::SharePath;
use crate::share::Dialect;

/// What stands between the folder and what is served below it.
const OWN: &str = "/.noclobber/";

/// What stands before the name of the user in the URLs of uploads in chunks.
const CHUNKS: &str = "remote.php/dav/uploads/";

/// What is served below a folder besides what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The half-done uploads of whoever asks, or the place where uploads in this dialect begin.
    Uploads(Dialect),
    /// One of them, by its name.
    Upload(Dialect, String),
    /// An upload in chunks.
    Chunked(ChunkedUrl),
    /// A chunk of one, or what all of them are to become.
    Chunk(ChunkedUrl, String),
}

/// How an upload in chunks is called in its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkedUrl {
    /// The name of a user, which is whatever the client was told to put there.
    pub(crate) user: String,
    /// What the client calls the upload.
    pub(crate) id: String,
}

/// What a request goes to, if that is a service, and the folder that it is below.
pub(crate) fn parse(head: &RequestHead) -> Option<(RequestTarget, Service)> {
    let inside = urls::inside(head.uri.path())?;
    let (folder, rest) = inside.split_once(OWN)?;
    let service = match rest.strip_prefix(CHUNKS) {
        Some(rest) if folder.is_empty() => chunked(rest)?,
        Some(_) => return None,
        None => by_dialect(rest)?,
    };
    let path = SharePath::parse_url(&format!("{folder}/")).ok()?;
    let query = Query::parse(head.uri.query().unwrap_or_default()).ok()?;
    Some((RequestTarget { path, has_trailing_slash: true, query }, service))
}

/// An upload in chunks, or one of these: `USER/ID` or `USER/ID/CHUNK`.
fn chunked(rest: &str) -> Option<Service> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?;
        let is_name = !matches!(&*text, "" | "." | "..") && text.len() <= 255 && !text.contains(['/', '\0']);
        is_name.then(|| text.into_owned())
    };
    let (user, rest) = rest.split_once('/')?;
    let (id, chunk) = rest.split_once('/').unwrap_or((rest, ""));
    let url = ChunkedUrl { user: decoded(user)?, id: decoded(id)? };
    match chunk {
        "" => Some(Service::Chunked(url)),
        chunk => decoded(chunk).map(|chunk| Service::Chunk(url, chunk)),
    }
}

fn by_dialect(rest: &str) -> Option<Service> {
    let (dialect, name) = match rest.split_once('/').unwrap_or((rest, "")) {
        ("uploads", name) => (Dialect::Draft, name),
        ("tus", name) => (Dialect::Tus, name),
        _ => return None,
    };
    match name {
        "" => Some(Service::Uploads(dialect)),
        name if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Some(Service::Upload(dialect, name.to_owned()))
        }
        _ => None,
    }
}

/// The place that a request is about: its target, or the folder that a service is below.
pub(crate) fn place(head: &RequestHead) -> Option<RequestTarget> {
    parse(head).map_or_else(|| RequestTarget::parse(head).ok(), |(folder, _)| Some(folder))
}

/// The path of the URL of an upload, below that of a folder.
pub(crate) fn of_upload(folder: &SharePath, dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Draft => format!("{}.noclobber/uploads/{name}", urls::of_folder(folder)),
        Dialect::Tus => format!("{}.noclobber/tus/{name}", urls::of_folder(folder)),
        Dialect::Chunks => format!("{}.noclobber/{CHUNKS}{name}", urls::of_folder(&SharePath::root())),
    }
}

/// A path as it may be told to others: without the name of an upload, which is a secret.
pub(crate) fn without_secrets(url_path: &str) -> &str {
    for word in ["/.noclobber/uploads/", "/.noclobber/tus/", "/.noclobber/remote.php/dav/uploads/"] {
        if let Some(at) = url_path.find(word) {
            return &url_path[..at + word.len()];
        }
    }
    url_path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked_url(user: &str, id: &str) -> ChunkedUrl {
        ChunkedUrl { user: user.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn the_table_of_services() {
        let name = "000102030405060708090a0b0c0d0e0f";
        for (url, folder, service) in [
            ("/.noclobber/uploads/", "/", Some(Service::Uploads(Dialect::Draft))),
            ("/.noclobber/tus", "/", Some(Service::Uploads(Dialect::Tus))),
            ("/a/b/.noclobber/tus/", "/a/b", Some(Service::Uploads(Dialect::Tus))),
            (
                "/a%20b/.noclobber/uploads/000102030405060708090a0b0c0d0e0f",
                "/a%20b",
                Some(Service::Upload(Dialect::Draft, name.to_owned())),
            ),
            (
                "/.noclobber/remote.php/dav/uploads/alice/up-1",
                "/",
                Some(Service::Chunked(chunked_url("alice", "up-1"))),
            ),
            (
                "/.noclobber/remote.php/dav/uploads/alice/up-1/",
                "/",
                Some(Service::Chunked(chunked_url("alice", "up-1"))),
            ),
            (
                "/.noclobber/remote.php/dav/uploads/a%40b/up/00001",
                "/",
                Some(Service::Chunk(chunked_url("a@b", "up"), "00001".to_owned())),
            ),
            ("/a/.noclobber/remote.php/dav/uploads/alice/up", "/", None),
            ("/.noclobber/remote.php/dav/uploads/alice", "/", None),
            ("/.noclobber/remote.php/dav/uploads/alice/", "/", None),
            ("/.noclobber/remote.php/dav/uploads/alice/../up", "/", None),
            ("/.noclobber/remote.php/dav/uploads/alice/up/a/b", "/", None),
            ("/.noclobber/remote.php/dav/uploads/alice/up/a%2Fb", "/", None),
            ("/remote.php/dav/uploads/alice/up", "/", None),
            ("/.noclobber/history/a", "/", None),
            ("/.noclobber/uploads/a/b", "/", None),
            ("/.noclobber/uploads/..", "/", None),
            ("/a/../.noclobber/uploads/", "/", None),
            ("/.noclobber", "/", None),
            ("/a.noclobber/uploads/", "/", None),
            ("/.noclobber/a/.noclobber/uploads/", "/", None),
        ] {
            let mut head = RequestHead::default();
            head.uri = url.parse().expect("a path");
            let found = parse(&head);
            assert_eq!(found.as_ref().map(|(_, service)| service), service.as_ref(), "{url}");
            if let Some((asked, _)) = found {
                assert_eq!(asked.path, SharePath::parse_url(folder).expect("a path"), "{url}");
            }
        }
    }

    #[test]
    fn what_is_told_to_others_names_no_upload() {
        for (url, told) in [
            ("/a/.noclobber/uploads/0011", "/a/.noclobber/uploads/"),
            ("/.noclobber/tus/0011?x", "/.noclobber/tus/"),
            ("/.noclobber/remote.php/dav/uploads/a/0011/1", "/.noclobber/remote.php/dav/uploads/"),
            ("/a/b", "/a/b"),
        ] {
            assert_eq!(without_secrets(url), told);
        }
    }
}
