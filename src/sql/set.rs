//! SET: which variables a statement assigns.
//!
//! Values are not read. What a session's variables are is told by the server's trackers; what matters
//! here is what no tracker tells, and what lagwise must not let pass unseen.

use super::classify::Classifier;
use super::statement::{Flags, StatementKind};
use super::variables;
use super::words::Word;

impl Classifier<'_> {
    pub(super) fn set(&mut self) -> StatementKind {
        self.bump();
        match self.token.word {
            Word::Transaction => {
                self.flags |= Flags::ONE_SHOT_TRANSACTION;
                return StatementKind::SetTransaction;
            }
            Word::Password => return StatementKind::Account,
            Word::Role | Word::Resource => {
                self.flags |= Flags::SETS_UNREPLAYABLE;
                return StatementKind::Set;
            }
            Word::Statement => return self.set_statement(),
            Word::Default => {
                self.bump();
                if self.token.word == Word::Role {
                    return StatementKind::Account;
                }
            }
            _ => {}
        }
        let mut kind = StatementKind::Set;
        while !self.at_end() {
            let one = self.assignment();
            if one.strictness() > kind.strictness() {
                kind = one;
            }
            self.skip_to_comma();
        }
        kind
    }

    /// One assignment up to its value.
    fn assignment(&mut self) -> StatementKind {
        match self.token.word {
            Word::Global | Word::Persist | Word::PersistOnly => {
                self.flags |= Flags::SETS_GLOBAL;
                self.bump();
            }
            Word::Session | Word::Local => self.bump(),
            _ => {}
        }
        let name = self.lexer.slice(self.token);
        match self.token.word {
            Word::UserVariable => {
                self.flags |= Flags::SETS_USER_VARIABLE | Flags::ASSIGNS_USER_VARIABLE;
            }
            Word::SystemVariable => self.flags |= variables::assigns_at(name),
            Word::Transaction => return StatementKind::SetTransaction,
            Word::Password => return StatementKind::Account,
            _ if self.token.word.is_name() => self.flags |= variables::assigns(name),
            _ => return StatementKind::Unknown,
        }
        StatementKind::Set
    }

    /// Moves behind the next comma outside parentheses.
    fn skip_to_comma(&mut self) {
        while !self.at_end() {
            let comma = self.token.word == Word::Comma && self.depth == 0;
            self.bump();
            if comma {
                return;
            }
        }
    }

    /// MariaDB: SET STATEMENT name = value, … FOR statement. The kind is that of the inner statement.
    fn set_statement(&mut self) -> StatementKind {
        self.flags |= Flags::SET_STATEMENT;
        self.bump();
        while !self.at_end() {
            if self.token.word == Word::For && self.depth == 0 {
                self.bump();
                // No server takes SET STATEMENT within itself, and no stack is deep enough for it.
                if self.token.word == Word::Set {
                    return StatementKind::Unknown;
                }
                return self.family();
            }
            self.bump();
        }
        StatementKind::Unknown
    }
}
