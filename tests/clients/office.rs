//! LibreOffice without a screen, told what to do by a script through its own interface (UNO). It locks what it opens and names
//! the token when it saves, but never a version: what is saved outside meanwhile is for the server to notice.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::libraries::script;
use super::scripted::Scripted;
use super::signed_in::{BOTH, KEPT, NAME, Over, PASSWORD, WRONG};
use super::workout::{NAMES, create_read_overwrite};
use super::{Drive as _, Scratch, Served, SignedIn, has_all, work_out_without};
use crate::harness::programs::StartProgram as _;
use crate::harness::{has_program, heavy, is_root, left_out};

/// Debian's own Python, the only one that has the module.
const PYTHON: &str = "/usr/bin/python3";

/// Its file access, which its dialogs use too. It names the destination of a move in ASCII and without encoding it (`Z?rich`), so
/// with other names it is asked for the rest only.
#[test]
fn libreoffice_works() {
    if !is_there("libreoffice_works") {
        return;
    }
    let _turn = heavy();
    let served = Served::start();
    let mut office = start(&served);
    work_out_without(&mut office, &served, |letter| !letter.is_ascii() || "#?%".contains(letter));
    office.make_folder("any");
    for name in NAMES {
        create_read_overwrite(&mut office, &served, &format!("any/{name}"));
        office.remove(&format!("any/{name}"));
        served.expect_gone(&format!("any/{name}"));
    }
}

/// A destination that LibreOffice mangles is refused rather than taken for the name it has become.
#[test]
fn libreoffice_cannot_move_onto_a_mangled_name() {
    if !is_there("libreoffice_cannot_move_onto_a_mangled_name") {
        return;
    }
    let _turn = heavy();
    let served = Served::start();
    served.write("Z", b"another file");
    served.write("letter.txt", b"text");
    let moved = start(&served).try_ask(&json!({"do": "rename", "path": "letter.txt", "to": "Z\u{fc}rich.txt"}));
    assert_eq!(moved["ok"], false, "{moved}");
    served.expect("letter.txt", b"text");
    served.expect("Z", b"another file");
}

#[test]
fn libreoffice_opens_edits_and_saves() {
    if !is_there("libreoffice_opens_edits_and_saves") {
        return;
    }
    let _turn = heavy();
    let served = Served::start();
    let mut office = start(&served);
    // LibreOffice 7.4 does not find its own lock again under a name with `&` or `+`, on any server.
    for path in ["letter.odt", "Z\u{fc}rich #%? Ko\u{308}ln \u{1f980}.odt"] {
        office.ask(&json!({"do": "save_as", "path": path, "text": "first"}));
        assert!(text_in(&served, path).contains("first"));
        let opened = office.ask(&json!({"do": "open", "path": path}));
        assert_eq!((opened["text"].as_str(), opened["readonly"].as_bool()), (Some("first"), Some(false)), "{opened}");
        let before = served.read(path);
        for text in ["second", "third, saved again under the same lock"] {
            office.ask(&json!({"do": "edit", "text": text}));
            office.ask(&json!({"do": "save"}));
            assert!(text_in(&served, path).contains(text));
        }
        served.expect_kept(path, &before);
        office.ask(&json!({"do": "close"}));
        let opened = office.ask(&json!({"do": "open", "path": path}));
        assert_eq!(opened["text"], "third, saved again under the same lock");
        office.ask(&json!({"do": "close"}));
    }
}

/// It holds the lock, and somebody else wrote the file on the server's disk all the same. Its save is refused, and what the other
/// wrote stays.
#[test]
fn libreoffice_does_not_save_over_an_outside_edit() {
    if !is_there("libreoffice_does_not_save_over_an_outside_edit") {
        return;
    }
    let _turn = heavy();
    let served = Served::start();
    let mut office = start(&served);
    office.ask(&json!({"do": "save_as", "path": "other.odt", "text": "by somebody else"}));
    let outside = served.read("other.odt");
    office.ask(&json!({"do": "save_as", "path": "letter.odt", "text": "first"}));
    office.ask(&json!({"do": "open", "path": "letter.odt"}));
    office.ask(&json!({"do": "edit", "text": "mine"}));
    served.write("letter.odt", &outside);
    let saved = office.try_ask(&json!({"do": "save"}));
    served.expect("letter.odt", &outside);
    assert_eq!(saved["ok"], false, "it was told that it had saved: {saved}");
    if let Some(server) = served.server() {
        server.wait_for_log("status=412");
    }
}

/// It asks for the password for each connection that it makes. Over HTTPS it trusts what the system trusts, whatever its settings and its
/// environment say.
#[test]
fn libreoffice_signs_in() {
    const TEST: &str = "libreoffice_signs_in";
    if !is_there(TEST) {
        return;
    }
    let _turn = heavy();
    for over in BOTH {
        if over == Over::Tls && !(is_root() && has_program("unshare")) {
            left_out(TEST, "over HTTPS it takes root and unshare, to have another certificate trusted");
            continue;
        }
        let signed = SignedIn::start(over);
        if over == Over::Tls {
            does_nothing(start_with(&[signed.served().url(), NAME, PASSWORD], None), &signed);
        }
        let trusted = signed.certificate();
        does_nothing(start_with(&[signed.served().url(), NAME, WRONG], trusted.as_deref()), &signed);
        signed.has_refused();
        let mut office = start_with(&[signed.served().url(), NAME, PASSWORD], trusted.as_deref());
        signed.work(&mut office);
        office.ask(&json!({"do": "save_as", "path": "letter.odt", "text": "first"}));
        office.ask(&json!({"do": "open", "path": "letter.odt"}));
        office.ask(&json!({"do": "edit", "text": "second"}));
        office.ask(&json!({"do": "save"}));
        assert!(text_in(signed.served(), "letter.odt").contains("second"));
        office.ask(&json!({"do": "close"}));
    }
}

/// It is refused, or does not trust the server.
#[track_caller]
fn does_nothing(mut office: Scripted, signed: &SignedIn) {
    for act in [json!({"do": "write", "path": KEPT, "content": "eA=="}), json!({"do": "remove", "path": KEPT})] {
        let answer = office.try_ask(&act);
        assert_eq!(answer["ok"], false, "{act}: {answer}");
    }
    signed.is_unchanged();
}

fn is_there(test: &str) -> bool {
    if !has_all(test, &["soffice", PYTHON]) {
        return false;
    }
    let has_module = Command::new(PYTHON).args(["-c", "import uno"]).run().is_ok_and(|said| said.status.success());
    if !has_module {
        left_out(test, "python3-uno is not installed");
    }
    has_module
}

#[track_caller]
fn start(served: &Served) -> Scripted {
    start_with(&[served.url()], None)
}

/// With an address, and a name and a password; and with a certificate that is trusted in place of those that the system trusts, for this process
/// alone: it has mounts of its own.
#[track_caller]
fn start_with(words: &[&str], trusted: Option<&Path>) -> Scripted {
    const TRUSTING: &str = "mount --bind \"$0\" /etc/ssl/certs/ca-certificates.crt && exec \"$@\"";
    let scratch = Scratch::new("office");
    let mut command = scratch.command(if trusted.is_some() { "unshare" } else { PYTHON });
    if let Some(certificate) = trusted {
        command.args(["--mount", "sh", "-c", TRUSTING]).arg(certificate).arg(PYTHON);
    }
    command.arg(script("office.py")).arg(words[0]).arg(scratch.path("profile")).args(&words[1..]);
    Scripted::start(scratch, &mut command)
}

/// The text of a document, as it lies on the disk: the `content.xml` in it, unpacked.
#[track_caller]
fn text_in(served: &Served, path: &str) -> String {
    let unpack = "import sys, zipfile; sys.stdout.write(zipfile.ZipFile(sys.argv[1]).read('content.xml').decode())";
    let said = Command::new(PYTHON).args(["-c", unpack]).arg(served.local(path)).run().expect("Python runs");
    assert!(said.status.success(), "{path} is no whole document: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}
