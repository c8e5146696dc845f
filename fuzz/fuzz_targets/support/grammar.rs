//! Statements that no replica may run, from a grammar of what writes, locks or lives on a connection,
//! dressed up: names and strings that look like something else, comments, white space, version
//! comments, letters of both cases.

use lagwise::sql::{LexMode, Make};

/// What decides: the bytes of the fuzzer, one for each choice; zeros when they are used up.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// One of `count`.
    pub fn pick(&mut self, count: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first) % count
    }

    fn one<'s>(&mut self, of: &[&'s str]) -> &'s str {
        of[self.pick(of.len())]
    }
}

/// `N` is a name, `E` an expression, `S` a string, `L` a function of locks and sequences, `U` a
/// function that is not built in; every other word is itself.
const STATEMENTS: &[&str] = &[
    "INSERT INTO N ( N ) VALUES ( E )",
    "INSERT INTO N SELECT E FROM N",
    "INSERT IGNORE N SET N = E",
    "INSERT N VALUES ( E ) ON DUPLICATE KEY UPDATE N = E",
    "REPLACE INTO N VALUES ( E )",
    "REPLACE N SELECT E",
    "UPDATE N SET N = E WHERE E",
    "DELETE FROM N WHERE E LIMIT 1",
    "WITH N AS ( SELECT E ) UPDATE N SET N = E",
    "WITH N ( N ) AS ( SELECT E ) DELETE FROM N",
    "WITH RECURSIVE N ( N ) AS ( SELECT E ) DELETE FROM N",
    "( DELETE FROM N )",
    "TRUNCATE TABLE N",
    "TRUNCATE N",
    "CREATE TABLE N ( N INT )",
    "CREATE TABLE N AS SELECT E",
    "CREATE TEMPORARY TABLE N SELECT E",
    "CREATE OR REPLACE VIEW N AS SELECT E FROM N",
    "CREATE UNIQUE INDEX N ON N ( N )",
    "CREATE PROCEDURE N ( ) SELECT E",
    "CREATE USER N",
    "ALTER TABLE N ADD N INT",
    "DROP TABLE N",
    "DROP VIEW IF EXISTS N",
    "RENAME TABLE N TO N",
    "GRANT SELECT ON N TO N",
    "REVOKE SELECT ON N FROM N",
    "CALL N ( E )",
    "DO E",
    "LOAD DATA INFILE S INTO TABLE N",
    "LOAD XML LOCAL INFILE S INTO TABLE N",
    "LOCK TABLES N WRITE",
    "LOCK TABLES N READ",
    "UNLOCK TABLES",
    "FLUSH TABLES",
    "HANDLER N OPEN",
    "XA START S",
    "PREPARE N FROM S",
    "EXECUTE N",
    "EXECUTE IMMEDIATE S",
    "DEALLOCATE PREPARE N",
    "SET @v = E",
    "SET SESSION sql_mode = S",
    "SET GLOBAL N = E",
    "ANALYZE TABLE N",
    "ANALYZE UPDATE N SET N = E",
    "ANALYZE FORMAT = JSON DELETE FROM N",
    "OPTIMIZE TABLE N",
    "REPAIR TABLE N",
    "KILL 5",
    "BEGIN",
    "START TRANSACTION",
    "START TRANSACTION READ WRITE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT N",
    "EXPLAIN UPDATE N SET N = E",
    "EXPLAIN ANALYZE DELETE FROM N",
    "DESCRIBE INSERT INTO N VALUES ( E )",
    "EXPLAIN FORMAT = TREE REPLACE N SELECT E",
    "SHOW WARNINGS",
    "GET DIAGNOSTICS @v = NUMBER",
    "SELECT E FROM N FOR UPDATE",
    "SELECT E FROM N WHERE E FOR SHARE",
    "SELECT E FOR UPDATE OF N NOWAIT",
    "SELECT E FROM N FOR UPDATE SKIP LOCKED",
    "SELECT E FROM N LOCK IN SHARE MODE",
    "TABLE N FOR UPDATE",
    "( SELECT E FROM N FOR UPDATE )",
    "( ( SELECT E FOR SHARE ) UNION SELECT E )",
    "SELECT E FROM ( SELECT E FROM N FOR UPDATE ) AS N",
    "SELECT ( SELECT E FROM N FOR SHARE ) , E",
    "WITH N AS ( SELECT E FROM N FOR UPDATE ) SELECT E FROM N",
    "EXPLAIN SELECT E FROM N FOR UPDATE",
    "SELECT E UNION ALL SELECT E FROM N FOR UPDATE",
    "SELECT E INTO OUTFILE S FROM N",
    "SELECT E FROM N INTO DUMPFILE S",
    "SELECT E INTO @v",
    "SELECT E , E INTO @v , @w FROM N",
    "TABLE N INTO OUTFILE S",
    "VALUES ROW ( E ) INTO @v",
    "SELECT @v := E",
    "SELECT E , @v FROM N",
    "SELECT L ( E )",
    "SELECT E , L ( S , E ) FROM N",
    "SELECT E FROM N WHERE N = L ( S )",
    "SELECT NEXT VALUE FOR N",
    "SELECT PREVIOUS VALUE FOR N",
    "WITH N AS ( SELECT L ( S ) ) SELECT E",
    "VALUES ROW ( L ( S ) )",
    "SELECT U ( E )",
    "SELECT E , U ( E , E ) FROM N ORDER BY U ( E )",
    "SELECT E FROM N JOIN N ON E = U ( E )",
    "TABLE N ORDER BY U ( E )",
    "SHOW TABLES WHERE U ( E )",
    "SELECT E ; DELETE FROM N",
    "SELECT E ; SELECT E FROM N FOR UPDATE",
    "UPDATE N SET N = E ; SELECT E",
    "SET STATEMENT N = E FOR DELETE FROM N",
    "SELECT E ; SET @v = E ; SELECT E",
];

const LOCKS: &[&str] = &[
    "GET_LOCK",
    "RELEASE_LOCK",
    "RELEASE_ALL_LOCKS",
    "IS_FREE_LOCK",
    "IS_USED_LOCK",
    "NEXTVAL",
    "LASTVAL",
    "SETVAL",
    "`get_lock`",
    "LAST_INSERT_ID",
    "CONNECTION_ID",
];

const UNKNOWN: &[&str] =
    &["my_function", "`my function`", "shop.f", "shop.`f`", "`shop`.f", "fé", "f1"];

const NAMES: &[&str] = &[
    "t",
    "`t`",
    "shop.t",
    "`shop`.`t`",
    "shop.`t`",
    "`a``b`",
    "`for`",
    "`select`",
    "`'`",
    "`-- `",
    "`/*`",
    "`*/`",
    "x.into",
    "t.select",
    "caf\u{e9}s",
    "a_long_name_of_a_table",
    "`t` t2",
    "t1",
    "a$b",
    "`x;y`",
    "`a\\`",
    "locked",
    "share",
    "temporary",
];

const EXPRESSIONS: &[&str] = &[
    "1",
    "1.5",
    ".5",
    "1.",
    "1e3",
    "0x1f",
    "?",
    "NULL",
    "*",
    "t.a",
    "t.update",
    "`update`",
    "`a`.`b`",
    "COUNT(*)",
    "( SELECT 1 )",
    "a = 1",
    "NOW()",
    "CONCAT(a, 'b')",
    "CASE a WHEN 1 THEN 2 END",
    "- -1",
    "a IN (1, 2)",
    "- 1",
    "4/2",
    "2*3",
    "a AS b",
    "\\N",
    "REPLACE('a', 'b', 'c')",
    "x'41'",
    "N'a'",
];

const STRINGS: &[&str] = &[
    "''",
    "'a'",
    "'it''s'",
    "'-- '",
    "'/*'",
    "'*/'",
    "'#'",
    "'`'",
    "';'",
    "'\"'",
    "'é'",
    "\"\"",
    "\"it's\"",
    "\"/*\"",
    "\"\"\"\"",
    "'a''''b'",
    "'SELECT 1'",
];

/// Only where a backslash escapes.
const ESCAPES: &[&str] = &["'\\''", "'\\\\'", "'a\\'b'", "'\\\\\\''"];

const WHITE: &[&str] = &[" ", "  ", "\t", "\n", "\r\n", "\u{b}", "\u{c}"];

const COMMENTS: &[&str] = &[
    "/**/",
    "/* */",
    "/* ' */",
    "/* ` */",
    "/* \" */",
    "/*/ */",
    "/***/",
    "-- \n",
    "--\n",
    "-- ' \n",
    "-- /*\n",
    "#\n",
    "# ' \n",
    "# */\n",
    "/* -- */",
    "/* # */",
    "/*!99999 ' */",
    "/*!99999 */",
    "/*!99999 /* ' */ ` */",
    "--\t\"\n",
    "/*+ x */",
];

const BODIES: &[&str] = &["/*!", "/*! ", "/*!40100 ", "/*!50000", "/*!50001 "];

/// A statement for the primary, and whether a hint for a replica may stand before it.
pub fn dangerous(choices: &mut Choices, mode: &LexMode) -> String {
    let template = choices.one(STATEMENTS);
    let tokens: Vec<String> = template.split(' ').map(|token| fill(token, choices, mode)).collect();
    // A run of tokens in the body of a version comment, in which no comment may stand.
    let (mut first, mut last) = (usize::MAX, usize::MAX);
    if choices.pick(3) == 1 {
        first = choices.pick(tokens.len());
        last = first + choices.pick(tokens.len() - first);
    }
    let mut sql = String::new();
    if choices.pick(4) == 1 {
        sql.push_str("/* lagwise: replica */");
    }
    for (index, token) in tokens.iter().enumerate() {
        let inside = index > first && index <= last;
        gap(&mut sql, choices, !inside);
        if index == first {
            let maria = mode.make == Make::MariaDb && choices.pick(4) == 1;
            sql.push_str(if maria { "/*M! " } else { choices.one(BODIES) });
            sql.push(' ');
        }
        match choices.pick(3) {
            0 => sql.push_str(token),
            _ if token.contains(['\'', '"', '`', '\\', 'é']) || token.starts_with("0x") => {
                sql.push_str(token);
            }
            1 => sql.push_str(&token.to_lowercase()),
            _ => sql.push_str(&token.to_uppercase()),
        }
        if index == last {
            sql.push_str(" */");
        }
    }
    if choices.pick(3) == 1 {
        gap(&mut sql, choices, true);
        sql.push_str(choices.one(&[";", "-- '", "# /*", ";;", "; -- x"]));
    }
    sql
}

fn fill(token: &str, choices: &mut Choices, mode: &LexMode) -> String {
    match token {
        "N" => choices.one(NAMES),
        "L" => choices.one(LOCKS),
        "U" => choices.one(UNKNOWN),
        "S" if !mode.no_backslash_escapes && choices.pick(3) == 1 => choices.one(ESCAPES),
        "S" => choices.one(STRINGS),
        "E" if choices.pick(3) == 1 => choices.one(STRINGS),
        "E" => choices.one(EXPRESSIONS),
        _ => token,
    }
    .to_owned()
}

fn gap(sql: &mut String, choices: &mut Choices, comments: bool) {
    sql.push_str(choices.one(WHITE));
    if comments && choices.pick(3) == 1 {
        sql.push_str(choices.one(COMMENTS));
        sql.push_str(choices.one(&["", " ", "\n"]));
    }
}
