//! Statements of PREPARE … FROM, by name: EXECUTE is judged by what was prepared. Pure.
//!
//! They live on the primary's connection, and so EXECUTE runs there; but one that only reads does not
//! pin the session.

use std::collections::HashMap;

use crate::sql::{self, Flags, LexMode, Statement, StatementKind, TextPrepare};

/// Bound on names that are remembered; further ones are not known.
const MAX_NAMES: usize = 1000;

/// What is known of the session's statements.
#[derive(Debug, Default)]
pub struct TextPrepared {
    known: HashMap<Vec<u8>, Statement>,
}

/// What becomes of the names once the server has answered.
#[derive(Debug, Default)]
pub struct Outcome(Option<TextPrepare>);

impl TextPrepared {
    /// What `statement`, whose text is `sql`, is to be taken for, and what is to be noted when its
    /// answer is there.
    pub fn judge(
        &mut self,
        statement: Statement,
        sql: Option<&[u8]>,
        mode: &LexMode,
    ) -> (Statement, Outcome) {
        let is_one = !statement.flags.intersects(Flags::MULTI | Flags::AMBIGUOUS);
        let found = match statement.kind {
            StatementKind::TextPrepare
            | StatementKind::TextExecute
            | StatementKind::TextDeallocate
                if is_one =>
            {
                sql.and_then(|sql| sql::text_prepare(sql, mode))
            }
            _ => None,
        };
        let known = match &found {
            Some(TextPrepare::Execute { name }) => self.known.get(name).copied(),
            Some(TextPrepare::Immediate { text }) => Some(sql::classify(text, mode)),
            Some(_) => return (statement, Outcome(found)),
            None => None,
        };
        let reads = |known: &Statement| {
            (known.is_query() || known.kind == StatementKind::LockingRead)
                && !known
                    .flags
                    .intersects(Flags::UNKNOWN_FUNCTION | Flags::AMBIGUOUS | Flags::MULTI)
        };
        if let Some(mut known) = known.filter(reads) {
            known.flags |= Flags::TEXT_PREPARED;
            known.hint = None;
            return (known, Outcome(None));
        }
        // A procedure may prepare what it likes under any name.
        if !is_one || may_prepare(statement.kind) {
            self.clear();
        }
        (statement, Outcome(None))
    }

    /// The server has answered.
    pub fn note(&mut self, outcome: Outcome, succeeded: bool, mode: &LexMode) {
        match outcome.0 {
            // One that fails drops what had the name.
            Some(TextPrepare::Prepare { name, text }) => {
                self.known.remove(&name);
                let text = text.filter(|_| succeeded && self.known.len() < MAX_NAMES);
                if let Some(text) = text {
                    self.known.insert(name, sql::classify(&text, mode));
                }
            }
            Some(TextPrepare::Deallocate { name }) => {
                self.known.remove(&name);
            }
            _ => {}
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if !self.known.is_empty() {
            self.known = HashMap::new();
        }
    }
}

fn may_prepare(kind: StatementKind) -> bool {
    use StatementKind::{Call, TextExecute, TextPrepare, Unknown};
    matches!(kind, Call | TextExecute | TextPrepare | Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode() -> LexMode {
        LexMode::default()
    }

    fn run(known: &mut TextPrepared, sql: &str, succeeds: bool) -> Statement {
        let statement = sql::classify(sql.as_bytes(), &mode());
        let (judged, outcome) = known.judge(statement, Some(sql.as_bytes()), &mode());
        known.note(outcome, succeeds, &mode());
        judged
    }

    #[test]
    fn execute_is_what_was_prepared() {
        #[track_caller]
        fn check(before: &[(&str, bool)], sql: &str, writes: bool) {
            let mut known = TextPrepared::default();
            for (sql, succeeds) in before {
                run(&mut known, sql, *succeeds);
            }
            let judged = run(&mut known, sql, true);
            assert_eq!(judged.may_write(), writes, "{before:?} {sql}");
            assert!(!judged.is_read(), "it runs where it was prepared");
        }
        let read = ("PREPARE s FROM 'SELECT a FROM t WHERE b = ?'", true);
        let write = ("PREPARE s FROM 'DELETE FROM t'", true);
        check(&[], "EXECUTE s", true);
        check(&[read], "EXECUTE S USING @a", false);
        check(&[write], "EXECUTE s", true);
        check(&[read, write], "EXECUTE s", true);
        check(&[write, read], "EXECUTE s", false);
        check(&[read, ("PREPARE s FROM 'SELEC 1'", false)], "EXECUTE s", true);
        check(&[read, ("PREPARE s FROM @a", true)], "EXECUTE s", true);
        check(&[read, ("DEALLOCATE PREPARE s", true)], "EXECUTE s", true);
        check(&[read, ("DROP PREPARE t", true)], "EXECUTE s", false);
        check(&[read, ("CALL p()", true)], "EXECUTE s", true);
        check(&[read, ("SELECT 1; PREPARE s FROM 'DELETE FROM t'", true)], "EXECUTE s", true);
        check(&[read, ("PREPARE \u{e9} FROM 'DELETE FROM t'", true)], "EXECUTE s", true);
        check(&[("PREPARE s FROM 'SELECT f(1)'", true)], "EXECUTE s", true);
        check(&[("PREPARE s FROM 'SELECT 1 FOR UPDATE'", true)], "EXECUTE s", false);
        check(&[("PREPARE s FROM 'CALL p()'", true)], "EXECUTE s", true);
    }
}
