//! SET: which variables a statement assigns.
//!
//! Values are not read. What a session's variables are is told by the server's trackers; what matters
//! here is what no tracker tells, and what lagwise must not let pass unseen.

use super::classify::Classifier;
use super::lexer::{Lexer, Token};
use super::mode::{LexMode, Make};
use super::statement::{Flags, StatementKind};
use super::variables;
use super::words::Word;

/// The collation that a SET gives to literals, as far as its NAMES says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamesCollation<'a> {
    /// SET NAMES charset, or a variable: the default of the character set.
    OfCharset,
    /// SET NAMES charset COLLATE this.
    Named(&'a [u8]),
    /// SET CHARACTER SET: that of the default schema, which the connection knows.
    OfSchema,
    /// It cannot be read.
    Unknown,
}

/// What the last NAMES of a SET says, which is the whole text. The servers' trackers report the
/// character sets of SET NAMES, and not the collation.
pub fn names_collation<'a>(sql: &'a [u8], mode: &LexMode) -> NamesCollation<'a> {
    let mut lexer = Lexer::new(sql, mode);
    let mut found = NamesCollation::OfCharset;
    let mut token = lexer.next(Token::NONE);
    while token.word != Word::End {
        let is_names = token.word == Word::Names;
        if matches!(token.word, Word::Character | Word::Charset | Word::Char) {
            found = NamesCollation::OfSchema;
        }
        token = lexer.next(token);
        if is_names {
            let _charset = token;
            token = lexer.next(token);
            found = NamesCollation::OfCharset;
            if lexer.slice(token).eq_ignore_ascii_case(b"COLLATE") {
                let named = lexer.next(token);
                found = plain_name(lexer.slice(named));
                token = lexer.next(named);
            }
        }
    }
    if lexer.ambiguous { NamesCollation::Unknown } else { found }
}

/// The variables that a SET, which is the whole text, assigns by `@@name` without a scope: MariaDB does
/// not report them. Each can be set to itself, whereupon it does; of others the statement raises
/// [`Flags::SETS_UNREPLAYABLE`].
pub fn unreported_variables(sql: &[u8], mode: &LexMode) -> Vec<&'static str> {
    let mut found = Vec::new();
    if mode.make != Make::MariaDb {
        return found;
    }
    let mut lexer = Lexer::new(sql, mode);
    let (mut previous, mut token) = (Token::NONE, lexer.next(Token::NONE));
    let mut depth = 0_u32;
    while token.word != Word::End {
        match token.word {
            Word::OpenParen => depth += 1,
            Word::CloseParen => depth = depth.saturating_sub(1),
            Word::SystemVariable if depth == 0 => {
                let begins = matches!(previous.word, Word::Set | Word::Comma);
                let name = variables::unreported(lexer.slice(token)).filter(|_| begins);
                found.extend(name.filter(|name| !found.contains(name)));
            }
            _ => {}
        }
        (previous, token) = (token, lexer.next(token));
    }
    found
}

/// A name, with or without quotes of whatever kind.
fn plain_name(text: &[u8]) -> NamesCollation<'_> {
    let name = match text {
        [first @ (b'\'' | b'"' | b'`'), name @ .., last] if first == last => name,
        name => name,
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if name.eq_ignore_ascii_case(b"DEFAULT") {
        NamesCollation::OfCharset
    } else if !name.is_empty() && name.iter().all(plain) {
        NamesCollation::Named(name)
    } else {
        NamesCollation::Unknown
    }
}

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
            Word::SystemVariable => {
                self.flags |= variables::assigns_at(name, self.lexer.mode.make);
                let is_mariadb = self.lexer.mode.make == Make::MariaDb;
                self.sets_unreported |= is_mariadb && variables::unreported(name).is_some();
            }
            // Which character sets these are, the server says.
            Word::Character | Word::Charset => {}
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

#[cfg(test)]
mod tests {
    use super::NamesCollation::{Named, OfCharset, OfSchema, Unknown};
    use super::*;

    #[track_caller]
    fn check(sql: &str, want: NamesCollation<'_>) {
        assert_eq!(names_collation(sql.as_bytes(), &LexMode::default()), want, "{sql}");
    }

    #[test]
    fn variables_that_are_not_reported() {
        let check = |sql: &str, want: &[&str]| {
            let mode = |make| LexMode { make, ..LexMode::default() };
            assert_eq!(unreported_variables(sql.as_bytes(), &mode(Make::MariaDb)), want, "{sql}");
            assert_eq!(unreported_variables(sql.as_bytes(), &mode(Make::MySql)), [""; 0], "{sql}");
        };
        check("SET @@sql_mode = 'ANSI'", &["sql_mode"]);
        check(
            "set a = 1, @@`Time_Zone` := CONCAT(@@sql_mode, 'x'), @@sql_mode = 2",
            &["time_zone", "sql_mode"],
        );
        check("SET @@sql_mode = 1, @@sql_mode = 2", &["sql_mode"]);
        check("SET @@SESSION.sql_mode = @@sql_mode, @@timestamp = 5, @a = @@time_zone", &[]);
        check("SET @a = CONCAT('x', @@time_zone)", &[]);
    }

    #[test]
    fn collations_of_names() {
        check("SET NAMES utf8mb4", OfCharset);
        check("set names 'utf8mb4';", OfCharset);
        check("SET NAMES utf8mb4 COLLATE utf8mb4_bin", Named(b"utf8mb4_bin"));
        check(
            "set names 'utf8mb4' collate 'utf8mb4_unicode_ci', session sql_mode='x'",
            Named(b"utf8mb4_unicode_ci"),
        );
        check("SET NAMES `a` /* c */ COLLATE `b`", Named(b"b"));
        check("SET @a = 'x' COLLATE b, NAMES c", OfCharset);
        check("SET NAMES c, @a = 'x' COLLATE b", OfCharset);
        check("SET NAMES c COLLATE b, NAMES d", OfCharset);
        check("SET NAMES c COLLATE DEFAULT", OfCharset);
        check("SET NAMES c COLLATE 'a b'", Unknown);
        check("SET NAMES c COLLATE", Unknown);
        check("SET CHARACTER SET c", OfSchema);
        check("SET NAMES c COLLATE e, CHARSET d", OfSchema);
        check("SET CHARSET 'd', NAMES c COLLATE e", Named(b"e"));
        check("SET CHARSET 'd", Unknown);
        check("SET @@character_set_connection = 'c'", OfCharset);
    }
}
