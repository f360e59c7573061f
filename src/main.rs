//! The program: what the user asked for, done, and the exit code that says how it ended (0 stopped on request, 1 fault, 2 bad
//! usage). Everything else is in the library.

use std::process::ExitCode;

use noclobber::cli::{
    self, ProgramTask, UsageError, doctor, history, link, manual, mount_help, restore, rules, user, watch,
};
use noclobber::config::WrongSetting;

fn main() -> ExitCode {
    let wanted = match cli::read(std::env::args_os(), std::env::vars_os()) {
        Ok(wanted) => wanted,
        Err(error) => return error.report(),
    };
    let outcome = match wanted {
        ProgramTask::Serve(config) => noclobber::server::serve(*config),
        ProgramTask::History(which) => history::show_history(&which),
        ProgramTask::Restore(which, config) => restore::restore(&which, &config),
        ProgramTask::User(task) => user::change_users(&task),
        ProgramTask::Rules(asked) => rules::show_rules(&asked),
        ProgramTask::Link(task, config) => link::change_links(&task, &config),
        ProgramTask::Doctor(which, password) => return doctor::doctor(&which, password),
        ProgramTask::Watch(which, secrets) => return watch::watch(&which, secrets),
        ProgramTask::MountHelp(address) => manual::print(mount_help::text(&address).as_bytes()),
        ProgramTask::Completions(shell) => manual::print_completions(shell),
        ProgramTask::Man => manual::print_man(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => match fault.downcast::<WrongSetting>() {
            Ok(WrongSetting(wrong)) => UsageError::Setting(wrong).report(),
            Err(fault) => {
                eprintln!("noclobber: {fault:#}");
                ExitCode::FAILURE
            }
        },
    }
}
