//! One session of the test: its connection, and what it must see.

use super::{ACCOUNTS, Fresh, State, rows};
use crate::support::wire::{Client, Expect, Options, Step};

/// Rows of text, or an error's number.
pub type Got = Result<Vec<Vec<Option<String>>>, u16>;

/// What a session may do to its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freedom {
    /// Everything.
    All,
    /// Nothing that keeps its reads from replicas for long.
    Light,
    /// Nothing that keeps a connection after a statement.
    HoldsNothing,
}

pub struct Session {
    pub id: usize,
    pub freedom: Freedom,
    pub client: Client,
    pub state: State,
    /// What the session has committed to its row.
    pub committed: i64,
    /// What it did last, for a failure's report.
    pub history: Vec<String>,
}

pub fn options(account: usize, schema: &str) -> Options {
    let mut options = Options::new(0).account(ACCOUNTS[account].0);
    options.schema = Some(schema.to_owned());
    options
}

impl Session {
    pub fn new(
        id: usize,
        port: u16,
        account: usize,
        schema: &'static str,
        freedom: Freedom,
    ) -> Self {
        let login = options(account, schema).login(port);
        let client = login.unwrap_or_else(|packet| panic!("login of session {id}: {packet:?}"));
        let state = State::new(Fresh::Login, account, schema, 0);
        Self { id, freedom, client, state, committed: 0, history: Vec::new() }
    }

    pub fn play(&mut self, step: &Step, binary: bool) -> Got {
        self.history.push(step.label());
        let answer = self.client.play(step).remove(0);
        if let Some(broken) = &answer.broken {
            panic!("session {}: {broken}\n{}", self.id, self.report());
        }
        match answer.error() {
            Some((code, _)) => Err(code),
            None => Ok(rows(&answer, binary)),
        }
    }

    pub fn query(&mut self, sql: &str) -> Got {
        self.play(&Step::query(sql), false)
    }

    /// A statement that must succeed.
    pub fn run(&mut self, sql: &str) {
        if let Err(code) = self.query(sql) {
            panic!("session {}: error {code}\n{}", self.id, self.report());
        }
    }

    /// The one value of the one row must be this; `None` is NULL, and an error is its number.
    pub fn expect(&mut self, got: Got, want: Result<Option<String>, u16>) {
        let want = want.map(|value| vec![vec![value]]);
        assert_eq!(got, want, "session {}, got and wanted\n{}", self.id, self.report());
    }

    pub fn ask(&mut self, sql: &str, want: Result<Option<String>, u16>) {
        let got = self.query(sql);
        self.expect(got, want);
    }

    // ---- changes that concern no other session

    pub fn set(&mut self, sql: &str, note: impl FnOnce(&mut State)) {
        self.run(sql);
        note(&mut self.state);
    }

    pub fn use_schema(&mut self, value: i64) {
        let schemas = ACCOUNTS[self.state.account].1;
        let schema = schemas[value as usize % schemas.len()];
        match value % 3 {
            0 => {
                let got = self.play(&Step::raw(0x02, schema.as_bytes(), Expect::Results), false);
                assert_eq!(got, Ok(Vec::new()), "{}", self.report());
            }
            _ => self.run(&format!("USE {schema}")),
        }
        self.state.schema = schema;
    }

    /// The session's row has a new value, of a transaction or for good.
    pub fn wrote(&mut self, value: i64) {
        if self.state.in_transaction || !self.state.autocommit {
            self.state.open = Some(value);
        } else {
            self.committed = value;
        }
    }

    pub fn write(&mut self, value: i64) {
        let id = self.id;
        if self.state.read_only {
            return;
        }
        if value % 2 == 0 {
            self.run(&format!("UPDATE shop.mine SET n = {value} WHERE id = {id}"));
        } else {
            let sql = format!("UPDATE shop.mine SET n = LAST_INSERT_ID({value}) WHERE id = {id}");
            self.run(&sql);
            self.state.insert_id = value;
        }
        self.wrote(value);
    }

    /// Temporary tables, of the same names in every session.
    pub fn temporary(&mut self, value: i64) {
        if self.state.read_only {
            return;
        }
        match (&self.state.temporary, &self.state.shade, value % 4) {
            (None, ..) => {
                self.run("CREATE TEMPORARY TABLE shop.temp (n BIGINT) ENGINE=MyISAM");
                self.run(&format!("INSERT INTO shop.temp VALUES ({value})"));
                self.state.temporary = Some(vec![value]);
            }
            (Some(_), None, 0) => {
                self.run("CREATE TEMPORARY TABLE shop.shade (n BIGINT) ENGINE=MyISAM");
                self.run(&format!("INSERT INTO shop.shade VALUES ({value})"));
                self.state.shade = Some(value);
            }
            (Some(_), Some(_), 0) => {
                self.run("DROP TEMPORARY TABLE shop.shade");
                self.state.shade = None;
            }
            (Some(_), _, 1) => {
                self.run("DROP TEMPORARY TABLE shop.temp");
                self.state.temporary = None;
            }
            _ => {
                self.run(&format!("INSERT INTO shop.temp VALUES ({value})"));
                self.state.temporary.iter_mut().for_each(|rows| rows.push(value));
            }
        }
    }

    pub fn transaction(&mut self, value: i64) {
        if self.state.in_transaction && value % 2 == 0 {
            self.run("ROLLBACK");
            self.state.open = None;
        } else if self.state.in_transaction {
            self.run("COMMIT");
            self.committed = self.state.open.take().unwrap_or(self.committed);
        } else {
            // Commits what autocommit = 0 has left open.
            let read_only = value % 3 == 0;
            self.run(if read_only { "START TRANSACTION READ ONLY" } else { "BEGIN" });
            self.committed = self.state.open.take().unwrap_or(self.committed);
            self.state.in_transaction = true;
            self.state.read_only = read_only;
            return;
        }
        self.state.in_transaction = false;
        self.state.read_only = false;
    }

    pub fn set_autocommit(&mut self, on: bool) {
        self.run(&format!("SET autocommit = {}", u8::from(on)));
        if on && !self.state.autocommit {
            // Commits, within BEGIN too.
            self.committed = self.state.open.take().unwrap_or(self.committed);
            self.state.in_transaction = false;
            self.state.read_only = false;
        }
        self.state.autocommit = on;
    }

    pub fn report(&self) -> String {
        let from = self.history.len().saturating_sub(40);
        format!("{:#?}\nlast steps:\n  {}", self.state, self.history[from..].join("\n  "))
    }
}
