//! What the router is told: plain copies, never a session, a pool or a configuration file.

use std::sync::Arc;

use super::rules::Rules;
use crate::sql::FunctionSet;

/// Where the session's open transaction lives, by the status flags of the server that runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transaction {
    /// None is open.
    #[default]
    None,
    /// On the primary.
    OnPrimary,
    /// A READ ONLY transaction on a replica.
    OnReplica,
}

/// The side whose connection ran the session's last statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The primary, or no statement ran yet.
    #[default]
    Primary,
    /// A replica.
    Replica,
}

/// Why a session must not read from a replica that may lack its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinCause {
    /// It wrote.
    Write,
    /// A write failed; part of it may have happened.
    FailedWrite,
    /// The reply to a write was lost.
    LostWrite,
    /// It committed a transaction.
    Commit,
    /// It called a procedure.
    Call,
    /// It ran something that was not understood, or that names an unknown function.
    Unknown,
    /// A replica lacked something that the primary has shown it since.
    Behind,
    /// It has read a newer state than any replica is known to have.
    Seen,
    /// Others wrote whom it must agree with, by the configured scope.
    Others,
}

impl PinCause {
    /// All causes, in their order.
    pub const ALL: &'static [PinCause] = &[
        PinCause::Write,
        PinCause::FailedWrite,
        PinCause::LostWrite,
        PinCause::Commit,
        PinCause::Call,
        PinCause::Unknown,
        PinCause::Behind,
        PinCause::Seen,
        PinCause::Others,
    ];

    /// Names for metrics, in the order of the causes.
    pub const NAMES: &'static [&'static str] = &[
        "write",
        "failed_write",
        "lost_write",
        "commit",
        "call",
        "unknown",
        "behind",
        "seen",
        "others",
    ];
}

/// State that lives on one connection and cannot be brought to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// A temporary table.
    TemporaryTable,
    /// A lock taken by GET_LOCK(), FLUSH TABLES … WITH READ LOCK or BACKUP.
    UserLock,
    /// LOCK TABLES.
    LockTables,
    /// User variables were assigned.
    UserVariable,
    /// A statement of PREPARE that asks about the statement before it.
    TextPrepare,
    /// An open HANDLER.
    Handler,
    /// An open cursor, or long data sent for a statement.
    Cursor,
    /// SET TRANSACTION for the next transaction.
    OneShotTransaction,
    /// An XA transaction.
    Xa,
    /// Session state that no tracker describes: gtid_next, a role, a resource group.
    Unreplayable,
    /// The session changed the trackers, or they reported something that is not understood.
    UnknownState,
}

/// Whether a schema describes the one server that has it, so that reads in it are no reads of data.
pub fn is_server_schema(schema: &[u8]) -> bool {
    let server: [&[u8]; 4] = [b"mysql", b"sys", b"performance_schema", b"information_schema"];
    server.iter().any(|name| schema.eq_ignore_ascii_case(name))
}

/// What the rule that matches a statement says about it; nothing without a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSays {
    /// Where it goes if it is a read.
    pub target: Option<Side>,
    /// It is refused if it may write.
    pub read_only: bool,
}

/// A session that a rule keeps on a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The replica is known to refuse writes by itself: `read_only` is on there.
    pub server_read_only: bool,
}

/// What the session knows of itself before a statement runs.
#[derive(Clone, Copy, Debug)]
pub struct SessionFacts {
    /// Where the open transaction lives.
    pub transaction: Transaction,
    /// The AUTOCOMMIT status flag.
    pub autocommit: bool,
    /// Set after a write, until the configured end of the pin; `None` when a replica may serve, be it
    /// that no write happened or that an eligible replica has it.
    pub pin: Option<PinCause>,
    /// Set while the primary's connection holds state that cannot move.
    pub hold: Option<HoldReason>,
    /// Where the last statement ran that was not itself about the statement before.
    pub last_on: Side,
    /// Where FOUND_ROWS() was set last.
    pub found_on: Side,
    /// There are warnings or errors to ask about.
    pub last_warned: bool,
    /// Where these are: with MariaDB not always where the last statement ran.
    pub conditions_on: Side,
    /// They are on the primary, and the statement, which may have no table, would leave them.
    pub stays_with_conditions: bool,
    /// The current schema is mysql, sys, performance_schema or information_schema.
    pub in_server_schema: bool,
    /// The READ ONLY transaction on a replica has a counterpart on the primary, where what a replica
    /// cannot answer runs.
    pub has_twin: bool,
    /// The primary's connection has user variables, an insert id, or statements of PREPARE.
    pub carries: bool,
    /// What the operator's rules say about this statement.
    pub rule: RuleSays,
    /// Set for a session that lives on a replica and never comes near the primary.
    pub kept: Option<Kept>,
    /// A replica has refused to run a function that the statement calls.
    pub refused_function: bool,
}

impl Default for SessionFacts {
    /// A session that has just logged in.
    fn default() -> Self {
        SessionFacts {
            transaction: Transaction::None,
            autocommit: true,
            pin: None,
            hold: None,
            last_on: Side::Primary,
            found_on: Side::Primary,
            last_warned: false,
            conditions_on: Side::Primary,
            stays_with_conditions: false,
            in_server_schema: false,
            rule: RuleSays::default(),
            kept: None,
            refused_function: false,
            has_twin: false,
            carries: false,
        }
    }
}

/// What the configuration says about routing.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Leading comments `/* lagwise: … */` are obeyed.
    pub hints: bool,
    /// Functions that are not built in and that the operator knows to read only.
    pub read_only_functions: Arc<FunctionSet>,
    /// Try functions that are not built in on a replica until one of them is refused there.
    pub try_unknown_functions: bool,
    /// Every connection of a session has the same value of the well-known session variables, also of
    /// those that the session never set; only then `SELECT @@sql_mode` may run on a replica.
    pub variables_synced: bool,
    /// What the operator settled.
    pub rules: Arc<Rules>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            hints: true,
            read_only_functions: Arc::default(),
            try_unknown_functions: false,
            variables_synced: false,
            rules: Arc::default(),
        }
    }
}
