//! Chromium without a window, which shows the page of a folder.

use super::signed_in::{KEPT, PASSWORD, WRONG};
use super::{BOTH, Scratch, SignedIn, has_all};

/// With the name and the password in the address; what it is asked for otherwise nobody could type in.
#[test]
fn chromium_signs_in_and_shows_a_folder() {
    if !has_all("chromium_signs_in_and_shows_a_folder", &["chromium"]) {
        return;
    }
    for over in BOTH {
        let signed = SignedIn::start(over);
        let shown = |password: &str| {
            let scratch = Scratch::new("chromium");
            let mut command = scratch.command("chromium");
            command.args(["--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--dump-dom"]);
            command.arg(format!("--user-data-dir={}", scratch.path("profile").display()));
            scratch.run(command.arg(signed.url_with(password)), b"").text()
        };
        let page = shown(WRONG);
        assert!(!page.contains(KEPT), "{over:?}: {page}");
        signed.has_refused();
        let page = shown(PASSWORD);
        assert!(page.contains(&format!("href=\"/{KEPT}\"")), "{over:?}: {page}");
        signed.is_unchanged();
    }
}
