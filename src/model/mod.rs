//! Floor 0: values. No input or output, no clock, nothing asynchronous, no HTTP library.

pub mod age_clock;
pub mod author;
pub mod content_hash;
pub mod dating;
pub mod extent;
pub mod grants;
pub mod http_date;
pub mod keep_rule;
pub mod lock;
pub mod lock_table;
pub mod lock_token;
pub mod path;
pub mod permissions;
pub mod precondition;
pub mod principal;
pub mod property;
pub mod rights;
pub mod rules;
pub mod stamp;
pub mod state_list;
pub mod submitted;
pub mod tag;
pub mod update_range;
pub mod validators;
pub mod verdict;
pub mod version;
