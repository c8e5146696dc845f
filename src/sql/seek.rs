//! Past what says nothing: the rest of a statement whose kind is known.
//!
//! Most of a statement are plain names, words, commas and placeholders. Here they are gone past with
//! as little work as possible: what is at hand is kept in registers, and tokens of the common sorts
//! are cut by `plain.rs`.

use super::classify::Classifier;
use super::lexer::Token;
use super::words::Word;

impl Classifier<'_> {
    /// Moves to the next token, whatever the one at hand is, and looks at it.
    pub(super) fn step(&mut self) {
        let last = self.token;
        self.before = self.previous.word;
        self.previous = last;
        let (word, _, end) = last.parts();
        self.token = match self.lexer.plain(end, word) {
            Some(token) => Token::of(token),
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
        // The token at hand, and what stood before it.
        let mut here = self.token.parts();
        let mut before = self.previous.word;
        loop {
            let last = here;
            here = match self.lexer.plain(last.2, last.0) {
                Some(token) => token,
                None => self.lexer.next(Token::of(last)).parts(),
            };
            let word = here.0;
            if word.is_loud() && (word != Word::OpenParen || may_call(last.0, before)) {
                self.before = before;
                self.previous = Token::of(last);
                self.token = Token::of(here);
                return self.observe();
            }
            before = last.0;
        }
    }
}

/// Whether a parenthesis behind a token of the kind `last`, which stands behind one of the kind
/// `before`, may call something. A reserved word behind a dot is a name.
#[inline(always)]
pub(super) fn may_call(last: Word, before: Word) -> bool {
    last.is_name() && (!last.is_reserved() || before == Word::Dot)
}
