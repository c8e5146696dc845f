//! Where nothing is refused, a session that a rule keeps on a replica gets, packet by packet, what a
//! direct connection to that replica gives.

use super::servers;
use super::support::wire::{Expect, Options, Param, Step, caps, differences, play};
use super::support::{Lab, Proxy};

fn q(sql: &str) -> Step {
    Step::query(sql)
}

fn texts() -> Vec<Step> {
    [
        "SELECT id, name, price FROM items ORDER BY id LIMIT 5",
        "SELECT * FROM no_such_table",
        "SELEC 1",
        "SELECT 1/0, CAST('x' AS SIGNED)",
        "SHOW WARNINGS",
        "SELECT SQL_CALC_FOUND_ROWS id FROM items LIMIT 1",
        "SELECT FOUND_ROWS(), ROW_COUNT()",
        "",
        "-- only a comment",
        "SET NAMES latin1",
        "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES'), time_zone = '+02:00', @a = 5",
        "SELECT \"id\", @a := @a + 1 FROM items ORDER BY id LIMIT 2",
        "SELECT @a, @@sql_mode, @@time_zone, @@character_set_client",
        "SET no_such_variable = 1",
        "SET sql_mode = DEFAULT",
        "SET NAMES utf8mb4",
        "USE no_such_schema",
        "USE other",
        "SELECT DATABASE(), word FROM secrets",
        "USE shop",
        "BEGIN",
        "SELECT COUNT(*) FROM items",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "COMMIT",
        "START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT",
        "SELECT COUNT(*) FROM items",
        "COMMIT",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET autocommit = 0",
        "SELECT COUNT(*) FROM items",
        "SET autocommit = 1",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "CREATE TEMPORARY TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT, UNIQUE (v))",
        "INSERT INTO t (v) VALUES (1), (2), (3)",
        "INSERT INTO t (v) VALUES (4), (1)",
        "SELECT LAST_INSERT_ID(), ROW_COUNT()",
        "UPDATE t SET v = v + 10",
        "SELECT * FROM t ORDER BY id; SELECT COUNT(*) FROM items; DELETE FROM t WHERE v > 11",
        "ALTER TABLE t ADD w INT",
        "CREATE TEMPORARY TABLE items AS SELECT 1 AS shadow",
        "SELECT * FROM items",
        "DROP TEMPORARY TABLE items, t",
        "SELECT GET_LOCK('rules', 0), IS_USED_LOCK('rules') = CONNECTION_ID()",
        "SELECT RELEASE_LOCK('rules')",
        "LOCK TABLES items READ",
        "SELECT COUNT(*) FROM items",
        "SELECT COUNT(*) FROM orders",
        "UNLOCK TABLES",
        "HANDLER items OPEN",
        "HANDLER items READ FIRST",
        "HANDLER items CLOSE",
        "PREPARE s FROM 'SELECT ? AS a'",
        "SET @v = 9",
        "EXECUTE s USING @v",
        "DEALLOCATE PREPARE s",
        "EXECUTE s USING @v",
        "SELECT @@server_id, VERSION(), CURRENT_USER()",
        "SHOW VARIABLES LIKE 'port'",
        "EXPLAIN SELECT * FROM items WHERE id = 1",
        "SELECT 1; SELECT * FROM no_such_table; SELECT 3",
        "SET @c = 1; SELECT @c; DO 0",
    ]
    .into_iter()
    .map(q)
    .collect()
}

fn commands() -> Vec<Step> {
    let results = Expect::Results;
    vec![
        Step::prepare("SELECT id, name, price FROM items WHERE id = ?"),
        Step::execute(0, [Param::int(3)]),
        Step::execute_again(0, [Param::int(4)]),
        Step::execute(0, [Param::text("6")]),
        Step::prepare("SELECT LENGTH(?), LEFT(?, 3)"),
        Step::LongData { statement: 1, param: 0, data: vec![b'x'; 1000] },
        Step::LongData { statement: 1, param: 0, data: vec![b'y'; 2_000_000] },
        Step::execute(1, [Param::long(), Param::text("abcdef")]),
        Step::reset(1),
        Step::execute(1, [Param::text("after"), Param::null()]),
        Step::prepare("SELECT id FROM items ORDER BY id LIMIT 5"),
        Step::open_cursor(2, []),
        Step::fetch(2, 2),
        q("SELECT 1"),
        Step::fetch(2, 9),
        Step::fetch(2, 9),
        Step::close(2),
        Step::prepare("SELEC ?"),
        Step::prepare("SET @kept = ?"),
        Step::execute(3, [Param::int(8)]),
        q("SELECT @kept"),
        Step::raw(0x0e, b"", results),
        Step::raw(0x02, b"other", results),
        Step::raw(0x02, b"no_such", results),
        q("SELECT DATABASE()"),
        Step::raw(0x02, b"shop", results),
        Step::raw(0x04, b"items\0na%", Expect::Rows),
        q("DO 0"),
        Step::raw(0x1b, &[1, 0], results),
        q("SELECT 1; SELECT 2"),
        q("DO 0"),
        Step::raw(0x1b, &[0, 0], results),
        q("SELECT 1; SELECT 2"),
        q("CREATE TEMPORARY TABLE gone (id INT)"),
        Step::raw(0x1f, b"", results), // COM_RESET_CONNECTION
        q("SELECT @kept, @@time_zone, DATABASE()"),
        q("SELECT * FROM gone"),
        Step::execute(0, [Param::int(3)]),
        Step::Pipeline(vec![q("SELECT 1"), q("SET @p = 2"), q("SELECT @p"), Step::prepare("DO 5")]),
    ]
}

/// The tag `slow` is one server's, so that it is known whom to ask directly.
pub fn same_answers(lab: &Lab, proxy: &mut Proxy) {
    let slow = "[[rule]]\nname = \"slow\"\nuser = \"other\"\ntag = \"slow\"\nread_only = true\n";
    assert!(proxy.reload(&format!("{}{slow}", servers(lab))));
    let mut found = Vec::new();
    for capabilities in
        [0, caps::DEPRECATE_EOF, caps::SESSION_TRACK, caps::DEPRECATE_EOF | caps::SESSION_TRACK]
    {
        let options = Options::new(capabilities).account("other");
        let login = |port| options.login(port).unwrap_or_else(|packet| panic!("{packet:?}"));
        for (name, script) in [("texts", texts()), ("commands", commands())] {
            let direct = play(&mut login(lab.port(3)), &script);
            assert_eq!(direct.len(), script.len(), "{name}: broke at {:?}", direct.last());
            let proxied = play(&mut login(proxy.port()), &script);
            let differ = differences(&direct, &proxied);
            found
                .extend(differ.into_iter().map(|text| format!("{name} {capabilities:#x}: {text}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
