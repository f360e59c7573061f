//! What proves to a server who asks: read from a variable, asked for at the terminal, or the first line of standard input; never a word of the
//! command line, where others see it, and shown by nothing.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _};

use crate::log::escaped;

/// A password, or a token.
#[derive(Clone)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// The one in this variable, if there is one.
    pub(super) fn in_variable<'a>(
        name: &str,
        variables: impl IntoIterator<Item = &'a (OsString, OsString)>,
    ) -> Option<Self> {
        let found = variables.into_iter().find(|(known, _)| known == name);
        found
            .and_then(|(_, value)| value.to_str())
            .filter(|value| !value.is_empty())
            .map(|value| Self(value.to_owned()))
    }

    /// The one of a user, who is asked for it.
    pub(super) fn asked(user: &str) -> io::Result<Self> {
        if io::stdin().is_terminal() {
            return rpassword::prompt_password(format!("Password of {}: ", escaped(user))).map(Self);
        }
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(Self(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// What it is.
    pub(super) fn reveal(self) -> String {
        self.0
    }
}
