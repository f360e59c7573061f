//! In which form the members of a folder are told of: all that what is written of one depends on, besides the member itself. Two requests of one
//! form get the same bytes as long as the members are the same.

use crate::http::xml::read::Propfind;
use crate::model::path::SharePath;
use crate::model::property::PropertyName;
use crate::share::PagedListing;

/// The form, as bytes by which it is told from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastingForm(Vec<u8>);

impl LastingForm {
    /// The form of an answer to a PROPFIND: where the folder is, which properties are asked for, after how many changes of properties, and in what
    /// other ways answers differ.
    pub(crate) fn new(folder: &SharePath, asked_for: &Propfind, notes: u64, ways: [bool; 3]) -> Self {
        let (kind, names): (u8, &[PropertyName]) = match asked_for {
            Propfind::AllProp { include } => (0, include),
            Propfind::PropName => (1, &[]),
            Propfind::Prop(names) => (2, names),
        };
        let mut form = vec![kind];
        form.extend(ways.map(u8::from));
        form.extend(notes.to_le_bytes());
        // No path and no name has a NUL in it.
        form.extend(folder.as_bytes());
        for name in names {
            form.push(0);
            form.extend(name.namespace().as_bytes());
            form.push(0);
            form.extend(name.local().as_bytes());
        }
        Self(form)
    }

    /// The same, told to a client who may do this with every member.
    pub(crate) fn for_client(mut self, tells_rights: bool, listing: &PagedListing<'_>) -> Self {
        self.0.push(0);
        self.0.extend(if tells_rights { listing.rights().bits().to_le_bytes() } else { Default::default() });
        self
    }

    /// What stands for it, and for what is told of the folder itself.
    pub(crate) fn of_folder(&self, listing: &PagedListing<'_>) -> Vec<u8> {
        let itself = listing.itself();
        let mut form = self.0.clone();
        form.extend(itself.modified.nanoseconds().to_le_bytes());
        form.extend(itself.born.map_or(0, |born| born.nanoseconds()).to_le_bytes());
        form
    }

    /// What stands for it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
