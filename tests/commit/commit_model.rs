//! The model of the commit, `docs/commit_model.py`, holds what `docs/commit.md` says: the protocol breaks no invariant, and each of its
//! steps is there for a reason.

use std::process::Command;

use crate::harness::programs::StartProgram as _;
use crate::harness::{has_program, left_out};

#[test]
fn the_model_finds_no_schedule_that_breaks_the_protocol() {
    let test = "the_model_finds_no_schedule_that_breaks_the_protocol";
    if has_program("python3") {
        run(&["--quick"], "19 passed, 0 failed");
    } else {
        left_out(test, "python3 is not installed");
    }
}

/// Without one of its steps the protocol breaks what the table in `docs/commit.md` says, and the weaker tiers break what they may.
#[test]
#[ignore = "it takes some minutes"]
fn the_model_finds_what_each_step_is_for() {
    run(&[], "49 passed, 0 failed");
}

fn run(options: &[&str], last_line: &str) {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commit_model.py");
    let run = Command::new("python3").arg(model).args(options).run().expect("python3 runs");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.trim_end().ends_with(last_line),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
}
