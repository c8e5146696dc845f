//! Past what says nothing: the rest of a statement whose kind is known.
//!
//! Most of a statement are plain names, words, commas and placeholders. Here they are gone past with
//! as little work as possible: what is at hand is kept in registers, words are looked up from the
//! eight bytes in which their end was found. Whatever is not of these few kinds is cut by the
//! [lexer](super::lexer), and so would these be, with the same result; a property test holds that.

use super::bytes::{self, CLASSES, Class};
use super::classify::Classifier;
use super::lexer::Token;
use super::variables;
use super::words::Word;

impl Classifier<'_> {
    /// Moves to the next token, whatever the one at hand is, and looks at it.
    pub(super) fn step(&mut self) {
        let last = self.token;
        self.before = self.previous.word;
        self.previous = last;
        let text = self.lexer.text;
        let at = behind(text, last.end());
        self.token = match self.common(text, at, last.word) {
            Some((word, end)) => Token::new(word, at, end),
            None => self.lexer.next(last),
        };
        match self.token.word {
            Word::OpenParen => self.depth += 1,
            Word::CloseParen => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.token.word.is_loud() {
            self.observe();
        }
    }

    /// Moves to the next token that means something wherever it stands, at the latest to the end of
    /// the statement, and looks at it. What is passed by needs no look.
    pub(super) fn seek(&mut self) {
        let text = self.lexer.text;
        // The token at hand, and what stood before it.
        let (mut word, mut start, mut end) =
            (self.token.word, self.token.start(), self.token.end());
        let mut before = self.previous.word;
        loop {
            let at = behind(text, end);
            let last = (word, start, end);
            (word, start, end) = match self.common(text, at, word) {
                Some((word, end)) => (word, at, end),
                None => {
                    let token = self.lexer.next(Token::new(word, start, end));
                    (token.word, token.start(), token.end())
                }
            };
            if word.is_loud() && (word != Word::OpenParen || last.0.is_name()) {
                self.before = before;
                self.previous = Token::new(last.0, last.1, last.2);
                self.token = Token::new(word, start, end);
                return self.observe();
            }
            before = last.0;
        }
    }

    /// Kind and end of the token at `at`, behind one of the kind `last`, if it is of a common sort.
    #[inline(always)]
    fn common(&mut self, text: &[u8], at: usize, last: Word) -> Option<(Word, usize)> {
        bytes::looked_at(1);
        let word = match CLASSES[*text.get(at)? as usize] {
            Class::Letter if last != Word::Dot => return plain_word(text, at),
            Class::Backtick => return self.plain_quoted(text, at),
            Class::Digit => return plain_number(text, at),
            Class::Comma => Word::Comma,
            Class::Other => Word::Other,
            Class::Star if !self.lexer.in_version_comment => Word::Other,
            Class::Equals => Word::Equals,
            Class::OpenParen => Word::OpenParen,
            Class::CloseParen => Word::CloseParen,
            _ => return None,
        };
        Some((word, at + 1))
    }

    /// The identifier in backticks at `at`, or two with a dot between, if they are short and plain.
    #[inline(always)]
    fn plain_quoted(&mut self, text: &[u8], at: usize) -> Option<(Word, usize)> {
        if self.lexer.mode.charset.is_multi_byte() {
            return None;
        }
        let end = bytes::near_backtick(text, at + 1)? + 1;
        let schema = variables::is_server_schema(text.get(at..end)?);
        let found = match text.get(end) {
            Some(b'.') if text.get(end + 1) == Some(&b'`') => {
                let end = bytes::near_backtick(text, end + 2)? + 1;
                if matches!(text.get(end), Some(b'.' | b'`')) {
                    return None;
                }
                (Word::Qualified, end)
            }
            Some(b'.' | b'`') => return None,
            _ => (Word::Quoted, end),
        };
        self.lexer.server_schema |= schema;
        Some(found)
    }
}

/// Behind the one space that follows most tokens.
#[inline(always)]
fn behind(text: &[u8], end: usize) -> usize {
    end + usize::from(text.get(end) == Some(&b' '))
}

/// The number at `at`, if it is nothing but up to seven digits.
#[inline(always)]
fn plain_number(text: &[u8], at: usize) -> Option<(Word, usize)> {
    let (bits, next) = bytes::short_number(bytes::load(text, at))?;
    bytes::ends_word(next).then_some((Word::Number, at + bits as usize / 8))
}

/// The word at `at`, if it is short and plain.
#[inline(always)]
fn plain_word(text: &[u8], at: usize) -> Option<(Word, usize)> {
    let eight = bytes::load(text, at);
    let (bits, next) = bytes::short_word(eight)?;
    if !bytes::ends_word(next) {
        return None;
    }
    Some((Word::find_short(bytes::fold(eight, bits)), at + bits as usize / 8))
}
