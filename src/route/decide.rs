//! Where a statement runs.
//!
//! The order of the questions is the order of the promises: what already ties the session to a
//! connection, then what the statement is, then what it uses, then what the session must see, and
//! only then a replica.

use super::facts::{Policy, SessionFacts, Side, Transaction};
use super::reason::Reason;
use crate::sql::{Flags, HintTarget, Statement, StatementKind};

/// Where a statement is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The primary.
    Primary,
    /// Any eligible replica; the one that holds the READ ONLY transaction if there is one.
    Replica,
    /// The replica's connection that ran the statement that is asked about.
    Last,
    /// No server: lagwise refuses it.
    Nowhere,
}

impl Target {
    /// Name for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Target::Primary => "primary",
            Target::Replica => "replica",
            Target::Last => "last",
            Target::Nowhere => "none",
        }
    }
}

/// A decision and its reason, one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub target: Target,
    /// Why.
    pub reason: Reason,
}

const fn primary(reason: Reason) -> Route {
    Route { target: Target::Primary, reason }
}

const fn replica(reason: Reason) -> Route {
    Route { target: Target::Replica, reason }
}

/// Decides where `statement` runs in a session of which `facts` hold.
///
/// Whether a replica is eligible is not asked here: with none, the caller takes the primary.
pub fn decide(statement: &Statement, facts: &SessionFacts, policy: &Policy) -> Route {
    if let Some(route) = by_read_only(statement, facts, policy) {
        return route;
    }
    if let Some(route) = by_kept_conditions(statement, facts) {
        return route;
    }
    if let Some(route) = by_transaction(statement, facts) {
        return route;
    }
    if let Some(route) = by_diagnostics(statement, facts) {
        return route;
    }
    let in_transaction = facts.transaction == Transaction::OnReplica;
    let hint = statement.hint.filter(|_| policy.hints).and_then(|hint| hint.target);
    if hint == Some(HintTarget::Primary) {
        return primary(Reason::Hint);
    }
    if facts.rule.target == Some(Side::Primary) {
        return primary(Reason::Rule);
    }
    if let Some(reason) = by_kind(statement) {
        let commits = in_transaction && statement.commits_implicitly();
        return primary(if commits { Reason::ImplicitCommit } else { reason });
    }
    if let Some(hold) = facts.hold {
        return primary(hold.into());
    }
    if matches!(statement.kind, StatementKind::Begin { .. }) {
        // `by_kind` let through only START TRANSACTION READ ONLY.
        return match facts.pin {
            Some(cause) => primary(cause.into()),
            None if facts.carries => primary(Reason::CarriedState),
            None => replica(Reason::ReadOnlyTransactionStart),
        };
    }
    let hinted = hint == Some(HintTarget::Replica);
    let asked = hinted || facts.rule.target == Some(Side::Replica);
    let tried = match by_use(statement, facts, policy, asked) {
        Ok(tried) => tried,
        Err(reason) => return primary(reason),
    };
    if facts.stays_with_conditions {
        return primary(Reason::Diagnostics);
    }
    if in_transaction {
        return replica(Reason::ReadOnlyTransaction);
    }
    if let Some(cause) = facts.pin {
        return primary(cause.into());
    }
    replica(match (hinted, asked, tried) {
        (true, ..) => Reason::HintReplica,
        (_, true, _) => Reason::RuleReplica,
        (_, _, true) => Reason::TriedFunction,
        _ => Reason::Read,
    })
}

/// What a rule says that lets the session only read: refused is what may write, and a session that is
/// kept on a replica runs everything else there.
fn by_read_only(statement: &Statement, facts: &SessionFacts, policy: &Policy) -> Option<Route> {
    if !facts.rule.read_only && facts.kept.is_none() {
        return None;
    }
    if is_refused(&statement.knowing(&policy.read_only_functions), facts) {
        return Some(Route { target: Target::Nowhere, reason: Reason::ReadOnlyRule });
    }
    facts.kept.map(|_| replica(Reason::ReadOnlySession))
}

/// What is not known to be harmless. Temporary tables are written to like others, and what was not
/// understood may be anything: only the server can tell, and only one that refuses writes by itself
/// is asked.
fn is_refused(statement: &Statement, facts: &SessionFacts) -> bool {
    if statement.flags.contains(Flags::SETS_GLOBAL) {
        return true;
    }
    if !statement.may_write() {
        return false;
    }
    let server_refuses = facts.kept.is_some_and(|kept| kept.server_read_only);
    if !server_refuses || statement.flags.intersects(Flags::AMBIGUOUS | Flags::SEQUENCE) {
        return true;
    }
    let temporary = statement.flags.contains(Flags::TEMPORARY) || facts.hold.is_some();
    match statement.kind {
        // What was prepared is known to the server alone.
        StatementKind::TextExecute => false,
        // Most likely a slip of the pen: the server says where.
        StatementKind::Unknown => statement.flags.contains(Flags::STORED_PROGRAM),
        StatementKind::Write | StatementKind::Ddl => !temporary,
        _ => true,
    }
}

/// A transaction does not make MariaDB forget the conditions of a read before it, which are where that
/// ran.
fn by_kept_conditions(statement: &Statement, facts: &SessionFacts) -> Option<Route> {
    let is_kept = facts.conditions_on == Side::Replica && facts.last_warned;
    let on_primary = facts.transaction == Transaction::OnPrimary || !facts.autocommit;
    let asks = statement.flags.contains(Flags::CONDITION_COUNT)
        || matches!(statement.kind, StatementKind::ShowDiagnostics | StatementKind::GetDiagnostics);
    if !(is_kept && on_primary && asks) {
        return None;
    }
    by_diagnostics(statement, facts)
}

fn by_transaction(statement: &Statement, facts: &SessionFacts) -> Option<Route> {
    match facts.transaction {
        Transaction::OnPrimary => Some(primary(Reason::Transaction)),
        Transaction::OnReplica => end_of_read_only_transaction(statement, facts),
        Transaction::None if !facts.autocommit => Some(primary(Reason::AutocommitOff)),
        Transaction::None => None,
    }
}

/// A READ ONLY transaction on a replica ends, or is followed by another, where all of it is: there, or
/// on the primary if a part of it ran there.
fn end_of_read_only_transaction(statement: &Statement, facts: &SessionFacts) -> Option<Route> {
    let ends = matches!(
        statement.kind,
        StatementKind::Commit
            | StatementKind::Rollback
            | StatementKind::Begin { read_only: true, read_write: false, .. }
    );
    if !ends || statement.flags.contains(Flags::MULTI) {
        return None;
    }
    Some(match facts.has_twin {
        true => primary(Reason::TransactionEnd),
        false => replica(Reason::ReadOnlyTransaction),
    })
}

/// ROW_COUNT() and kin ask about the statement before, wherever that ran, SHOW WARNINGS and kin about its
/// conditions, which MariaDB keeps at some statements elsewhere, and FOUND_ROWS() about the last query. In
/// a text of several statements they ask about an earlier one of these.
fn by_diagnostics(statement: &Statement, facts: &SessionFacts) -> Option<Route> {
    let is_get = statement.kind == StatementKind::GetDiagnostics;
    let about_query = statement.flags.contains(Flags::FOUND_ROWS_FUNCTION);
    let about_last = statement.flags.intersects(Flags::ABOUT_LAST);
    let about_conditions = statement.flags.contains(Flags::CONDITION_COUNT);
    let about_rows = statement.flags.contains(Flags::ROW_COUNT_FUNCTION);
    let asks = match statement.kind {
        StatementKind::ShowDiagnostics | StatementKind::GetDiagnostics => true,
        // To prepare it there first would be the statement before.
        _ if about_last && statement.flags.contains(Flags::TEXT_PREPARED) => false,
        StatementKind::Read => {
            let asked = Flags::ABOUT_LAST | Flags::FOUND_ROWS_FUNCTION;
            (about_query || about_last)
                && !statement.flags.intersects(Flags::NOT_ON_REPLICA - asked)
        }
        _ => false,
    };
    if !asks || statement.flags.contains(Flags::MULTI) {
        return None;
    }
    let about = match statement.kind {
        StatementKind::ShowDiagnostics => facts.conditions_on,
        _ if is_get && facts.last_warned => facts.conditions_on,
        _ if about_conditions && !about_rows => facts.conditions_on,
        // The row count of a read can be had on the primary, and so can no conditions.
        _ if about_conditions && facts.conditions_on != facts.last_on => Side::Primary,
        _ if about_query && !about_last => facts.found_on,
        _ => facts.last_on,
    };
    let target = match about {
        Side::Primary => Target::Primary,
        // Of a read that went well there is nothing to ask that the primary could not say, where the
        // variables belong that it sets.
        Side::Replica if is_get && !facts.last_warned => Target::Primary,
        Side::Replica => Target::Last,
    };
    Some(Route { target, reason: Reason::Diagnostics })
}

/// Why a statement of this kind needs the primary; `None` for queries and for START TRANSACTION READ
/// ONLY.
fn by_kind(statement: &Statement) -> Option<Reason> {
    let flags = statement.flags;
    if flags.contains(Flags::AMBIGUOUS) {
        return Some(Reason::Ambiguous);
    }
    let multi = flags.contains(Flags::MULTI);
    let reason = match statement.kind {
        StatementKind::Read
        | StatementKind::Explain
        | StatementKind::Describe
        | StatementKind::Checksum
        | StatementKind::Help
        | StatementKind::Show => return None,
        StatementKind::Begin { read_only: true, read_write: false, .. } if !multi => return None,
        _ if multi && !statement.may_write() => Reason::Multi,
        StatementKind::Empty => Reason::Empty,
        StatementKind::LockingRead => Reason::LockingRead,
        StatementKind::ExplainWrite => Reason::ExplainWrite,
        StatementKind::ExplainConnection | StatementKind::ShowServer => Reason::ShowServer,
        StatementKind::ShowDiagnostics | StatementKind::GetDiagnostics => Reason::Diagnostics,
        StatementKind::Set | StatementKind::Use => Reason::SessionState,
        StatementKind::SetTransaction => Reason::TransactionCharacteristics,
        StatementKind::Begin { .. } => Reason::TransactionStart,
        StatementKind::Commit | StatementKind::Rollback | StatementKind::Savepoint => {
            Reason::TransactionEnd
        }
        StatementKind::Write => Reason::Write,
        StatementKind::LoadData { .. } => Reason::LoadData,
        StatementKind::Ddl => Reason::Ddl,
        StatementKind::Account => Reason::Account,
        StatementKind::Admin => Reason::Admin,
        StatementKind::Call => Reason::Call,
        StatementKind::Do => Reason::Do,
        StatementKind::Handler => Reason::Handler,
        StatementKind::TextPrepare | StatementKind::TextExecute | StatementKind::TextDeallocate => {
            Reason::TextPrepare
        }
        StatementKind::LockTables | StatementKind::UnlockTables => Reason::LockTables,
        StatementKind::Kill => Reason::Kill,
        StatementKind::Xa => Reason::Xa,
        StatementKind::Unknown => Reason::Unknown,
    };
    Some(reason)
}

/// Why a query needs the primary by what it uses, or whether it tries an unknown function.
///
/// A hint for a replica settles what differs from server to server, because the application asked for
/// another server's answer; never what lives on the primary's connection, locks, or may write.
fn by_use(
    statement: &Statement,
    facts: &SessionFacts,
    policy: &Policy,
    asked: bool,
) -> Result<bool, Reason> {
    const USES: &[(Flags, Reason, bool)] = &[
        (Flags::LOCKING, Reason::LockingRead, false),
        (Flags::INTO, Reason::Into, false),
        (Flags::USER_LOCK, Reason::UserLock, false),
        (Flags::SEQUENCE, Reason::Sequence, false),
        (Flags::USES_USER_VARIABLE, Reason::UserVariable, false),
        (Flags::ASSIGNS_USER_VARIABLE, Reason::UserVariable, false),
        (Flags::SESSION_FUNCTION, Reason::SessionFunction, false),
        (Flags::ABOUT_LAST, Reason::SessionFunction, false),
        (Flags::FOUND_ROWS_FUNCTION, Reason::SessionFunction, false),
        (Flags::SET_STATEMENT, Reason::SetStatement, false),
        (Flags::SERVER_FUNCTION, Reason::ServerFunction, true),
        (Flags::SERVER_VARIABLE, Reason::ServerVariable, true),
        (Flags::SERVER_SCHEMA, Reason::ServerSchema, true),
    ];
    // Most queries use nothing of these.
    let uses = statement.flags.intersects(Flags::NOT_ON_REPLICA);
    for &(flag, reason, settled) in USES.iter().filter(|_| uses) {
        if statement.flags.intersects(flag) && !(settled && asked) {
            return Err(reason);
        }
    }
    if facts.in_server_schema && !asked {
        return Err(Reason::ServerSchema);
    }
    let synced = policy.variables_synced || asked;
    if statement.flags.contains(Flags::SYNCED_VARIABLE) && !synced {
        return Err(Reason::SessionVariable);
    }
    by_functions(statement, facts, policy)
}

fn by_functions(
    statement: &Statement,
    facts: &SessionFacts,
    policy: &Policy,
) -> Result<bool, Reason> {
    if !statement.flags.contains(Flags::UNKNOWN_FUNCTION)
        || statement.calls_only(&policy.read_only_functions)
    {
        return Ok(false);
    }
    let too_many = statement.flags.contains(Flags::MORE_UNKNOWN_FUNCTIONS);
    if policy.try_unknown_functions && !facts.refused_function && !too_many {
        Ok(true)
    } else {
        Err(Reason::UnknownFunction)
    }
}
