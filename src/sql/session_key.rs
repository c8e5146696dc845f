//! `SET @lagwise_key = 'cart-4711'`: the consistency key that an application gives its session.

use super::lexer::{Lexer, Token};
use super::mode::LexMode;
use super::words::Word;

/// The user variable that holds it.
const VARIABLE: &[u8] = b"@lagwise_key";
/// Longer ones are no keys, in bytes; as with hints.
const LONGEST: usize = 128;

/// The key that a text sets, if it does that and nothing else; empty for NULL and `''`, which take it
/// away. It is a plain literal of up to 128 bytes, without escapes.
pub fn session_key<'a>(sql: &'a [u8], mode: &LexMode) -> Option<&'a [u8]> {
    let mut lexer = Lexer::new(sql, mode);
    let mut token = Token::NONE;
    let mut next = |lexer: &mut Lexer<'a>| {
        token = lexer.next(token);
        (token.word, lexer.slice(token))
    };
    let (_, set) = next(&mut lexer);
    let (variable, name) = next(&mut lexer);
    let (equals, _) = next(&mut lexer);
    let (value, text) = next(&mut lexer);
    let mut end = next(&mut lexer).0;
    if end == Word::Semicolon {
        end = next(&mut lexer).0;
    }
    let is_set = set.eq_ignore_ascii_case(b"set")
        && variable == Word::UserVariable
        && name.eq_ignore_ascii_case(VARIABLE)
        && matches!(equals, Word::Equals | Word::Assign)
        && end == Word::End
        && !lexer.ambiguous;
    let key = match value {
        _ if !is_set => return None,
        Word::Number => text,
        Word::Text => text.get(1..text.len().checked_sub(1)?)?,
        _ if text.eq_ignore_ascii_case(b"null") => b"",
        _ => return None,
    };
    let is_plain = !key.iter().any(|byte| matches!(byte, b'\\' | b'\'' | b'"'));
    (is_plain && key.len() <= LONGEST).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sets_a_key() {
        let check = |sql: &str, want: Option<&str>| {
            let found = session_key(sql.as_bytes(), &LexMode::default());
            assert_eq!(found, want.map(str::as_bytes), "{sql}");
        };
        check("SET @lagwise_key = 'cart-4711'", Some("cart-4711"));
        check("set @LAGWISE_KEY:=\"a b\";", Some("a b"));
        check("/* x */ SET @lagwise_key=4711", Some("4711"));
        check("SET @lagwise_key = NULL", Some(""));
        check("SET @lagwise_key = ''", Some(""));
        check("SET @lagwise_key = 'it''s'", None);
        check("SET @lagwise_key = 'a\\nb'", None);
        check("SET @lagwise_key = CONCAT('a', 'b')", None);
        check("SET @lagwise_key = 'a', @b = 1", None);
        check("SET @lagwise_key = 'a'; SELECT 1", None);
        check("SET @lagwise_keys = 'a'", None);
        check("SELECT @lagwise_key := 'a'", None);
        check(&format!("SET @lagwise_key = '{}'", "x".repeat(LONGEST + 1)), None);
    }
}
