//! User variables that GET DIAGNOSTICS set on a replica, about a read with warnings there.
//!
//! They belong on the primary, where every other statement looks for them. But to read them ends what
//! the next GET DIAGNOSTICS or SHOW WARNINGS asks about; so they are brought over when the first
//! statement comes that forgets the warnings anyway.

use tokio::time::Instant;

use super::Session;
use super::context::Settings;
use super::effects::only_looks;
use super::found_rows::{ANSWER_TIME, rows_of};
use super::job::{Done, Failed, Job};
use super::servers::Unavailable;
use crate::protocol::command::code;
use crate::route::Side;
use crate::sql::{self, DiagnosticsItem, Flags, StatementKind};

/// Bound on the variables that wait; what is beyond stays on the replica.
const MAX_STRAYS: usize = 100;

/// A variable on the replica that belongs on the primary.
#[derive(Debug, PartialEq, Eq)]
pub struct Stray {
    /// As it stands in a statement.
    name: Box<[u8]>,
    item: DiagnosticsItem,
}

/// Whether the warnings of the statement before are forgotten at this one.
fn forgets_warnings(job: &Job<'_>) -> bool {
    let command = job.incoming.payload().first();
    let keeps = [code::INIT_DB, code::SET_OPTION, code::STMT_RESET, code::FIELD_LIST];
    let statement = &job.statement;
    let looks = only_looks(statement)
        || statement.flags.intersects(Flags::ABOUT_LAST)
            && !statement.flags.contains(Flags::USES_USER_VARIABLE);
    !looks && !command.is_some_and(|command| keeps.contains(command))
}

impl Session {
    /// After a GET DIAGNOSTICS: notes what it has set on a replica.
    pub(super) fn note_strays(&mut self, job: &Job<'_>, done: &Done) {
        let is_get = job.statement.kind == StatementKind::GetDiagnostics;
        let on_replica = matches!(done, Done::Forwarded(Side::Replica, _)) && !self.is_kept();
        if !is_get || !on_replica || !done.is_success() {
            return;
        }
        let text = self.text_of(job).unwrap_or_default();
        let targets = sql::diagnostics_targets(text, self.state.lex_mode());
        let new: Vec<Stray> =
            targets.into_iter().map(|(name, item)| Stray { name: name.into(), item }).collect();
        self.strays.retain(|stray| new.iter().all(|other| other.name != stray.name));
        self.strays.extend(new);
        self.strays.truncate(MAX_STRAYS);
    }

    /// Before a statement: brings the variables over, if there are any and it forgets the warnings.
    ///
    /// # Errors
    /// They are lost. (Without a primary they wait.)
    pub(super) async fn settle_strays(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
    ) -> Result<(), Failed> {
        if self.strays.is_empty() || !forgets_warnings(job) {
            return Ok(());
        }
        if self.have_primary(settings).await.is_none() {
            return Ok(());
        }
        let strays = std::mem::take(&mut self.strays);
        let lost = Failed::Unavailable(Unavailable::StateLost { in_transaction: false });
        let Some(held) = self.servers.get(Side::Replica) else { return Err(lost) };
        let names: Vec<_> =
            strays.iter().map(|stray| String::from_utf8_lossy(&stray.name)).collect();
        // In hexadecimal, whatever the character set.
        let values = names.iter().map(|name| format!(", HEX(CAST({name} AS BINARY))"));
        let ask = format!("SELECT FOUND_ROWS(){}", values.collect::<String>());
        let deadline = Instant::now() + ANSWER_TIME;
        let Ok(rows) = held.guard.query_rows(&ask, deadline).await else { return Err(lost) };
        let mut row = rows.into_iter().flatten();
        let found = row.next().flatten();
        let found = found.and_then(|digits| String::from_utf8(digits).ok()?.parse().ok());
        // Those of a GET DIAGNOSTICS that came to nothing are not there, or would be of an earlier one.
        let unset = names.iter().map(|name| format!("{name}=NULL")).collect::<Vec<_>>().join(", ");
        let mut restore = vec![format!("SET {unset}")];
        if self.state.diagnostics.found_on() == Side::Replica {
            restore.extend(found.map(rows_of));
        }
        for sql in restore {
            held.guard.run(sql.as_bytes()).await.map_err(|_| {
                Failed::Unavailable(Unavailable::StateLost { in_transaction: false })
            })?;
        }
        let values = strays.iter().zip(row).filter_map(|(stray, hex)| stray.assignment(&hex?));
        let assignments = values.collect::<Vec<_>>().join(&b", "[..]);
        let Some(held) = self.servers.get(Side::Primary) else { return Err(lost) };
        if !assignments.is_empty() {
            let sql = [b"SET ", &assignments[..]].concat();
            held.guard.run(&sql).await.map_err(Failed::Lost)?;
            self.state.carry();
        }
        Ok(())
    }
}

impl Stray {
    /// Its part of a SET on the primary, with its value's bytes in hexadecimal digits. Types and character
    /// set are those that GET DIAGNOSTICS gives; measured on both makes.
    fn assignment(&self, hex: &[u8]) -> Option<Vec<u8>> {
        let value = match self.item {
            DiagnosticsItem::Text => [b"CONVERT(X'", hex, b"' USING utf8mb3)"].concat(),
            item => {
                let byte =
                    |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                let digits = hex.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
                match item {
                    DiagnosticsItem::Signed => digits,
                    _ => [b"CAST(", &digits[..], b" AS UNSIGNED)"].concat(),
                }
            }
        };
        Some([&self.name[..], b"=", &value].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments() {
        #[track_caller]
        fn check(item: DiagnosticsItem, hex: &str, want: &str) {
            let stray = Stray { name: b"@a"[..].into(), item };
            let got = stray.assignment(hex.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), want);
        }
        check(DiagnosticsItem::Text, "6162", "@a=CONVERT(X'6162' USING utf8mb3)");
        check(DiagnosticsItem::Text, "", "@a=CONVERT(X'' USING utf8mb3)");
        check(DiagnosticsItem::Signed, "2D31", "@a=-1");
        check(DiagnosticsItem::Unsigned, "313336", "@a=CAST(136 AS UNSIGNED)");
    }
}
