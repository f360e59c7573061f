//! The request headers that need a parser of their own. What they say becomes a value of the model or of this room.

pub(crate) mod dav_headers;
pub(crate) mod digest;
pub(crate) mod field;
pub(crate) mod if_header;
pub(crate) mod range;
mod structured;
pub(crate) mod tus_fields;
pub(crate) mod update_range;
pub(crate) mod upload_fields;
