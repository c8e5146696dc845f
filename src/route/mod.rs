//! Where a statement runs, and why: pure decisions.
//!
//! [`decide`] sees a classified statement, plain copies of what the session knows, and the policy.
//! Nothing here knows a connection, a clock or a lock, so that every decision can be tested as a row
//! of a table and explained with its [`Reason`].
//!
//! Deliberately absent: the choice among replicas, which is the cluster's (`cluster::view`).

mod decide;
mod facts;
mod reason;

#[cfg(test)]
mod tests;

pub use decide::{Route, Target, decide};
pub use facts::{HoldReason, PinCause, Policy, SessionFacts, Side, Transaction};
pub use reason::Reason;
