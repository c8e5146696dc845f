//! What was written lately, to which tables, and by whom: for reads that must see the writes of others.
//!
//! In reading order:
//! - [`group`]: who must see whose writes.
//! - [`tables`]: the tables that a statement writes or reads, as far as they are told apart.
//! - [`catalogue`]: what else changes with a table: views, triggers, foreign keys, routines.
//! - [`stamps`]: when each table was last written, for each group. Bounded, and without a lock.
//! - [`writes`]: all of it together.
//!
//! A read then asks a replica for one thing: to have everything that the primary had acknowledged until
//! the last write that matters ([`crate::cluster::Floor`]). Pure but for the clock that is passed in.

pub mod catalogue;
pub mod group;
pub mod stamps;
pub mod tables;
pub mod writes;

pub use catalogue::{Catalogue, Definition};
pub use group::Group;
pub use tables::{TableKey, Tables, may_change_definitions, says_any};
pub use writes::Writes;
