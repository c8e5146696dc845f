//! Replication positions: which transactions a server holds.
//!
//! Both makes name every transaction with a GTID, but the names compare in different ways: MySQL
//! keeps a *set* of transactions (holes are possible), MariaDB keeps the *last* transaction of each
//! replication domain. [`Position`] hides that difference behind the one question that the rest of
//! the proxy asks: does this server hold everything that one does?
//!
//! Where MySQL has GTIDs off, binary log coordinates take their place: they say as much, but only
//! of a primary and the replicas that are attached to it directly.

use std::fmt;
use std::mem;

use super::coordinates::Coordinates;
use super::gtid_mariadb::GtidPosition;
use super::gtid_mysql::GtidSet;
use crate::backend::connection::is_mariadb;

/// Longest GTID text that is parsed, in bytes. A set with one range for each of ten thousand
/// servers is half of it; anything longer is refused before it is read.
pub const MAX_GTID_TEXT: usize = 1 << 20;

/// Which dialect of GTID (and of system variables) a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MySQL, Percona Server and what descends from them.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Flavor {
    /// The flavor of a server by its version string.
    pub fn of_version(version: &[u8]) -> Flavor {
        if is_mariadb(version) { Flavor::MariaDb } else { Flavor::MySql }
    }
}

/// Why a GTID text was refused. It never carries the text itself, which may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseGtidError {
    /// The text is longer than [`MAX_GTID_TEXT`].
    #[error("GTID text of {len} bytes is longer than {MAX_GTID_TEXT}")]
    TooLong {
        /// Length of the text in bytes.
        len: usize,
    },
    /// The text does not follow the grammar.
    #[error("GTID text is malformed at byte {at}: expected {expected}")]
    Syntax {
        /// Offset of the offending byte.
        at: usize,
        /// What would have been right there.
        expected: &'static str,
    },
}

/// The transactions that a server holds, or that a session has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// A MySQL GTID set, as in `@@global.gtid_executed`.
    MySql(GtidSet),
    /// A MariaDB GTID position, as in `@@global.gtid_slave_pos`.
    MariaDb(GtidPosition),
    /// A place in the binary log of a MySQL primary whose GTIDs are off.
    Coordinates(Coordinates),
}

impl Position {
    /// Parses the text that a server prints for its own position, or that a session tracker
    /// carries for one transaction (MySQL `OWN_GTID`, MariaDB `last_gtid`). The empty text is the
    /// empty position.
    ///
    /// # Errors
    /// [`ParseGtidError`] when the text is too long or malformed.
    pub fn parse(flavor: Flavor, text: &str) -> Result<Position, ParseGtidError> {
        match flavor {
            Flavor::MySql => GtidSet::parse(text).map(Position::MySql),
            Flavor::MariaDb => GtidPosition::parse(text).map(Position::MariaDb),
        }
    }

    /// The position that holds no transaction.
    pub fn empty(flavor: Flavor) -> Position {
        match flavor {
            Flavor::MySql => Position::MySql(GtidSet::default()),
            Flavor::MariaDb => Position::MariaDb(GtidPosition::default()),
        }
    }

    /// The dialect of this position.
    pub fn flavor(&self) -> Flavor {
        match self {
            Position::MySql(_) | Position::Coordinates(_) => Flavor::MySql,
            Position::MariaDb(_) => Flavor::MariaDb,
        }
    }

    /// Whether no transaction is held.
    pub fn is_empty(&self) -> bool {
        match self {
            Position::MySql(set) => set.is_empty(),
            Position::MariaDb(position) => position.is_empty(),
            Position::Coordinates(_) => false,
        }
    }

    /// Whether the two are of one kind, and about one log if they are places in one. Of others
    /// [`Position::contains`] says nothing.
    pub fn compares_with(&self, other: &Position) -> bool {
        match (self, other) {
            (Position::MySql(_), Position::MySql(_))
            | (Position::MariaDb(_), Position::MariaDb(_)) => true,
            (Position::Coordinates(own), Position::Coordinates(other)) => own.is_same_log(other),
            _ => false,
        }
    }

    /// Whether every transaction of `other` is held here. Positions of different flavours cannot be
    /// compared; the answer is then `false`, because nothing is proven.
    pub fn contains(&self, other: &Position) -> bool {
        match (self, other) {
            (Position::MySql(own), Position::MySql(other)) => own.contains(other),
            (Position::MariaDb(own), Position::MariaDb(other)) => own.contains(other),
            (Position::Coordinates(own), Position::Coordinates(other)) => own.contains(other),
            _ => false,
        }
    }

    /// Adds the transactions of `other`. Returns whether it could: positions of different flavours
    /// do not add up, and `self` is then unchanged.
    #[must_use]
    pub fn union(&mut self, other: &Position) -> bool {
        match (self, other) {
            (Position::MySql(own), Position::MySql(other)) => own.union(other),
            (Position::MariaDb(own), Position::MariaDb(other)) => own.union(other),
            (Position::Coordinates(own), Position::Coordinates(other)) => return own.union(other),
            _ => return false,
        }
        true
    }

    /// Approximate size in memory, in bytes; what keeps a history of positions bounded.
    pub fn weight(&self) -> usize {
        mem::size_of::<Position>()
            + match self {
                Position::MySql(set) => set.weight(),
                Position::MariaDb(position) => position.weight(),
                Position::Coordinates(coordinates) => coordinates.weight(),
            }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::MySql(set) => set.fmt(f),
            Position::MariaDb(position) => position.fmt(f),
            Position::Coordinates(coordinates) => coordinates.fmt(f),
        }
    }
}

/// A cursor over GTID text; every read is checked.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Result<Scanner<'a>, ParseGtidError> {
        if text.len() > MAX_GTID_TEXT {
            return Err(ParseGtidError::TooLong { len: text.len() });
        }
        Ok(Scanner { text: text.as_bytes(), at: 0 })
    }

    /// The next byte that is not white space, not consumed.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Consumes `byte` if it comes next after white space.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The bytes from here on for which `accept` holds, consumed.
    pub(super) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| !accept(byte)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// A decimal number from 0 to `max`.
    pub(super) fn number(
        &mut self,
        max: u64,
        expected: &'static str,
    ) -> Result<u64, ParseGtidError> {
        self.peek();
        let error = self.error(expected);
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(error);
        }
        let value = digits.iter().try_fold(0_u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        value.filter(|value| *value <= max).ok_or(error)
    }

    /// A syntax error at the present place.
    pub(super) fn error(&self, expected: &'static str) -> ParseGtidError {
        ParseGtidError::Syntax { at: self.at, expected }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn mysql(intervals: &str) -> Position {
        Position::parse(Flavor::MySql, &format!("{UUID}:{intervals}")).unwrap()
    }

    fn mariadb(text: &str) -> Position {
        Position::parse(Flavor::MariaDb, text).unwrap()
    }

    #[test]
    fn the_flavor_is_in_the_version() {
        for (version, flavor) in [
            ("9.7.0", Flavor::MySql),
            ("8.0.36-28", Flavor::MySql),
            ("5.5.5-10.11.19-MariaDB-0+deb12u1-log", Flavor::MariaDb),
            ("11.8.1-mariadb", Flavor::MariaDb),
            ("", Flavor::MySql),
        ] {
            assert_eq!(Flavor::of_version(version.as_bytes()), flavor, "{version}");
        }
    }

    #[test]
    fn different_flavors_prove_nothing() {
        let (own, other) = (mysql("1-5"), mariadb("0-1-5"));
        assert!(!own.contains(&other) && !other.contains(&own));
        assert!(!Position::empty(Flavor::MySql).contains(&Position::empty(Flavor::MariaDb)));
        let mut changed = own.clone();
        assert!(!changed.union(&other));
        assert_eq!(changed, own);
        let place =
            |offset| Position::Coordinates(Coordinates::parse(1, "binlog.000001", offset).unwrap());
        assert!(!place("4").contains(&own) && !own.contains(&place("4")));
        assert!(!place("4").compares_with(&own) && place("4").compares_with(&place("9")));
        assert!(place("9").contains(&place("4")) && !place("4").contains(&place("9")));
    }

    #[test]
    fn a_session_gtid_is_found_in_a_servers_position() {
        let mut seen = Position::empty(Flavor::MySql);
        assert!(seen.is_empty() && mysql("1-9").contains(&seen));
        assert!(seen.union(&mysql("7")));
        assert!(mysql("1-9").contains(&seen) && !mysql("1-6").contains(&seen));
        assert!(mariadb("0-1-100").contains(&mariadb("0-1-100")));
        assert!(!mariadb("0-1-99").contains(&mariadb("0-1-100")));
    }

    #[test]
    fn a_long_text_is_refused_unread() {
        let text = "x".repeat(MAX_GTID_TEXT + 1);
        for flavor in [Flavor::MySql, Flavor::MariaDb] {
            let error = Position::parse(flavor, &text).unwrap_err();
            assert_eq!(error, ParseGtidError::TooLong { len: MAX_GTID_TEXT + 1 });
            let error = Position::parse(flavor, &text[1..]).unwrap_err();
            assert!(matches!(error, ParseGtidError::Syntax { at: 0, .. }), "{error}");
        }
    }
}
