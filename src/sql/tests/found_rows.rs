//! FOUND_ROWS() and LAST_INSERT_ID() after a statement.

use super::*;

#[test]
fn which_queries_find_more_rows_than_they_send() {
    let check = |sql: &str, want| {
        for mode in [MYSQL, MARIADB] {
            let flags = classify(sql.as_bytes(), &mode).flags;
            assert_eq!(flags.contains(Flags::FINDS_MORE_ROWS), want, "{sql}");
        }
    };
    for sql in [
        "SELECT * FROM t LIMIT 2, 3",
        "SELECT * FROM t LIMIT ?,?",
        "SELECT * FROM t LIMIT 3 OFFSET 2",
        "SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 3",
        "SELECT 1 UNION SELECT 2",
        "SELECT 1 INTERSECT SELECT 2",
        "SELECT 1 EXCEPT SELECT 2",
        "VALUES (1), (2)",
        "SELECT * FROM t LIMIT ROWS EXAMINED 5",
    ] {
        check(sql, true);
    }
    for sql in
        ["SELECT * FROM t LIMIT 3", "SELECT * FROM t WHERE a IN (?, ?) LIMIT ?", "SELECT 1, 2"]
    {
        check(sql, false);
    }
}

#[test]
fn which_statements_set_the_insert_id() {
    let check = |sql: &str, want| {
        for mode in [MYSQL, MARIADB] {
            let flags = classify(sql.as_bytes(), &mode).flags;
            assert_eq!(flags.contains(Flags::SETS_INSERT_ID), want, "{sql}");
        }
    };
    check("SELECT LAST_INSERT_ID(5)", true);
    check("SELECT LAST_INSERT_ID ( /* () */ id ) FROM t", true);
    check("UPDATE t SET n = LAST_INSERT_ID(n + 1)", true);
    check("SELECT LAST_INSERT_ID()", false);
    check("SELECT LAST_INSERT_ID ( /* 5 */ )", false);
    check("SELECT CONNECTION_ID(), @@identity", false);
}
