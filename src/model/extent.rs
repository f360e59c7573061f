//! How much of a folder a copy takes.

/// How much of a folder is meant (`Depth`, RFC 4918 §9.8.3); of a file it makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The folder alone (`Depth: 0`).
    Itself,
    /// The folder with all that is in it (`Depth: infinity`).
    Tree,
}
