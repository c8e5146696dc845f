//! Session state in the places where it is easily left on the wrong server: the packets through
//! lagwise are those of a direct connection to the primary, with reads on a replica that has caught
//! up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::wire::{Answer, Expect, Options, Param, Step, World, caps};
use support::{Make, Proxy};

fn q(sql: &str) -> Step {
    Step::query(sql)
}

fn queries(sql: &[&str]) -> Vec<Step> {
    sql.iter().copied().map(q).collect()
}

/// READ ONLY transactions, each in a session of its own: one that wrote begins them on the primary.
#[allow(clippy::too_many_lines)] // A table.
fn read_only_transactions() -> Vec<(&'static str, Vec<Step>)> {
    let plain: &[(&str, &[&str])] = &[
        (
            "a write is refused",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT COUNT(*) FROM items",
                "INSERT INTO items (name) VALUES ('x')",
                "SHOW WARNINGS",
                "DELETE FROM items",
                "CREATE TABLE wire_ro (id INT)",
                "ALTER TABLE no_such ADD COLUMN x INT",
                "SELECT COUNT(*) FROM items",
                "COMMIT",
                "SELECT COUNT(*) FROM items",
            ],
        ),
        (
            "user variables",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT COUNT(*) FROM items",
                "SET @a = 1, @b = 'x'",
                "SELECT @a, @b",
                "SELECT COUNT(*) FROM items",
                "SELECT MAX(id), MAX(price) INTO @c, @d FROM items",
                "SELECT @e := name FROM items WHERE id = 5",
                "SELECT name FROM items WHERE id = 6",
                "COMMIT",
                "SELECT @a, @b, @c, @d, @e",
            ],
        ),
        (
            "session variables",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT COUNT(*) FROM items",
                "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
                "SELECT \"name\" FROM items WHERE id = 1",
                "SET time_zone = '+05:00'",
                "SET NAMES latin1",
                "SELECT FROM_UNIXTIME(0), 'é'",
                "USE other",
                "SELECT * FROM secrets",
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET SESSION TRANSACTION READ WRITE",
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                "ALTER TABLE secrets ADD COLUMN id INT",
                "COMMIT",
                "SELECT @@sql_mode, @@time_zone, DATABASE()",
                "SELECT * FROM shop.items WHERE id = 1",
            ],
        ),
        (
            "locks",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT GET_LOCK('wire', 1), IS_USED_LOCK('wire') = CONNECTION_ID()",
                "SELECT COUNT(*) FROM items",
                "COMMIT",
                "SELECT IS_USED_LOCK('wire') = CONNECTION_ID()",
                "SELECT RELEASE_LOCK('wire')",
            ],
        ),
        (
            "statements of PREPARE",
            &[
                "START TRANSACTION READ ONLY",
                "PREPARE s FROM 'SELECT id, name FROM items WHERE id = ?'",
                "SELECT COUNT(*) FROM items",
                "SET @i = 3",
                "EXECUTE s USING @i",
                "SELECT COUNT(*) FROM items",
                "ROLLBACK",
                "EXECUTE s USING @i",
                "DEALLOCATE PREPARE s",
            ],
        ),
        (
            "ends",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT 1",
                "BEGIN",
                "INSERT INTO items (id) VALUES (1)",
                "COMMIT",
                "START TRANSACTION READ ONLY",
                "SELECT 1",
                "START TRANSACTION READ ONLY",
                "SELECT 2",
                "COMMIT AND CHAIN",
                "SELECT 3",
                "SET @a = 3",
                "COMMIT AND CHAIN",
                "SELECT 4",
                "ROLLBACK AND CHAIN",
                "INSERT INTO items (id) VALUES (1)",
                "ROLLBACK",
                "SELECT 1",
            ],
        ),
        (
            "autocommit",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT 1",
                "SET autocommit = 0",
                "SELECT COUNT(*) FROM items",
                "SET autocommit = 1",
                "SELECT COUNT(*) FROM items",
            ],
        ),
        (
            "implicit commit",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT COUNT(*) FROM items",
                "LOCK TABLES items READ",
                "SELECT COUNT(*) FROM items",
                "UNLOCK TABLES",
                "START TRANSACTION READ ONLY",
                "SELECT COUNT(*) FROM items",
                "CREATE USER wire_u IDENTIFIED BY 'x'",
                "SELECT COUNT(*) FROM items",
                "COMMIT",
            ],
        ),
        (
            "savepoints",
            &[
                "START TRANSACTION READ ONLY WITH CONSISTENT SNAPSHOT",
                "SAVEPOINT a",
                "SELECT COUNT(*) FROM items",
                "ROLLBACK TO a",
                "RELEASE SAVEPOINT a",
                "RELEASE SAVEPOINT a",
                "SHOW WARNINGS",
                "SELECT COUNT(*) FROM items",
                "COMMIT",
            ],
        ),
        (
            "diagnostics",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT 1/0, CAST('x' AS SIGNED)",
                "SHOW WARNINGS",
                "SELECT LAST_INSERT_ID(), ROW_COUNT()",
                "SELECT * FROM items LIMIT 3",
                "SELECT ROW_COUNT()",
                "SELECT SQL_CALC_FOUND_ROWS id FROM items LIMIT 1",
                "SELECT FOUND_ROWS()",
                "SELECT * FROM no_such",
                "SHOW ERRORS",
                "CALL no_such()",
                "SHOW ERRORS",
                "SELECT 1; SELECT 2",
                "SELECT 1; SET @a = 2; SELECT @a",
                "SELECT @@session.transaction_isolation",
                "ROLLBACK; SELECT 7",
                "SELECT 1",
            ],
        ),
        (
            "temporary tables",
            &[
                "START TRANSACTION READ ONLY",
                "SELECT COUNT(*) FROM items",
                "CREATE TEMPORARY TABLE items (id INT)",
                "SELECT COUNT(*) FROM items",
                "INSERT INTO items VALUES (1)",
                "COMMIT",
                "SELECT COUNT(*) FROM items",
            ],
        ),
    ];
    let mut scripts: Vec<_> = plain.iter().map(|(name, sql)| (*name, queries(sql))).collect();
    scripts.push((
        "binary protocol",
        vec![
            Step::prepare("SELECT id, name FROM items WHERE id > ? ORDER BY id LIMIT 4"),
            q("START TRANSACTION READ ONLY"),
            Step::execute(0, [Param::int(3)]),
            Step::prepare("INSERT INTO items (name) VALUES (?)"),
            Step::execute(1, [Param::text("x")]),
            Step::prepare("SELEC 1"),
            q("SHOW WARNINGS"),
            Step::execute_again(0, [Param::int(4)]),
            Step::raw(0x1b, &[1, 0], Expect::Results),
            Step::raw(0x0e, b"", Expect::Results),
            Step::prepare("SELECT DATABASE()"),
            q("SELECT 1 FROM items"),
            Step::raw(0x02, b"other", Expect::Results),
            Step::execute(2, []),
            q("SELECT 1 FROM shop.items"),
            Step::raw(0x02, b"shop", Expect::Results),
            Step::open_cursor(0, [Param::int(3)]),
            Step::fetch(0, 2),
            Step::fetch(0, 9),
            q("COMMIT"),
        ],
    ));
    scripts.push((
        "COM_RESET_CONNECTION",
        vec![
            q("START TRANSACTION READ ONLY"),
            q("SELECT COUNT(*) FROM items"),
            q("SET @a = 1"),
            Step::raw(0x1f, b"", Expect::Results),
            q("SELECT @a"),
            q("SELECT COUNT(*) FROM items"),
        ],
    ));
    scripts
}

/// Which commands forget the warnings, counts and rows of the statement before, and what SHOW
/// WARNINGS and kin say after them.
fn diagnostics() -> Vec<(String, Vec<Step>)> {
    let results = Expect::Results;
    let commands = vec![
        Step::prepare("SELECT ROW_COUNT(), LAST_INSERT_ID()"),
        Step::prepare("SELEC 1"),
        Step::raw(0x02, b"shop", results),
        Step::raw(0x04, b"items\0", Expect::Rows),
        Step::raw(0x04, b"no_such\0", Expect::Rows),
        Step::raw(0x0e, b"", results),
        Step::raw(0x1b, &[1, 0], results),
        Step::reset(0),
        Step::execute(0, []),
        q("SELECT 1/0; SELECT 2"),
        q("SELECT 1; SELECT 2/0"),
        q("SELECT 1; SELECT * FROM no_such"),
        q("DO 1/0"),
        q("SET @@sql_notes = 1"),
        q("SELECT LAST_INSERT_ID(), ROW_COUNT()"),
        q("START TRANSACTION"),
    ];
    let befores = [
        "SELECT 1/0, CAST('x' AS SIGNED)",
        "DO CAST('y' AS SIGNED)",
        "SELECT * FROM none",
        // A warning and an error, of which an error's packet does not tell the number.
        "SELECT CAST('z' AS SIGNED) + (SELECT 1 UNION SELECT 2)",
        "SET @a = CAST('z' AS SIGNED) + (SELECT 1 UNION SELECT 2)",
    ];
    let afters = ["SHOW WARNINGS", "SELECT @@warning_count", "SELECT ROW_COUNT()"];
    let scripts = commands.into_iter().map(|command| {
        let mut script = vec![Step::prepare("SELECT ROW_COUNT()")];
        for before in befores {
            for after in afters {
                script.extend([q(before), command.clone(), q(after)]);
            }
        }
        (command.label(), script)
    });
    scripts.collect()
}

/// lagwise's own trackers are not seen by a client that looks at the variables.
fn trackers(make: Make) -> Vec<Step> {
    let mut sql = vec![
        "SELECT @@session_track_schema, @@session_track_state_change,
                @@session_track_system_variables, @@session_track_transaction_info",
        "SHOW VARIABLES LIKE 'session_track%'",
        "SHOW SESSION VARIABLES WHERE variable_name LIKE '%track_state%'",
        "USE other",
        "SELECT DATABASE(), @@SESSION.session_track_schema",
        "SET autocommit = 0",
        "SELECT COUNT(*), @@session_track_schema FROM secrets",
        "ROLLBACK",
        "SET autocommit = 1",
        "BEGIN",
        "SELECT @@session_track_transaction_info",
        "SHOW VARIABLES LIKE 'session\\_track\\_schema'",
        "COMMIT",
        "SET time_zone = '+03:00'",
        "SELECT id FROM secrets",
        "SELECT FROM_UNIXTIME(0)",
        "SELECT @@session_track_no_such",
        "SHOW VARIABLES LIKE 'sql_mode'",
    ];
    if make == Make::MySql {
        sql.push(
            "SELECT * FROM performance_schema.session_variables
               WHERE variable_name LIKE 'session_track%'",
        );
    }
    let mut script = queries(&sql);
    script.extend([
        Step::prepare("SELECT @@session_track_schema, @@session_track_system_variables"),
        Step::execute(0, []),
        q("SELECT FROM_UNIXTIME(0)"),
    ]);
    script
}

/// Errors that name the client's statement id, or a limit that is exceeded half-way.
fn errors(world: &World) {
    let mut client = Options::new(0).login(world.proxy.port()).unwrap();
    for _ in 0..3 {
        // So that ids of client and server differ.
        client.query("DO 0");
        client.play(&Step::prepare("DO 1"));
        client.play(&Step::prepare("SELECT 1"));
    }
    let prepared = client.play(&Step::prepare("SELECT 2"));
    let id = u32::from_le_bytes(prepared[0].packets[0].payload[1..5].try_into().unwrap());
    client.play(&Step::execute(6, []));
    let (code, text) = client.play(&Step::fetch(6, 1))[0].error().unwrap_or_default();
    world.equal("no open cursor", (code, text.contains(&format!("({id})"))), (1421, true));

    // Two frames, the second of which exceeds max_packet.
    let small = Proxy::start(&world.lab, "max_packet = \"16MiB\"");
    let mut client = Options::new(0).login(small.port()).unwrap();
    let head = [&[0xff, 0xff, 0xff, 0, 0x03][..], &vec![b' '; (1 << 24) - 2]].concat();
    client.send_raw(&[&head, &[0xff, 0xff, 0xff, 1][..]].concat()).unwrap();
    client.expect_seq(2);
    let packets = client.read_packet().into_iter().collect();
    let (code, text) = Answer { packets, broken: None }.error().unwrap_or_default();
    world.equal("max_packet", (code, text.starts_with("#08S01Got a packet")), (1153, true));
}

/// After a SET that no tracker reports whole, reads run on the replica as before, and answer as if directly
/// asked.
fn said_again(world: &World) {
    let sets = [
        "SET CHARACTER SET latin1",
        "SET CHARSET utf8mb3, time_zone = '+02:00'",
        "SET CHARACTER SET DEFAULT",
        "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci",
        "SET @@sql_mode = 'ANSI_QUOTES'",
        "SET @@time_zone = '+03:00', @@div_precision_increment = 7",
    ];
    let reads = [
        "SELECT 'a', COLLATION('a'), \"name\", name FROM items WHERE id = 1",
        "SELECT 1 / 3, FROM_UNIXTIME(0) FROM items WHERE id = 2",
    ];
    let mut script = Vec::new();
    for set in sets {
        script.push(q(set));
        script.extend(reads.map(q));
    }
    let metric = "lagwise_queries_total{target=\"replica\",reason=\"read\"}";
    let count = || world.proxy.metrics().value(metric);
    let before = count();
    world.compare_caught_up("said again", &Options::new(0), &script);
    let want = (sets.len() * reads.len()) as f64;
    world.equal("reads on the replica", count() - before, want);
}

fn trackers_and_errors(make: Make) {
    let world = World::start(make, &[]);
    errors(&world);
    said_again(&world);
    for options in [0, caps::DEPRECATE_EOF | caps::SESSION_TRACK].map(Options::new) {
        world.compare("trackers", &options.account("other"), &trackers(make));
    }
    world.finish();
}

#[test]
fn trackers_and_errors_on_mysql() {
    trackers_and_errors(Make::MySql);
}

#[test]
fn trackers_and_errors_on_mariadb() {
    trackers_and_errors(Make::MariaDb);
}

fn all(make: Make) {
    let world = World::start(make, &[]);
    let options = [0, caps::DEPRECATE_EOF | caps::SESSION_TRACK]
        .map(|capabilities| Options::new(capabilities).account("other"));
    for (name, script) in read_only_transactions() {
        for options in &options {
            world.compare_caught_up(name, options, &script);
        }
    }
    for (name, script) in diagnostics() {
        world.compare(&name, &options[0], &script);
    }
    let read_only = "lagwise_queries_total{target=\"replica\",reason=\"read_only_transaction\"}";
    let on_replica = world.proxy.metrics().value(read_only);
    // Fewer on MariaDB, where what may ask about an earlier error stays with it.
    assert!(on_replica > 40.0, "{on_replica} on the replica");
    world.finish();
}

#[test]
fn state_on_mysql() {
    all(Make::MySql);
}

#[test]
fn state_on_mariadb() {
    all(Make::MariaDb);
}
