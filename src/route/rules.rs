//! What the operator settled: `[[rule]]` tables, the first that matches wins.
//!
//! A rule is looked for in two steps, so that rules cost next to nothing. Which of them are about
//! the user is found once a session ([`Rules::of_user`]), and which of those about its default
//! schema whenever that changes; for a statement only prefixes are left, and these are looked up in
//! one tree for all rules. Without rules for its user a session never looks at a statement's text.
//!
//! Pure: the session passes in what it knows, and what is found is the index of a rule.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::facts::{RuleSays, Side};
use crate::sql::{LexMode, Prefix, PrefixTree};

/// One rule. Conditions that are empty hold for everything.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// What logs, metrics and `explain` call it; unique.
    pub name: Arc<str>,
    /// User names, compared byte by byte as servers do.
    pub users: HashSet<Box<[u8]>>,
    /// Default schemas, compared without regard to the case of ASCII letters.
    pub schemas: Vec<Box<[u8]>>,
    /// Beginnings of statements.
    pub statements: Vec<Prefix>,
    /// Where matching reads go.
    pub target: Option<Side>,
    /// Only replicas with this tag.
    pub tag: Option<Arc<str>>,
    /// Instead of `[routing] max_lag`.
    pub max_lag: Option<Duration>,
    /// Writes are refused; a rule by user alone keeps the whole session on replicas.
    pub read_only: bool,
}

impl Rule {
    /// Whether it keeps all of a user's session on a replica: a session can be sent there only at
    /// its login, when nothing but the user is sure to stay as it is.
    pub fn keeps_session(&self) -> bool {
        self.read_only && self.schemas.is_empty() && self.statements.is_empty()
    }

    /// What routing has to know of it.
    pub fn says(&self) -> RuleSays {
        RuleSays { target: self.target, read_only: self.read_only }
    }

    fn is_about(&self, user: &[u8]) -> bool {
        self.users.is_empty() || self.users.contains(user)
    }

    fn holds_in(&self, schema: &[u8]) -> bool {
        self.schemas.is_empty() || self.schemas.iter().any(|own| own.eq_ignore_ascii_case(schema))
    }
}

/// All rules, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The first that matches wins.
    all: Vec<Rule>,
    /// What their statements begin with, by the index of the rule.
    prefixes: PrefixTree,
}

impl Rules {
    /// In the order of the configuration.
    pub fn new(all: Vec<Rule>) -> Self {
        let mut prefixes = PrefixTree::default();
        for (index, rule) in all.iter().enumerate() {
            rule.statements.iter().for_each(|prefix| prefixes.insert(prefix, index));
        }
        Rules { all, prefixes }
    }

    /// The rules for the sessions of `user`.
    pub fn of_user(self: &Arc<Self>, user: &[u8]) -> UserRules {
        let indexed = self.all.iter().enumerate();
        let mine: Vec<usize> =
            indexed.filter(|(_, rule)| rule.is_about(user)).map(|(index, _)| index).collect();
        let rule = |index: &usize| self.all.get(*index);
        // The first that holds for every statement of the user.
        let whole = mine.iter().copied().find(|index| {
            rule(index).is_some_and(|rule| rule.schemas.is_empty() && rule.statements.is_empty())
        });
        let by_schema = mine.iter().filter_map(rule).any(|rule| !rule.schemas.is_empty());
        let rules = Arc::clone(self);
        let mut found = UserRules { rules, mine, whole, by_schema, ..UserRules::default() };
        found.enter(b"");
        found
    }
}

/// The rules for one user, as one session uses them.
#[derive(Debug, Default)]
pub struct UserRules {
    rules: Arc<Rules>,
    /// Those about the user.
    mine: Vec<usize>,
    /// The first of them that has neither schema nor statement.
    whole: Option<usize>,
    /// Some of them name a schema.
    by_schema: bool,
    /// The default schema for which `here` was found.
    schema: Vec<u8>,
    /// Those about the user and the schema that name statements and stand before `other`, in order.
    here: Vec<usize>,
    /// The first about the user and the schema that names no statement.
    other: Option<usize>,
}

impl UserRules {
    /// Whether they were found in `rules`, which a reload exchanges.
    #[inline]
    pub fn are_of(&self, rules: &Arc<Rules>) -> bool {
        Arc::ptr_eq(&self.rules, rules)
    }

    /// Whether no rule is about the user.
    pub fn is_empty(&self) -> bool {
        self.mine.is_empty()
    }

    /// The rule of that index.
    pub fn get(&self, index: usize) -> Option<&Rule> {
        self.rules.all.get(index)
    }

    /// The rule that holds for every statement of the user that no rule before it is about.
    pub fn whole(&self) -> Option<&Rule> {
        self.get(self.whole?)
    }

    /// The rule that keeps the user's sessions on replicas. It is settled at the login, so that
    /// rules before it which name a schema or a statement have no say in such a session.
    pub fn keeper(&self) -> Option<(usize, &Rule)> {
        let index = self.whole?;
        self.get(index).filter(|rule| rule.keeps_session()).map(|rule| (index, rule))
    }

    /// The first rule that matches a statement in the default schema `schema`, empty for none.
    /// `text` is the statement's, if it has one.
    #[inline]
    pub fn find<'t>(
        &mut self,
        schema: &[u8],
        text: impl FnOnce() -> Option<&'t [u8]>,
        mode: &LexMode,
    ) -> Option<usize> {
        if self.mine.is_empty() {
            return None;
        }
        self.find_among_mine(schema, text, mode)
    }

    fn find_among_mine<'t>(
        &mut self,
        schema: &[u8],
        text: impl FnOnce() -> Option<&'t [u8]>,
        mode: &LexMode,
    ) -> Option<usize> {
        if self.by_schema && self.schema != schema {
            self.enter(schema);
        }
        let mut first = self.other;
        if let Some(text) = (!self.here.is_empty()).then(text).flatten() {
            self.rules.prefixes.find(text, mode, |found| {
                // In order, so that the first one counts.
                let mine = found.iter().find(|index| self.here.binary_search(index).is_ok());
                first = [first, mine.copied()].into_iter().flatten().min();
            });
        }
        first
    }

    /// The default schema is another one now.
    fn enter(&mut self, schema: &[u8]) {
        self.here.clear();
        self.other = None;
        for &index in &self.mine {
            match self.rules.all.get(index) {
                Some(rule) if !rule.holds_in(schema) => {}
                Some(rule) if !rule.statements.is_empty() => self.here.push(index),
                _ => {
                    self.other = Some(index);
                    break;
                }
            }
        }
        self.schema = schema.to_vec();
    }
}

#[cfg(test)]
mod tests;
