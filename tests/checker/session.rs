//! One session: its connection, what it must be shown, and the choice of what it does next.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use fastrand::Rng;

use crate::lab::Field;
use crate::model::{ACCOUNTS, KEYS, Model};
use crate::modes::{Mode, Others};
use crate::raw::{APP, Client, Fail, Login, Row};
use crate::tally::{Tally, add};

/// So many of its last steps are told with a read that is wrong.
const HISTORY: usize = 14;
/// How long all sessions write much, before they write little for twice as long.
const PHASE_MICROSECONDS: u128 = 300_000;
/// Errors of a direct connection, too: two transactions in each other's way.
const IN_THE_WAY: [u16; 2] = [1205, 1213];

/// What the sessions of a round share.
pub struct Round<'a> {
    pub mode: &'a Mode,
    pub field: &'a Field<'a>,
    pub model: &'a Model,
    pub tally: &'a Tally,
    pub seed: u64,
    pub began: Instant,
}

/// Where a session connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The lagwise of the mode.
    Proxy,
    /// Another one, which promises a session what it wrote and read.
    Second,
    /// The primary; such a session writes only.
    Primary,
}

pub struct Session<'a> {
    pub round: &'a Round<'a>,
    pub number: usize,
    pub random: Rng,
    pub entrance: Entrance,
    account: usize,
    /// The key that the session has set, if it sets one.
    key: Option<usize>,
    /// Its connections end after a few steps.
    is_short: bool,
    pub client: Client,
    prepared: HashMap<String, u32>,
    /// The least that its own writes have made of each object, on this connection.
    pub own: Vec<u64>,
    /// The most that it has read of each, on this connection.
    pub seen: Vec<u64>,
    /// The most that it has read of each on the primary.
    pub history: VecDeque<(u128, String)>,
}

impl<'a> Session<'a> {
    pub fn new(round: &'a Round<'a>, number: usize) -> Self {
        let mut random = Rng::with_seed(round.seed * 1000 + number as u64);
        let entrance = match number % 6 {
            4 if round.mode.cluster => Entrance::Second,
            5 if round.mode.cluster => Entrance::Primary,
            _ => Entrance::Proxy,
        };
        let account = usize::from(round.mode.others == Others::Account && number % 2 == 1);
        let objects = round.model.objects.len();
        let sets_key = round.mode.others == Others::Key && number % 2 == 1;
        let key = sets_key.then(|| random.usize(..KEYS.len()));
        let mut session = Self {
            round,
            number,
            random,
            entrance,
            account,
            key,
            is_short: number.is_multiple_of(3),
            client: connect(round, entrance, account),
            prepared: HashMap::new(),
            own: vec![0; objects],
            seen: vec![0; objects],
            history: VecDeque::new(),
        };
        session.begin_connection();
        session
    }

    /// Steps until then.
    pub fn run(mut self, until: Instant) {
        while Instant::now() < until {
            let step = self.step();
            if let Err(fail) = step {
                self.recover(&fail);
            }
        }
    }

    fn step(&mut self) -> Result<(), Fail> {
        if self.entrance == Entrance::Primary {
            return self.write_once();
        }
        // Where all write all the time, replicas have nothing to do.
        let writes = if (self.now() / PHASE_MICROSECONDS).is_multiple_of(3) { 10 } else { 1 };
        let ends = if self.is_short { 8 } else { 1 };
        match self.random.u8(0..100) {
            at if at < writes * 2 => self.write_once(),
            at if at < writes * 3 => self.write_in_transaction(),
            at if at < writes * 4 => self.write_trio(),
            40..48 => self.read_in_transaction(),
            at if (50..50 + ends).contains(&at) => {
                self.reconnect();
                Ok(())
            }
            _ => self.read_once(),
        }
    }

    /// After an error that the session must expect no more than on a direct connection: goes on anew.
    pub fn recover(&mut self, fail: &Fail) {
        self.note(&format!("fails: {fail}"));
        if IN_THE_WAY.contains(&fail.code()) {
            add(&self.round.tally.excused);
        } else {
            self.round.tally.error(format!("{fail}\n{}", self.describe()));
        }
        self.reconnect();
    }

    /// After a transaction on a replica has failed, which may have ended.
    pub fn excuse(&mut self, fail: &Fail) {
        self.note(&format!("fails on a replica: {fail}"));
        add(&self.round.tally.excused);
        self.reconnect();
    }

    pub fn reconnect(&mut self) {
        self.note("connects");
        self.client = connect(self.round, self.entrance, self.account);
        self.own.fill(0);
        self.seen.fill(0);
        self.begin_connection();
    }

    fn begin_connection(&mut self) {
        add(&self.round.tally.logins);
        self.prepared.clear();
        if let Some(key) = self.key {
            self.client.run(&format!("SET @lagwise_key = 'k{key}'"));
        }
    }

    /// COM_RESET_CONNECTION: what it wrote and read is still its own.
    pub fn reset(&mut self) -> Result<(), Fail> {
        self.note("COM_RESET_CONNECTION");
        self.client.simple(0x1f, &[])?;
        self.prepared.clear();
        if let Some(key) = self.key {
            self.client.query(&format!("SET @lagwise_key = 'k{key}'"))?;
        }
        Ok(())
    }

    // ---- statements

    pub fn query(&mut self, sql: &str) -> Result<Vec<Row>, Fail> {
        self.note(sql);
        self.client.query(sql)
    }

    /// By a statement that is prepared once in a connection if `keeps` it, else each time.
    pub fn execute(&mut self, sql: &str, keeps: bool) -> Result<Vec<Row>, Fail> {
        self.note(&format!("binary: {sql}"));
        if !keeps {
            return self.client.execute(sql);
        }
        let id = match self.prepared.get(sql) {
            Some(id) => *id,
            None => {
                let (id, _) = self.client.prepare(sql)?;
                self.prepared.insert(sql.to_owned(), id);
                id
            }
        };
        self.client.execute_id(id)
    }

    /// What goes in front of a step's statements, and the group whose writes they share.
    pub fn group(&mut self) -> (String, Option<usize>) {
        match (self.round.mode.others, self.key) {
            (Others::Key, Some(key)) => (String::new(), Some(KEYS[key])),
            (Others::Key, None) => {
                let key = self.random.usize(..KEYS.len());
                (format!("/* lagwise: key=k{key} */ "), Some(KEYS[key]))
            }
            (Others::Account, _) => (String::new(), Some(ACCOUNTS[self.account])),
            _ => (String::new(), None),
        }
    }

    // ---- evidence

    pub fn now(&self) -> u128 {
        self.round.began.elapsed().as_micros()
    }

    pub fn note(&mut self, what: &str) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((self.now(), what.to_owned()));
    }

    pub fn describe(&self) -> String {
        let mut text = format!(
            "  mode {}, seed {}, session {} by {:?}, its last steps (microseconds of the round):",
            self.round.mode.name, self.round.seed, self.number, self.entrance
        );
        for (at, what) in &self.history {
            text.push_str(&format!("\n  {at:>10} {what}"));
        }
        text
    }
}

fn connect(round: &Round<'_>, entrance: Entrance, account: usize) -> Client {
    let field = round.field;
    let port = match (entrance, &field.second) {
        (Entrance::Second, Some(second)) => second.port(),
        (Entrance::Primary, _) => field.lab.port(0),
        _ => field.proxy.port(),
    };
    let login = if account == 0 { APP } else { Login::of("other", "other_password") };
    Client::connect(port, login).unwrap_or_else(|fail| panic!("login: {fail}"))
}
