//! What was read, and what was wrong, with the evidence.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::modes::{Mode, Wrong};

/// So much is kept of each kind.
const EVIDENCE: usize = 3;

/// The findings of a mode.
#[derive(Default)]
pub struct Tally {
    /// Reads that were held against their bounds.
    pub reads: AtomicU64,
    /// How many of them a replica answered.
    pub on_replicas: AtomicU64,
    pub writes: AtomicU64,
    /// Connections that were made.
    pub logins: AtomicU64,
    wrong: [AtomicU64; 4],
    /// Errors that a direct connection may show as well: deadlocks, a replica that ends in a transaction.
    pub excused: AtomicU64,
    evidence: Mutex<Vec<(Wrong, String)>>,
    errors: Mutex<Vec<String>>,
}

pub fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Tally {
    pub fn wrong(&self, wrong: Wrong) -> u64 {
        self.wrong[wrong as usize].load(Relaxed)
    }

    pub fn note(&self, wrong: Wrong, evidence: impl FnOnce() -> String) {
        add(&self.wrong[wrong as usize]);
        let mut kept = self.evidence.lock().unwrap();
        if kept.iter().filter(|(kind, _)| *kind == wrong).count() < EVIDENCE {
            kept.push((wrong, evidence()));
        }
    }

    pub fn error(&self, text: String) {
        println!("{text}");
        self.errors.lock().unwrap().push(text);
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    pub fn share(&self) -> f64 {
        100.0 * self.on_replicas.load(Relaxed) as f64 / self.reads().max(1) as f64
    }

    /// The evidence that was not yet handed out.
    pub fn take_evidence(&self) -> Vec<String> {
        self.evidence.lock().unwrap().drain(..).map(|(_, text)| text).collect()
    }

    /// What is against the mode; nothing if all is as promised.
    pub fn verdict(&self, mode: &Mode) -> Vec<String> {
        let mut against = Vec::new();
        for wrong in Wrong::ALL {
            let (found, name) = (self.wrong(wrong), wrong.name());
            match mode.must_find.contains(&wrong) {
                true if found == 0 => {
                    against.push(format!("{}: no {name} read was found", mode.name));
                }
                false if found > 0 => against.push(format!("{}: {found} {name} reads", mode.name)),
                _ => {}
            }
        }
        if self.reads() == 0 {
            against.push(format!("{}: nothing was read", mode.name));
        }
        let errors = self.errors.lock().unwrap();
        against.extend(errors.iter().take(5).map(|error| format!("{}: {error}", mode.name)));
        against
    }

    pub fn heading() -> String {
        format!(
            "{:<12} {:>9} {:>8} {:>8} {:>8} {:>10} {:>12} {:>13} {:>7}",
            "mode",
            "reads",
            "replica",
            "writes",
            "logins",
            "own-stale",
            "back-in-time",
            "cross-session",
            "errors"
        )
    }

    pub fn row(&self, name: &str) -> String {
        let number = |counter: &AtomicU64| counter.load(Relaxed);
        format!(
            "{name:<12} {:>9} {:>6.1} % {:>8} {:>8} {:>10} {:>12} {:>13} {:>7}",
            self.reads(),
            self.share(),
            number(&self.writes),
            number(&self.logins),
            self.wrong(Wrong::OwnStale),
            self.wrong(Wrong::BackInTime),
            self.wrong(Wrong::OthersStale),
            self.errors.lock().unwrap().len(),
        )
    }
}
