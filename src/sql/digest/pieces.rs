//! What a digest is made of, in one pass over the tokens: each value becomes one piece, and lists of
//! values, rows and lists of rows do.
//!
//! As in `sql/sql_digest.cc` of MySQL a piece is put behind the others, and what it completes is taken away
//! again; only the last few pieces are ever looked at, so that the others are given out at once.

use super::super::lexer::{Lexer, Token};
use super::super::words::Word;
use super::MAX_PIECES;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A name, whatever it spells; without its quotes.
    Name,
    /// A word without quotes: a keyword or a name.
    Word,
    /// `@name`; which one makes no difference.
    Variable,
    /// `_charset` before a string; so here.
    Charset,
    /// A column by its number, in ORDER BY and GROUP BY.
    Place,
    /// Punctuation, or an operator.
    Operator,
    Open,
    Close,
    Comma,
    /// `+` or `-`, which may be a sign.
    Sign,
    /// `?`
    Value,
    /// `?, ...`
    Values,
    /// `(?)`
    Row,
    /// `(?) /* , ... */`
    Rows,
    /// `(...)`
    WideRow,
    /// `(...) /* , ... */`
    WideRows,
    /// `(...)` behind IN, of one value or more.
    InList,
    /// The rest is not there.
    Cut,
}

/// One piece, and where it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Takes the pieces in their order.
pub(super) trait Sink {
    /// `text` is empty for what stands for values.
    fn put(&mut self, piece: Piece, text: &[u8]);
}

/// Pieces that may still become part of another: the longest that is looked at is `( ? ) , ( ?` and the
/// IN before it, and signs.
const WINDOW: usize = 8;

/// The pass.
pub(super) struct Pieces<'a, S> {
    lexer: Lexer<'a>,
    sink: S,
    window: [Piece; WINDOW],
    /// How many of them there are.
    length: usize,
    /// How many have been given out.
    given: usize,
    /// Parentheses around the token.
    depth: u32,
    /// Within how many the list of an ORDER BY or GROUP BY goes on.
    by_depth: Option<u32>,
}

const NONE: Piece = Piece { kind: Kind::Operator, start: 0, end: 0 };

impl<'a, S: Sink> Pieces<'a, S> {
    pub(super) fn new(lexer: Lexer<'a>, sink: S) -> Self {
        Self { lexer, sink, window: [NONE; WINDOW], length: 0, given: 0, depth: 0, by_depth: None }
    }

    /// Gives out all pieces; the sink that has them.
    pub(super) fn run(mut self) -> S {
        let mut token = self.lexer.next(Token::NONE);
        let mut last = Token::NONE;
        let mut semicolon = None;
        while token.word != Word::End {
            if token.word == Word::Semicolon {
                semicolon = semicolon.or(Some(token));
            } else {
                if let Some(token) = semicolon.take().filter(|_| self.length > 0) {
                    self.push(Kind::Operator, token.start(), token.end());
                }
                token = self.take(token, last);
            }
            if self.given >= MAX_PIECES {
                self.length = 0;
                self.push(Kind::Cut, 0, 0);
                break;
            }
            last = token;
            token = self.lexer.next(token);
        }
        for at in 0..self.length {
            self.give(at);
        }
        self.sink
    }

    /// Takes one token, or more if they belong together; the last of them is the result.
    fn take(&mut self, token: Token, last: Token) -> Token {
        let (start, end) = (token.start(), token.end());
        match token.word {
            Word::Number if self.is_place(token) => self.push(Kind::Place, start, end),
            Word::Number | Word::Text => self.value(start, end),
            Word::Comma => self.push(Kind::Comma, start, end),
            Word::OpenParen => {
                self.depth += 1;
                self.push(Kind::Open, start, end);
            }
            Word::CloseParen => {
                self.by_depth = self.by_depth.filter(|by| *by < self.depth);
                self.depth = self.depth.saturating_sub(1);
                self.close(start, end);
            }
            Word::Dot | Word::Assign => self.push(Kind::Operator, start, end),
            Word::Other | Word::Equals => return self.operator(token),
            Word::Quoted => self.push(Kind::Name, start + 1, end.saturating_sub(1).max(start + 1)),
            Word::Qualified => self.qualified(start, end),
            Word::UserVariable if self.lexer.byte(start + 1) == Some(b'`') => {
                self.push(Kind::Operator, start, start + 1);
                self.qualified(start + 1, end);
            }
            Word::UserVariable => self.push(Kind::Variable, start, end),
            Word::SystemVariable => self.system_variable(start, end),
            Word::Null if self.starts_expression(self.length, true) => self.value(start, end),
            _ => return self.word(token, last),
        }
        token
    }

    /// A word, or a value that begins as one: `x'1f'`, `N'…'`, `0x1f`.
    fn word(&mut self, token: Token, last: Token) -> Token {
        let (start, end) = (token.start(), token.end());
        let text = self.lexer.slice(token);
        let is_member = last.word == Word::Dot && last.end() == start;
        if is_member {
            self.push(Kind::Name, start, end);
            return token;
        }
        if let [b'n' | b'N' | b'x' | b'X' | b'b' | b'B'] = text
            && self.lexer.byte(end) == Some(b'\'')
        {
            let literal = self.lexer.next(token);
            self.value(start, literal.end());
            return literal;
        }
        if is_hexadecimal(text) {
            self.value(start, end);
            return token;
        }
        if text.first() == Some(&b'_') && self.is_string_next(token) {
            self.push(Kind::Charset, start, end);
            return token;
        }
        self.note_list(text);
        self.push(Kind::Word, start, end);
        token
    }

    /// Whether a string comes next, or what stands for one.
    fn is_string_next(&mut self, token: Token) -> bool {
        let next = self.lexer.next(token);
        let text = self.lexer.slice(next);
        let has_quote = self.lexer.byte(next.end()) == Some(b'\'');
        next.word == Word::Text
            || matches!(text, [b'x' | b'X' | b'b' | b'B']) && has_quote
            || is_hexadecimal(text)
    }

    /// A word that begins the list of an ORDER BY or GROUP BY, or ends one.
    fn note_list(&mut self, word: &[u8]) {
        const ENDS: [&[u8]; 12] = [
            b"limit",
            b"having",
            b"rows",
            b"range",
            b"groups",
            b"separator",
            b"for",
            b"into",
            b"union",
            b"with",
            b"window",
            b"on",
        ];
        let is = |known: &&[u8]| word.eq_ignore_ascii_case(known);
        if word.len() == 2 && word.eq_ignore_ascii_case(b"by") {
            let before = self.length.checked_sub(1);
            let is_list = before.is_some_and(|at| self.is_word(at, &[b"order", b"group"]));
            self.by_depth = Some(self.depth).filter(|_| is_list);
        } else if self.by_depth == Some(self.depth) && ENDS.iter().any(is) {
            self.by_depth = None;
        }
    }

    /// Whether a number is all of an item of such a list.
    #[inline]
    fn is_place(&self, token: Token) -> bool {
        self.by_depth == Some(self.depth) && self.is_whole_item(token)
    }

    #[cold]
    fn is_whole_item(&self, token: Token) -> bool {
        let is_first = self.length.checked_sub(1).is_some_and(|at| self.is_word(at, &[b"by"]));
        let next = self.lexer.clone().next(token);
        (is_first || self.kind(1) == Some(Kind::Comma))
            && self.lexer.slice(token).iter().all(u8::is_ascii_digit)
            && !matches!(next.word, Word::Other | Word::Equals)
    }

    /// A value: with its signs, and part of a list if there is one.
    fn value(&mut self, start: usize, end: usize) {
        while self.kind(1) == Some(Kind::Sign)
            && self.starts_expression(self.length - 1, false)
            && self.lexer.text.get(start).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
        {
            self.length -= 1;
        }
        let is_list = self.kind(1) == Some(Kind::Comma)
            && matches!(self.kind(2), Some(Kind::Value | Kind::Values));
        if is_list {
            self.length -= 2;
        }
        self.push(if is_list { Kind::Values } else { Kind::Value }, start, end);
    }

    /// A closing parenthesis: the end of a row, perhaps, which may be one of a list.
    fn close(&mut self, start: usize, end: usize) {
        let (row, rows) = match (self.kind(2), self.kind(1)) {
            (Some(Kind::Open), Some(Kind::Value)) => (Kind::Row, Kind::Rows),
            (Some(Kind::Open), Some(Kind::Values)) => (Kind::WideRow, Kind::WideRows),
            _ => return self.push(Kind::Close, start, end),
        };
        self.length -= 2;
        let start = self.window.get(self.length).map_or(start, |open| open.start as usize);
        let before = self.kind(2);
        if self.kind(1) == Some(Kind::Comma) && (before == Some(row) || before == Some(rows)) {
            self.length -= 2;
            return self.push(rows, start, end);
        }
        let is_in = self.length.checked_sub(1).is_some_and(|at| self.is_word(at, &[b"in"]));
        self.push(if is_in { Kind::InList } else { row }, start, end);
    }

    fn operator(&mut self, token: Token) -> Token {
        const LONG: [&[u8]; 11] =
            [b"<=>", b"->>", b"<=", b">=", b"<>", b"!=", b"<<", b">>", b"||", b"&&", b"->"];
        let start = token.start();
        let text = self.lexer.bytes(start, self.lexer.text.len());
        match text {
            [b'?', ..] | [b'\\', b'N', ..] => {
                self.value(start, token.end());
                return token;
            }
            [b'+' | b'-', ..] if !text.starts_with(b"->") => {
                self.push(Kind::Sign, start, token.end());
                return token;
            }
            _ => {}
        }
        let length = LONG.iter().find(|long| text.starts_with(long)).map_or(1, |long| long.len());
        let whole = Token::new(Word::Other, start, token.end().max(start + length));
        self.push(Kind::Operator, start, whole.end());
        whole
    }

    /// Names joined by dots.
    fn qualified(&mut self, start: usize, end: usize) {
        let mut at = start;
        // A dot and a name without quotes behind it make a name of any word.
        let mut kind = if self.is_before_quoted(start, end) { Kind::Word } else { Kind::Name };
        while at < end {
            let quote = self.lexer.byte(at).filter(|byte| matches!(byte, b'`' | b'"'));
            let mut next = at;
            let mut is_open = false;
            while next < end {
                let byte = self.lexer.byte(next);
                if byte == quote && quote.is_some() {
                    is_open = !is_open;
                } else if byte == Some(b'.') && !is_open {
                    break;
                }
                next += 1;
            }
            let inner = usize::from(quote.is_some());
            let kind = std::mem::replace(&mut kind, Kind::Name);
            self.push(kind, at + inner, next.saturating_sub(inner).max(at + inner));
            if next < end {
                self.push(Kind::Operator, next, next + 1);
            }
            at = next + 1;
        }
    }

    fn is_before_quoted(&self, start: usize, end: usize) -> bool {
        let name = self.lexer.bytes(start, end);
        let dot = name.iter().position(|byte| matches!(byte, b'.' | b'`' | b'"'));
        dot.is_some_and(|dot| name.get(dot..).is_some_and(|rest| rest.starts_with(b".`")))
    }

    /// `@@name` or `@@scope.name`.
    fn system_variable(&mut self, start: usize, end: usize) {
        self.push(Kind::Operator, start, start + 2);
        let from = start + 2;
        let name = self.lexer.bytes(from, end);
        let first = name.iter().position(|byte| *byte == b'.').unwrap_or(name.len());
        if name.first() == Some(&b'`') {
            return self.qualified(from, end);
        }
        self.push(Kind::Word, from, from + first);
        if from + first < end {
            self.push(Kind::Operator, from + first, from + first + 1);
            self.qualified(from + first + 1, end);
        }
    }

    /// The kind of the last piece but `back - 1`.
    #[inline(always)]
    fn kind(&self, back: usize) -> Option<Kind> {
        let at = self.length.checked_sub(back)?;
        self.window.get(at).map(|piece| piece.kind)
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        if self.length == WINDOW {
            self.give(0);
            self.window.copy_within(1.., 0);
            self.length -= 1;
        }
        if let Some(place) = self.window.get_mut(self.length) {
            *place = Piece { kind, start: start as u32, end: end as u32 };
            self.length += 1;
        }
    }

    fn give(&mut self, at: usize) {
        let Some(&piece) = self.window.get(at) else { return };
        let text = match piece.kind {
            Kind::Name | Kind::Word | Kind::Place | Kind::Operator | Kind::Sign => {
                self.lexer.bytes(piece.start as usize, piece.end as usize)
            }
            _ => b"",
        };
        self.sink.put(piece, text);
        self.given += 1;
    }

    /// Whether an expression begins behind the pieces before the one at `at`: what follows is an operand,
    /// and a sign before it is one. NOT NULL is none of NULL's.
    fn starts_expression(&self, at: usize, for_null: bool) -> bool {
        const WORDS: [&[u8]; 32] = [
            b"select",
            b"where",
            b"and",
            b"or",
            b"xor",
            b"on",
            b"having",
            b"by",
            b"between",
            b"like",
            b"rlike",
            b"regexp",
            b"case",
            b"when",
            b"then",
            b"else",
            b"if",
            b"elseif",
            b"while",
            b"until",
            b"return",
            b"default",
            b"interval",
            b"div",
            b"mod",
            b"every",
            b"starts",
            b"ends",
            b"at",
            b"values",
            b"value",
            b"in",
        ];
        let Some(before) = at.checked_sub(1) else { return false };
        match self.kind(self.length - before) {
            Some(Kind::Open | Kind::Comma | Kind::Sign) => true,
            Some(Kind::Operator) => {
                let piece = self.window.get(before).copied().unwrap_or(NONE);
                !matches!(
                    self.lexer.byte(piece.start as usize),
                    Some(b'.' | b'@' | b';' | b'{' | b'}')
                )
            }
            Some(Kind::Word) => {
                self.is_word(before, &WORDS) || !for_null && self.is_word(before, &[b"not"])
            }
            _ => false,
        }
    }

    fn is_word(&self, at: usize, words: &[&[u8]]) -> bool {
        let Some(piece) = self.window.get(at).filter(|piece| piece.kind == Kind::Word) else {
            return false;
        };
        let text = self.lexer.bytes(piece.start as usize, piece.end as usize);
        words.iter().any(|word| text.eq_ignore_ascii_case(word))
    }
}

/// `0x1f` or `0b01`.
fn is_hexadecimal(word: &[u8]) -> bool {
    match word {
        [b'0', b'x', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        [b'0', b'b', digits @ ..] => {
            !digits.is_empty() && digits.iter().all(|digit| matches!(digit, b'0' | b'1'))
        }
        _ => false,
    }
}
