//! Floor 2: the promise. Synchronous. Knows the model and the store, no clock and no HTTP.
//!
//! Every change is a compare-and-swap from a state that was just seen: look, decide, swap; if the swap loses, look again, a bounded number of
//! times. Headers only decide whether we may try.

mod conditions;
mod dates;
mod dating;
mod deleted;
mod early;
mod evidence;
mod feed;
mod folders;
mod half_done;
mod hashing;
mod hashing_slots;
mod held_locks;
mod hints;
mod housekeeping;
mod identity;
mod in_flight;
mod judge;
mod last_change;
mod listing;
mod lock_gate;
mod lock_table;
mod locks;
pub mod outcome;
mod pins;
mod properties;
mod read;
mod recently_refused;
mod relocate;
mod remove;
mod request_context;
mod room;
mod shared_folder;
mod storing;
mod upload;
mod versions;
mod walk;

pub use crate::store::catalog::index_error::IndexError;
pub use crate::store::disk_error::{Cause, Full};
pub use crate::store::local::history::{KeptVersion, Page, PageRequest};
pub use crate::store::share_identity::ShareIdentity;
pub use crate::store::status::Kind;
pub use deleted::{DeletedWish, Walked};
pub use half_done::{Begun, Dialect, UploadState};
pub use hashing::Unhashed;
pub use hints::Hint;
pub use housekeeping::INDEX;
pub use identity::{Effort, Identity};
pub use in_flight::UploadWatch;
pub use listing::{ListedMember, Tags};
pub use locks::{LockRequest, TakenLock};
pub use properties::{Notes, PropertyUpdate};
pub use read::{Content, FoundFolder, Occupant, OpenResource, Spot};
pub use relocate::{CopyLimit, Relocated, Relocation};
pub use remove::Removed;
pub use request_context::RequestContext;
pub use shared_folder::{Share, ShareSettings};
pub use storing::Stored;
pub use upload::{HeldUpload, Upload, UploadId, UploadName};
pub use versions::KeptAt;
pub use walk::{Walk, WalkEnd, WalkReach, WalkedFolder};
