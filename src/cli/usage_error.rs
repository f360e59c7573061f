//! Why the program does not start.

use std::fmt;
use std::process::ExitCode;

/// Why the program does not start.
#[derive(Debug)]
pub enum UsageError {
    /// The words of the command line are wrong, or ask for the help or the version.
    Words(clap::Error),
    /// A setting is wrong; the text says which, where it stands, and why.
    Setting(String),
}

impl UsageError {
    /// Tells the user, and gives back the exit code: 2, or 0 where the help or the version was asked for.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Words(error) => {
                // The terminal may be gone already; then nobody is there to be told.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Self::Setting(text) => {
                eprintln!("error: {text}\n\nFor more information, try '--help'.");
                ExitCode::from(2)
            }
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(error) => error.fmt(f),
            Self::Setting(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for UsageError {}

impl From<clap::Error> for UsageError {
    fn from(error: clap::Error) -> Self {
        Self::Words(error)
    }
}
