//! Rules, tags and hints before real servers: who runs where, and who never comes near.
//!
//! One lab a make: a primary (server 0), a replica for everybody (1), and two with the tag
//! `reporting` (2 and 3). Where a statement ran is what the servers' general logs say, and where an
//! account was, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod choice;
mod faults;
mod kept;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::time::Instant;

use raw::{Client, Fail, Login};
use support::{Lab, Make, Proxy, eventually};

/// The account whose sessions a rule keeps on replicas.
const BI: Login<'static> = Login { user: "other", password: "other_password", ..raw::APP };

/// What every configuration here says of the servers.
fn servers(lab: &Lab) -> String {
    let tagged = |server: usize, tags: &str| {
        let address = lab.address(server);
        format!("[[server]]\naddress = {address:?}\nname = \"report-{server}\"\ntags = {tags}\n")
    };
    // A session goes where there is room, and not where a connection is idle.
    let pool = "[pool]\nidle_timeout = \"100ms\"\n";
    [pool, &tagged(2, "[\"reporting\"]"), &tagged(3, "[\"reporting\", \"slow\"]")].concat()
}

/// With the BI account kept on the tagged replicas.
fn with_bi(lab: &Lab, more: &str) -> String {
    let bi = "[[rule]]\nname = \"bi\"\nuser = [\"other\", \"nopass\"]\ntag = \"reporting\"\n\
              read_only = true\n";
    format!("{}{bi}{more}", servers(lab))
}

fn wait_all(proxy: &Proxy) {
    eventually("every server is eligible", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 4.0
    });
}

fn login(proxy: &Proxy, login: Login<'_>) -> Client {
    Client::connect(proxy.port(), login).unwrap_or_else(|fail| panic!("{}: {fail}", login.user))
}

/// The server that runs a read now.
fn server_of(client: &mut Client) -> usize {
    client.value("SELECT CAST(@@server_id AS CHAR)").parse::<usize>().unwrap() - 1
}

/// The servers that have run a statement with this mark.
fn ran_on(lab: &Lab, mark: &str) -> Vec<usize> {
    (0..lab.count()).filter(|server| lab.seen(*server, mark) > 0).collect()
}

/// The servers that an account has connected to, over TCP as lagwise does.
fn visited(lab: &Lab, user: &str) -> Vec<usize> {
    let start = format!("{user}@");
    let has = |server: &usize| {
        let log = lab.general_log(*server);
        log.iter().any(|entry| entry.command == "Connect" && entry.text.starts_with(&start))
    };
    (0..lab.count()).filter(has).collect()
}

/// Some servers, and none but these.
#[track_caller]
fn within(found: &[usize], allowed: &[usize], what: &str) {
    let good = !found.is_empty() && found.iter().all(|server| allowed.contains(server));
    assert!(good, "{what}: on servers {found:?}, allowed {allowed:?}");
}

/// The logs are empty from here on.
fn forget_logs(lab: &Lab) {
    for server in 0..lab.count() {
        lab.set_general_log(server, false);
        std::fs::write(lab.server_dir(server).join("general.log"), "").unwrap();
        lab.set_general_log(server, true);
    }
}

/// An error that must be this one, with these words in its text.
#[track_caller]
fn fails<T: std::fmt::Debug>(what: &str, result: Result<T, Fail>, code: u16, words: &[&str]) {
    let fail = result.err().unwrap_or_else(|| panic!("{what}: succeeds"));
    assert_eq!(fail.code(), code, "{what}: {fail}");
    for word in words {
        assert!(fail.to_string().contains(word), "{what}: no {word:?} in {fail}");
    }
}

type Part = fn(&Lab, &mut Proxy);

const PARTS: &[(&str, Part)] = &[
    ("tags", choice::tags),
    ("hints", choice::hints),
    ("hints by lag", choice::hints_by_lag),
    ("rules by statement", choice::rules_by_statement),
    ("same answers", answers::same_answers),
    ("writes refused", kept::writes_are_refused),
    ("session state", kept::session_state),
    ("commands", kept::commands),
    ("kill", kept::kill),
    ("reload", kept::reload),
    ("the primary dies", faults::the_primary_dies),
    ("a replica is full", faults::a_replica_is_full),
    ("a replica hangs", faults::a_replica_hangs),
    ("a replica dies", faults::a_replica_dies),
    ("all die", faults::all_die),
];

fn run(make: Make) {
    let lab = Lab::start(make, 3);
    lab.log_all();
    let mut proxy = Proxy::start(&lab, &with_bi(&lab, ""));
    wait_all(&proxy);
    for (name, part) in PARTS {
        let start = Instant::now();
        forget_logs(&lab);
        part(&lab, &mut proxy);
        println!("{make}: {name}: {:?}", start.elapsed());
    }
}

#[test]
fn rules_on_mysql() {
    run(Make::MySql);
}

#[test]
fn rules_on_mariadb() {
    run(Make::MariaDb);
}
