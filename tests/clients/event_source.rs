//! npm's `eventsource`, the interface by which a page in a browser listens: what happens while it is cut off reaches it once it has come again.

use std::time::Duration;

use serde_json::Value;

use super::cutting::CuttingProxy;
use super::libraries::{installed, script};
use super::{Scratch, has_all};
use crate::harness::{Server, eventually};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn npm_eventsource_goes_on_where_it_was() {
    let modules = installed("npm").join("node_modules");
    let library = modules.join("eventsource").display().to_string();
    if !has_all("npm_eventsource_goes_on_where_it_was", &["node", &library]) {
        return;
    }
    let mut server = Server::start();
    let proxy = CuttingProxy::new(server.address(), []);
    let scratch = Scratch::new("npm-eventsource");
    // Node looks for a module beside the script that asks for it.
    std::os::unix::fs::symlink(&modules, scratch.path("node_modules")).expect("a symbolic link");
    std::fs::copy(script("event_source.mjs"), scratch.path("follow.mjs")).expect("the script can be copied");
    let mut command = scratch.command("node");
    command.args(["--preserve-symlinks", "follow.mjs", &format!("{}?events", proxy.url())]);
    let node = scratch.start("follow", command.args(["begin", "change", "complete", "reset"]));
    let heard = || -> Vec<Value> {
        node.log().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line))).collect()
    };
    let wait_for = |what: &str, is_it: &dyn Fn(&[Value]) -> bool| {
        eventually(LIMIT, what, || {
            let heard = heard();
            is_it(&heard).then_some(heard)
        })
    };
    let tells = |path: &'static str| move |heard: &[Value]| heard.iter().any(|line| line["data"]["path"] == path);
    wait_for("it listens", &|heard| heard.iter().any(|line| line["name"] == "begin"));
    server.put("/one.txt").body("one").expect(201);
    wait_for("a change is told", &tells("/one.txt"));
    server.stop();
    server.write("between.txt", "by a program, while no server ran");
    server.start_again();
    proxy.leads_to(server.address());
    server.put("/two.txt").body("two").expect(201);
    let heard =
        wait_for("what happened meanwhile is told", &|heard| tells("/between.txt")(heard) && tells("/two.txt")(heard));
    let times = |path: &str| heard.iter().filter(|line| line["data"]["path"] == path).count();
    assert_eq!(["/one.txt", "/between.txt", "/two.txt"].map(times), [1, 1, 1], "{heard:#?}");
    assert!(!heard.iter().any(|line| line["name"] == "reset"), "{heard:#?}");
}
