//! Digests of statements against those of a MySQL server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use lagwise::sql::{digest_keywords, digest_text};
use raw::{APP, Client, first_value};
use support::corpus::{MYSQL, corpus};
use support::{Lab, Make};

/// Statements of the corpus that are compared at least; the others this server does not take.
const AT_LEAST: usize = 700;

/// What the corpus does not have.
const MORE: &[&str] = &[
    "SELECT a <= b, a <> b, a != b, a || b, a && b, a -> '$.x', a ->> '$.x', a << 1, a <=> b, !a, ~a FROM t",
    "SELECT -a, - - 1, 1 - -1, a * -1, (-1), (-1, +2), -(1), 1+1, a-1, (a)-1, f()-1, NOT -1 FROM t",
    "SELECT CASE -1 WHEN -2 THEN -3 ELSE -4 END FROM t WHERE a BETWEEN -1 AND -2 LIMIT 1, 2",
    "SELECT NULL, (NULL), NULL IS NULL, f(NULL), IFNULL(NULL, 1) FROM t WHERE a IN (NULL) AND b = NULL",
    "SELECT a FROM t WHERE x IN ((1), (2)) AND y IN ((1, 2), (3, 4)) AND z IN (1, a)",
    "SELECT .5, 1., 1e3, t.1a, 1a, 0x1F, 0b11, X'1f', b'01', N'a', _utf8mb4'a', \"b\" FROM t",
    "SELECT status, user, name, count(*), max(a), now(), `select` FROM t",
    "SELECT DATE_ADD(a, INTERVAL 1 DAY), EXTRACT(HOUR FROM a), MID(a, 1), SUBSTR(a, 1, 2), STD(a) FROM t",
    "SELECT @a, @`b c`, @@sql_mode, @@GLOBAL.sort_buffer_size, @@SESSION.`sql_mode`",
    "SELECT DISTINCT a FROM t WHERE a REGEXP 'x' AND b = ANY (SELECT 1) GROUP BY a, 2 ORDER BY 1, b DESC",
    "CREATE TABLE t (a INT(11) NOT NULL DEFAULT -1, b VARCHAR(10) NULL, c DEC(10, 2), d ENUM('a', 'b'), \
     e CHAR(1) DEFAULT NULL, f DOUBLE, g FLOAT, h BIGINT, i MEDIUMINT, j INT2, k TINYINT)",
    "SET @a = 1, @b := NULL",
    "SET NAMES utf8mb4 COLLATE 'utf8mb4_bin'",
    "SHOW COLUMNS FROM t LIKE 'a%'",
    "SHOW DATABASES",
    "DESCRIBE t",
    "USE shop",
    "SELECT DATABASE(), USER(), CURRENT_TIMESTAMP, CURDATE(), UTC_TIMESTAMP(6)",
    "INSERT INTO t VALUES (1, (SELECT 2)), (1, (2)) ON DUPLICATE KEY UPDATE a = VALUES(a) + 1",
    "SELECT `a``b`, \u{e4} FROM `t x` WHERE `k \u{f6}` = '\u{fc}'",
];

#[test]
fn digests_are_those_of_mysql() {
    let lab = Lab::start_with(Make::MySql, 0, &["max-digest-length=65536"]);
    let mut client = Client::connect_unix(&lab.socket(0), APP).unwrap();
    let keywords =
        "SELECT GROUP_CONCAT(WORD ORDER BY CAST(WORD AS BINARY)) FROM information_schema.KEYWORDS";
    client.run("SET group_concat_max_len = 100000");
    let told = first_value(client.query(keywords).unwrap());
    assert_eq!(digest_keywords().join(","), told);

    let mut compared = 0;
    let mut wrong = Vec::new();
    let texts = corpus().into_iter().flat_map(|(_, _, entries)| entries).map(|entry| entry.sql);
    let more = MORE.iter().map(|sql| sql.as_bytes().to_vec());
    for sql in texts.chain(more) {
        let Ok(sql) = String::from_utf8(sql) else { continue };
        if sql.contains("/*+") {
            continue;
        }
        let quoted = sql.replace('\\', "\\\\").replace('\'', "\\'");
        let Ok(rows) = client.query(&format!("SELECT STATEMENT_DIGEST_TEXT('{quoted}')")) else {
            continue;
        };
        let theirs = first_value(rows);
        let ours = digest_text(sql.as_bytes(), &MYSQL);
        compared += 1;
        if ours != theirs {
            wrong.push(format!("{sql}\n  ours   {ours}\n  theirs {theirs}\n"));
        }
    }
    println!("{compared} statements compared");
    assert!(wrong.is_empty(), "{} of {compared}\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= AT_LEAST, "{compared}");
}
