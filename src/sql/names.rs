//! Names and words: unquoted, quoted, joined by dots, and those of variables.

use super::bytes::{self, is_identifier};
use super::lexer::{Lexer, Token, is_member};
use super::mode::{ClientCharset, Make};
use super::variables;
use super::words::Word;

impl Lexer<'_> {
    /// A word that begins at `at`.
    pub(super) fn word(&mut self, at: usize, last: Token) -> Token {
        let end = self.skip_identifier(at);
        let next = if self.byte(end) == Some(b'.') { self.byte(end + 1) } else { None };
        // A keyword before a dot and a name is a name, whatever it spells.
        if next.is_some_and(is_identifier) {
            return self.qualified(at, end);
        }
        if is_member(last, at) {
            return Token::new(Word::None, at, end);
        }
        let word = Word::find(self.text, at, end);
        if word == Word::None && next == Some(b'`') {
            return self.qualified(at, end);
        }
        Token::new(word, at, end)
    }

    /// A quoted identifier, or a qualified name that begins with one.
    pub(super) fn quoted(&mut self, quote: u8, at: usize) -> Token {
        let end = self.skip_quoted(quote, at, false);
        if self.byte(end) == Some(b'.') && self.is_member_next(end) {
            return self.qualified(at, end);
        }
        self.note_schema(self.bytes(at, end));
        Token::new(Word::Quoted, at, end)
    }

    /// Whether a further name follows at once behind the dot at `dot`. A digit would make it a decimal
    /// point.
    fn is_member_next(&self, dot: usize) -> bool {
        let name = |byte| byte == b'`' || (is_identifier(byte) && !byte.is_ascii_digit());
        self.byte(dot + 1).is_some_and(name)
    }

    /// The rest of a qualified name, the first part of which ends at `end`.
    fn qualified(&mut self, at: usize, mut end: usize) -> Token {
        self.note_schema(self.bytes(at, end));
        loop {
            let from = end + 1;
            let more = if self.byte(from) == Some(b'`') {
                end = self.skip_quoted(b'`', from, false);
                self.byte(end) == Some(b'.') && self.is_member_next(end)
            } else {
                end = self.skip_identifier(from);
                self.byte(end) == Some(b'.')
                    && self.byte(end + 1).is_some_and(|byte| is_identifier(byte) || byte == b'`')
            };
            self.sequence_member |= end - from == 7 && self.is_sequence_member(from, end);
            if !more {
                return Token::new(Word::Qualified, at, end);
            }
        }
    }

    /// Notes that an identifier, quoted or not, is named as a schema may be.
    #[inline]
    pub(super) fn note_schema(&self, name: &[u8]) {
        if variables::is_server_schema(name) {
            self.server_schema.set(true);
        }
    }

    #[cold]
    fn is_sequence_member(&self, from: usize, end: usize) -> bool {
        let name = self.bytes(from, end);
        self.mode.make == Make::MariaDb
            && (name.eq_ignore_ascii_case(b"nextval") || name.eq_ignore_ascii_case(b"currval"))
    }

    /// The end of the identifier bytes from `at` on.
    fn skip_identifier(&mut self, at: usize) -> usize {
        let end = bytes::identifier_end(self.text, at);
        if self.byte(end).is_some_and(|byte| byte >= 0x80) {
            self.skip_foreign_identifier(at, end)
        } else {
            end
        }
    }

    /// As [`Lexer::skip_identifier`], with bytes beyond ASCII from `first` on, which in some character
    /// sets may not be what they seem.
    #[inline(never)]
    fn skip_foreign_identifier(&mut self, at: usize, first: usize) -> usize {
        let mut end = first;
        while let Some(byte) = self.byte(end).filter(|&byte| is_identifier(byte)) {
            bytes::looked_at(1);
            end += match byte {
                0x80.. => {
                    let rest = self.text.get(end..).unwrap_or_default();
                    let length = self.mode.charset.character_length(rest);
                    self.ambiguous |= length.is_none();
                    length.unwrap_or(1)
                }
                _ => 1,
            };
        }
        if self.mode.charset == ClientCharset::AsciiSafe {
            // What some single-byte character set takes as a space: latin1, koi8r, cp850, macroman.
            let name = self.bytes(at, end);
            self.ambiguous |= name.iter().any(|byte| matches!(byte, 0x9a | 0xa0 | 0xca | 0xff));
        }
        end
    }

    /// `@name`, `@'name'`, `@@name`, `@@scope.name`.
    pub(super) fn variable(&mut self, at: usize) -> Token {
        let mut end = at + 1;
        match self.byte(end) {
            Some(b'@') => {
                end = self.system_variable_name(end + 1);
                return Token::new(Word::SystemVariable, at, end);
            }
            Some(quote @ (b'\'' | b'"' | b'`')) => {
                let text = quote == b'\'' || (quote == b'"' && !self.mode.ansi_quotes);
                end = self.skip_quoted(quote, end, text && !self.mode.no_backslash_escapes);
            }
            _ => {
                while let Some(byte) = self.byte(end).filter(|&b| is_identifier(b) || b == b'.') {
                    bytes::looked_at(1);
                    self.ambiguous |= byte >= 0x80 && self.mode.charset != ClientCharset::Utf8;
                    end += 1;
                }
            }
        }
        Token::new(Word::UserVariable, at, end)
    }

    /// The end of what stands behind `@@`.
    fn system_variable_name(&mut self, mut at: usize) -> usize {
        loop {
            at = match self.byte(at) {
                Some(b'`') => self.skip_quoted(b'`', at, false),
                Some(byte) if is_identifier(byte) => self.skip_identifier(at),
                _ => {
                    self.ambiguous = true;
                    return at;
                }
            };
            let more = self.byte(at + 1).is_some_and(|byte| is_identifier(byte) || byte == b'`');
            if self.byte(at) != Some(b'.') || !more {
                return at;
            }
            at += 1;
        }
    }
}
