//! What a session must see: its state as a client knows it that has set it.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod session;

use crate::support::wire::{Answer, Expect, Step, lenenc};

/// Accounts and the schemas that they may use.
pub const ACCOUNTS: [(&str, &[&str]); 3] =
    [("app", &["shop"]), ("other", &["shop", "other"]), ("admin", &["shop", "other"])];
pub const MODES: &[&str] =
    &["", "ANSI_QUOTES", "PIPES_AS_CONCAT", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,PIPES_AS_CONCAT"];
pub const ZONES: &[&str] = &["+00:00", "+02:00", "-05:30"];
pub const CHARSETS: &[(&str, &str)] = &[
    ("utf8mb4", "utf8mb4_bin"),
    ("utf8mb4", "utf8mb4_unicode_ci"),
    ("latin1", "latin1_swedish_ci"),
    ("latin1", "latin1_bin"),
];
/// User locks that all sessions want.
pub const LOCKS: usize = 5;

/// What a text is about. The first ones depend on nothing but the session's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Quotes,
    Pipes,
    Escapes,
    Length,
    Collation,
    Zone,
    /// With a parameter; only prepared.
    Place,
    /// The session's own row.
    Own,
    /// A write of the session's own row, with a parameter.
    Write,
}

impl Kind {
    pub const READ: [Kind; 6] =
        [Kind::Quotes, Kind::Pipes, Kind::Escapes, Kind::Length, Kind::Collation, Kind::Zone];
    pub const ALL: [Kind; 9] = [
        Kind::Quotes,
        Kind::Pipes,
        Kind::Escapes,
        Kind::Length,
        Kind::Collation,
        Kind::Zone,
        Kind::Place,
        Kind::Own,
        Kind::Write,
    ];

    /// The same in every session, but for its own row.
    pub fn text(self, session: usize) -> String {
        match self {
            Kind::Quotes => "SELECT \"place\" FROM place".to_owned(),
            Kind::Pipes => "SELECT CONCAT(1 || 0)".to_owned(),
            Kind::Escapes => "SELECT CONCAT(LENGTH('\\n'))".to_owned(),
            Kind::Length => "SELECT CONCAT(CHAR_LENGTH('é'))".to_owned(),
            Kind::Collation => "SELECT COLLATION('x')".to_owned(),
            Kind::Zone => "SELECT DATE_FORMAT(FROM_UNIXTIME(0), '%H:%i')".to_owned(),
            Kind::Place => "SELECT CONCAT(place, ?) FROM place".to_owned(),
            Kind::Own => format!("SELECT CONCAT(n) FROM shop.mine WHERE id = {session}"),
            Kind::Write => format!("UPDATE shop.mine SET n = ? WHERE id = {session}"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Quotes => "quotes",
            Kind::Pipes => "pipes",
            Kind::Escapes => "escapes",
            Kind::Length => "length",
            Kind::Collation => "collation",
            Kind::Zone => "zone",
            Kind::Place => "place",
            Kind::Own => "own",
            Kind::Write => "write by text",
        }
    }

    pub fn prepared_name(self) -> &'static str {
        match self {
            Kind::Quotes => "prepared quotes",
            Kind::Pipes => "prepared pipes",
            Kind::Escapes => "prepared escapes",
            Kind::Length => "prepared length",
            Kind::Collation => "prepared collation",
            Kind::Zone => "prepared zone",
            Kind::Place => "prepared place",
            Kind::Own => "prepared own",
            Kind::Write => "prepared write",
        }
    }
}

/// A prepared statement, with the state that it was prepared under.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// By the order of PREPAREs on this connection.
    pub index: usize,
    pub kind: Kind,
    pub executed: bool,
    schema: &'static str,
    mode: &'static str,
    charset: Option<(&'static str, &'static str)>,
}

/// How a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// With what the login names.
    Login,
    /// With the server's defaults.
    Reset,
}

/// A session's state.
#[derive(Clone, Debug)]
pub struct State {
    pub account: usize,
    pub schema: &'static str,
    /// None of these modes are the servers' defaults.
    pub mode: &'static str,
    /// `None` where it is the server's default, which the test does not know.
    pub zone: Option<&'static str>,
    pub charset: Option<(&'static str, &'static str)>,
    pub limit: Option<usize>,
    pub variables: [Option<i64>; 2],
    /// Rows of the temporary table.
    pub temporary: Option<Vec<i64>>,
    /// The one row of the temporary table that hides an ordinary one.
    pub shade: Option<i64>,
    pub insert_id: i64,
    pub in_transaction: bool,
    pub read_only: bool,
    pub autocommit: bool,
    /// What the open transaction has written to the session's row.
    pub open: Option<i64>,
    pub prepared: Vec<Prepared>,
    /// The index that the next PREPARE gets.
    pub next_statement: usize,
}

impl State {
    /// A session that begins. `next_statement` is how many PREPAREs its client counts already.
    pub fn new(fresh: Fresh, account: usize, schema: &'static str, next_statement: usize) -> Self {
        let charset = (fresh == Fresh::Login).then_some(("utf8mb4", "utf8mb4_general_ci"));
        Self {
            account,
            schema,
            mode: "",
            zone: None,
            charset,
            limit: None,
            variables: [None; 2],
            temporary: None,
            shade: None,
            insert_id: 0,
            in_transaction: false,
            read_only: false,
            autocommit: true,
            open: None,
            prepared: Vec::new(),
            next_statement,
        }
    }

    pub fn prepare(&mut self, kind: Kind) {
        let index = self.next_statement;
        self.next_statement += 1;
        let (schema, mode, charset) = (self.schema, self.mode, self.charset);
        self.prepared.push(Prepared { index, kind, executed: false, schema, mode, charset });
    }

    /// What a text of this kind says now; `None` if that is not known.
    pub fn meaning(&self, kind: Kind) -> Option<String> {
        let (schema, mode, charset) = (self.schema, self.mode, self.charset);
        let text = Prepared { index: 0, kind, executed: true, schema, mode, charset };
        text.meaning(self)
    }
}

impl Prepared {
    /// What it says in a session that is `now` like this; `None` if that is not known.
    pub fn meaning(&self, now: &State) -> Option<String> {
        let has = |mode: &str| self.mode.split(',').any(|one| one == mode);
        let either =
            |first: bool, one: &str, other: &str| Some(if first { one } else { other }.to_owned());
        match self.kind {
            Kind::Quotes => either(has("ANSI_QUOTES"), self.schema, "place"),
            Kind::Pipes => either(has("PIPES_AS_CONCAT"), "10", "1"),
            Kind::Escapes => either(has("NO_BACKSLASH_ESCAPES"), "2", "1"),
            Kind::Length => either(self.charset?.0 == "latin1", "2", "1"),
            Kind::Collation => Some(self.charset?.1.to_owned()),
            Kind::Place => Some(format!("{}!", self.schema)),
            // Read anew at each execution.
            Kind::Zone => Some(match now.zone? {
                "+02:00" => "02:00".to_owned(),
                "-05:30" => "18:30".to_owned(),
                _ => "00:00".to_owned(),
            }),
            Kind::Own | Kind::Write => None,
        }
    }
}

/// COM_RESET_CONNECTION
pub fn reset() -> Step {
    Step::raw(0x1f, b"", Expect::Results)
}

/// The rows of an answer without DEPRECATE_EOF, all of whose columns are strings.
pub fn rows(answer: &Answer, binary: bool) -> Vec<Vec<Option<String>>> {
    let Some(first) = answer.packets.first().map(|packet| &packet.payload) else {
        return Vec::new();
    };
    if first[0] == 0x00 {
        return Vec::new();
    }
    let columns = usize::from(first[0]);
    let rows = &answer.packets[1 + columns + 1..answer.packets.len() - 1];
    rows.iter().map(|row| row_of(&row.payload, columns, binary)).collect()
}

fn row_of(payload: &[u8], columns: usize, binary: bool) -> Vec<Option<String>> {
    let bitmap = (columns + 9) / 8;
    let mut rest = if binary { &payload[1 + bitmap..] } else { payload };
    (0..columns)
        .map(|column| {
            let bit = column + 2;
            if binary && payload[1 + bit / 8] & (1 << (bit % 8)) != 0 {
                return None;
            }
            if rest[0] == 0xfb {
                rest = &rest[1..];
                return None;
            }
            let len = lenenc(&mut rest).expect("a value") as usize;
            let (value, after) = rest.split_at(len);
            rest = after;
            Some(String::from_utf8_lossy(value).into_owned())
        })
        .collect()
}
