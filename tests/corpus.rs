//! Statements that frameworks and tools send, and those of the grammar's corners, each with the
//! target and reason that a person gave it: `tests/corpus/README.md` says how the files read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::Path;

use lagwise::route::{Policy, Reason, SessionFacts, decide};
use lagwise::sql::{ClientCharset, LexMode, Make, classify};

/// The servers that a statement without a make of its own is judged for.
const MYSQL: LexMode = LexMode {
    ansi_quotes: false,
    no_backslash_escapes: false,
    ignore_space: false,
    make: Make::MySql,
    server_version: 90704,
    charset: ClientCharset::Utf8,
};
const MARIADB: LexMode = LexMode { make: Make::MariaDb, server_version: 101119, ..MYSQL };

/// Statements of frameworks and tools that there are at least, those of the grammar not counted.
const AT_LEAST: usize = 1000;

/// The file that no tool sent.
const GRAMMAR: &str = "grammar.txt";

/// One statement and everything that is expected of it.
struct Entry {
    /// `file:line` of its first label.
    place: String,
    labels: Vec<Label>,
    sql: Vec<u8>,
}

/// `target reason`, and the sessions for which it holds.
struct Label {
    expected: String,
    modes: Vec<LexMode>,
}

/// The files by name, each with its introduction and its entries.
fn corpus() -> Vec<(String, String, Vec<Entry>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut names: Vec<String> = std::fs::read_dir(folder.clone())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    names.sort();
    let files = names.into_iter().map(|name| {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        let (introduction, entries) = parse(&name, &text);
        (name, introduction, entries)
    });
    files.collect()
}

fn parse(name: &str, text: &str) -> (String, Vec<Entry>) {
    let mut introduction = String::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut in_labels = false;
    let mut is_escaped = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(label) = line.strip_prefix("== ") {
            let place = format!("{name}:{}", index + 1);
            let (label, escaped) = parse_label(&place, label);
            if in_labels {
                assert_eq!(is_escaped, escaped, "{place}: one text is escaped or it is not");
                entries.last_mut().unwrap().labels.push(label);
            } else {
                entries.push(Entry { place, labels: vec![label], sql: Vec::new() });
            }
            (in_labels, is_escaped) = (true, escaped);
        } else if let Some(entry) = entries.last_mut() {
            if !in_labels {
                entry.sql.push(b'\n');
            }
            in_labels = false;
            let bytes = if is_escaped { unescape(line) } else { line.as_bytes().to_vec() };
            entry.sql.extend(bytes);
        } else {
            introduction.push_str(line.strip_prefix("# ").unwrap_or_default());
            introduction.push('\n');
        }
    }
    assert!(!in_labels, "{name} ends with a label");
    (introduction, entries)
}

/// `target reason option…`
fn parse_label(place: &str, text: &str) -> (Label, bool) {
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{place}: == target reason"));
    let expected = format!("{} {}", word(), word());
    let mut escaped = false;
    let mut modes = vec![MYSQL, MARIADB];
    for option in words {
        match option.split_once('=').unwrap_or((option, "")) {
            ("mysql", "") => modes.retain(|mode| mode.make == Make::MySql),
            ("mariadb", "") => modes.retain(|mode| mode.make == Make::MariaDb),
            ("escaped", "") => escaped = true,
            ("ansi_quotes", "") => modes.iter_mut().for_each(|mode| mode.ansi_quotes = true),
            ("no_backslash_escapes", "") => {
                modes.iter_mut().for_each(|mode| mode.no_backslash_escapes = true);
            }
            ("ignore_space", "") => modes.iter_mut().for_each(|mode| mode.ignore_space = true),
            ("charset", name) => {
                let charset = ClientCharset::from_name(name.as_bytes());
                modes.iter_mut().for_each(|mode| mode.charset = charset);
            }
            ("version", number) => {
                let number = number.parse().unwrap_or_else(|_| panic!("{place}: {option}"));
                modes.iter_mut().for_each(|mode| mode.server_version = number);
            }
            _ => panic!("{place}: no option {option}"),
        }
    }
    assert!(!modes.is_empty(), "{place}: holds for no server");
    (Label { expected, modes }, escaped)
}

/// `\xNN` is a byte and `\\` a backslash.
fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        rest = match escape.split_at(1) {
            ("\\", after) => {
                bytes.push(b'\\');
                after
            }
            ("x", after) => {
                bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
                &after[2..]
            }
            _ => panic!("not an escape: {line}"),
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

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
