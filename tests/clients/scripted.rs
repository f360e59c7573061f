//! A client that is a library: a small script of ours loads it and does what it is told, one line of JSON at a time. A request is
//! `{"do": "write", "path": .., "to": .., "content": base64}`; the answer is `{"ok": true, ..}` or `{"ok": false, "why": ..}`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::program::{PATIENCE, wait};
use super::{Drive, Scratch};
use crate::harness::programs::StartProgram as _;

/// A script that runs; it is ended when dropped.
#[derive(Debug)]
pub struct Scripted {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    // Last, since it ends what the script may have left behind.
    scratch: Scratch,
}

impl Scripted {
    /// Starts a script and waits until it is ready, which it says with an answer.
    #[track_caller]
    pub fn start(scratch: Scratch, command: &mut Command) -> Self {
        let log = std::fs::File::create(scratch.path("script.log")).expect("a file for what it says");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.start().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, answers) = channel();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let script = Self { input: child.stdin.take(), child, answers, scratch };
        script.answer("start");
        script
    }

    /// Asks for something that must succeed.
    #[track_caller]
    pub fn ask(&mut self, request: &Value) -> Value {
        let answer = self.try_ask(request);
        assert!(answer["ok"] == true, "{request}: {answer}");
        answer
    }

    /// Asks for something, and gives the answer, whatever it is.
    #[track_caller]
    pub fn try_ask(&mut self, request: &Value) -> Value {
        let input = self.input.as_mut().expect("the script runs");
        let sent = input.write_all(format!("{request}\n").as_bytes()).and_then(|()| input.flush());
        assert!(sent.is_ok(), "the script has ended before {request}: {}", self.log());
        self.answer(&request.to_string())
    }

    #[track_caller]
    fn answer(&self, to: &str) -> Value {
        loop {
            let Ok(line) = self.answers.recv_timeout(PATIENCE) else { panic!("no answer to {to}: {}", self.log()) };
            // A library may chatter in between.
            if let Ok(answer @ Value::Object(_)) = serde_json::from_str(&line) {
                return answer;
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path("script.log")).unwrap_or_default()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.input = None;
        if wait(&mut self.child, Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drive for Scripted {
    fn make_folder(&mut self, path: &str) {
        self.ask(&json!({"do": "make_folder", "path": path}));
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        self.ask(&json!({"do": "write", "path": path, "content": STANDARD.encode(content)}));
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        let answer = self.ask(&json!({"do": "read", "path": path}));
        STANDARD.decode(answer["content"].as_str().expect("content")).expect("base64")
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let answer = self.ask(&json!({"do": "names", "path": path}));
        let names = answer["names"].as_array().expect("names").iter();
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.ask(&json!({"do": "rename", "path": from, "to": to}));
    }

    fn remove(&mut self, path: &str) {
        self.ask(&json!({"do": "remove", "path": path}));
    }

    fn remove_folder(&mut self, path: &str) {
        self.ask(&json!({"do": "remove_folder", "path": path}));
    }
}
