//! What can be shown of a path besides its bytes: folders as pages or JSON, live properties, versions, media types.

pub(crate) mod active_lock;
pub(crate) mod file;
pub(crate) mod lasting_form;
pub(crate) mod listing;
pub(crate) mod live;
pub(crate) mod versions;
