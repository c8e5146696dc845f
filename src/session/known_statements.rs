//! Texts of prepared statements that sessions have in common.
//!
//! A connection that passes from session to session keeps its prepared statements. So a statement's
//! name on a connection must not be a session's own: sessions that prepare the same text, read under
//! the same state, get one [`SharedStatement`], whose ids name it on every connection.
//!
//! One text has several ids, for a server's statement is not only its text. MySQL resolves it anew
//! when a parameter comes as another type than before, and never goes back: after `SELECT ?` was
//! executed with a number, `'abc'` is 0 (measured on MySQL 9.7; MariaDB 10.11 shows it in `-?`). What
//! one session has executed must not be seen by another, so a server's statement is only shared by
//! those who execute it with parameters of the same [`Signature`](super::signature). Everything else
//! (a cursor, long data, parameters that change) gets an id of its own.
//!
//! Bounded: texts that nobody has prepared lately are forgotten, see [`MAX_BYTES`]. Who holds one
//! then keeps it; who comes later gets another. Pure.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::recent::Recent;
use crate::backend::parse_state::ParseState;
use crate::route::is_server_schema;
use crate::sql::{self, Flags, LexMode, Statement, StatementKind};

/// Texts that are remembered, in bytes, with what belongs to them.
pub const MAX_BYTES: usize = 8 << 20;

/// Longer texts are not shared, in bytes.
const MAX_TEXT: usize = 64 << 10;

/// What a text costs besides itself, about, in bytes.
const OVERHEAD: usize = 400;

/// Signatures of one text. Beyond these, each client's statement is its own: somebody inserts rows
/// with ever other columns NULL.
const MAX_VARIANTS: usize = 16;

/// What a statement may ask of, or leave on, the connection that it is executed on. MySQL looks at a
/// user variable's type when it prepares.
const OF_ONE_SESSION: Flags = Flags::USES_USER_VARIABLE
    .union(Flags::ASSIGNS_USER_VARIABLE)
    .union(Flags::SESSION_FUNCTION)
    .union(Flags::ROW_COUNT_FUNCTION)
    .union(Flags::CONDITION_COUNT)
    .union(Flags::FOUND_ROWS_FUNCTION)
    .union(Flags::USER_LOCK)
    .union(Flags::SYNCED_VARIABLE)
    .union(Flags::SERVER_VARIABLE)
    .union(Flags::INTO)
    .union(Flags::MULTI)
    .union(Flags::SET_STATEMENT)
    .union(Flags::STORED_PROGRAM)
    .union(Flags::AMBIGUOUS);

/// A text, what it was read under, and its ids.
#[derive(Debug)]
pub struct SharedStatement {
    /// Names it on connections as long as it has not been executed there with parameters. Never used
    /// again for another.
    pub id: u64,
    /// The text.
    pub text: Box<[u8]>,
    /// What routing knows of it where it is prepared.
    pub statement: Statement,
    /// What it was read under.
    pub parse_state: Arc<ParseState>,
    /// Sessions may have it in common.
    pub is_shared: bool,
    mode: LexMode,
    /// The number of its digest, once that was asked for.
    fingerprint: OnceLock<u64>,
    /// Names of it on connections where it is executed with such parameters.
    variants: Mutex<Vec<(Box<[u8]>, u64)>>,
}

/// All texts that are known, by a hash of text and state.
#[derive(Debug)]
pub struct KnownStatements {
    texts: Recent<SharedStatement>,
    last_id: AtomicU64,
}

impl Default for KnownStatements {
    fn default() -> Self {
        Self { texts: Recent::bounded(MAX_BYTES), last_id: AtomicU64::new(0) }
    }
}

impl KnownStatements {
    /// An id that no other statement has or gets.
    pub fn new_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The statement of a text that is lexed so and read under this state; `classify` says what it is
    /// if it is not known.
    pub fn get(
        &self,
        text: &[u8],
        mode: &LexMode,
        parse_state: Arc<ParseState>,
        classify: impl FnOnce() -> Statement,
    ) -> Arc<SharedStatement> {
        let hash = self.texts.hash((text, mode, &*parse_state));
        let is_same = |known: &SharedStatement| {
            *known.text == *text && known.mode == *mode && *known.parse_state == *parse_state
        };
        if let Some(known) = self.texts.find(hash, is_same) {
            return known;
        }
        let statement = classify();
        let new = Arc::new(SharedStatement {
            id: self.new_id(),
            text: text.into(),
            is_shared: text.len() <= MAX_TEXT && is_shareable(&statement),
            statement,
            parse_state,
            mode: *mode,
            fingerprint: OnceLock::new(),
            variants: Mutex::default(),
        });
        if new.is_shared {
            self.texts.keep(hash, Arc::clone(&new), text.len() + OVERHEAD);
        }
        new
    }
}

impl SharedStatement {
    /// The number of its digest.
    pub fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| sql::fingerprint(&self.text, &self.mode))
    }

    /// How its text is lexed.
    pub fn lex_mode(&self) -> &LexMode {
        &self.mode
    }

    /// What routing knows of its execution: its names are of the schema that it was read under.
    pub fn executed(&self) -> Statement {
        let mut statement = self.statement;
        if is_server_schema(self.parse_state.schema()) {
            statement.flags |= Flags::SERVER_SCHEMA;
        }
        statement
    }

    /// The id of the statement where it is executed with parameters of this signature; `None` if there
    /// are too many of them.
    pub fn variant(&self, signature: &[u8], known: &KnownStatements) -> Option<u64> {
        let mut variants = self.variants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, id)) = variants.iter().find(|(of, _)| **of == *signature) {
            return Some(*id);
        }
        if variants.len() >= MAX_VARIANTS {
            return None;
        }
        let id = known.new_id();
        variants.push((signature.into(), id));
        Some(id)
    }
}

/// Whether a statement means the same in every session that is in the state that it was read under.
fn is_shareable(statement: &Statement) -> bool {
    let is_plain = matches!(
        statement.kind,
        StatementKind::Read | StatementKind::LockingRead | StatementKind::Write
    );
    is_plain && !statement.flags.intersects(OF_ONE_SESSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::classify;

    fn get(known: &KnownStatements, text: &str, schema: &str) -> Arc<SharedStatement> {
        let mode = LexMode::default();
        let state = Arc::new(ParseState::of(schema.as_bytes(), []));
        known.get(text.as_bytes(), &mode, state, || classify(text.as_bytes(), &mode))
    }

    #[test]
    fn what_is_read_alike_is_one() {
        let known = KnownStatements::default();
        let one = get(&known, "SELECT 1", "a");
        assert_eq!(one.id, get(&known, "SELECT 1", "a").id);
        assert_ne!(one.id, get(&known, "SELECT 2", "a").id);
        assert_ne!(one.id, get(&known, "SELECT 1", "b").id);
        let mode = LexMode { ansi_quotes: true, ..LexMode::default() };
        let state = Arc::clone(&one.parse_state);
        let other = known.get(b"SELECT 1", &mode, state, || one.statement);
        assert_ne!(one.id, other.id);
    }

    #[test]
    fn what_is_a_sessions_own_is_not_shared() {
        let known = KnownStatements::default();
        for text in [
            "SELECT * FROM t WHERE a = ?",
            "SELECT a FROM t FOR UPDATE",
            "INSERT INTO t VALUES (?)",
            "UPDATE t SET a = ? WHERE b = ?",
        ] {
            assert_eq!(get(&known, text, "").id, get(&known, text, "").id, "{text}");
        }
        for text in [
            "SELECT @a",
            "SELECT @@sql_mode",
            "SELECT LAST_INSERT_ID()",
            "SELECT FOUND_ROWS()",
            "SHOW TABLES",
            "CALL p(?)",
            "SELECT 1 INTO @a",
            "SET @a = ?",
            "EXPLAIN SELECT 1",
            "SELECT GET_LOCK('a', 1)",
        ] {
            let one = get(&known, text, "");
            assert!(!one.is_shared, "{text}");
            assert_ne!(one.id, get(&known, text, "").id, "{text}");
        }
        let long = format!("SELECT '{}'", "x".repeat(MAX_TEXT));
        assert_ne!(get(&known, &long, "").id, get(&known, &long, "").id);
    }

    #[test]
    fn a_text_is_of_the_schema_that_it_was_read_under() {
        let known = KnownStatements::default();
        let flags = |schema| get(&known, "SELECT a FROM t", schema).executed().flags;
        assert!(flags("mysql").contains(Flags::SERVER_SCHEMA));
        assert!(flags("shop").is_empty());
    }

    #[test]
    fn signatures_are_bounded() {
        let known = KnownStatements::default();
        let one = get(&known, "SELECT ?", "");
        let ids: Vec<_> = (0..=MAX_VARIANTS).map(|n| one.variant(&[n as u8], &known)).collect();
        assert!(ids[..MAX_VARIANTS].iter().all(Option::is_some));
        assert_eq!(ids[MAX_VARIANTS], None);
        assert_eq!(one.variant(&[0], &known), ids[0]);
        assert_ne!(ids[0], ids[1]);
        assert_ne!(ids[0], Some(one.id));
    }
}
