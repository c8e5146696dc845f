//! What is one digest, and what is not. Texts against a server's are in tests/digest.rs.

use super::super::mode::{LexMode, Make};
use super::{digest_text, fingerprint, shape};
use proptest::prelude::*;

fn text(sql: &str) -> String {
    digest_text(sql.as_bytes(), &LexMode::default())
}

fn print(sql: &str) -> u64 {
    fingerprint(sql.as_bytes(), &LexMode::default())
}

#[test]
fn values_are_one() {
    for (sql, want) in [
        ("select a from t where id = 1", "SELECT `a` FROM `t` WHERE `id` = ?"),
        ("SELECT a FROM t WHERE id = -1.5e3", "SELECT `a` FROM `t` WHERE `id` = ?"),
        ("SELECT a - 1 FROM t", "SELECT `a` - ? FROM `t`"),
        ("SELECT a FROM t WHERE id IN (1)", "SELECT `a` FROM `t` WHERE `id` IN (...)"),
        ("SELECT a FROM t WHERE id IN (1, 'b', x'00')", "SELECT `a` FROM `t` WHERE `id` IN (...)"),
        ("INSERT INTO t VALUES (1)", "INSERT INTO `t` VALUES (?)"),
        ("INSERT INTO t VALUES (1), (?)", "INSERT INTO `t` VALUES (?) /* , ... */"),
        ("INSERT INTO t VALUES (1, 2)", "INSERT INTO `t` VALUES (...)"),
        (
            "INSERT INTO t VALUES (1, 2), (NULL, 0x4), (5, 6);",
            "INSERT INTO `t` VALUES (...) /* , ... */",
        ),
        (
            "SELECT f(1), count(*), count FROM `s`.t",
            "SELECT `f` (?) , COUNT ( * ) , `count` FROM `s` . `t`",
        ),
        ("SELECT 1; ; SELECT 2;", "SELECT ? ; SELECT ?"),
        ("", ""),
    ] {
        assert_eq!(text(sql), want, "{sql}");
    }
}

#[test]
fn it_ends_somewhere() {
    let sql = format!("SELECT {}", "a, ".repeat(100_000));
    let text = text(&sql);
    assert!(
        text.ends_with("`a` , ...") || text.ends_with(", `a` ..."),
        "{}",
        &text[text.len() - 20..]
    );
    assert!(text.len() < 6000, "{}", text.len());
    assert_eq!(print(&sql), print(&sql.replace("a, a, ", "a, a,")[..sql.len() / 2]));
    let many = |rows: &str| format!("INSERT INTO t VALUES {}(1, 2)", rows.repeat(50_000));
    assert_eq!(print(&many("(1, 2), ")), print(&many("('a', 2), ")));
}

/// Texts of a few words in any order, so that some are the same but for values.
fn texts() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SELECT", "select", "a", "b", "`a`", "`b.c`", "1", "-1", "+", "-", "'x'", "?", "NULL",
        "IS", "IN", "(", ")", ",", "=", "<>", "!=", "t.a", "t . a", "@v", "@w", "BY", "ORDER BY",
        "GROUP BY", "_utf8", "LIMIT", "2", "@@x", "count", "COUNT(", "0x1f", "x'1f'", ";", "'",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

/// Plain texts whose shapes may well be the same, with every way to say a value that looks like another.
fn plain_texts() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SELECT ", "a", "b ", "`a`", "`1`", "1", "2", " 3 ", "17", "1.5", "0x1", "1e", "+", "=",
        "<", ">", "'x'", "'yz'", "''", "?", " NULL ", " IS ", " IN ", "(", ")", ",", ", ",
        "ORDER ", "GROUP ", "by ", "BY ", " LIMIT ", ".", ";", "n", "x", "_utf8", "*", "b", "0b1",
        " AS ", "VALUES ", " ",
    ]);
    let begin =
        prop::sample::select(vec!["", "SELECT a FROM b ORDER BY ", "SELECT a FROM b ORDER BY a, "]);
    let rest = prop::collection::vec(word, 0..12);
    (begin, rest).prop_map(|(begin, rest)| format!("{begin}{}", rest.concat()))
}

/// The same text with other digits and letters in its numbers and strings.
fn with_other_values(sql: &str, digit: char) -> String {
    let mut is_string = false;
    let change = |char: char| {
        is_string ^= char == '\'';
        let is_value = is_string && char.is_ascii_alphabetic() || char.is_ascii_digit();
        if is_value { digit } else { char }
    };
    sql.chars().map(change).collect()
}

#[test]
fn what_has_a_shape() {
    let of = |sql: &str| shape(sql.as_bytes());
    let point = of("SELECT c FROM t WHERE id = 1").unwrap();
    for same in ["SELECT c FROM t WHERE id = 23456789", "SELECT c FROM t WHERE id = 'it'"] {
        assert_eq!(of(same), Some(point), "{same}");
    }
    for other in [
        "SELECT c FROM t WHERE id = a",
        "SELECT d FROM t WHERE id = 1",
        "SELECT c FROM t WHERE id = 1.5",
        "SELECT c FROM t WHERE id = 1 LIMIT 1",
        "SELECT c FROM t WHERE `id` = 1",
    ] {
        assert!(of(other).is_some_and(|shape| shape != point), "{other}");
    }
    assert_ne!(of("SELECT a FROM t ORDER BY 1"), of("SELECT a FROM t ORDER BY 2"));
    assert_eq!(of("INSERT INTO t VALUES (1, 'b')"), of("INSERT INTO t VALUES (2, '')"));
    for none in [
        "SELECT 1 -- c",
        "/* c */ SELECT 1",
        "SELECT \"a\"",
        "SELECT 'a\\'b'",
        "SELECT @a",
        "SELECT 'é'",
    ] {
        assert_eq!(of(none), None, "{none}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn one_shape_is_one_fingerprint(sql in plain_texts(), digit in prop::sample::select(vec!['0', '1', '9'])) {
        let other = with_other_values(&sql, digit);
        if shape(sql.as_bytes()).is_some() && shape(sql.as_bytes()) == shape(other.as_bytes()) {
            prop_assert_eq!(print(&sql), print(&other), "{} | {}", sql, other);
        }
    }
}

proptest! {
    /// Two rows of a table never have the same text.
    #[test]
    fn what_is_one_text_is_one_number(one in texts(), other in texts()) {
        if text(&one) == text(&other) {
            prop_assert_eq!(print(&one), print(&other));
        }
        // White space and comments are of no meaning.
        let spaced = one.replace(' ', " \n/* c */ ");
        prop_assert_eq!(text(&one), text(&spaced));
        prop_assert_eq!(print(&one), print(&spaced));
    }

    #[test]
    fn other_values_are_no_other_digest(a in 0u32.., b in "[a-z]{0,9}", n in 1usize..9) {
        let sql = |a: u32, b: &str, n: usize| format!(
            "SELECT x, y FROM t WHERE a = {a} AND b = '{b}' AND c IN ({}) LIMIT {a}", vec!["?"; n].join(", ")
        );
        prop_assert_eq!(print(&sql(a, &b, n)), print(&sql(7, "", 1)));
        prop_assert_ne!(print(&sql(a, &b, n)), print(&sql(a, &b, n).replace("y", "z")));
    }

    #[test]
    fn any_bytes_have_a_digest(sql in prop::collection::vec(any::<u8>(), 0..400), maria in any::<bool>()) {
        let make = if maria { Make::MariaDb } else { Make::MySql };
        let mode = LexMode { make, ..LexMode::default() };
        let _ = (digest_text(&sql, &mode), fingerprint(&sql, &mode));
    }
}
