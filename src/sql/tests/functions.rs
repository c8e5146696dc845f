//! Names before parentheses that are functions, and those that are not.

use super::*;

#[test]
fn json_table_is_no_function() {
    check_both(&[
        ("SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$')) AS j", Replica),
        (
            "SELECT * FROM t, json_table (CONCAT('[', t.a, ']'), '$[*]' columns(a VARCHAR(10) \
             PATH '$' DEFAULT '1' ON EMPTY, n FOR ORDINALITY, NESTED PATH '$.b' COLUMNS (c INT \
             EXISTS PATH '$'))) j",
            Replica,
        ),
        ("SELECT * FROM JSON_TABLE(f(1), '$' COLUMNS (a INT PATH '$')) AS j", Writes),
        ("SELECT `JSON_TABLE`('[1]', '$[*]')", Writes),
    ]);
    let both = "SELECT json_table(a) FROM JSON_TABLE('1', '$' COLUMNS (a INT PATH '$')) j";
    let long = format!(
        "SELECT * FROM JSON_TABLE(CONCAT(''{}), '$' COLUMNS (a INT PATH '$')) j",
        ", a".repeat(40)
    );
    for sql in [
        "SELECT JSON_TABLE('[1]')",
        "SELECT JSON_TABLE('[1]', columns(1))",
        "SELECT shop.JSON_TABLE('1', '$' COLUMNS (1))",
        "SELECT json_table(1), (2, '$' COLUMNS (1))",
        both,
        &long,
    ] {
        check(&MARIADB, sql, Writes);
    }
}

#[test]
fn a_word_of_the_grammar_is_a_name_between_quotes() {
    check_both(&[
        ("SELECT LEFT(a, 2), IF(a, b, c), COALESCE(a, b), YEAR(d), AVG(e) FROM t", Replica),
        ("SELECT `left`(a, 2) FROM t", Writes),
        ("SELECT `IF`(a, b, c) FROM t", Writes),
        ("SELECT `coalesce` (a, b) FROM t", Writes),
        ("SELECT `year`(d) FROM t", Writes),
        ("SELECT `avg`(e) FROM t", Writes),
        ("SELECT `max`(e) FROM t", Writes),
        ("SELECT `in`(e) FROM t", Writes),
        ("SELECT `user`()", Writes),
        // These the servers find by their names alone.
        ("SELECT `concat`(a, b), `lower`(c) FROM t", Replica),
        ("SELECT `get_lock`('a', 1)", Primary),
        ("SELECT `last_insert_id`()", Primary),
    ]);
    let spaces = LexMode { ignore_space: true, ansi_quotes: true, ..MYSQL };
    check(&spaces, "SELECT MAX (e) FROM t", Replica);
    check(&spaces, "SELECT \"max\"(e) FROM t", Writes);
    check(&spaces, "SELECT \"left\"(e, 1) FROM t", Writes);
}
