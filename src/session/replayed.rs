//! What is set on every other connection of a session: its variables, as a server reported them.
//!
//! Character sets are the exception to "as reported": a server reports no collation for SET NAMES,
//! so that its clause is kept as it was written. Pure.

use std::collections::BTreeMap;

use crate::backend::sync::{self, Replay};

/// Bound on replayed variables of one session; a session that changes more keeps to the primary.
pub const MAX_VARIABLES: usize = 1000;

const CLIENT: &[u8] = b"character_set_client";
const CONNECTION: &[u8] = b"character_set_connection";
const RESULTS: &[u8] = b"character_set_results";
const COLLATION: &[u8] = b"collation_connection";

/// What a session has set.
#[derive(Debug, Default)]
pub struct Replayed {
    /// `utf8mb4 COLLATE utf8mb4_bin` of the last SET NAMES.
    names: Option<Box<[u8]>>,
    /// System variables that the session changed, with their values.
    variables: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

/// What came of a reported variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Nothing is new.
    Same,
    /// Other connections have to be told.
    Changed,
    /// Other connections cannot be told.
    Impossible,
}

/// Which of the character sets one OK packet has reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Charsets {
    client: bool,
    connection: bool,
    results: bool,
    collation: bool,
}

impl Charsets {
    /// Adds a reported variable; false if it is none of them.
    pub fn add(&mut self, name: &[u8]) -> bool {
        match name {
            CLIENT => self.client = true,
            CONNECTION => self.connection = true,
            RESULTS => self.results = true,
            COLLATION => self.collation = true,
            _ => return false,
        }
        true
    }

    /// Whether it is known what the report means. Connection and collation set each other, and
    /// the report does not say which was last. All three are reported for SET NAMES, whose collation
    /// is not: only a plain SET is known to have named each by itself.
    pub fn is_clear(self, by_set: bool) -> bool {
        let like_names = self.client && self.connection && self.results;
        !(self.connection && self.collation) && (by_set || !like_names)
    }
}

impl Replayed {
    /// Takes in a variable that a server reported.
    pub fn note(&mut self, name: &[u8], value: &[u8]) -> Noted {
        match sync::replay(name, value) {
            Replay::Ignore => return Noted::Same,
            Replay::Hold => return Noted::Impossible,
            Replay::Set | Replay::SetOnPrimary => {}
        }
        // Each sets the other, so that only the later one may be repeated.
        match name {
            CONNECTION => drop(self.variables.remove(COLLATION)),
            COLLATION => drop(self.variables.remove(CONNECTION)),
            _ => {}
        }
        if self.variables.get(name).is_some_and(|known| **known == *value) {
            return Noted::Same;
        }
        if self.variables.len() >= MAX_VARIABLES {
            return Noted::Impossible;
        }
        self.variables.insert(name.into(), value.into());
        Noted::Changed
    }

    /// SET NAMES with this clause succeeded.
    pub fn set_names(&mut self, clause: Vec<u8>) {
        for name in [CLIENT, CONNECTION, RESULTS, COLLATION] {
            self.variables.remove(name);
        }
        self.names = Some(clause.into());
    }

    /// The statement that brings a fresh connection in line, if one is needed.
    pub fn statement(&self, on_primary: bool) -> Option<Vec<u8>> {
        let variables = self.variables.iter().map(|(name, value)| (&name[..], &value[..]));
        sync::set_statement(self.names.as_deref(), variables, on_primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_sets() {
        #[track_caller]
        fn check(notes: &[(&str, &str)], want: &str) {
            let mut replayed = Replayed::default();
            for (name, value) in notes {
                match *name {
                    "NAMES" => replayed.set_names(value.as_bytes().to_vec()),
                    name => {
                        let noted = replayed.note(name.as_bytes(), value.as_bytes());
                        assert_eq!(noted, Noted::Changed);
                    }
                }
            }
            assert_eq!(String::from_utf8(replayed.statement(false).unwrap()).unwrap(), want);
        }
        let (names, bin) = (("NAMES", "utf8mb4"), ("collation_connection", "utf8mb4_bin"));
        let latin1 = ("character_set_connection", "latin1");
        check(&[names], "SET NAMES utf8mb4");
        check(&[bin, names], "SET NAMES utf8mb4");
        check(&[names, bin], "SET NAMES utf8mb4, SESSION collation_connection='utf8mb4_bin'");
        check(&[bin, latin1], "SET SESSION character_set_connection='latin1'");
        check(&[latin1, bin], "SET SESSION collation_connection='utf8mb4_bin'");
        check(
            &[names, ("character_set_results", ""), ("time_zone", "UTC")],
            "SET NAMES utf8mb4, SESSION character_set_results=NULL, SESSION time_zone='UTC'",
        );
    }

    #[test]
    fn reports_of_character_sets() {
        #[track_caller]
        fn check(names: &[&[u8]], by_set: bool, want: bool) {
            let mut charsets = Charsets::default();
            assert!(names.iter().all(|name| charsets.add(name)));
            assert_eq!(charsets.is_clear(by_set), want, "{charsets:?}");
        }
        check(&[], false, true);
        check(&[CLIENT, CONNECTION, RESULTS], true, true);
        check(&[CLIENT, CONNECTION, RESULTS], false, false);
        check(&[CLIENT, RESULTS], false, true);
        check(&[CONNECTION, COLLATION], true, false);
        assert!(!Charsets::default().add(b"time_zone"));
    }
}
