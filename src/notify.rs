//! Tells systemd what state the process is in (sd_notify(3)).
//!
//! The texts of the messages and the monotonic clock come from the `sd-notify` crate. The sending
//! is here because that crate sends only to the path in the process's own environment, which
//! nothing but a subprocess could test, and does not know abstract sockets.
//!
//! The messages are the same whatever `Type=` the unit has: `RELOADING=1` always carries
//! `MONOTONIC_USEC`, which `Type=notify-reload` (systemd 253 and later) requires and
//! `Type=notify` ignores.
//!
//! Deliberately absent: anything that fails the proxy when systemd does not listen. Outside of
//! systemd every call does nothing and succeeds.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// How long a message may wait for room in systemd's queue. A message is sent a few times an
/// hour; only a systemd that is itself stuck makes this wait.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// The manager named by `NOTIFY_SOCKET` in the environment; none if it is not set.
    ///
    /// # Errors
    /// See [`Notifier::to`].
    pub fn from_env() -> io::Result<Self> {
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(path) if !path.is_empty() => Self::to(&path),
            _ => Ok(Self::none()),
        }
    }

    /// No manager: every message is dropped.
    pub const fn none() -> Self {
        Self { target: None }
    }

    /// The manager at the socket `path`; a leading `@` means an abstract socket (unix(7)).
    ///
    /// # Errors
    /// The path is too long for a socket or holds a NUL, or no socket can be made.
    pub fn to(path: &OsStr) -> io::Result<Self> {
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        // Not connected: systemd may replace its socket when it re-executes itself.
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { target: Some((socket, address)) })
    }

    /// Startup or a reload is complete.
    ///
    /// # Errors
    /// The message could not be sent; so for all below.
    pub fn ready(&self) -> io::Result<()> {
        self.send(&[NotifyState::Ready])
    }

    /// A reload has begun; [`Notifier::ready`] must follow, whether it succeeds or fails.
    ///
    /// # Errors
    /// The message could not be sent, or the clock could not be read.
    pub fn reloading(&self) -> io::Result<()> {
        // One datagram for both: systemd pairs the time with the message that carries it.
        self.send(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
    }

    /// Another process is the service's main one from now on, and is alive. systemd believes this only of
    /// the one that is it now, and nothing of that one afterwards (`NotifyAccess=main`).
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn main_pid(&self, pid: u32) -> io::Result<()> {
        self.send(&[NotifyState::MainPid(pid), NotifyState::Watchdog])
    }

    /// Shutdown has begun.
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn stopping(&self) -> io::Result<()> {
        self.send(&[NotifyState::Stopping])
    }

    /// A line for `systemctl status`. Must hold no secret; line breaks become spaces, because a
    /// line of its own would be another message.
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn status(&self, text: &str) -> io::Result<()> {
        self.send(&[NotifyState::Status(&text.replace(['\n', '\r'], " "))])
    }

    /// The process is alive.
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn watchdog(&self) -> io::Result<()> {
        self.send(&[NotifyState::Watchdog])
    }

    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let Some((socket, address)) = &self.target else {
            return Ok(());
        };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        // A datagram is sent whole or not at all.
        socket.send_to_addr(message.as_bytes(), address).map(|_| ())
    }
}

/// The time within which systemd wants a sign of life (`WATCHDOG_USEC`), if it wants one from
/// this process (`WATCHDOG_PID`).
pub fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Gives signs of life at half of `timeout`, for as long as `alive` says so; never returns. The
/// first is sent at once. `alive` must not block: it says whether the process still does its
/// work, for instance whether every worker thread ran a task since the last call. Once it stops
/// saying so, systemd kills and restarts the process.
pub async fn keep_alive(
    notifier: &Notifier,
    timeout: Duration,
    mut alive: impl FnMut() -> bool,
) -> std::convert::Infallible {
    // `interval` refuses zero.
    let mut ticks = interval((timeout / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !alive() {
            tracing::error!("not alive: the watchdog gets no sign of life");
        } else if let Err(error) = notifier.watchdog() {
            tracing::warn!(%error, "cannot send the watchdog a sign of life");
        }
    }
}

/// Runs a reload between [`Notifier::reloading`] and [`Notifier::ready`], so that the second is
/// never forgotten: without it `systemctl reload` hangs. That systemd cannot be told is logged
/// and does not stop the reload.
pub async fn around_reload<T>(notifier: &Notifier, reload: impl Future<Output = T>) -> T {
    let warn = |result: io::Result<()>| {
        if let Err(error) = result {
            tracing::warn!(%error, "cannot tell systemd about the reload");
        }
    };
    warn(notifier.reloading());
    let result = reload.await;
    warn(notifier.ready());
    result
}

#[cfg(test)]
mod tests;
