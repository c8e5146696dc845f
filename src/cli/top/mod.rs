//! `lagwise top`: the running lagwise, live, in a terminal.
//!
//! A thread asks, so that keys and a new size of the terminal are heeded while lagwise does not answer.
//! [`screen`]: what is shown, and how. [`scroll`]: which part of a list. [`end`]: signals, which must
//! not leave the terminal as `top` needs it.

mod end;
mod screen;
mod scroll;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lagwise::admin::client::{CommandError, Running};
use lagwise::config::Config;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{FAILURE, USAGE, complain, with_running};
use screen::{Answers, Screen};
use scroll::Move;

/// Between two questions: `/history` has a new sample so often.
const INTERVAL: Duration = Duration::from_secs(2);

/// Between two looks at what has been answered.
const PATIENCE: Duration = Duration::from_millis(100);

/// Digests that are asked for: some pages.
const QUERIES: u64 = 100;

/// Shows the running lagwise until a key or a signal ends it.
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
    // Before the terminal is another, so that no signal finds it so.
    let shown = end::on_signals().and_then(|is_over| {
        // It also restores the terminal on a panic.
        ratatui::try_init().and_then(|mut terminal| show(&mut terminal, &answers, &is_over))
    });
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
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut screen = Screen::default();
    while !is_over.load(Ordering::Relaxed) {
        terminal.draw(|frame| screen.draw(frame, Instant::now()))?;
        if event::poll(PATIENCE)? {
            match wish(&event::read()?) {
                Some(Wish::End) => break,
                Some(Wish::OtherList) => screen.choose_other(),
                Some(Wish::Go(to)) => screen.go(to),
                None => {}
            }
        }
        for answer in answers.try_iter() {
            screen.take(answer, Instant::now());
        }
    }
    Ok(())
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    End,
    OtherList,
    Go(Move),
}

/// q, Esc and Ctrl-C, which in this mode of the terminal is a key as any other, end it; the keys that move
/// are those of `less` and of every list.
fn wish(event: &Event) -> Option<Wish> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return None;
    };
    Some(match code {
        KeyCode::Char('q') | KeyCode::Esc => Wish::End,
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Wish::End,
        KeyCode::Tab | KeyCode::BackTab => Wish::OtherList,
        KeyCode::Up | KeyCode::Char('k') => Wish::Go(Move::Up),
        KeyCode::Down | KeyCode::Char('j') => Wish::Go(Move::Down),
        KeyCode::PageUp | KeyCode::Char('b') => Wish::Go(Move::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ' | 'f') => Wish::Go(Move::PageDown),
        KeyCode::Home | KeyCode::Char('g') => Wish::Go(Move::Home),
        KeyCode::End | KeyCode::Char('G') => Wish::Go(Move::End),
        _ => return None,
    })
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
    fn what_keys_ask_for() {
        let check = |code, modifiers, want| {
            assert_eq!(wish(&Event::Key(KeyEvent::new(code, modifiers))), want, "{code:?}");
        };
        check(KeyCode::Char('q'), KeyModifiers::NONE, Some(Wish::End));
        check(KeyCode::Esc, KeyModifiers::NONE, Some(Wish::End));
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Wish::End));
        check(KeyCode::Char('c'), KeyModifiers::NONE, None);
        check(KeyCode::Enter, KeyModifiers::NONE, None);
        check(KeyCode::Tab, KeyModifiers::NONE, Some(Wish::OtherList));
        check(KeyCode::Down, KeyModifiers::NONE, Some(Wish::Go(Move::Down)));
        check(KeyCode::PageUp, KeyModifiers::NONE, Some(Wish::Go(Move::PageUp)));
        check(KeyCode::Char('G'), KeyModifiers::SHIFT, Some(Wish::Go(Move::End)));
        assert_eq!(wish(&Event::Resize(80, 24)), None);
    }
}
