//! Reads from the primary what views, triggers, foreign keys and routines there are, so that writes are
//! known by their tables ([`crate::consistency`]).
//!
//! Read when a session has written where others must see it, after statements that may have changed it, and
//! every [`INTERVAL`] because of changes that did not come through lagwise. The monitor's account needs
//! privileges for it that are asked for first: with less it would see some of it, and what it does not see
//! would be missed. Without them each write counts as one to every table.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ClusterHandle;
use super::position::Flavor;
use crate::backend::{self, Connection};
use crate::consistency::{Catalogue, Definition, Writes};
use crate::protocol::text_row::Row;

/// Changes past lagwise are known after this long.
const INTERVAL: Duration = Duration::from_secs(10);
/// The pause is so many times as long as the reading took, at least: large catalogues are read less often.
const PAUSE_FACTOR: u32 = 20;
/// Deadline of one reading, connecting included.
const DEADLINE: Duration = Duration::from_secs(30);
/// Definitions beyond these are too many, and nothing is known by table.
const MAX_DEFINITIONS: usize = 100_000;

const PRIVILEGES: &str = "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES \
     WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')";
const PARTIAL_REVOKES: &str = "SELECT @@global.partial_revokes";
const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')";
const TRIGGERS: &str = "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, ACTION_STATEMENT, SQL_MODE \
     FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA NOT IN ('mysql', 'sys')";
const FOREIGN_KEYS: &str = "SELECT UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, CONSTRAINT_SCHEMA, \
     TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
     WHERE UPDATE_RULE NOT IN ('NO ACTION', 'RESTRICT') OR DELETE_RULE NOT IN ('NO ACTION', 'RESTRICT')";
const VIEWS: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS \
     WHERE TABLE_SCHEMA NOT IN ('mysql', 'sys')";
const MYSQL_ROUTINES: &str = "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_DEFINITION, SQL_MODE \
     FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN ('mysql', 'sys')";
/// information_schema of MariaDB shows bodies only to those who may read this.
const MARIADB_ROUTINES: &str =
    "SELECT db, name, body_utf8, sql_mode FROM mysql.proc WHERE db <> 'sys'";

/// Keeps what `writes` knows of the catalogue up to date, once it is used; never ends.
pub async fn refresh(cluster: Arc<ClusterHandle>, writes: Arc<Writes>) {
    let mut told = None;
    let mut pause = INTERVAL;
    loop {
        // A change that comes while the catalogue is read has it read once more.
        let _ = timeout(pause, writes.catalogue_changed()).await;
        if !writes.is_used() {
            continue;
        }
        let (changes, started) = (writes.changes(), Instant::now());
        let result = read(&cluster).await;
        let outcome = result.as_ref().err().map(ToString::to_string);
        if told.as_ref() != Some(&outcome) {
            match &outcome {
                None => tracing::info!("consistency by table: the catalogue is known"),
                Some(error) => tracing::warn!(
                    %error,
                    "consistency by table: the catalogue cannot be read, \
                     so that each write counts as one to every table"
                ),
            }
            told = Some(outcome);
        }
        // Unreachable, say: what was known may have changed by now.
        writes.set_catalogue(changes, result.ok());
        pause = INTERVAL.max(started.elapsed() * PAUSE_FACTOR);
    }
}

/// Why the catalogue is not known.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Server(#[from] backend::Error),
    #[error("the monitor's account lacks {missing}: GRANT {cure} TO it on the primary")]
    Privilege { missing: &'static str, cure: &'static str },
    #[error("partial_revokes is on, which may hide a part of it from the monitor's account")]
    PartialRevokes,
    #[error(
        "there are more than {MAX_DEFINITIONS} tables, views, triggers, foreign keys and routines"
    )]
    TooMany,
}

async fn read(cluster: &ClusterHandle) -> Result<Catalogue, Unknown> {
    let deadline = Instant::now() + DEADLINE;
    let mut connection = cluster.connect_to_primary(deadline).await?;
    let flavor = Flavor::of_version(&connection.facts().version);
    check_privileges(&mut connection, flavor, deadline).await?;
    let routines = match flavor {
        Flavor::MySql => MYSQL_ROUTINES,
        Flavor::MariaDb => MARIADB_ROUTINES,
    };
    let mut definitions = Vec::new();
    for (sql, define) in [
        (TABLES, table as fn(Row) -> Option<Definition>),
        (TRIGGERS, trigger),
        (routines, routine),
        (FOREIGN_KEYS, foreign_key),
        (VIEWS, view),
    ] {
        let rows = match connection.query_rows(sql, deadline).await {
            Err(error) if sql == MARIADB_ROUTINES && error.server().is_some() => {
                let missing = "SELECT on mysql.proc";
                return Err(Unknown::Privilege { missing, cure: "SELECT ON mysql.proc" });
            }
            rows => rows?,
        };
        definitions.extend(rows.into_iter().filter_map(define));
        if definitions.len() > MAX_DEFINITIONS {
            return Err(Unknown::TooMany);
        }
    }
    connection.quit().await;
    Ok(Catalogue::new(definitions))
}

async fn check_privileges(
    connection: &mut Connection,
    flavor: Flavor,
    deadline: Instant,
) -> Result<(), Unknown> {
    let rows = connection.query_rows(PRIVILEGES, deadline).await?;
    let has = |name: &str| {
        rows.iter().flatten().flatten().any(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    };
    let lacks = |missing, cure| Err(Unknown::Privilege { missing, cure });
    if !has("SHOW VIEW") {
        return lacks("SHOW VIEW", "SHOW VIEW ON *.*");
    }
    if !has("TRIGGER") {
        return lacks("TRIGGER", "TRIGGER ON *.*");
    }
    if flavor == Flavor::MariaDb {
        return Ok(());
    }
    if !has("SHOW_ROUTINE") && !has("SELECT") {
        return lacks("SHOW_ROUTINE", "SHOW_ROUTINE ON *.*");
    }
    let rows = connection.query_rows(PARTIAL_REVOKES, deadline).await?;
    let is_off = rows.iter().flatten().flatten().any(|value| value == b"0");
    if is_off { Ok(()) } else { Err(Unknown::PartialRevokes) }
}

fn table(row: Row) -> Option<Definition> {
    let [Some(schema), Some(name)] = <[_; 2]>::try_from(row).ok()? else { return None };
    Some(Definition::Table { schema, name })
}

fn trigger(row: Row) -> Option<Definition> {
    let [Some(schema), Some(table), body, sql_mode] = <[_; 4]>::try_from(row).ok()? else {
        return None;
    };
    Some(Definition::Trigger { schema, table, body, ansi_quotes: has_ansi_quotes(sql_mode) })
}

fn routine(row: Row) -> Option<Definition> {
    let [Some(schema), Some(name), body, sql_mode] = <[_; 4]>::try_from(row).ok()? else {
        return None;
    };
    Some(Definition::Routine { schema, name, body, ansi_quotes: has_ansi_quotes(sql_mode) })
}

fn foreign_key(row: Row) -> Option<Definition> {
    let names = <[_; 4]>::try_from(row).ok()?;
    let [Some(parent_schema), Some(parent), Some(schema), Some(child)] = names else { return None };
    Some(Definition::ForeignKey { parent: (parent_schema, parent), child: (schema, child) })
}

fn view(row: Row) -> Option<Definition> {
    let [Some(schema), Some(name), query] = <[_; 3]>::try_from(row).ok()? else { return None };
    Some(Definition::View { schema, name, query })
}

fn has_ansi_quotes(sql_mode: Option<Vec<u8>>) -> bool {
    let sql_mode = sql_mode.unwrap_or_default();
    sql_mode.split(|byte| *byte == b',').any(|mode| mode == b"ANSI_QUOTES")
}
