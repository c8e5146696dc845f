//! The first tokens of a statement, for rules that an operator writes: `statement = "select * from
//! big_report"`.
//!
//! Compared token by token, so that white space, comments, the case of letters in names and
//! keywords, and backticks around names do not matter. Numbers, text in quotes and variables are
//! compared byte by byte. A token is compared whole: `FROM shop` does not begin `FROM shop.orders`.
//!
//! The first token is lexed once for all rules ([`Start`]); a rule whose prefix begins otherwise
//! costs one comparison of numbers.

use super::lexer::{Lexer, Token};
use super::mode::{ClientCharset, LexMode};
use super::statement::{HASH_START, hash_name};
use super::words::Word;

/// Tokens that a prefix may have.
const MOST_TOKENS: usize = 100;

/// Tokens with which a statement may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// At least one, in the form of [`normal`].
    tokens: Box<[Box<[u8]>]>,
    /// Hash of the first one.
    first: u64,
}

/// Why a text is no [`Prefix`]; the sentence that follows the text in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrefix {
    /// Nothing but white space, comments and semicolons.
    #[error("holds no word of a statement")]
    Empty,
    /// An open quote or comment, or something that servers read in several ways.
    #[error("is not read alike by all servers, such as an open quote or comment")]
    Ambiguous,
    /// More than one statement.
    #[error("holds more than one statement")]
    Several,
    /// Too long.
    #[error("has more than 100 words and signs")]
    TooLong,
}

impl Prefix {
    /// Reads a prefix; semicolons at its end are left out.
    ///
    /// # Errors
    /// See [`BadPrefix`].
    pub fn parse(text: &str) -> Result<Self, BadPrefix> {
        let mode = LexMode { charset: ClientCharset::Utf8, ..LexMode::default() };
        let mut lexer = Lexer::new(text.as_bytes(), &mode);
        let mut tokens: Vec<Box<[u8]>> = Vec::new();
        let (mut ended, mut token) = (false, Token::NONE);
        loop {
            token = lexer.next(token);
            match token.word {
                Word::End => break,
                Word::Semicolon => ended = !tokens.is_empty(),
                _ if ended => return Err(BadPrefix::Several),
                _ if tokens.len() == MOST_TOKENS => return Err(BadPrefix::TooLong),
                _ => tokens.push(normal(lexer.slice(token), token).collect()),
            }
        }
        if lexer.ambiguous {
            return Err(BadPrefix::Ambiguous);
        }
        let first = hash_name(tokens.first().ok_or(BadPrefix::Empty)?, HASH_START);
        Ok(Self { tokens: tokens.into(), first })
    }

    /// Whether every statement that begins with `other` begins with this, too.
    pub fn covers(&self, other: &Prefix) -> bool {
        other.tokens.starts_with(&self.tokens)
    }

    /// Whether the statement begins with this. Allocates nothing; reads no further than needed.
    pub fn begins(&self, start: &Start<'_>) -> bool {
        if self.first != start.hash {
            return false;
        }
        let mut lexer = start.lexer.clone();
        let mut token = start.token;
        for (index, wanted) in self.tokens.iter().enumerate() {
            if index > 0 {
                token = lexer.next(token);
            }
            if !normal(lexer.slice(token), token).eq(wanted.iter().copied()) {
                return false;
            }
        }
        true
    }
}

/// The beginning of a statement, to be compared with many prefixes.
pub struct Start<'a> {
    /// Behind `token`.
    lexer: Lexer<'a>,
    token: Token,
    hash: u64,
}

impl<'a> Start<'a> {
    /// Finds the first token of the first statement in `sql`.
    pub fn of(sql: &'a [u8], mode: &LexMode) -> Self {
        let mut lexer = Lexer::new(sql, mode);
        let mut token = lexer.next(Token::NONE);
        while token.word == Word::Semicolon {
            token = lexer.next(token);
        }
        // `hash_name` folds the case by itself.
        let name = lexer.slice(token);
        let hash = match name {
            [b'`', inner @ .., b'`'] => hash_name(inner, HASH_START),
            name => hash_name(name, HASH_START),
        };
        Self { lexer, token, hash }
    }
}

/// The bytes of a token as they are compared.
fn normal(bytes: &[u8], token: Token) -> impl Iterator<Item = u8> + '_ {
    let is_name = token.word.is_name();
    bytes
        .iter()
        .filter(move |byte| !is_name || **byte != b'`')
        .map(move |byte| if is_name { byte.to_ascii_lowercase() } else { *byte })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, sql: &str, want: bool) {
        let parsed = Prefix::parse(prefix).unwrap();
        let mode = LexMode::default();
        assert_eq!(parsed.begins(&Start::of(sql.as_bytes(), &mode)), want, "{prefix}: {sql}");
    }

    #[test]
    fn what_begins_alike() {
        let from = "select * from Big_Report";
        check(from, "SELECT * FROM big_report", true);
        check(from, "select*from`big_report`where a = 1", true);
        check(from, "/* lagwise: primary */ -- a\n SELECT /* b */ *\tFROM # c\n BIG_REPORT;", true);
        check(from, "/*! SELECT */ * FROM big_report", true);
        check(from, ";; SELECT * FROM big_report", true);
        check(from, "SELECT * FROM big_report_2", false);
        check(from, "SELECT * FROM shop.big_report", false);
        check(from, "SELECT * FROM", false);
        check(from, "SELECT a, * FROM big_report", false);
        check(from, "(SELECT * FROM big_report)", false);
        check(from, "", false);
        check("SELECT * FROM `shop`.Orders ;", "select * from shop.`orders` limit 1", true);
        check("SELECT * FROM shop", "SELECT * FROM shop.orders", false);
        check("`select`", "select 1", true);
    }

    #[test]
    fn values_are_compared_byte_by_byte() {
        check("SELECT 'A'", "select 'A', 1", true);
        check("SELECT 'A'", "select 'a'", false);
        check("SELECT 'A'", "select \"A\"", false);
        check("SELECT 'a`b'", "select 'ab'", false);
        check("SELECT 10", "select 10, 2", true);
        check("SELECT 10", "select 100", false);
        check("SELECT @a", "select @A", false);
    }

    #[test]
    fn what_is_no_prefix() {
        let longest = "a ".repeat(MOST_TOKENS);
        assert!(Prefix::parse(&longest).is_ok());
        for (text, want) in [
            ("", BadPrefix::Empty),
            (" /* a */ ; ", BadPrefix::Empty),
            ("SELECT 'a", BadPrefix::Ambiguous),
            ("SELECT /* a", BadPrefix::Ambiguous),
            ("/*!99999 a */", BadPrefix::Ambiguous),
            ("SELECT 1; SELECT 2", BadPrefix::Several),
            (&format!("{longest} a"), BadPrefix::TooLong),
        ] {
            assert_eq!(Prefix::parse(text), Err(want), "{text}");
        }
    }

    #[test]
    fn covering() {
        let prefix = |text| Prefix::parse(text).unwrap();
        let select = prefix("SELECT");
        assert!(select.covers(&prefix("select 1")) && select.covers(&select));
        assert!(!prefix("select 1").covers(&select) && !select.covers(&prefix("selects")));
    }
}
