//! What `lagwise top` knows and how that looks; no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use lagwise::admin::status::Status;
use lagwise::admin::{HistoryAnswer, Queries, Query, Sample, ServerState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::symbols::bar::NINE_LEVELS;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::super::status::{uptime, work};
use super::scroll::{Move, Scroll};

/// Samples that are kept: what `/history` has at most.
const MAX_SAMPLES: usize = 300;

/// Below this many columns of the terminal, tables have their first columns only.
const WIDE: u16 = 90;

/// What lagwise has answered at one time.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) status: Option<Status>,
    pub(super) history: HistoryAnswer,
    pub(super) queries: Queries,
}

/// The two lists, of which one is scrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum List {
    Servers,
    #[default]
    Queries,
}

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Screen {
    status: Option<Status>,
    started_ms: u64,
    samples: VecDeque<Sample>,
    queries: Vec<Query>,
    /// Why there is nothing newer, and since when.
    problem: Option<(String, Instant)>,
    /// Which list keys move in, and the place in each.
    chosen: List,
    servers_at: Scroll,
    queries_at: Scroll,
}

impl Screen {
    /// Takes in what lagwise has answered, or why it has not.
    pub(super) fn take(&mut self, answers: Result<Answers, String>, now: Instant) {
        let answers = match answers {
            Ok(answers) => answers,
            Err(problem) => {
                let since = self.problem.as_ref().map_or(now, |(_, since)| *since);
                self.problem = Some((problem, since));
                return;
            }
        };
        self.problem = None;
        if self.started_ms != answers.history.started_ms {
            // Another process: what the one before has counted is not this one's.
            self.started_ms = answers.history.started_ms;
            self.samples.clear();
        }
        self.status = answers.status;
        self.queries = answers.queries.queries;
        let samples = answers.history.samples.into_iter().map(|numbered| numbered.item);
        self.samples.extend(samples);
        let old = self.samples.len().saturating_sub(MAX_SAMPLES);
        self.samples.drain(..old);
    }

    /// Keys move in the other list from now on.
    pub(super) fn choose_other(&mut self) {
        self.chosen = match self.chosen {
            List::Servers => List::Queries,
            List::Queries => List::Servers,
        };
    }

    /// Moves in the chosen list.
    pub(super) fn go(&mut self, to: Move) {
        match self.chosen {
            List::Servers => self.servers_at.go(to),
            List::Queries => self.queries_at.go(to),
        }
    }

    /// Draws it all.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, now: Instant) {
        let count = self.status.as_ref().map_or(0, |status| status.servers.len());
        let half = frame.area().height / 2;
        let [head, problem, traffic, servers, queries] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(if self.problem.is_some() { 2 } else { 0 }),
            Constraint::Length(if self.status.is_some() { 7 } else { 0 }),
            Constraint::Length(u16::try_from(count + 2).unwrap_or(u16::MAX).min(half)),
            Constraint::Fill(1),
        ])
        .areas(frame.area());
        // Of the servers a line of heads and an empty one are no room, of the statements one of heads.
        self.servers_at.fit(count, usize::from(servers.height.saturating_sub(2)));
        self.queries_at.fit(self.queries.len(), usize::from(queries.height.saturating_sub(1)));
        frame.render_widget(self.head(), head);
        frame.render_widget(self.problem(now), problem);
        if let Some(status) = &self.status {
            frame.render_widget(Paragraph::new(self.traffic(status, traffic.width)), traffic);
            frame.render_widget(self.servers(status, servers), servers);
            frame.render_widget(self.queries(), queries);
        }
    }

    fn head(&self) -> Line<'_> {
        let quit = Span::from("   q: quit, arrows: scroll, Tab: other list").dim();
        let Some(status) = &self.status else { return vec!["lagwise".bold(), quit].into() };
        let ready = match (&self.problem, &status.reason) {
            (Some(_), _) => "no answer".red().bold(),
            (None, Some(reason)) => format!("NOT READY: {reason}").red().bold(),
            (None, None) if status.ready => "ready".green().bold(),
            (None, None) => "NOT READY".red().bold(),
        };
        let pinned = self.samples.back().map_or(0, |sample| sample.pinned);
        let (up, sessions) = (uptime(status.uptime_seconds), status.sessions);
        vec![
            format!("lagwise {}  ", status.version).bold(),
            ready,
            format!("  up {up}  sessions {sessions}  pinned {pinned}").into(),
            quit,
        ]
        .into()
    }

    fn problem(&self, now: Instant) -> Paragraph<'_> {
        let Some((why, since)) = &self.problem else { return Paragraph::default() };
        let seconds = now.saturating_duration_since(*since).as_secs();
        let what = format!("no answer for {}, asked again every 2 s:", uptime(seconds));
        Paragraph::new(vec![Line::from(what).red().bold(), Line::from(why.as_str()).red()])
    }

    /// What goes through it, and what waits.
    fn traffic(&self, status: &Status, width: u16) -> Vec<Line<'_>> {
        let last = self.samples.back().cloned().unwrap_or_default();
        let rates = last.statements_per_second;
        let room = usize::from(width).saturating_sub(34);
        let rate = |name: &str, now: f64, of: fn(&Sample) -> f64, color: Color| {
            let values = self.samples.iter().map(|sample| Some(of(sample)));
            Line::from(vec![
                Span::from(format!("{name:20}{:>10}/s  ", short(now))),
                Span::styled(spark(values, room), Style::new().fg(color)),
            ])
        };
        let times = [
            ("replica", last.latency_ms.replica),
            ("primary", last.latency_ms.primary),
            ("lagwise", last.latency_ms.lagwise),
        ];
        let times = times.map(|(name, time)| match time {
            Some(time) => format!("{name} {}/{}", milliseconds(time.p50), milliseconds(time.p99)),
            None => format!("{name} -"),
        });
        let waiting = last.waiting;
        let mut held = BTreeMap::new();
        for (why, count) in status.servers.iter().flat_map(|server| &server.used_by) {
            *held.entry(why.as_ref()).or_insert(0) += count;
        }
        let held: Vec<_> = held.iter().map(|(why, count)| format!("{why} {count}")).collect();
        let held = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
        vec![
            rate(
                "reads on replicas",
                rates.replica,
                |it| it.statements_per_second.replica,
                Color::Green,
            ),
            rate(
                "on the primary",
                rates.primary,
                |it| it.statements_per_second.primary,
                Color::Blue,
            ),
            rate("refused", rates.none, |it| it.statements_per_second.none, Color::Red),
            format!("p50/p99: {}", times.join(", ")).into(),
            format!(
                "waiting: for a connection {}, for replication {}, for a primary {}",
                waiting.connection, waiting.replica, waiting.primary
            )
            .into(),
            format!("connections held by: {held}").into(),
            Line::default(),
        ]
    }

    /// The head of a list; that of the one that keys move in stands out, if it has more than is in sight.
    fn table_head<'a>(&self, cells: Row<'a>, list: List, at: &Scroll) -> Row<'a> {
        let is_moved = self.chosen == list && at.has_more();
        if is_moved { cells.bold().reversed() } else { cells.bold() }
    }

    /// As many servers as there is room for; those that get no work first if that is not enough.
    fn servers(&self, status: &Status, area: Rect) -> Table<'_> {
        let mut servers: Vec<_> = status.servers.iter().collect();
        if self.servers_at.has_more() {
            servers.sort_by_key(|server| server.eligible && !server.drained);
        }
        let is_wide = area.width >= WIDE;
        let name = self.servers_at.title("server");
        let widths: &[Constraint] = &[
            Constraint::Fill(3),
            Constraint::Length(7),
            Constraint::Length(8),
            Constraint::Length(9),
            Constraint::Fill(2),
            Constraint::Length(20),
            Constraint::Length(11),
            Constraint::Length(7),
        ];
        let head =
            [&name, "role", "health", "lag", "lag, 10 min", "work", "connections", "running"];
        let columns = if is_wide { widths.len() } else { 5 };
        let sparks = usize::from(area.width) / 4;
        let rows = self
            .servers_at
            .lines(servers.into_iter())
            .map(|server| Row::new(self.server(server, sparks).into_iter().take(columns)));
        let head = Row::new(head.into_iter().take(columns).map(|it| Cell::from(it.to_owned())));
        let head = self.table_head(head, List::Servers, &self.servers_at);
        Table::new(rows, widths.iter().take(columns).copied()).header(head)
    }

    fn server(&self, server: &ServerState, sparks: usize) -> [Cell<'static>; 8] {
        let color = match (server.health.as_ref(), server.eligible && !server.drained) {
            ("up", true) => Color::Green,
            ("up" | "starting" | "suspect", _) => Color::Yellow,
            _ => Color::Red,
        };
        let lag = |sample: &Sample| {
            let found = sample.lag_ms.iter().find(|(name, _)| **name == *server.name);
            found.and_then(|(_, lag)| lag.map(f64::from))
        };
        let is_replica = server.role == "replica";
        let unknown = if is_replica { "unknown" } else { "-" };
        let lag_now = server.lag_ms.map_or(unknown.to_owned(), |lag| milliseconds(lag as f64));
        let line =
            if is_replica { spark(self.samples.iter().map(lag), sparks) } else { String::new() };
        [
            Cell::from(server.name.clone()),
            Cell::from(server.role.to_string()),
            Cell::from(server.health.to_string()).style(color),
            Cell::from(lag_now),
            Cell::from(line).style(Color::Yellow),
            Cell::from(work(server).to_owned()).style(color),
            Cell::from(server.connections.to_string()),
            Cell::from(server.running.to_string()),
        ]
    }

    /// What has taken the most time.
    fn queries(&self) -> Table<'_> {
        let all: f64 = self.queries.iter().map(|query| query.total_ms).sum();
        let rows = self.queries_at.lines(self.queries.iter()).map(|query| {
            let share = if all > 0.0 { query.total_ms * 100.0 / all } else { 0.0 };
            let replica = query.on_replica as f64 * 100.0 / query.count.max(1) as f64;
            let text = if query.text.is_empty() { "(all others)" } else { &query.text };
            Row::new([
                format!("{share:.0} %"),
                short(query.count as f64),
                milliseconds(query.p50_ms),
                milliseconds(query.p99_ms),
                format!("{replica:.0} %"),
                text.to_owned(),
            ])
        });
        let widths = [
            Constraint::Length(5),
            Constraint::Length(8),
            Constraint::Length(9),
            Constraint::Length(9),
            Constraint::Length(8),
            Constraint::Fill(1),
        ];
        let title = self.queries_at.title("statement");
        let head = Row::new(["time", "count", "p50", "p99", "replica", &title].map(str::to_owned));
        let head = self.table_head(head, List::Queries, &self.queries_at);
        Table::new(rows, widths).header(head)
    }
}

/// The last values as a row of bars, the newest at the right; the highest has the highest bar, and nothing
/// is drawn where a value is not known.
fn spark(values: impl DoubleEndedIterator<Item = Option<f64>>, width: usize) -> String {
    let mut last: Vec<_> = values.rev().take(width).collect();
    last.reverse();
    let highest = last.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: &Option<f64>| {
        let Some(value) = value else { return " " };
        let eighths = if highest > 0.0 { (value / highest * 7.0).round() as u8 } else { 0 };
        match eighths {
            0 => NINE_LEVELS.one_eighth,
            1 => NINE_LEVELS.one_quarter,
            2 => NINE_LEVELS.three_eighths,
            3 => NINE_LEVELS.half,
            4 => NINE_LEVELS.five_eighths,
            5 => NINE_LEVELS.three_quarters,
            6 => NINE_LEVELS.seven_eighths,
            _ => NINE_LEVELS.full,
        }
    };
    last.iter().map(bar).collect()
}

fn milliseconds(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2} ms"),
        value if value < 1_000.0 => format!("{value:.0} ms"),
        value => format!("{:.1} s", value / 1e3),
    }
}

fn short(value: f64) -> String {
    match value {
        value if value < 10_000.0 => format!("{}", (value * 10.0).round() / 10.0),
        value if value < 1e6 => format!("{:.0} k", value / 1e3),
        value => format!("{:.1} M", value / 1e6),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
