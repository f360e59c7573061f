//! The program: what the user asked for, done, and the exit code that says how it ended (0 stopped on request, 1 fault, 2 bad
//! usage). Everything else is in the library.

use std::io::{self, Write};
use std::process::ExitCode;

use noclobber::config::{self, ProgramTask};

fn main() -> ExitCode {
    let wanted = match config::read(std::env::args_os(), std::env::vars_os()) {
        Ok(wanted) => wanted,
        Err(error) => return error.report(),
    };
    let outcome = match wanted {
        ProgramTask::Serve(config) => noclobber::server::serve(*config),
        ProgramTask::History(which) => noclobber::server::show_history(&which),
        ProgramTask::Restore(which, config) => noclobber::server::restore(&which, &config),
        ProgramTask::MountHelp(address) => print(noclobber::mount_help::text(&address).as_bytes()),
        ProgramTask::Completions(shell) => print_completions(shell),
        ProgramTask::Man => print_man(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("noclobber: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut config::command(), "noclobber", &mut script);
    print(&script)
}

fn print_man() -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(config::command().flatten_help(true)).render(&mut page)?;
    print(&page)
}

/// Writes to standard output; a reader that has gone away (`| head`) has seen enough.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
