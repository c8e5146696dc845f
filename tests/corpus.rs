//! Statements that frameworks and tools send, and those of the grammar's corners, each with the
//! target and reason that a person gave it: `tests/corpus/README.md` says how the files read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashMap;

use lagwise::route::{Policy, Reason, SessionFacts, decide};
use lagwise::sql::{ClientCharset, LexMode, classify};

use support::corpus::{Entry, MYSQL, corpus, parse};

/// Statements of frameworks and tools that there are at least, those of the grammar not counted.
const AT_LEAST: usize = 1000;

/// The file that no tool sent.
const GRAMMAR: &str = "grammar.txt";

/// What a fresh session does with a statement, as labels say it.
fn route(sql: &[u8], mode: &LexMode) -> String {
    let route = decide(&classify(sql, mode), &SessionFacts::default(), &Policy::default());
    format!("{} {}", route.target.as_str(), route.reason)
}

/// Checks every label of the entries; returns what is wrong.
fn check(entries: &[Entry]) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in entries {
        for label in &entry.labels {
            let (_, reason) = label.expected.split_once(' ').unwrap();
            assert!(Reason::NAMES.contains(&reason), "{}: no reason {reason}", entry.place);
            for mode in &label.modes {
                let found = route(&entry.sql, mode);
                if found != label.expected {
                    let text = String::from_utf8_lossy(&entry.sql);
                    let (place, expected) = (&entry.place, &label.expected);
                    wrong.push(format!("{place}: {found}, not {expected}: {mode:?}\n{text}\n"));
                }
            }
        }
    }
    wrong
}

#[test]
fn every_statement_goes_where_its_label_says() {
    let corpus = corpus();
    assert!(corpus.len() >= 15, "saw {} files only", corpus.len());
    let wrong: Vec<String> = corpus.iter().flat_map(|(_, _, entries)| check(entries)).collect();
    assert!(wrong.is_empty(), "{} labels do not hold\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_is_large_and_says_nothing_twice() {
    let mut places: HashMap<Vec<u8>, String> = HashMap::new();
    let mut of_tools = 0;
    for (name, introduction, entries) in corpus() {
        let says_how = ["captured", "written"].iter().any(|word| introduction.contains(word));
        assert!(says_how, "{name} does not say how its statements were come by");
        assert!(entries.len() >= 10, "{name} holds {} statements only", entries.len());
        if name != GRAMMAR {
            of_tools += entries.len();
        }
        for entry in entries {
            assert!(!entry.sql.trim_ascii().is_empty() || name == GRAMMAR, "{}", entry.place);
            if let Some(other) = places.insert(entry.sql, entry.place.clone()) {
                panic!("{} and {other} are the same statement", entry.place);
            }
        }
    }
    println!("{of_tools} statements of tools, {} in all", places.len());
    assert!(of_tools >= AT_LEAST, "{of_tools} statements of frameworks and tools only");
}

#[test]
fn a_comment_before_and_white_space_around_change_nothing() {
    let mut count = 0;
    for (_, _, entries) in corpus() {
        for entry in entries {
            for mode in entry.labels.iter().flat_map(|label| &label.modes) {
                let plain = route(&entry.sql, mode);
                let around = [b"/* app:web */\n\t " as &[u8], &entry.sql, b" \n"].concat();
                assert_eq!(route(&around, mode), plain, "{}", entry.place);
                count += 1;
            }
        }
    }
    assert!(count > AT_LEAST);
}

#[test]
fn the_files_are_read_as_their_readme_says() {
    let text = "# A tool, captured.\n== replica read mysql\n== primary unknown_function mariadb\n\
                SELECT a,\n\n  b\n== primary write escaped charset=gbk\nDELETE \\x41\\\\\n";
    let (introduction, entries) = parse("x.txt", text);
    assert_eq!(introduction, "A tool, captured.\n");
    assert_eq!(entries[0].sql, b"SELECT a,\n\n  b");
    assert_eq!(entries[1].sql, b"DELETE A\\");
    let labels: Vec<_> = entries[0].labels.iter().map(|label| &label.expected[..]).collect();
    assert_eq!(labels, ["replica read", "primary unknown_function"]);
    assert_eq!(entries[0].labels[0].modes, [MYSQL]);
    assert_eq!(entries[1].labels[0].modes[1].charset, ClientCharset::Gbk);
    assert_eq!(check(&entries).len(), 1, "the second label is wrong");
}
