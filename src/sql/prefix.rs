//! The first tokens of a statement, for rules that an operator writes: `statement = "select * from
//! big_report"`.
//!
//! Compared token by token, so that white space, comments, the case of letters in names and
//! keywords, and backticks around names do not matter. Numbers, text in quotes and variables are
//! compared byte by byte. A token is compared whole: `FROM shop` does not begin `FROM shop.orders`.
//!
//! The prefixes of all rules are one tree of tokens ([`PrefixTree`]): a statement is read as far as some
//! prefix goes, once, however many there are.

use rustc_hash::FxHashMap;

use super::lexer::{Lexer, Token};
use super::mode::{LexMode, Make};
use super::statement::{HASH_START, hash_name};
use super::words::Word;

/// Tokens that a prefix may have.
const MOST_TOKENS: usize = 100;

/// Tokens with which a statement may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// At least one, in the form of [`normal`].
    tokens: Box<[Box<[u8]>]>,
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
        let mode = LexMode::utf8(Make::default(), 0);
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
        if tokens.is_empty() {
            return Err(BadPrefix::Empty);
        }
        Ok(Self { tokens: tokens.into() })
    }

    /// Whether every statement that begins with `other` begins with this, too.
    pub fn covers(&self, other: &Prefix) -> bool {
        other.tokens.starts_with(&self.tokens)
    }
}

/// Prefixes, each with a number.
#[derive(Clone, Debug, Default)]
pub struct PrefixTree {
    /// The first node of each hash, which is that of its token and of the node above it.
    first: FxHashMap<u64, usize>,
    /// What stands above all is [`ROOT`], and is not among them.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    above: usize,
    token: Box<[u8]>,
    /// Numbers of the prefixes that end here.
    ends: Vec<usize>,
    /// Another node of the same hash.
    next: Option<usize>,
}

const ROOT: usize = usize::MAX;

impl PrefixTree {
    /// Adds a prefix.
    pub fn insert(&mut self, prefix: &Prefix, number: usize) {
        let mut above = ROOT;
        for token in &prefix.tokens {
            let hash = hash(above, token.iter().copied());
            let known = self.below(above, hash, |known| *known == **token);
            above = known.unwrap_or_else(|| {
                let ends = Vec::new();
                let next = self.first.insert(hash, self.nodes.len());
                self.nodes.push(Node { above, token: token.clone(), ends, next });
                self.nodes.len() - 1
            });
        }
        if let Some(node) = self.nodes.get_mut(above) {
            node.ends.push(number);
        }
    }

    /// Calls `found` with the numbers of the prefixes with which the first statement in `sql` begins,
    /// the shortest first. Allocates nothing; reads no further than some prefix goes.
    pub fn find(&self, sql: &[u8], mode: &LexMode, mut found: impl FnMut(&[usize])) {
        let mut lexer = Lexer::new(sql, mode);
        let mut token = lexer.next(Token::NONE);
        while token.word == Word::Semicolon {
            token = lexer.next(token);
        }
        let mut above = ROOT;
        while token.word != Word::End {
            let bytes = || normal(lexer.slice(token), token);
            let is = |known: &[u8]| bytes().eq(known.iter().copied());
            let Some(node) = self.below(above, hash(above, bytes()), is) else { return };
            if let Some(Node { ends, .. }) = self.nodes.get(node)
                && !ends.is_empty()
            {
                found(ends);
            }
            above = node;
            token = lexer.next(token);
        }
    }

    /// The node of this hash below another one whose token it `is`.
    #[inline]
    fn below(&self, above: usize, hash: u64, is: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let mut next = self.first.get(&hash).copied();
        while let Some((index, node)) = next.and_then(|index| Some((index, self.nodes.get(index)?)))
        {
            if node.above == above && is(&node.token) {
                return Some(index);
            }
            next = node.next;
        }
        None
    }
}

/// The hash of a token below a node; as [`hash_name`].
fn hash(above: usize, bytes: impl Iterator<Item = u8>) -> u64 {
    let start = HASH_START ^ above as u64;
    bytes.fold(start, |hash, byte| hash_name(&[byte], hash))
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
        let mut tree = PrefixTree::default();
        // Others, so that there is something to take it for.
        for (number, text) in [(1, "select"), (2, "select * from big_report where b"), (3, "a")] {
            tree.insert(&Prefix::parse(text).unwrap(), number);
        }
        tree.insert(&parsed, 0);
        let mut found = Vec::with_capacity(10);
        crate::sql::without_allocation(|| {
            tree.find(sql.as_bytes(), &mode, |ends| {
                found.extend_from_slice(ends);
            });
        });
        assert_eq!(found.contains(&0), want, "{prefix}: {sql}: {found:?}");
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
