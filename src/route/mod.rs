//! Where a statement runs, and why: pure decisions.
//!
//! [`decide`] sees a classified statement, plain copies of what the session knows, and the policy.
//! Nothing here knows a connection, a clock or a lock, so that every decision can be tested as a row
//! of a table and explained with its [`Reason`]. [`Rules`] finds what the operator settled for it.
//!
//! Deliberately absent: the choice among replicas, which is the cluster's (`cluster::view`).

mod decide;
mod facts;
mod reason;
mod rules;

#[cfg(test)]
mod tests;

pub use decide::{Route, Target, decide};
pub use facts::{
    HoldReason, Kept, PinCause, Policy, RuleSays, SessionFacts, Side, Transaction, is_server_schema,
};
pub use reason::Reason;
pub use rules::{Rule, Rules, UserRules};
