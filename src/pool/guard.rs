//! Holding a connection.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Error, Pool};
use crate::backend::Connection;

/// A place in a pool's count, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Pool>);

impl Slot {
    pub(super) fn take(pool: &Arc<Pool>) -> Result<Self, Error> {
        pool.take_slot()?;
        Ok(Self(Arc::clone(pool)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.give_slot();
    }
}

/// A connection that is held; dropping it closes the connection and settles the pool's account.
#[derive(Debug)]
pub struct Guard {
    connection: Connection,
    _slot: Slot,
}

impl Guard {
    pub(super) fn new(connection: Connection, slot: Slot) -> Self {
        Self { connection, _slot: slot }
    }
}

impl Deref for Guard {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
