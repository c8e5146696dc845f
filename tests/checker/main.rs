//! The consistency checker: concurrent sessions write and read objects whose values only grow, while
//! replicas lag, stop and restart at random, and every read is held against what it must show: its
//! session's own writes, what the session read before, and in wider scopes what others wrote.
//!
//! In the ordinary test run each mode has a few seconds. Longer runs are made by `scripts/consistency.sh`,
//! or by these variables: `LAGWISE_CHECK_SECONDS` or `LAGWISE_CHECK_READS` (of all modes together, for each
//! make), `LAGWISE_CHECK_MODE` (one of them, or `shares`), `LAGWISE_CHECK_SEED` (the seed fixes what the sessions do, not
//! how they interleave).
//!
//! In reading order: [`modes`] (what is promised), [`model`] (what a read must show), [`lab`] (where it runs),
//! [`statements`] (how is read and written), [`session`] with [`reads`] and [`writes`], [`disturb`], [`tally`]
//! (what was found), [`run`], [`shares`] (how many reads replicas serve).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disturb;
mod lab;
mod model;
mod modes;
#[path = "../raw/mod.rs"]
mod raw;
mod reads;
mod run;
mod session;
mod shares;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod writes;

use support::Make;

#[test]
fn reads_show_what_they_must_on_mysql() {
    run::run(Make::MySql);
}

#[test]
fn reads_show_what_they_must_on_mariadb() {
    run::run(Make::MariaDb);
}
