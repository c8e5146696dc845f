//! What the classifier found out about a statement: small, `Copy`, without the text.

use super::hint::{Hint, Span};

/// What a statement is. Of a packet with several statements, the strictest one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Nothing but comments and white space; the server answers with an error of its own.
    Empty,
    /// SELECT, TABLE, VALUES, WITH … SELECT, in parentheses or not.
    Read,
    /// A read that locks rows: FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE, anywhere in it.
    LockingRead,
    /// EXPLAIN, DESCRIBE or MariaDB's ANALYZE of a read.
    Explain,
    /// EXPLAIN of a write: it runs nothing, but only the primary surely takes it.
    ExplainWrite,
    /// EXPLAIN FOR CONNECTION, which names a connection of one server.
    ExplainConnection,
    /// DESCRIBE of a table.
    Describe,
    /// CHECKSUM TABLE.
    Checksum,
    /// HELP.
    Help,
    /// A SHOW form whose answer is the same on every replica: TABLES, COLUMNS, DATABASES, and CREATE
    /// of views, routines, triggers and databases.
    Show,
    /// Every other SHOW: variables, status, processes, positions; and TABLE STATUS, INDEX and CREATE
    /// TABLE, which show estimates and counters that each server keeps for itself.
    ShowServer,
    /// SHOW WARNINGS, SHOW ERRORS, SHOW COUNT(*) WARNINGS: about the statement before.
    ShowDiagnostics,
    /// GET DIAGNOSTICS: about the statement before, into variables.
    GetDiagnostics,
    /// SET of variables, names or roles.
    Set,
    /// SET [SESSION | GLOBAL] TRANSACTION.
    SetTransaction,
    /// USE.
    Use,
    /// BEGIN and START TRANSACTION.
    Begin {
        /// READ ONLY was said.
        read_only: bool,
        /// READ WRITE was said.
        read_write: bool,
        /// WITH CONSISTENT SNAPSHOT was said.
        consistent_snapshot: bool,
    },
    /// COMMIT. What it makes visible was found out by the statements before it.
    Commit,
    /// ROLLBACK, whole.
    Rollback,
    /// SAVEPOINT, ROLLBACK TO, RELEASE SAVEPOINT.
    Savepoint,
    /// INSERT, UPDATE, DELETE, REPLACE, also behind WITH.
    Write,
    /// LOAD DATA and LOAD XML.
    LoadData {
        /// LOCAL was said: the server will ask the client for the file.
        local: bool,
    },
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE of anything but accounts.
    Ddl,
    /// GRANT, REVOKE, SET PASSWORD and the account forms of CREATE, ALTER, DROP, RENAME.
    Account,
    /// FLUSH, ANALYZE TABLE, RESET, CHANGE REPLICATION and the rest of administration.
    Admin,
    /// CALL.
    Call,
    /// DO.
    Do,
    /// HANDLER.
    Handler,
    /// PREPARE … FROM.
    TextPrepare,
    /// EXECUTE and EXECUTE IMMEDIATE.
    TextExecute,
    /// DEALLOCATE PREPARE, DROP PREPARE.
    TextDeallocate,
    /// LOCK TABLES, LOCK INSTANCE.
    LockTables,
    /// UNLOCK TABLES, UNLOCK INSTANCE.
    UnlockTables,
    /// KILL; see [`super::kill_target`].
    Kill,
    /// XA.
    Xa,
    /// Not understood; may do anything.
    Unknown,
}

bitflags::bitflags! {
    /// What a statement does besides being of its kind. Found token by token, so a flag may be set by
    /// a word that the server reads otherwise; it is never missing.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u64 {
        /// `@name` occurs.
        const USES_USER_VARIABLE = 1;
        /// `:=`, SET @name, or INTO @name.
        const ASSIGNS_USER_VARIABLE = 1 << 1;
        /// LAST_INSERT_ID(), CONNECTION_ID(), @@identity: answered from the connection's state.
        const SESSION_FUNCTION = 1 << 2;
        /// ROW_COUNT(): about the statement before.
        const ROW_COUNT_FUNCTION = 1 << 3;
        /// VERSION(), USER(), LOAD_FILE(), position waits: another answer on another server.
        const SERVER_FUNCTION = 1 << 4;
        /// GET_LOCK() and kin; locks of FLUSH and BACKUP.
        const USER_LOCK = 1 << 5;
        /// A sequence is moved or looked at.
        const SEQUENCE = 1 << 6;
        /// A function that is not built in; see [`Statement::unknown_functions`].
        const UNKNOWN_FUNCTION = 1 << 7;
        /// More unknown functions than were kept.
        const MORE_UNKNOWN_FUNCTIONS = 1 << 8;
        /// `@@name` of a session variable that is the same on every connection of the session.
        const SYNCED_VARIABLE = 1 << 9;
        /// `@@name` of any other kind.
        const SERVER_VARIABLE = 1 << 10;
        /// mysql, sys, performance_schema or information_schema is named.
        const SERVER_SCHEMA = 1 << 11;
        /// INTO in a read or in EXPLAIN: a file or variables.
        const INTO = 1 << 12;
        /// Rows are locked by a read.
        const LOCKING = 1 << 13;
        /// SQL_CALC_FOUND_ROWS: FOUND_ROWS() will be asked next.
        const SQL_CALC_FOUND_ROWS = 1 << 14;
        /// CREATE TEMPORARY.
        const CREATES_TEMPORARY_TABLE = 1 << 15;
        /// Several statements in one text.
        const MULTI = 1 << 16;
        /// SET TRANSACTION without a scope and SET @@transaction_isolation: for the next transaction.
        const ONE_SHOT_TRANSACTION = 1 << 17;
        /// A SET names a session_track_… variable, on which lagwise itself depends.
        const SETS_SESSION_TRACK = 1 << 18;
        /// SET @name.
        const SETS_USER_VARIABLE = 1 << 19;
        /// SET GLOBAL, SET PERSIST.
        const SETS_GLOBAL = 1 << 20;
        /// SET autocommit.
        const SETS_AUTOCOMMIT = 1 << 21;
        /// SET of something that no tracker reports or that must not be repeated elsewhere:
        /// gtid_next, insert_id, a role, a resource group, and most of MariaDB's `@@name` without a scope
        /// ([`crate::sql::unreported_variables`] has the others).
        const SETS_UNREPLAYABLE = 1 << 22;
        /// MariaDB's SET STATEMENT … FOR; the kind is the inner statement's.
        const SET_STATEMENT = 1 << 23;
        /// A leading comment spoke to lagwise and was not understood.
        const BAD_HINT = 1 << 24;
        /// The servers might cut this text otherwise; it may do anything.
        const AMBIGUOUS = 1 << 25;
        /// CREATE of a routine, trigger or event, or a compound statement: semicolons belong to it.
        const STORED_PROGRAM = 1 << 26;
        /// Work on temporary tables, which does not commit as other DDL does.
        const TEMPORARY = 1 << 27;
        /// A transaction begins or ends somewhere in a text with several statements.
        const TRANSACTION_CONTROL = 1 << 28;
        /// EXECUTE of a statement that is known: the kind and the flags are that statement's, and the
        /// flags also those of what USING names.
        const TEXT_PREPARED = 1 << 29;
        /// FOUND_ROWS(): about the last query.
        const FOUND_ROWS_FUNCTION = 1 << 30;
        /// @@warning_count, @@error_count: how many conditions there are of the statement before.
        const CONDITION_COUNT = 1 << 32;
        /// FOUND_ROWS() afterwards need not be the number of rows that are sent: OFFSET, LIMIT with
        /// two numbers, a set operation, VALUES. (Asked of MySQL 9.7 and MariaDB 10.11.)
        const FINDS_MORE_ROWS = 1 << 33;
        /// LAST_INSERT_ID(…) with an argument, which sets it.
        const SETS_INSERT_ID = 1 << 34;
        /// The first of several statements runs whole or not at all ([`StatementKind::runs_whole`]).
        const RUNS_WHOLE_FIRST = 1 << 35;
    }
}

impl Flags {
    /// What asks about the statement before, whatever the kind.
    pub const ABOUT_LAST: Flags = Flags::ROW_COUNT_FUNCTION.union(Flags::CONDITION_COUNT);

    /// What a replica cannot answer as the primary would, whatever the kind.
    pub const NOT_ON_REPLICA: Flags = Flags::USES_USER_VARIABLE
        .union(Flags::ASSIGNS_USER_VARIABLE)
        .union(Flags::SESSION_FUNCTION)
        .union(Flags::ABOUT_LAST)
        .union(Flags::FOUND_ROWS_FUNCTION)
        .union(Flags::SERVER_FUNCTION)
        .union(Flags::USER_LOCK)
        .union(Flags::SEQUENCE)
        .union(Flags::UNKNOWN_FUNCTION)
        .union(Flags::SYNCED_VARIABLE)
        .union(Flags::SERVER_VARIABLE)
        .union(Flags::SERVER_SCHEMA)
        .union(Flags::INTO)
        .union(Flags::LOCKING)
        .union(Flags::SET_STATEMENT)
        .union(Flags::AMBIGUOUS);
}

/// The name of a function that is not built in, as it stands in the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// Of the bare name, for [`FunctionSet`].
    pub(super) hash: u64,
    /// Of `schema.name`; equal to `hash` when the name stands alone.
    pub(super) qualified: u64,
    /// Where the bare name stands in the text, quotes included.
    pub span: Span,
}

/// Names of functions, asked without regard to case and without allocation.
///
/// It keeps 64-bit hashes: two names of one hash are not expected in any catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionSet(std::collections::HashSet<u64>);

impl FunctionSet {
    /// Adds `name` or `schema.name`. The first stands for a function of that name in any schema.
    pub fn insert(&mut self, name: &str) {
        self.0.insert(hash_name(name.as_bytes(), HASH_START));
    }

    /// Adds a function found in a statement, by its bare name or its qualified one if it has that.
    pub fn insert_found(&mut self, name: FunctionName) {
        self.0.insert(name.qualified);
    }

    /// Whether the set holds the name, bare or as qualified in the statement.
    pub fn contains(&self, name: FunctionName) -> bool {
        self.0.contains(&name.hash) || self.0.contains(&name.qualified)
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> FromIterator<&'a str> for FunctionSet {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut set = FunctionSet::default();
        names.into_iter().for_each(|name| set.insert(name));
        set
    }
}

pub(super) const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a of the lower-cased bytes, continued from `hash`.
pub(super) fn hash_name(name: &[u8], hash: u64) -> u64 {
    name.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Unknown functions kept by name; with more of them a statement is never a read.
pub(super) const KEPT_FUNCTIONS: usize = 3;

/// What a statement text is to routing. `Copy`, no reference to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub kind: StatementKind,
    /// What else it does.
    pub flags: Flags,
    /// What its leading comment asked for.
    pub hint: Option<Hint>,
    pub(super) functions: [Option<FunctionName>; KEPT_FUNCTIONS],
}

impl Statement {
    /// A statement of this kind with nothing else known.
    pub const fn of_kind(kind: StatementKind) -> Self {
        Statement { kind, flags: Flags::empty(), hint: None, functions: [None; KEPT_FUNCTIONS] }
    }

    /// Whether the statement only asks, judged by its kind: a query that may still call unknown
    /// functions, name server variables and so on.
    pub fn is_query(&self) -> bool {
        matches!(
            self.kind,
            StatementKind::Read
                | StatementKind::Explain
                | StatementKind::Describe
                | StatementKind::Checksum
                | StatementKind::Help
                | StatementKind::Show
        )
    }

    /// Whether a replica answers as the primary would, with nothing else known. Configuration may
    /// add to this (read-only functions), the session's state takes away: see `route::decide`.
    pub fn is_read(&self) -> bool {
        self.is_query() && !self.flags.intersects(Flags::NOT_ON_REPLICA)
    }

    /// Whether the statement may change data that replicates, so that the session must not read from
    /// a replica that may lack it. COMMIT is not among them: what it publishes was found out when the
    /// transaction's statements ran.
    pub fn may_write(&self) -> bool {
        self.writes_by_kind() || self.flags.contains(Flags::UNKNOWN_FUNCTION)
    }

    /// Whether every function that is not built in is in the set.
    pub fn calls_only(&self, functions: &FunctionSet) -> bool {
        !self.flags.contains(Flags::MORE_UNKNOWN_FUNCTIONS)
            && self.unknown_functions().all(|name| functions.contains(name))
    }

    /// The statement after [`Statement::know`].
    #[must_use]
    pub fn knowing(mut self, read_only: &FunctionSet) -> Self {
        self.know(read_only);
        self
    }

    /// Takes these functions as known to write nothing, as if they were built in.
    pub fn know(&mut self, read_only: &FunctionSet) {
        if self.flags.contains(Flags::UNKNOWN_FUNCTION) && self.calls_only(read_only) {
            self.flags -= Flags::UNKNOWN_FUNCTION;
            self.functions = [None; KEPT_FUNCTIONS];
        }
    }

    /// The functions that are not built in, the first three of them.
    pub fn unknown_functions(&self) -> impl Iterator<Item = FunctionName> + '_ {
        self.functions.iter().flatten().copied()
    }

    /// Whether it ends an open transaction before it runs (MySQL manual, "Statements That Cause an
    /// Implicit Commit"). The server's status flags say whether it did.
    pub fn commits_implicitly(&self) -> bool {
        match self.kind {
            StatementKind::Ddl => !self.flags.contains(Flags::TEMPORARY),
            StatementKind::Begin { .. }
            | StatementKind::Account
            | StatementKind::Admin
            | StatementKind::LockTables => true,
            _ => false,
        }
    }

    fn writes_by_kind(&self) -> bool {
        self.flags.intersects(Flags::SEQUENCE | Flags::AMBIGUOUS)
            || matches!(
                self.kind,
                StatementKind::Write
                    | StatementKind::LoadData { .. }
                    | StatementKind::Ddl
                    | StatementKind::Account
                    | StatementKind::Admin
                    | StatementKind::Call
                    | StatementKind::TextExecute
                    | StatementKind::Xa
                    | StatementKind::Unknown
            )
    }
}

impl StatementKind {
    /// Whether it runs whole or not at all, so that nothing of it has run where a server refuses it.
    pub fn runs_whole(self) -> bool {
        use StatementKind::*;
        matches!(
            self,
            Read | LockingRead
                | Set
                | SetTransaction
                | Use
                | Begin { .. }
                | Commit
                | Rollback
                | Savepoint
                | Write
                | LoadData { .. }
                | Ddl
                | Account
                | Do
        )
    }

    /// Which of several statements in one text decides: the highest.
    pub(super) fn strictness(self) -> u8 {
        use StatementKind::*;
        match self {
            Empty => 0,
            Help | Checksum | Describe | Show | Explain => 1,
            Read => 2,
            ShowServer | ExplainWrite | ExplainConnection => 3,
            ShowDiagnostics | GetDiagnostics => 4,
            LockingRead => 5,
            Use => 6,
            Set => 7,
            SetTransaction => 8,
            Do | Handler | Kill => 9,
            TextPrepare | TextDeallocate => 10,
            Savepoint => 11,
            Commit | Rollback => 12,
            Begin { .. } => 13,
            LockTables | UnlockTables => 14,
            TextExecute => 15,
            Write => 16,
            LoadData { .. } => 17,
            Admin => 18,
            Ddl | Account => 19,
            Call => 20,
            Xa => 21,
            Unknown => 22,
        }
    }
}

/// What KILL aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillKind {
    /// KILL n, KILL CONNECTION n.
    Connection,
    /// KILL QUERY n.
    Query,
}
