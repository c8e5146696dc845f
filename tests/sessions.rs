//! What `/sessions` says of a session is so: who it is, what it is at, which connections of which
//! servers it has, and why it keeps them. On both makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::cell::Cell;

use raw::{Client, Login};
use serde_json::{Value, json};
use support::{Lab, Make, Proxy, eventually, eventually_some};

const COM_QUERY: u8 = 3;

/// A lagwise in front of a lab, and what its sessions are to have.
struct World<'a> {
    lab: &'a Lab,
    proxy: Proxy,
    checked: Cell<usize>,
}

impl<'a> World<'a> {
    fn new(lab: &'a Lab, mode: &str) -> Self {
        let proxy = Proxy::start(lab, &format!("[pool]\nmode = \"{mode}\"\n"));
        proxy.wait_probed();
        Self { lab, proxy, checked: Cell::new(0) }
    }

    fn list(&self) -> Value {
        let (status, body) = self.proxy.http("/sessions").unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The one session that there is.
    fn only(&self) -> Value {
        let list = self.list();
        assert_eq!((&list["total"], &list["truncated"]), (&json!(1), &json!(false)), "{list}");
        list["sessions"][0].clone()
    }

    /// Ids of the application's connections on a server, by what it says itself.
    fn threads(&self, server: usize) -> Vec<u64> {
        let sql = "SELECT id FROM information_schema.processlist WHERE user = 'app'";
        self.lab.sql(server, sql).lines().map(|id| id.parse().unwrap()).collect()
    }

    /// A new session that runs these statements is then held so, with connections to these servers
    /// (0: the primary, 1: the replica).
    fn check(&self, statements: &[&str], held_by: Option<&str>, servers: [bool; 2]) {
        let mut client = Client::app(self.proxy.port());
        for sql in statements {
            client.run(sql);
        }
        let context = format!("{}: {statements:?}", self.lab.make);
        // The answer is there before the session has done all that follows it.
        let want = |session: &Value| {
            session["held_by"] == json!(held_by)
                && session["state"] == "idle"
                && [("primary", servers[0]), ("replica", servers[1])]
                    .iter()
                    .all(|(side, there)| session["connections"][side].is_null() != *there)
        };
        let seen = eventually_some(&context, || Some(self.only()).filter(want));
        assert_eq!(seen["user"], "app", "{context}");
        assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{context}: {seen}");
        assert!(seen["id"].as_u64().unwrap() >= 1 << 31, "{context}: {seen}");
        for (server, side) in ["primary", "replica"].into_iter().enumerate() {
            let connection = &seen["connections"][side];
            if servers[server] {
                assert_eq!(connection["server"], self.lab.address(server), "{context}");
                let thread = connection["thread_id"].as_u64().unwrap();
                assert!(self.threads(server).contains(&thread), "{context}: {seen}");
            }
        }
        drop(client);
        eventually("it has left", || self.list()["total"] == 0);
        self.checked.set(self.checked.get() + 1);
    }
}

fn sessions_that_share(lab: &Lab) {
    let world = World::new(lab, "transaction");
    let none = [false, false];
    let primary = [true, false];
    world.check(&[], None, none);
    world.check(&["SELECT COUNT(*) FROM items"], None, none);
    world.check(&["UPDATE items SET stock = stock WHERE id = 1"], None, none);
    let table = "CREATE TEMPORARY TABLE held (id INT)";
    world.check(&[table], Some("temporary_table"), primary);
    // Whether it was the only one is not known.
    world.check(&[table, "DROP TEMPORARY TABLE held"], Some("temporary_table"), primary);
    world.check(&[table, "BEGIN"], Some("transaction"), primary);
    world.check(&["BEGIN", "SELECT COUNT(*) FROM items"], Some("transaction"), primary);
    world.check(&["BEGIN", "SELECT COUNT(*) FROM items", "COMMIT"], None, none);
    let read_only = ["START TRANSACTION READ ONLY", "SELECT COUNT(*) FROM items"];
    world.check(&read_only, Some("transaction"), [false, true]);
    world.check(&["SET autocommit = 0", "SELECT 1 FROM items"], Some("transaction"), primary);
    world.check(&["SELECT GET_LOCK('held', 1)"], Some("lock"), primary);
    world.check(&["LOCK TABLES items READ"], Some("lock"), primary);
    world.check(&["LOCK TABLES items READ", "UNLOCK TABLES"], None, none);
    world.check(&["FLUSH TABLES items WITH READ LOCK"], Some("lock"), primary);
    world.check(&["SET @held = 1"], Some("variables"), primary);
    world.check(&["PREPARE held FROM 'SELECT 1'"], Some("text_prepare"), primary);
    world.check(&["SELECT CONNECTION_ID()"], Some("connection_id"), primary);
    assert_eq!(world.checked.get(), 17);
    // Others of the same user are not said to have what this one has.
    let mut one = Client::app(world.proxy.port());
    one.run("BEGIN");
    let mut other = Client::app(world.proxy.port());
    other.run("SELECT COUNT(*) FROM items");
    eventually("one of two is held", || {
        let list = world.list();
        let sessions = list["sessions"].as_array().unwrap();
        let ids: Vec<_> = sessions.iter().map(|it| it["id"].as_u64().unwrap()).collect();
        assert!(ids.len() == 2 && ids.is_sorted(), "{list}");
        let held: Vec<_> = sessions.iter().map(|it| it["held_by"].as_str()).collect();
        held == [Some("transaction"), None] && sessions[1]["connections"]["replica"].is_null()
    });
    drop((one, other));
    a_running_statement(&world);
}

/// One that runs is seen on its server.
fn a_running_statement(world: &World<'_>) {
    eventually("all have left", || world.list()["total"] == 0);
    let mut client = Client::app(world.proxy.port());
    client.send(COM_QUERY, b"SELECT SLEEP(60)").unwrap();
    let seen = eventually_some("it runs", || {
        Some(world.only())
            .filter(|it| it["state"] == "running" && !it["connections"]["replica"].is_null())
    });
    let thread = seen["connections"]["replica"]["thread_id"].as_u64().unwrap();
    eventually("its server runs it", || {
        let sql = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        world.lab.sql(1, sql) == thread.to_string()
    });
}

/// With `mode = "session"` that is the reason, whatever else there is.
fn sessions_that_keep(lab: &Lab) {
    let world = World::new(lab, "session");
    world.check(&["SELECT COUNT(*) FROM items"], Some("session"), [true, true]);
    let table = "CREATE TEMPORARY TABLE held (id INT)";
    world.check(&[table], Some("session"), [true, false]);
    assert_eq!(world.checked.get(), 2);
}

/// One that has not logged in yet has no name.
fn a_login(lab: &Lab) {
    let world = World::new(lab, "transaction");
    let silent = raw::tcp(world.proxy.port());
    let seen = eventually_some("it logs in", || world.list()["sessions"].get(0).cloned());
    assert_eq!((&seen["state"], &seen["user"]), (&json!("login"), &Value::Null), "{seen}");
    drop(silent);
    eventually("it has left", || world.list()["total"] == 0);
    let wrong = Client::connect(world.proxy.port(), Login::of("app", "wrong"));
    assert!(wrong.is_err());
    eventually("it has left", || world.list()["total"] == 0);
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    lab.sql(0, "GRANT RELOAD ON *.* TO app@'%'");
    lab.wait_caught_up();
    sessions_that_share(&lab);
    sessions_that_keep(&lab);
    a_login(&lab);
}

#[test]
fn sessions_are_shown_on_mysql() {
    run(Make::MySql);
}

#[test]
fn sessions_are_shown_on_mariadb() {
    run(Make::MariaDb);
}
