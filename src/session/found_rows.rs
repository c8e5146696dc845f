//! FOUND_ROWS(): the number of rows of the last query, which need not be the last statement.
//!
//! Most statements leave the number as it is, and so it may be on another connection than what SHOW
//! WARNINGS is about. A statement that asks for the number alone goes where it is; one that needs
//! another connection besides gets the number brought there.
//!
//! ROW_COUNT() in the same statement is another matter: only a write makes it more than 1, and to bring
//! FOUND_ROWS() afterwards would take it away. So the number is brought *before* a write where it is to
//! be asked for ([`FoundRowsUse`]): after SQL_CALC_FOUND_ROWS, and once the session has asked for both. The
//! same before a CALL, of which nobody can tell whether it will have run a query.
//!
//! Deliberately absent: to bring it before every write, two round trips, for the first such question of a
//! session; and numbers beyond [`MAX_CARRIED`].

use tokio::time::{Duration, Instant};

use super::Session;
use super::diagnostics::FoundRows;
use super::failure::BEHIND;
use super::job::Job;
use super::relay::Relayed;
use super::tracking::find;
use crate::backend;
use crate::protocol::response::ResponseKind;
use crate::route::Side;
use crate::sql::{Flags, Make, Statement, StatementKind};

/// The largest number that is brought to another connection: a server makes as many rows for it.
const MAX_CARRIED: u64 = 1_000_000;

/// Up to so many rows are made without tables.
const WITHOUT_TABLES: u64 = 50;

/// How long the connection that has the number may take to say it.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What speaks for the session's asking for FOUND_ROWS() once more. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundRowsUse {
    /// SQL_CALC_FOUND_ROWS has set it last.
    calculated: bool,
    /// It was asked for.
    asked: bool,
    /// It was asked for in one statement with ROW_COUNT().
    with_row_count: bool,
}

impl FoundRowsUse {
    /// A statement is about to run.
    pub fn note_question(&mut self, statement: &Statement) {
        if statement.flags.contains(Flags::FOUND_ROWS_FUNCTION) {
            self.asked = true;
            self.with_row_count |= statement.flags.contains(Flags::ROW_COUNT_FUNCTION);
        }
    }

    /// A query has set the number.
    pub fn note_query(&mut self, statement: &Statement) {
        if statement.kind == StatementKind::Read {
            self.calculated = statement.flags.contains(Flags::SQL_CALC_FOUND_ROWS);
        }
    }

    /// Whether the number must be on the primary before the statement, which may set ROW_COUNT() and may
    /// leave FOUND_ROWS() as it is.
    fn is_needed_before(self, statement: &Statement) -> bool {
        use StatementKind::{Call, LoadData, TextExecute, Write};
        match statement.kind {
            _ if statement.flags.contains(Flags::MULTI) => self.calculated || self.asked,
            Call | TextExecute => self.calculated || self.asked,
            Write | LoadData { .. } => self.calculated || self.with_row_count,
            _ => false,
        }
    }
}

/// Whether a statement that has succeeded has set FOUND_ROWS(). Each kind was tried on MySQL 9.7 and
/// MariaDB 10.11. Without a text, or where it is unclear, it has.
pub fn sets_found_rows(statement: &Statement, text: Option<&[u8]>, make: Make) -> bool {
    use StatementKind::*;
    let has = |word: &[u8]| text.is_none_or(|text| find(text, word).is_some());
    let is_mysql = make == Make::MySql;
    if statement.flags.intersects(Flags::MULTI | Flags::AMBIGUOUS | Flags::STORED_PROGRAM) {
        return true;
    }
    match statement.kind {
        Empty
        | Checksum
        | Help
        | ExplainWrite
        | ExplainConnection
        | GetDiagnostics
        | Set
        | SetTransaction
        | Use
        | Begin { .. }
        | Commit
        | Rollback
        | Savepoint
        | Account
        | Admin
        | TextPrepare
        | TextDeallocate
        | LockTables
        | UnlockTables
        | Kill
        | Handler
        | LoadData { .. }
        | Xa => false,
        // Of no table, it is 0 afterwards in MariaDB.
        Explain => has(b"analyze") || !is_mysql && (!has(b"from") || has(b"dual")),
        ShowDiagnostics => has(b"count"),
        Show => text.is_none() || !has(b"create"),
        ShowServer => {
            let plain: [&[u8]; 5] =
                [b"create", b"processlist", b"grants", b"privileges", b"binary"];
            text.is_none() || !plain.into_iter().any(has)
        }
        Do => is_mysql || has(b"select"),
        Ddl => !is_mysql && has(b"select"),
        Write => {
            let first = text.unwrap_or_default().trim_ascii_start().get(..6).unwrap_or_default();
            let is = |word: &[u8]| first.eq_ignore_ascii_case(word);
            let values = is(b"insert") || is(b"replac");
            let one_table = is(b"delete") || is(b"update") && !is_mysql;
            let of_one = values || one_table && !has(b"join") && !has(b"using");
            has(b"select") || !of_one
        }
        Read | LockingRead | Describe | Call | TextExecute | Unknown => true,
    }
}

/// Errors of a query that MariaDB 10.11 has not begun to execute; FOUND_ROWS() is as before then, and 0
/// after others.
fn is_before_execution(code: u16) -> bool {
    const UNREAD: [u16; 3] = [
        1052, // ER_NON_UNIQ_ERROR
        1064, // ER_PARSE_ERROR
        1210, // ER_WRONG_ARGUMENTS
    ];
    UNREAD.contains(&code) || BEHIND.contains(&code)
}

/// FOUND_ROWS() after a statement that has set it, whose response has ended.
fn found_by(statement: &Statement, relayed: &Relayed, make: Make) -> FoundRows {
    let unclear = Flags::FINDS_MORE_ROWS
        | Flags::MULTI
        | Flags::AMBIGUOUS
        | Flags::UNKNOWN_FUNCTION
        | Flags::SET_STATEMENT;
    let is_counted = match statement.kind {
        StatementKind::Read | StatementKind::LockingRead => true,
        StatementKind::Show | StatementKind::Describe | StatementKind::ShowServer => true,
        StatementKind::ShowDiagnostics => make == Make::MySql,
        _ => false,
    };
    if is_counted
        && relayed.columns > 0
        && !relayed.has_cursor
        && !statement.flags.intersects(unclear)
    {
        FoundRows::Known(relayed.rows)
    } else {
        FoundRows::Untold
    }
}

impl Session {
    /// A statement has ended on `side`.
    pub(super) fn note_found_rows(&mut self, side: Side, job: &Job<'_>, relayed: &Relayed) {
        if side == Side::Replica && job.kind == ResponseKind::Results {
            self.found_rows.note_query(&job.statement);
        }
        let make = self.state.lex_mode().make;
        let is_query =
            matches!(job.statement.kind, StatementKind::Read | StatementKind::LockingRead);
        if let Some(code) = relayed.error_code {
            // It may have set the number nevertheless.
            if self.state.diagnostics.has_found_rows(side) {
                self.state.diagnostics.set_found(side, FoundRows::Untold);
            } else if make == Make::MariaDb && is_query && !is_before_execution(code) {
                // On a connection that had another's. (MySQL's errors leave the number.)
                self.state.diagnostics.set_found(side, FoundRows::Known(0));
            }
            return;
        }
        let sets = || sets_found_rows(&job.statement, self.judged_text(job).as_deref(), make);
        if job.kind != ResponseKind::Prepare && (is_query || sets()) {
            let found = found_by(&job.statement, relayed, make);
            self.state.diagnostics.set_found(side, found);
        }
    }

    /// Before a statement on `side` that asks for FOUND_ROWS(), or on the primary one that may leave it
    /// as it is: brings the number there, if it is on the session's other connection.
    ///
    /// # Errors
    /// The connection on `side` breaks.
    pub(super) async fn bring_found_rows(
        &mut self,
        side: Side,
        statement: &Statement,
    ) -> Result<(), backend::Error> {
        let asks = statement.flags.contains(Flags::FOUND_ROWS_FUNCTION);
        // Such a count MySQL repeats at a CALL, and it cannot be put back.
        let is_repeated = statement.kind == StatementKind::Call
            && self.state.last_side() == side
            && self.state.diagnostics.row_count() > 1;
        let needs =
            side == Side::Primary && self.found_rows.is_needed_before(statement) && !is_repeated;
        self.found_rows.note_question(statement);
        if !(asks || needs) || self.state.diagnostics.has_found_rows(side) {
            return Ok(());
        }
        let number = match self.state.diagnostics.found() {
            FoundRows::Known(number) => Some(number),
            FoundRows::Untold => self.ask_found_rows().await,
        };
        let Some(number) = number.filter(|number| *number <= MAX_CARRIED) else { return Ok(()) };
        self.state.diagnostics.set_found(side, FoundRows::Known(number));
        let (last, row_count) = (self.state.last_side(), self.state.diagnostics.row_count());
        let row_count = (last == side).then_some(row_count);
        let conditions = self.state.diagnostics.conditions();
        let Some(held) = self.servers.get(side) else { return Ok(()) };
        // Tables make MariaDB forget the conditions.
        let is_one = row_count == Some(1) && number > 0 && !conditions.held;
        let sql = if is_one { one_row_of(number) } else { rows_of(number) };
        match held.guard.run(sql.as_bytes()).await {
            // A limit of the session's own forbids it, say.
            Ok(()) | Err(backend::Error::Server(_)) => {}
            Err(error) => return Err(error),
        }
        if row_count == Some(0) {
            held.guard.ping().await?;
        }
        Ok(())
    }

    /// Asks the connection that has the number.
    async fn ask_found_rows(&mut self) -> Option<u64> {
        let held = self.servers.get(self.state.diagnostics.found_on())?;
        if !held.is_usable() {
            return None;
        }
        let deadline = Instant::now() + ANSWER_TIME;
        let rows = held.guard.query_rows("SELECT FOUND_ROWS()", deadline).await.ok()?;
        let value = rows.into_iter().flatten().next().flatten()?;
        std::str::from_utf8(&value).ok()?.parse().ok()
    }
}

/// A query after which FOUND_ROWS() is this number. One without tables, for a few rows, leaves MariaDB's
/// warnings as they are. Rows that an OFFSET passes over are counted.
pub(super) fn rows_of(number: u64) -> String {
    let Some(before) = number.checked_sub(1) else {
        return "SELECT 1 LIMIT 0".to_owned();
    };
    if number <= WITHOUT_TABLES {
        return (0..number).map(|_| "SELECT 1").collect::<Vec<_>>().join(" UNION ALL ");
    }
    format!("SELECT 1 FROM {} LIMIT {before}, 1", table_of(number))
}

/// As [`rows_of`], for 1 and more; ROW_COUNT() is 1 afterwards. The variable is lagwise's.
fn one_row_of(number: u64) -> String {
    let before = number.saturating_sub(1);
    format!("SELECT 1 INTO @`lagwise` FROM {} LIMIT {before}, 1", table_of(number))
}

/// A table of so many rows or more.
fn table_of(number: u64) -> String {
    let mut from = String::new();
    let (mut rows, mut index) = (1, 0);
    while rows < number || index == 0 {
        let comma = if index == 0 { "" } else { ", " };
        let ten = ["SELECT 1"; 10].join(" UNION ALL ");
        from.push_str(&format!("{comma}({ten}) t{index}"));
        (rows, index) = (rows * 10, index + 1);
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexMode, classify};

    #[test]
    fn which_statements_set_the_number() {
        #[track_caller]
        fn check(sql: &str, on_mysql: bool, on_mariadb: bool) {
            for (make, want) in [(Make::MySql, on_mysql), (Make::MariaDb, on_mariadb)] {
                let mode = LexMode { make, ..LexMode::default() };
                let statement = classify(sql.as_bytes(), &mode);
                let got = sets_found_rows(&statement, Some(sql.as_bytes()), make);
                assert_eq!(got, want, "{make:?} {sql}");
            }
        }
        for sql in ["SELECT 1", "SHOW TABLES", "SHOW STATUS", "DESCRIBE t", "CALL p()"] {
            check(sql, true, true);
        }
        for sql in [
            "SET a = 1",
            "BEGIN",
            "USE x",
            "SHOW CREATE TABLE t",
            "DROP TABLE t",
            "HANDLER t READ FIRST",
        ] {
            check(sql, false, false);
        }
        check("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1", false, false);
        check("INSERT INTO t SELECT * FROM u", true, true);
        check("UPDATE t SET a = 1", true, false);
        check("DELETE FROM t WHERE a = 1", false, false);
        check("DELETE t FROM t JOIN u", true, true);
        check("DO 0", true, false);
        check("CREATE TABLE t SELECT 1", false, true);
        check("SELECT 1; SET @a = 1", true, true);
    }

    #[test]
    fn before_which_statements_the_number_is_needed() {
        #[track_caller]
        fn check(before: &[&str], sql: &str, want: bool) {
            let mut usage = FoundRowsUse::default();
            let classify = |sql: &str| classify(sql.as_bytes(), &LexMode::default());
            for sql in before {
                usage.note_question(&classify(sql));
                usage.note_query(&classify(sql));
            }
            assert_eq!(usage.is_needed_before(&classify(sql)), want, "{before:?} {sql}");
        }
        let (insert, call) = ("INSERT INTO t VALUES (1)", "CALL p()");
        check(&["SELECT a FROM t"], insert, false);
        check(&["SELECT a FROM t"], call, false);
        check(&["SELECT FOUND_ROWS()"], insert, false);
        check(&["SELECT FOUND_ROWS()", "SELECT a FROM t"], call, true);
        check(&["SELECT FOUND_ROWS()"], "SELECT 1; SELECT 2", true);
        check(&["SELECT FOUND_ROWS(), ROW_COUNT()", "SELECT a FROM t"], insert, true);
        check(&["SELECT SQL_CALC_FOUND_ROWS a FROM t"], insert, true);
        check(&["SELECT SQL_CALC_FOUND_ROWS a FROM t"], "LOAD DATA INFILE 'x' INTO TABLE t", true);
        check(&["SELECT SQL_CALC_FOUND_ROWS a FROM t"], "SET @a = 1", false);
        check(&["SELECT SQL_CALC_FOUND_ROWS a FROM t", "SELECT FOUND_ROWS()"], insert, false);
    }

    #[test]
    fn a_query_of_so_many_rows() {
        assert!(rows_of(0).ends_with("LIMIT 0"));
        assert_eq!(rows_of(1), "SELECT 1");
        assert_eq!(rows_of(2), "SELECT 1 UNION ALL SELECT 1");
        assert!(rows_of(51).ends_with(") t1 LIMIT 50, 1"));
        assert!(rows_of(101).ends_with(") t2 LIMIT 100, 1"));
        assert!(rows_of(MAX_CARRIED).ends_with(") t5 LIMIT 999999, 1"));
        assert!(one_row_of(1).starts_with("SELECT 1 INTO @`lagwise` FROM (SELECT 1 UNION"));
        assert!(one_row_of(1).ends_with(") t0 LIMIT 0, 1"));
        assert!(one_row_of(11).ends_with(") t1 LIMIT 10, 1"));
    }
}
