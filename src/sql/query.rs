//! Questions: SELECT and its kin, EXPLAIN, SHOW.

use super::classify::Classifier;
use super::statement::{Flags, StatementKind};
use super::words::Word;

impl Classifier<'_> {
    /// SELECT, TABLE, VALUES, WITH, or a parenthesis before one of them; to its end.
    ///
    /// The words that begin a write are reserved in both servers, so that unquoted they occur in no
    /// read but as `INSERT(…)`, `REPLACE(…)` and FOR UPDATE. Whatever else holds one is none.
    pub(super) fn read(&mut self) -> StatementKind {
        while self.token.word == Word::OpenParen {
            self.bump();
        }
        if !matches!(self.token.word, Word::Select | Word::Table | Word::Values | Word::With) {
            return StatementKind::Unknown;
        }
        if self.token.word == Word::Values {
            self.flags |= Flags::FINDS_MORE_ROWS;
        }
        let locking_before = self.flags & Flags::LOCKING;
        self.flags -= Flags::LOCKING;
        let mut kind = StatementKind::Read;
        while !self.at_end() {
            match self.token.word {
                Word::Into => self.flags |= Flags::INTO,
                Word::Lock => self.flags |= Flags::LOCKING,
                Word::Update if self.previous.word == Word::For => {}
                Word::Update | Word::Delete => kind = StatementKind::Write,
                Word::Insert | Word::Replace => {
                    self.bump();
                    if self.token.word != Word::OpenParen {
                        kind = StatementKind::Write;
                    }
                    continue;
                }
                Word::Create
                | Word::Alter
                | Word::Drop
                | Word::Call
                | Word::Load
                | Word::Grant
                | Word::Revoke
                | Word::Rename
                | Word::Kill => kind = StatementKind::Unknown,
                _ => {}
            }
            self.seek();
        }
        if kind == StatementKind::Read && self.flags.contains(Flags::LOCKING) {
            kind = StatementKind::LockingRead;
        }
        self.flags |= locking_before;
        kind
    }

    /// EXPLAIN, DESCRIBE, DESC.
    pub(super) fn explain(&mut self) -> StatementKind {
        self.bump();
        self.explained()
    }

    /// What EXPLAIN and MariaDB's ANALYZE are about: options, then a statement or a table.
    pub(super) fn explained(&mut self) -> StatementKind {
        loop {
            match self.token.word {
                Word::Extended | Word::Partitions | Word::Analyze => self.bump(),
                Word::Format => {
                    self.bump();
                    if self.token.word != Word::Equals {
                        // A table of that name.
                        return StatementKind::Describe;
                    }
                    self.bump();
                    self.bump();
                }
                Word::Into => {
                    self.flags |= Flags::INTO;
                    self.bump();
                    self.bump();
                }
                Word::For => {
                    self.bump();
                    match self.token.word {
                        Word::Connection => return StatementKind::ExplainConnection,
                        Word::Schema | Word::Database => {
                            self.bump();
                            self.bump();
                        }
                        _ => return StatementKind::Unknown,
                    }
                }
                Word::Select | Word::Table | Word::Values | Word::With => break,
                Word::Insert | Word::Replace | Word::Update | Word::Delete => {
                    self.write();
                    return StatementKind::ExplainWrite;
                }
                _ if self.token.word == Word::OpenParen => break,
                _ if self.token.word.is_name() => {
                    return StatementKind::Describe;
                }
                _ => return StatementKind::Unknown,
            }
        }
        match self.read() {
            StatementKind::Read | StatementKind::LockingRead => StatementKind::Explain,
            StatementKind::Write => StatementKind::ExplainWrite,
            _ => StatementKind::Unknown,
        }
    }

    pub(super) fn show(&mut self) -> StatementKind {
        self.bump();
        while matches!(
            self.token.word,
            Word::Full | Word::Extended | Word::Global | Word::Session | Word::Local
        ) {
            self.bump();
        }
        match self.token.word {
            Word::Tables | Word::Columns | Word::Fields | Word::Databases | Word::Schemas => {
                StatementKind::Show
            }
            Word::Warnings | Word::Errors => StatementKind::ShowDiagnostics,
            Word::Create => {
                self.bump();
                match self.token.word {
                    Word::View
                    | Word::Database
                    | Word::Schema
                    | Word::Procedure
                    | Word::Function
                    | Word::Trigger => StatementKind::Show,
                    _ => StatementKind::ShowServer,
                }
            }
            _ => self.show_count(),
        }
    }

    /// SHOW COUNT(*) WARNINGS and SHOW COUNT(*) ERRORS.
    fn show_count(&mut self) -> StatementKind {
        self.bump();
        if self.token.word == Word::OpenParen {
            while !self.at_end() && self.token.word != Word::CloseParen {
                self.bump();
            }
            self.bump();
            if matches!(self.token.word, Word::Warnings | Word::Errors) {
                return StatementKind::ShowDiagnostics;
            }
        }
        StatementKind::ShowServer
    }
}
