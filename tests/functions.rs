//! `routing.unknown_functions = "try"`: a read that calls a function which is not built in is tried
//! on a replica, which cannot write whatever the server and the account allow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::wire::{Expect, Options, Param, Step, caps};
use support::{Lab, Make, Proxy};

const TRY: &str = "[routing]\nunknown_functions = \"try\"";

/// As root, so that the functions run with every privilege.
const FUNCTIONS: &str = "
    CREATE TABLE shop.written (id INT);
    CREATE FUNCTION shop.f_reads(n INT) RETURNS INT DETERMINISTIC READS SQL DATA
      RETURN (SELECT stock FROM shop.items WHERE id = n);
    CREATE FUNCTION shop.f_writes(n INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA
      BEGIN INSERT INTO shop.written VALUES (n); RETURN n; END;
    CREATE FUNCTION shop.f_too(n INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA
      BEGIN INSERT INTO shop.written VALUES (n); RETURN n; END;";

fn lab(make: Make) -> Lab {
    let lab = Lab::start(make, 1);
    for statement in split(FUNCTIONS) {
        lab.sql(0, &format!("DELIMITER $$\n{statement}$$"));
    }
    lab.wait_caught_up();
    lab
}

/// Statements end with a semicolon at the end of a line, those with a body at END.
fn split(text: &str) -> Vec<String> {
    text.split("\n    CREATE ")
        .map(|rest| rest.trim().trim_end_matches(';'))
        .filter(|rest| !rest.is_empty())
        .map(|rest| format!("CREATE {rest}"))
        .collect()
}

/// The servers let everybody write, so that nothing but the connection refuses.
fn open_replica(lab: &Lab) {
    let super_read_only = match lab.make {
        Make::MySql => "SET GLOBAL super_read_only=0;",
        Make::MariaDb => "",
    };
    lab.sql(1, &format!("{super_read_only} SET GLOBAL read_only=0"));
}

const REFUSALS: &str = "lagwise_function_refusals_total";

fn learning(make: Make, open: bool) {
    let lab = lab(make);
    let proxy = Proxy::start(&lab, TRY);
    lab.log_all();
    let refusals = || proxy.metrics().value(REFUSALS) as u64;
    let written = |server| lab.sql(server, "SELECT COUNT(*) FROM shop.written");
    if open {
        open_replica(&lab);
    }
    let mut admin = Options::new(caps::DEPRECATE_EOF).account("admin").login(proxy.port()).unwrap();
    let mut app = Options::new(0).login(proxy.port()).unwrap();
    assert_eq!(app.query("SELECT f_reads(1)").error(), None);
    assert_eq!((lab.seen(0, "f_reads(1)"), lab.seen(1, "f_reads(1)")), (0, 1), "tried");

    let answer = admin.query("SELECT f_writes(1)");
    assert_eq!((answer.error(), answer.first_value(&admin)), (None, "1".to_owned()));
    assert_eq!((lab.seen(0, "f_writes(1)"), lab.seen(1, "f_writes(1)")), (1, 1));
    assert_eq!((refusals(), written(0)), (1, "1".to_owned()), "run once");
    lab.wait_caught_up();
    assert_eq!(written(1), "1", "by replication only");

    // All sessions have learned it.
    assert_eq!(app.query("SELECT ABS(1), F_Writes(2)").error(), None);
    assert_eq!((lab.seen(0, "F_Writes(2)"), lab.seen(1, "F_Writes(2)")), (1, 0));
    assert_eq!((refusals(), written(0)), (1, "2".to_owned()));

    // The error comes after definitions and rows.
    let late = "SELECT id, REPEAT('x', 100), IF(id = 90, f_too(id), 0) AS w FROM items
                ORDER BY id";
    let mut other = Options::new(0).login(proxy.port()).unwrap();
    let answer = other.query(late);
    assert_eq!((answer.error(), refusals(), written(0)), (None, 2, "3".to_owned()));
    assert_eq!(answer.packets.len(), 1 + 3 + 1 + 100 + 1, "each row once");

    assert!(proxy.reload(TRY), "which forgets what was learned");
    let mut fresh = Options::new(caps::DEPRECATE_EOF).login(proxy.port()).unwrap();
    // COM_RESET_CONNECTION: connections to replicas are READ ONLY nevertheless.
    fresh.play(&Step::raw(0x1f, b"", Expect::Results));
    fresh.play(&Step::prepare("SELECT f_writes(?)"));
    for (n, count) in [(7, "4"), (8, "5")] {
        let answers = fresh.play(&Step::execute(0, [Param::int(n)]));
        assert_eq!((answers[0].error(), &*written(0)), (None, count));
        assert_eq!(refusals(), 3, "once for the function");
    }
}

#[test]
fn learning_on_mysql() {
    learning(Make::MySql, false);
}

#[test]
fn learning_on_mariadb() {
    learning(Make::MariaDb, false);
}

#[test]
fn a_writable_replica_is_not_written_to_on_mysql() {
    learning(Make::MySql, true);
}

#[test]
fn a_writable_replica_is_not_written_to_on_mariadb() {
    learning(Make::MariaDb, true);
}
