//! All checks, by subject. Each stands for itself, makes the files it needs, and looks at what is there afterwards.

mod bodies;
mod conditions;
mod connections;
mod destinations;
mod methods;
mod names;
mod ranges;
mod reads;
mod state_lists;
mod tags;

use super::check::Group;

/// In the order in which a person wants to know.
pub(super) const GROUPS: &[Group] = &[
    methods::GROUP,
    tags::GROUP,
    conditions::GROUP,
    reads::GROUP,
    state_lists::GROUP,
    destinations::GROUP,
    bodies::GROUP,
    ranges::GROUP,
    names::GROUP,
    connections::GROUP,
];
