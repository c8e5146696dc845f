//! What a token says by itself, in whatever statement it stands.

use super::Span;
use super::bytes::looked_at;
use super::classify::Classifier;
use super::functions::{self, Class};
use super::seek::may_call;
use super::statement::{Flags, FunctionName, HASH_START, hash_name};
use super::variables;
use super::words::Word;

/// Tokens of JSON_TABLE's first argument and path that are looked through, which keeps the time linear;
/// with more of them it counts as an unknown function.
const LONGEST_JSON_DOCUMENT: usize = 64;

impl Classifier<'_> {
    /// Raises what the token at hand, a loud one, says by itself.
    pub(super) fn observe(&mut self) {
        let previous = self.previous.word;
        let said = match self.token.word {
            Word::OpenParen => {
                if !may_call(previous, self.before) {
                    return;
                }
                self.call()
            }
            Word::UserVariable if self.into => {
                Flags::USES_USER_VARIABLE | Flags::ASSIGNS_USER_VARIABLE
            }
            Word::UserVariable => Flags::USES_USER_VARIABLE,
            Word::SystemVariable => variables::reads(self.lexer.slice(self.token)),
            Word::Assign => Flags::ASSIGNS_USER_VARIABLE,
            Word::Update | Word::Share if previous == Word::For => Flags::LOCKING,
            // LOCK IN SHARE MODE
            Word::Share if previous == Word::In && self.before == Word::Lock => Flags::LOCKING,
            Word::For if previous == Word::Value => match self.before {
                Word::Next | Word::Previous => Flags::SEQUENCE,
                _ => return,
            },
            Word::Into => {
                self.into = true;
                return;
            }
            Word::SqlCalcFoundRows => Flags::SQL_CALC_FOUND_ROWS | Flags::FINDS_MORE_ROWS,
            Word::Union | Word::Intersect | Word::Except | Word::Offset => Flags::FINDS_MORE_ROWS,
            Word::Limit if !self.is_plain_limit() => Flags::FINDS_MORE_ROWS,
            Word::Temporary if matches!(previous, Word::Create | Word::Replace) => {
                Flags::CREATES_TEMPORARY_TABLE
            }
            Word::CurrentUser | Word::CurrentRole => Flags::SERVER_FUNCTION,
            Word::InformationSchema | Word::PerformanceSchema | Word::Mysql | Word::Sys => {
                Flags::SERVER_SCHEMA
            }
            _ => return,
        };
        self.flags |= said;
    }

    /// Whether LIMIT, the token at hand, has one number or placeholder.
    fn is_plain_limit(&self) -> bool {
        let mut ahead = self.lexer.clone();
        let count = ahead.next(self.token);
        let is_value = matches!(count.word, Word::Number | Word::Other);
        is_value && ahead.next(count).word != Word::Comma
    }

    /// A name before a parenthesis, which is the token at hand.
    #[inline(never)]
    fn call(&mut self) -> Flags {
        let name = self.previous;
        let touching = name.end() == self.token.start();
        let bytes = self.lexer.slice(name);
        let class = match name.word {
            Word::Qualified => Class::Unknown,
            _ if self.before == Word::Dot => Class::Unknown,
            Word::Quoted => functions::quoted_class(unquote(bytes), &self.lexer.mode),
            _ => functions::class(bytes, touching, &self.lexer.mode),
        };
        match class {
            Class::Harmless | Class::Keyword => Flags::empty(),
            Class::Unknown => self.unknown_call(),
            Class::Session => self.session_call(),
            Class::Diagnostics => Flags::ROW_COUNT_FUNCTION,
            Class::FoundRows => Flags::FOUND_ROWS_FUNCTION,
            Class::Server => Flags::SERVER_FUNCTION,
            Class::UserLock => Flags::USER_LOCK,
            Class::Sequence => Flags::SEQUENCE,
        }
    }

    #[cold]
    fn session_call(&self) -> Flags {
        let sets = self.lexer.clone().next(self.token).word != Word::CloseParen;
        if sets { Flags::SESSION_FUNCTION | Flags::SETS_INSERT_ID } else { Flags::SESSION_FUNCTION }
    }

    #[cold]
    fn unknown_call(&mut self) -> Flags {
        // `AS t (a, b)` and `(…) t (a, b)` name columns; `s.t (…)` names none.
        let columns = matches!(self.before, Word::As | Word::CloseParen);
        let names_columns = || columns || self.is_json_table() || self.is_cte_header();
        if self.skip_unknown || self.previous.word != Word::Qualified && names_columns() {
            return Flags::empty();
        }
        let found = self.function_name();
        for place in &mut self.functions {
            match place {
                Some(known) if known.qualified == found.qualified => {
                    return Flags::UNKNOWN_FUNCTION;
                }
                Some(_) => {}
                None => {
                    *place = Some(found);
                    return Flags::UNKNOWN_FUNCTION;
                }
            }
        }
        Flags::UNKNOWN_FUNCTION | Flags::MORE_UNKNOWN_FUNCTIONS
    }

    /// The function whose name stands before the parenthesis.
    fn function_name(&self) -> FunctionName {
        let whole = self.lexer.slice(self.previous);
        looked_at(2 * whole.len());
        let mut schema = None;
        let mut name = whole;
        if self.previous.word == Word::Qualified {
            while let Some(dot) = dot_outside_quotes(name) {
                let (head, rest) = name.split_at(dot);
                schema = Some(head);
                name = rest.get(1..).unwrap_or_default();
            }
        }
        let start = self.previous.end() - name.len();
        let span = Span { start: start as u32, length: name.len() as u32 };
        let name = unquote(name);
        let hash = hash_name(name, HASH_START);
        let qualified = schema.map_or(hash, |schema| {
            hash_name(name, hash_name(b".", hash_name(unquote(schema), HASH_START)))
        });
        FunctionName { hash, qualified, span }
    }

    /// Whether the parenthesis at hand belongs to JSON_TABLE, which in MariaDB is a word like any
    /// other (MariaDB Knowledge Base, "JSON_TABLE"): `JSON_TABLE(document, 'path' COLUMNS (…))`, and
    /// within it `COLUMNS (`. No expression has a name and a parenthesis behind a string literal.
    fn is_json_table(&self) -> bool {
        let name = self.lexer.slice(self.previous);
        if self.previous.word == Word::Columns {
            return self.before == Word::Text;
        }
        if self.before == Word::Dot || !name.eq_ignore_ascii_case(b"json_table") {
            return false;
        }
        let mut ahead = self.lexer.clone();
        let (mut depth, mut token) = (1, self.token);
        for _ in 0..LONGEST_JSON_DOCUMENT {
            let before = token.word;
            token = ahead.next(token);
            match token.word {
                Word::End | Word::Semicolon => return false,
                Word::OpenParen => depth += 1,
                Word::CloseParen => depth -= 1,
                Word::Columns if depth == 1 && before == Word::Text => {
                    return ahead.next(token).word == Word::OpenParen;
                }
                _ => {}
            }
            if depth == 0 {
                return false;
            }
        }
        false
    }

    /// Whether the parenthesis at hand opens the column list of a common table expression:
    /// `name (a, b) AS (`.
    fn is_cte_header(&self) -> bool {
        let mut ahead = self.lexer.clone();
        let mut token = self.token;
        loop {
            token = ahead.next(token);
            match token.word {
                Word::Comma => {}
                Word::CloseParen => break,
                word if word.is_name() => {}
                _ => return false,
            }
        }
        token = ahead.next(token);
        token.word == Word::As && ahead.next(token).word == Word::OpenParen
    }
}

fn dot_outside_quotes(name: &[u8]) -> Option<usize> {
    let mut quote = None;
    name.iter().position(|&byte| {
        match quote {
            Some(open) if byte == open => quote = None,
            None if matches!(byte, b'`' | b'"') => quote = Some(byte),
            _ => {}
        }
        byte == b'.' && quote.is_none()
    })
}

/// A quoted identifier without its quotes; any other word as it is.
fn unquote(name: &[u8]) -> &[u8] {
    match name {
        [b'`', inner @ .., b'`'] | [b'"', inner @ .., b'"'] => inner,
        _ => name,
    }
}
