//! From tokens to a [`Statement`], one pass, without allocation.
//!
//! Two things happen at once. [`Classifier::observe`] looks at every token of every statement and
//! raises flags: functions, variables, locks. The family functions read the leading words and decide
//! the kind. So no flag depends on how well a family is understood, and a statement that is
//! understood wrongly is still caught by the words it holds: a read in which an unquoted INSERT,
//! DELETE or CREATE occurs is none.

use super::functions::{self, Class};
use super::lexer::{Lexer, Token};
use super::mode::LexMode;
use super::statement::{
    Flags, FunctionName, HASH_START, KEPT_FUNCTIONS, KillKind, Statement, StatementKind, hash_name,
};
use super::words::Word;
use super::{Span, hint, variables};

/// Finds out what `sql`, the text of one COM_QUERY or COM_STMT_PREPARE, is to routing.
///
/// Any bytes will do: it never panics, allocates nothing and takes time linear in the length.
pub fn classify(sql: &[u8], mode: &LexMode) -> Statement {
    let mut classifier = Classifier::new(sql, mode);
    let mut kind = StatementKind::Empty;
    let mut statements = 0u32;
    loop {
        match classifier.token.word {
            Word::End => break,
            Word::Semicolon => classifier.step(),
            _ => {
                let one = classifier.statement();
                statements += 1;
                if one.strictness() > kind.strictness() {
                    kind = one;
                }
                if matches!(one, StatementKind::Begin { .. })
                    || matches!(one, StatementKind::Commit | StatementKind::Rollback)
                {
                    classifier.flags |= Flags::TRANSACTION_CONTROL;
                }
            }
        }
    }
    let mut flags = classifier.flags;
    flags.set(Flags::MULTI, statements > 1);
    flags.set(
        Flags::TRANSACTION_CONTROL,
        statements > 1 && flags.contains(Flags::TRANSACTION_CONTROL),
    );
    for (found, flag) in [
        (classifier.lexer.ambiguous, Flags::AMBIGUOUS),
        (classifier.lexer.server_schema, Flags::SERVER_SCHEMA),
        (classifier.lexer.sequence_member, Flags::SEQUENCE),
    ] {
        if found {
            flags |= flag;
        }
    }
    let found = classifier.lexer.hint;
    let hint = found.and_then(|(start, end)| hint::parse(sql, start, end));
    flags.set(Flags::BAD_HINT, found.is_some() && hint.is_none());
    Statement { kind, flags, hint, functions: classifier.functions }
}

/// The aim of KILL [CONNECTION | QUERY] followed by a number and nothing else, so that the session
/// can answer it; `None` for every other text, other forms of KILL included.
pub fn kill_target(sql: &[u8], mode: &LexMode) -> Option<(KillKind, u64)> {
    let mut lexer = Lexer::new(sql, mode);
    if lexer.next().word != Word::Kill {
        return None;
    }
    let mut token = lexer.next();
    let kind = if token.word == Word::Query { KillKind::Query } else { KillKind::Connection };
    if matches!(token.word, Word::Query | Word::Connection) {
        token = lexer.next();
    }
    let digits = lexer.slice(token);
    if token.word != Word::Number || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let id = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let mut last = lexer.next();
    while last.word == Word::Semicolon {
        last = lexer.next();
    }
    (last.word == Word::End && !lexer.ambiguous).then_some((kind, id))
}

pub(super) struct Classifier<'a> {
    pub(super) lexer: Lexer<'a>,
    pub(super) flags: Flags,
    functions: [Option<FunctionName>; KEPT_FUNCTIONS],
    /// The token at hand and the two before it.
    pub(super) token: Token,
    pub(super) previous: Token,
    before: Token,
    /// Open parentheses of the statement.
    pub(super) depth: u32,
    /// Names before parentheses are columns and types as often as functions: look no closer.
    pub(super) skip_unknown: bool,
    /// INTO was seen in the statement.
    into: bool,
}

impl<'a> Classifier<'a> {
    fn new(sql: &'a [u8], mode: &LexMode) -> Self {
        let mut classifier = Classifier {
            lexer: Lexer::new(sql, mode),
            flags: Flags::empty(),
            functions: [None; KEPT_FUNCTIONS],
            token: Token::NONE,
            previous: Token::NONE,
            before: Token::NONE,
            depth: 0,
            skip_unknown: false,
            into: false,
        };
        classifier.step();
        classifier
    }

    /// One statement, from its first token to the semicolon or the end.
    fn statement(&mut self) -> StatementKind {
        self.depth = u32::from(self.token.word == Word::OpenParen);
        self.skip_unknown = false;
        self.into = false;
        let kind = self.family();
        self.finish();
        kind
    }

    /// Moves to the next token of the statement, if it is not over, and looks at it.
    #[inline(never)]
    pub(super) fn bump(&mut self) {
        if !self.at_end() {
            self.step();
        }
    }

    /// Moves to the next token, whatever the one at hand is.
    #[inline(always)]
    pub(super) fn step(&mut self) {
        self.before = self.previous;
        self.previous = self.token;
        self.token = self.lexer.next();
        self.observe();
    }

    /// Moves on if the token is this word.
    pub(super) fn skip(&mut self, word: Word) -> bool {
        let found = self.token.word == word;
        if found {
            self.bump();
        }
        found
    }

    /// Moves to the end of the statement.
    pub(super) fn finish(&mut self) {
        while !self.at_end() {
            self.step();
        }
    }

    /// Whether the statement is over.
    pub(super) fn at_end(&self) -> bool {
        self.token.word <= Word::Semicolon
    }

    /// Raises what the token at hand says by itself.
    #[inline(always)]
    fn observe(&mut self) {
        match self.token.word {
            Word::None | Word::Qualified | Word::Comma | Word::Dot | Word::Other | Word::Equals => {
            }
            Word::OpenParen => {
                self.depth += 1;
                if self.previous.is_name() {
                    self.call();
                }
            }
            Word::CloseParen => self.depth = self.depth.saturating_sub(1),
            Word::Quoted if variables::is_server_schema(self.lexer.slice(self.token)) => {
                self.flags |= Flags::SERVER_SCHEMA;
            }
            word if word > Word::None => self.observe_keyword(),
            Word::UserVariable | Word::SystemVariable | Word::Assign => self.observe_variable(),
            _ => {}
        }
    }

    fn observe_variable(&mut self) {
        self.flags |= match self.token.word {
            Word::UserVariable if self.into => {
                Flags::USES_USER_VARIABLE | Flags::ASSIGNS_USER_VARIABLE
            }
            Word::UserVariable => Flags::USES_USER_VARIABLE,
            Word::SystemVariable => variables::reads(self.lexer.slice(self.token)),
            _ => Flags::ASSIGNS_USER_VARIABLE,
        };
    }

    fn observe_keyword(&mut self) {
        let previous = self.previous.word;
        match self.token.word {
            Word::Update | Word::Share if previous == Word::For => self.flags |= Flags::LOCKING,
            Word::In if previous == Word::Lock => self.flags |= Flags::LOCKING,
            Word::For if previous == Word::Value => {
                if matches!(self.before.word, Word::Next | Word::Previous) {
                    self.flags |= Flags::SEQUENCE;
                }
            }
            Word::Into => self.into = true,
            Word::From | Word::Table => self.flags |= Flags::READS_TABLES,
            Word::SqlCalcFoundRows => self.flags |= Flags::SQL_CALC_FOUND_ROWS,
            Word::Temporary if matches!(previous, Word::Create | Word::Replace) => {
                self.flags |= Flags::CREATES_TEMPORARY_TABLE;
            }
            Word::CurrentUser | Word::CurrentRole => self.flags |= Flags::SERVER_FUNCTION,
            Word::InformationSchema | Word::PerformanceSchema | Word::Mysql | Word::Sys => {
                self.flags |= Flags::SERVER_SCHEMA;
            }
            _ => {}
        }
    }

    /// A name before a parenthesis, which is the token at hand.
    fn call(&mut self) {
        let name = self.previous;
        let touching = name.end() == self.token.start();
        let bytes = self.lexer.slice(name);
        let class = match name.word {
            Word::Qualified => Class::Unknown,
            _ if self.before.word == Word::Dot => Class::Unknown,
            Word::Quoted => match functions::class(unquote(bytes), false, &self.lexer.mode) {
                // A quoted keyword is a name.
                Class::Keyword => Class::Unknown,
                class => class,
            },
            _ => functions::class(bytes, touching, &self.lexer.mode),
        };
        self.flags |= match class {
            Class::Harmless | Class::Keyword => return,
            Class::Unknown => return self.unknown_call(),
            Class::Session => Flags::SESSION_FUNCTION,
            Class::Diagnostics => Flags::DIAGNOSTICS_FUNCTION,
            Class::Server => Flags::SERVER_FUNCTION,
            Class::UserLock => Flags::USER_LOCK,
            Class::Sequence => Flags::SEQUENCE,
        };
    }

    #[cold]
    fn unknown_call(&mut self) {
        // `AS t (a, b)` and `(…) t (a, b)` name columns.
        let columns = self.before.word == Word::As || self.before.word == Word::CloseParen;
        if self.skip_unknown || columns || self.is_cte_header() {
            return;
        }
        let found = self.function_name();
        self.flags |= Flags::UNKNOWN_FUNCTION;
        for place in &mut self.functions {
            match place {
                Some(known) if known.qualified == found.qualified => return,
                Some(_) => {}
                None => {
                    *place = Some(found);
                    return;
                }
            }
        }
        self.flags |= Flags::MORE_UNKNOWN_FUNCTIONS;
    }

    /// The function whose name stands before the parenthesis.
    fn function_name(&self) -> FunctionName {
        let whole = self.lexer.slice(self.previous);
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

    /// Whether the parenthesis at hand opens the column list of a common table expression:
    /// `name (a, b) AS (`.
    fn is_cte_header(&self) -> bool {
        let mut ahead = self.lexer.clone();
        loop {
            match ahead.next().word {
                Word::Comma | Word::Quoted | Word::Qualified => {}
                Word::CloseParen => break,
                word if word >= Word::None => {}
                _ => return false,
            }
        }
        ahead.next().word == Word::As && ahead.next().word == Word::OpenParen
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
