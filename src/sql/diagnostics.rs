//! GET DIAGNOSTICS: which user variables it sets, and to what.

use super::lexer::{Lexer, Token};
use super::mode::LexMode;
use super::words::Word;

/// What kind of value an item of a diagnostics area has (MySQL manual, "GET DIAGNOSTICS").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosticsItem {
    /// NUMBER, MYSQL_ERRNO: not negative.
    Unsigned,
    /// ROW_COUNT, which may be -1.
    Signed,
    /// All others: in utf8mb3.
    Text,
}

/// The user variables that a GET DIAGNOSTICS sets, as they stand in its text.
pub fn diagnostics_targets<'a>(sql: &'a [u8], mode: &LexMode) -> Vec<(&'a [u8], DiagnosticsItem)> {
    let mut lexer = Lexer::new(sql, mode);
    let mut found = Vec::new();
    let mut token = lexer.next(Token::NONE);
    while token.word != Word::End {
        let variable = token;
        token = lexer.next(token);
        if variable.word != Word::UserVariable || lexer.slice(token) != b"=" {
            continue;
        }
        token = lexer.next(token);
        let item = lexer.slice(token);
        let is = |name: &[u8]| item.eq_ignore_ascii_case(name);
        // MariaDB has MARIADB_ERRNO, too.
        let kind = if is(b"NUMBER") || is(b"MYSQL_ERRNO") || is(b"MARIADB_ERRNO") {
            DiagnosticsItem::Unsigned
        } else if is(b"ROW_COUNT") || is(b"ROW_NUMBER") {
            DiagnosticsItem::Signed
        } else {
            DiagnosticsItem::Text
        };
        found.push((lexer.slice(variable), kind));
    }
    if lexer.ambiguous { Vec::new() } else { found }
}

#[cfg(test)]
mod tests {
    use super::DiagnosticsItem::{Signed, Text, Unsigned};
    use super::*;

    #[track_caller]
    fn check(sql: &str, want: &[(&str, DiagnosticsItem)]) {
        let got = diagnostics_targets(sql.as_bytes(), &LexMode::default());
        let got: Vec<_> =
            got.iter().map(|(name, item)| (std::str::from_utf8(name).unwrap(), *item)).collect();
        assert_eq!(got, want, "{sql}");
    }

    #[test]
    fn targets() {
        check(
            "GET DIAGNOSTICS @c = NUMBER, @`r w`=row_count",
            &[("@c", Unsigned), ("@`r w`", Signed)],
        );
        check(
            "get current diagnostics condition @n @t = MESSAGE_TEXT, @e = MYSQL_ERRNO;",
            &[("@t", Text), ("@e", Unsigned)],
        );
        check("GET DIAGNOSTICS CONDITION 1 t = MESSAGE_TEXT", &[]);
        check("GET DIAGNOSTICS @a", &[]);
    }
}
