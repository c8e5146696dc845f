//! `lagwise status` of a running lagwise before real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::process::{Command, Output};

use raw::Client;
use support::{Lab, Make, Proxy, eventually};

fn run(proxy: &Proxy, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagwise"));
    command.arg("status").args(arguments).arg("--config").arg(proxy.config_path());
    command.output().unwrap()
}

fn screen(proxy: &Proxy) -> String {
    let done = run(proxy, &[]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn json(proxy: &Proxy) -> serde_json::Value {
    let done = run(proxy, &["--json"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn a_running_lagwise() {
    let lab = Lab::start(Make::MySql, 1);
    let mut proxy = Proxy::start(&lab, "");
    let mut client = Client::app(proxy.port());
    client.run("UPDATE items SET id = id WHERE id = 1");
    eventually("a read runs on the replica", || {
        client.run("SELECT COUNT(*) FROM items");
        json(&proxy)["statements"]["replica"].as_u64().unwrap() > 0
    });
    let found = json(&proxy);
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&found["ready"], &found["reason"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(found["sessions"], 1);
    assert!(found["uptime_seconds"].as_u64().unwrap() < 600, "{found}");
    assert!(found["statements"]["primary"].as_u64().unwrap() >= 1, "{found}");
    let (primary, replica) = (&found["servers"][0], &found["servers"][1]);
    assert_eq!(primary["name"], lab.address(0).as_str());
    assert_eq!((&primary["role"], &replica["role"]), (&"primary".into(), &"replica".into()));
    for server in [primary, replica] {
        assert_eq!((&server["health"], &server["eligible"]), (&"up".into(), &true.into()));
        assert!(server["connections"].as_u64().unwrap() > 0, "{server}");
    }
    assert!(replica["lag_ms"].is_u64() && primary["lag_ms"].is_null(), "{found}");

    let shown = screen(&proxy);
    let begin = format!("lagwise {}, up ", env!("CARGO_PKG_VERSION"));
    assert!(shown.starts_with(&begin) && shown.contains(", ready\nsessions: 1\n"), "{shown}");
    let line = |shown: &str, server| {
        let name = lab.address(server);
        let found = shown.lines().find(|line| line.starts_with(&name));
        found.unwrap_or_else(|| panic!("no {name} in:\n{shown}")).to_owned()
    };
    assert!(line(&shown, 0).ends_with("  yes") && line(&shown, 1).ends_with("  yes"), "{shown}");

    lab.kill(1);
    lab.kill(0);
    eventually("it says that it is not ready", || json(&proxy)["ready"] == false);
    let shown = screen(&proxy);
    assert!(shown.contains(", NOT READY: "), "{shown}");
    eventually("it says that the replica is down", || line(&screen(&proxy), 1).contains(" down "));
    drop(client);
    proxy.terminate();
    let done = run(&proxy, &[]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("no lagwise answers at "), "{said}");
}
