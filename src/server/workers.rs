//! The threads that serve clients.
//!
//! Every worker accepts from every address. A worker that has more sessions than another hands a
//! new client over to that one, so that the load is even also when a few clients stay for long.
//!
//! What was accepted is served, also when accepting has ended in the same moment: it is counted from then
//! on ([`Load`]).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::net::listen::{Accepted, Bound, Detached, Listener};
use crate::session::context::Lifecycle;
use crate::session::{self, Context};

/// Clients on their way to one worker; when it is full, the accepting worker keeps the client.
const HANDOVER_QUEUE: usize = 1024;

/// How often a worker shows that its event loop turns.
const PULSE: Duration = Duration::from_secs(1);

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    shared: Arc<Shared>,
}

/// What workers know of each other.
struct Shared {
    sessions: Vec<AtomicUsize>,
    queues: Vec<mpsc::Sender<Detached>>,
    /// Clients in `queues`.
    on_the_way: AtomicUsize,
    /// Workers that accept.
    accepting: AtomicUsize,
    /// Milliseconds since `started` when each last turned its event loop.
    pulses: Vec<AtomicU64>,
    started: Instant,
}

/// Whether the workers' event loops turn.
#[derive(Clone)]
pub struct Pulse(Arc<Shared>);

impl Pulse {
    /// True if every worker has shown life within `limit`.
    pub fn all_alive(&self, limit: Duration) -> bool {
        let now = self.0.started.elapsed();
        let alive = |pulse: &AtomicU64| {
            let at = Duration::from_millis(pulse.load(Ordering::Relaxed));
            now.saturating_sub(at) <= limit.max(PULSE * 3)
        };
        self.0.pulses.iter().all(alive)
    }
}

/// What the workers have to do.
#[derive(Clone)]
pub struct Load(Arc<Shared>);

impl Load {
    /// True once no worker accepts clients and all that came have left.
    pub fn is_none(&self) -> bool {
        let shared = &self.0;
        // In the order in which a client comes: none slips through behind the look at it.
        shared.accepting.load(Ordering::SeqCst) == 0
            && shared.on_the_way.load(Ordering::SeqCst) == 0
            && shared.sessions.iter().all(|count| count.load(Ordering::SeqCst) == 0)
    }
}

/// Starts `count` workers that accept from all of `bound`.
pub fn start(count: usize, bound: &[Bound], context: &Arc<Context>) -> io::Result<Workers> {
    let (queues, receivers): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mpsc::channel(HANDOVER_QUEUE)).unzip();
    let shared = Arc::new(Shared {
        sessions: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        queues,
        on_the_way: AtomicUsize::new(0),
        accepting: AtomicUsize::new(count),
        pulses: (0..count).map(|_| AtomicU64::new(0)).collect(),
        started: Instant::now(),
    });
    let (stop, stopped) = watch::channel(false);
    let mut threads = Vec::with_capacity(count);
    for (index, handed) in receivers.into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners: io::Result<Vec<Listener>> = {
            let _entered = runtime.enter();
            bound.iter().map(Bound::listener).collect()
        };
        let worker = Worker { index, shared: Arc::clone(&shared), context: Arc::clone(context) };
        let (listeners, stopped) = (listeners?, stopped.clone());
        let run = move || runtime.block_on(worker.run(listeners, handed, stopped));
        threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
    }
    Ok(Workers { threads, stop, shared })
}

impl Workers {
    /// For the watchdog.
    pub fn pulse(&self) -> Pulse {
        Pulse(Arc::clone(&self.shared))
    }

    /// For those who wait until nothing is left to do.
    pub fn load(&self) -> Load {
        Load(Arc::clone(&self.shared))
    }

    /// Ends the workers, with whatever they still serve.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

struct Worker {
    index: usize,
    shared: Arc<Shared>,
    context: Arc<Context>,
}

impl Worker {
    async fn run(
        self,
        listeners: Vec<Listener>,
        mut handed: mpsc::Receiver<Detached>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let worker = Arc::new(self);
        let mut accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| tokio::spawn(Arc::clone(&worker).accept(listener)))
            .collect();
        let mut lifecycle = worker.context.lifecycle.clone();
        let mut pulse = tokio::time::interval(PULSE);
        let mut draining = false;
        loop {
            tokio::select! {
                Some(detached) = handed.recv() => {
                    if let Ok(accepted) = detached.attach() {
                        worker.serve(accepted);
                    }
                    worker.shared.on_the_way.fetch_sub(1, Ordering::SeqCst);
                }
                _ = pulse.tick() => worker.show_life(),
                changed = lifecycle.wait_for(|now| *now != Lifecycle::Running), if !draining => {
                    draining = true;
                    let _ = changed;
                    // Dropped, the listeners close; clients are then refused by the kernel, or accepted
                    // by the process that has taken over.
                    for task in accepting.drain(..) {
                        task.abort();
                        let _ = task.await;
                    }
                    worker.shared.accepting.fetch_sub(1, Ordering::SeqCst);
                }
                _ = stopped.changed() => return,
            }
        }
    }

    fn show_life(&self) {
        if let Some(pulse) = self.shared.pulses.get(self.index) {
            let now = u64::try_from(self.shared.started.elapsed().as_millis());
            pulse.store(now.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            let accepted = listener.accept().await;
            match self.idler() {
                None => self.serve(accepted),
                Some(other) => self.hand_over(accepted, other),
            }
        }
    }

    /// A worker with fewer sessions than this one.
    fn idler(&self) -> Option<usize> {
        let load = |index: usize| {
            self.shared.sessions.get(index).map_or(usize::MAX, |n| n.load(Ordering::Relaxed))
        };
        let least = (0..self.shared.sessions.len()).min_by_key(|index| load(*index))?;
        (load(least) < load(self.index)).then_some(least)
    }

    fn hand_over(self: &Arc<Self>, accepted: Accepted, other: usize) {
        let Some(queue) = self.shared.queues.get(other) else { return self.serve(accepted) };
        let Ok(permit) = queue.try_reserve() else { return self.serve(accepted) };
        if let Ok(detached) = accepted.detach() {
            self.shared.on_the_way.fetch_add(1, Ordering::SeqCst);
            permit.send(detached);
        }
    }

    fn serve(self: &Arc<Self>, accepted: Accepted) {
        let count = Counted::new(Arc::clone(&self.shared), self.index);
        let context = Arc::clone(&self.context);
        tokio::spawn(async move {
            let _count = count;
            session::serve(accepted, context).await;
        });
    }
}

/// Counts a session of a worker until dropped.
struct Counted(Arc<Shared>, usize);

impl Counted {
    fn new(shared: Arc<Shared>, index: usize) -> Self {
        if let Some(count) = shared.sessions.get(index) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Self(shared, index)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.0.sessions.get(self.1) {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
