//! Why a statement went where it went: one value for metrics, logs and `lagwise explain`.

use super::facts::{HoldReason, PinCause};

macro_rules! reasons {
    ($($variant:ident $name:literal $sentence:literal)*) => {
        /// Why a statement was routed as it was. Every decision has exactly one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $(#[doc = $sentence] $variant),* }

        impl Reason {
            /// All reasons, in the order of [`Reason::index`].
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The names of all reasons, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Name for metrics and logs, in snake case. Names are never changed, so that dashboards
            /// keep working.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name),* }
            }

            /// One sentence for a person.
            pub const fn explain(self) -> &'static str {
                match self { $(Reason::$variant => $sentence),* }
            }
        }
    };
}

reasons! {
    Read "read" "A read that any replica answers as the primary would."
    ReadOnlyTransactionStart "read_only_transaction_start"
        "START TRANSACTION READ ONLY runs on one replica, with everything up to its end."
    ReadOnlyTransaction "read_only_transaction"
        "The session is in a READ ONLY transaction on a replica and stays there until its end."
    Diagnostics "diagnostics"
        "It asks about the statement before, and goes to the server that ran that one."
    HintReplica "hint_replica" "A leading comment asked for a replica, and it is a read."
    RuleReplica "rule_replica" "A rule of the configuration asks for a replica, and it is a read."
    ReadOnlySession "read_only_session"
        "A rule of the configuration keeps the user's sessions on replicas, to read only."
    TriedFunction "tried_function"
        "It calls a function that is not built in and that no replica has refused to run so far."

    Transaction "transaction" "The session is in a transaction on the primary."
    ImplicitCommit "implicit_commit"
        "It would end the READ ONLY transaction on the replica, and is for the primary to judge."
    CarriedState "carried_state"
        "The transaction may ask for user variables, an insert id or statements on the primary."
    AutocommitOff "autocommit_off"
        "autocommit is off, so that every statement belongs to a transaction on the primary."
    TransactionStart "transaction_start" "It begins a transaction that may write."
    TransactionEnd "transaction_end" "It ends a transaction, or names a savepoint in one."
    TransactionCharacteristics "transaction_characteristics"
        "It sets the characteristics of transactions."
    Hint "hint" "A leading comment asked for the primary."
    Rule "rule" "A rule of the configuration sends it to the primary."

    ReadOnlyRule "read_only_rule"
        "It may write, and a rule of the configuration says read_only: no server is asked."
    NoReplicaForRule "no_replica_for_rule"
        "A rule of the configuration keeps the session on replicas, and none of these can serve."

    Write "write" "It writes."
    LoadData "load_data" "It loads a file into a table."
    Ddl "ddl" "It changes the schema."
    Account "account" "It changes accounts or privileges."
    Admin "admin" "It administers the server."
    Call "call" "It calls a procedure, which may do anything."
    Do "do" "DO is run for its side effects."
    Handler "handler" "HANDLER keeps a table open on its connection."
    Xa "xa" "It belongs to an XA transaction."
    LockTables "lock_tables" "It locks or unlocks tables."
    Kill "kill" "It names a connection of the primary."
    SessionState "session_state" "It changes the session's state."
    TextPrepare "text_prepare"
        "PREPARE and DEALLOCATE PREPARE, and EXECUTE of what is not known to be a read."
    Unknown "unknown" "It was not understood."
    Ambiguous "ambiguous" "The servers might read its text in more than one way."
    Empty "empty" "It holds no statement; the primary answers with its error."
    Multi "multi" "One of several statements in the text must run on the primary."

    LockingRead "locking_read" "The read locks rows."
    Into "into" "The result goes into a file or into variables."
    UserVariable "user_variable" "It uses user variables, which live on the primary's connection."
    UserLock "user_lock" "It uses user locks, which live on the primary."
    Sequence "sequence" "It uses a sequence."
    SessionFunction "session_function"
        "A function in it answers from the state of the primary's connection."
    ServerFunction "server_function" "A function in it answers otherwise on another server."
    UnknownFunction "unknown_function"
        "It calls a function that is not built in and not configured as read-only."
    SessionVariable "session_variable" "It reads a session variable that may differ on a replica."
    ServerVariable "server_variable" "It reads a variable of the server."
    ServerSchema "server_schema" "It reads tables that describe the one server that is asked."
    ShowServer "show_server" "Its answer differs from server to server."
    ExplainWrite "explain_write" "It explains a write."
    SetStatement "set_statement" "SET STATEMENT changes variables for the statement behind it."

    NoPrimary "no_primary"
        "It is for the primary, and for as long as primary_wait no server took it."
    NoReplica "no_replica" "It is a read, but no replica is eligible."
    LaggingReplica "lagging_replica"
        "No replica is within max_lag, and when_all_lag allows the least lagged."
    ReadRefused "read_refused"
        "It is a read that no replica can serve, and when_all_lag keeps it from the primary."
    SameConnection "same_connection"
        "It belongs to what runs on one connection: a cursor, long data, or a reset."

    PinnedWrite "pinned_write" "The session wrote, and no replica is known to have it yet."
    PinnedFailedWrite "pinned_failed_write" "A write of the session failed, perhaps not whole."
    PinnedLostWrite "pinned_lost_write" "The reply to a write of the session was lost."
    PinnedCommit "pinned_commit" "The session committed, and no replica is known to have it yet."
    PinnedCall "pinned_call" "The session called a procedure, and no replica is known to have it yet."
    PinnedUnknown "pinned_unknown" "The session ran something that may have written."
    PinnedBehind "pinned_behind"
        "A replica lacked what the primary has shown the session, and none is known to have it yet."
    PinnedSeen "pinned_seen"
        "The session has read a newer state than any replica is known to have yet."
    PinnedOthers "pinned_others"
        "Others wrote whom it must agree with by consistency.scope, and no replica is known to have it."

    HeldTemporaryTable "held_temporary_table" "The session has a temporary table on the primary."
    HeldUserLock "held_user_lock" "The session has a user lock on the primary."
    HeldLockTables "held_lock_tables" "The session has locked tables on the primary."
    HeldUserVariable "held_user_variable" "The session has user variables on the primary."
    HeldTextPrepare "held_text_prepare"
        "A statement of the session's PREPARE asks about the one before it, as ROW_COUNT() does."
    HeldHandler "held_handler" "The session has an open HANDLER on the primary."
    HeldCursor "held_cursor" "The session has an open cursor on the primary."
    HeldOneShotTransaction "held_one_shot_transaction"
        "The session has set the characteristics of its next transaction."
    HeldXa "held_xa" "The session has an XA transaction on the primary."
    HeldUnreplayable "held_unreplayable"
        "The session has set something that cannot be repeated on another connection."
    HeldUnknownState "held_unknown_state" "The session's state on the primary is not known whole."
}

impl Reason {
    /// Position in [`Reason::ALL`], for arrays of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<PinCause> for Reason {
    fn from(cause: PinCause) -> Self {
        match cause {
            PinCause::Write => Reason::PinnedWrite,
            PinCause::FailedWrite => Reason::PinnedFailedWrite,
            PinCause::LostWrite => Reason::PinnedLostWrite,
            PinCause::Commit => Reason::PinnedCommit,
            PinCause::Call => Reason::PinnedCall,
            PinCause::Unknown => Reason::PinnedUnknown,
            PinCause::Behind => Reason::PinnedBehind,
            PinCause::Seen => Reason::PinnedSeen,
            PinCause::Others => Reason::PinnedOthers,
        }
    }
}

impl Reason {
    /// The cause, if it is a pin.
    pub fn pin(self) -> Option<PinCause> {
        let is_it = |cause: &&PinCause| Reason::from(**cause) == self;
        PinCause::ALL.iter().find(is_it).copied()
    }
}

impl From<HoldReason> for Reason {
    fn from(hold: HoldReason) -> Self {
        match hold {
            HoldReason::TemporaryTable => Reason::HeldTemporaryTable,
            HoldReason::UserLock => Reason::HeldUserLock,
            HoldReason::LockTables => Reason::HeldLockTables,
            HoldReason::UserVariable => Reason::HeldUserVariable,
            HoldReason::TextPrepare => Reason::HeldTextPrepare,
            HoldReason::Handler => Reason::HeldHandler,
            HoldReason::Cursor => Reason::HeldCursor,
            HoldReason::OneShotTransaction => Reason::HeldOneShotTransaction,
            HoldReason::Xa => Reason::HeldXa,
            HoldReason::Unreplayable => Reason::HeldUnreplayable,
            HoldReason::UnknownState => Reason::HeldUnknownState,
        }
    }
}
