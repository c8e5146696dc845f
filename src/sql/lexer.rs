//! Tokens of a statement, as the server's own lexer would cut them.
//!
//! Where the cut decides whether a keyword is seen (`1.FOR UPDATE` holds a keyword, `t.for` does
//! not), the rules follow `sql/sql_lex.cc` of MySQL and MariaDB. Where the servers, their versions or
//! character sets differ, [`Lexer::ambiguous`] is set and the classifier trusts nothing. Values are
//! never decoded and nothing is allocated; operators longer than a byte come as single bytes because
//! none of them matters, `:=` apart. Comments are in `comment.rs`.

use super::mode::{ClientCharset, LexMode, Make};
use super::variables;
use super::words::Word;

/// One token. Two scalars, so that it is passed in registers: moving three of these at every step
/// through memory, piece by piece, took a third of the classifier's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// End in the upper half, start in the lower.
    place: u64,
    /// What it is; a keyword only where the server would read one.
    pub(super) word: Word,
}

/// Longer texts are not read: no packet holds one (`max_allowed_packet` ends at 1 GiB).
pub(super) const LONGEST: usize = u32::MAX as usize;

impl Token {
    /// Stands where no token is.
    pub(super) const NONE: Token = Token { place: 0, word: Word::End };

    /// Offset of the first byte.
    pub(super) fn start(self) -> usize {
        self.place as u32 as usize
    }

    /// Offset behind the last byte.
    pub(super) fn end(self) -> usize {
        (self.place >> 32) as usize
    }

    /// Whether it is a name, quoted or not, or a keyword.
    pub(super) fn is_name(self) -> bool {
        self.word >= Word::None || matches!(self.word, Word::Quoted | Word::Qualified)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    Other,
    Space,
    Letter,
    Digit,
    Quote,
    Backtick,
    Single,
    Dot,
    At,
    Colon,
    Slash,
    Star,
    Dash,
    Hash,
    Backslash,
    Nul,
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t'..=b'\r' => Class::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | 0x80.. => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'\'' | b'"' => Class::Quote,
            b'`' => Class::Backtick,
            b';' | b'(' | b')' | b',' | b'=' => Class::Single,
            b'.' => Class::Dot,
            b'@' => Class::At,
            b':' => Class::Colon,
            b'/' => Class::Slash,
            b'*' => Class::Star,
            b'-' => Class::Dash,
            b'#' => Class::Hash,
            b'\\' => Class::Backslash,
            0 => Class::Nul,
            _ => Class::Other,
        };
        byte += 1;
    }
    table
};

const IDENTIFIER: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(CLASSES[byte], Class::Letter | Class::Digit);
        byte += 1;
    }
    table
};

/// Whether a byte may be part of an unquoted identifier.
pub(super) fn is_identifier(byte: u8) -> bool {
    IDENTIFIER[byte as usize]
}

/// Cuts one statement text into tokens.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    pub(super) mode: LexMode,
    /// Inside the body of a version comment that is read as code.
    pub(super) in_version_comment: bool,
    /// The text may be cut otherwise than it was: nothing may be concluded from it.
    pub(super) ambiguous: bool,
    /// No token was returned yet, so that a comment found now is a leading one.
    pub(super) leading: bool,
    /// Body of the first leading comment that speaks to lagwise.
    pub(super) hint: Option<(usize, usize)>,
    /// The next word follows a dot and is a name, whatever it spells.
    after_dot: bool,
    /// One of the servers' own schemas qualifies a name.
    pub(super) server_schema: bool,
    /// A member is called as the sequence functions of MariaDB's `sql_mode=ORACLE` are.
    pub(super) sequence_member: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], mode: &LexMode) -> Self {
        let (text, ambiguous) = match text.get(..LONGEST) {
            Some(head) if text.len() > LONGEST => (head, true),
            _ => (text, false),
        };
        Lexer {
            text,
            at: 0,
            mode: *mode,
            in_version_comment: false,
            ambiguous,
            leading: true,
            hint: None,
            after_dot: false,
            server_schema: false,
            sequence_member: false,
        }
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// The bytes of a token.
    pub(super) fn slice(&self, token: Token) -> &'a [u8] {
        self.text.get(token.start()..token.end()).unwrap_or_default()
    }

    /// The next token; [`Word::End`] for ever after the last.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Token {
        let token = self.scan();
        self.leading = false;
        token
    }

    #[inline(always)]
    fn scan(&mut self) -> Token {
        loop {
            let start = self.at;
            let Some(byte) = self.peek(0) else {
                // A version comment that never closes is an error at the server.
                self.ambiguous |= self.in_version_comment;
                return self.token(Word::End, start);
            };
            match CLASSES[byte as usize] {
                Class::Space => self.at += 1,
                Class::Letter => return self.word(start),
                Class::Digit if self.after_dot => return self.word(start),
                Class::Digit => return self.number(start),
                Class::Quote => return self.quote(byte, start),
                Class::Backtick => return self.quoted(byte, start),
                Class::Single => return self.single(byte, start),
                Class::Dot => return self.dot(start),
                Class::At => return self.variable(start),
                Class::Colon if self.peek(1) == Some(b'=') => {
                    self.at += 2;
                    return self.token(Word::Assign, start);
                }
                Class::Slash if self.peek(1) == Some(b'*') => self.block_comment(),
                Class::Star if self.in_version_comment && self.peek(1) == Some(b'/') => {
                    self.in_version_comment = false;
                    self.at += 2;
                }
                Class::Dash if self.is_dash_comment() => self.line_comment(),
                Class::Hash => self.line_comment(),
                Class::Backslash if self.peek(1) == Some(b'N') => {
                    self.at += 2;
                    return self.token(Word::Other, start);
                }
                Class::Nul => {
                    self.ambiguous = true;
                    self.at += 1;
                }
                _ => {
                    self.at += 1;
                    return self.token(Word::Other, start);
                }
            }
        }
    }

    fn token(&self, word: Word, start: usize) -> Token {
        Token { place: (self.at as u64) << 32 | start as u64, word }
    }

    fn single(&mut self, byte: u8, start: usize) -> Token {
        self.at += 1;
        let word = match byte {
            b';' => Word::Semicolon,
            b'(' => Word::OpenParen,
            b')' => Word::CloseParen,
            b',' => Word::Comma,
            _ => Word::Equals,
        };
        self.token(word, start)
    }

    /// What is left of the text.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Moves past identifier bytes.
    #[inline]
    fn skip_identifier(&mut self) {
        let mut at = self.at;
        while self.text.get(at).is_some_and(|&byte| is_identifier(byte)) {
            at += 1;
        }
        if self.mode.charset == ClientCharset::Utf8 {
            self.at = at;
        } else {
            self.skip_foreign_identifier(at - self.at);
        }
    }

    /// As [`Lexer::skip_identifier`] for character sets in which a byte may not be what it seems;
    /// `length` bytes look like an identifier.
    fn skip_foreign_identifier(&mut self, length: usize) {
        if self.mode.charset.is_multi_byte() {
            while let Some(byte) = self.peek(0).filter(|&byte| is_identifier(byte)) {
                let character = match byte {
                    0x80.. => self.mode.charset.character_length(self.rest()),
                    _ => Some(1),
                };
                self.ambiguous |= character.is_none();
                self.at += character.unwrap_or(1);
            }
        } else {
            // What some single-byte character set takes as a space: latin1, koi8r, cp850, macroman.
            let name = self.rest().get(..length).unwrap_or_default();
            self.ambiguous |= name.iter().any(|byte| matches!(byte, 0x9a | 0xa0 | 0xca | 0xff));
            self.at += length;
        }
    }

    fn word(&mut self, start: usize) -> Token {
        // MySQL 8.0.34 and later read `$tag$ … $tag$` as one literal.
        self.ambiguous |= self.peek(0) == Some(b'$') && !self.after_dot;
        self.skip_identifier();
        let named = std::mem::take(&mut self.after_dot);
        // A keyword before a dot and a name is a name, whatever it spells.
        if self.peek(0) == Some(b'.') && self.peek(1).is_some_and(is_identifier) {
            return self.qualified(start);
        }
        if named {
            return self.token(Word::None, start);
        }
        let word = Word::find(self.text.get(start..self.at).unwrap_or_default());
        if word == Word::None && self.peek(0) == Some(b'.') && self.peek(1) == Some(b'`') {
            return self.qualified(start);
        }
        self.token(word, start)
    }

    fn quoted(&mut self, quote: u8, start: usize) -> Token {
        self.skip_quoted(quote, false);
        if self.is_member_next() { self.qualified(start) } else { self.token(Word::Quoted, start) }
    }

    /// Whether a dot and a further name follow at once. A digit would make the dot a decimal point.
    fn is_member_next(&self) -> bool {
        let name = |byte| byte == b'`' || (is_identifier(byte) && !byte.is_ascii_digit());
        self.peek(0) == Some(b'.') && self.peek(1).is_some_and(name)
    }

    /// The rest of a qualified name, of which the first part was read.
    fn qualified(&mut self, start: usize) -> Token {
        let first = self.text.get(start..self.at).unwrap_or_default();
        self.server_schema |= variables::is_server_schema(first);
        loop {
            self.at += 1;
            let from = self.at;
            let more = if self.peek(0) == Some(b'`') {
                self.skip_quoted(b'`', false);
                self.is_member_next()
            } else {
                self.skip_identifier();
                self.peek(0) == Some(b'.')
                    && self.peek(1).is_some_and(|byte| is_identifier(byte) || byte == b'`')
            };
            self.sequence_member |= self.at - from == 7 && self.is_sequence_member(from);
            if !more {
                return self.token(Word::Qualified, start);
            }
        }
    }

    #[cold]
    fn is_sequence_member(&self, from: usize) -> bool {
        let name = self.text.get(from..self.at).unwrap_or_default();
        self.mode.make == Make::MariaDb
            && (name.eq_ignore_ascii_case(b"nextval") || name.eq_ignore_ascii_case(b"currval"))
    }

    fn skip_digits(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    }

    /// A number, or a name that begins with a digit.
    fn number(&mut self, start: usize) -> Token {
        if self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'b')) {
            return self.word(start);
        }
        self.skip_digits();
        match self.peek(0) {
            Some(b'.') => {
                self.at += 1;
                self.fraction();
            }
            Some(b'e' | b'E') => {
                let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
                if !self.peek(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                    return self.word(start);
                }
                self.at += 1 + sign;
                self.skip_digits();
            }
            Some(byte) if is_identifier(byte) => return self.word(start),
            _ => {}
        }
        self.token(Word::Number, start)
    }

    /// What follows the point of a number.
    fn fraction(&mut self) {
        self.skip_digits();
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            // `1.0e` without an exponent cuts the text in a way that no grammar takes.
            self.ambiguous |= !self.peek(1 + sign).is_some_and(|byte| byte.is_ascii_digit());
            self.at += 1 + sign;
            self.skip_digits();
        }
    }

    fn dot(&mut self, start: usize) -> Token {
        self.at += 1;
        let next = self.peek(0);
        if next.is_some_and(|byte| byte.is_ascii_digit()) {
            self.fraction();
            return self.token(Word::Number, start);
        }
        self.after_dot = next.is_some_and(is_identifier);
        self.token(Word::Dot, start)
    }

    fn quote(&mut self, quote: u8, start: usize) -> Token {
        if quote == b'"' && self.mode.ansi_quotes {
            return self.quoted(quote, start);
        }
        self.skip_quoted(quote, !self.mode.no_backslash_escapes);
        self.token(Word::Text, start)
    }

    /// Moves past a quoted token; doubled quotes stay inside.
    #[inline]
    fn skip_quoted(&mut self, quote: u8, escapes: bool) {
        if escapes || self.mode.charset.is_multi_byte() {
            return self.skip_quoted_with_escapes(quote, escapes);
        }
        let mut at = self.at + 1;
        while let Some(&byte) = self.text.get(at) {
            at += 1;
            if byte == quote {
                if self.text.get(at) != Some(&quote) {
                    self.at = at;
                    return;
                }
                at += 1;
            }
        }
        self.at = at;
        self.ambiguous = true;
    }

    /// As [`Lexer::skip_quoted`] where a byte may hide the next.
    fn skip_quoted_with_escapes(&mut self, quote: u8, escapes: bool) {
        let multi_byte = self.mode.charset.is_multi_byte();
        self.at += 1;
        loop {
            let rest = self.rest();
            let length = if multi_byte {
                rest.iter().position(|&b| b == quote || (b == b'\\' && escapes) || b >= 0x80)
            } else {
                rest.iter().position(|&b| b == quote || b == b'\\')
            };
            let Some(length) = length else {
                self.at = self.text.len();
                self.ambiguous = true;
                return;
            };
            self.at += length;
            let special = self.peek(0).unwrap_or_default();
            if special == quote {
                self.at += 1;
                if self.peek(0) != Some(quote) {
                    return;
                }
                self.at += 1;
            } else if special == b'\\' {
                self.at = (self.at + 2).min(self.text.len());
            } else {
                let length = self.mode.charset.character_length(self.rest());
                self.ambiguous |= length.is_none();
                self.at += length.unwrap_or(1);
            }
        }
    }

    /// `@name`, `@'name'`, `@@name`, `@@scope.name`.
    fn variable(&mut self, start: usize) -> Token {
        self.at += 1;
        match self.peek(0) {
            Some(b'@') => {
                self.at += 1;
                self.system_variable_name();
                self.token(Word::SystemVariable, start)
            }
            Some(quote @ (b'\'' | b'"' | b'`')) => {
                let text = quote == b'\'' || (quote == b'"' && !self.mode.ansi_quotes);
                self.skip_quoted(quote, text && !self.mode.no_backslash_escapes);
                self.token(Word::UserVariable, start)
            }
            _ => {
                while let Some(byte) = self.peek(0).filter(|&b| is_identifier(b) || b == b'.') {
                    self.ambiguous |= byte >= 0x80 && self.mode.charset != ClientCharset::Utf8;
                    self.at += 1;
                }
                self.token(Word::UserVariable, start)
            }
        }
    }

    fn system_variable_name(&mut self) {
        loop {
            match self.peek(0) {
                Some(b'`') => self.skip_quoted(b'`', false),
                Some(byte) if is_identifier(byte) => self.skip_identifier(),
                _ => {
                    self.ambiguous = true;
                    return;
                }
            }
            let more = self.peek(1).is_some_and(|byte| is_identifier(byte) || byte == b'`');
            if self.peek(0) != Some(b'.') || !more {
                return;
            }
            self.at += 1;
        }
    }
}
