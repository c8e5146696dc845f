//! SET NAMES with a collation, so that it can be said again on another connection.
//!
//! The servers' trackers report the three character sets of SET NAMES as names, and not the
//! collation. But the collation is more than `collation_connection`: the server keeps it with the
//! character set of results too, and names its number in the metadata of every string column. So it
//! is not enough to set the variables to their values elsewhere: NAMES … COLLATE is said again as it
//! was, and only what was set afterwards is set by itself. Pure.

use crate::protocol::ok::{StateChange, changes};

/// What SET NAMES sets.
const GOVERNED: [&[u8]; 4] = [
    b"character_set_client",
    b"character_set_connection",
    b"character_set_results",
    b"collation_connection",
];

/// The collation of literals.
pub const COLLATION: &[u8] = b"collation_connection";
/// The character set of literals.
pub const CHARSET: &[u8] = b"character_set_connection";

/// The SET NAMES that a session is under.
#[derive(Debug, Default)]
pub struct Names {
    /// NAMES with charset and collation; `None` if the variables tell everything.
    clause: Option<Vec<u8>>,
    /// What was set by itself since.
    after: Vec<&'static [u8]>,
    /// The character set of literals changed, and nothing told their collation.
    is_untold: bool,
    /// The report at hand adds to what was set since the clause.
    adds: bool,
}

impl Names {
    /// A server reported a variable.
    pub fn observe(&mut self, name: &[u8]) {
        let Some(name) = GOVERNED.into_iter().find(|governed| *governed == name) else { return };
        self.is_untold |= name == CHARSET;
        if self.clause.is_some() && !self.after.contains(&name) {
            self.after.push(name);
            self.adds = true;
        }
    }

    /// True if the collation must be read from the statement that has just run.
    pub fn is_untold(&self) -> bool {
        self.is_untold
    }

    /// All of a report was observed: where it has the collation, whichever of the two came first, the
    /// statement need not be read. True if something that the clause sets was set by itself, perhaps to
    /// the value that it had: the collation of a character set is another one then.
    pub fn settle(&mut self, reported: &[u8]) -> bool {
        let is_collation =
            |change| matches!(change, StateChange::SystemVariable { name: COLLATION, .. });
        self.is_untold = self.is_untold
            && !changes(reported).filter_map(Result::ok).any(|(change, _)| is_collation(change));
        std::mem::take(&mut self.adds) && !self.is_untold
    }

    /// The collation cannot be found out.
    pub fn is_told(&mut self) {
        self.is_untold = false;
    }

    /// The statement was SET NAMES without a collation. True if that changes anything.
    pub fn of_charset(&mut self) -> bool {
        std::mem::take(self).clause.is_some()
    }

    /// The statement was SET NAMES `charset` COLLATE `collation`; `value` says what variables are
    /// now. Both names are of letters, digits and underscores. True if that changes anything.
    pub fn named<'a>(
        &mut self,
        charset: &[u8],
        collation: &[u8],
        value: impl Fn(&[u8]) -> Option<&'a [u8]>,
    ) -> bool {
        let clause = [b"NAMES '", charset, b"' COLLATE '", collation, b"'"].concat();
        let other = |name: &&[u8]| *name != COLLATION && value(name) != Some(charset);
        let after = GOVERNED.into_iter().filter(other).collect();
        let before =
            std::mem::replace(self, Self { clause: Some(clause), after, ..Self::default() });
        // The reports of this very statement stand in what came after the one before.
        before.clause != self.clause || !self.after.is_empty()
    }

    /// What is said before the variables; `None` if nothing.
    pub fn clause(&self) -> Option<&[u8]> {
        self.clause.as_deref()
    }

    /// True if the clause sets this variable to what it is.
    pub fn covers(&self, name: &[u8]) -> bool {
        self.clause.is_some() && GOVERNED.contains(&name) && !self.after.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(results: &'static str) -> Names {
        let mut names = Names::default();
        GOVERNED.iter().take(3).for_each(|name| names.observe(name));
        assert!(names.is_untold());
        let results = results.as_bytes();
        let _ = names.named(b"latin1", b"latin1_bin", |name| {
            Some(if name == b"character_set_results" { results } else { b"latin1" })
        });
        names
    }

    #[track_caller]
    fn check(names: &Names, clause: Option<&str>, not_covered: &[&str]) {
        assert_eq!(names.clause(), clause.map(str::as_bytes));
        let covered = |name: &&[u8]| !names.covers(name);
        let got: Vec<_> = GOVERNED.into_iter().filter(covered).collect();
        let want: Vec<_> = not_covered.iter().map(|name| name.as_bytes()).collect();
        assert_eq!(got, want);
        assert!(!names.is_untold() && !names.covers(b"sql_mode"));
    }

    #[test]
    fn what_is_said_again() {
        let clause = Some("NAMES 'latin1' COLLATE 'latin1_bin'");
        let mut names = named("latin1");
        check(&names, clause, &[]);
        names.observe(b"sql_mode");
        names.observe(b"character_set_results");
        check(&names, clause, &["character_set_results"]);
        // In the same statement.
        check(&named(""), clause, &["character_set_results"]);
        assert!(names.of_charset() && !names.of_charset());
        let all = GOVERNED.map(|name| std::str::from_utf8(name).unwrap());
        check(&names, None, &all);
    }
}
