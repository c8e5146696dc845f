//! From tokens to a [`Statement`], one pass, without allocation.
//!
//! Two things happen at once. `observe` (`observe.rs`) looks at every token that means something by
//! itself and raises flags: functions, variables, locks. The family functions read the leading words
//! and decide the kind; once they have, the rest is passed by from one such token to the next. So no
//! flag depends on how well a family is understood, and a statement that is understood wrongly is
//! still caught by the words it holds: a read in which an unquoted INSERT, DELETE or CREATE occurs is
//! none.

use super::hint;
use super::lexer::{Lexer, Token};
use super::mode::LexMode;
use super::statement::{Flags, FunctionName, KEPT_FUNCTIONS, KillKind, Statement, StatementKind};
use super::words::Word;

/// Finds out what `sql`, the text of one COM_QUERY or COM_STMT_PREPARE, is to routing.
///
/// Any bytes will do: it never panics, allocates nothing and takes time linear in the length.
pub fn classify(sql: &[u8], mode: &LexMode) -> Statement {
    let mut classifier = Classifier::new(sql, mode);
    let mut kind = StatementKind::Empty;
    let mut statements = 0u32;
    let mut controls = false;
    let mut runs_whole_first = false;
    loop {
        match classifier.token.word {
            Word::End => break,
            Word::Semicolon => classifier.step(),
            _ => {
                let one = classifier.statement();
                statements += 1;
                if statements == 1 {
                    runs_whole_first = one.runs_whole();
                }
                if one.strictness() > kind.strictness() {
                    kind = one;
                }
                controls |= matches!(
                    one,
                    StatementKind::Begin { .. } | StatementKind::Commit | StatementKind::Rollback
                );
            }
        }
    }
    let lexer = &classifier.lexer;
    let hint = lexer.hint.and_then(|(start, end)| hint::parse(sql, start, end));
    let mut flags = classifier.flags;
    for (found, flag) in [
        (statements > 1, Flags::MULTI),
        (statements > 1 && runs_whole_first, Flags::RUNS_WHOLE_FIRST),
        (statements > 1 && controls, Flags::TRANSACTION_CONTROL),
        // Which of the statements it was in, nobody looks for.
        (statements > 1 && classifier.sets_unreported, Flags::SETS_UNREPLAYABLE),
        (lexer.ambiguous, Flags::AMBIGUOUS),
        (lexer.server_schema.get(), Flags::SERVER_SCHEMA),
        (lexer.sequence_member, Flags::SEQUENCE),
        (lexer.hint.is_some() && hint.is_none(), Flags::BAD_HINT),
    ] {
        if found {
            flags |= flag;
        }
    }
    Statement { kind, flags, hint, functions: classifier.functions }
}

/// The aim of KILL [CONNECTION | QUERY] followed by a number and nothing else, so that the session
/// can answer it; `None` for every other text, other forms of KILL included.
pub fn kill_target(sql: &[u8], mode: &LexMode) -> Option<(KillKind, u64)> {
    let mut lexer = Lexer::new(sql, mode);
    let mut token = lexer.next(Token::NONE);
    if token.word != Word::Kill {
        return None;
    }
    token = lexer.next(token);
    let kind = if token.word == Word::Query { KillKind::Query } else { KillKind::Connection };
    if matches!(token.word, Word::Query | Word::Connection) {
        token = lexer.next(token);
    }
    let digits = lexer.slice(token);
    if token.word != Word::Number || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let id = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let mut last = lexer.next(token);
    while last.word == Word::Semicolon {
        last = lexer.next(last);
    }
    (last.word == Word::End && !lexer.ambiguous).then_some((kind, id))
}

/// The token at hand, the two before it, and what they have said.
pub(super) struct Classifier<'a> {
    pub(super) lexer: Lexer<'a>,
    pub(super) flags: Flags,
    pub(super) functions: [Option<FunctionName>; KEPT_FUNCTIONS],
    pub(super) token: Token,
    pub(super) previous: Token,
    /// Of the token before the previous one nothing else matters.
    pub(super) before: Word,
    /// Open parentheses of the statement, as long as it is read token by token.
    pub(super) depth: u32,
    /// Names before parentheses are columns and types as often as functions: look no closer.
    pub(super) skip_unknown: bool,
    /// INTO was seen in the statement.
    pub(super) into: bool,
    /// A variable is assigned by `@@name` without a scope.
    pub(super) sets_unreported: bool,
}

impl<'a> Classifier<'a> {
    fn new(sql: &'a [u8], mode: &LexMode) -> Self {
        let mut classifier = Classifier {
            lexer: Lexer::new(sql, mode),
            flags: Flags::empty(),
            functions: [None; KEPT_FUNCTIONS],
            token: Token::NONE,
            previous: Token::NONE,
            before: Word::End,
            depth: 0,
            skip_unknown: false,
            into: false,
            sets_unreported: false,
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
    pub(super) fn bump(&mut self) {
        if !self.at_end() {
            self.step();
        }
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
            self.seek();
        }
    }

    /// Whether the statement is over.
    pub(super) fn at_end(&self) -> bool {
        self.token.word >= Word::Semicolon
    }
}
