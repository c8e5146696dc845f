//! Texts and modes out of the fuzzer's bytes.

use lagwise::route::{Policy, Route, SessionFacts, decide};
use lagwise::sql::{ClientCharset, LexMode, Make, classify};

/// Each stands for two bytes, a control character and its number, so that the fuzzer need not guess
/// words letter by letter.
const WORDS: &[&str] = &[
    "SELECT ",
    "FROM ",
    "WHERE ",
    "FOR ",
    "UPDATE ",
    "SHARE ",
    "LOCK ",
    "IN ",
    "SHARE MODE ",
    "INTO ",
    "OUTFILE ",
    "@a",
    "@@a",
    ":=",
    "WITH ",
    "AS ",
    "AS (",
    "UNION ",
    "TABLE ",
    "VALUES ",
    "INSERT ",
    "REPLACE ",
    "REPLACE(",
    "INSERT(",
    "DELETE ",
    "SET ",
    "STATEMENT ",
    "CREATE ",
    "TEMPORARY ",
    "DROP ",
    "CALL ",
    "LOAD ",
    "DATA ",
    "GRANT ",
    "EXPLAIN ",
    "ANALYZE ",
    "FORMAT=",
    "SHOW ",
    "TABLES ",
    "DESC ",
    "HELP ",
    "CHECKSUM ",
    "START TRANSACTION ",
    "READ ONLY ",
    "BEGIN ",
    "NEXT ",
    "VALUE ",
    "GET_LOCK",
    "LAST_INSERT_ID",
    "NEXTVAL",
    "COUNT(",
    "CONCAT(",
    "/*!",
    "/*!50000 ",
    "/*!99999 ",
    "/*M!",
    "/*+",
    "*/",
    "/*",
    "-- ",
    "--",
    "#",
    "\n",
    "''",
    "\\'",
    "``",
    "`t`.",
    "t.",
    "1.",
    "1e",
    ".5",
    "(",
    ")",
    ";",
    "EXECUTE ",
    "CONNECTION ",
    "SCHEMA ",
    "DUMPFILE ",
    "ROW(",
    "/* lagwise: replica */",
    "COLUMNS ",
    "FULL ",
];

/// A text out of any bytes.
pub fn expand(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut bytes = bytes.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            1..=8 | 14..=31 => {
                let number = usize::from(bytes.next().copied().unwrap_or(0));
                text.extend_from_slice(WORDS[number % WORDS.len()].as_bytes());
            }
            _ => text.push(byte),
        }
    }
    text
}

/// A mode of a character set in which ASCII is ASCII.
pub fn mode(how: u8) -> LexMode {
    let (make, server_version) =
        if how & 1 == 0 { (Make::MySql, 90_704) } else { (Make::MariaDb, 101_119) };
    LexMode {
        ansi_quotes: how & 2 != 0,
        no_backslash_escapes: how & 4 != 0,
        ignore_space: how & 8 != 0,
        make,
        server_version,
        charset: ClientCharset::Utf8,
    }
}

/// Where a fresh session sends a text.
pub fn route(sql: &[u8], mode: &LexMode) -> Route {
    decide(&classify(sql, mode), &SessionFacts::default(), &Policy::default())
}
