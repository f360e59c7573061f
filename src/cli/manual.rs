//! `noclobber completions` and `noclobber man`: what the command line tells of itself.

use std::io::{self, Write as _};

use super::args::command;

/// Prints the completion script of a shell.
///
/// # Errors
/// Where it cannot be written.
pub fn print_completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "noclobber", &mut script);
    print(&script)
}

/// Prints the manual page.
///
/// # Errors
/// Where it cannot be written.
pub fn print_man() -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command().flatten_help(true)).render(&mut page)?;
    print(&page)
}

/// Writes to standard output; a reader that has gone away (`| head`) has seen enough.
pub fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
