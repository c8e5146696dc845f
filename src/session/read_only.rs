//! READ ONLY transactions on a replica, and what in them belongs to the primary.
//!
//! What a replica answers as the primary would runs on the replica, in one snapshot. Everything else
//! runs on the primary's connection, inside a READ ONLY transaction that is begun there first: so the
//! server itself refuses writes with 1792, commits implicitly, sets the status flags, and keeps
//! variables and locks where the session will look for them.
//!
//! The two transactions do not have one snapshot. A statement that reads tables on the primary
//! therefore takes the rest of the transaction there: what is read never goes back in time. It is
//! begun on the primary from the start if the session has left something there that it may ask for.

use std::time::Instant;

use super::Session;
use super::job::Job;
use super::tracking::find;
use crate::backend;
use crate::protocol::response::ResponseKind;
use crate::route::{Side, Transaction};
use crate::sql::{Flags, Make, Statement, StatementKind};

impl Session {
    /// Before a statement that asks about the one before: makes the connection look as if it had run
    /// that, and what came since. A read on a replica is followed on the primary only by what asks for
    /// something else besides that the primary alone has.
    ///
    /// # Errors
    /// The connection breaks.
    pub(super) async fn follow_read(
        &mut self,
        side: Side,
        statement: &Statement,
    ) -> Result<(), backend::Error> {
        let is_get = statement.kind == StatementKind::GetDiagnostics;
        // MySQL's OK to a CALL that changes nothing repeats the row count of the statement before.
        let repeats = statement.kind == StatementKind::Call;
        let counts = statement.flags.contains(Flags::CONDITION_COUNT);
        let rows = statement.flags.contains(Flags::ROW_COUNT_FUNCTION) || is_get || repeats;
        let shows = statement.kind == StatementKind::ShowDiagnostics || counts && !rows;
        // What it may look at, only the server knows.
        let runs_unseen = repeats || statement.kind == StatementKind::TextExecute;
        let may_look = shows || is_get || counts || runs_unseen;
        if side == Side::Primary && may_look && self.state.diagnostics.are_stale() {
            self.forget_stale().await?;
        }
        if !rows && !shows {
            return Ok(());
        }
        let (last, conditions) = (self.state.last_side(), self.state.diagnostics.conditions());
        let Some(held) = self.servers.get(side) else { return Ok(()) };
        // What ran last on the primary itself has set its ROW_COUNT().
        let follows = if shows { conditions.on } else { last };
        if side == Side::Primary && follows == Side::Replica {
            // MariaDB keeps earlier warnings at a SELECT without a table.
            let forgets = conditions.on == Side::Replica;
            let as_if: &[u8] = if forgets { b"SELECT 1 FROM (SELECT 1) t" } else { b"SELECT 1" };
            held.guard.run(as_if).await?;
        }
        let Some(held) = self.servers.get(side) else { return Ok(()) };
        // Where there are conditions, the connection is the one that has them.
        let there = conditions.held && conditions.on == side;
        if !there && let Some(count) = self.state.diagnostics.row_count_to_bring(side) {
            // Another session's last statement may have left warnings here.
            held.guard.run(b"SELECT 1 FROM (SELECT 1) t").await?;
            match count {
                1 => held.guard.run(b"SELECT 1 INTO @lagwise").await?,
                -1 => {}
                _ => drop(held.guard.ping().await?),
            }
            self.state.diagnostics.brought_row_count();
        }
        // The conditions are on the replica, and ROW_COUNT() is that of a SET, say, on the primary.
        let is_apart = side == Side::Replica && is_get && last == Side::Primary;
        let resets = is_apart && self.state.diagnostics.row_count() == 0;
        // The servers' own way to make ROW_COUNT() 0.
        if !shows && self.state.diagnostics.take_aside() || resets {
            held.guard.ping().await?;
        }
        Ok(())
    }

    /// MariaDB: the primary's connection forgets what a statement on the replica has ended. (MySQL forgets
    /// at each statement.)
    async fn forget_stale(&mut self) -> Result<(), backend::Error> {
        if self.state.lex_mode().make == Make::MariaDb
            && let Some(held) = self.servers.get(Side::Primary)
        {
            held.guard.forget_conditions().await?;
        }
        self.state.diagnostics.forgot();
        Ok(())
    }

    /// Before a statement of a READ ONLY transaction on a replica runs on the primary: begins one
    /// there, and ends the replica's if the statement takes the transaction along.
    ///
    /// # Errors
    /// The primary's connection breaks.
    pub(super) async fn enter_transaction(
        &mut self,
        side: Side,
        job: &Job<'_>,
    ) -> Result<(), backend::Error> {
        if side == Side::Replica || self.state.transaction() != Transaction::OnReplica {
            return Ok(());
        }
        if !self.state.has_twin()
            && let Some(held) = self.servers.get(Side::Primary)
        {
            held.guard.run(b"START TRANSACTION READ ONLY").await?;
        }
        let text = self.judged_text(job);
        let stays =
            job.kind == ResponseKind::Prepare || reads_no_tables(&job.statement, text.as_deref());
        let goes_on = self.servers.replica_member().is_some();
        if stays && goes_on && self.state.hold().is_none() {
            self.state.set_twin();
        } else {
            self.servers.drop_side(Side::Replica, &self.handle);
            self.state.move_to_primary();
        }
        Ok(())
    }

    /// After an error on the primary: a statement that commits implicitly may have done so before it
    /// failed, and only the status flags of another response tell. COM_PING has some, and changes
    /// nothing.
    pub(super) async fn ask_for_status(&mut self, statement: &Statement) {
        if !self.state.has_twin() || !statement.commits_implicitly() {
            return;
        }
        let Some(held) = self.servers.get(Side::Primary) else { return };
        if let Ok(status) = held.guard.ping().await {
            self.state.observe_status(Side::Primary, status, Instant::now());
        }
    }

    /// After a statement on `side`, or a failure there, that has ended a READ ONLY transaction: ends the
    /// other half of it.
    pub(super) async fn leave_replica(&mut self, side: Side, before: Transaction) {
        if before != Transaction::OnReplica || self.state.transaction() == before {
            return;
        }
        if side == Side::Primary {
            self.servers.drop_side(Side::Replica, &self.handle);
        }
        if self.state.take_twin()
            && let Some(held) = self.servers.get(Side::Primary)
            && held.guard.run(b"ROLLBACK").await.is_err()
        {
            self.servers.drop_side(Side::Primary, &self.handle);
            self.forget_primary();
        }
    }
}

/// Whether a statement reads no rows of tables in a READ ONLY transaction, and does not begin or end
/// it on purpose. Writes are refused there, and DDL that ends it does so by the status that follows.
///
/// A query without the words FROM and TABLE reads none. That they may stand in a literal does no
/// harm: such a transaction goes on on the primary.
pub(super) fn reads_no_tables(statement: &Statement, text: Option<&[u8]>) -> bool {
    use StatementKind::*;
    let unclear = Flags::MULTI | Flags::AMBIGUOUS | Flags::STORED_PROGRAM;
    if statement.flags.intersects(unclear) {
        return false;
    }
    match statement.kind {
        Read | LockingRead | Set | Do | GetDiagnostics => {
            let calls = Flags::UNKNOWN_FUNCTION | Flags::SEQUENCE;
            !statement.flags.intersects(calls)
                && text.is_some_and(|text| {
                    find(text, b"from").is_none() && find(text, b"table").is_none()
                })
        }
        Empty
        | ShowServer
        | ShowDiagnostics
        | ExplainWrite
        | ExplainConnection
        | Explain
        | Describe
        | SetTransaction
        | Use
        | Savepoint
        | TextPrepare
        | TextDeallocate
        | Kill
        | Write
        | LoadData { .. }
        | Ddl
        | Account
        | Admin => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexMode, classify};

    #[test]
    fn what_takes_the_transaction_to_the_primary() {
        let check = |sql: &str, want| {
            let statement = classify(sql.as_bytes(), &LexMode::default());
            let text = Some(sql.as_bytes());
            assert_eq!(reads_no_tables(&statement, text), want, "{sql}");
        };
        for sql in [
            "SELECT @a, LAST_INSERT_ID(), GET_LOCK('x', 1)",
            "SET @a = 1, sql_mode = ''",
            "USE shop",
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "PREPARE s FROM 'SELECT 1'",
            "INSERT INTO t SELECT * FROM t",
            "DROP TABLE t",
            "SHOW STATUS",
            "",
        ] {
            check(sql, true);
        }
        for sql in [
            "SELECT a INTO @a FROM t",
            "SELECT @a IN (TABLE t)",
            "SET @a = (SELECT COUNT(*) FROM t)",
            "DO f(1)",
            "CALL p()",
            "EXECUTE s",
            "SELECT 1; SELECT @a",
            "COMMIT",
            "BEGIN",
            "HANDLER t READ FIRST",
        ] {
            check(sql, false);
        }
    }
}
