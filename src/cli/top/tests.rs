//! The screen of `lagwise top`, drawn to memory from the answers that `docs/http.md` shows.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde::de::DeserializeOwned;

use super::*;

const DOCUMENT: &str = include_str!("../../../docs/http.md");

fn documented<T: DeserializeOwned>(path: &str) -> T {
    let section = DOCUMENT.split(&format!("\n## GET {path}\n")).nth(1).unwrap();
    let json = section.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    serde_json::from_str(json).unwrap()
}

fn answers() -> Answers {
    Answers {
        status: Some(documented("/status")),
        history: documented("/history"),
        queries: documented("/queries"),
    }
}

/// The answers with so many replicas; each third is down.
fn with_replicas(count: usize) -> Answers {
    let mut answers = answers();
    let server: ServerState = documented::<Vec<ServerState>>("/servers").remove(0);
    let servers = &mut answers.status.as_mut().unwrap().servers;
    servers.extend((0..count).map(|index| ServerState {
        name: format!("10.0.0.{}:3306", index + 2),
        health: if index % 3 == 2 { "down" } else { "up" }.into(),
        eligible: index % 3 != 2,
        ..server.clone()
    }));
    answers
}

fn drawn(screen: &mut Screen, width: u16, height: u16, now: Instant) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame, now)).unwrap();
    // The backend cannot say what is on no lines.
    if width == 0 { String::new() } else { terminal.backend().to_string() }
}

fn screen(answers: Answers) -> Screen {
    let mut screen = Screen::default();
    screen.take(Ok(answers), Instant::now());
    screen
}

fn has(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
}

#[test]
fn all_of_it() {
    let text = drawn(&mut screen(with_replicas(2)), 120, 24, Instant::now());
    let words = ["lagwise 0.1.0  ready  up 1d 0h  sessions 12  pinned 2", "q: quit"];
    has(&text, &words);
    has(
        &text,
        &[
            "reads on replicas          204/s  \u{2588}",
            "on the primary            25.5/s  \u{2588}",
        ],
    );
    has(
        &text,
        &["p50/p99: replica 0.30 ms/1.70 ms, primary 0.40 ms/2.80 ms, lagwise 0.01 ms/0.06 ms"],
    );
    has(&text, &["waiting: for a connection 0", "connections held by: statement 3"]);
    has(&text, &["10.0.0.1:3306", "10.0.0.2:3306", "primary", "3.00 ms", "server ", "running"]);
    has(&text, &["100 %", "51 k", "SELECT * FROM `orders` WHERE `id` = ?"]);
}

#[test]
fn it_says_when_nobody_answers_and_goes_on() {
    let start = Instant::now();
    let mut screen = Screen::default();
    has(&drawn(&mut screen, 80, 24, start), &["lagwise", "q: quit"]);
    screen.take(Err("no lagwise answers at 127.0.0.1:9104".to_owned()), start);
    let later = start + Duration::from_secs(65);
    screen.take(Err("no lagwise answers at 127.0.0.1:9104".to_owned()), later);
    has(&drawn(&mut screen, 80, 24, later), &["no answer for 1m 5s", "answers at 127.0.0.1:9104"]);
    screen.take(Ok(answers()), later);
    let text = drawn(&mut screen, 80, 24, later);
    assert!(!text.contains("no answer"), "{text}");
    // What was known stays in sight.
    screen.take(Err("gone".to_owned()), later);
    has(&drawn(&mut screen, 80, 24, later), &["no answer", "gone", "10.0.0.1:3306", "orders"]);
}

#[test]
fn not_ready_says_why() {
    let mut answers = answers();
    let status = answers.status.as_mut().unwrap();
    (status.ready, status.reason) = (false, Some("no primary".to_owned()));
    has(&drawn(&mut screen(answers), 80, 24, Instant::now()), &["NOT READY: no primary"]);
}

#[test]
fn samples_are_bounded_and_of_one_process() {
    let mut screen = Screen::default();
    for _ in 0..MAX_SAMPLES + 5 {
        screen.take(Ok(answers()), Instant::now());
    }
    assert_eq!(screen.samples.len(), MAX_SAMPLES);
    let mut other = answers();
    other.history.started_ms += 1;
    screen.take(Ok(other), Instant::now());
    assert_eq!(screen.samples.len(), 1);
}

#[test]
fn any_size_and_many_servers() {
    let mut screen = screen(with_replicas(60));
    for (width, height) in [(0, 0), (1, 1), (20, 5), (40, 12), (80, 24), (300, 100)] {
        drawn(&mut screen, width, height, Instant::now());
    }
    let text = drawn(&mut screen, 80, 24, Instant::now());
    // Ten of the 61 fit into the half, and those that are down are among them.
    has(&text, &["server 1-10 of 61", "10.0.0.4:3306", "down", "orders"]);
    assert!(!text.contains("10.0.0.2:3306"), "{text}");
    assert!(!text.contains("connections  running"), "{text}");
    let text = drawn(&mut screen, 120, 200, Instant::now());
    has(&text, &["10.0.0.61:3306", "connections running"]);
}

#[test]
fn what_does_not_fit_is_scrolled_to() {
    let mut all = with_replicas(60);
    let query = all.queries.queries.remove(0);
    let named = |index| Query { text: format!("SELECT {index} FROM t"), ..query.clone() };
    all.queries.queries = (1..=50).map(named).collect();
    let mut screen = screen(all);
    let text = drawn(&mut screen, 80, 24, Instant::now());
    has(&text, &["statement 1-3 of 50", "SELECT 3 FROM", "server 1-10 of 61"]);
    screen.go(Move::Down);
    let text = drawn(&mut screen, 80, 24, Instant::now());
    has(&text, &["statement 2-4 of 50", "SELECT 4 FROM", "server 1-10 of 61"]);
    screen.go(Move::End);
    has(&drawn(&mut screen, 80, 24, Instant::now()), &["48-50 of 50", "SELECT 50 FROM"]);
    screen.choose_other();
    screen.go(Move::End);
    let text = drawn(&mut screen, 80, 24, Instant::now());
    has(&text, &["server 52-61 of 61", "10.0.0.60:3306", "48-50 of 50"]);
    // The place is kept when there is news, and given up when there is room for all.
    screen.take(Ok(with_replicas(30)), Instant::now());
    has(&drawn(&mut screen, 80, 24, Instant::now()), &["server 22-31 of 31", "orders"]);
    let text = drawn(&mut screen, 80, 100, Instant::now());
    has(&text, &["server ", "10.0.0.2:3306", "10.0.0.31:3306"]);
}

#[test]
fn escape_sequences_in_names_and_statements_are_not_drawn() {
    let mut answers = answers();
    answers.status.as_mut().unwrap().servers[0].name = "db\x1b[2J\x07-1".to_owned();
    answers.queries.queries[0].text = "SELECT\x1b]0;x\x07 1".to_owned();
    let text = drawn(&mut screen(answers), 120, 24, Instant::now());
    assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text:?}");
    has(&text, &["db[2J-1", "SELECT]0;x 1"]);
}

#[test]
fn bars() {
    let check = |values: &[Option<f64>], width, want: &str| {
        assert_eq!(spark(values.iter().copied(), width), want, "{values:?}");
    };
    check(&[], 5, "");
    check(&[Some(0.0), Some(0.0)], 5, "\u{2581}\u{2581}");
    check(&[Some(0.0), None, Some(7.0)], 5, "\u{2581} \u{2588}");
    check(&[Some(9.0), Some(1.0), Some(2.0)], 2, "\u{2585}\u{2588}");
    check(&[Some(1.0)], 0, "");
}

#[test]
fn numbers() {
    for (value, want) in
        [(0.0, "0"), (9.96, "10"), (9999.0, "9999"), (51200.0, "51 k"), (2.5e6, "2.5 M")]
    {
        assert_eq!(short(value), want);
    }
    for (value, want) in [(0.351, "0.35 ms"), (12.4, "12 ms"), (1500.0, "1.5 s")] {
        assert_eq!(milliseconds(value), want);
    }
}
