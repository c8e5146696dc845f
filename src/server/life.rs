//! From the first client to the last: signals, drain and end.
//!
//! ```text
//! Running ── SIGUSR2, and the new process serves ──> Leaving
//! Running ── SIGTERM ──> Draining
//! Leaving ── the last session ends ──> the end
//! Leaving ── drain_timeout, or SIGTERM to either process ──> Draining
//! Draining ── the last session ends ──> the end
//! Draining ── drain_timeout, or a second signal ──> Closing
//! ```
//!
//! In Leaving nothing changes for the sessions that are here: a client whose connection is closed while it
//! is idle sees an error at its next use.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::drain::drained_servers;
use super::handover::{Estate, Letter, Wish, Word};
use super::upgrade::{self, Newcomer, UpgradeError};
use super::{RunError, Server};
use crate::notify::{self, Notifier};
use crate::session::context::Lifecycle;
use crate::session::registry::Interrupt;

/// How long sessions get to say goodbye when the drain timeout has passed.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// What runs when a process that was replaced has reached its `drain_timeout` may take so long to end.
const LAST_STATEMENT: Duration = Duration::from_secs(5);

/// Session ids that the process before may give out while another one begins: more than it can.
const SESSION_GAP: u32 = 1 << 24;

/// The signals that lagwise listens to.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    user2: Signal,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one. Without `reloads`, SIGHUP waits.
    async fn next(&mut self, reloads: bool) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.user2.recv() => Asked::Upgrade,
            _ = self.hangup.recv(), if reloads => Asked::Reload,
        }
    }

    /// Returns at a signal that ends the program.
    async fn end(&mut self) {
        while self.next(false).await != Asked::End {}
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Reload,
    Upgrade,
    End,
}

/// A process that begins in order to take over; pending for ever if there is none.
type Attempt = Pin<Box<dyn Future<Output = Result<Newcomer, UpgradeError>>>>;

impl Server {
    /// All that remains of the process's life.
    pub(super) async fn live(&mut self, signals: &mut Signals) {
        match self.until_stopped(signals).await {
            None => {
                self.sockets.close();
                self.tell(self.notifier.stopping());
                self.elders.stop();
                let limit = self.config.drain_timeout;
                let until = Instant::now() + limit;
                self.drain(signals, limit).await;
                // The processes before this one have the same time, and systemd kills them when this one
                // has ended.
                let rest = until.saturating_duration_since(Instant::now());
                tokio::select! {
                    () = self.elders.ended(rest + CLOSE_GRACE * 3) => {}
                    () = signals.end() => {
                        self.elders.stop();
                        self.elders.ended(CLOSE_GRACE * 3).await;
                    }
                }
            }
            Some(newcomer) => self.leave(signals, newcomer).await,
        }
        self.tasks.drain(..).for_each(|task| task.abort());
    }

    /// Serves until a signal ends that, or a new process serves.
    async fn until_stopped(&mut self, signals: &mut Signals) -> Option<Newcomer> {
        let mut attempt: Option<Attempt> = None;
        loop {
            let outcome = tokio::select! {
                // While another process begins, a reload waits: it is for the one that stays.
                wish = self.wishes.next(), if attempt.is_none() => {
                    let notifier = Arc::clone(&self.notifier);
                    let outcome =
                        notify::around_reload(&notifier, async { self.reload_all() }).await;
                    // Who has asked may be gone.
                    let _ = wish.send(outcome);
                    continue;
                }
                asked = signals.next(attempt.is_none()) => match asked {
                    // Dropped, an attempt ends its process.
                    Asked::End => return None,
                    Asked::Upgrade if attempt.is_some() => {
                        tracing::warn!("SIGUSR2: a new process is being started already");
                        continue;
                    }
                    Asked::Upgrade => {
                        attempt = Some(self.attempt());
                        continue;
                    }
                    Asked::Reload => {
                        let notifier = Arc::clone(&self.notifier);
                        let _ =
                            notify::around_reload(&notifier, async { self.reload_all() }).await;
                        continue;
                    }
                },
                outcome = outcome_of(&mut attempt) => outcome,
            };
            attempt = None;
            let outcome = match outcome {
                Ok(newcomer) => self.hand_over(newcomer).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(newcomer) => return Some(newcomer),
                Err(error) => {
                    tracing::error!(%error, "no other process takes over; this one goes on");
                }
            }
        }
    }

    /// Here, and in the processes before: what sessions there may use has changed, too.
    fn reload_all(&mut self) -> Result<Vec<String>, String> {
        let outcome = self.reload();
        if outcome.is_ok() {
            self.elders.reload();
            self.elders.drained(&drained_servers(&self.cluster));
        }
        outcome
    }

    /// Starts a process that is to take over.
    fn attempt(&self) -> Attempt {
        let first_session = self.context.registry.next_id().wrapping_add(SESSION_GAP);
        let estate = self.sockets.to_pass_on().and_then(|(sockets, mut descriptors)| {
            let elders = self.elders.links()?;
            let letter = Letter {
                sockets,
                elders: elders.len(),
                first_session,
                drained: drained_servers(&self.cluster),
                ..Letter::default()
            };
            descriptors.extend(elders);
            Ok((letter, descriptors))
        });
        let program = self.program.clone();
        Box::pin(async move {
            let (letter, descriptors) = estate?;
            upgrade::start(program, letter, descriptors).await
        })
    }

    /// Has a process that is ready serve.
    async fn hand_over(&self, newcomer: Newcomer) -> Result<Newcomer, UpgradeError> {
        // Before it serves its first client: from then on reads must see what is written there.
        self.context.writes.other_begins();
        let outcome = newcomer.go().await;
        if outcome.is_err() {
            self.context.writes.other_ended(Instant::now());
        }
        outcome
    }

    /// The newcomer's part: tells the process before that this one serves, and owns what that has owned.
    pub(super) fn take_over(&mut self, estate: Estate) -> Result<(), RunError> {
        self.elders.say(Word::Serving).map_err(RunError::Handover)?;
        estate.settle(self.sockets.with_files());
        Ok(())
    }

    /// Another process serves new clients. Those that are here may go on for `drain_timeout`.
    async fn leave(&mut self, signals: &mut Signals, mut newcomer: Newcomer) {
        self.tell(self.notifier.main_pid(newcomer.pid()));
        // From now on that one speaks for the service, and is asked for metrics.
        self.notifier = Arc::new(Notifier::none());
        self.tasks.drain(..).for_each(|task| task.abort());
        self.sockets.leave();
        self.lifecycle.send_replace(Lifecycle::Leaving);
        self.cluster.shrink_pools();
        let limit = self.config.drain_timeout;
        let (pid, sessions) = (newcomer.pid(), self.context.sessions());
        tracing::info!(
            pid,
            sessions,
            ?limit,
            "another process has taken over; sessions here go on"
        );
        let load = self.load.clone();
        let empty = until(|| load.is_none());
        let mut empty = std::pin::pin!(tokio::time::timeout(limit, empty));
        let last = loop {
            tokio::select! {
                over = &mut empty => match over {
                    Ok(()) => return self.say_goodbye().await,
                    Err(_) => break LAST_STATEMENT,
                },
                wish = newcomer.next_wish() => match wish {
                    Wish::Stop => break limit,
                    Wish::Drained(names) => self.drain_as_told(&names),
                    Wish::Reload => {
                        // What is wrong is in the log.
                        let _ = self.reload();
                        self.cluster.shrink_pools();
                    }
                },
                asked = signals.next(true) => match asked {
                    Asked::End => break limit,
                    Asked::Upgrade | Asked::Reload => {
                        tracing::warn!(pid, "signal ignored: send it to the process that took over");
                    }
                },
            }
        };
        tokio::select! {
            () = self.drain(signals, last) => {}
            () = newcomer.wants_stop() => self.close().await,
        }
    }

    /// Lets sessions finish what they are at, at most for so long; a second signal ends the wait.
    async fn drain(&self, signals: &mut Signals, limit: Duration) {
        self.lifecycle.send_replace(Lifecycle::Draining);
        self.context.registry.interrupt_all(Interrupt::Drain);
        self.cluster.close_pools();
        tracing::info!(sessions = self.context.sessions(), ?limit, "draining");
        tokio::select! {
            () = self.until_empty(limit) => {}
            () = signals.end() => self.elders.stop(),
        }
        self.close().await;
    }

    /// Ends the sessions that still run.
    async fn close(&self) {
        if !self.load.is_none() {
            tracing::warn!(sessions = self.context.sessions(), "closing sessions that still run");
            self.lifecycle.send_replace(Lifecycle::Closing);
            self.context.registry.interrupt_all(Interrupt::Close);
            self.until_empty(CLOSE_GRACE).await;
        }
        self.say_goodbye().await;
    }

    /// Servers count connections that end without a goodbye, and write of them to their logs.
    async fn say_goodbye(&self) {
        self.cluster.close_pools();
        let closed = until(|| self.cluster.open_connections() == 0);
        let _ = tokio::time::timeout(CLOSE_GRACE, closed).await;
    }

    async fn until_empty(&self, limit: Duration) {
        let empty = until(|| self.load.is_none());
        // Running out of time is one of the two ways in which this ends.
        let _ = tokio::time::timeout(limit, empty).await;
    }
}

async fn outcome_of(attempt: &mut Option<Attempt>) -> Result<Newcomer, UpgradeError> {
    match attempt {
        Some(attempt) => attempt.await,
        None => std::future::pending().await,
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
