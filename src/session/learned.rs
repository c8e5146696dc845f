//! Functions that a replica refused to run, shared by all sessions.
//!
//! With `routing.unknown_functions = "try"`, a read that calls a function which is not built in is
//! tried on a replica. There it cannot write: a session's connections to replicas are READ ONLY
//! ([`crate::backend::sync`]). One that tries is remembered here, and its callers go to the primary
//! from then on. A reload of the configuration begins anew, so that a function that was changed is
//! tried again.
//!
//! Deliberately absent: which of several functions in a statement it was. All of them are taken.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::sql::{FunctionSet, Statement};

/// Most functions that are remembered. A statement with one more is tried, refused and run on the
/// primary each time.
const MAX_FUNCTIONS: usize = 10_000;

/// Errors with which a server refuses to write for being read-only: ER_OPTION_PREVENTS_STATEMENT
/// (`read_only`), ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE.
pub const REFUSALS: [u16; 3] = [1290, 1792, 1836];

/// The functions.
#[derive(Debug, Default)]
pub struct LearnedFunctions(ArcSwap<FunctionSet>);

impl LearnedFunctions {
    /// Whether the statement calls one of them.
    pub fn are_called_by(&self, statement: &Statement) -> bool {
        let mut names = statement.unknown_functions().peekable();
        // Nearly always there is none, and nothing to load.
        names.peek().is_some() && {
            let known = self.0.load();
            !known.is_empty() && names.any(|name| known.contains(name))
        }
    }

    /// A replica refused this statement: remembers its functions.
    pub fn learn(&self, statement: &Statement) {
        self.0.rcu(|known| {
            let mut next = FunctionSet::clone(known);
            for name in statement.unknown_functions() {
                if next.len() < MAX_FUNCTIONS {
                    next.insert_found(name);
                }
            }
            Arc::new(next)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexMode, classify};

    fn statement(sql: &str) -> Statement {
        classify(sql.as_bytes(), &LexMode::default())
    }

    #[test]
    fn what_was_refused_is_known_by_all_its_functions() {
        let learned = LearnedFunctions::default();
        let called = |sql| learned.are_called_by(&statement(sql));
        assert!(!called("SELECT f(1)"));
        learned.learn(&statement("SELECT F(1), shop.g(2), ABS(3)"));
        assert!(called("SELECT f(2)") && called("SELECT h(1), shop.G(1)"));
        assert!(!called("SELECT g(1)") && !called("SELECT h(1)") && !called("SELECT ABS(1)"));
    }

    #[test]
    fn no_more_are_kept_than_the_bound() {
        let learned = LearnedFunctions::default();
        let full: Vec<String> = (0..MAX_FUNCTIONS).map(|n| format!("f{n}")).collect();
        learned.0.store(Arc::new(full.iter().map(String::as_str).collect()));
        learned.learn(&statement("SELECT one_more(1)"));
        assert!(!learned.are_called_by(&statement("SELECT one_more(1)")));
        assert!(learned.are_called_by(&statement("SELECT f7(1)")));
    }
}
