//! URLs of noclobber's own below a folder: `FOLDER/.noclobber/uploads/` and `FOLDER/.noclobber/tus/`. No member of the share has such a path.
//!
//! They lie below the folder that a request is about, so that whoever comes there by a link, or by a cookie for that place, has them too.

use actix_http::RequestHead;

use crate::http::request::query::Query;
use crate::http::request::target::RequestTarget;
use crate::http::urls;
use crate::model::path::SharePath;
use crate::share::Dialect;

/// What stands between the folder and what is served below it.
const OWN: &str = "/.noclobber/";

/// What is served below a folder besides what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The half-done uploads of whoever asks, or the place where uploads in this dialect begin.
    Uploads(Dialect),
    /// One of them, by its name.
    Upload(Dialect, String),
}

/// What a request goes to, if that is a service, and the folder that it is below.
pub(crate) fn parse(head: &RequestHead) -> Option<(RequestTarget, Service)> {
    let inside = urls::inside(head.uri.path())?;
    let (folder, rest) = inside.split_once(OWN)?;
    let (dialect, name) = match rest.split_once('/').unwrap_or((rest, "")) {
        ("uploads", name) => (Dialect::Draft, name),
        ("tus", name) => (Dialect::Tus, name),
        _ => return None,
    };
    let service = match name {
        "" => Service::Uploads(dialect),
        name if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Service::Upload(dialect, name.to_owned()),
        _ => return None,
    };
    let path = SharePath::parse_url(&format!("{folder}/")).ok()?;
    let query = Query::parse(head.uri.query().unwrap_or_default()).ok()?;
    Some((RequestTarget { path, has_trailing_slash: true, query }, service))
}

/// The place that a request is about: its target, or the folder that a service is below.
pub(crate) fn place(head: &RequestHead) -> Option<RequestTarget> {
    parse(head).map_or_else(|| RequestTarget::parse(head).ok(), |(folder, _)| Some(folder))
}

/// The path of the URL of an upload, below that of a folder.
pub(crate) fn of_upload(folder: &SharePath, dialect: Dialect, name: &str) -> String {
    let word = match dialect {
        Dialect::Draft => "uploads",
        Dialect::Tus => "tus",
    };
    format!("{}.noclobber/{word}/{name}", urls::of_folder(folder))
}

/// A path as it may be told to others: without the name of an upload, which is a secret.
pub(crate) fn without_secrets(url_path: &str) -> &str {
    for word in ["/.noclobber/uploads/", "/.noclobber/tus/"] {
        if let Some(at) = url_path.find(word) {
            return &url_path[..at + word.len()];
        }
    }
    url_path
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("/a/b", "/a/b"),
        ] {
            assert_eq!(without_secrets(url), told);
        }
    }
}
