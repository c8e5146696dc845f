//! What a connection has been told of a session's state, so that another session can take it over.
//!
//! A connection that is passed from session to session must be in the next one's state before that
//! one's statement runs on it, and must be told no more than what differs: mostly nothing, as the
//! sessions of one application begin alike. So the state is kept as an [`Image`], which is compared
//! by its fingerprint; only where that differs, [`Image::switch`] says what is to be sent. Pure.
//!
//! An image holds what a session has changed. All else is as the connection began: a variable that
//! the next session has not changed is given the server's default again, and the character sets
//! those of the login, as SET NAMES … COLLATE says them.
//!
//! Deliberately absent: what no statement can bring about elsewhere (temporary tables, locks, user
//! variables). That holds a session on its connection.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::parse_state::initial_value;
use super::sync::{self, Replay};

/// What SET NAMES governs, in the order in which setting one does not undo another.
const CHARSETS: [&[u8]; 4] = [
    b"character_set_client",
    b"character_set_connection",
    b"character_set_results",
    b"collation_connection",
];

/// The state of a session as a connection of one side has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Of all below; compared first.
    fingerprint: u64,
    /// It began with the server's defaults (COM_RESET_CONNECTION), not with those of its login.
    is_reset: bool,
    /// Default schema; empty for none.
    schema: Box<[u8]>,
    /// NAMES with charset and collation; `None` if the variables tell everything.
    names: Option<Box<[u8]>>,
    /// Variables that were changed, those that `names` covers left out; by name.
    variables: Vec<(Box<[u8]>, Box<[u8]>)>,
}

/// How a connection is brought from one state to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// The schema to change to.
    pub schema: Option<Box<[u8]>>,
    /// A SET statement.
    pub set: Option<Vec<u8>>,
    /// That gives a variable the server's default.
    pub has_default: bool,
}

impl Switch {
    /// True if there is nothing to be sent.
    pub fn is_empty(&self) -> bool {
        self.schema.is_none() && self.set.is_none()
    }
}

/// A connection cannot be brought into a state: it must be reset first, or another be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

impl Default for Image {
    fn default() -> Self {
        Self::new(false, b"", None, [])
    }
}

impl Image {
    /// The state of a session with this schema (empty for none), this SET NAMES and these changed
    /// variables in the order of their names, without those that `names` covers.
    pub fn new<'a>(
        is_reset: bool,
        schema: &[u8],
        names: Option<&[u8]>,
        variables: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let variables: Vec<(Box<[u8]>, Box<[u8]>)> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mut hasher = DefaultHasher::new();
        (is_reset, schema, names, &variables).hash(&mut hasher);
        let fingerprint = hasher.finish();
        Self {
            fingerprint,
            is_reset,
            schema: schema.into(),
            names: names.map(Into::into),
            variables,
        }
    }

    /// The state after a COM_RESET_CONNECTION.
    pub fn after_reset(&self) -> Self {
        Self::new(true, &self.schema, None, [])
    }

    /// The state of a session that has just logged in, on a connection whose schema stays.
    pub fn after_login(&self) -> Self {
        Self::new(false, &self.schema, None, [])
    }

    /// A number that is the same for equal images, and hardly ever for others.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The default schema; empty for none.
    pub fn schema(&self) -> &[u8] {
        &self.schema
    }

    /// Whether it began with the server's defaults, not with those of its login.
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Whether there is a default schema.
    pub fn has_schema(&self) -> bool {
        !self.schema.is_empty()
    }

    /// What brings a connection that is in this state to `wanted`. `initial` is what its server
    /// reported of the state at its login.
    ///
    /// # Errors
    /// [`Unreachable`]: there is no going back to no schema, nor from a reset.
    pub fn switch(&self, wanted: &Self, initial: &[u8]) -> Result<Switch, Unreachable> {
        if self.fingerprint == wanted.fingerprint && self == wanted {
            return Ok(Switch::default());
        }
        if self.is_reset != wanted.is_reset || self.has_schema() && !wanted.has_schema() {
            return Err(Unreachable);
        }
        let schema = (self.schema != wanted.schema).then(|| wanted.schema.clone());
        let mut set = Vec::new();
        self.set_charsets(wanted, initial, &mut set)?;
        let is_charset = |name: &[u8]| CHARSETS.contains(&name);
        let gone = self.variables.iter().filter(|(name, _)| wanted.value(name).is_none());
        let mut has_default = false;
        for (name, _) in gone.filter(|(name, _)| !is_charset(name)) {
            let value = initial_value(name, initial);
            has_default |= value.is_none();
            assign(&mut set, name, value)?;
        }
        let changed = wanted
            .variables
            .iter()
            .filter(|(name, value)| !is_charset(name) && self.value(name) != Some(value));
        for (name, value) in changed {
            assign(&mut set, name, Some(value))?;
        }
        Ok(Switch { schema, set: (!set.is_empty()).then_some(set), has_default })
    }

    /// The character sets are said anew as a whole where any of them differs, for setting one sets
    /// others too.
    fn set_charsets(
        &self,
        wanted: &Self,
        initial: &[u8],
        set: &mut Vec<u8>,
    ) -> Result<(), Unreachable> {
        let same = |name: &&[u8]| self.value(name) == wanted.value(name);
        if self.names == wanted.names && CHARSETS.iter().all(same) {
            return Ok(());
        }
        let is_as_at_login =
            self.names.is_none() && CHARSETS.iter().all(|name| self.value(name).is_none());
        let names = match &wanted.names {
            Some(names) => Some(names.to_vec()),
            None if is_as_at_login => None,
            None => Some(login_names(initial).ok_or(Unreachable)?),
        };
        if let Some(names) = names {
            *set = [b"SET ", &names[..]].concat();
        }
        for name in CHARSETS {
            if let Some(value) = wanted.value(name) {
                assign(set, name, Some(value))?;
            }
        }
        Ok(())
    }

    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.variables.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.variables.get(at).map(|(_, value)| &**value)
    }
}

/// NAMES with the charset and the collation of the login, as the server reported them.
pub fn login_names(initial: &[u8]) -> Option<Vec<u8>> {
    let collation = initial_value(b"collation_connection", initial)?;
    let charset = collation.split(|byte| *byte == b'_').next()?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    (!charset.is_empty() && collation.iter().all(is_plain))
        .then(|| [b"NAMES '", charset, b"' COLLATE '", collation, b"'"].concat())
}

/// Appends an assignment to a SET statement; `None` is the server's default.
fn assign(set: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) -> Result<(), Unreachable> {
    let literal = match value {
        None => b"DEFAULT".to_vec(),
        // One that cannot be written has kept the session from leaving its connection.
        Some(value) => match sync::replay(name, value) {
            Replay::Set | Replay::SetOnPrimary => sync::literal(name, value).ok_or(Unreachable)?,
            Replay::Ignore | Replay::Hold => return Err(Unreachable),
        },
    };
    set.extend_from_slice(if set.is_empty() { b"SET SESSION " } else { b", SESSION " });
    set.extend_from_slice(name);
    set.push(b'=');
    set.extend_from_slice(&literal);
    Ok(())
}

#[cfg(test)]
mod tests;
