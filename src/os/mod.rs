//! What the operating system offers to more than one room, as values that show no file descriptor. It stands on the same floor as the
//! model and knows nothing of the share. Sockets are the wire's ([`crate::http::wire`]), and all that concerns names and contents on the
//! disk is the store's; another system is another set of these files.

pub mod account;
pub mod addresses;
pub mod allocator;
pub mod confinement;
pub mod locked_file;
pub mod log_file;
pub mod open_file;
pub mod open_folder;
pub mod private_file;
pub mod process;
pub mod random;
