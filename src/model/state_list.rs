//! The parsed `If` header of one request (RFC 4918 §10.4): lists of states that resources must be in.
//!
//! The header holds if any of its lists does, and a list if all of its conditions do. Judging is a pure function of the header and of what
//! is there; what a resource is like, the caller says when it is asked.

use std::collections::BTreeMap;
use std::fmt;

use super::lock::LockToken;
use super::path::SharePath;
use super::precondition::{Target, Validators};
use super::tag::{EntityTag, TagForm};

/// The state token that no resource ever has (RFC 4918 §10.4.8).
pub const NO_LOCK: &str = "DAV:no-lock";

/// The parsed `If` header: never without a list, and either all lists name a resource or none does.
#[derive(Clone, Debug)]
pub struct StateLists {
    /// The lists, in the order they came.
    pub lists: Vec<StateList>,
}

/// One list: conditions on one resource that must all hold.
#[derive(Clone, Debug)]
pub struct StateList {
    /// What is judged.
    pub resource: Resource,
    /// Never empty.
    pub conditions: Vec<StateCondition>,
}

/// What a list judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// What the request is for: the list names nothing.
    Asked,
    /// This.
    Path(SharePath),
    /// Nothing that this share could hold, as it was written; judged as a place where nothing is.
    Elsewhere(Box<str>),
}

/// One condition of a list.
#[derive(Clone, Debug)]
pub struct StateCondition {
    /// Whether the state must not be there.
    pub not: bool,
    /// The state.
    pub state: State,
}

/// A state that a resource can be in.
#[derive(Clone, Debug)]
pub enum State {
    /// Covered by the live lock of this name. The text may be no token at all; then nothing is.
    Token(Box<str>),
    /// A file with this entity tag.
    Tag(EntityTag),
    /// Anything at all (`[*]`, which some clients send).
    AnyTag,
}

/// What is at a place, as far as an `If` header can ask.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The names of the live locks that cover the place.
    pub tokens: Vec<LockToken>,
    /// What is there.
    pub there: There,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub enum There {
    /// Nothing.
    #[default]
    Nothing,
    /// A collection, which has no tag.
    Collection,
    /// A file.
    File(Validators),
}

impl StateLists {
    /// Whether the header holds for a request for `asked`. Each place is looked at once at most, and only if it matters.
    pub fn hold<E>(
        &self,
        asked: &SharePath,
        mut look: impl FnMut(&SharePath) -> Result<Standing, E>,
    ) -> Result<bool, E> {
        let mut seen: BTreeMap<&SharePath, Standing> = BTreeMap::new();
        let nothing = Standing::default();
        for list in &self.lists {
            let standing = match list.resource.path(asked) {
                None => &nothing,
                Some(path) => {
                    if !seen.contains_key(path) {
                        seen.insert(path, look(path)?);
                    }
                    &seen[path]
                }
            };
            if list.conditions.iter().all(|condition| condition.holds(standing)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every state token anywhere in the header, in whatever list: by that it counts as submitted (RFC 4918 §10.4.1).
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.conditions().filter_map(|condition| match &condition.state {
            State::Token(token) if **token != *NO_LOCK => Some(&**token),
            State::Token(_) | State::Tag(_) | State::AnyTag => None,
        })
    }

    /// The places that it judges for a request for `asked`, each once.
    pub fn paths<'a>(&'a self, asked: &'a SharePath) -> Vec<&'a SharePath> {
        let mut paths: Vec<&SharePath> = self.lists.iter().filter_map(|list| list.resource.path(asked)).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Whether the content's hash at `path` has to be known to judge it, in a request for `asked`.
    pub fn asks_for_content(&self, asked: &SharePath, path: &SharePath) -> bool {
        let here = self.lists.iter().filter(|list| list.resource.path(asked) == Some(path));
        here.flat_map(|list| &list.conditions)
            .any(|condition| matches!(&condition.state, State::Tag(tag) if matches!(tag.form(), TagForm::Content(_))))
    }

    /// Whether any of its lists demands a tag of `asked`.
    pub fn names_a_tag(&self, asked: &SharePath) -> bool {
        let here = self.lists.iter().filter(|list| list.resource.path(asked) == Some(asked));
        here.flat_map(|list| &list.conditions)
            .any(|condition| !condition.not && matches!(condition.state, State::Tag(_)))
    }

    /// Whether it can only hold for one version of `path`, in a request for `asked`: every list demands a tag or a lock there. What a
    /// policy of required preconditions asks.
    pub fn names_a_version(&self, asked: &SharePath, path: &SharePath) -> bool {
        self.lists.iter().all(|list| {
            let names_one = |condition: &StateCondition| {
                !condition.not && matches!(condition.state, State::Tag(_) | State::Token(_))
            };
            list.resource.path(asked) == Some(path) && list.conditions.iter().any(names_one)
        })
    }

    fn conditions(&self) -> impl Iterator<Item = &StateCondition> {
        self.lists.iter().flat_map(|list| &list.conditions)
    }
}

impl Resource {
    /// The place, for a request for `asked`; `None` where nothing can be.
    fn path<'a>(&'a self, asked: &'a SharePath) -> Option<&'a SharePath> {
        match self {
            Self::Asked => Some(asked),
            Self::Path(path) => Some(path),
            Self::Elsewhere(_) => None,
        }
    }
}

impl StateCondition {
    fn holds(&self, standing: &Standing) -> bool {
        self.not != self.state.is_that_of(standing)
    }
}

impl State {
    /// Tags are compared strongly, since nearly all that `If` guards is change.
    fn is_that_of(&self, standing: &Standing) -> bool {
        match (self, &standing.there) {
            (Self::Token(token), _) => {
                **token != *NO_LOCK && standing.tokens.iter().any(|live| live.as_str() == &**token)
            }
            (Self::Tag(tag), There::File(file)) => file.strongly_match(tag),
            (Self::Tag(_), There::Nothing | There::Collection) => false,
            (Self::AnyTag, there) => !matches!(there, There::Nothing),
        }
    }
}

impl There {
    /// As the conditional headers of RFC 9110 are judged against it.
    pub fn target(&self) -> Target<'_> {
        match self {
            Self::Nothing => Target::Nothing,
            Self::Collection => Target::Collection,
            Self::File(file) => Target::File(file),
        }
    }
}

impl From<Target<'_>> for There {
    fn from(target: Target<'_>) -> Self {
        match target {
            Target::Nothing => Self::Nothing,
            Target::Collection => Self::Collection,
            Target::File(file) => Self::File(file.clone()),
        }
    }
}

/// As it stands in the header.
impl fmt::Display for StateLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = &Resource::Asked;
        for (at, list) in self.lists.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            match &list.resource {
                same if same == last => {}
                Resource::Asked => {}
                Resource::Path(path) => write!(f, "<{}> ", path.to_url())?,
                Resource::Elsewhere(text) => write!(f, "<{text}> ")?,
            }
            last = &list.resource;
            f.write_str("(")?;
            for (at, condition) in list.conditions.iter().enumerate() {
                write!(f, "{}{condition}", if at > 0 { " " } else { "" })?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Display for StateCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not {
            f.write_str("Not ")?;
        }
        match &self.state {
            State::Token(token) => write!(f, "<{token}>"),
            State::Tag(tag) => write!(f, "[{tag}]"),
            State::AnyTag => f.write_str("[*]"),
        }
    }
}
