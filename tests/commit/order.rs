//! The order in which an answered write reaches the disk, read from the system calls themselves: bytes, file sync, name, folder
//! sync, and only then the answer. It takes strace.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::programs::StartProgram as _;
use crate::harness::{Server, has_program, left_out};

/// The calls of one request in their order; each is known by where it began and where it ended.
#[derive(Debug)]
pub struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    text: String,
    began: usize,
    ended: usize,
}

/// A tracer attached to a running server.
pub struct Tracer {
    child: Child,
    output: tempfile::NamedTempFile,
}

const WRITES: [&str; 4] = ["write(", "pwrite64(", "writev(", "pwritev"];
const SYNCS: [&str; 2] = ["fsync(", "fdatasync("];

/// As long as two stretches that are brought to the disk on the way, and the beginning of a third.
const LONG: usize = 20 << 20;

/// A new file: its bytes are synced before it has a name, the name before it is announced.
#[test]
fn a_created_file_is_on_the_disk_before_the_answer() {
    let Some((server, calls)) = traced(
        "a_created_file_is_on_the_disk_before_the_answer",
        |_| {},
        |server| {
            server.put("/new.txt").body("BYTES-OF-THE-UPLOAD").expect(201);
        },
    ) else {
        return;
    };
    let folder = format!("<{}>", server.folder().display());
    let bytes = calls.find("the bytes", |call| is(call, &WRITES) && call.contains("BYTES-OF"));
    let synced = calls.find("the sync of the file", |call| is(call, &SYNCS) && call.contains("(deleted)"));
    let named = calls.find("the name", |call| {
        (call.contains("linkat(") || call.contains("renameat2(")) && call.contains("\"new.txt\"")
    });
    let shown = calls.find("the sync of the folder", |call| is(call, &SYNCS) && call.contains(&folder));
    let answered = calls.find("the answer", |call| call.contains("HTTP/1.1 201"));
    in_this_order(&[bytes, synced, named, shown, answered]);
}

/// A short upload that names a version finds its folder once, and what it replaces twice: to judge it before anything is written, and to commit.
#[test]
fn a_short_conditional_put_opens_its_folder_once_and_its_file_twice() {
    let name = "a_short_conditional_put_opens_its_folder_once_and_its_file_twice";
    if !Tracer::can_trace() {
        return left_out(name, "strace cannot be had");
    }
    let server = Server::with("--no-watch").start();
    server.put("/docs/a.txt?mkdirs").body("one").expect(201);
    let tag = server.put("/docs/a.txt").body("two").expect(204).tag();
    let tracer = Tracer::attach(&server, &["-e", "trace=open,openat,openat2"]);
    server.put("/docs/a.txt").if_match(tag).body("three").expect(204);
    let calls = tracer.stop();
    let opened = |names: [&str; 2]| {
        let is_of = |text: &str| names.iter().any(|name| text.contains(&format!("\"{name}\"")));
        calls.0.iter().filter(|call| is_of(&call.text)).count()
    };
    assert_eq!(opened(["docs", "docs/"]), 1, "{:#?}", calls.0);
    assert_eq!(opened(["a.txt", "docs/a.txt"]), 2, "{:#?}", calls.0);
}

/// A long upload is on its way to the disk before it is whole, so that the sync at its end has little left to do.
#[test]
fn a_long_upload_is_brought_to_the_disk_while_it_comes() {
    let Some((_server, calls)) = traced(
        "a_long_upload_is_brought_to_the_disk_while_it_comes",
        |_| {},
        |server| {
            server.put("/new.bin").body(vec![7; LONG]).expect(201);
        },
    ) else {
        return;
    };
    let on_the_way: Vec<_> = calls.0.iter().filter(|call| is(&call.text, &["sync_file_range("])).collect();
    assert_eq!(on_the_way.len(), 2, "{on_the_way:#?}");
    let synced = calls.find("the sync of the file", |call| is(call, &SYNCS) && call.contains("(deleted)"));
    in_this_order(&[on_the_way[0], on_the_way[1], synced]);
}

/// What the disk refuses on the way is refused, and the old file is whole.
#[test]
fn a_disk_that_fails_on_the_way_ends_a_long_upload() {
    let name = "a_disk_that_fails_on_the_way_ends_a_long_upload";
    if !Tracer::can_trace() {
        return left_out(name, "strace cannot be had");
    }
    for (error, times, status) in [("EIO", "1", 500), ("ENOSPC", "1+", 507)] {
        let server = Server::start();
        server.write("a.bin", "old");
        let injection = format!("inject=sync_file_range:error={error}:when={times}");
        let tracer = Tracer::attach(&server, &["-e", "trace=sync_file_range", "-e", &injection]);
        server.put("/a.bin").body(vec![7; LONG]).expect(status);
        assert!(tracer.stop().has_struck());
        assert_eq!(server.get("/a.bin").expect(200).text(), "old");
        assert_eq!(server.names(""), ["a.bin"]);
    }
    // Where that cannot be asked for, the sync at the end is enough.
    for error in ["EPERM", "ENOSYS"] {
        let server = Server::start();
        let injection = format!("inject=sync_file_range:error={error}");
        let tracer = Tracer::attach(&server, &["-e", "trace=sync_file_range", "-e", &injection]);
        server.put("/a.bin").body(vec![7; LONG]).expect(201);
        assert!(tracer.stop().has_struck());
    }
}

/// A replaced file: the old one has its name in the history, and that is synced, before the new one is shown.
#[test]
fn a_replaced_file_is_kept_before_the_new_one_is_shown() {
    let prepare = |server: &Server| drop(server.write("docs/a.txt", "old"));
    let Some((server, calls)) = traced("a_replaced_file_is_kept_before_the_new_one_is_shown", prepare, |server| {
        server.put("/docs/a.txt").body("BYTES-OF-THE-UPLOAD").expect(204);
    }) else {
        return;
    };
    let parent = format!("<{}>", server.local("docs").display());
    let kept = format!("<{}>", server.versions_of("docs/a.txt").display());
    let bytes = calls.find("the bytes", |call| is(call, &WRITES) && call.contains("BYTES-OF"));
    let synced = calls.find("the sync of the file", |call| is(call, &SYNCS) && call.contains("(deleted)"));
    let linked = calls.find("the link in the history", |call| call.contains("linkat(") && call.contains('~'));
    let exchanged = calls.find("the exchange", |call| call.contains("RENAME_EXCHANGE"));
    let held = calls.find_after(exchanged, "the sync of the history", |call| is(call, &SYNCS) && call.contains(&kept));
    let shown =
        calls.find_after(exchanged, "the sync of the folder", |call| is(call, &SYNCS) && call.contains(&parent));
    let lease = calls.find_after(shown, "the question after the lease", |call| call.contains("F_GETLEASE"));
    let answered = calls.find("the answer", |call| call.contains("HTTP/1.1 204"));
    in_this_order(&[bytes, synced, linked, exchanged, held, shown, lease, answered]);
    // Folders of the history that were made for this are on the disk too before anybody is told.
    for above in [".noclobber", ".noclobber/history", ".noclobber/history/docs", ".noclobber/history/docs/.noclobber"] {
        let above = format!("<{}>", server.local(above).display());
        let made = calls.find(&format!("the sync of {above}"), |call| is(call, &SYNCS) && call.contains(&above));
        in_this_order(&[made, answered]);
    }
}

/// A moved file is at its new name for good before its old name is taken away, and that is for good before anybody is told.
#[test]
fn a_moved_file_is_never_nowhere() {
    let prepare = |server: &Server| {
        server.write("docs/a.txt", "old");
        server.write("from/b.txt", "new");
    };
    let Some((server, calls)) = traced("a_moved_file_is_never_nowhere", prepare, |server| {
        server.request("MOVE", "/from/b.txt").header("Destination", "/docs/a.txt").expect(204);
    }) else {
        return;
    };
    let target = format!("<{}>", server.local("docs").display());
    let source = format!("<{}>", server.local("from").display());
    let kept = format!("<{}>", server.versions_of("docs/a.txt").display());
    let linked = calls.find("the second name", |call| call.contains("linkat(") && call.contains('~'));
    let exchanged = calls.find("the exchange", |call| call.contains("RENAME_EXCHANGE"));
    let held = calls.find_after(exchanged, "the sync of the history", |call| is(call, &SYNCS) && call.contains(&kept));
    let shown =
        calls.find_after(exchanged, "the sync of the folder", |call| is(call, &SYNCS) && call.contains(&target));
    let taken = calls.find("the old name", |call| call.contains("renameat2(") && call.contains("\"b.txt\""));
    let gone = calls.find_after(taken, "the sync of the old folder", |call| is(call, &SYNCS) && call.contains(&source));
    let answered = calls.find("the answer", |call| call.contains("HTTP/1.1 204"));
    in_this_order(&[linked, exchanged, held, shown, taken, gone, answered]);
}

/// A folder that is moved is on the disk where it is now before the folder that it was in is.
#[test]
fn a_moved_folder_is_on_the_disk_before_the_answer() {
    let prepare = |server: &Server| {
        server.write("from/folder/x.txt", "x");
        server.write("docs/other.txt", "y");
    };
    let Some((server, calls)) = traced("a_moved_folder_is_on_the_disk_before_the_answer", prepare, |server| {
        server.request("MOVE", "/from/folder").header("Destination", "/docs/folder").expect(201);
    }) else {
        return;
    };
    let target = format!("<{}>", server.local("docs").display());
    let source = format!("<{}>", server.local("from").display());
    let moved = calls.find("the move", |call| call.contains("renameat2(") && call.contains("\"folder\""));
    let shown = calls.find_after(moved, "the sync of the folder", |call| is(call, &SYNCS) && call.contains(&target));
    let gone = calls.find_after(moved, "the sync of the old folder", |call| is(call, &SYNCS) && call.contains(&source));
    let answered = calls.find("the answer", |call| call.contains("HTTP/1.1 201"));
    in_this_order(&[moved, shown, gone, answered]);
}

/// A deleted file is in the history for good before anybody is told that it is gone.
#[test]
fn a_deleted_file_is_kept_before_the_answer() {
    let prepare = |server: &Server| drop(server.write("a.txt", "old"));
    let Some((server, calls)) = traced("a_deleted_file_is_kept_before_the_answer", prepare, |server| {
        server.delete("/a.txt").expect(204);
    }) else {
        return;
    };
    let folder = format!("<{}>", server.folder().display());
    let kept = format!("<{}>", server.versions_of("a.txt").display());
    let moved = calls.find("the move", |call| call.contains("renameat2(") && call.contains("\"a.txt\""));
    let held = calls.find_after(moved, "the sync of the history", |call| is(call, &SYNCS) && call.contains(&kept));
    let shown = calls.find_after(moved, "the sync of the folder", |call| is(call, &SYNCS) && call.contains(&folder));
    let answered = calls.find("the answer", |call| call.contains("HTTP/1.1 204"));
    in_this_order(&[moved, held, shown, answered]);
}

/// A folder is on the disk before anybody is told.
#[test]
fn a_made_folder_is_on_the_disk_before_the_answer() {
    let Some((server, calls)) = traced(
        "a_made_folder_is_on_the_disk_before_the_answer",
        |_| {},
        |server| {
            server.mkcol("/folder").expect(201);
        },
    ) else {
        return;
    };
    let folder = format!("<{}>", server.folder().display());
    let made = calls.find("the folder", |call| call.contains("mkdirat(") && call.contains("\"folder\""));
    let shown = calls.find_after(made, "the sync of the parent", |call| is(call, &SYNCS) && call.contains(&folder));
    let answered = calls.find("the answer", |call| call.contains("HTTP/1.1 201"));
    in_this_order(&[made, shown, answered]);
}

/// Whoever asks for it gets a server that does not sync; it says so loudly, and this test can tell the difference.
#[test]
fn without_syncs_there_are_none() {
    let name = "without_syncs_there_are_none";
    if !Tracer::can_trace() {
        return left_out(name, "strace cannot be had");
    }
    let server = Server::with("--no-sync").start();
    let tracer = Tracer::attach(&server, &["-e", "trace=fsync,fdatasync,sync_file_range,sendto,write,writev,sendmsg"]);
    server.put("/new.txt").body("x").expect(201);
    server.put("/new.bin").body(vec![7; LONG]).expect(201);
    let calls = tracer.stop();
    assert!(!calls.0.iter().any(|call| is(&call.text, &SYNCS)), "{calls:#?}");
    assert!(!calls.0.iter().any(|call| is(&call.text, &["sync_file_range("])), "{calls:#?}");
    server.wait_until_it_says("sync");
}

fn traced(name: &str, prepare: impl Fn(&Server), act: impl Fn(&Server)) -> Option<(Server, Calls)> {
    if !Tracer::can_trace() {
        left_out(name, "strace cannot be had");
        return None;
    }
    let server = Server::start();
    prepare(&server);
    let calls = "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,linkat,renameat2,fsync,fdatasync,sync_file_range,mkdirat,fcntl";
    let tracer = Tracer::attach(&server, &["-y", "-s", "64", "-e", calls]);
    act(&server);
    Some((server, tracer.stop()))
}

fn is(call: &str, names: &[&str]) -> bool {
    names.iter().any(|name| call.starts_with(name))
}

#[track_caller]
fn in_this_order(calls: &[&Call]) {
    for pair in calls.windows(2) {
        assert!(pair[0].ended < pair[1].began, "wanted\n  {}\nto be done before\n  {}", pair[0].text, pair[1].text);
    }
}

impl Tracer {
    /// Whether strace is there and may trace.
    pub fn can_trace() -> bool {
        if !has_program("strace") {
            return false;
        }
        let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).run();
        tried.is_ok_and(|output| output.status.success())
    }

    /// Attaches to every thread of the server and waits until that is done.
    pub fn attach(server: &Server, arguments: &[&str]) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new("strace")
            .args(["-f", "-o"])
            .arg(output.path())
            .args(arguments)
            .args(["-p", &server.process_id().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .start()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "strace cannot attach");
        }
        std::thread::spawn(move || said.lines().map_while(Result::ok).count());
        // One line stands for all threads when there are many; give the last of them a moment.
        std::thread::sleep(Duration::from_millis(100));
        Self { child, output }
    }

    /// Detaches, and gives what was seen.
    pub fn stop(mut self) -> Calls {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
        let text = String::from_utf8_lossy(&fs::read(self.output.path()).unwrap()).into_owned();
        Calls::parse(&text)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}

impl Calls {
    /// Whether a call was made to fail.
    pub fn has_struck(&self) -> bool {
        self.0.iter().any(|call| call.text.contains("(INJECTED)"))
    }

    fn parse(text: &str) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        let mut open: Vec<(String, usize)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if let Some(begun) = call.strip_suffix("<unfinished ...>") {
                open.push((thread.to_owned(), calls.len()));
                calls.push(Call { text: begun.to_owned(), began: at, ended: usize::MAX });
            } else if call.starts_with("<... ") {
                let Some(place) = open.iter().rposition(|(of, _)| of == thread) else { continue };
                let (_, number) = open.remove(place);
                calls[number].text.push_str(call);
                calls[number].ended = at;
            } else {
                calls.push(Call { text: call.to_owned(), began: at, ended: at });
            }
        }
        Self(calls)
    }

    #[track_caller]
    fn find(&self, what: &str, is_it: impl Fn(&str) -> bool) -> &Call {
        let Some(call) = self.0.iter().find(|call| is_it(&call.text)) else { panic!("no {what} in {self:#?}") };
        call
    }

    #[track_caller]
    fn find_after(&self, earlier: &Call, what: &str, is_it: impl Fn(&str) -> bool) -> &Call {
        let later = self.0.iter().filter(|call| call.began > earlier.ended);
        let Some(call) = later.into_iter().find(|call| is_it(&call.text)) else { panic!("no {what} in {self:#?}") };
        call
    }
}
