//! How an object is read and written.

use crate::model::{Kind, Object};

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Table,
    View,
    /// What a trigger has copied.
    Mirror,
}

/// A way to write, as one step of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Text,
    Binary,
    Call,
    BinaryCall,
    View,
    Commit,
    AutocommitOff,
    // Those whose tables are not known.
    ThenReset,
    FailingCall,
    FailingInsert,
    SeveralFail,
    Several,
    SeveralCommit,
    TextPrepare,
    Function,
}

impl Way {
    pub const ALL: [Way; 15] = [
        Way::Text,
        Way::Binary,
        Way::Call,
        Way::BinaryCall,
        Way::View,
        Way::Commit,
        Way::AutocommitOff,
        Way::ThenReset,
        Way::FailingCall,
        Way::FailingInsert,
        Way::SeveralFail,
        Way::Several,
        Way::SeveralCommit,
        Way::TextPrepare,
        Way::Function,
    ];

    /// Whether lagwise knows the tables.
    pub fn is_clear(self) -> bool {
        use Way::*;
        !matches!(self, SeveralFail | Several | SeveralCommit | TextPrepare | Function)
    }

    /// Whether an object of this kind can be written so.
    pub fn suits(self, kind: Kind) -> bool {
        use Way::*;
        match self {
            View | Function | FailingCall => kind == Kind::Register,
            FailingInsert => kind == Kind::Heap,
            // A transaction has no part in that.
            Commit | AutocommitOff | SeveralCommit => kind != Kind::Heap,
            _ => true,
        }
    }
}

fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Register => "register",
        Kind::Counter => "counter",
        Kind::List => "list",
        Kind::Heap => "heap",
        Kind::First | Kind::Second => "pair",
        Kind::Third => "far",
    }
}

impl Object {
    /// Two columns: the value and the server.
    pub fn read(&self, source: Source) -> String {
        let id = self.id;
        let table = match source {
            Source::View => "register_view",
            Source::Mirror => "mirror",
            Source::Table => table(self.kind),
        };
        match self.kind {
            Kind::List | Kind::Heap => format!(
                "SELECT CAST(COUNT(*) AS CHAR), \
                 (SELECT CAST(v AS CHAR) FROM {table} WHERE list = 0) \
                 FROM {table} WHERE list = {id}"
            ),
            _ => format!(
                "SELECT CAST(v AS CHAR), (SELECT CAST(v AS CHAR) FROM {table} WHERE id = 0) \
                 FROM {table} WHERE id = {id}"
            ),
        }
    }

    pub fn write(&self, n: u64) -> String {
        let (table, id) = (table(self.kind), self.id);
        match self.kind {
            Kind::Counter => format!("UPDATE counter SET v = v + 1 WHERE id = {id}"),
            Kind::List | Kind::Heap => format!("INSERT INTO {table} (list, v) VALUES ({id}, {n})"),
            _ => format!("UPDATE {table} SET v = {n} WHERE id = {id}"),
        }
    }

    pub fn call(&self, n: u64) -> String {
        format!("CALL write_{}({}, {n})", table(self.kind), self.id)
    }
}
