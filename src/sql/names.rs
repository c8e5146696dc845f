//! SET NAMES, as it is said again on another connection.
//!
//! The servers report three character sets after SET NAMES, and no collation, though two
//! connections that differ in it compare strings and describe columns differently. So this is the
//! one assignment that is repeated as it was written and not as it was reported. It takes nothing
//! but literals.

use super::lexer::{Lexer, Token};
use super::mode::LexMode;
use super::words::Word;

/// `utf8mb4 COLLATE utf8mb4_bin` of the one NAMES in `sql`, a single SET; `None` if there is
/// another number of them, or anything that might be read otherwise elsewhere.
pub fn names_clause(sql: &[u8], mode: &LexMode) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(sql, mode);
    let mut token = lexer.next();
    while token.word == Word::Semicolon {
        token = lexer.next();
    }
    if token.word != Word::Set {
        return None;
    }
    let (mut found, mut depth) = (None, 0_u32);
    let mut is_first = true;
    token = lexer.next();
    while !matches!(token.word, Word::End | Word::Semicolon) {
        if is_first && token.word == Word::Names {
            let (clause, next) = clause(&mut lexer)?;
            if found.replace(clause).is_some() || !ends(next) {
                return None;
            }
            token = next;
            continue;
        }
        match token.word {
            Word::OpenParen => depth += 1,
            Word::CloseParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        is_first = token.word == Word::Comma && depth == 0;
        token = lexer.next();
    }
    while token.word == Word::Semicolon {
        token = lexer.next();
    }
    found.filter(|_| token.word == Word::End && !lexer.ambiguous)
}

fn ends(token: Token) -> bool {
    matches!(token.word, Word::End | Word::Semicolon | Word::Comma)
}

/// What stands behind NAMES, and the token behind that.
fn clause(lexer: &mut Lexer<'_>) -> Option<(Vec<u8>, Token)> {
    let token = lexer.next();
    let mut clause = plain(lexer, token)?.to_vec();
    let mut next = lexer.next();
    if lexer.slice(next).eq_ignore_ascii_case(b"collate") {
        let collation = lexer.next();
        clause.extend_from_slice(b" COLLATE ");
        clause.extend_from_slice(plain(lexer, collation)?);
        next = lexer.next();
    }
    Some((clause, next))
}

/// A name, quoted or not, in which every mode and character set reads the same.
fn plain<'a>(lexer: &Lexer<'a>, token: Token) -> Option<&'a [u8]> {
    let text = lexer.slice(token);
    let inner = match text {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] | [b'`', inner @ .., b'`'] => inner,
        _ => text,
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    (!inner.is_empty() && inner.iter().all(is_plain)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses() {
        #[track_caller]
        fn check(sql: &str, want: Option<&str>) {
            let mode = LexMode { server_version: 90704, ..LexMode::default() };
            let clause = names_clause(sql.as_bytes(), &mode);
            assert_eq!(clause.map(|it| String::from_utf8(it).unwrap()).as_deref(), want, "{sql}");
        }
        check("SET NAMES utf8mb4", Some("utf8mb4"));
        check("set names 'utf8mb4';", Some("'utf8mb4'"));
        check("SET NAMES utf8mb4 COLLATE utf8mb4_bin", Some("utf8mb4 COLLATE utf8mb4_bin"));
        check("SET NAMES \"utf8\" collate 'utf8_bin' ;;", Some("\"utf8\" COLLATE 'utf8_bin'"));
        check("/*!40101 SET NAMES binary */", Some("binary"));
        check("SET NAMES DEFAULT, time_zone = '+00:00'", Some("DEFAULT"));
        check("SET sql_mode = CONCAT(@@sql_mode, 'x'), NAMES latin1", Some("latin1"));
        check("SET @a = (SELECT 1, 2), NAMES latin1, @b = 2", Some("latin1"));
        check("SET NAMES latin1, NAMES utf8", None);
        check("SET NAMES latin1; SELECT 1", None);
        check("SELECT 1; SET NAMES latin1", None);
        check("SET NAMES 'a\\'b'", None);
        check("SET NAMES x'61'", None);
        check("SET NAMES", None);
        check("SET NAMES = 1", None);
        check("SET NAMES utf8mb4 utf8mb4", None);
        check("SET time_zone = names", None);
        check("SET CHARACTER SET utf8mb4", None);
        check("", None);
    }
}
