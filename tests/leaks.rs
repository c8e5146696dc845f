//! Thirty sessions, each with a state of its own, interleaved at random: every answer is what this
//! session must see by a model of it, and never another's.
//!
//! The sessions differ in account, schema, sql_mode, time zone, character set, variables, temporary
//! tables, locks, transactions, and in statements of the same text that were prepared under different
//! states. Now and then all connections to replicas are ended, so that the state has to be brought to
//! new ones; sessions begin anew by COM_RESET_CONNECTION, COM_CHANGE_USER and new connections. With as
//! many server connections as they like, and with two to each server, so that nearly every statement
//! changes connection; there one session alone does what holds a connection. With `mode = "session"`
//! and two connections there are two sessions at a time, which begin anew often.
//!
//! `LEAKS_SEED` names another seed, `LEAKS_STEPS` another length.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod leaks_model;
mod raw;
mod support;

use std::collections::BTreeMap;

use fastrand::Rng;
use leaks_model::session::{Freedom, Session, options};
use leaks_model::{ACCOUNTS, CHARSETS, Fresh, Kind, LOCKS, MODES, State, ZONES};
use support::wire::{Param, Step};
use support::{Lab, Make, Proxy, eventually};

const STEPS: usize = 6_000;
/// Connections to replicas are ended once in so many steps.
const KILL_EVERY: usize = 400;
/// Statements that one session keeps prepared.
const MAX_PREPARED: usize = 12;

/// How many server connections there are for how many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pools {
    /// As many as are needed.
    Ample,
    /// Two to each server.
    Small,
    /// Two to each server, which sessions keep.
    SmallBySession,
}

impl Pools {
    fn sessions(self) -> usize {
        if self == Self::SmallBySession { 2 } else { 30 }
    }

    fn freedom(self, id: usize) -> Freedom {
        match self {
            Self::Ample if !id.is_multiple_of(3) => Freedom::Light,
            Self::Small if id > 0 => Freedom::HoldsNothing,
            Self::SmallBySession if id > 0 => Freedom::Light,
            Self::Ample | Self::Small | Self::SmallBySession => Freedom::All,
        }
    }

    fn config(self, lab: &Lab) -> String {
        const ROUTING: &str = "[routing]\nmax_lag = \"1h\"\nlag_tolerance = \"1h\"\n";
        const POOL: &str = "[pool]\ncheckout_timeout = \"2m\"\n";
        let mode = if self == Self::SmallBySession { "mode = \"session\"\n" } else { "" };
        let tables = (0..lab.count()).map(|server| {
            format!("[[server]]\naddress = \"{}\"\nmax_connections = 2\n", lab.address(server))
        });
        match self {
            Self::Ample => ROUTING.to_owned(),
            _ => [ROUTING, POOL, mode, &tables.collect::<String>()].concat(),
        }
    }
}

struct Test {
    lab: Lab,
    pools: Pools,
    proxy: Proxy,
    rng: Rng,
    sessions: Vec<Session>,
    /// Which session holds a lock.
    locks: BTreeMap<usize, usize>,
    /// How often each thing was asked or done.
    counts: BTreeMap<String, usize>,
}

impl Test {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    fn step(&mut self) {
        let at = self.rng.usize(..self.sessions.len());
        // Mostly questions, so that what is set is looked at.
        let name = if self.rng.u8(..10) < 6 { self.ask(at) } else { self.act(at) };
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    // ---- questions

    fn ask(&mut self, at: usize) -> &'static str {
        let freedom = self.sessions[at].freedom;
        let all = if freedom == Freedom::All { 18 } else { 17 };
        let which = match self.rng.usize(..all) {
            // An error may be asked about.
            11 | 14 if freedom == Freedom::HoldsNothing => 12,
            which => which,
        };
        let lock = self.rng.usize(..LOCKS);
        let holder = self.locks.get(&lock).copied();
        let session = &mut self.sessions[at];
        let (id, state) = (session.id, session.state.clone());
        let some = |value: &dyn ToString| Ok(Some(value.to_string()));
        match which {
            0..=5 => Self::ask_meaning(session, Kind::READ[which]),
            6..=10 => self.ask_prepared(at),
            11 => {
                let want = if state.account == 0 { Err(1142) } else { some(&"sesame") };
                session.ask("SELECT word FROM other.secrets WHERE id = 1", want);
                "privileges"
            }
            12 => {
                let n = state.open.unwrap_or(session.committed);
                session.ask(&format!("SELECT n FROM shop.mine WHERE id = {id}"), some(&n));
                "own row"
            }
            13 => {
                let at = usize::from(lock % 2 == 1);
                let want = state.variables[at].map(|value| value.to_string());
                session.ask(&format!("SELECT @v{at}"), Ok(want));
                "user variable"
            }
            14 => {
                let want = match &state.temporary {
                    None => Err(1146),
                    Some(rows) => some(&rows.iter().sum::<i64>()),
                };
                session.ask("SELECT SUM(n) FROM shop.temp", want);
                session.ask("SELECT n FROM shop.shade", some(&state.shade.unwrap_or(-1)));
                "temporary table"
            }
            15 => {
                let limit = state.limit.unwrap_or(10).min(10);
                let rows = session.query("SELECT n FROM shop.ten").map(|rows| rows.len());
                assert_eq!(rows, Ok(limit), "session {id}\n{}", session.report());
                "sql_select_limit"
            }
            16 => {
                let want = state.insert_id.to_string();
                session.ask("SELECT LAST_INSERT_ID()", Ok(Some(want)));
                "insert id"
            }
            _ => {
                let free = u8::from(holder.is_none());
                session.ask(&format!("SELECT IS_FREE_LOCK('leak_{lock}')"), some(&free));
                let own = u8::from(holder == Some(id));
                let used = holder.map(|_| own.to_string());
                let sql = format!("SELECT IS_USED_LOCK('leak_{lock}') = CONNECTION_ID()");
                session.ask(&sql, Ok(used));
                "lock"
            }
        }
    }

    fn ask_meaning(session: &mut Session, kind: Kind) -> &'static str {
        if let Some(want) = session.state.meaning(kind) {
            session.ask(&kind.text(session.id), Ok(Some(want)));
        }
        kind.name()
    }

    /// Executes one of the session's statements, which mean what they meant when prepared.
    fn ask_prepared(&mut self, at: usize) -> &'static str {
        let value = self.rng.i64(1..1_000_000);
        let types = self.rng.bool();
        let session = &mut self.sessions[at];
        if session.state.prepared.is_empty() {
            return "nothing prepared";
        }
        let which = self.rng.usize(..session.state.prepared.len());
        let statement = session.state.prepared[which].clone();
        let index = statement.index;
        // The types of parameters are sent with the first execution, and then now and then.
        let execute = |params: Vec<Param>| {
            if types || !statement.executed {
                Step::execute(index, params)
            } else {
                Step::execute_again(index, params)
            }
        };
        session.state.prepared[which].executed = true;
        match statement.kind {
            Kind::Write if session.state.read_only => return "no write",
            Kind::Write => {
                let got = session.play(&execute(vec![Param::int(value)]), true);
                assert_eq!(got, Ok(Vec::new()), "{}", session.report());
                session.wrote(value);
            }
            Kind::Own => {
                let n = session.state.open.unwrap_or(session.committed);
                let got = session.play(&execute(Vec::new()), true);
                session.expect(got, Ok(Some(n.to_string())));
            }
            kind => {
                let params = if kind == Kind::Place { vec![Param::text("!")] } else { Vec::new() };
                let got = session.play(&execute(params), true);
                if let Some(want) = statement.meaning(&session.state) {
                    session.expect(got, Ok(Some(want)));
                }
            }
        }
        statement.kind.prepared_name()
    }

    // ---- changes

    fn act(&mut self, at: usize) -> &'static str {
        let value = self.rng.i64(1..1_000_000);
        // Transactions are short, so that they do not keep everything on the primary.
        let in_transaction = self.sessions[at].state.in_transaction;
        let which = if in_transaction && value % 3 == 0 { 15 } else { self.rng.usize(..22) };
        let which = match (self.sessions[at].freedom, which) {
            (Freedom::Light | Freedom::HoldsNothing, 1 | 2 | 13 | 14 | 17) => 3,
            (Freedom::HoldsNothing, 12 | 15 | 16) => 18,
            (_, 18) if self.pools == Pools::SmallBySession => 0,
            (_, which) => which,
        };
        match which {
            0 => return self.begin_anew(at),
            1 | 2 => return self.lock(at),
            3..=6 => return self.prepare(at),
            _ => {}
        }
        let (mode, zone) = (self.pick(MODES), self.pick(ZONES));
        let charset = self.pick(CHARSETS);
        let session = &mut self.sessions[at];
        match which {
            7 => session.use_schema(value),
            8 => session.set(&format!("SET sql_mode = '{mode}'"), |state| state.mode = mode),
            9 => session.set(&format!("SET time_zone = '{zone}'"), |state| {
                state.zone = Some(zone);
            }),
            10 => session.set(&format!("SET NAMES {} COLLATE {}", charset.0, charset.1), |state| {
                state.charset = Some(charset);
            }),
            11 => {
                let limit = value as usize % 12 + 1;
                session.set(&format!("SET sql_select_limit = {limit}"), |state| {
                    state.limit = Some(limit);
                });
            }
            12 => {
                let slot = usize::from(value % 2 == 1);
                session.set(&format!("SET @v{slot} = {value}"), |state| {
                    state.variables[slot] = Some(value);
                });
            }
            13 | 14 => session.temporary(value),
            15 | 16 => session.transaction(value),
            17 => session.set_autocommit(value % 2 == 0),
            _ => session.write(value),
        }
        [
            "use",
            "sql_mode",
            "time_zone",
            "names",
            "limit",
            "variable",
            "temporary",
            "temporary",
            "transaction",
            "transaction",
            "autocommit",
            "write",
            "write",
            "write",
            "write",
        ][which - 7]
    }

    fn prepare(&mut self, at: usize) -> &'static str {
        let kind = self.pick(&Kind::ALL);
        let session = &mut self.sessions[at];
        if session.state.read_only && kind == Kind::Write {
            return "no write";
        }
        if session.state.prepared.len() >= MAX_PREPARED {
            let which = self.rng.usize(..MAX_PREPARED);
            let old = session.state.prepared.swap_remove(which);
            session.play(&Step::close(old.index), false).unwrap();
        }
        let text = kind.text(session.id);
        let got = session.play(&Step::prepare(&text), false);
        assert!(got.is_ok(), "{got:?}\n{}", session.report());
        session.state.prepare(kind);
        "prepare"
    }

    fn lock(&mut self, at: usize) -> &'static str {
        let lock = self.rng.usize(..LOCKS);
        let session = &mut self.sessions[at];
        let id = session.id;
        let (sql, want) = match self.locks.get(&lock) {
            Some(holder) if *holder == id => {
                self.locks.remove(&lock);
                (format!("SELECT RELEASE_LOCK('leak_{lock}')"), Some("1"))
            }
            Some(_) if self.rng.bool() => {
                (format!("SELECT RELEASE_LOCK('leak_{lock}')"), Some("0"))
            }
            Some(_) => (format!("SELECT GET_LOCK('leak_{lock}', 0)"), Some("0")),
            None if self.rng.u8(..4) == 0 => (format!("SELECT RELEASE_LOCK('leak_{lock}')"), None),
            None => {
                self.locks.insert(lock, id);
                (format!("SELECT GET_LOCK('leak_{lock}', 0)"), Some("1"))
            }
        };
        session.ask(&sql, Ok(want.map(str::to_owned)));
        "take or release a lock"
    }

    /// The session loses everything but what it has committed.
    fn begin_anew(&mut self, at: usize) -> &'static str {
        let account = self.rng.usize(..ACCOUNTS.len());
        let schema = self.pick(ACCOUNTS[account].1);
        let port = self.proxy.port();
        let session = &mut self.sessions[at];
        let (id, committed) = (session.id, session.committed);
        let name = match self.rng.u8(..3) {
            0 => {
                let got = session.play(&leaks_model::reset(), false);
                assert_eq!(got, Ok(Vec::new()), "{}", session.report());
                let State { account, schema, next_statement, .. } = session.state;
                session.state = State::new(Fresh::Reset, account, schema, next_statement);
                "reset"
            }
            1 => {
                session.history.push(format!("COM_CHANGE_USER to {account} in {schema}"));
                let packet = session.client.change_user(&options(account, schema)).unwrap();
                assert_eq!(packet.payload[0], 0, "session {id}: {packet:?}\n{}", session.report());
                session.state = State::new(Fresh::Login, account, schema, 0);
                "change user"
            }
            _ => {
                // Its connections may be all that there are.
                session.client.send(&[0x01]).unwrap();
                // What another client wrote, the next one need not see before the replicas have it.
                self.lab.wait_caught_up();
                *session = Session::new(id, port, account, schema, session.freedom);
                session.committed = committed;
                "connect"
            }
        };
        // A server frees the locks of a connection soon after it has ended.
        let held: Vec<_> = self.locks.iter().filter(|(_, holder)| **holder == id).collect();
        let held: Vec<usize> = held.into_iter().map(|(lock, _)| *lock).collect();
        for lock in held {
            self.locks.remove(&lock);
            eventually("the lock is free", || {
                let sql = format!("SELECT IS_FREE_LOCK('leak_{lock}')");
                self.sessions[at].query(&sql) == Ok(vec![vec![Some("1".to_owned())]])
            });
        }
        name
    }

    /// Ends every connection of the sessions to replicas, from outside. Transactions that are on a
    /// replica are ended before: they would be lost, which is not what is looked at here.
    fn kill_replica_connections(&mut self) {
        for session in &mut self.sessions {
            if session.state.read_only {
                session.run("COMMIT");
                session.state.read_only = false;
                session.state.in_transaction = false;
            }
        }
        let users = "user IN ('app', 'other', 'admin')";
        for server in 1..self.lab.count() {
            let ids = self.lab.sql(
                server,
                &format!(
                    "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist
                            WHERE {users}"
                ),
            );
            // One that has gone by itself is no error.
            for kill in ids.lines() {
                let _ = self.lab.try_sql(server, kill);
            }
            *self.counts.entry("killed".to_owned()).or_default() += ids.lines().count();
            // A server says that it has killed a connection before it closes that: what is sent in
            // between is lost, and nobody can know whether it ran.
            let killed: Vec<_> =
                ids.lines().map(|kill| kill.trim_matches(|c: char| !c.is_ascii_digit())).collect();
            let left = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE id IN (0, {})",
                killed.join(", ")
            );
            if !killed.is_empty() {
                eventually("they are closed", || self.lab.sql(server, &left).trim() == "0");
            }
        }
    }
}

const SCHEMA: &str = "
    CREATE TABLE shop.place (place VARCHAR(10) NOT NULL);
    INSERT INTO shop.place VALUES ('shop');
    CREATE TABLE other.place (place VARCHAR(10) NOT NULL);
    INSERT INTO other.place VALUES ('other');
    CREATE TABLE shop.shade (n BIGINT NOT NULL);
    INSERT INTO shop.shade VALUES (-1);
    CREATE TABLE shop.ten (n INT NOT NULL);
    INSERT INTO shop.ten VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10);
    CREATE TABLE shop.mine (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)";

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn run_with(make: Make, pools: Pools) {
    let lab = Lab::start(make, 2);
    lab.sql(0, SCHEMA);
    let rows: Vec<String> = (0..pools.sessions()).map(|id| format!("({id}, 0)")).collect();
    lab.sql(0, &format!("INSERT INTO shop.mine VALUES {}", rows.join(", ")));
    lab.wait_caught_up();
    let proxy = Proxy::start(&lab, &pools.config(&lab));
    eventually("both replicas take reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 3.0
    });
    let seed = from_environment("LEAKS_SEED", 20);
    let steps = from_environment("LEAKS_STEPS", STEPS);
    let steps = if pools == Pools::Ample { steps } else { steps / 2 };
    println!("{make}, {pools:?}: LEAKS_SEED={seed} LEAKS_STEPS={steps}");
    let mut rng = Rng::with_seed(seed as u64);
    let sessions = (0..pools.sessions()).map(|id| {
        let account = rng.usize(..ACCOUNTS.len());
        let schema = ACCOUNTS[account].1[rng.usize(..ACCOUNTS[account].1.len())];
        Session::new(id, proxy.port(), account, schema, pools.freedom(id))
    });
    let (sessions, locks, counts) = (sessions.collect(), BTreeMap::new(), BTreeMap::new());
    let mut test = Test { lab, pools, proxy, rng, sessions, locks, counts };
    for step in 1..=steps {
        test.step();
        if step % KILL_EVERY == 0 {
            test.kill_replica_connections();
        }
    }
    let metrics = test.proxy.metrics();
    let on = |target| metrics.sum("lagwise_queries_total", &[("target", target)]);
    let (on_primary, on_replicas) = (on("primary"), on("replica"));
    println!("{make}: {on_primary} on the primary, {on_replicas} on replicas, {:?}", test.counts);
    // Of two sessions one keeps to the primary.
    let share = if pools == Pools::SmallBySession { 20.0 } else { 10.0 };
    assert!(on_replicas > steps as f64 / share, "only {on_replicas} statements ran on replicas");
    assert!(test.counts["killed"] > 0 && test.counts.len() > 25, "{:?}", test.counts);
    if pools == Pools::Small {
        let own = metrics.sum("lagwise_checkouts_total", &[("outcome", "own")]);
        let all = metrics.sum("lagwise_checkouts_total", &[]);
        assert!(own < all / 2.0, "{own} of {all} times the session's own connection was there");
    }
}

fn run(make: Make) {
    for pools in [Pools::Ample, Pools::Small, Pools::SmallBySession] {
        run_with(make, pools);
    }
}

#[test]
fn sessions_do_not_leak_on_mysql() {
    run(Make::MySql);
}

#[test]
fn sessions_do_not_leak_on_mariadb() {
    run(Make::MariaDb);
}
