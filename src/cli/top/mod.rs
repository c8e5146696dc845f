//! `lagwise top`: the running lagwise, live, in a terminal.
//!
//! A thread asks, so that keys and a new size of the terminal are heeded while lagwise does not answer.
//! [`screen`]: what is shown, and how.

mod screen;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lagwise::admin::client::{CommandError, Running};
use lagwise::config::Config;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{FAILURE, USAGE, complain, with_running};
use screen::{Answers, Screen};

/// Between two questions: `/history` has a new sample so often.
const INTERVAL: Duration = Duration::from_secs(2);

/// Between two looks at what has been answered.
const PATIENCE: Duration = Duration::from_millis(100);

/// Digests that are asked for; few terminals have more lines left.
const QUERIES: u64 = 50;

/// Shows the running lagwise until a key ends it.
pub(super) fn top(config: Config) -> ExitCode {
    if config.http.is_none() {
        // Which says why that does not do.
        return with_running(&config, |_| ExitCode::SUCCESS);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        complain("lagwise: top needs a terminal; `lagwise status` does not");
        return ExitCode::from(USAGE);
    }
    let (sender, answers) = sync_channel(1);
    let config = Arc::new(config);
    // It is not waited for: a question may take its ten seconds, and the process ends without.
    std::thread::spawn(move || {
        with_running(&config, |running| {
            ask(running, &sender);
            ExitCode::SUCCESS
        })
    });
    // It also restores the terminal on a panic.
    let shown = ratatui::try_init().and_then(|mut terminal| show(&mut terminal, &answers));
    let restored = ratatui::try_restore();
    match shown.and(restored) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("lagwise: the terminal: {error}"));
            ExitCode::from(FAILURE)
        }
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    answers: &Receiver<Result<Answers, String>>,
) -> io::Result<()> {
    let mut screen = Screen::default();
    loop {
        terminal.draw(|frame| screen.draw(frame, Instant::now()))?;
        if event::poll(PATIENCE)? && is_end(&event::read()?) {
            return Ok(());
        }
        for answer in answers.try_iter() {
            screen.take(answer, Instant::now());
        }
    }
}

/// q, Esc and Ctrl-C, which in this mode of the terminal is a key as any other.
fn is_end(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return false;
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

/// Asks until nobody wants to know any more.
fn ask(running: &Running<'_>, sender: &SyncSender<Result<Answers, String>>) {
    let (mut started_ms, mut after) = (0, 0);
    loop {
        let answer = answers(running, started_ms, after);
        if let Ok(Answers { history, .. }) = &answer {
            if started_ms != history.started_ms {
                (started_ms, after) = (history.started_ms, 0);
            }
            after = history.samples.last().map_or(after, |sample| sample.seq);
        }
        if sender.send(answer.map_err(|error| error.to_string())).is_err() {
            return;
        }
        std::thread::sleep(INTERVAL);
    }
}

fn answers(running: &Running<'_>, started_ms: u64, after: u64) -> Result<Answers, CommandError> {
    let mut history = running.history(after)?;
    if history.started_ms != started_ms && after > 0 {
        // Another process counts from 1 again.
        history = running.history(0)?;
    }
    let status = Some(running.status()?);
    Ok(Answers { status, history, queries: running.queries(QUERIES)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_it() {
        let check = |code, modifiers, want| {
            assert_eq!(is_end(&Event::Key(KeyEvent::new(code, modifiers))), want, "{code:?}");
        };
        check(KeyCode::Char('q'), KeyModifiers::NONE, true);
        check(KeyCode::Esc, KeyModifiers::NONE, true);
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, true);
        check(KeyCode::Char('c'), KeyModifiers::NONE, false);
        check(KeyCode::Enter, KeyModifiers::NONE, false);
        assert!(!is_end(&Event::Resize(80, 24)));
    }
}
