//! What holds for every text.

use super::dressing::essence;
use super::*;
use proptest::prelude::*;

/// Pieces of which statements are made; a function and its parenthesis are one piece because white
/// space between them is of meaning.
const PIECES: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "t",
    "`a``b`",
    "'it''s'",
    "\"x\"",
    "1",
    "1.5",
    ".5",
    "1e3",
    "0x1f",
    "?",
    "(",
    ")",
    ",",
    "=",
    "*",
    "+",
    "FOR",
    "UPDATE",
    "SHARE",
    "LOCK",
    "IN",
    "MODE",
    "INTO",
    "OUTFILE",
    "@a",
    "@@sql_mode",
    "@@global.x",
    ":=",
    ";",
    "WITH",
    "RECURSIVE",
    "AS",
    "UNION",
    "TABLE",
    "VALUES",
    "INSERT",
    "REPLACE",
    "DELETE",
    "SET",
    "NAMES",
    "TRANSACTION",
    "READ",
    "ONLY",
    "BEGIN",
    "START",
    "COMMIT",
    "CREATE",
    "TEMPORARY",
    "DROP",
    "COUNT(",
    "f(",
    "GET_LOCK(",
    "LAST_INSERT_ID(",
    "REPLACE(",
    "EXPLAIN",
    "ANALYZE",
    "FORMAT",
    "SHOW",
    "TABLES",
    "WARNINGS",
    "NEXT",
    "VALUE",
    "CALL",
    "PREPARE",
    "EXECUTE",
    "KILL",
    "STATEMENT",
    "SESSION",
    "GLOBAL",
    "mysql",
    "t.update",
    "x.y(",
    "\\N",
    "LOAD",
    "DATA",
    "SQL_CALC_FOUND_ROWS",
];

const GAPS: &[&str] = &[
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "/**/",
    " /* FOR UPDATE; ' */ ",
    "-- DELETE \"\n",
    " #x`\n",
    " /*!99999 INTO */ ",
    "\u{b}",
];

fn modes() -> impl Strategy<Value = LexMode> {
    let charset = prop_oneof![
        Just(ClientCharset::AsciiSafe),
        Just(ClientCharset::Utf8),
        Just(ClientCharset::Gbk),
        Just(ClientCharset::Gb18030),
        Just(ClientCharset::Sjis),
        Just(ClientCharset::Big5),
    ];
    let make = prop_oneof![Just((Make::MySql, 90704)), Just((Make::MariaDb, 101119))];
    (any::<bool>(), any::<bool>(), any::<bool>(), make, charset).prop_map(
        |(ansi_quotes, no_backslash_escapes, ignore_space, (make, server_version), charset)| {
            LexMode {
                ansi_quotes,
                no_backslash_escapes,
                ignore_space,
                make,
                server_version,
                charset,
            }
        },
    )
}

fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(PIECES), 1..24)
}

/// The pieces, each in random case where case is of no meaning, with a random gap between.
fn dress(pieces: &[&str], gaps: &[usize], upper: &[bool]) -> String {
    let mut text = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        text.push_str(GAPS[gaps[index % gaps.len()] % GAPS.len()]);
        let quoted = piece.contains(['\'', '"', '`', '\\', 'x']);
        match (quoted, upper[index % upper.len()]) {
            (true, _) => text.push_str(piece),
            (false, true) => text.push_str(&piece.to_uppercase()),
            (false, false) => text.push_str(&piece.to_lowercase()),
        }
    }
    text
}

proptest! {
    #[test]
    fn any_bytes_are_classified(sql in prop::collection::vec(any::<u8>(), 0..200), mode in modes()) {
        let statement = classify(&sql, &mode);
        prop_assert!(!(statement.is_read() && statement.may_write()));
        let _ = kill_target(&sql, &mode);
    }

    #[test]
    fn any_cut_of_a_statement_is_classified(
        pieces in pieces(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        mode in modes(),
    ) {
        let mut sql = pieces.join(" ").into_bytes();
        let at = at.index(sql.len());
        let _ = classify(&sql[..at], &mode);
        sql[at] = byte;
        let statement = classify(&sql, &mode);
        prop_assert!(!(statement.is_read() && statement.may_write()));
    }

    #[test]
    fn case_white_space_and_comments_change_nothing(
        pieces in pieces(),
        gaps in prop::collection::vec(0usize..GAPS.len(), 1..24),
        upper in prop::collection::vec(any::<bool>(), 1..24),
        mode in modes(),
    ) {
        let plain = classify(pieces.join(" ").as_bytes(), &mode);
        let dressed = dress(&pieces, &gaps, &upper);
        prop_assert_eq!(
            essence(&classify(dressed.as_bytes(), &mode)),
            essence(&plain),
            "{}", dressed
        );
    }

    #[test]
    fn a_text_that_begins_as_a_write_is_no_read(
        verb in prop::sample::select(&[
            "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME",
            "GRANT", "REVOKE", "CALL", "LOAD DATA", "XA", "FLUSH", "OPTIMIZE", "LOCK", "HANDLER",
            "SET", "BEGIN", "COMMIT", "DO", "PREPARE", "EXECUTE", "KILL", "USE",
        ][..]),
        rest in pieces(),
        gap in 0usize..GAPS.len(),
        mode in modes(),
    ) {
        let sql = format!("{}{verb}{} {}", GAPS[gap], GAPS[gap], rest.join(" "));
        prop_assert!(!classify(sql.as_bytes(), &mode).is_read(), "{}", sql);
    }

    #[test]
    fn a_write_in_a_later_statement_is_seen(
        first in pieces(),
        verb in prop::sample::select(&["INSERT INTO t VALUES (1)", "DELETE FROM t", "CALL p()"][..]),
        mode in modes(),
    ) {
        let sql = format!("{} ; {verb}", first.join(" "));
        prop_assert!(classify(sql.as_bytes(), &mode).may_write(), "{}", sql);
    }

    #[test]
    fn what_is_in_quotes_is_of_no_meaning(text in "[ -~é]{0,40}", before in "[a-z ]{0,8}") {
        let text = text.replace('\\', "\\\\").replace('\'', "''");
        let sql = format!("SELECT {before}'{text}' FROM t");
        let empty = format!("SELECT {before}'' FROM t");
        prop_assert_eq!(
            essence(&classify(sql.as_bytes(), &MYSQL)),
            essence(&classify(empty.as_bytes(), &MYSQL))
        );
    }

    #[test]
    fn what_locks_is_seen_anywhere(
        head in prop::collection::vec(prop::sample::select(&[
            "a", "'x'", "`y`", "1", "1.5", "(SELECT 1)", "t.for", "CAST(a AS CHAR(3))", "/* ' */ b", "c -- \"\n",
        ][..]), 1..6),
        lock in prop::sample::select(&["FOR UPDATE", "FOR SHARE", "LOCK IN SHARE MODE"][..]),
        depth in 0usize..4,
        mode in modes(),
    ) {
        let inner = format!("SELECT {} FROM t {lock}", head.join(" , "));
        let sql = (0..depth).fold(inner, |sql, _| format!("SELECT * FROM ({sql}) AS d"));
        let statement = classify(sql.as_bytes(), &mode);
        prop_assert_eq!(statement.kind, StatementKind::LockingRead, "{}", sql);
    }
}
