//! Work is linear in the length: the bytes that are looked at are counted, not the time.

use super::super::bytes::work;
use super::*;

/// Bytes looked at for each byte of a text, at most: a word is loaded by eight bytes, and what stands
/// behind a name and a parenthesis is looked at once more.
const EACH: usize = 30;
/// For a text of any length.
const ONCE: usize = 2_000;

const HEADS: &[&str] = &[
    "",
    "select ",
    "insert into t ",
    "set ",
    "set @",
    "with ",
    "explain ",
    "call p(",
    "select f(",
    "select 1 /*!80000 ",
    "select '",
    "select `",
    "create table t ",
    "start transaction ",
    "show ",
    "kill ",
    "select /*+ ",
];

/// What is repeated without end.
const UNITS: &[&str] = &[
    "(",
    ")",
    "()",
    "a.",
    "a.b ",
    "`a`.",
    "`a` ",
    "``",
    "`",
    "f(",
    "f (",
    "f(a,",
    "f(a),",
    "f() as ",
    "f(a) as (",
    "x.f(",
    "as (",
    "in (",
    "a(a,a,a,",
    "(a,",
    "/*",
    "/* ",
    "*/",
    "/**/",
    "/*/",
    "/*!",
    "/*!99999 ",
    "/*!99999 /*",
    "/*!80000 ",
    "/*M!",
    "/*+",
    "/*+ ` */",
    "/*lagwise:",
    "-",
    "--",
    "-- ",
    "-- \n",
    "#",
    "#\n",
    "'",
    "''",
    "'a' ",
    "'\\",
    "\\",
    "\"",
    "\"\"",
    "@",
    "@@",
    "@a",
    "@@a.",
    "@@`",
    "@'",
    ":=",
    ";",
    "; ;",
    "begin;",
    "select 1;",
    "set a=1;",
    "1",
    "1.",
    "1e",
    "1e1",
    ".",
    "..",
    ".1",
    "0x",
    "0b",
    "$",
    "$$",
    "a$",
    "é",
    "\u{a0}",
    "a",
    "abcdefgh",
    "abcdefgh ",
    "select ",
    "for update ",
    "next value for ",
    "set ",
    "set statement a=1 for ",
    "explain ",
    "lock in share mode ",
    "\0",
    "\n",
    " ",
    "\u{b}",
    ",",
    "=",
    "x.nextval ",
    "current_user ",
    "into @a ",
    "mysql.",
    "`mysql` ",
    "information_schema ",
    "sql_calc_found_rows_",
    "union select f(a) from (",
];

fn count(sql: &[u8], mode: &LexMode) -> usize {
    work::take();
    let _ = classify(sql, mode);
    let _ = kill_target(sql, mode);
    work::take()
}

fn check_work(head: &str, unit: &str, length: usize, mode: &LexMode) {
    let sql = format!("{head}{}", unit.repeat(length / unit.len()));
    let work = count(sql.as_bytes(), mode);
    assert!(
        work <= EACH * sql.len() + ONCE,
        "{head}{unit}… of {length} bytes: {work} bytes looked at\n{mode:?}"
    );
    assert!(work > sql.len() / 9, "{head}{unit}…: what looks at bytes does not count them");
}

#[test]
fn work_is_linear_in_the_length() {
    let gbk = LexMode { charset: ClientCharset::Gbk, ..MARIADB };
    let ansi = LexMode { ansi_quotes: true, no_backslash_escapes: true, ..MYSQL };
    for mode in [&MYSQL, &MARIADB, &gbk, &ansi] {
        for head in HEADS {
            for unit in UNITS {
                check_work(head, unit, 8 << 10, mode);
            }
        }
    }
}

#[test]
fn a_mebibyte_takes_no_more_for_each_byte() {
    for unit in ["(", "a.", "f(", "f(a,", "f(a,a) ", "/*", "/*!", "/*!99999 /*", "'", "`", "a"] {
        check_work("select ", unit, 1 << 20, &MYSQL);
    }
}
