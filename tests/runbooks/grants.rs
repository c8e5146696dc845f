//! The accounts and grants that the documents show, at a server of each make.

use super::support::{Lab, Make};

const DOCUMENTS: [&str; 2] =
    [include_str!("../../README.md"), include_str!("../../docs/consistency.md")];

/// The statements of all `sql` blocks that are for this make: where another one is named behind a
/// statement, it is not.
fn statements(make: Make) -> Vec<&'static str> {
    let other = match make {
        Make::MySql => "MariaDB",
        Make::MariaDb => "MySQL",
    };
    let blocks = DOCUMENTS.iter().flat_map(|text| text.split("```sql\n").skip(1));
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap().lines());
    lines
        .filter(|line| !line.starts_with("--"))
        .filter(|line| !line.split_once("--").is_some_and(|(_, comment)| comment.contains(other)))
        .collect()
}

fn are_accepted(make: Make) {
    let lab = Lab::start(make, 0);
    lab.sql(0, "DROP USER IF EXISTS 'monitor'@'%'");
    let all = statements(make);
    assert!(all.len() >= 5 && all[0].starts_with("CREATE USER"), "{all:?}");
    for statement in all {
        lab.sql(0, statement);
    }
}

#[test]
fn grants_are_accepted_by_mysql() {
    are_accepted(Make::MySql);
}

#[test]
fn grants_are_accepted_by_mariadb() {
    are_accepted(Make::MariaDb);
}
