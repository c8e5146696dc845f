//! Kinds, flags and hints.
use super::*;
use StatementKind as K;

const NONE: Flags = Flags::empty();

#[test]
fn questions_are_reads() {
    check_both(&[
        ("SELECT 1", Replica),
        ("select * from `users` where `id` = ? limit 1", Replica),
        ("SELECT a, b AS `for` FROM t WHERE c IN (1, 2) GROUP BY (a) HAVING COUNT(*) > 1", Replica),
        ("(SELECT 1)", Replica),
        ("((SELECT 1) UNION ALL (SELECT 2)) ORDER BY 1", Replica),
        ("SELECT 1 UNION SELECT 2 INTERSECT SELECT 3 EXCEPT (SELECT 4)", Replica),
        ("WITH a AS (SELECT 1), b (x, y) AS (SELECT 1, 2) SELECT * FROM a, b", Replica),
        (
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
            Replica,
        ),
        ("SELECT * FROM (WITH `c` (a) AS (SELECT 1) SELECT a FROM `c`) AS d (z)", Replica),
        ("TABLE t ORDER BY a LIMIT 3", Replica),
        ("VALUES ROW(1, 2), ROW(3, 4)", Replica),
        ("VALUES (1, 2), (3, 4)", Replica),
        ("EXPLAIN SELECT * FROM t", Replica),
        ("EXPLAIN EXTENDED SELECT * FROM t", Replica),
        ("EXPLAIN FORMAT=JSON SELECT * FROM t", Replica),
        ("EXPLAIN ANALYZE SELECT * FROM t", Replica),
        ("EXPLAIN FOR SCHEMA shop SELECT * FROM t", Replica),
        ("ANALYZE FORMAT=JSON SELECT * FROM t", Replica),
        ("DESCRIBE t", Replica),
        ("DESC `t` 'a%'", Replica),
        ("EXPLAIN t a", Replica),
        ("SHOW TABLES", Replica),
        ("SHOW FULL TABLES LIKE 'wp\\_%'", Replica),
        ("SHOW FULL COLUMNS FROM `wp_options`", Replica),
        ("SHOW FIELDS FROM t", Replica),
        ("SHOW DATABASES", Replica),
        ("SHOW CREATE VIEW v", Replica),
        ("SHOW CREATE PROCEDURE p", Replica),
        ("CHECKSUM TABLE t", Replica),
        ("HELP 'SELECT'", Replica),
        ("HELP contents;", Replica),
        ("SELECT 1;", Replica),
        ("SELECT 1 ; ;\n", Replica),
        ("SELECT 1\0", Replica),
        ("SELECT 1 \0 \n", Replica),
        ("SELECT 1; SELECT 2", Replica),
        ("SELECT NOW(), UUID(), RAND(), SLEEP(0), DATABASE(), CURRENT_TIMESTAMP", Replica),
        ("SELECT INSERT('abc', 1, 2, 'x'), REPLACE('a', 'a', 'b'), TRUNCATE(1.5, 0)", Replica),
        (
            "SELECT CAST(a AS DECIMAL(10, 2)), CONVERT(b, CHAR(10)), SUBSTRING(c FROM 1 FOR 2)",
            Replica,
        ),
        ("SELECT CONCAT ('a', 'b')", Replica),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t", Replica),
        ("SELECT * FROM t USE INDEX FOR ORDER BY (i) WHERE a BETWEEN (1) AND (2)", Replica),
        ("SELECT * FROM t PARTITION (p0) AS x JOIN u USING (id)", Replica),
        ("SELECT t.update, t.for, t.insert, x.lock FROM t", Replica),
        ("SELECT `update`, `delete`, `into`, `get_lock` FROM `lock`", Replica),
        ("SELECT 'FOR UPDATE', \"INTO x\", ':= @a GET_LOCK(1)'", Replica),
        ("SELECT share, locked, temporary, skip, value, next FROM t", Replica),
        ("SELECT SQL_CALC_FOUND_ROWS ID FROM wp_posts LIMIT 0, 10", Replica),
        ("SELECT JSON_EXTRACT(a, '$.b'), a->'$.c', a->>'$.d' FROM t", Replica),
        ("SELECT {fn NOW()}, {d '2020-01-01'}", Replica),
        ("SELECT IF(a, b, c), LEFT(d, 1), CHAR(65), MOD(5, 2), DATE(e), VALUES(f) FROM t", Replica),
        (
            "SELECT CASE WHEN (a) THEN (b) ELSE (c) END FROM t WHERE NOT (d) AND EXISTS (SELECT 1)",
            Replica,
        ),
        ("SELECT MATCH (a, b) AGAINST ('x' WITH QUERY EXPANSION) FROM t", Replica),
        ("SELECT a, SUM(b) FROM t GROUP BY a WITH ROLLUP", Replica),
    ]);
}

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn reads_that_belong_to_the_primary() {
    check_both(&[
        ("SELECT * FROM t FOR UPDATE", Primary),
        // No server takes these; what looks like a call is one.
        ("SELECT 1 AS s.f(1)", Writes),
        ("SELECT (1) s.f(1)", Writes),
        ("HELP 'SELECT' f(1)", Writes),
        ("SELECT * FROM t FOR UPDATE SKIP LOCKED", Primary),
        ("select * from jobs where id = ? for update skip locked", Primary),
        ("SELECT * FROM t FOR SHARE OF t NOWAIT", Primary),
        ("SELECT * FROM t LOCK IN SHARE MODE", Primary),
        ("SELECT * FROM (SELECT * FROM t FOR UPDATE) AS d", Primary),
        ("(SELECT * FROM t FOR UPDATE)", Primary),
        ("WITH c AS (SELECT * FROM t FOR UPDATE) SELECT * FROM c", Primary),
        ("WITH c AS (SELECT 1) SELECT * FROM c FOR UPDATE", Primary),
        ("SELECT 1 FOR /* x */ UPDATE", Primary),
        ("SELECT 1 FOR -- x\n UPDATE", Primary),
        ("SELECT 1 /*!FOR UPDATE*/", Primary),
        ("SELECT 1.FOR UPDATE", Primary),
        ("SELECT .5FOR UPDATE", Primary),
        ("SELECT 1e5FOR UPDATE", Primary),
        ("SELECT 'a'FOR UPDATE", Primary),
        ("SELECT `a`FOR UPDATE", Primary),
        ("SELECT @a FOR UPDATE", Primary),
        ("SELECT \\NFOR UPDATE", Primary),
        ("SELECT 1; SELECT 2 FOR UPDATE", Primary),
        ("SELECT a INTO OUTFILE '/tmp/x' FROM t", Primary),
        ("SELECT a FROM t INTO DUMPFILE '/tmp/x'", Primary),
        ("SELECT a FROM t INTO @a", Primary),
        ("TABLE t INTO OUTFILE 'x'", Primary),
        ("SELECT @a", Primary),
        ("SELECT @a := 1", Primary),
        ("SELECT @`a b`, @'c'", Primary),
        ("SELECT @@version", Primary),
        ("SELECT @@session.sql_mode", Primary),
        ("SELECT @@global.read_only", Primary),
        ("SELECT VERSION()", Primary),
        ("SELECT USER(), CURRENT_USER", Primary),
        ("SELECT LAST_INSERT_ID()", Primary),
        ("SELECT @@identity", Primary),
        ("SELECT CONNECTION_ID()", Primary),
        ("SELECT FOUND_ROWS()", Primary),
        ("SELECT row_count ( )", Primary),
        ("SELECT @@warning_count", Primary),
        ("SELECT GET_LOCK('a', 1)", Primary),
        ("SELECT `GET_LOCK`('a', 1)", Primary),
        ("SELECT release_lock('a'), IS_FREE_LOCK('a'), IS_USED_LOCK('a')", Primary),
        ("SELECT RELEASE_ALL_LOCKS()", Primary),
        ("SELECT LOAD_FILE('/etc/passwd')", Primary),
        ("SELECT MASTER_POS_WAIT('a', 1)", Primary),
        ("SELECT * FROM information_schema.tables", Primary),
        ("SELECT * FROM `performance_schema`.threads", Primary),
        ("SELECT * FROM mysql . user", Primary),
        ("SELECT * FROM sys.session", Primary),
        ("EXPLAIN UPDATE t SET a = 1", Primary),
        ("EXPLAIN INSERT INTO t VALUES (1)", Primary),
        ("EXPLAIN FOR CONNECTION 5", Primary),
        ("EXPLAIN SELECT * FROM t FOR UPDATE", Primary),
        ("EXPLAIN FORMAT=JSON INTO @x SELECT 1", Primary),
        ("SHOW WARNINGS", Primary),
        ("SHOW COUNT(*) WARNINGS", Primary),
        ("SHOW ERRORS LIMIT 1", Primary),
        ("SHOW STATUS", Primary),
        ("SHOW SESSION STATUS LIKE 'x'", Primary),
        ("SHOW VARIABLES LIKE 'sql_mode'", Primary),
        ("SHOW FULL PROCESSLIST", Primary),
        ("SHOW MASTER STATUS", Primary),
        ("SHOW BINARY LOG STATUS", Primary),
        ("SHOW REPLICA STATUS", Primary),
        ("SHOW OPEN TABLES", Primary),
        ("SHOW TABLE STATUS", Primary),
        ("SHOW INDEX FROM t", Primary),
        ("SHOW CREATE TABLE t", Primary),
        ("SHOW TABLES FROM mysql", Primary),
        ("SHOW GRANTS", Primary),
        ("SHOW ENGINE INNODB STATUS", Primary),
    ]);
    check(&MARIADB, "SELECT md5('a')", Replica);
    check(&MARIADB, "SET STATEMENT max_statement_time = 1 FOR SELECT 1", Primary);
    check(&MARIADB, "SHOW EXPLAIN FOR 5", Primary);
}

#[test]
fn what_may_write() {
    check_both(&[
        ("INSERT INTO t (a) VALUES (1)", Writes),
        ("insert into `t` set a = 1", Writes),
        ("REPLACE INTO t VALUES (1)", Writes),
        ("UPDATE t SET a = 1", Writes),
        ("DELETE FROM t", Writes),
        ("WITH c AS (SELECT 1) UPDATE t, c SET t.a = 1", Writes),
        ("WITH c AS (SELECT 1) DELETE FROM t", Writes),
        ("WITH c AS (SELECT 1 FOR UPDATE) DELETE FROM t", Writes),
        ("CREATE TABLE t (a VARCHAR(10), KEY k (a))", Writes),
        ("CREATE TEMPORARY TABLE t (a INT)", Writes),
        ("ALTER TABLE t ADD b INT", Writes),
        ("DROP TABLE t", Writes),
        ("TRUNCATE t", Writes),
        ("RENAME TABLE a TO b", Writes),
        ("GRANT SELECT ON *.* TO a", Writes),
        ("SET PASSWORD = 'x'", Writes),
        ("CALL p()", Writes),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", Writes),
        ("FLUSH TABLES", Writes),
        ("ANALYZE TABLE t", Writes),
        ("ANALYZE UPDATE t SET a = 1", Writes),
        ("OPTIMIZE TABLE t", Writes),
        ("XA START 'a'", Writes),
        ("EXECUTE s", Writes),
        ("EXECUTE IMMEDIATE 'DELETE FROM t'", Writes),
        ("BEGIN NOT ATOMIC SELECT 1; END", Writes),
        ("SELECT my_function(1)", Writes),
        ("SELECT shop.my_function(1)", Writes),
        ("SELECT shop . `my_function` (1)", Writes),
        ("SELECT COUNT (*) FROM t", Writes),
        ("SELECT a FROM t GROUP BY a WITH ROLLUP ORDER BY a, f(b)", Writes),
        ("SELECT NEXTVAL(s)", Writes),
        // No statement, and yet: a word and a parenthesis is a call.
        ("CHECKSUM TABLE t, s.NEXTVAL(1)", Writes),
        ("SELECT NEXT VALUE FOR s", Writes),
        ("SELECT PREVIOUS VALUE FOR s", Writes),
        ("SELECT SETVAL(s, 1)", Writes),
        ("DO f(1)", Writes),
        ("SET @a = f(1)", Writes),
        ("SELECT 1; DELETE FROM t", Writes),
        ("DELETE FROM t; SELECT 1", Writes),
        ("SET a = 1; SELECT 1; INSERT INTO t VALUES (1);", Writes),
        ("SELECT 1 FROM t PROCEDURE ANALYSE()", Writes),
        ("(DELETE FROM t)", Writes),
        ("(UPDATE t SET a = 1)", Writes),
        ("frobnicate", Writes),
        ("? SELECT 1", Writes),
        ("'SELECT 1'", Writes),
        ("SELECT 'unterminated", Writes),
        ("SELECT 1 /* unterminated", Writes),
        ("SELECT 1 /*! unterminated", Writes),
        ("SELECT `unterminated", Writes),
        ("SELECT 1 \0 + 1", Writes),
        ("SELECT 1\0; SELECT 2", Writes),
        ("SELECT 1\0\0", Writes),
        ("\0 SELECT 1", Writes),
        ("SELECT $$a$$", Writes),
        ("SELECT 1 INSERT INTO t VALUES (1)", Writes),
        ("SELECT 1 DROP TABLE t", Writes),
        ("SET STATEMENT a = 1 FOR DELETE FROM t", Writes),
        ("SET STATEMENT a = 1 FOR SET STATEMENT b = 1 FOR SELECT 1", Writes),
        ("CREATE PROCEDURE p() BEGIN SELECT 1; END", Writes),
    ]);
    check(&MARIADB, "SELECT columns(1)", Writes);
    check(&MARIADB, "SELECT s.nextval", Writes);
    check(&MYSQL, "SELECT s.nextval FROM s", Replica);
    check(&MYSQL, "SELECT md5('a')", Writes);
    check(&MARIADB, "SELECT UUID_TO_BIN(a)", Writes);
    check(&MYSQL, "SELECT UUID_TO_BIN(a)", Replica);
    check(&LexMode { ignore_space: true, ..MYSQL }, "SELECT COUNT (*) FROM t", Replica);
}

#[test]
fn what_writes_nothing_and_is_no_read() {
    check_both(&[
        ("SET NAMES utf8mb4", Primary),
        ("USE shop", Primary),
        ("BEGIN", Primary),
        ("COMMIT", Primary),
        ("ROLLBACK TO SAVEPOINT a", Primary),
        ("LOCK TABLES t READ", Primary),
        ("UNLOCK TABLES", Primary),
        ("DO SLEEP(1)", Primary),
        ("DO RELEASE_LOCK('a')", Primary),
        ("HANDLER t OPEN", Primary),
        ("KILL 5", Primary),
        ("PREPARE s FROM 'SELECT 1'", Primary),
        ("DEALLOCATE PREPARE s", Primary),
        ("DROP PREPARE s", Primary),
        ("GET DIAGNOSTICS @a = NUMBER", Primary),
        ("", Primary),
        ("-- only a comment", Primary),
        ("/* only a comment */ ;", Primary),
    ]);
}

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn kinds_and_flags() {
    let begin = |read_only, read_write, consistent_snapshot| K::Begin {
        read_only,
        read_write,
        consistent_snapshot,
    };
    check_flags(&[
        ("SELECT 1", K::Read, NONE),
        ("SELECT 1 FOR UPDATE", K::LockingRead, Flags::LOCKING),
        ("SELECT SQL_CALC_FOUND_ROWS 1", K::Read, Flags::SQL_CALC_FOUND_ROWS),
        ("SELECT @@sql_mode", K::Read, Flags::SYNCED_VARIABLE),
        ("SELECT @@session.sql_mode, @@local.time_zone", K::Read, Flags::SYNCED_VARIABLE),
        ("SELECT @@SESSION.`sql_mode`", K::Read, Flags::SYNCED_VARIABLE),
        ("SELECT @@global.sql_mode", K::Read, Flags::SERVER_VARIABLE),
        ("SELECT @@global . sql_mode", K::Read, Flags::SERVER_VARIABLE),
        ("SELECT @@server_id", K::Read, Flags::SERVER_VARIABLE),
        ("SELECT @@last_insert_id", K::Read, Flags::SESSION_FUNCTION),
        ("SELECT @@error_count", K::Read, Flags::CONDITION_COUNT),
        (
            "SELECT 1 INTO @a",
            K::Read,
            Flags::INTO | Flags::USES_USER_VARIABLE | Flags::ASSIGNS_USER_VARIABLE,
        ),
        (
            "SELECT 1; COMMIT",
            K::Commit,
            Flags::MULTI | Flags::RUNS_WHOLE_FIRST | Flags::TRANSACTION_CONTROL,
        ),
        (
            "BEGIN; SELECT 1",
            begin(false, false, false),
            Flags::MULTI | Flags::RUNS_WHOLE_FIRST | Flags::TRANSACTION_CONTROL,
        ),
        ("SELECT 1; SELECT 2;", K::Read, Flags::MULTI | Flags::RUNS_WHOLE_FIRST),
        ("BEGIN WORK", begin(false, false, false), NONE),
        ("START TRANSACTION", begin(false, false, false), NONE),
        ("start transaction read only", begin(true, false, false), NONE),
        ("START TRANSACTION READ WRITE", begin(false, true, false), NONE),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", begin(true, false, true), NONE),
        ("START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */", begin(false, false, true), NONE),
        ("START TRANSACTION READ SIDEWAYS", K::Unknown, NONE),
        ("START SLAVE", K::Admin, NONE),
        ("COMMIT AND NO CHAIN RELEASE", K::Commit, NONE),
        ("ROLLBACK", K::Rollback, NONE),
        ("ROLLBACK WORK TO a", K::Savepoint, NONE),
        ("RELEASE SAVEPOINT a", K::Savepoint, NONE),
        (
            "SET @a = 1",
            K::Set,
            Flags::SETS_USER_VARIABLE | Flags::ASSIGNS_USER_VARIABLE | Flags::USES_USER_VARIABLE,
        ),
        ("SET autocommit = 0", K::Set, Flags::SETS_AUTOCOMMIT),
        ("SET @@session.autocommit = 0", K::Set, Flags::SETS_AUTOCOMMIT | Flags::SYNCED_VARIABLE),
        ("SET NAMES utf8, autocommit = 1", K::Set, Flags::SETS_AUTOCOMMIT),
        ("SET NAMES 'a' COLLATE 'b', SESSION sql_mode='STRICT'", K::Set, NONE),
        ("SET a = 1, CHARACTER SET utf8", K::Set, NONE),
        ("SET CHARSET DEFAULT", K::Set, NONE),
        ("SET session_track_gtids = OFF", K::Set, Flags::SETS_SESSION_TRACK),
        (
            "SET sql_mode = CONCAT('a', 'b'), SESSION `session_track_schema` = 1",
            K::Set,
            Flags::SETS_SESSION_TRACK,
        ),
        ("SET GLOBAL a = 1", K::Set, Flags::SETS_GLOBAL),
        ("SET PERSIST a = 1", K::Set, Flags::SETS_GLOBAL),
        ("SET @@global.a = 1", K::Set, Flags::SETS_GLOBAL | Flags::SERVER_VARIABLE),
        ("SET TRANSACTION READ ONLY", K::SetTransaction, Flags::ONE_SHOT_TRANSACTION),
        ("SET SESSION TRANSACTION READ ONLY", K::SetTransaction, NONE),
        ("SET GLOBAL TRANSACTION READ ONLY", K::SetTransaction, Flags::SETS_GLOBAL),
        (
            "SET @@transaction_isolation = 'SERIALIZABLE'",
            K::Set,
            Flags::ONE_SHOT_TRANSACTION | Flags::SYNCED_VARIABLE,
        ),
        ("SET transaction_isolation = 'SERIALIZABLE'", K::Set, NONE),
        ("SET @@session.tx_isolation = 'SERIALIZABLE'", K::Set, Flags::SYNCED_VARIABLE),
        ("SET gtid_next = 'AUTOMATIC'", K::Set, Flags::SETS_UNREPLAYABLE),
        ("FLUSH TABLES", K::Admin, NONE),
        ("FLUSH TABLES WITH READ LOCK", K::Admin, Flags::USER_LOCK),
        ("FLUSH LOCAL TABLES t, u FOR EXPORT", K::Admin, Flags::USER_LOCK),
        ("LOCK TABLES t READ", K::LockTables, NONE),
        ("LOCK INSTANCE FOR BACKUP", K::LockTables, Flags::USER_LOCK),
        ("BACKUP STAGE START", K::Admin, Flags::USER_LOCK),
        ("SET ROLE a", K::Set, Flags::SETS_UNREPLAYABLE),
        ("SET DEFAULT ROLE a TO b", K::Account, NONE),
        ("SET a = (SELECT MAX(b), c FROM t), autocommit = 1", K::Set, Flags::SETS_AUTOCOMMIT),
        (
            "CREATE TEMPORARY TABLE t (a INT)",
            K::Ddl,
            Flags::CREATES_TEMPORARY_TABLE | Flags::TEMPORARY,
        ),
        (
            "CREATE OR REPLACE TEMPORARY TABLE t (a INT)",
            K::Ddl,
            Flags::CREATES_TEMPORARY_TABLE | Flags::TEMPORARY,
        ),
        ("DROP TEMPORARY TABLE t", K::Ddl, Flags::TEMPORARY),
        ("CREATE FUNCTION f() RETURNS INT RETURN 1; SELECT 1", K::Ddl, Flags::STORED_PROGRAM),
        ("CREATE USER a", K::Account, NONE),
        ("ALTER USER a", K::Account, NONE),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", K::LoadData { local: true }, NONE),
        (
            "LOAD DATA INFILE 'local' INTO TABLE t (@a)",
            K::LoadData { local: false },
            Flags::USES_USER_VARIABLE | Flags::ASSIGNS_USER_VARIABLE,
        ),
        ("LOAD INDEX INTO CACHE t", K::Admin, NONE),
        ("CALL p(@a)", K::Call, Flags::USES_USER_VARIABLE | Flags::ASSIGNS_USER_VARIABLE),
        ("INSERT INTO t VALUES (GET_LOCK('a', 1))", K::Write, Flags::USER_LOCK),
        ("INSERT INTO t (a, b) SELECT a, b FROM u", K::Write, NONE),
        (
            "SET STATEMENT max_statement_time = 1 FOR INSERT INTO t VALUES (1)",
            K::Write,
            Flags::SET_STATEMENT,
        ),
        ("DESCRIBE format", K::Describe, NONE),
        ("EXPLAIN (SELECT 1)", K::Explain, NONE),
    ]);
}

#[test]
fn unknown_functions_are_named() {
    let sql = "SELECT f(1), Shop.G(2), `h x` (3), f(4), shop.`g`(5) FROM t";
    let statement = classify(sql.as_bytes(), &MYSQL);
    let names: Vec<_> = statement
        .unknown_functions()
        .map(|name| String::from_utf8_lossy(name.span.of(sql.as_bytes())).into_owned())
        .collect();
    assert_eq!(names, ["f", "G", "`h x`"]);
    let set = |names: &[&str]| names.iter().copied().collect::<FunctionSet>();
    for (names, all) in [
        (&["F", "shop.g", "h x"][..], true),
        (&["f", "g", "h x"], true),
        (&["f", "other.g", "h x"], false),
        (&["shop.f", "g", "h x"], false),
        (&["f", "g"], false),
        (&[], false),
    ] {
        assert_eq!(statement.calls_only(&set(names)), all, "{names:?}");
        let knowing = statement.knowing(&set(names));
        assert_eq!((knowing.may_write(), knowing.is_read()), (!all, all), "{names:?}");
    }
    let doubled = b"SELECT `f``g`(1)";
    let name = classify(doubled, &MYSQL).unknown_functions().next().unwrap();
    assert_eq!(name.span.of(doubled), b"`f``g`");
    let many = classify(b"SELECT a(1), b(1), c(1), d(1)", &MYSQL);
    assert!(!many.calls_only(&set(&["a", "b", "c", "d"])));
    assert!(many.flags.contains(Flags::MORE_UNKNOWN_FUNCTIONS));
}

#[test]
fn implicit_commits() {
    for (sql, commits) in [
        ("CREATE TABLE t (a INT)", true),
        ("CREATE TEMPORARY TABLE t (a INT)", false),
        ("BEGIN", true),
        ("LOCK TABLES t READ", true),
        ("FLUSH TABLES", true),
        ("GRANT a TO b", true),
        ("INSERT INTO t VALUES (1)", false),
        ("SELECT 1", false),
    ] {
        assert_eq!(classify(sql.as_bytes(), &MYSQL).commits_implicitly(), commits, "{sql}");
    }
}

#[test]
fn kill_is_answered_only_in_its_plain_forms() {
    for (sql, expected) in [
        ("KILL 5", Some((KillKind::Connection, 5))),
        ("kill connection 5;", Some((KillKind::Connection, 5))),
        (
            "/* x */ KILL /* y */ QUERY 18446744073709551615 ; -- z",
            Some((KillKind::Query, u64::MAX)),
        ),
        ("KILL 18446744073709551616", None),
        ("KILL", None),
        ("KILL QUERY", None),
        ("KILL 5.0", None),
        ("KILL 1e3", None),
        ("KILL 0x5", None),
        ("KILL -5", None),
        ("KILL @a", None),
        ("KILL '5'", None),
        ("KILL 5 6", None),
        ("KILL 5; SELECT 1", None),
        ("KILL HARD 5", None),
        ("KILL QUERY ID 5", None),
        ("KILL USER a", None),
        ("KILL CONNECTION QUERY 5", None),
        ("SELECT 5", None),
        ("", None),
    ] {
        assert_eq!(kill_target(sql.as_bytes(), &MYSQL), expected, "{sql}");
    }
}

#[test]
fn hints() {
    let target = |target| Some(Hint { target: Some(target), ..Hint::default() });
    for (sql, expected, bad) in [
        ("SELECT 1", None, false),
        ("/* lagwise: primary */ SELECT 1", target(HintTarget::Primary), false),
        ("/*lagwise:replica*/SELECT 1", target(HintTarget::Replica), false),
        (
            "-- x\n/* a */ /* LagWise: Primary */ /* lagwise: replica */ SELECT 1",
            target(HintTarget::Primary),
            false,
        ),
        ("/* lagwise: nonsense */ SELECT 1", None, true),
        ("/* lagwise: primary, replica */ SELECT 1", None, true),
        ("/* lagwise: */ SELECT 1", None, true),
        ("/* lagwise */ SELECT 1", None, false),
        ("/* lagwise: primary=1 */ SELECT 1", None, true),
        ("/* lagwise: max_lag=2 */ SELECT 1", None, true),
        ("/* lagwise: max_lag=99999999m */ SELECT 1", None, true),
        ("/* lagwise: tag= */ SELECT 1", None, true),
        ("/* lagwise: tag=a/b */ SELECT 1", None, true),
        ("SELECT /* lagwise: primary */ 1", None, false),
        ("SELECT 1 /* lagwise: primary */", None, false),
        ("-- lagwise: primary\nSELECT 1", None, false),
        ("/*! lagwise: primary */ SELECT 1", None, false),
        ("'/* lagwise: primary */'", None, false),
    ] {
        let statement = classify(sql.as_bytes(), &MYSQL);
        assert_eq!(statement.hint, expected, "{sql}");
        assert_eq!(statement.flags.contains(Flags::BAD_HINT), bad, "{sql}");
    }
    let sql = b"/* lagwise: replica tag=reporting,max_lag=2s , key=cart-4711 trace */ SELECT 1";
    let hint = classify(sql, &MYSQL).hint.unwrap();
    assert_eq!(hint.target, Some(HintTarget::Replica));
    assert_eq!(hint.tag.unwrap().of(sql), b"reporting");
    assert_eq!(hint.key.unwrap().of(sql), b"cart-4711");
    assert_eq!(hint.max_lag_ms, Some(2000));
    assert!(hint.trace);
    assert_eq!(hint.key.unwrap().of(b"short"), b"");
}
