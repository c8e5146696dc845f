//! MariaDB's COM_STMT_BULK_EXECUTE: types that are sent once, for executions of either command, on
//! whichever connection.

use super::support::wire::{Expect, Options, Param, Step, World, caps};
use super::support::{Lab, Make};
use super::{kill_connections, q};

/// SEND_TYPES_TO_SERVER
const SEND_TYPES: u16 = 128;

/// Rows of a BIGINT and a VARCHAR.
fn bulk(statement: usize, types: bool, rows: &[(i64, &str)]) -> Step {
    let mut rest = (if types { SEND_TYPES } else { 0 }).to_le_bytes().to_vec();
    if types {
        rest.extend([0x08, 0, 0xfd, 0]);
    }
    for (id, text) in rows {
        // int<1> indicator: 0 for a value
        rest.push(0);
        rest.extend(id.to_le_bytes());
        rest.extend([0, text.len() as u8]);
        rest.extend(text.bytes());
    }
    Step::OnStatement { command: 0xfa, statement, rest, expect: Expect::Results }
}

fn again(id: i64, text: &str) -> Step {
    Step::execute_again(0, [Param::int(id), Param::text(text)])
}

fn options() -> Options {
    Options::new(caps::MARIADB_BULK | caps::DEPRECATE_EOF).account("other")
}

/// As on a direct connection, errors included.
fn meaning(world: &World) {
    let seen = q("SELECT * FROM wire_bulk ORDER BY id");
    let script = [
        q("CREATE TABLE wire_bulk (id BIGINT PRIMARY KEY, v VARCHAR(10))"),
        Step::prepare("INSERT INTO wire_bulk VALUES (?, ?)"),
        bulk(0, true, &[(1, "a"), (2, "b")]),
        bulk(0, false, &[(3, "c")]),
        again(4, "d"),
        seen.clone(),
        Step::prepare("UPDATE wire_bulk SET v = ? WHERE id = ?"),
        Step::execute(1, [Param::text("x"), Param::int(1)]),
        Step::prepare("INSERT INTO wire_bulk VALUES (?, ?)"),
        Step::execute(2, [Param::int(5), Param::text("e")]),
        bulk(2, false, &[(6, "f"), (7, "g")]),
        // The first of them is there by then.
        bulk(2, false, &[(8, "h"), (1, "again"), (9, "i")]),
        seen,
        Step::prepare("SELECT v FROM wire_bulk WHERE id = ? OR v = ?"),
        bulk(3, true, &[(2, "a"), (3, "a")]),
        q("DROP TABLE wire_bulk"),
    ];
    world.compare("bulk executions", &options(), &script);
}

/// A connection that has not seen the types gets them.
fn new_connections(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    lab.sql(0, "CREATE TABLE shop.wire_bulk (id BIGINT PRIMARY KEY, v VARCHAR(10))");
    let mut client = options().login(proxy.port()).unwrap();
    let mut step = |step: Step| client.play(&step).remove(0);
    let good = [
        Step::prepare("INSERT INTO shop.wire_bulk VALUES (?, ?)"),
        bulk(0, true, &[(1, "a"), (2, "b")]),
    ];
    good.map(&mut step).iter().for_each(|answer| assert_eq!(answer.error(), None));
    let more = [
        bulk(0, false, &[(3, "c"), (4, "d")]),
        again(5, "e"),
        Step::execute(0, [Param::int(6), Param::text("f")]),
        bulk(0, false, &[(7, "g"), (8, "h")]),
    ];
    for one in more {
        kill_connections(lab, 0, "other");
        assert_eq!(step(one).error(), None);
    }
    rows_are(lab, "1a,2b,3c,4d,5e,6f,7g,8h");
    lab.sql(0, "DROP TABLE shop.wire_bulk");
    lab.wait_caught_up();
}

#[track_caller]
fn rows_are(lab: &Lab, want: &str) {
    let got = lab.sql(0, "SELECT GROUP_CONCAT(id, v ORDER BY id) FROM shop.wire_bulk");
    assert_eq!(got, want);
}

pub fn all(world: &World) {
    if world.lab.make == Make::MariaDb {
        meaning(world);
        new_connections(world);
    }
}
