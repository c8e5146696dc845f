//! Statements of PREPARE … FROM, by name: EXECUTE is judged by what was prepared. Pure.
//!
//! The client's PREPARE runs on the primary, whose errors count. If its text stood in it as one literal,
//! it is remembered whole, with what it was read under, so that EXECUTE of a read can run on a replica:
//! there the same PREPARE is sent once before ([`super::text_execute`]). What USING names counts for the
//! EXECUTE as if it stood in the statement: user variables live on the primary's connection.
//!
//! Deliberately absent: texts that are not known (PREPARE … FROM @variable). EXECUTE of these is taken
//! for a write.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::effects::asks_about_last;
use crate::backend::parse_state::ParseState;
use crate::backend::text_statements::TextStatement;
use crate::route::{HoldReason, is_server_schema};
use crate::sql::{self, Flags, LexMode, Statement, StatementKind, TextPrepare};

/// Bound on names that are remembered; further ones are not known.
const MAX_NAMES: usize = 1000;

/// Bound on what is remembered of their texts, in bytes; further ones are not known.
const MAX_BYTES: usize = 1 << 20;

/// A statement that a name stands for.
#[derive(Debug)]
struct Known {
    statement: Statement,
    /// Tells it from others that had the name before.
    version: u64,
    /// The PREPARE, and the text in it.
    sql: Box<[u8]>,
    text: Box<[u8]>,
    /// What both were read under.
    parse_state: Arc<ParseState>,
}

impl Known {
    fn len(&self) -> usize {
        self.sql.len() + self.text.len()
    }
}

/// What is known of the session's statements.
#[derive(Debug, Default)]
pub struct TextPrepared {
    known: HashMap<Vec<u8>, Known>,
    /// Of the last PREPARE; counts on when all is forgotten, for connections remember versions.
    version: u64,
    /// Length of what is remembered.
    bytes: usize,
    /// One of them asks about the statement before it.
    asks: bool,
}

/// What becomes of the names once the server has answered.
#[derive(Debug, Default)]
pub struct Outcome(Option<Named>);

/// A name is dropped, or stands for something else.
#[derive(Debug)]
struct Named {
    name: Vec<u8>,
    /// The PREPARE and the text in it, if that is known.
    prepared: Option<(Box<[u8]>, Vec<u8>)>,
}

impl TextPrepared {
    /// What `statement`, whose text is `sql`, is to be taken for, and what is to be noted when its
    /// answer is there.
    pub fn judge(
        &mut self,
        statement: Statement,
        sql: Option<&[u8]>,
        mode: &LexMode,
    ) -> (Statement, Outcome) {
        let sql = sql.filter(|_| is_one(&statement) && is_of_names(statement.kind));
        let named = |name, prepared| Outcome(Some(Named { name, prepared }));
        let meant = match sql.and_then(|sql| Some((sql, sql::text_prepare(sql, mode)?))) {
            Some((sql, TextPrepare::Prepare { name, text })) => {
                return (statement, named(name, text.map(|text| (sql.into(), text))));
            }
            Some((_, TextPrepare::Deallocate { name })) => return (statement, named(name, None)),
            Some((_, TextPrepare::Execute { name })) => {
                self.known.get(&name).map(|known| known.statement)
            }
            Some((_, TextPrepare::Immediate { text })) => Some(sql::classify(&text, mode)),
            None => None,
        };
        match meant {
            Some(meant) if may_be_taken_for(&meant) => {
                if let Some(executed) = executed(&statement, meant) {
                    return (executed, Outcome::default());
                }
            }
            _ => self.forget_after(&meant.unwrap_or(statement)),
        }
        (statement, Outcome::default())
    }

    /// Before a statement runs that is not of these: a procedure may prepare what it likes under any
    /// name.
    pub fn forget_after(&mut self, statement: &Statement) {
        if !is_one(statement) || may_prepare(statement) {
            self.clear();
        }
    }

    /// The server has answered; the session is in `parse_state`.
    pub fn note(
        &mut self,
        outcome: Outcome,
        succeeded: bool,
        mode: &LexMode,
        parse_state: impl FnOnce() -> Arc<ParseState>,
    ) {
        let Some(Named { name, prepared }) = outcome.0 else { return };
        // One that fails drops what had the name.
        if let Some(former) = self.known.remove(&name) {
            self.bytes -= former.len();
        }
        if let Some((sql, text)) = prepared.filter(|_| succeeded) {
            self.version += 1;
            let parse_state = parse_state();
            let mut statement = sql::classify(&text, mode);
            if is_server_schema(parse_state.schema()) {
                statement.flags |= Flags::SERVER_SCHEMA;
            }
            let version = self.version;
            let known = Known { statement, version, sql, text: text.into(), parse_state };
            if self.known.len() < MAX_NAMES && self.bytes + known.len() <= MAX_BYTES {
                self.bytes += known.len();
                self.known.insert(name, known);
            }
        }
        self.asks = self.known.values().any(|known| asks_about_last(&known.statement));
    }

    /// The statement that `sql`, an EXECUTE, names; `None` if there is none to be prepared before.
    pub fn executed<'a>(&'a self, sql: &[u8], mode: &LexMode) -> Option<TextStatement<'a>> {
        let TextPrepare::Execute { name } = sql::text_prepare(sql, mode)? else { return None };
        let (name, known) = self.known.get_key_value(&name)?;
        let Known { version, ref sql, ref parse_state, .. } = *known;
        Some(TextStatement { name, version, sql, parse_state })
    }

    /// The text that is run by `sql`, an EXECUTE.
    pub fn text(&self, sql: &[u8], mode: &LexMode) -> Option<Cow<'_, [u8]>> {
        match sql::text_prepare(sql, mode)? {
            TextPrepare::Execute { name } => {
                self.known.get(&name).map(|known| (&*known.text).into())
            }
            TextPrepare::Immediate { text } => Some(text.into()),
            TextPrepare::Prepare { .. } | TextPrepare::Deallocate { .. } => None,
        }
    }

    /// Whether a name stands for this version.
    pub fn is_open(&self, name: &[u8], version: u64) -> bool {
        self.known.get(name).is_some_and(|known| known.version == version)
    }

    /// Whether there are statements of PREPARE whose text is known.
    pub fn has_some(&self) -> bool {
        !self.known.is_empty()
    }

    /// ROW_COUNT() and kin in a prepared statement ask about the one that runs before it, which must
    /// therefore run on the same connection. (FOUND_ROWS() stays as it is when another is prepared.)
    pub fn hold(&self) -> Option<HoldReason> {
        self.asks.then_some(HoldReason::TextPrepare)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if !self.known.is_empty() {
            *self = Self { version: self.version, ..Self::default() };
        }
    }
}

/// The statement that an EXECUTE, as `outer`, of `meant` is, if that can be told.
fn executed(outer: &Statement, mut meant: Statement) -> Option<Statement> {
    if outer.flags.contains(Flags::UNKNOWN_FUNCTION) {
        return None;
    }
    // Where a tag stands, only the text that it stands in could say.
    if meant.hint.is_some_and(|hint| hint.tag.is_some()) {
        meant.hint = None;
        meant.flags |= Flags::BAD_HINT;
    }
    meant.flags |= outer.flags | Flags::TEXT_PREPARED;
    meant.hint = outer.hint.or(meant.hint);
    Some(meant)
}

/// Whether all that the statement does is known.
fn may_be_taken_for(statement: &Statement) -> bool {
    (statement.is_query() || statement.kind == StatementKind::LockingRead) && is_one(statement)
}

fn is_one(statement: &Statement) -> bool {
    !statement.flags.intersects(Flags::MULTI | Flags::AMBIGUOUS)
}

fn is_of_names(kind: StatementKind) -> bool {
    use StatementKind::{TextDeallocate, TextExecute, TextPrepare};
    matches!(kind, TextPrepare | TextExecute | TextDeallocate)
}

fn may_prepare(statement: &Statement) -> bool {
    use StatementKind::{Call, Unknown};
    is_of_names(statement.kind) || matches!(statement.kind, Call | Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::HintTarget;

    fn mode() -> LexMode {
        LexMode::default()
    }

    fn run(known: &mut TextPrepared, sql: &str, succeeds: bool) -> Statement {
        let statement = sql::classify(sql.as_bytes(), &mode());
        let (judged, outcome) = known.judge(statement, Some(sql.as_bytes()), &mode());
        known.note(outcome, succeeds, &mode(), Arc::default);
        judged
    }

    fn after(before: &[(&str, bool)]) -> TextPrepared {
        let mut known = TextPrepared::default();
        for (sql, succeeds) in before {
            run(&mut known, sql, *succeeds);
        }
        known
    }

    #[test]
    fn execute_is_what_was_prepared() {
        /// Where it may go and what it leaves.
        #[derive(Debug, PartialEq)]
        enum Is {
            Read,
            OnPrimary,
            Write,
        }
        use Is::{OnPrimary, Read, Write};
        #[track_caller]
        fn check(before: &[(&str, bool)], sql: &str, want: Is) {
            let judged = run(&mut after(before), sql, true);
            let got = match (judged.is_read(), judged.may_write()) {
                (true, _) => Read,
                (false, false) => OnPrimary,
                (false, true) => Write,
            };
            assert_eq!(got, want, "{before:?} {sql}");
        }
        let read = ("PREPARE s FROM 'SELECT a FROM t WHERE b = ?'", true);
        let write = ("PREPARE s FROM 'DELETE FROM t'", true);
        check(&[], "EXECUTE s", Write);
        check(&[read], "EXECUTE S", Read);
        check(&[read], "EXECUTE S USING @a", OnPrimary);
        check(&[read], "EXECUTE s USING 1, 'a'", Read);
        check(&[read], "EXECUTE s USING LAST_INSERT_ID()", OnPrimary);
        check(&[read], "EXECUTE s USING f(1)", Write);
        check(&[read], "EXECUTE s; EXECUTE s", Write);
        check(&[write], "EXECUTE s", Write);
        check(&[read, write], "EXECUTE s", Write);
        check(&[write, read], "EXECUTE s", Read);
        check(&[read, ("PREPARE s FROM 'SELEC 1'", false)], "EXECUTE s", Write);
        check(&[read, ("PREPARE s FROM @a", true)], "EXECUTE s", Write);
        check(&[read, ("DEALLOCATE PREPARE s", true)], "EXECUTE s", Write);
        check(&[read, ("DROP PREPARE t", true)], "EXECUTE s", Read);
        check(&[read, ("CALL p()", true)], "EXECUTE s", Write);
        check(&[read, ("EXECUTE t", true)], "EXECUTE s", Write);
        let other = ("PREPARE t FROM 'DELETE FROM t'", true);
        check(&[read, other, ("EXECUTE t", true)], "EXECUTE s", Read);
        let call = ("PREPARE t FROM 'CALL p()'", true);
        check(&[read, call, ("EXECUTE t", true)], "EXECUTE s", Write);
        check(&[read, ("SELECT 1; PREPARE s FROM 'DELETE FROM t'", true)], "EXECUTE s", Write);
        check(&[read, ("PREPARE \u{e9} FROM 'DELETE FROM t'", true)], "EXECUTE s", Write);
        check(&[("PREPARE s FROM 'SELECT f(1)'", true)], "EXECUTE s", Write);
        check(&[("PREPARE s FROM 'SELECT 1 FOR UPDATE'", true)], "EXECUTE s", OnPrimary);
        check(&[("PREPARE s FROM 'SELECT @a'", true)], "EXECUTE s", OnPrimary);
        check(&[("PREPARE s FROM 'CALL p()'", true)], "EXECUTE s", Write);
    }

    #[test]
    fn hints_stand_before_execute_or_in_the_text() {
        #[track_caller]
        fn check(text: &str, execute: &str, want: Option<HintTarget>, bad: bool) {
            let prepare = format!("PREPARE s FROM '{text}'");
            let judged = run(&mut after(&[(&prepare, true)]), execute, true);
            assert_eq!(judged.hint.and_then(|hint| hint.target), want, "{prepare} {execute}");
            assert_eq!(judged.flags.contains(Flags::BAD_HINT), bad, "{prepare} {execute}");
        }
        let (primary, replica) = (Some(HintTarget::Primary), Some(HintTarget::Replica));
        check("SELECT 1", "EXECUTE s", None, false);
        check("/* lagwise: primary */ SELECT 1", "EXECUTE s", primary, false);
        check("SELECT 1", "/* lagwise: primary */ EXECUTE s", primary, false);
        let both = "/* lagwise: replica */ EXECUTE s";
        check("/* lagwise: primary */ SELECT 1", both, replica, false);
        check("/* lagwise: replica=big */ SELECT 1", "EXECUTE s", None, true);
    }

    #[test]
    fn what_is_prepared_again_is_what_was_prepared_last() {
        let (first, second) = ("PREPARE s FROM 'SELECT 1'", "/* 2 */ PREPARE S FROM 'SELECT 2'");
        let mut known = after(&[(first, true)]);
        let version = known.executed(b"EXECUTE s", &mode()).unwrap().version;
        assert!(known.is_open(b"s", version));
        run(&mut known, second, true);
        assert!(!known.is_open(b"s", version));
        let found = known.executed(b"EXECUTE s USING 1", &mode()).unwrap();
        assert_eq!((found.name, found.sql), (&b"s"[..], second.as_bytes()));
        assert!(known.is_open(b"s", found.version));
        let last = found.version;
        assert_eq!(known.text(b"EXECUTE `s`", &mode()).as_deref(), Some(&b"SELECT 2"[..]));
        known.clear();
        assert!(!known.is_open(b"s", last) && known.executed(b"EXECUTE s", &mode()).is_none());
        run(&mut known, first, true);
        assert!(!known.is_open(b"s", version) && !known.is_open(b"s", last), "versions go on");
    }

    #[test]
    fn a_statement_that_asks_holds_until_it_is_gone() {
        let asks = ("PREPARE s FROM 'SELECT ROW_COUNT()'", true);
        let hold = |more: &[(&str, bool)]| after(&[&[asks], more].concat()).hold().is_some();
        assert!(hold(&[]) && hold(&[("PREPARE t FROM 'SELECT 1'", true)]));
        assert!(!hold(&[("DEALLOCATE PREPARE s", true)]));
        assert!(!hold(&[("PREPARE s FROM 'SELECT 1'", true)]));
        assert!(!hold(&[("CALL p()", true)]));
        let shows = after(&[("PREPARE s FROM 'SHOW WARNINGS'", true)]);
        assert!(shows.hold().is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let long = format!("'{}'", "x".repeat(MAX_BYTES / 3));
        let prepare = |n: u32, text: &str| format!("PREPARE s{n} FROM \"SELECT {text}\"");
        let mut known = TextPrepared::default();
        run(&mut known, &prepare(1, &long), true);
        run(&mut known, &prepare(2, &long), true);
        assert!(run(&mut known, "EXECUTE s1", true).is_read());
        assert!(run(&mut known, "EXECUTE s2", true).may_write());
        let mut known = after(&[(&prepare(1, &long), true), ("DROP PREPARE s1", true)]);
        assert_eq!(known.bytes, 0);
        for n in 0..=MAX_NAMES as u32 {
            run(&mut known, &prepare(n, "1"), true);
        }
        assert_eq!(known.known.len(), MAX_NAMES);
    }

    #[test]
    fn a_text_that_was_read_in_a_schema_of_the_server_stays_on_the_primary() {
        let mut known = TextPrepared::default();
        let sql = b"PREPARE s FROM 'SELECT User FROM user'";
        let (_, outcome) = known.judge(sql::classify(sql, &mode()), Some(sql), &mode());
        known.note(outcome, true, &mode(), || Arc::new(ParseState::of(b"mysql", [])));
        let judged = run(&mut known, "EXECUTE s", true);
        assert!(!judged.is_read() && !judged.may_write());
    }
}
