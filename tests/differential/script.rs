//! A session script: what a client does, from its login to its end.
//!
//! In a script, `{s}` stands for the worker's schema, `{o}` for its second one, and `{r}` for a name
//! that no other run uses (locks are known to the whole server).
//!
//! `{x}` stands for the name of an XA transaction, another one from each XA START on: replicas of
//! MySQL's cannot replicate names that are used again. After XA COMMIT … ONE PHASE, 9.7 logs the next
//! transaction of that name as independent of the first (both with the same `last_committed`); applier
//! workers that run them at once fail with 1440 (XAER_DUPID), and the applier stops for good.
//! Seen with clients on direct connections alone; bugs.mysql.com has the error as 83161.

use crate::support::wire::{Expect, Options, Param, Step, caps};

/// What the replicas do while a script runs through lagwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// They replicate, and race with the script.
    Racing,
    /// The script waits for them now and then, so that reads go to them after writes too.
    Awaited,
    /// They apply nothing.
    Stopped,
}

impl Replicas {
    pub const ALL: [Self; 3] = [Self::Racing, Self::Awaited, Self::Stopped];

    /// The word for it in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Racing => "racing",
            Self::Awaited => "awaited",
            Self::Stopped => "stopped",
        }
    }
}

/// Capabilities that scripts vary, with their names.
pub const CAPS: &[(u64, &str)] = &[
    (caps::DEPRECATE_EOF, "DEPRECATE_EOF"),
    (caps::SESSION_TRACK, "SESSION_TRACK"),
    (caps::FOUND_ROWS, "FOUND_ROWS"),
    (caps::MULTI_STATEMENTS, "MULTI_STATEMENTS"),
    (caps::QUERY_ATTRIBUTES, "QUERY_ATTRIBUTES"),
    (caps::MARIADB_METADATA, "MARIADB_METADATA"),
    (caps::MARIADB_BULK, "MARIADB_BULK"),
];

/// One client's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Of [`CAPS`].
    pub caps: u64,
    /// Collation id of the login.
    pub charset: u8,
    pub replicas: Replicas,
    pub actions: Vec<Action>,
}

/// One thing that the client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// COM_QUERY
    Query(Vec<u8>),
    /// COM_QUERY of a LOAD DATA LOCAL, and the file.
    File { content: Vec<u8>, sql: Vec<u8> },
    /// COM_STMT_PREPARE of the statement that has this number from then on.
    Prepare { number: usize, sql: Vec<u8> },
    /// COM_STMT_EXECUTE
    Execute { number: usize, how: How, values: Vec<Value> },
    /// COM_STMT_SEND_LONG_DATA
    LongData { number: usize, param: u16, data: Vec<u8> },
    /// COM_STMT_FETCH
    Fetch { number: usize, rows: u32 },
    /// COM_STMT_RESET
    Reset { number: usize },
    /// COM_STMT_CLOSE
    Close { number: usize },
    /// COM_INIT_DB
    InitDb(Vec<u8>),
    /// COM_FIELD_LIST with table and pattern.
    FieldList { table: Vec<u8>, pattern: Vec<u8> },
    /// Any other command, by its payload.
    Command(Vec<u8>),
    /// COM_CHANGE_USER
    ChangeUser { user: String, schema: Vec<u8>, charset: u8 },
    /// Until the replicas have caught up, if they are awaited, and lagwise had time to see it.
    Wait,
    /// Several in one write.
    Pipeline(Vec<Action>),
}

/// What an execution carries besides values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The types of the parameters.
    Types,
    /// No types: as before.
    Again,
    /// The types, and the wish for a cursor.
    Cursor,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Double(f64),
    Text(Vec<u8>),
    /// It was sent by [`Action::LongData`].
    Long,
}

// No script holds a NaN.
impl Eq for Value {}

impl Value {
    fn param(&self) -> Param {
        match self {
            Self::Null => Param::null(),
            Self::Int(value) => Param::int(*value),
            Self::Double(value) => Param::double(*value),
            Self::Text(value) => Param::text(&String::from_utf8_lossy(value)),
            Self::Long => Param::long(),
        }
    }
}

/// What `{s}`, `{o}`, `{r}` and `{x}` stand for.
pub struct Names<'a> {
    pub schema: &'a str,
    pub other: &'a str,
    pub run: &'a str,
    /// Of [`xa_name`].
    pub xa: usize,
}

/// The name of the XA transaction of that number in a run; the first has 1.
pub fn xa_name(run: &str, number: usize) -> String {
    format!("{run}_x{number}")
}

impl Names<'_> {
    /// To be called before an action is sent: one that begins an XA transaction gives it a new name.
    pub fn advance(&mut self, action: &Action) {
        self.xa += usize::from(action.begins_xa());
    }

    /// A text of a script with the names in it.
    pub fn fill(&self, text: &[u8]) -> Vec<u8> {
        let xa = xa_name(self.run, self.xa);
        let mut out = Vec::with_capacity(text.len() + 16);
        let mut rest = text;
        while let Some((&first, after)) = rest.split_first() {
            let name = match rest.get(..3) {
                Some(b"{s}") => self.schema,
                Some(b"{o}") => self.other,
                Some(b"{r}") => self.run,
                Some(b"{x}") => &xa,
                _ => {
                    out.push(first);
                    rest = after;
                    continue;
                }
            };
            out.extend_from_slice(name.as_bytes());
            rest = &rest[3..];
        }
        out
    }
}

impl Script {
    /// How its client logs in.
    pub fn options(&self, names: &Names<'_>) -> Options {
        let optional = CAPS.iter().fold(0, |all, (capability, _)| all | capability);
        let mut options = Options::new(0);
        options.caps = caps::BASE & !optional | self.caps;
        options.schema = Some(names.schema.to_owned());
        options.charset = self.charset;
        options
    }

    /// Every text that is sent.
    pub fn texts(&self) -> Vec<&[u8]> {
        let mut texts = Vec::new();
        self.actions.iter().for_each(|action| action.add_texts(&mut texts));
        texts
    }
}

impl Action {
    /// Whether it is an XA START, or a statement that will be one. No script has it in a pipeline or
    /// after another statement.
    pub fn begins_xa(&self) -> bool {
        let mut texts = Vec::new();
        self.add_texts(&mut texts);
        texts.iter().any(|text| text.starts_with(b"XA START") || text.starts_with(b"XA BEGIN"))
    }

    /// Whether the session is as after a login then: COM_CHANGE_USER, COM_RESET_CONNECTION.
    pub fn begins_anew(&self) -> bool {
        match self {
            Self::Command(payload) => payload[..] == [0x1f],
            Self::ChangeUser { .. } => true,
            _ => false,
        }
    }

    fn add_texts<'a>(&'a self, texts: &mut Vec<&'a [u8]>) {
        match self {
            Self::Query(sql) | Self::File { sql, .. } | Self::Prepare { sql, .. } => {
                texts.push(sql);
            }
            Self::InitDb(schema) | Self::ChangeUser { schema, .. } => texts.push(schema),
            Self::Pipeline(actions) => actions.iter().for_each(|action| action.add_texts(texts)),
            _ => {}
        }
    }

    /// What is sent; `None` for what is not one command of the protocol.
    pub fn step(&self, names: &Names<'_>) -> Option<Step> {
        let results = Expect::Results;
        Some(match self {
            Self::Query(sql) => Step::Query(names.fill(sql)),
            Self::File { content, sql } => Step::Files(names.fill(sql), vec![content.clone()]),
            Self::Prepare { number, sql } => Step::PrepareAs(*number, names.fill(sql)),
            Self::Execute { number, how, values } => Step::Execute {
                statement: *number,
                flags: u8::from(*how == How::Cursor),
                params: values.iter().map(Value::param).collect(),
                types: *how != How::Again,
            },
            Self::LongData { number, param, data } => {
                Step::LongData { statement: *number, param: *param, data: data.clone() }
            }
            Self::Fetch { number, rows } => Step::fetch(*number, *rows),
            Self::Reset { number } => Step::reset(*number),
            Self::Close { number } => Step::close(*number),
            Self::InitDb(schema) => Step::raw(0x02, &names.fill(schema), results),
            Self::FieldList { table, pattern } => {
                Step::raw(0x04, &[table, &b"\0"[..], pattern].concat(), Expect::Rows)
            }
            Self::Command(payload) => Step::Raw(payload.clone(), results),
            Self::Pipeline(actions) => {
                Step::Pipeline(actions.iter().filter_map(|action| action.step(names)).collect())
            }
            Self::ChangeUser { .. } | Self::Wait => return None,
        })
    }
}
