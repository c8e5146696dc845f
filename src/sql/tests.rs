//! What the classifier says of texts, each a row.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod assignments;
mod dressing;
mod found_rows;
mod functions;
mod lexing;
mod properties;
mod statements;
mod tables;
mod work;

pub(crate) use dressing::{check_dressed, without_allocation};

use super::*;

/// A MySQL 9.7 session over utf8mb4 with the default `sql_mode`.
pub(super) const MYSQL: LexMode = LexMode::utf8(Make::MySql, 90704);

/// A MariaDB 10.11 session of the same kind.
pub(super) const MARIADB: LexMode = LexMode::utf8(Make::MariaDb, 101119);

/// What a row says of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Safe on a replica.
    Replica,
    /// For the primary, writing nothing.
    Primary,
    /// For the primary, and it may write.
    Writes,
}

pub(super) use Side::{Primary, Replica, Writes};

pub(super) fn side(statement: &Statement) -> Side {
    assert!(!(statement.is_read() && statement.may_write()), "{statement:?}");
    match (statement.is_read(), statement.may_write()) {
        (true, _) => Replica,
        (false, false) => Primary,
        (false, true) => Writes,
    }
}

pub(super) fn check(mode: &LexMode, sql: impl AsRef<[u8]>, expected: Side) {
    let sql = sql.as_ref();
    let statement = classify(sql, mode);
    let text = String::from_utf8_lossy(sql);
    assert_eq!(side(&statement), expected, "{text}\n{mode:?}\n{statement:?}");
    check_dressed(sql, mode);
}

/// Checks rows of text and side, on MySQL and on MariaDB.
pub(super) fn check_both(rows: &[(&str, Side)]) {
    assert!(!rows.is_empty());
    for &(sql, expected) in rows {
        check(&MYSQL, sql, expected);
        check(&MARIADB, sql, expected);
    }
}

/// Checks rows of text, kind and flags (all flags named, none besides but FINDS_MORE_ROWS), on MySQL
/// and on MariaDB.
pub(super) fn check_flags(rows: &[(&str, StatementKind, Flags)]) {
    assert!(!rows.is_empty());
    for &(sql, kind, flags) in rows {
        for mode in [MYSQL, MARIADB] {
            let statement = classify(sql.as_bytes(), &mode);
            let named = statement.flags - Flags::FINDS_MORE_ROWS;
            assert_eq!((statement.kind, named), (kind, flags), "{sql}\n{mode:?}");
            check_dressed(sql.as_bytes(), &mode);
        }
    }
}
