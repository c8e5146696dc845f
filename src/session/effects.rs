//! What a statement leaves on its connection that no server reports, judged by what it is. Pure.

use crate::sql::{Flags, Statement, StatementKind};

/// Statements that leave something on the connection besides what trackers report.
pub fn leaves_something(statement: &Statement) -> bool {
    statement.flags.intersects(Flags::ASSIGNS_USER_VARIABLE | Flags::SETS_USER_VARIABLE)
        || matches!(
            statement.kind,
            StatementKind::TextPrepare | StatementKind::Handler | StatementKind::GetDiagnostics
        )
        || runs_unseen(statement)
}

/// Statements after which LAST_INSERT_ID() may be another though their OK packet names none.
pub fn may_set_insert_id(statement: &Statement) -> bool {
    let may = Flags::SETS_INSERT_ID | Flags::MULTI | Flags::AMBIGUOUS;
    statement.flags.intersects(may) || statement.kind == StatementKind::Do || runs_unseen(statement)
}

/// Statements that only look at what the one before has left: SHOW WARNINGS and kin.
pub fn only_looks(statement: &Statement) -> bool {
    matches!(statement.kind, StatementKind::ShowDiagnostics | StatementKind::GetDiagnostics)
}

/// Statements that ask for the warnings, errors or ROW_COUNT() of the one before.
pub fn asks_about_last(statement: &Statement) -> bool {
    only_looks(statement) || statement.flags.intersects(Flags::ABOUT_LAST)
}

/// ER_PARSE_ERROR
const PARSE_ERROR: u16 = 1064;

/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
const READ_ONLY_TRANSACTION: u16 = 1792;

/// Errors that say that nothing of a statement was run. Of several statements in one text, those
/// before the wrong one were.
pub fn was_not_run(statement: &Statement, code: u16) -> bool {
    matches!(code, PARSE_ERROR | READ_ONLY_TRANSACTION)
        && !statement.flags.intersects(Flags::MULTI | Flags::STORED_PROGRAM)
        && !runs_elsewhere(statement.kind)
}

/// Statements that run others, whose errors are reported as theirs.
fn runs_elsewhere(kind: StatementKind) -> bool {
    matches!(kind, StatementKind::Call | StatementKind::TextExecute)
}

/// Statements whose effects on the session are not in their text.
pub fn runs_unseen(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        StatementKind::Call | StatementKind::TextExecute | StatementKind::Unknown
    ) || statement.flags.intersects(Flags::UNKNOWN_FUNCTION | Flags::STORED_PROGRAM)
}
