//! A look at one server for a person, on a connection of its own: `lagwise check --connect`.
//!
//! The login and the first question are the monitor's own, within the same time: what fails here would
//! fail there. The rest is for [`super::findings`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::ask::{LOG_PRIVILEGE, NO_PRIVILEGE};
use super::channels::{Channel, read_channels};
use super::monitor::connect;
use super::position::Flavor;
use super::probe::{
    Refusal, SENT_QUESTIONS, ServerState, channels_question, privilege, question, read_answer,
};
use super::settings::{Server, Settings};
use crate::backend::{Connection, Error};
use crate::protocol::text_row::Table;

/// Settings of a server that matter to lagwise, under the names of any version.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('gtid_mode', \
    'enforce_gtid_consistency', 'gtid_strict_mode', 'gtid_domain_id', 'log_bin', 'binlog_format', \
    'log_replica_updates', 'log_slave_updates', 'replica_preserve_commit_order', \
    'slave_preserve_commit_order', 'replica_parallel_workers', 'slave_parallel_workers', \
    'read_only', 'super_read_only', 'max_connections')";

/// Whose privileges count, and the server's clock in microseconds.
const ACCOUNT: &str =
    "SELECT CURRENT_USER(), CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS DECIMAL(20, 0))";

/// What one server said.
#[derive(Debug)]
pub struct Seen {
    /// From the first byte to the end of the login.
    pub took: Duration,
    /// As it greets clients.
    pub version: String,
    /// The same as a number: 90700 for 9.7.0, 0 if it cannot be read.
    pub version_number: u32,
    /// Its make.
    pub flavor: Flavor,
    /// The monitor's account as grants name it, quoted.
    pub account: String,
    /// What a probe is told.
    pub state: ServerState,
    /// Global variables by name, in lower case; without those that its version lacks.
    pub variables: BTreeMap<String, String>,
    /// How far its clock is ahead of this host's, in microseconds, give or take half of a round trip.
    pub clock: Option<i64>,
    /// Its replication; `None`: it would not say.
    pub sources: Option<Vec<Source>>,
    /// Privileges without which it did not answer.
    pub lacks: BTreeSet<&'static str>,
}

/// A replication channel.
#[derive(Debug)]
pub struct Source {
    /// What the monitor reads of it.
    pub channel: Channel,
    /// `host:port` of the source.
    pub address: String,
    /// `Replica_IO_Running`: `Yes`, `No` or `Connecting`.
    pub receiver: String,
    /// `Replica_SQL_Running`: `Yes` or `No`.
    pub applier: String,
    /// Codes of the last errors of the two, 0 for none. Their texts may hold data of a table.
    pub errors: [u32; 2],
}

impl Seen {
    /// The first of these variables that there is.
    pub fn variable(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.variables.get(*name)).map(String::as_str)
    }

    /// Whether a variable is there and not off.
    pub fn is_on(&self, names: &[&str]) -> Option<bool> {
        self.variable(names).map(|value| !["OFF", "0", ""].contains(&value))
    }

    /// Whether accounts without special privileges may write; `None`: it would not say.
    pub fn is_writable(&self) -> Option<bool> {
        self.state.read_only.map(|flags| !flags.read_only && !flags.super_read_only)
    }
}

/// Logs in and asks. Each of its steps takes `check_timeout` at most.
///
/// # Errors
/// Why lagwise could not use the server, for people.
pub async fn inspect(server: &Server, settings: &Settings) -> Result<Seen, String> {
    look(server, settings).await.map_err(|error| match &error {
        Error::Server(err) if Refusal::of_code(err.code, true) == Refusal::Denied => {
            format!("it refuses the monitor's account: {error}")
        }
        Error::Auth(_) => format!("the monitor's account cannot log in: {error}"),
        _ => format!("it cannot be used: {error}"),
    })
}

async fn look(server: &Server, settings: &Settings) -> Result<Seen, Error> {
    let limit = settings.check_timeout;
    let begun = Instant::now();
    let deadline = begun + limit;
    let connection = &mut connect(&server.endpoint, settings, deadline, &mut None).await?;
    let took = begun.elapsed();
    let facts = connection.facts();
    let (version, version_number) = (facts.version.clone(), facts.version_number());
    let flavor = Flavor::of_version(&version);
    let state = match connection.query_rows(question(flavor), deadline).await {
        Ok(rows) => read_answer(flavor, &rows),
        Err(Error::Server(err)) => ServerState::unreadable(&err.to_string()),
        Err(error) => return Err(error),
    };
    let mut lacks = BTreeSet::new();
    let variables = connection.query_table(VARIABLES, Instant::now() + limit).await?;
    let before = now();
    let account = connection.query_rows(ACCOUNT, Instant::now() + limit).await?;
    let host_clock = before.midpoint(now());
    let mut columns = account.into_iter().next().unwrap_or_default().into_iter();
    let mut column = || String::from_utf8(columns.next()??).ok();
    let (account, clock) = (column().unwrap_or_default(), column());
    let sql = channels_question(flavor, version_number);
    let told = ask(connection, limit, sql, privilege(flavor), &mut lacks).await?;
    let sources = told.map(|table| sources(flavor, &table));
    if flavor == Flavor::MariaDb {
        ask(connection, limit, SENT_QUESTIONS[0], LOG_PRIVILEGE, &mut lacks).await?;
    }
    Ok(Seen {
        took,
        version: String::from_utf8_lossy(version.strip_prefix(b"5.5.5-").unwrap_or(&version))
            .into_owned(),
        version_number,
        flavor,
        account: quoted(&account),
        state,
        variables: by_name(&variables),
        clock: clock.and_then(|clock| clock.parse::<i64>().ok()).map(|clock| clock - host_clock),
        sources,
        lacks,
    })
}

/// A question that needs a privilege; `None` without it, which is noted.
async fn ask(
    connection: &mut Connection,
    limit: Duration,
    sql: &str,
    privilege: &'static str,
    lacks: &mut BTreeSet<&'static str>,
) -> Result<Option<Table>, Error> {
    match connection.query_table(sql, Instant::now() + limit).await {
        Ok(table) => Ok(Some(table)),
        Err(Error::Server(err)) => {
            if err.code == NO_PRIVILEGE {
                lacks.insert(privilege);
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn sources(flavor: Flavor, table: &Table) -> Vec<Source> {
    let channels = read_channels(flavor, table).into_iter();
    let read = |(channel, row)| {
        let text = |names: &[&str]| table.text(row, names).unwrap_or("?").to_owned();
        let code = |names: &[&str]| text(names).parse().unwrap_or_default();
        let host = text(&["Source_Host", "Master_Host"]);
        let port = text(&["Source_Port", "Master_Port"]);
        Source {
            channel,
            address: format!("{host}:{port}"),
            receiver: text(&["Replica_IO_Running", "Slave_IO_Running"]),
            applier: text(&["Replica_SQL_Running", "Slave_SQL_Running"]),
            errors: [code(&["Last_IO_Errno"]), code(&["Last_SQL_Errno"])],
        }
    };
    channels.zip(&table.rows).map(read).collect()
}

fn by_name(table: &Table) -> BTreeMap<String, String> {
    let pair = |row| {
        let name = table.text(row, &["Variable_name"])?.to_ascii_lowercase();
        Some((name, table.text(row, &["Value"])?.to_owned()))
    };
    table.rows.iter().filter_map(pair).collect()
}

/// Microseconds since 1970 by this host's clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or_default()
}

/// `user@host` of CURRENT_USER() as statements write it. A user's name may hold an @, a host's may not.
fn quoted(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    let quote = |name: &str| format!("'{}'", name.replace('\\', "\\\\").replace('\'', "''"));
    format!("{}@{}", quote(user), quote(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_quoted() {
        for (account, want) in [
            ("monitor@%", "'monitor'@'%'"),
            ("a@b@10.%", "'a@b'@'10.%'"),
            ("o'b\\@h", "'o''b\\\\'@'h'"),
            ("@localhost", "''@'localhost'"),
        ] {
            assert_eq!(quoted(account), want);
        }
    }
}
