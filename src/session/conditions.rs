//! MariaDB keeps warnings and errors at statements without a table, which need not run where they are.
//!
//! So SHOW WARNINGS may be about a statement long before the last one, on another connection; a read
//! that may keep the primary's conditions runs there, too.
//!
//! Deliberately absent: a CALL, or an unknown function, on another connection than the conditions are
//! on. Whether its body uses tables is not known; it is taken to. Pure but for what it asks the session.

use super::Session;
use super::diagnostics::Conditions;
use super::job::Job;
use super::relay::Relayed;
use super::tracking::find;
use crate::protocol::response::ResponseKind;
use crate::route::Side;
use crate::sql::{Flags, Make, Statement, StatementKind};

/// Whether MariaDB leaves conditions as they are at a statement that has none of its own. Each kind was
/// tried on MariaDB 10.11. Without a text, or where it is unclear, it does not.
fn keeps_conditions(statement: &Statement, text: Option<&[u8]>) -> bool {
    use StatementKind::*;
    let unclear = Flags::MULTI | Flags::AMBIGUOUS | Flags::UNKNOWN_FUNCTION | Flags::SEQUENCE;
    let Some(text) = text.filter(|_| !statement.flags.intersects(unclear)) else { return false };
    let has = |word: &[u8]| find(text, word).is_some();
    let has_table = || has(b"from") || has(b"table");
    match statement.kind {
        Begin { .. }
        | Commit
        | Rollback
        | Savepoint
        | SetTransaction
        | Use
        | TextDeallocate
        | UnlockTables
        | Account
        | Help
        | Xa => true,
        Read | LockingRead | Explain | Set | Do => !has_table(),
        // What is prepared has tables, or not; its own FROM comes before a string.
        TextPrepare => find(text, b"from").is_some_and(|at| {
            let rest = text.get(at + 4..).unwrap_or_default();
            find(rest, b"from").is_none() && find(rest, b"table").is_none()
        }),
        Ddl => {
            let objects: [&[u8]; 4] = [b"database", b"schema", b"procedure", b"function"];
            !has_table() && objects.into_iter().any(has)
        }
        Show | ShowServer => {
            let plain: [&[u8]; 8] = [
                b"create database",
                b"create schema",
                b"create procedure",
                b"create function",
                b"processlist",
                b"grants",
                b"privileges",
                b"binary logs",
            ];
            plain.into_iter().any(has)
        }
        // It may be FLUSH TABLES, which keeps them, as well as OPTIMIZE TABLE.
        Admin => !has_table(),
        _ => false,
    }
}

/// Whether a query may keep the conditions: it has no table that can be seen.
fn may_keep(statement: &Statement, text: &[u8]) -> bool {
    let in_dual = || find(text, b"dual").is_some();
    let calls = statement.flags.intersects(Flags::UNKNOWN_FUNCTION);
    keeps_conditions(statement, Some(text)) || in_dual() || calls
}

impl Session {
    /// Whether a query must run on the primary because the conditions are there, and it may leave them.
    pub(super) fn stays_with_conditions(&self, job: &Job<'_>) -> bool {
        let Conditions { on, held } = self.state.diagnostics.conditions();
        held && on == Side::Primary
            && self.state.lex_mode().make == Make::MariaDb
            && job.statement.is_query()
            && self.judged_text(job).is_some_and(|text| may_keep(&job.statement, &text))
    }

    /// A statement has ended on `side`; before it, the conditions were these.
    pub(super) fn note_conditions(
        &mut self,
        side: Side,
        job: &Job<'_>,
        relayed: &Relayed,
        before: Conditions,
    ) {
        let elsewhere = before.on != side || self.state.diagnostics.conditions().on != before.on;
        let is_mariadb = self.state.lex_mode().make == Make::MariaDb;
        if !is_mariadb || relayed.error_code.is_some() || !(elsewhere || before.held) {
            return;
        }
        let text = self.judged_text(job);
        let keeps = keeps_conditions(&job.statement, text.as_deref());
        // On the connection that has them only the server knows, and is asked there later.
        let is_there = before.held && before.on == side;
        let may_keep = is_there && text.is_some_and(|text| may_keep(&job.statement, &text));
        let keeps = keeps || job.kind == ResponseKind::Results && may_keep;
        match (job.kind, keeps) {
            (ResponseKind::Results, true) => self.state.diagnostics.keep_conditions(before),
            (ResponseKind::Prepare, keeps) => {
                let warnings = relayed.prepare_ok.map_or(0, |ok| ok.warnings);
                if !keeps || warnings > 0 {
                    self.state.diagnostics.forget_conditions(side, warnings);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexMode, classify};

    #[test]
    fn what_keeps_conditions() {
        #[track_caller]
        fn check(sql: &str, want: bool) {
            let mode = LexMode { make: Make::MariaDb, ..LexMode::default() };
            let statement = classify(sql.as_bytes(), &mode);
            assert_eq!(keeps_conditions(&statement, Some(sql.as_bytes())), want, "{sql}");
        }
        for sql in [
            "SELECT 1",
            "VALUES (1)",
            "SELECT 1 UNION SELECT 2",
            "SELECT 1 INTO @x",
            "DO 1",
            "SET @a = 1",
            "SET SESSION autocommit = ON",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "START TRANSACTION",
            "COMMIT",
            "ROLLBACK TO s",
            "USE d",
            "CREATE DATABASE d",
            "DROP PROCEDURE p",
            "CREATE USER x",
            "SHOW CREATE DATABASE d",
            "SHOW GRANTS",
            "EXPLAIN SELECT 1",
            "PREPARE q FROM 'SELECT 1'",
            "DEALLOCATE PREPARE q",
            "UNLOCK TABLES",
            "XA END 'a'",
            "SET STATEMENT max_statement_time = 10 FOR SELECT 1",
        ] {
            check(sql, true);
        }
        for sql in [
            "SELECT * FROM t",
            "SELECT f()",
            "TABLE t",
            "SET @a = (SELECT a FROM t)",
            "UPDATE t SET a = 1",
            "DROP TABLE t",
            "CALL p()",
            "CHECKSUM TABLE t",
            "SHOW TABLES",
            "DESCRIBE t",
            "PREPARE q FROM 'SELECT * FROM t'",
            "LOCK TABLES t READ",
            "HANDLER t READ FIRST",
            "SELECT 1; SELECT 2",
        ] {
            check(sql, false);
        }
    }
}
