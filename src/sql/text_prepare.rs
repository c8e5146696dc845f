//! PREPARE, EXECUTE and DEALLOCATE PREPARE: which statement they name, and the text that is prepared.
//!
//! Only what is plain is read: a text that stands there as one literal. A text in a variable, or one
//! that character sets read differently, is not known.

use super::lexer::{Lexer, Token};
use super::mode::{ClientCharset, LexMode, Make};
use super::words::Word;

/// What one of these statements does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextPrepare {
    /// PREPARE name FROM text.
    Prepare {
        /// In lower case.
        name: Vec<u8>,
        /// The text, if it is known.
        text: Option<Vec<u8>>,
    },
    /// EXECUTE name.
    Execute {
        /// In lower case.
        name: Vec<u8>,
    },
    /// MariaDB's EXECUTE IMMEDIATE text.
    Immediate {
        /// The text.
        text: Vec<u8>,
    },
    /// DEALLOCATE PREPARE name, DROP PREPARE name.
    Deallocate {
        /// In lower case.
        name: Vec<u8>,
    },
}

/// Reads a text that is one of these statements and nothing else; `None` if it is not, or if its name
/// has letters beyond ASCII, which the servers compare by a collation.
pub fn text_prepare(sql: &[u8], mode: &LexMode) -> Option<TextPrepare> {
    let mut lexer = Lexer::new(sql, mode);
    let first = lexer.next(Token::NONE);
    let mut token = lexer.next(first);
    let found = match first.word {
        Word::Prepare => {
            let name = name(&lexer, token)?;
            let from = lexer.next(token);
            if !lexer.slice(from).eq_ignore_ascii_case(b"FROM") {
                return None;
            }
            let text = lexer.next(from);
            let end = lexer.next(text);
            let text = literal(lexer.slice(text), mode).filter(|_| ends(end));
            return Some(TextPrepare::Prepare { name, text: text.filter(|_| !lexer.ambiguous) });
        }
        Word::Execute => {
            let next = lexer.next(token);
            let is_immediate = mode.make == Make::MariaDb
                && lexer.slice(token).eq_ignore_ascii_case(b"IMMEDIATE")
                && !ends(next);
            if is_immediate {
                token = lexer.next(next);
                let text = literal(lexer.slice(next), mode);
                let using = lexer.slice(token).eq_ignore_ascii_case(b"USING");
                TextPrepare::Immediate { text: text.filter(|_| ends(token) || using)? }
            } else {
                TextPrepare::Execute { name: name(&lexer, token)? }
            }
        }
        Word::Deallocate | Word::Drop if token.word == Word::Prepare => {
            token = lexer.next(token);
            TextPrepare::Deallocate { name: name(&lexer, token)? }
        }
        _ => return None,
    };
    (!lexer.ambiguous).then_some(found)
}

fn ends(token: Token) -> bool {
    matches!(token.word, Word::End | Word::Semicolon)
}

/// A statement's name, as the servers compare them.
fn name(lexer: &Lexer<'_>, token: Token) -> Option<Vec<u8>> {
    let name = match lexer.slice(token) {
        [b'`', inner @ .., b'`'] => inner,
        name => name,
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'-');
    (!name.is_empty() && name.iter().all(plain)).then(|| name.to_ascii_lowercase())
}

/// The text of a string literal (MySQL manual, "String Literals").
fn literal(token: &[u8], mode: &LexMode) -> Option<Vec<u8>> {
    let (&quote, rest) = token.split_first()?;
    let (&last, inner) = rest.split_last()?;
    let quoted = last == quote && (quote == b'\'' || quote == b'"' && !mode.ansi_quotes);
    let safe =
        inner.is_ascii() || matches!(mode.charset, ClientCharset::AsciiSafe | ClientCharset::Utf8);
    if !quoted || !safe {
        return None;
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == quote {
            // Doubled, or the token would have ended.
            bytes.next()?;
            text.push(quote);
        } else if byte == b'\\' && !mode.no_backslash_escapes {
            match bytes.next()? {
                b'0' => text.push(0),
                b'b' => text.push(8),
                b'n' => text.push(b'\n'),
                b'r' => text.push(b'\r'),
                b't' => text.push(b'\t'),
                b'Z' => text.push(26),
                kept @ (b'%' | b'_') => text.extend([b'\\', kept]),
                other => text.push(other),
            }
        } else {
            text.push(byte);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, mode: &LexMode, want: Option<(&str, &str, Option<&str>)>) {
        let string = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let got = text_prepare(sql.as_bytes(), mode).map(|found| match found {
            TextPrepare::Prepare { name, text } => ("prepare", string(name), text.map(string)),
            TextPrepare::Execute { name } => ("execute", string(name), None),
            TextPrepare::Immediate { text } => ("immediate", String::new(), Some(string(text))),
            TextPrepare::Deallocate { name } => ("deallocate", string(name), None),
        });
        let got = got.as_ref().map(|(a, b, c)| (*a, b.as_str(), c.as_deref()));
        assert_eq!(got, want, "{sql}");
    }

    #[test]
    fn names_and_texts() {
        let mysql = LexMode::default();
        let mariadb = LexMode { make: Make::MariaDb, ..mysql };
        let plain = LexMode { no_backslash_escapes: true, ansi_quotes: true, ..mysql };
        check("PREPARE s FROM 'SELECT 1'", &mysql, Some(("prepare", "s", Some("SELECT 1"))));
        check("prepare `S` from \"a\"\"b\";", &mysql, Some(("prepare", "s", Some("a\"b"))));
        check("PREPARE s FROM 'a''b\\'c\\n'", &mysql, Some(("prepare", "s", Some("a'b'c\n"))));
        check("PREPARE s FROM 'a\\\\'", &plain, Some(("prepare", "s", Some("a\\\\"))));
        check("PREPARE s FROM \"SELECT 1\"", &plain, Some(("prepare", "s", None)));
        check("PREPARE s FROM @v", &mysql, Some(("prepare", "s", None)));
        check("PREPARE s FROM 'a' 'b'", &mysql, Some(("prepare", "s", None)));
        check("PREPARE s FROM CONCAT('a')", &mariadb, Some(("prepare", "s", None)));
        check("PREPARE s 'a'", &mysql, None);
        check("PREPARE é FROM 'a'", &mysql, None);
        check("/* a */ EXECUTE S USING @a, @b", &mysql, Some(("execute", "s", None)));
        check("EXECUTE IMMEDIATE 'SELECT 1'", &mysql, Some(("execute", "immediate", None)));
        check("EXECUTE IMMEDIATE 'a'", &mariadb, Some(("immediate", "", Some("a"))));
        check("EXECUTE IMMEDIATE 'a' USING 1", &mariadb, Some(("immediate", "", Some("a"))));
        check("EXECUTE IMMEDIATE CONCAT('a')", &mariadb, None);
        check("EXECUTE IMMEDIATE", &mariadb, Some(("execute", "immediate", None)));
        check("DEALLOCATE PREPARE s", &mysql, Some(("deallocate", "s", None)));
        check("DROP PREPARE `s`", &mysql, Some(("deallocate", "s", None)));
        check("DROP TABLE s", &mysql, None);
        check("SELECT 1", &mysql, None);
    }
}
