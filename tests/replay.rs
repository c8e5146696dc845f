//! What WordPress, Django and others were seen to send, from their connecting on, gets the same
//! packets through lagwise as from a direct connection, on both makes, and its reads are served by
//! the replica.
//!
//! The statements are those of `tests/corpus`, in their order. One of each shape is kept there, so
//! that statements fail that did not fail when they were captured; their errors must be the same.
//! Transactions, of which the ends are missing, are left out, and so is what differs from one moment to
//! the next.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::corpus::{Entry, corpus};
use support::wire::compare::Transcript;
use support::wire::{Options, Step, caps, differences, play};
use support::{Lab, Make, Proxy};

/// Files of the corpus, and the capabilities with which their tool connects.
const TOOLS: &[(&str, u64)] = &[
    ("wordpress.txt", 0),
    ("django.txt", caps::FOUND_ROWS),
    ("rails.txt", caps::FOUND_ROWS),
    ("doctrine.txt", 0),
    ("sqlalchemy.txt", caps::FOUND_ROWS),
    ("mediawiki.txt", 0),
];

/// Reasons of what is not replayed: it needs its other half, harms the servers, or names a moment.
const LEFT_OUT: &[&str] = &[
    "transaction_start",
    "transaction_end",
    "account",
    "admin",
    "kill",
    "xa",
    "session_function",
    // The order of rows is left to chance, and the plans change.
    "server_schema",
];

/// What the answer names a moment for, or an order that is left to chance.
const OF_A_MOMENT: &[&str] = &[
    "AUTOCOMMIT",
    "TABLE STATUS",
    "PROCESSLIST",
    "MASTER",
    "SLAVE",
    "BINLOG",
    "RAND(",
    "NOW(",
    "SYSDATE",
    "UTC_TIMESTAMP",
    "CURRENT_TIME",
    "UUID(",
    "EXPLAIN ANALYZE",
    "ANALYZE FORMAT",
];

fn is_replayed(entry: &Entry) -> bool {
    let reason = |label: &str| LEFT_OUT.iter().any(|reason| label.ends_with(reason));
    let sql = String::from_utf8_lossy(&entry.sql).to_uppercase();
    !entry.labels.iter().any(|label| reason(&label.expected))
        && !OF_A_MOMENT.iter().any(|words| sql.contains(words))
}

/// Plays a tool's statements in an empty schema; then, when the replica has what they wrote, its reads
/// in a session of their own.
fn replay(lab: &Lab, port: u16, capabilities: u64, script: &[Step], reads: &[Step]) -> Transcript {
    lab.sql(0, "DROP DATABASE IF EXISTS replay; CREATE DATABASE replay");
    lab.wait_caught_up();
    let mut options = Options::new(capabilities).account("admin");
    options.schema = Some("replay".to_owned());
    let login = || options.login(port).unwrap_or_else(|packet| panic!("login: {packet:?}"));
    let mut transcript = play(&mut login(), script);
    lab.wait_caught_up();
    transcript.extend(play(&mut login(), reads));
    transcript
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    let mut corpus = corpus();
    let mut wrong = Vec::new();
    for &(file, capabilities) in TOOLS {
        // A connection of MySQL 9.7 that was reset has foreign keys checked by InnoDB instead of the SQL
        // layer: a row that is refused then takes an AUTO_INCREMENT value. (So it is without lagwise,
        // with COM_RESET_CONNECTION and COM_CHANGE_USER.) No tool gets another's connections here.
        let proxy = Proxy::start(&lab, "");
        proxy.wait_probed();
        let (_, _, entries) = corpus.iter_mut().find(|(name, _, _)| name == file).unwrap();
        entries.retain(is_replayed);
        let query = |entry: &Entry| Step::query(&entry.sql[..]);
        let script: Vec<Step> = entries.iter().map(query).collect();
        let is_read = |entry: &&Entry| entry.labels.iter().all(|it| it.expected == "replica read");
        let reads: Vec<Step> = entries.iter().filter(is_read).map(query).collect();
        assert!(script.len() > 50, "{file}: {} statements only", script.len());
        let direct = replay(&lab, lab.port(0), capabilities, &script, &reads);
        assert_eq!(
            direct.len(),
            script.len() + reads.len(),
            "{file}: direct broke at {:?}",
            direct.last()
        );
        let before = lab.status(1, "Com_select");
        let proxied = replay(&lab, proxy.port(), capabilities, &script, &reads);
        let by_replica = lab.status(1, "Com_select") - before;
        let failed = |answers: &[support::wire::Answer]| answers[0].error().is_some();
        let errors = direct.iter().filter(|(_, answers)| failed(answers)).count();
        println!(
            "{make} {file}: {} statements, {errors} errors, {by_replica} by the replica",
            script.len()
        );
        assert!(by_replica as usize > reads.len() / 2, "{file}: {by_replica} reads by the replica");
        wrong.extend(differences(&direct, &proxied).iter().map(|text| format!("{file}: {text}")));
    }
    assert!(wrong.is_empty(), "{make}: {} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn captured_sessions_on_mysql() {
    run(Make::MySql);
}

#[test]
fn captured_sessions_on_mariadb() {
    run(Make::MariaDb);
}
