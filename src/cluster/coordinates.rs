//! Binary log coordinates: what stands in for GTIDs on a MySQL source that has them off.
//!
//! File and offset name a place in the log of *one* server. So they are only ever compared with
//! others of the same source, which is part of the value: the source tells how far its log is, and
//! a replica how far in that log it has applied everything (`Relay_Source_Log_File` and
//! `Exec_Source_Log_Pos`, which move after the commit). A replica of a replica is somewhere in
//! another log, and cannot be compared with the primary at all.
//!
//! Deliberately absent: MariaDB. It gives every transaction a GTID, and replicas keep
//! `gtid_slave_pos` whether they connect by GTID or not.

use std::fmt;
use std::sync::Arc;

/// Longest file name that is believed, in bytes; a path is 512 at most on the servers.
const MAX_FILE_NAME: usize = 1024;

/// A place in the binary log of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinates {
    /// `server_uuid` of the server whose log it is.
    source: u128,
    /// `binlog.000012`, in two parts: the number grows beyond six digits.
    base: Arc<str>,
    number: u64,
    /// Bytes from the beginning of the file.
    offset: u64,
}

impl Coordinates {
    /// Reads a file name and an offset as servers print them; `None` if they are none.
    pub fn parse(source: u128, file: &str, offset: &str) -> Option<Coordinates> {
        let (base, number) = file.rsplit_once('.').filter(|_| file.len() <= MAX_FILE_NAME)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (number, offset) =
            Some((number, offset)).filter(|(number, offset)| digits(number) && digits(offset))?;
        let (number, offset) = (number.parse().ok()?, offset.parse().ok()?);
        Some(Coordinates { source, base: base.into(), number, offset })
    }

    /// Whether both are places in one log. After `log_bin` was renamed it is another.
    pub fn is_same_log(&self, other: &Coordinates) -> bool {
        self.source == other.source && self.base == other.base
    }

    /// Whether everything up to `other` is held here.
    pub fn contains(&self, other: &Coordinates) -> bool {
        self.is_same_log(other) && self.place() >= other.place()
    }

    /// Moves on to `other` if that is further in the same log; whether it is the same log.
    #[must_use]
    pub fn union(&mut self, other: &Coordinates) -> bool {
        let is_same_log = self.is_same_log(other);
        if is_same_log {
            (self.number, self.offset) = self.place().max(other.place());
        }
        is_same_log
    }

    /// Approximate size on the heap, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.base.len()
    }

    fn place(&self) -> (u64, u64) {
        (self.number, self.offset)
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}:{}", self.base, self.number, self.offset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(source: u128, file: &str, offset: &str) -> Coordinates {
        Coordinates::parse(source, file, offset).unwrap()
    }

    #[test]
    fn places_are_compared_within_one_log() {
        let base = at(1, "mysql-bin.999999", "400");
        for (other, contains, is_contained) in [
            (at(1, "mysql-bin.999999", "400"), true, true),
            (at(1, "mysql-bin.999999", "399"), true, false),
            (at(1, "mysql-bin.999999", "1000"), false, true),
            (at(1, "mysql-bin.1000000", "4"), false, true),
            (at(1, "mysql-bin.999998", "9000"), true, false),
            (at(2, "mysql-bin.999999", "400"), false, false),
            (at(1, "other.999999", "400"), false, false),
        ] {
            assert_eq!(base.contains(&other), contains, "{base} and {other}");
            assert_eq!(other.contains(&base), is_contained, "{other} and {base}");
        }
    }

    #[test]
    fn the_union_is_the_further_one() {
        let mut held = at(1, "b.000001", "5");
        assert!(held.union(&at(1, "b.000002", "4")));
        assert_eq!(held.to_string(), "b.000002:4");
        assert!(held.union(&at(1, "b.000001", "900")));
        assert!(!held.union(&at(2, "b.000009", "900")));
        assert_eq!(held, at(1, "b.2", "4"));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let long = format!("{}.000001", "x".repeat(MAX_FILE_NAME));
        for (file, offset) in [
            ("", "4"),
            ("binlog", "4"),
            ("binlog.", "4"),
            ("binlog.00000x", "4"),
            ("binlog.+1", "4"),
            ("binlog.000001", ""),
            ("binlog.000001", "-4"),
            ("binlog.99999999999999999999", "4"),
            (&long, "4"),
        ] {
            assert_eq!(Coordinates::parse(1, file, offset), None, "{file:.20} {offset}");
        }
        assert_eq!(at(1, "a.b.000003", "4").to_string(), "a.b.000003:4");
    }
}
