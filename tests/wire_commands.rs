//! Every client command: the packets through lagwise are those of a direct connection to the
//! primary, byte by byte, with every combination of capabilities that changes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::Make;
use support::wire::{Expect, Options, Param, Step, World, caps};

fn q(sql: &str) -> Step {
    Step::query(sql)
}

/// Status flags, affected rows, insert ids, info strings and warnings of ordinary statements.
fn statements() -> Vec<Step> {
    [
        "DROP TABLE IF EXISTS wire_t",
        "CREATE TABLE wire_t (id INT AUTO_INCREMENT PRIMARY KEY, v INT, s VARCHAR(20), UNIQUE (s))",
        "INSERT INTO wire_t (v, s) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "INSERT INTO wire_t (v, s) VALUES (4, 'a')",
        "UPDATE wire_t SET v = 1",
        "UPDATE wire_t SET v = v",
        "DELETE FROM wire_t WHERE id > 100",
        "SELECT * FROM wire_t ORDER BY id",
        "SELECT * FROM wire_t WHERE 1 = 0",
        "SELECT LAST_INSERT_ID(), ROW_COUNT(), 'x' AS t",
        "SELECT * FROM no_such_table",
        "SELEC 1",
        "SELECT 1/0, CAST('x' AS SIGNED)",
        "SHOW WARNINGS",
        "SHOW COUNT(*) ERRORS",
        "INSERT IGNORE INTO wire_t (v, s) VALUES (5, 'a'), ('z', 'd')",
        "SHOW WARNINGS",
        "SELECT SQL_CALC_FOUND_ROWS id FROM wire_t LIMIT 1",
        "SELECT FOUND_ROWS()",
        "DO 1",
        "",
        " ",
        ";",
        "-- only a comment",
        "EXPLAIN SELECT 1",
        "DESCRIBE wire_t",
        "SHOW TABLES LIKE 'wire\\_t'",
        "SHOW CREATE TABLE wire_t",
        "CHECK TABLE wire_t",
        "ANALYZE TABLE wire_t",
        "ALTER TABLE wire_t ADD COLUMN w INT",
        "TRUNCATE wire_t",
        "DROP TABLE wire_t",
    ]
    .into_iter()
    .map(q)
    .collect()
}

/// Status flags through transactions, and what the default trackers report.
fn session() -> Vec<Step> {
    [
        "DROP TABLE IF EXISTS wire_s",
        "CREATE TABLE wire_s (id INT PRIMARY KEY)",
        "BEGIN",
        "SELECT COUNT(*) FROM wire_s",
        "INSERT INTO wire_s VALUES (1)",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "COMMIT",
        "START TRANSACTION READ ONLY",
        "SELECT COUNT(*) FROM wire_s",
        "INSERT INTO wire_s VALUES (2)",
        "COMMIT",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        "ROLLBACK",
        "COMMIT AND CHAIN",
        "ROLLBACK",
        "SET autocommit = 0",
        "SELECT COUNT(*) FROM wire_s",
        "COMMIT",
        "SET autocommit = 1",
        "BEGIN",
        "CREATE TABLE IF NOT EXISTS wire_s2 (id INT)",
        "SELECT 1",
        "DROP TABLE wire_s2",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SELECT COUNT(*) FROM wire_s",
        "USE shop",
        "SET NAMES latin1",
        "SELECT 'é'",
        "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci",
        "SET CHARACTER SET latin1",
        "SET NAMES utf8mb4",
        "SET time_zone = '+02:00'",
        "SELECT @@time_zone, @@autocommit, @@character_set_results",
        "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
        "SELECT \"id\" FROM wire_s",
        "SELECT 'a\\b'",
        "SET sql_mode = DEFAULT",
        "SET @a := 5, @b = 'x'",
        "SELECT @a, @b",
        "SET character_set_results = NULL",
        "SELECT 'x', COLLATION('x')",
        "SET NAMES utf8mb4",
        "USE no_such_schema",
        "SELECT DATABASE()",
        "SET no_such_variable = 1",
        "CREATE TEMPORARY TABLE wire_tmp (id INT)",
        "INSERT INTO wire_tmp VALUES (1)",
        "SELECT * FROM wire_tmp",
        "DROP TEMPORARY TABLE wire_tmp",
        "LOCK TABLES wire_s WRITE",
        "SELECT COUNT(*) FROM wire_s",
        "UNLOCK TABLES",
        "SELECT GET_LOCK('wire', 1)",
        "SELECT IS_USED_LOCK('wire') = CONNECTION_ID()",
        "SELECT RELEASE_LOCK('wire')",
    ]
    .into_iter()
    .map(q)
    .collect()
}

/// The client turns trackers on and off itself.
fn trackers(make: Make) -> Vec<Step> {
    let info = "SET session_track_transaction_info = 'CHARACTERISTICS'";
    let mut sql = vec![
        "DROP TABLE IF EXISTS wire_x",
        "CREATE TABLE wire_x (id INT PRIMARY KEY, n INT)",
        "SET session_track_schema = OFF",
        "USE shop",
        "SET session_track_schema = ON",
        "USE shop",
        "SET session_track_state_change = ON",
        "SET @x = 1",
        "SET session_track_system_variables = 'sql_mode,time_zone'",
        "SET sql_mode = ''",
        "SET NAMES latin1",
        "SET time_zone = '+01:00'",
        info,
        "BEGIN",
        "SELECT COUNT(*) FROM items",
        "COMMIT",
        "START TRANSACTION READ ONLY",
        "COMMIT",
        "SET session_track_transaction_info = 'STATE'",
        "BEGIN",
        "SELECT COUNT(*) FROM items",
        "INSERT INTO wire_x VALUES (1, 0)",
        "ROLLBACK",
        "SELECT @@session_track_schema, @@session_track_state_change,
                @@session_track_system_variables, @@session_track_transaction_info",
    ];
    if make == Make::MySql {
        sql.extend(["SET session_track_gtids = OFF", "DO 1"]);
    }
    sql.into_iter().map(q).collect()
}

/// Several statements in one text, and procedures.
fn multi() -> Vec<Step> {
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; SELECT 2;",
        "SET @a = 1; SELECT @a; DO 0",
        "SELECT 1; SELECT * FROM no_such_table; SELECT 3",
        "SELECT 1; SELEC 2",
        "DROP TABLE IF EXISTS wire_m",
        "CREATE TABLE wire_m (id INT PRIMARY KEY)",
        "BEGIN; INSERT INTO wire_m VALUES (1); ROLLBACK; SELECT 1",
        "USE shop; SET NAMES utf8mb4; SELECT DATABASE()",
        "DROP PROCEDURE IF EXISTS wire_p",
        "DROP PROCEDURE IF EXISTS wire_q",
        "CREATE PROCEDURE wire_p(IN a INT, OUT b INT, INOUT c VARCHAR(20)) BEGIN
           SELECT a, c; SELECT a + 1 AS n UNION SELECT 7; SET b = a * 2; SET c = CONCAT(c, '!');
         END",
        "CREATE PROCEDURE wire_q() BEGIN
           SELECT 1; INSERT INTO wire_m (no_such_column) VALUES (1); SELECT 2;
         END",
        "SET @c = 'c'",
        "CALL wire_p(1, @b, @c)",
        "SELECT @b, @c",
        "CALL wire_q()",
        "CALL no_such_procedure()",
        "CALL wire_p(1, @b, @c); SELECT 5; CALL wire_p(2, @b, @c)",
    ]
    .into_iter()
    .map(q)
    .chain([
        Step::prepare("CALL wire_p(?, ?, ?)"),
        Step::execute(0, [Param::int(3), Param::int(0), Param::text("x")]),
        Step::execute_again(0, [Param::int(4), Param::int(0), Param::text("y")]),
        q("DROP PROCEDURE wire_p"),
        q("DROP PROCEDURE wire_q"),
    ])
    .collect()
}

/// A command on a statement that does not exist.
fn unknown(command: u8) -> Step {
    let expect = if command == 0x1c { Expect::Rows } else { Expect::Results };
    Step::OnStatement { command, statement: 99, rest: vec![0, 1, 0, 0, 0], expect }
}

/// Prepared statements: reads on replicas, the same after a write on the primary, and back.
#[allow(clippy::too_many_lines)] // A table.
fn prepared() -> Vec<Step> {
    vec![
        q("DROP TABLE IF EXISTS wire_b"),
        q("CREATE TABLE wire_b (id INT PRIMARY KEY, b LONGBLOB, t TEXT)"),
        Step::prepare("SELECT id, name, price FROM items WHERE id = ?"),
        Step::execute(0, [Param::int(3)]),
        Step::execute_again(0, [Param::int(4)]),
        Step::prepare("INSERT INTO wire_b VALUES (?, ?, ?)"),
        Step::execute(1, [Param::int(1), Param::text("one"), Param::null()]),
        Step::execute_again(0, [Param::int(5)]),
        Step::execute_again(1, [Param::int(2), Param::text("two"), Param::text("t")]),
        Step::execute_again(1, [Param::int(2), Param::text("dup"), Param::text("t")]),
        Step::execute(0, [Param::text("6")]),
        Step::execute_again(0, [Param::text("7")]),
        Step::LongData { statement: 1, param: 1, data: vec![b'x'; 1000] },
        Step::LongData { statement: 1, param: 1, data: vec![b'y'; 1000] },
        Step::execute(1, [Param::int(3), Param::long(), Param::text("long")]),
        Step::LongData { statement: 1, param: 1, data: vec![b'z'; 10] },
        Step::reset(1),
        Step::execute(1, [Param::int(4), Param::text("after reset"), Param::null()]),
        Step::prepare("SELECT id, LENGTH(b), LEFT(b, 12), t FROM wire_b ORDER BY id"),
        Step::execute(2, []),
        Step::reset(2),
        Step::open_cursor(2, []),
        Step::fetch(2, 1),
        Step::fetch(2, 2),
        Step::fetch(2, 5),
        Step::fetch(2, 5),
        Step::open_cursor(2, []),
        Step::fetch(2, 1),
        Step::reset(2),
        Step::fetch(2, 1),
        Step::prepare("SELECT id FROM items ORDER BY id LIMIT 5"),
        Step::open_cursor(3, []),
        Step::fetch(3, 2),
        q("SELECT 1"),
        Step::fetch(3, 9),
        Step::close(3),
        Step::prepare("SELECT ? + 1, ?"),
        Step::execute(4, [Param::double(1.5), Param::null()]),
        Step::prepare("SELEC ?"),
        Step::prepare("SELECT * FROM no_such_table"),
        Step::prepare("SELECT 1; SELECT 2"),
        Step::prepare(""),
        Step::prepare("SET NAMES utf8mb4"),
        Step::execute(5, []),
        Step::prepare("SELECT @@character_set_client, DATABASE()"),
        Step::execute(6, []),
        unknown(0x17),
        q("SHOW WARNINGS"),
        unknown(0x1a),
        unknown(0x1c),
        q("SHOW WARNINGS"),
        Step::close(99),
        Step::LongData { statement: 99, param: 0, data: vec![1] },
        q("PREPARE text_s FROM 'SELECT ? AS a'"),
        q("SET @v = 9"),
        q("EXECUTE text_s USING @v"),
        q("DEALLOCATE PREPARE text_s"),
        q("EXECUTE text_s USING @v"),
        // The table changes under the statement.
        q("ALTER TABLE wire_b ADD COLUMN n INT DEFAULT 7"),
        Step::prepare("SELECT * FROM wire_b WHERE id = 1"),
        Step::execute(7, []),
        q("ALTER TABLE wire_b ADD COLUMN m INT"),
        Step::execute(7, []),
        Step::close(0),
        q("DROP TABLE wire_b"),
        Step::execute(7, []),
        Step::prepare("BEGIN"),
    ]
}

/// The small commands.
fn others() -> Vec<Step> {
    let results = Expect::Results;
    vec![
        Step::raw(0x0e, b"", results),
        Step::raw(0x02, b"other", results),
        Step::raw(0x02, b"no_such", results),
        Step::raw(0x02, b"information_schema", results),
        q("SELECT DATABASE()"),
        Step::raw(0x02, b"shop", results),
        Step::raw(0x04, b"items\0", Expect::Rows),
        Step::raw(0x04, b"items\0na%", Expect::Rows),
        Step::raw(0x04, b"no_such\0", Expect::Rows),
        // COM_SET_OPTION repeats the warning count of the statement before it on its connection.
        q("DO 0"),
        Step::raw(0x1b, &[1, 0], results),
        q("SELECT 1; SELECT 2"),
        q("DO 0"),
        Step::raw(0x1b, &[0, 0], results),
        q("SELECT 1; SELECT 2"),
        Step::raw(0x1b, &[9, 0], results),
        Step::raw(0x0d, b"", results), // COM_DEBUG, without the privilege
        Step::raw(0x07, &[4], results), // COM_REFRESH of tables
        Step::raw(0x08, b"", results), // COM_SHUTDOWN
        Step::raw(0x05, b"x", results), // COM_CREATE_DB, long gone
        Step::raw(0x00, b"", results), // COM_SLEEP
        Step::raw(0x0b, b"", results), // COM_CONNECT
        Step::raw(0x7e, b"zz", results),
        q("SET @kept = 1, time_zone = '+03:00'"),
        q("CREATE TEMPORARY TABLE wire_gone (id INT)"),
        Step::prepare("SELECT 1"),
        Step::raw(0x1f, b"", results), // COM_RESET_CONNECTION
        q("SELECT @kept, @@time_zone, DATABASE()"),
        q("SELECT * FROM wire_gone"),
        Step::execute(0, []),
        Step::Pipeline(vec![
            q("SELECT 1"),
            q("SET @p = 2"),
            q("SELECT @p"),
            Step::raw(0x0e, b"", results),
            q("SELECT * FROM no_such"),
            Step::prepare("SELECT 5"),
            q("SELECT id FROM items ORDER BY id LIMIT 3"),
        ]),
        q("SELECT 'still here', @@character_set_client"),
        q("SELECT 'here'"),
    ]
}

/// MariaDB's id -1 for the statement that was prepared last, and COM_STMT_BULK_EXECUTE.
fn mariadb_extensions() -> Vec<Step> {
    let last = |rest: &[u8]| Step::raw(0x17, &[&[0xff; 4], rest].concat(), Expect::Results);
    // int<2> flags (send types), then types, then rows of int<1> indicator and value
    let mut rows = vec![128, 0, 8, 0, 0xfd, 0];
    for id in 1..=3_i64 {
        rows.push(0);
        rows.extend(id.to_le_bytes());
        rows.extend([0, 2, b'v', b'0' + id as u8]);
    }
    let expect = Expect::Results;
    vec![
        q("CREATE TABLE wire_bulk (id BIGINT PRIMARY KEY, v VARCHAR(10))"),
        Step::prepare("INSERT INTO wire_bulk VALUES (?, ?)"),
        Step::OnStatement { command: 0xfa, statement: 0, rest: rows, expect },
        q("SELECT *, 1 / (COUNT(*) OVER () = 3) FROM wire_bulk ORDER BY id"),
        Step::prepare("SELECT 5"),
        last(&[0, 1, 0, 0, 0]),
        Step::Pipeline(vec![Step::prepare("SELECT 6 AS six"), last(&[0, 1, 0, 0, 0])]),
        Step::execute(1, []),
    ]
}

/// Replication is not passed on, and the session goes on after the refusal.
fn replication(world: &World) {
    for (name, payload) in [
        (
            "COM_BINLOG_DUMP",
            [&[0x12][..], &[4, 0, 0, 0, 0, 0, 1, 0, 0, 0], b"binlog.000001"].concat(),
        ),
        ("COM_REGISTER_REPLICA", [&[0x15][..], &[0; 17]].concat()),
        ("COM_BINLOG_DUMP_GTID", [&[0x1e][..], &[0; 22]].concat()),
    ] {
        let mut client = Options::new(0).account("admin").login(world.proxy.port()).unwrap();
        let (code, text) = client.ask(&payload, Expect::Single, &[]).error().unwrap_or_default();
        world.equal(name, (code, text.contains("replication")), (1047, true));
        world.equal(name, client.query("SELECT 1").error(), None);
    }
    // What COM_STATISTICS says differs from moment to moment; its shape does not.
    let mut client = Options::new(0).login(world.proxy.port()).unwrap();
    let answer = client.ask(&[0x09], Expect::Single, &[]);
    let text = String::from_utf8_lossy(&answer.packets[0].payload).into_owned();
    world.equal("COM_STATISTICS", text.starts_with("Uptime: "), true);
    world.equal("COM_STATISTICS", client.query("SELECT 1").error(), None);
    // COM_PROCESS_KILL; MySQL 9 has it no more, lagwise serves it for its clients.
    let mut victim = Options::new(0).login(world.proxy.port()).unwrap();
    let id = victim.greeting.thread_id.to_le_bytes();
    let answer = client.ask(&[&[0x0c][..], &id].concat(), Expect::Results, &[]);
    world.equal("COM_PROCESS_KILL", answer.error(), None);
    let after = victim.query("SELECT 1");
    let ended = after.broken.is_some() || after.error().is_some();
    world.equal("COM_PROCESS_KILL: ended", ended, true);
}

/// A table gets more columns between the executions of a statement, which run now here, now there.
fn more_columns(world: &World) {
    let steps = [
        q("CREATE TABLE wire_c (id INT PRIMARY KEY)"),
        q("INSERT INTO wire_c VALUES (1)"),
        Step::prepare("SELECT * FROM wire_c"),
        Step::execute(0, []),
        q("ALTER TABLE wire_c ADD COLUMN n INT DEFAULT 7"),
        Step::execute(0, []),
        Step::execute(0, []),
        Step::execute(0, []),
        Step::execute(0, []),
        q("ALTER TABLE wire_c ADD COLUMN m INT, DROP COLUMN n"),
        Step::execute(0, []),
        q("ALTER TABLE wire_c DROP COLUMN m"),
        Step::execute(0, []),
        Step::execute(0, []),
    ];
    for capabilities in [0, caps::DEPRECATE_EOF, caps::DEPRECATE_EOF | caps::SESSION_TRACK] {
        let mut catch_up = world.catch_up();
        world.compare_after("more columns", &Options::new(capabilities), &steps, |number| {
            match number {
                // Prepared on the replica, which then falls behind.
                2 | 7 | 13 => {
                    if number == 7 {
                        world.lab.start_applier(1);
                    }
                    catch_up();
                }
                4 => world.lab.stop_applier(1),
                _ => {}
            }
        });
    }
}

fn load_data() -> Vec<Step> {
    let load = b"LOAD DATA LOCAL INFILE 'x' INTO TABLE wire_l FIELDS TERMINATED BY ','";
    let file = |content: &[u8]| Step::Files(load.to_vec(), vec![content.to_vec()]);
    vec![
        q("DROP TABLE IF EXISTS wire_l"),
        q("CREATE TABLE wire_l (id INT PRIMARY KEY, t VARCHAR(10))"),
        file(b"1,a\n2,b\n3,c\n"),
        file(b""),
        file(b"4,much too long for it\n1,dup\nx,y\n"),
        q("SHOW WARNINGS"),
        file(&b"9,zzzzz\n".repeat(40_000)),
        q("SELECT COUNT(*) FROM wire_l"),
        Step::Files(
            b"LOAD DATA LOCAL INFILE 'x' INTO TABLE no_such FIELDS TERMINATED BY ','".to_vec(),
            vec![b"1,2\n".to_vec()],
        ),
        Step::Files(
            b"SELECT 1; LOAD DATA LOCAL INFILE 'x' INTO TABLE wire_l FIELDS TERMINATED BY ','; SELECT 2"
                .to_vec(),
            vec![b"7,g\n".to_vec()],
        ),
        q("DROP TABLE wire_l"),
    ]
}

fn all(make: Make) {
    let world = World::start(make, &["local_infile=ON"]);
    world.compare_all("statements", &statements());
    world.compare_all("session", &session());
    for capabilities in world.matrix().into_iter().filter(|all| all & caps::SESSION_TRACK != 0) {
        world.compare("trackers", &Options::new(capabilities), &trackers(make));
    }
    world.compare_all("multi", &multi());
    world.compare_all("prepared", &prepared());
    world.compare_all("others", &others());
    more_columns(&world);
    let options = Options::new(caps::DEPRECATE_EOF | caps::SESSION_TRACK);
    world.compare_caught_up("prepared", &options, &prepared());
    world.compare_caught_up("prepared", &Options::new(0), &prepared());
    world.compare_caught_up("others", &options, &others());
    world.compare_all("load data", &load_data());
    let no_files = Options { caps: caps::BASE & !caps::LOCAL_FILES, ..Options::new(0) };
    world.compare("load data refused", &no_files, &load_data());
    let found_rows = Options::new(caps::FOUND_ROWS | caps::DEPRECATE_EOF);
    world.compare("found rows", &found_rows, &statements());
    let single = Options { caps: caps::BASE & !caps::MULTI_STATEMENTS, ..Options::new(0) };
    world.compare("no multi-statements", &single, &multi()[..8]);
    if make == Make::MariaDb {
        let bulk = Options::new(caps::MARIADB_BULK | caps::DEPRECATE_EOF);
        world.compare("MariaDB's extensions", &bulk, &mariadb_extensions());
    }
    replication(&world);
    world.finish();
}

#[test]
fn commands_on_mysql() {
    all(Make::MySql);
}

#[test]
fn commands_on_mariadb() {
    all(Make::MariaDb);
}
