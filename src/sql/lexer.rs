//! Tokens of a statement, as the server's own lexer would cut them.
//!
//! Where the cut decides whether a keyword is seen (`1.FOR UPDATE` holds a keyword, `t.for` does
//! not), the rules follow `sql/sql_lex.cc` of MySQL and MariaDB. Where the servers, their versions or
//! character sets differ, [`Lexer::ambiguous`] is set and the classifier trusts nothing. Values are
//! never decoded and nothing is allocated; operators longer than a byte come as single bytes because
//! none of them matters, `:=` apart. Names are in `names.rs`, comments in `comment.rs`.
//!
//! The lexer keeps no place: a token is asked for by the one before it. `seek.rs` goes past the most
//! frequent tokens faster.

use std::cell::Cell;

use super::bytes::{CLASSES, Class, QuoteEnd, looked_at};
use super::mode::LexMode;
use super::plain::Tail;
use super::words::Word;

/// One token: two scalars, so that it is passed in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// End in the upper half, start in the lower.
    place: u64,
    /// What it is; a keyword only where the server would read one.
    pub(super) word: Word,
}

/// Longer texts are not read: no packet holds one (`max_allowed_packet` ends at 1 GiB).
const LONGEST: usize = u32::MAX as usize;

impl Token {
    /// Stands before the first token.
    pub(super) const NONE: Token = Token { place: 0, word: Word::End };

    #[inline(always)]
    pub(super) fn new(word: Word, start: usize, end: usize) -> Self {
        Token { place: (end as u64) << 32 | start as u64, word }
    }

    /// A token as [`Lexer::plain`] gives it.
    #[inline(always)]
    pub(super) fn of((word, start, end): (Word, u32, u32)) -> Self {
        Token { place: u64::from(end) << 32 | u64::from(start), word }
    }

    /// What [`Token::of`] takes.
    #[inline(always)]
    pub(super) fn parts(self) -> (Word, u32, u32) {
        (self.word, self.place as u32, (self.place >> 32) as u32)
    }

    /// Offset of the first byte.
    pub(super) fn start(self) -> usize {
        self.place as u32 as usize
    }

    /// Offset behind the last byte.
    pub(super) fn end(self) -> usize {
        (self.place >> 32) as usize
    }
}

/// Cuts one statement text into tokens.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    pub(super) text: &'a [u8],
    pub(super) mode: LexMode,
    /// Inside the body of a version comment that is read as code.
    pub(super) in_version_comment: bool,
    /// The text may be cut otherwise than it was: nothing may be concluded from it.
    pub(super) ambiguous: bool,
    /// Body of the first leading comment that speaks to lagwise.
    pub(super) hint: Option<(usize, usize)>,
    /// One of the servers' own schemas is named in quotes, or qualifies a name.
    pub(super) server_schema: Cell<bool>,
    /// A member is called as the sequence functions of MariaDB's `sql_mode=ORACLE` are.
    pub(super) sequence_member: bool,
    pub(super) tail: Tail,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], mode: &LexMode) -> Self {
        let (text, ambiguous) = match text.get(..LONGEST) {
            Some(head) if text.len() > LONGEST => (head, true),
            _ => (text, false),
        };
        Lexer {
            text,
            mode: *mode,
            in_version_comment: false,
            ambiguous,
            hint: None,
            server_schema: Cell::new(false),
            sequence_member: false,
            tail: Tail::of(text),
        }
    }

    /// The byte at an offset.
    #[inline(always)]
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    /// The bytes from `start` to `end`.
    #[inline(always)]
    pub(super) fn bytes(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The bytes of a token.
    pub(super) fn slice(&self, token: Token) -> &'a [u8] {
        self.bytes(token.start(), token.end())
    }

    /// The token behind `last`, which is [`Token::NONE`] for the first one; [`Word::End`] for ever
    /// after the last.
    #[inline(never)]
    pub(super) fn next(&mut self, last: Token) -> Token {
        let mut at = last.end();
        loop {
            looked_at(1);
            let Some(byte) = self.byte(at) else {
                // A version comment that never closes is an error at the server.
                self.ambiguous |= self.in_version_comment;
                return Token::new(Word::End, at, at);
            };
            let word = match CLASSES[byte as usize] {
                Class::Space => {
                    at += 1;
                    continue;
                }
                Class::Letter => return self.word(at, last),
                Class::Backtick => return self.quoted(byte, at),
                Class::Comma => Word::Comma,
                Class::Other => Word::Other,
                Class::OpenParen => Word::OpenParen,
                Class::CloseParen => Word::CloseParen,
                Class::Equals => Word::Equals,
                Class::Semicolon => Word::Semicolon,
                Class::Digit => return self.number(at),
                Class::Quote => return self.quote(byte, at),
                Class::Dot => return self.dot(at),
                _ => match self.rare(byte, at, last) {
                    Ok(token) => return token,
                    Err(end) => {
                        at = end;
                        continue;
                    }
                },
            };
            return Token::new(word, at, at + 1);
        }
    }

    /// Whether nothing but white space follows the NUL at an offset. Both servers end the text there
    /// (seen with MySQL 9.7 and MariaDB 10.11; mysqlslap sends it so), and refuse any other NUL.
    #[cold]
    fn is_last_nul(&self, at: usize) -> bool {
        let mut behind = self.bytes(at + 1, self.text.len()).iter();
        behind.all(|&byte| matches!(CLASSES[byte as usize], Class::Space))
    }

    /// What begins with a byte that is seldom: a token, or where to go on behind a comment.
    #[inline(never)]
    fn rare(&mut self, byte: u8, at: usize, last: Token) -> Result<Token, usize> {
        let next = self.byte(at + 1);
        Err(match CLASSES[byte as usize] {
            Class::Dollar => {
                // MySQL 8.0.34 and later read `$tag$ … $tag$` as one literal.
                self.ambiguous |= !is_member(last, at);
                return Ok(self.word(at, last));
            }
            Class::At => return Ok(self.variable(at)),
            Class::Colon if next == Some(b'=') => return Ok(Token::new(Word::Assign, at, at + 2)),
            Class::Slash if next == Some(b'*') => self.block_comment(at, last.word == Word::End),
            Class::Star if self.in_version_comment && next == Some(b'/') => {
                self.in_version_comment = false;
                at + 2
            }
            Class::Dash if self.is_dash_comment(at) => self.line_comment(at),
            Class::Hash => self.line_comment(at),
            Class::Backslash if next == Some(b'N') => {
                return Ok(Token::new(Word::Other, at, at + 2));
            }
            Class::Nul => {
                self.ambiguous |= !self.is_last_nul(at);
                at + 1
            }
            _ => return Ok(Token::new(Word::Other, at, at + 1)),
        })
    }

    /// A dot, or a number that begins with one.
    fn dot(&mut self, at: usize) -> Token {
        if self.byte(at + 1).is_some_and(|byte| byte.is_ascii_digit()) {
            let end = self.fraction(at + 1);
            return Token::new(Word::Number, at, end);
        }
        Token::new(Word::Dot, at, at + 1)
    }

    fn skip_digits(&self, mut at: usize) -> usize {
        while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
            looked_at(1);
            at += 1;
        }
        at
    }

    /// A number, or a name that begins with a digit.
    #[inline]
    fn number(&mut self, at: usize) -> Token {
        let end = self.skip_digits(at);
        match self.byte(end).map_or(Class::Other, |byte| CLASSES[byte as usize]) {
            Class::Dot | Class::Letter | Class::Dollar => self.number_with_more(at, end),
            _ => Token::new(Word::Number, at, end),
        }
    }

    /// A number that goes on behind its first digits, at `end`.
    fn number_with_more(&mut self, at: usize, end: usize) -> Token {
        let end = match self.byte(end) {
            Some(b'.') => self.fraction(end + 1),
            Some(b'e' | b'E') => {
                let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
                if !self.byte(end + 1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                    return self.word(at, Token::NONE);
                }
                self.skip_digits(end + 1 + sign)
            }
            // `0x1f` too.
            more => {
                self.ambiguous |= more == Some(b'$');
                return self.word(at, Token::NONE);
            }
        };
        Token::new(Word::Number, at, end)
    }

    /// The end of what follows the point of a number.
    fn fraction(&mut self, at: usize) -> usize {
        let end = self.skip_digits(at);
        if !matches!(self.byte(end), Some(b'e' | b'E')) {
            return end;
        }
        let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
        // `1.0e` without an exponent cuts the text in a way that no grammar takes.
        self.ambiguous |= !self.byte(end + 1 + sign).is_some_and(|byte| byte.is_ascii_digit());
        self.skip_digits(end + 1 + sign)
    }

    #[inline]
    fn quote(&mut self, quote: u8, at: usize) -> Token {
        if quote == b'"' && self.mode.ansi_quotes {
            return self.quoted(quote, at);
        }
        let end = self.skip_quoted(quote, at, !self.mode.no_backslash_escapes);
        Token::new(Word::Text, at, end)
    }

    /// The end of the quoted token at `at`; doubled quotes stay inside.
    #[inline]
    pub(super) fn skip_quoted(&mut self, quote: u8, at: usize, escapes: bool) -> usize {
        let ending = QuoteEnd::new(quote, escapes, self.mode.charset);
        let end = ending.find(self.text, at + 1);
        if self.byte(end) == Some(quote) && self.byte(end + 1) != Some(quote) {
            return end + 1;
        }
        self.skip_quoted_on(ending, quote, end)
    }

    /// As [`Lexer::skip_quoted`] from the first byte at `at` that may be other than the end.
    fn skip_quoted_on(&mut self, ending: QuoteEnd, quote: u8, mut at: usize) -> usize {
        loop {
            let Some(byte) = self.byte(at) else {
                self.ambiguous = true;
                return self.text.len();
            };
            at += if byte == quote {
                if self.byte(at + 1) != Some(quote) {
                    return at + 1;
                }
                2
            } else if byte == b'\\' {
                2
            } else {
                let rest = self.text.get(at..).unwrap_or_default();
                let length = self.mode.charset.character_length(rest);
                self.ambiguous |= length.is_none();
                length.unwrap_or(1)
            };
            at = ending.find(self.text, at);
        }
    }
}

/// Whether the word at `at` stands behind a dot that touches it, and so is a name, whatever it spells.
#[inline(always)]
pub(super) fn is_member(last: Token, at: usize) -> bool {
    last.word == Word::Dot && last.end() == at
}
