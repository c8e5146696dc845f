//! Which tables a text may name.
//!
//! Without a grammar nobody can say which of a text's names are tables. But every table that it names
//! stands in it, as `name` (of the default schema) or as `schema.name`; so the names that may be tables
//! are all that stand there, columns and aliases included ([`table_names`]). That is too many and never too
//! few, which is what keeps reads consistent, and costs one pass of the lexer. Of a query less is enough
//! ([`read_tables`]): tables stand there behind FROM and JOIN, behind commas of such a list, and in its
//! parentheses (`table_reference` in the grammars of both servers).
//!
//! Names are compared by hashes of their ASCII letters and digits, lower case: as tables are on servers
//! that fold them, and in whatever character set the text is. Names that differ in other characters alone
//! count as one. Deliberately absent: what names stand for. Views, triggers and routines are the
//! catalogue's ([`crate::consistency`]).

use super::lexer::{Lexer, Token};
use super::mode::LexMode;
use super::words::Word;

/// Parentheses within each other beyond these are not followed.
const MAX_DEPTH: usize = 1000;

/// A name, as far as names are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameHash(pub u64);

impl NameHash {
    /// The hash of a name as a server tells it, without quotes.
    pub fn of(name: &[u8]) -> Self {
        Self(name.iter().fold(0, |hash, &byte| mix(hash, byte)))
    }

    /// That of a name as it stands in a text: quotes are no part of it.
    fn of_text(name: &[u8]) -> Self {
        let is_quote = |byte: &&u8| matches!(byte, b'`' | b'"');
        Self(name.iter().filter(|byte| !is_quote(byte)).fold(0, |hash, &byte| mix(hash, byte)))
    }
}

fn mix(hash: u64, byte: u8) -> u64 {
    // Quotes within a name, and what is not ASCII, make no difference.
    if byte >= 0x80 || matches!(byte, b'`' | b'"') {
        return hash;
    }
    (hash.rotate_left(5) ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// The text may be cut otherwise than it was, so that nothing is known of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

/// Calls `each` for every table that the text may name: its schema, or `None` for the default one, and its
/// name.
///
/// # Errors
/// [`Unclear`]: the text may name any.
pub fn table_names(
    sql: &[u8],
    mode: &LexMode,
    mut each: impl FnMut(Option<NameHash>, NameHash),
) -> Result<(), Unclear> {
    let mut lexer = Lexer::new(sql, mode);
    let mut token = Token::NONE;
    let mut chain = Chain::default();
    loop {
        token = lexer.next(token);
        match token.word {
            Word::End => break,
            Word::Dot => {
                chain.dot();
                chain.is_loose = true;
            }
            Word::Qualified => chain.qualified(lexer.slice(token), &mut each),
            word if is_name(word) && !is_reserved(word) => {
                chain.name(lexer.slice(token), &mut each);
            }
            _ => chain = Chain::default(),
        }
    }
    if lexer.ambiguous { Err(Unclear) } else { Ok(()) }
}

/// Calls `each` for every table that a query may read, as [`table_names`] does.
///
/// # Errors
/// [`Unclear`]: the text may read any.
pub fn read_tables(
    sql: &[u8],
    mode: &LexMode,
    mut each: impl FnMut(Option<NameHash>, NameHash),
) -> Result<(), Unclear> {
    let mut lexer = Lexer::new(sql, mode);
    let mut token = Token::NONE;
    // For each open parenthesis, whether a list of tables is around it; the innermost last.
    let mut around = Vec::new();
    let mut in_list = false;
    // A table may come next; a name of one is going on.
    let (mut expected, mut chain) = (false, None::<Chain>);
    loop {
        token = lexer.next(token);
        if let Some(open) = &mut chain {
            match token.word {
                Word::Dot => open.dot(),
                Word::Qualified if open.is_joined => open.qualified(lexer.slice(token), &mut each),
                word if is_name(word) && !is_reserved(word) && open.is_joined => {
                    open.name(lexer.slice(token), &mut each);
                }
                _ => chain = None,
            }
            if chain.is_some() {
                continue;
            }
        }
        let was_expected = std::mem::take(&mut expected);
        match token.word {
            Word::End => break,
            Word::From | Word::Join | Word::Table => (in_list, expected) = (true, true),
            Word::Select | Word::Where | Word::Group | Word::Order => in_list = false,
            Word::Comma => expected = in_list,
            Word::OpenParen if around.len() >= MAX_DEPTH => return Err(Unclear),
            Word::OpenParen => {
                around.push(in_list);
                (in_list, expected) = (was_expected, was_expected);
            }
            Word::CloseParen => in_list = around.pop().unwrap_or(false),
            // `{ OJ t JOIN u }`
            Word::Other if lexer.slice(token) == b"{" => return Err(Unclear),
            word if is_name(word)
                && is(&lexer, token, &["straight_join"])
                && word != Word::Quoted =>
            {
                expected = true;
            }
            word if is_name(word) && was_expected && !is_reserved(word) => {
                let mut begun = Chain::default();
                match word {
                    Word::Qualified => begun.qualified(lexer.slice(token), &mut each),
                    _ => begun.name(lexer.slice(token), &mut each),
                }
                chain = Some(begun);
            }
            // FROM .t
            Word::Dot if was_expected => {
                chain = Some(Chain { is_joined: true, ..Chain::default() })
            }
            _ => {}
        }
    }
    if lexer.ambiguous { Err(Unclear) } else { Ok(()) }
}

/// Calls `each` for every word of a text that is not quoted, keywords included.
///
/// # Errors
/// [`Unclear`]: the text may have others.
pub fn words(sql: &[u8], mode: &LexMode, mut each: impl FnMut(&[u8])) -> Result<(), Unclear> {
    let mut lexer = Lexer::new(sql, mode);
    let mut token = lexer.next(Token::NONE);
    while token.word != Word::End {
        if is_name(token.word) && !matches!(token.word, Word::Quoted | Word::Qualified) {
            each(lexer.slice(token));
        }
        token = lexer.next(token);
    }
    if lexer.ambiguous { Err(Unclear) } else { Ok(()) }
}

/// The table that an INSERT, REPLACE, UPDATE, DELETE or TRUNCATE of one table writes to; `None` if it is of
/// another form.
pub fn written_table(sql: &[u8], mode: &LexMode) -> Option<(Option<NameHash>, NameHash)> {
    let mut lexer = Lexer::new(sql, mode);
    let first = lexer.next(Token::NONE);
    let form = ["insert", "replace", "update", "delete", "truncate"];
    let form = *form.iter().find(|word| is(&lexer, first, &[word]))?;
    let mut token = lexer.next(first);
    while is(&lexer, token, &["low_priority", "delayed", "high_priority", "ignore", "quick"]) {
        token = lexer.next(token);
    }
    let before: &[&str] = match form {
        "delete" => &["from"],
        "truncate" => &["table"],
        "update" => &[],
        _ => &["into"],
    };
    if is(&lexer, token, before) {
        token = lexer.next(token);
    } else if form == "delete" {
        return None;
    }
    let name = token;
    let mut next = lexer.next(name);
    let ends: &[&str] = match form {
        "update" => &["set"],
        "delete" => &["where", "order", "limit", "returning"],
        _ => &[],
    };
    if !ends.is_empty() {
        // An alias may follow.
        for _ in 0..2 {
            let at_end = form == "delete" && matches!(next.word, Word::End | Word::Semicolon);
            if at_end || is(&lexer, next, ends) || !is_name(next.word) {
                break;
            }
            next = lexer.next(next);
        }
        let at_end = form == "delete" && matches!(next.word, Word::End | Word::Semicolon);
        if !at_end && !is(&lexer, next, ends) {
            return None;
        }
    }
    if !is_name(name.word) || is_reserved(name.word) || next.word == Word::Dot || lexer.ambiguous {
        return None;
    }
    let mut parts = parts(lexer.slice(name)).map(NameHash::of_text);
    match (parts.next()?, parts.next(), parts.next()) {
        (name, None, _) => Some((None, name)),
        (schema, Some(name), None) => Some((Some(schema), name)),
        _ => None,
    }
}

/// Names joined by dots, with white space around these or not.
#[derive(Default)]
struct Chain {
    first: Option<NameHash>,
    length: usize,
    /// A dot came last.
    is_joined: bool,
    /// White space was around it: ODBC's `FROM .t` is of the default schema.
    is_loose: bool,
}

impl Chain {
    fn dot(&mut self) {
        self.is_joined = true;
    }

    /// Names that are joined by dots in the text.
    fn qualified(&mut self, text: &[u8], each: &mut impl FnMut(Option<NameHash>, NameHash)) {
        for part in parts(text) {
            self.name(part, each);
            self.dot();
        }
        self.is_joined = false;
    }

    fn name(&mut self, text: &[u8], each: &mut impl FnMut(Option<NameHash>, NameHash)) {
        let name = NameHash::of_text(text);
        self.length = if self.is_joined { self.length + 1 } else { 1 };
        self.is_joined = false;
        if std::mem::take(&mut self.is_loose) {
            each(None, name);
        }
        match (self.length, self.first) {
            (2, Some(schema)) => each(Some(schema), name),
            (1, _) => {
                self.first = Some(name);
                each(None, name);
            }
            _ => {}
        }
    }
}

/// Whether a token of this sort may be a name: any word, as servers differ in what they reserve.
fn is_name(word: Word) -> bool {
    (Word::Quoted..Word::OpenParen).contains(&word)
}

/// Whether a token is one of these words, unquoted.
fn is(lexer: &Lexer<'_>, token: Token, words: &[&str]) -> bool {
    let text = lexer.slice(token);
    let is_it = |word: &&str| text.eq_ignore_ascii_case(word.as_bytes());
    token.word != Word::Quoted && words.iter().any(is_it)
}

/// Words that every version of both makes reserves, so that they are no names. (Behind a dot the lexer
/// does not take them for these.)
fn is_reserved(word: Word) -> bool {
    use Word::*;
    matches!(
        word,
        By | Char
            | Character
            | Check
            | Database
            | Databases
            | Default
            | Describe
            | From
            | Group
            | Inner
            | Is
            | Join
            | Left
            | Like
            | Not
            | Null
            | On
            | Order
            | Procedure
            | Read
            | Schema
            | Schemas
            | Show
            | Trigger
            | Where
            | Write
    ) || matches!(word, All | And | As | Desc | In | Or | Select | Set | Table | To | Use | Values)
        || matches!(
            word,
            Alter
                | Call
                | Create
                | Delete
                | Drop
                | For
                | Grant
                | Insert
                | Into
                | Kill
                | Limit
                | Load
                | Lock
                | Rename
                | Replace
                | Revoke
                | Union
                | Update
                | With
        )
}

/// The parts of names joined by dots, quotes included.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quote = None;
    name.split(move |&byte| match quote {
        Some(open) => {
            if byte == open {
                quote = None;
            }
            false
        }
        None if matches!(byte, b'`' | b'"') => {
            quote = Some(byte);
            false
        }
        None => byte == b'.',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(name: &str) -> NameHash {
        NameHash::of(name.as_bytes())
    }

    fn mode() -> LexMode {
        LexMode::default()
    }

    #[test]
    fn every_table_that_is_named_is_among_them() {
        let check = |sql: &str, want: &[&str]| {
            let mut found = Vec::new();
            table_names(sql.as_bytes(), &mode(), |schema, name| found.push((schema, name)))
                .unwrap();
            for table in want {
                let pair = match table.split_once('.') {
                    Some((schema, name)) => (Some(hash(schema)), hash(name)),
                    None => (None, hash(table)),
                };
                assert!(found.contains(&pair), "{table} in {sql}");
            }
        };
        check("SELECT a FROM t", &["t", "a"]);
        check("SELECT a FROM T1, `t2` JOIN s.t3 USING (x)", &["t1", "t2", "s.t3"]);
        check("SELECT s . t . a FROM s. `T` AS u", &["s.t"]);
        check("SELECT * FROM `we``ird`.`na.me`", &["weird.na.me"]);
        check("SELECT t.a, u.b FROM t, v u", &["t", "v"]);
        check(
            "SELECT * FROM (SELECT 1 FROM (t1, t2)) d, LATERAL (TABLE t3) e",
            &["t1", "t2", "t3"],
        );
        check("WITH c AS (SELECT * FROM s.t) SELECT * FROM c", &["s.t", "c"]);
        check("SELECT 1 /*! FROM hidden */", &["hidden"]);
        check("SELECT 'x' FROM `gr\u{f6}\u{df}e`", &["gr\u{f6}\u{df}e"]);
        check("SELECT * FROM s.`1a`, s.1b", &["s.1a", "s.1b"]);
        check("SELECT * FROM .t", &["t"]);
    }

    #[test]
    fn the_tables_of_a_query() {
        #[track_caller]
        fn check(sql: &str, want: &[&str]) {
            let names = [
                "a", "b", "c", "id", "x", "t", "u", "v", "w", "cte", "d", "j", "p", "select",
                "dual",
            ];
            let mut found = Vec::new();
            read_tables(sql.as_bytes(), &mode(), |schema, name| {
                let name = names.iter().find(|known| hash(known) == name).unwrap_or(&"?");
                let schema = schema.map(|schema| if schema == hash("s") { "s." } else { "?." });
                found.push(format!("{}{name}", schema.unwrap_or_default()));
            })
            .unwrap();
            // The schema may be a table, too, for all that is known.
            found.retain(|name| name != "?");
            assert_eq!(found, want, "{sql}");
        }
        check("SELECT 1", &[]);
        check("SELECT a, b, id FROM t WHERE c IN (1, 2, a) ORDER BY a, b LIMIT 1, 2", &["t"]);
        check("SELECT a FROM t AS a, u b, s.v WHERE x = 1", &["t", "u", "s.v"]);
        check("SELECT a FROM `s`.`t`, s . u, .v", &["s.t", "s.u", "v"]);
        // No server takes these; table_names() finds the same.
        check("SELECT a FROM .s.t", &["s.t"]);
        check("SELECT a FROM . WITH", &[]);
        check("SELECT a FROM s. FROM t", &["t"]);
        check(
            "SELECT a FROM t JOIN u ON (a = b) LEFT JOIN v USING (id, x), w",
            &["t", "u", "v", "w"],
        );
        check("SELECT a FROM t STRAIGHT_JOIN u", &["t", "u"]);
        check("SELECT a FROM (t, u) JOIN (v JOIN w)", &["t", "u", "v", "w"]);
        check("SELECT a FROM ((t), u)", &["t", "u"]);
        check("SELECT a, (SELECT b FROM u), c FROM t", &["u", "t"]);
        check("SELECT a FROM (SELECT b, c FROM t) AS d, u", &["t", "u"]);
        check(
            "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u, v) AND x IN (TABLE w)",
            &["t", "u", "v", "w"],
        );
        check("WITH cte AS (SELECT a, b FROM t) SELECT a, b FROM cte, u", &["t", "cte", "u"]);
        check("(SELECT a, b FROM t) UNION (SELECT c, d FROM u) ORDER BY a, b", &["t", "u"]);
        check("SELECT a FROM t FOR SYSTEM_TIME AS OF x, u", &["t", "u"]);
        check("SELECT a FROM t PARTITION (p, b) USE INDEX (a, b), u", &["t", "u"]);
        check("SELECT a FROM t, JSON_TABLE(j, x COLUMNS (a INT, b INT)) AS j, u", &["t", "u"]);
        check("SELECT a FROM t, LATERAL (SELECT b FROM u) d", &["t", "u"]);
        check("TABLE t", &["t"]);
        check("SELECT EXTRACT(DAY FROM x), a FROM t", &["x", "t"]);
        check("SELECT a b, c d FROM t GROUP BY a, b WITH ROLLUP HAVING x", &["t"]);
        for sql in ["SELECT a FROM { OJ t LEFT JOIN u ON 1 }", "SELECT a FROM t WHERE 'open"] {
            assert_eq!(read_tables(sql.as_bytes(), &mode(), |_, _| {}), Err(Unclear), "{sql}");
        }
    }

    #[test]
    fn literals_are_no_names() {
        let mut found = Vec::new();
        let sql = b"SELECT 'orders', \"orders\", 1 -- orders\n FROM t /* orders */";
        table_names(sql, &mode(), |_, name| found.push(name)).unwrap();
        assert!(!found.contains(&hash("orders")));
        assert_eq!(table_names(b"SELECT 'open", &mode(), |_, _| {}), Err(Unclear));
    }

    #[test]
    fn the_table_of_a_plain_write() {
        let check = |sql: &str, want: Option<&str>| {
            let want = want.map(|table| match table.split_once('.') {
                Some((schema, name)) => (Some(hash(schema)), hash(name)),
                None => (None, hash(table)),
            });
            assert_eq!(written_table(sql.as_bytes(), &mode()), want, "{sql}");
        };
        check("INSERT INTO t VALUES (1)", Some("t"));
        check("insert ignore `T`(a) select a from u", Some("t"));
        check("REPLACE LOW_PRIORITY INTO s.t SET a = 1", Some("s.t"));
        // No server takes these, and table_names() finds no names in them.
        check("INSERT IN VALUES (1)", None);
        check("INSERT INTO SELECT VALUES (1)", None);
        check("UPDATE t SET a = (SELECT MAX(b) FROM u)", Some("t"));
        check("UPDATE LOW_PRIORITY IGNORE s.`t` AS x SET a = 1", Some("s.t"));
        check("UPDATE t x SET a = 1", Some("t"));
        check("UPDATE t, u SET t.a = u.a", None);
        check("UPDATE t JOIN u ON t.a = u.a SET t.a = 1", None);
        check("UPDATE t x JOIN u SET t.a = 1", None);
        check("UPDATE t PARTITION (p0) SET a = 1", None);
        check("DELETE FROM t", Some("t"));
        check("DELETE QUICK FROM s.t WHERE a IN (SELECT a FROM u)", Some("s.t"));
        check("DELETE FROM t AS x WHERE x.a = 1", Some("t"));
        check("DELETE FROM t ORDER BY a LIMIT 1;", Some("t"));
        check("DELETE t, u FROM t JOIN u", None);
        check("DELETE FROM t USING t JOIN u", None);
        check("DELETE FROM t, u USING t JOIN u", None);
        check("TRUNCATE TABLE t", Some("t"));
        check("TRUNCATE t", Some("t"));
        check("/* lagwise: key=a */ INSERT INTO t VALUES (1)", Some("t"));
        check("INSERT INTO s . t VALUES (1)", None);
        check("WITH c AS (SELECT 1) DELETE FROM t", None);
        check("CREATE TABLE t (a INT)", None);
        check("INSERT INTO t VALUES ('open", Some("t"));
    }
}
