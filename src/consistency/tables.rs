//! The tables that a statement writes or reads.

use crate::sql::{
    Flags, LexMode, NameHash, Statement, StatementKind, Unclear, read_tables, table_names, words,
    written_table,
};

/// More names than these count as every table there is.
const MAX_KEYS: usize = 1000;

/// A table, or something else that has a name in a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableKey(pub(super) u64);

impl TableKey {
    /// By the hashes of its names.
    pub fn new(schema: NameHash, name: NameHash) -> Self {
        Self((schema.0.rotate_left(32) ^ name.0).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// By its names as a server tells them.
    pub fn of(schema: &[u8], name: &[u8]) -> Self {
        Self::new(NameHash::of(schema), NameHash::of(name))
    }
}

/// A set of tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    keys: Vec<TableKey>,
    /// Names beside them in the text of a write, among which may be functions.
    beside: Vec<TableKey>,
    every: bool,
}

impl Tables {
    /// Every table there is.
    pub fn every() -> Self {
        Self { every: true, ..Self::default() }
    }

    /// All that a text may name, where `schema` is the default one.
    pub fn named(text: &[u8], schema: &[u8], mode: &LexMode) -> Self {
        Self::collect(schema, |each| table_names(text, mode, each))
    }

    /// What `find` finds, where `schema` is the default one.
    fn collect(
        schema: &[u8],
        find: impl FnOnce(&mut dyn FnMut(Option<NameHash>, NameHash)) -> Result<(), Unclear>,
    ) -> Self {
        let mut tables = Self::default();
        let default = NameHash::of(schema);
        let clear = find(&mut |schema, name| {
            tables.add(TableKey::new(schema.unwrap_or(default), name));
        });
        if clear.is_err() { Self::every() } else { tables }
    }

    /// All that a statement may read; with START TRANSACTION what may be read in the transaction.
    pub fn read(statement: &Statement, text: &[u8], schema: &[u8], mode: &LexMode) -> Self {
        let unclear = Flags::MULTI | Flags::AMBIGUOUS | Flags::UNKNOWN_FUNCTION;
        if statement.flags.intersects(unclear) {
            return Self::every();
        }
        // What these show their text does not name: the state of all, or a list of all.
        if matches!(statement.kind, StatementKind::Begin { .. } | StatementKind::Show) {
            return Self::every();
        }
        if !matches!(statement.kind, StatementKind::Read | StatementKind::LockingRead) {
            return Self::named(text, schema, mode);
        }
        Self::collect(schema, |each| read_tables(text, mode, each))
    }

    /// Those that a statement may write to, the effects of triggers and such not included.
    pub fn written(statement: &Statement, text: &[u8], schema: &[u8], mode: &LexMode) -> Self {
        let named = || Self::named(text, schema, mode);
        if statement.flags.intersects(Flags::AMBIGUOUS | Flags::SET_STATEMENT) {
            return Self::every();
        }
        if statement.flags.contains(Flags::MULTI) {
            return if says_any(text, mode, &APART) { Self::every() } else { named() };
        }
        match statement.kind {
            // A function in it writes, or it does not.
            StatementKind::Read | StatementKind::LockingRead | StatementKind::Do => match named() {
                Self { keys, every: false, .. } => Self { beside: keys, ..Self::default() },
                every => every,
            },
            // What is called is among the names, and what it does the catalogue's to know.
            StatementKind::Write => match (written_table(text, mode), named()) {
                (Some((of, name)), Self { keys, every: false, .. }) => {
                    let key = TableKey::new(of.unwrap_or_else(|| NameHash::of(schema)), name);
                    Self { keys: vec![key], beside: keys, every: false }
                }
                (_, named) => named,
            },
            StatementKind::LoadData { .. } | StatementKind::Call => named(),
            // Which schemas, accounts or servers it is about does not show in names of tables.
            StatementKind::Ddl if is_about_tables(text, mode) => Self::named(text, schema, mode),
            _ => Self::every(),
        }
    }

    /// Adds one.
    pub fn add(&mut self, key: TableKey) {
        if self.every || self.keys.contains(&key) {
            return;
        }
        if self.keys.len() >= MAX_KEYS {
            *self = Self::every();
        } else {
            self.keys.push(key);
        }
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Tables) {
        if other.every {
            *self = Self::every();
        }
        other.keys.iter().for_each(|&key| self.add(key));
        for &name in &other.beside {
            if !self.every && !self.beside.contains(&name) {
                self.beside.push(name);
            }
        }
        if self.beside.len() > MAX_KEYS {
            *self = Self::every();
        }
    }

    /// Names beside them, among which may be functions.
    pub fn beside(&self) -> &[TableKey] {
        &self.beside
    }

    /// Whether it is every table there is.
    pub fn is_every(&self) -> bool {
        self.every
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        !self.every && self.keys.is_empty()
    }

    /// The tables, unless it is every one.
    pub fn keys(&self) -> &[TableKey] {
        &self.keys
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.beside.clear();
        self.every = false;
    }
}

/// Of several statements in one text, one that says none of these writes to tables that the text names, as
/// the default schema is the same for all, and no other definitions come to be.
const APART: [&str; 13] = [
    "call", "execute", "prepare", "xa", "use", "create", "alter", "drop", "rename", "truncate",
    "grant", "revoke", "flush",
];

/// Whether a text has any of these words outside quotes, for all that can be told.
pub fn says_any(text: &[u8], mode: &LexMode, any: &[&str]) -> bool {
    let mut says = false;
    let clear = words(text, mode, |word| says |= is_among(word, any));
    says || clear.is_err()
}

/// Whether it is one of these words, in upper or lower case.
fn is_among(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
}

/// Whether several statements in one text may change what the catalogue says.
pub fn may_change_definitions(text: &[u8], mode: &LexMode) -> bool {
    says_any(text, mode, &APART)
}

/// Whether a CREATE, ALTER, DROP, RENAME or TRUNCATE is about tables, views or triggers, all of which it
/// names: said by its first words.
fn is_about_tables(text: &[u8], mode: &LexMode) -> bool {
    const BETWEEN: [&str; 12] = [
        "or",
        "replace",
        "temporary",
        "online",
        "unique",
        "fulltext",
        "spatial",
        "algorithm",
        "undefined",
        "merge",
        "temptable",
        "sql",
    ];
    const ABOUT: [&str; 5] = ["table", "tables", "view", "trigger", "index"];
    let (mut count, mut about) = (0, None);
    let clear = words(text, mode, |name| {
        count += 1;
        if count > 1 && about.is_none() && !is_among(name, &BETWEEN) {
            about = Some(is_among(name, &ABOUT));
        }
    });
    clear.is_ok() && about == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::classify;

    fn key(name: &str) -> TableKey {
        let (schema, name) = name.split_once('.').unwrap_or(("shop", name));
        TableKey::of(schema.as_bytes(), name.as_bytes())
    }

    #[test]
    fn what_a_statement_writes() {
        let check = |sql: &str, want: Option<&[&str]>| {
            let mode = LexMode::default();
            let statement = classify(sql.as_bytes(), &mode);
            let tables = Tables::written(&statement, sql.as_bytes(), b"shop", &mode);
            assert_eq!(tables.is_every(), want.is_none(), "{sql}");
            for name in want.unwrap_or_default() {
                assert!(tables.keys().contains(&key(name)), "{sql}: {name}");
            }
        };
        check("INSERT INTO Orders VALUES (1)", Some(&["orders"]));
        check("UPDATE a JOIN other.b USING (id) SET a.x = 1", Some(&["a", "other.b"]));
        check("CALL pay(1)", Some(&["pay"]));
        check("CREATE TABLE t (a INT REFERENCES u (a))", Some(&["t", "u"]));
        check("CREATE OR REPLACE VIEW v AS SELECT * FROM t", Some(&["v", "t"]));
        check("RENAME TABLE a TO b, c TO other.d", Some(&["a", "b", "c", "other.d"]));
        check("DROP TABLE IF EXISTS a", Some(&["a"]));
        check("INSERT INTO t VALUES (1); UPDATE other.u SET a = 1", Some(&["t", "other.u"]));
        check("SELECT f(1) FROM t", Some(&[]));
        check("TRUNCATE TABLE a", Some(&["a"]));
        check("LOAD DATA LOCAL INFILE 'x' INTO TABLE a", Some(&["a"]));
        for sql in [
            "DROP DATABASE shop",
            "DROP SCHEMA `table`",
            "CREATE DATABASE x",
            "ALTER TABLESPACE x ADD DATAFILE 'table'",
            "CREATE PROCEDURE p() TRUNCATE TABLE t",
            "INSERT INTO t VALUES (1); CALL p()",
            "USE other; INSERT INTO t VALUES (1)",
            "XA COMMIT 'x'",
            "GRANT SELECT ON t TO u",
            "FROBNICATE t",
        ] {
            check(sql, None);
        }
        let plain = Tables::written(
            &classify(b"UPDATE orders SET user = 1", &LexMode::default()),
            b"UPDATE orders SET user = 1",
            b"shop",
            &LexMode::default(),
        );
        assert_eq!(plain.keys(), [key("orders")], "a column is no table");
        assert!(plain.beside().contains(&key("user")), "but may be a function");
    }

    #[test]
    fn a_set_is_bounded() {
        let mut tables = Tables::default();
        for number in 0..=MAX_KEYS as u64 {
            assert!(!tables.is_every());
            tables.add(TableKey(number));
            tables.add(TableKey(number));
        }
        assert!(tables.is_every() && !tables.is_empty());
        tables.clear();
        assert!(tables.is_empty());
    }
}
