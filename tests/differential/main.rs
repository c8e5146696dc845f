//! The differential test: random session scripts, each on a direct connection and through lagwise
//! against equal data, compared packet by packet.
//!
//! Seeds are fixed, so that a run can be repeated:
//! `LAGWISE_DIFF_SEED=17 LAGWISE_DIFF_COUNT=1 cargo test --test differential` runs one script,
//! `LAGWISE_DIFF_SECONDS=3600` ever new ones for so long, and `LAGWISE_DIFF_SCRIPT=FILE` the scripts
//! of a file. A failure prints the seed, and the script made as short as it still fails, in the
//! form of `regressions.txt`, where it is added once its cause is mended.
//!
//! In reading order: [`script`] (what a script is), [`text`] (how it is written), [`generate`] with
//! [`grammar`], [`rules`], [`prepared`] and [`named`] (how it is made), [`ground`] (where it runs), [`run`],
//! [`shrink`], [`known`] (what is left out), [`batch`] (many of them).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch;
mod generate;
mod grammar;
mod ground;
mod known;
mod named;
mod prepared;
mod rules;
mod run;
mod script;
mod shrink;
#[path = "../support/mod.rs"]
mod support;
mod text;

use std::collections::BTreeSet;

use script::{Action, Names};
use support::Make;

#[test]
fn scripts_on_mysql() {
    batch::run(Make::MySql);
}

#[test]
fn scripts_on_mariadb() {
    batch::run(Make::MariaDb);
}

#[test]
fn scripts_are_read_as_they_are_written() {
    for make in Make::ALL {
        for seed in 0..300 {
            let script = generate::script(seed, make);
            let text = script.to_string();
            assert_eq!(text::parse(&text).as_ref(), Ok(&script), "{text}");
            assert_eq!(generate::script(seed, make), script, "a seed is one script");
        }
    }
}

#[test]
fn no_two_xa_transactions_have_one_name() {
    let mut begun = 0;
    for make in Make::ALL {
        for seed in 0..2000 {
            let script = generate::script(seed, make);
            let mut names = Names { schema: "s", other: "o", run: "r", xa: 0 };
            let mut seen = BTreeSet::new();
            for action in &script.actions {
                names.advance(action);
                if let Action::Query(sql) | Action::Prepare { sql, .. } = action
                    && action.begins_xa()
                {
                    let name = names.fill(&sql["XA START ".len()..]);
                    assert!(seen.insert(name), "used again:\n{script}");
                    begun += 1;
                }
            }
        }
    }
    assert!(begun > 100, "{begun} XA transactions");
}
