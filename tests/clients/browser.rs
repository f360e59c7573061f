//! A Chromium without a window that a test looks into and acts in, by the protocol of its tools (Chrome DevTools Protocol) over a pipe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::Scratch;
use super::program::wait;
use super::served::within;
use crate::harness::programs::StartProgram as _;

/// How long it may take for one thing, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a page may take that comes from this machine.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);

/// Whether a tab shows what it was opened for.
const IS_SHOWN: &str = "location.href !== 'about:blank' && document.readyState === 'complete'";

/// A running browser; dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    calls: u64,
    /// The page that is acted in.
    page: String,
    /// What is shown in place of what the server would send, at every address that ends like that.
    planted: Option<(String, String)>,
    // Last, since it ends what was left behind.
    _scratch: Scratch,
}

impl Browser {
    /// Starts one with a profile of its own, for which every name ending in `.example` is this machine.
    #[track_caller]
    pub fn start() -> Self {
        let scratch = Scratch::new("browser");
        let mut command = scratch.command("sh");
        // It reads from descriptor 3 and writes to 4.
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh", "chromium", "--headless"]);
        command.args(["--no-sandbox", "--disable-gpu", "--disable-popup-blocking", "--remote-debugging-pipe"]);
        command.args(["--host-resolver-rules=MAP *.example 127.0.0.1", "--no-proxy-server"]);
        // Nobody is there whom it could ask whether a page may reach this machine.
        command.arg("--disable-features=LocalNetworkAccessChecks");
        command.arg(format!("--user-data-dir={}", scratch.path("profile").display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.start().expect("chromium can be run");
        let (sender, messages) = channel();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            let messages = output.split(0).map_while(Result::ok);
            messages.map_while(|bytes| serde_json::from_slice(&bytes).ok()).try_for_each(|value| sender.send(value))
        });
        let input = child.stdin.take();
        let (page, planted) = (String::new(), None);
        Self { child, input, messages, calls: 0, page, planted, _scratch: scratch }
    }

    /// Opens a page in a new tab, in which everything happens from now on, and waits until it is there.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        self.open_or_save(url);
        self.wait_until(IS_SHOWN);
    }

    /// Opens in a new tab what may be no page, but something to be saved; gives whether it is shown.
    #[track_caller]
    pub fn open_or_save(&mut self, url: &str) -> bool {
        self.page = String::new();
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        self.page = attached["sessionId"].as_str().expect("a session").to_owned();
        if let Some((end, _)) = &self.planted {
            let patterns = json!([{ "urlPattern": format!("*{end}") }]);
            self.call("Fetch.enable", json!({ "patterns": patterns }));
        }
        self.call("Page.navigate", json!({ "url": url }));
        within(SHOWN_WITHIN, || self.is_true(IS_SHOWN))
    }

    /// From now on, shows this page at every address with this end, whatever the server has there.
    pub fn plant(&mut self, end: &str, page: &str) {
        self.planted = Some((end.to_owned(), page.to_owned()));
    }

    /// Waits until this is true in the page.
    #[track_caller]
    pub fn wait_until(&mut self, condition: &str) {
        assert!(within(PATIENCE, || self.evaluate(condition) == true), "it never became true in the page: {condition}");
    }

    /// Whether this is true in the page. A tab that has begun to save something is none, and never answers.
    #[track_caller]
    pub fn is_true(&mut self, condition: &str) -> bool {
        let parameters = json!({ "expression": condition, "returnByValue": true });
        let answer = self.call_within(SHOWN_WITHIN, "Runtime.evaluate", &parameters);
        answer.is_some_and(|answer| answer["result"]["value"] == true)
    }

    /// What comes out of this in the page, once that is known.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true }),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// What it keeps as cookies: name and value of each.
    #[track_caller]
    pub fn cookies(&mut self) -> Vec<(String, String)> {
        let answer = self.call("Network.getAllCookies", json!({}));
        let text = |cookie: &Value, field: &str| cookie[field].as_str().expect("a text").to_owned();
        let cookies = answer["cookies"].as_array().expect("cookies").iter();
        let mut cookies: Vec<_> = cookies.map(|cookie| (text(cookie, "domain"), text(cookie, "value"))).collect();
        cookies.sort();
        cookies
    }

    /// Asks for something that has to succeed.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.call_within(PATIENCE, method, &parameters);
        answer.unwrap_or_else(|| panic!("no answer to {method} {parameters}"))
    }

    /// As [`Browser::call`]; `None` if no answer comes for so long.
    #[track_caller]
    fn call_within(&mut self, limit: Duration, method: &str, parameters: &Value) -> Option<Value> {
        let number = self.send(method, parameters);
        loop {
            let message = self.messages.recv_timeout(limit).ok()?;
            if message["method"] == "Fetch.requestPaused" {
                self.show_what_was_planted(&message["params"]["requestId"]);
            }
            if message["id"] != number {
                continue;
            }
            // While a page changes there is nothing to ask, and a tab that was to show what is saved instead may be gone.
            let is_between = message["error"]["message"]
                .as_str()
                .is_some_and(|error| error.contains("context") || error.contains("Session with given id not found"));
            assert!(message["error"].is_null() || is_between, "{method} {parameters}: {message}");
            return Some(message["result"].clone());
        }
    }

    #[track_caller]
    fn send(&mut self, method: &str, parameters: &Value) -> u64 {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if !self.page.is_empty() {
            message["sessionId"] = self.page.as_str().into();
        }
        let input = self.input.as_mut().expect("it runs");
        input.write_all(format!("{message}\0").as_bytes()).expect("it listens");
        self.calls
    }

    fn show_what_was_planted(&mut self, request: &Value) {
        use base64::Engine as _;
        let page = self.planted.as_ref().map_or("", |(_, page)| page);
        let body = base64::engine::general_purpose::STANDARD.encode(page);
        let headers = json!([{ "name": "Content-Type", "value": "text/html; charset=utf-8" }]);
        let answer = json!({ "requestId": request, "responseCode": 200, "responseHeaders": headers, "body": body });
        self.send("Fetch.fulfillRequest", &answer);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.input = None;
        if wait(&mut self.child, Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
