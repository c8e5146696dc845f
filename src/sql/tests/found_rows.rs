//! FOUND_ROWS() after a query.

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
