//! What of a session's state is said again on its other connections: schema and system variables.
//!
//! A version counts the changes, so that nothing is compared where nothing has changed. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::names::{self, Names};
use crate::backend::image::Image;
use crate::backend::parse_state::ParseState;
use crate::backend::sync::{self, Replay};
use crate::route::Side;

/// Bound on replayed variables of one session; a session that changes more keeps to the primary.
pub const MAX_VARIABLES: usize = 1000;

const AUTOCOMMIT: &[u8] = b"autocommit";

/// Something has changed that no other connection can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreplayable;

/// Schema and changed variables of one session.
#[derive(Debug)]
pub struct Replayed {
    /// Default schema; empty for none.
    schema: Vec<u8>,
    /// System variables that the session changed, with their values.
    variables: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// The status flag as it was last reported.
    autocommit: bool,
    /// The SET NAMES that the session is under.
    pub names: Names,
    /// The session began with the server's defaults, not with those of its login.
    is_reset: bool,
    /// Counts changes; starts at 1.
    version: u64,
    /// What statements are read under, and in which version it was so.
    parse_state: (u64, Arc<ParseState>),
    /// What connections of either side must be like, and in which version it was so.
    images: [(u64, Arc<Image>); 2],
}

impl Replayed {
    /// A session that has changed nothing; `schema` empty for none.
    pub fn new(schema: Vec<u8>) -> Self {
        Self {
            schema,
            variables: BTreeMap::new(),
            autocommit: true,
            names: Names::default(),
            is_reset: false,
            version: 1,
            parse_state: (0, Arc::default()),
            images: Default::default(),
        }
    }

    /// The state after a COM_RESET_CONNECTION: everything but the schema is the server's default.
    pub fn after_reset(self) -> Self {
        Self { is_reset: true, version: self.version + 1, ..Self::new(self.schema) }
    }

    /// Whether the session began with the server's defaults, not with those of its login.
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// The default schema; empty for none.
    pub fn schema(&self) -> &[u8] {
        &self.schema
    }

    /// The default schema is another now.
    pub fn set_schema(&mut self, schema: &[u8]) {
        if self.schema != schema {
            self.schema = schema.to_vec();
            self.version += 1;
        }
    }

    /// A server has reported by its status flags whether autocommit is on.
    #[inline]
    pub fn set_autocommit(&mut self, is_on: bool) {
        if is_on != self.autocommit {
            self.autocommit = is_on;
            let value: &[u8] = if is_on { b"ON" } else { b"OFF" };
            if self.variables.insert(AUTOCOMMIT.into(), value.into()).as_deref() != Some(value) {
                self.version += 1;
            }
        }
    }

    /// True while nothing has changed in the session: it is as its login left it.
    pub fn is_new(&self) -> bool {
        self.version == 1
    }

    /// How often it has changed.
    #[cfg(test)]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A server reported a variable.
    ///
    /// # Errors
    /// [`Unreplayable`]: it cannot be set elsewhere, or too many were changed.
    pub fn observe(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unreplayable> {
        self.names.observe(name);
        match sync::replay(name, value) {
            Replay::Ignore => return Ok(()),
            Replay::Hold => return Err(Unreplayable),
            Replay::Set | Replay::SetOnPrimary => {}
        }
        if self.variables.get(name).is_some_and(|known| **known == *value) {
            return Ok(());
        }
        if self.variables.len() >= MAX_VARIABLES {
            return Err(Unreplayable);
        }
        self.variables.insert(name.into(), value.into());
        self.version += 1;
        Ok(())
    }

    /// All variables of a report were observed.
    pub fn settle(&mut self, reported: &[u8]) {
        self.version += u64::from(self.names.settle(reported));
    }

    /// SET NAMES with a collation has run, whose variables were observed.
    pub fn named(&mut self, collation: &[u8]) {
        let value = |name: &[u8]| self.variables.get(name).map(|value| &**value);
        let charset = value(names::CHARSET).unwrap_or_default().to_vec();
        let changed = self.names.named(&charset, collation, value);
        self.version += u64::from(changed);
    }

    /// SET NAMES without a collation has run.
    pub fn named_by_charset(&mut self) {
        let changed = self.names.of_charset();
        let changed = self.variables.remove(names::COLLATION).is_some() || changed;
        self.version += u64::from(changed);
    }

    /// What statements are read under that are prepared now.
    pub fn parse_state(&mut self) -> Arc<ParseState> {
        if self.parse_state.0 != self.version {
            let variables = self.variables.iter().map(|(name, value)| (&name[..], &value[..]));
            let now = ParseState::of(&self.schema, variables);
            // One for all statements that are read alike.
            if self.parse_state.0 == 0 || *self.parse_state.1 != now {
                self.parse_state.1 = Arc::new(now);
            }
            self.parse_state.0 = self.version;
        }
        Arc::clone(&self.parse_state.1)
    }

    /// The state as a connection on `side` must have it.
    #[inline]
    pub fn image(&mut self, side: Side) -> &Arc<Image> {
        let [primary, replica] = &mut self.images;
        let at = if side == Side::Primary { primary } else { replica };
        if at.0 != self.version {
            let variables = self.variables.iter().map(|(name, value)| (&name[..], &value[..]));
            let here = |&(name, value): &(&[u8], &[u8])| match sync::replay(name, value) {
                Replay::Set => !self.names.covers(name),
                Replay::SetOnPrimary => side == Side::Primary,
                Replay::Ignore | Replay::Hold => false,
            };
            let (names, variables) = (self.names.clause(), variables.filter(here));
            let image = Image::new(self.is_reset, &self.schema, names, variables);
            *at = (self.version, Arc::new(image));
        }
        &at.1
    }
}
