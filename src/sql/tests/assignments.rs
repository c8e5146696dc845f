//! What a SET assigns that no tracker tells of.

use super::*;

/// MariaDB reports nothing of `SET @@name`.
#[test]
fn assignments_that_mariadb_does_not_report() {
    #[track_caller]
    fn check(sql: &str, on_mysql: bool, on_mariadb: bool) {
        let held = |mode| classify(sql.as_bytes(), &mode).flags.contains(Flags::SETS_UNREPLAYABLE);
        assert_eq!((held(MYSQL), held(MARIADB)), (on_mysql, on_mariadb), "{sql}");
    }
    check("SET @@timestamp = 5", false, true);
    check("SET time_zone = 'UTC', @@`no_such` = ''", false, true);
    // Those that can be asked for, in a statement of its own.
    check("SET @@sql_mode = ''", false, false);
    check("SET time_zone = 'UTC', @@`sql_mode` = ''", false, false);
    check("SET time_zone = 'UTC', @@`sql_mode` = ''; SELECT 1", false, true);
    check("SELECT 1; SET @@SESSION.sql_mode = ''", false, false);
    check("SET @@session.sql_mode = @@sql_mode", false, false);
    check("SET @@autocommit = 0", false, false);
    check("SET @@tx_isolation = 'SERIALIZABLE'", false, false);
    check("SET @@global.sql_mode = ''", false, false);
    check("SET @@gtid_next = 'AUTOMATIC'", true, true);
}
