//! Where a statement runs, and on which of the servers that could: pure decisions.
//!
//! [`decide`] sees a classified statement, plain copies of what the session knows, and the policy;
//! [`choose_two`] and [`less_loaded`] see candidates that the cluster has already judged. Nothing here
//! knows a connection, a clock or a lock, so that every decision can be tested as a row of a table
//! and explained with its [`Reason`].

mod choose;
mod decide;
mod facts;
mod reason;

#[cfg(test)]
mod tests;

pub use choose::{Candidate, choose_two, less_loaded};
pub use decide::{Route, Target, decide, may_write};
pub use facts::{HoldReason, PinCause, Policy, SessionFacts, Side, Transaction};
pub use reason::Reason;
