//! The lines that are printed: a change, a place in the feed, or the word to look again. Each is one line whatever the names in it are, and is
//! handed on at once.

use std::io::{self, StdoutLock, Write};

use serde::Deserialize;
use serde_json::json;

use crate::http::clock::now;
use crate::log::escaped;
use crate::model::cursor::Cursor;

/// Where the lines go.
pub(super) struct Lines {
    out: StdoutLock<'static>,
    is_json: bool,
    /// The place that was told last.
    place: Option<Cursor>,
}

/// What a line without `--json` shows of a change.
#[derive(Deserialize)]
struct Shown {
    at: String,
    kind: String,
    path: String,
    resource: String,
    from: Option<String>,
}

impl Lines {
    pub(super) fn new(is_json: bool) -> Self {
        Self { out: io::stdout().lock(), is_json, place: None }
    }

    /// A change, as `?changes` tells it.
    pub(super) fn change(&mut self, json: &str) -> io::Result<()> {
        let Shown { at, kind, path, resource, from } = serde_json::from_str(json)?;
        if self.is_json {
            return self.line(json);
        }
        let slash = |path: &str| if resource == "folder" && !path.ends_with('/') { "/" } else { "" };
        let mut line = format!("{}\t{}\t{}{}", escaped(&at), escaped(&kind), escaped(&path), slash(&path));
        if let Some(from) = from {
            line += &format!("\t{}{}", escaped(&from), slash(&from));
        }
        self.line(&line)
    }

    /// How far all was told; without `--json` nobody needs to know, and with it nobody needs to be told twice.
    pub(super) fn place(&mut self, json: &str, cursor: Cursor) -> io::Result<()> {
        let is_told = self.place.replace(cursor) == Some(cursor);
        if is_told || !self.is_json { Ok(()) } else { self.line(json) }
    }

    /// Something may have happened in a folder that cannot be told.
    pub(super) fn look_again(&mut self, folder: &str, why: &str) -> io::Result<()> {
        let (at, kind) = (now().rfc_3339(), "look-again");
        match self.is_json {
            true => self.line(&json!({ "at": at, "kind": kind, "path": folder, "why": why }).to_string()),
            false => self.line(&format!("{at}\t{kind}\t{}\t{}", escaped(folder), escaped(why))),
        }
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}").and_then(|()| self.out.flush())
    }
}
