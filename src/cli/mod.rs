//! The command line: what the user asked for, and the commands that do not serve.
//!
//! The words, the `NOCLOBBER_*` variables and the file of `--config` become one [`Config`](crate::config::Config) of checked values. A variable and
//! a key of the file say the same things as the option of that name, and are turned into its words, so that there is one parser and one set of
//! messages. Nothing is opened or probed for that but the file of `--config`.

pub mod args;
mod changes_to_watch;
pub mod doctor;
pub mod history;
mod lan;
pub mod link;
pub mod manual;
pub mod mount_help;
mod password;
pub mod program_task;
pub mod restore;
pub mod rules;
mod settings;
mod share_path;
pub mod usage_error;
pub mod user;
pub mod watch;

pub use args::command;
pub use password::Password;
pub use program_task::{ProgramTask, read};
pub use usage_error::UsageError;
