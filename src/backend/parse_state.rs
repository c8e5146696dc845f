//! What the meaning of a statement's text depends on: schema, sql_mode, character sets.
//!
//! A server reads a statement when it is prepared, with the session's state of then, and holds on to
//! that whatever is set afterwards. MySQL 9 does so for all of [`VARIABLES`]; MariaDB 10.11 for the
//! schema, sql_mode and character sets, and asks for the others anew at each execution. (Both were
//! asked, variable by variable.) So where a statement is prepared again on another connection after
//! the session has changed, it must be prepared as the session was: the connection is switched
//! there, prepares, and is switched back, all in one round trip. Pure.
//!
//! Deliberately absent: variables that both makes look at when a statement runs (time_zone,
//! timestamp, sql_select_limit, character_set_results).

use super::image::Switch;
use super::sync;
use crate::protocol::ok::{StateChange, changes};

/// Variables that decide how a text is read and its expressions are resolved.
const VARIABLES: &[&[u8]] = &[
    b"character_set_client",
    b"character_set_collations",
    b"character_set_connection",
    b"collation_connection",
    b"default_collation_for_utf8mb4",
    b"default_week_format",
    b"div_precision_increment",
    b"explicit_defaults_for_timestamp",
    b"group_concat_max_len",
    b"lc_time_names",
    b"old_mode",
    b"sql_auto_is_null",
    b"sql_mode",
    b"updatable_views_with_limit",
    b"windowing_use_high_precision",
];

const CLIENT: &[u8] = b"character_set_client";
const CHARSET: &[u8] = b"character_set_connection";
const COLLATION: &[u8] = b"collation_connection";

/// The part of a session's state that statements are read under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ParseState {
    /// Default schema; empty for none.
    schema: Box<[u8]>,
    /// Those of [`VARIABLES`] that the session has changed, in order.
    variables: Vec<(&'static [u8], Box<[u8]>)>,
}

impl ParseState {
    /// The state of a session with this schema and these changed variables, in the order of their
    /// names.
    pub fn of<'a>(
        schema: &[u8],
        variables: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let kept = |(name, value): (&[u8], &[u8])| {
            let at = VARIABLES.binary_search(&name).ok()?;
            VARIABLES.get(at).map(|name| (*name, value.into()))
        };
        Self { schema: schema.into(), variables: variables.into_iter().filter_map(kept).collect() }
    }

    /// The default schema; empty for none.
    pub fn schema(&self) -> &[u8] {
        &self.schema
    }

    /// What brings a connection that is in this state to `other`. `initial` is what its server
    /// reported of the state at its login, which unchanged variables have; of others it is the
    /// server's default.
    ///
    /// No schema cannot be gone back to; a text that was read without one names none in it.
    pub fn switch_to(&self, other: &Self, initial: &[u8]) -> Switch {
        let schema =
            (self.schema != other.schema && !other.schema.is_empty()).then(|| other.schema.clone());
        let mut set = Vec::new();
        let mut assign = |name: &[u8], value: Option<&[u8]>| {
            let literal = match value {
                None => Some(b"DEFAULT".to_vec()),
                Some(value) => sync::literal(name, value),
            };
            // One that cannot be written has kept the session from leaving its connection.
            let Some(literal) = literal else { return };
            set.extend_from_slice(if set.is_empty() { b"SET SESSION " } else { b", SESSION " });
            set.extend_from_slice(name);
            set.push(b'=');
            set.extend_from_slice(&literal);
        };
        let differs = |name: &[u8]| self.value(name) != other.value(name);
        for &name in VARIABLES.iter().filter(|name| **name != COLLATION && **name != CHARSET) {
            if differs(name) {
                assign(name, other.value(name).or_else(|| initial_value(name, initial)));
            }
        }
        // Setting the one sets the other too: the collation to the character set's default.
        if differs(CHARSET) || differs(COLLATION) {
            match (other.value(CHARSET), other.value(COLLATION)) {
                (None, None) => assign(COLLATION, initial_value(COLLATION, initial)),
                (charset, collation) => {
                    charset.into_iter().for_each(|charset| assign(CHARSET, Some(charset)));
                    collation.into_iter().for_each(|collation| assign(COLLATION, Some(collation)));
                }
            }
        }
        Switch { schema, set: (!set.is_empty()).then_some(set), has_default: false }
    }

    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

/// The value of a variable in a report of the session trackers. The client's character set begins
/// as that of its collation.
pub(super) fn initial_value<'a>(name: &[u8], reported: &'a [u8]) -> Option<&'a [u8]> {
    if name == CLIENT {
        let collation = initial_value(COLLATION, reported)?;
        return collation.split(|byte| *byte == b'_').next();
    }
    changes(reported).filter_map(Result::ok).find_map(|(change, _)| match change {
        StateChange::SystemVariable { name: reported, value } if reported == name => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(VARIABLES.is_sorted());
    }

    fn state(schema: &str, variables: &[(&str, &str)]) -> ParseState {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        ParseState::of(schema.as_bytes(), variables)
    }

    /// A report of session_track_system_variables: one variable.
    fn report(name: &str, value: &str) -> Vec<u8> {
        let string = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let body = [string(name), string(value)].concat();
        [&[0, body.len() as u8][..], &body].concat()
    }

    #[track_caller]
    fn check(from: &ParseState, to: &ParseState, schema: Option<&str>, set: Option<&str>) {
        let got = from.switch_to(to, &report("sql_mode", "TRADITIONAL"));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(got.schema.as_deref().map(text).as_deref(), schema);
        assert_eq!(got.set.as_deref().map(text).as_deref(), set);
    }

    #[test]
    fn what_differs_is_switched() {
        let plain = state("", &[]);
        let ansi = state("a", &[("sql_mode", "ANSI_QUOTES"), ("time_zone", "+01:00")]);
        let german = state("b", &[("lc_time_names", "de_DE"), ("sql_mode", "ANSI_QUOTES")]);
        check(&plain, &plain, None, None);
        check(&plain, &ansi, Some("a"), Some("SET SESSION sql_mode='ANSI_QUOTES'"));
        // As it was at the login, and no schema is left as it is.
        check(&ansi, &plain, None, Some("SET SESSION sql_mode='TRADITIONAL'"));
        check(&ansi, &german, Some("b"), Some("SET SESSION lc_time_names='de_DE'"));
        check(&german, &ansi, Some("a"), Some("SET SESSION lc_time_names=DEFAULT"));
        check(
            &german,
            &plain,
            None,
            Some("SET SESSION lc_time_names=DEFAULT, SESSION sql_mode='TRADITIONAL'"),
        );
    }

    #[test]
    fn a_character_set_comes_with_its_collation() {
        let (csc, col) = ("character_set_connection", "collation_connection");
        let plain = state("", &[]);
        let latin1 = state("", &[(csc, "latin1")]);
        let german = state("", &[(csc, "latin1"), (col, "latin1_german1_ci")]);
        let initial = report(col, "utf8mb4_bin");
        let set = |from: &ParseState, to: &ParseState| {
            let set = from.switch_to(to, &initial).set;
            set.map(|set| String::from_utf8(set).unwrap()).unwrap_or_default()
        };
        let client = state("", &[("character_set_client", "latin1")]);
        assert_eq!(set(&client, &plain), "SET SESSION character_set_client='utf8mb4'");
        assert_eq!(set(&plain, &latin1), "SET SESSION character_set_connection='latin1'");
        assert_eq!(set(&german, &latin1), "SET SESSION character_set_connection='latin1'");
        assert_eq!(
            set(&latin1, &german),
            "SET SESSION character_set_connection='latin1', \
             SESSION collation_connection='latin1_german1_ci'"
        );
        assert_eq!(set(&german, &plain), "SET SESSION collation_connection='utf8mb4_bin'");
    }

    #[test]
    fn other_variables_do_not_count() {
        assert_eq!(state("a", &[("time_zone", "+01:00")]), state("a", &[]));
        assert_ne!(state("a", &[("sql_mode", "")]), state("a", &[]));
        assert_ne!(state("a", &[]), state("b", &[]));
    }
}
