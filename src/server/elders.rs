//! Processes before this one that still serve sessions.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::handover::{self, Word};
use crate::consistency::Writes;

/// See the module's documentation.
#[derive(Debug)]
pub struct Elders {
    links: Vec<UnixStream>,
    alive: watch::Receiver<usize>,
}

impl Elders {
    /// Watches them. What they write is told of by `writes` from now on, until each has ended.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn watch(links: Vec<UnixStream>, writes: &Arc<Writes>) -> io::Result<Self> {
        let (count, alive) = watch::channel(links.len());
        let count = Arc::new(count);
        for link in &links {
            link.set_nonblocking(true)?;
            let link = tokio::net::UnixStream::from_std(link.try_clone()?)?;
            let (writes, count) = (Arc::clone(writes), Arc::clone(&count));
            writes.other_begins();
            tokio::spawn(async move {
                while handover::listen(&link).await.is_ok() {}
                writes.other_ended(Instant::now());
                count.send_modify(|count| *count -= 1);
                tracing::info!("the process before has ended");
            });
        }
        Ok(Self { links, alive })
    }

    /// The links to them, for the next newcomer: those that live, so far as is known.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn links(&self) -> io::Result<Vec<OwnedFd>> {
        if self.count() == 0 {
            return Ok(Vec::new());
        }
        self.links.iter().map(|link| link.try_clone().map(OwnedFd::from)).collect()
    }

    /// Says a word to the elder itself.
    ///
    /// # Errors
    /// It has ended.
    pub fn say(&self, word: Word) -> io::Result<()> {
        self.links.last().map_or(Ok(()), |elder| handover::say(elder, word))
    }

    /// How many live, so far as is known.
    pub fn count(&self) -> usize {
        *self.alive.borrow()
    }

    /// Has them read their configuration again.
    pub fn reload(&self) {
        self.tell(|link| handover::say(link, Word::Reload));
    }

    /// Tells them which servers are drained.
    pub fn drained(&self, names: &[String]) {
        self.tell(|link| handover::say_drained(link, names));
    }

    fn tell(&self, say: impl Fn(&UnixStream) -> io::Result<()>) {
        for error in self.links.iter().filter_map(|link| say(link).err()) {
            // Otherwise it has ended, as they all do.
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::warn!(%error, "a process before cannot be told of a change");
            }
        }
    }

    /// Asks them to end, as by SIGTERM; a second time: at once.
    pub fn stop(&self) {
        for link in &self.links {
            // Most likely it has ended already.
            let _ = handover::say(link, Word::Stop);
        }
    }

    /// Returns when all have ended, or after so long.
    pub async fn ended(&self, limit: Duration) {
        let mut alive = self.alive.clone();
        let _ = tokio::time::timeout(limit, alive.wait_for(|alive| *alive == 0)).await;
    }
}
