//! What statements cost, by their digest: the console's SHOW QUERIES.
//!
//! Each worker thread has a table of its own, whose lock nobody else takes but a reader, now and then;
//! readers add the tables up. A table is bounded: where it is full, the row that has taken the least time
//! of a few makes room, and what it had is counted in the row for all others. So what costs much stays, and
//! the sum of all rows is the sum of all statements. (MySQL's `events_statements_summary_by_digest` takes
//! no more digests when it is full; ProxySQL's `stats_mysql_query_digest` has no bound.)

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::histogram::{BUCKETS, FINITE, bucket_of, percentile, upper_bound};
use crate::text::cut;

/// Longest text of a digest that is kept, in bytes: MySQL's own default (`max_digest_length`).
pub const MAX_TEXT: usize = 1024;

/// Rows that are looked at for one that makes room.
const LOOKED_AT: usize = 8;

/// Most reasons that a row tells apart; the others count as the last.
pub const MAX_REASONS: usize = 96;

/// One execution of a statement.
#[derive(Clone, Copy, Debug)]
pub struct Execution<'a> {
    /// The schema that it ran in; empty if none.
    pub schema: &'a str,
    /// What is the same only for texts of one digest, if that is known: see [`crate::sql::shape`].
    pub shape: Option<u64>,
    /// From the command to the last byte of the response, in nanoseconds.
    pub nanos: u64,
    /// Rows that the client got.
    pub rows: u64,
    /// Bytes of the response.
    pub bytes: u64,
    /// The client got an error.
    pub is_error: bool,
    /// A replica ran it.
    pub on_replica: bool,
    /// Index of the reason for its route.
    pub reason: usize,
}

/// What all executions of one digest in one schema have taken.
#[derive(Clone, Debug)]
pub struct DigestRow {
    /// The schema; empty if none.
    pub schema: Box<str>,
    /// The digest's text, at most [`MAX_TEXT`] bytes; empty for the row that stands for all others.
    pub text: Box<str>,
    /// The number of the digest; 0 for all others.
    pub fingerprint: u64,
    /// Executions.
    pub count: u64,
    /// Those that ended in an error.
    pub errors: u64,
    /// Those that a replica ran.
    pub on_replica: u64,
    /// Rows that clients got.
    pub rows: u64,
    /// Bytes of the responses.
    pub bytes: u64,
    /// Time from command to last byte, in nanoseconds: of all, and the longest.
    pub nanos: u64,
    /// See `nanos`.
    pub longest_nanos: u64,
    reasons: [u32; MAX_REASONS],
    times: [u32; BUCKETS],
}

impl DigestRow {
    fn new(schema: &str, text: &str, fingerprint: u64) -> Self {
        Self {
            schema: schema.into(),
            text: cut(text, MAX_TEXT).into(),
            fingerprint,
            count: 0,
            errors: 0,
            on_replica: 0,
            rows: 0,
            bytes: 0,
            nanos: 0,
            longest_nanos: 0,
            reasons: [0; MAX_REASONS],
            times: [0; BUCKETS],
        }
    }

    fn record(&mut self, execution: &Execution<'_>) {
        self.count += 1;
        self.errors += u64::from(execution.is_error);
        self.on_replica += u64::from(execution.on_replica);
        self.rows = self.rows.wrapping_add(execution.rows);
        self.bytes = self.bytes.wrapping_add(execution.bytes);
        self.nanos = self.nanos.saturating_add(execution.nanos);
        self.longest_nanos = self.longest_nanos.max(execution.nanos);
        if let Some(reason) = self.reasons.get_mut(execution.reason.min(MAX_REASONS - 1)) {
            *reason = reason.saturating_add(1);
        }
        if let Some(bucket) = self.times.get_mut(bucket_of(execution.nanos)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.on_replica += other.on_replica;
        self.rows = self.rows.wrapping_add(other.rows);
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.nanos = self.nanos.saturating_add(other.nanos);
        self.longest_nanos = self.longest_nanos.max(other.longest_nanos);
        for (sum, more) in self.reasons.iter_mut().zip(other.reasons) {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.times.iter_mut().zip(other.times) {
            *sum = sum.saturating_add(more);
        }
    }

    /// The time that this share (0 to 1) of the executions did not exceed, in nanoseconds, as [`percentile`]
    /// estimates it, and never more than the longest.
    pub fn quantile_nanos(&self, share: f64) -> u64 {
        let counts = self.times.map(u64::from);
        let nanos = percentile(&counts, share).map_or(0, |nanos| nanos.round() as u64);
        // The longest of all may lie beyond the last bound.
        let is_beyond = nanos == upper_bound(FINITE - 1).unwrap_or(u64::MAX);
        if is_beyond { self.longest_nanos } else { nanos.min(self.longest_nanos) }
    }

    /// Index of the reason that most executions had.
    pub fn main_reason(&self) -> usize {
        let most = self
            .reasons
            .iter()
            .enumerate()
            .max_by_key(|(index, count)| (**count, usize::MAX - index));
        most.map_or(0, |(index, _)| index)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Digests {
    workers: Box<[Mutex<Table>]>,
    /// Most rows of a table, and of what readers get.
    limit: AtomicUsize,
}

#[derive(Debug)]
struct Table {
    shapes: Shapes,
    places: HashMap<u64, u32, BuildHasherDefault<Same>>,
    rows: Vec<DigestRow>,
    /// Where the search for a row that makes room goes on.
    hand: usize,
    others: DigestRow,
}

impl Table {
    fn new() -> Self {
        let others = DigestRow::new("", "", 0);
        let (shapes, places) = (Shapes::default(), HashMap::default());
        Self { shapes, places, rows: Vec::new(), hand: 0, others }
    }
}

impl Digests {
    /// Tables for so many workers. Nothing is counted before there is a limit.
    pub fn new(workers: usize) -> Self {
        let workers = (0..workers.max(1)).map(|_| Mutex::new(Table::new())).collect();
        Self { workers, limit: AtomicUsize::new(0) }
    }

    /// The most rows of each table from now on; with 0 nothing is counted. Fewer than before: what there is
    /// is forgotten.
    pub fn set_limit(&self, limit: usize) {
        if self.limit.swap(limit, Ordering::Relaxed) > limit {
            self.reset();
        }
    }

    /// Whether anything is counted.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.limit.load(Ordering::Relaxed) > 0
    }

    /// Counts an execution on this worker. `fingerprint` is asked for the number of its digest when none is
    /// known of its shape, and `text` for the digest's text when it is new.
    pub fn record(
        &self,
        worker: usize,
        execution: &Execution<'_>,
        fingerprint: impl FnOnce() -> u64,
        text: impl FnOnce() -> String,
    ) {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == 0 {
            return;
        }
        let mut table = self.lock(worker);
        let table = &mut *table;
        let fingerprint = match execution.shape {
            Some(shape) => table.shapes.fingerprint(shape, fingerprint),
            None => fingerprint(),
        };
        let key = number(execution.schema, fingerprint);
        if let Some(row) = table.places.get(&key).and_then(|at| table.rows.get_mut(*at as usize)) {
            return row.record(execution);
        }
        let mut row = DigestRow::new(execution.schema, &text(), fingerprint);
        row.record(execution);
        if table.rows.len() < limit {
            table.places.insert(key, table.rows.len() as u32);
            table.rows.push(row);
            return;
        }
        let Some(at) = table.cheapest() else { return };
        if let Some(place) = table.rows.get_mut(at) {
            let gone = std::mem::replace(place, row);
            table.places.remove(&key_of(&gone));
            table.places.insert(key, at as u32);
            table.others.add(&gone);
        }
    }

    /// All rows, the most time first; last, if there is any, the one of the others. At most one more than
    /// the limit.
    pub fn rows(&self) -> Vec<DigestRow> {
        let mut sums: HashMap<u64, DigestRow> = HashMap::new();
        let mut others = DigestRow::new("", "", 0);
        for worker in 0..self.workers.len() {
            let table = self.lock(worker);
            others.add(&table.others);
            for row in &table.rows {
                sums.entry(key_of(row))
                    .and_modify(|sum| sum.add(row))
                    .or_insert_with(|| row.clone());
            }
        }
        let mut rows: Vec<DigestRow> = sums.into_values().collect();
        rows.sort_by(|a, b| (b.nanos, a.fingerprint).cmp(&(a.nanos, b.fingerprint)));
        let limit = self.limit.load(Ordering::Relaxed);
        rows.drain(limit.min(rows.len())..).for_each(|row| others.add(&row));
        rows.extend(Some(others).filter(|others| others.count > 0));
        rows
    }

    /// Forgets all.
    pub fn reset(&self) {
        for worker in 0..self.workers.len() {
            *self.lock(worker) = Table::new();
        }
    }

    fn lock(&self, worker: usize) -> MutexGuard<'_, Table> {
        // `new` made at least one.
        let table = &self.workers[worker % self.workers.len()];
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Of the next few rows the one that has taken the least time.
    fn cheapest(&mut self) -> Option<usize> {
        let places = (0..LOOKED_AT.min(self.rows.len())).map(|n| (self.hand + n) % self.rows.len());
        let at = places.min_by_key(|at| self.rows.get(*at).map_or(0, |row| row.nanos));
        self.hand = (self.hand + LOOKED_AT) % self.rows.len().max(1);
        at
    }
}

/// The fingerprints of the shapes of late. What is not found is reckoned anew, so a place has room for one.
#[derive(Debug, Default)]
struct Shapes {
    /// Shape and fingerprint; made when the first is put in.
    places: Box<[(u64, u64)]>,
}

impl Shapes {
    /// In 16 KiB a worker: more kinds of statements at a time are rare.
    const PLACES: usize = 1024;

    #[inline]
    fn fingerprint(&mut self, shape: u64, reckon: impl FnOnce() -> u64) -> u64 {
        if self.places.is_empty() {
            self.places = vec![(0, 0); Self::PLACES].into();
        }
        let Some(place) = self.places.get_mut(shape as usize % Self::PLACES) else {
            return reckon();
        };
        // A shape of 0 is never remembered: an empty place looks like it.
        if place.0 != shape || shape == 0 {
            *place = (shape, reckon());
        }
        place.1
    }
}

fn key_of(row: &DigestRow) -> u64 {
    number(&row.schema, row.fingerprint)
}

/// Schema and digest in one number.
fn number(schema: &str, fingerprint: u64) -> u64 {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let mix = |sum: u64, byte: &u8| (sum.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(FACTOR);
    schema.as_bytes().iter().fold(fingerprint, mix)
}

/// The keys are hashes.
#[derive(Debug, Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mix = |sum: u64, byte: &u8| sum.rotate_left(8) ^ u64::from(*byte);
        self.0 = bytes.iter().fold(self.0, mix);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn execution(nanos: u64) -> Execution<'static> {
        let (rows, bytes) = (2, 100);
        Execution {
            schema: "shop",
            shape: None,
            nanos,
            rows,
            bytes,
            is_error: false,
            on_replica: true,
            reason: 3,
        }
    }

    fn digests(workers: usize, limit: usize) -> Digests {
        let digests = Digests::new(workers);
        digests.set_limit(limit);
        digests
    }

    #[test]
    fn workers_are_added_up() {
        let digests = digests(2, 10);
        for (worker, nanos) in [(0, 1000), (1, 9000), (2, 2000)] {
            digests.record(worker, &execution(nanos), || 7, || "SELECT ?".to_owned());
        }
        digests.record(
            0,
            &Execution { schema: "other", is_error: true, ..execution(1) },
            || 7,
            String::new,
        );
        let rows = digests.rows();
        assert_eq!(rows.len(), 2);
        let row = &rows[0];
        assert_eq!((&*row.text, row.count, row.rows, row.bytes), ("SELECT ?", 3, 6, 300));
        assert_eq!(
            (row.nanos, row.longest_nanos, row.on_replica, row.errors),
            (12_000, 9000, 3, 0)
        );
        assert_eq!(row.main_reason(), 3);
        // Of three, one and a half: half way through the bucket of the second, from 1536 to 2048 ns.
        assert_eq!((row.quantile_nanos(0.5), row.quantile_nanos(0.99)), (1792, 9000));
        assert_eq!((&*rows[1].schema, rows[1].errors), ("other", 1));
        digests.reset();
        assert!(digests.rows().is_empty());
    }

    #[test]
    fn a_shape_is_reckoned_once() {
        let digests = digests(1, 9);
        let shaped = |shape| Execution { shape: Some(shape), ..execution(1) };
        let (one, same_place) = (7, 7 + Shapes::PLACES as u64);
        let mut reckoned = Vec::new();
        for shape in [one, one, same_place, one, 0, 0] {
            let fingerprint = || {
                reckoned.push(shape);
                shape + 1
            };
            digests.record(0, &shaped(shape), fingerprint, String::new);
        }
        assert_eq!(reckoned, [one, same_place, one, 0, 0]);
        let counts = digests.rows().into_iter().map(|row| (row.fingerprint, row.count));
        let mut counts: Vec<_> = counts.collect();
        counts.sort_unstable();
        assert_eq!(counts, [(1, 2), (one + 1, 3), (same_place + 1, 1)]);
    }

    #[test]
    fn long_texts_are_cut() {
        let one = digests(1, 1);
        one.record(0, &execution(1), || 1, || "é".repeat(MAX_TEXT));
        assert_eq!(one.rows()[0].text.len(), MAX_TEXT);
        let off = digests(1, 0);
        off.record(0, &execution(1), || 1, || unreachable!());
        assert!(off.rows().is_empty() && !off.is_on());
    }

    proptest! {
        /// Nothing is lost where there is no room, and what costs most stays.
        #[test]
        fn the_sum_is_that_of_all(
            few in prop::collection::vec((0u64..40, 1u64..1000), 0..300), limit in 1usize..20
        ) {
            let digests = digests(3, limit);
            for (at, (fingerprint, nanos)) in few.iter().enumerate() {
                digests.record(at, &execution(*nanos), || fingerprint + 1, String::new);
                digests.record(at, &execution(1_000_000), || 99, String::new);
            }
            let rows = digests.rows();
            prop_assert!(rows.len() <= limit + 1);
            let sum = |of: fn(&DigestRow) -> u64| rows.iter().map(of).sum::<u64>();
            prop_assert_eq!(sum(|row| row.count), 2 * few.len() as u64);
            let nanos = few.iter().map(|(_, nanos)| nanos + 1_000_000).sum::<u64>();
            prop_assert_eq!(sum(|row| row.nanos), nanos);
            if limit > 1 && !few.is_empty() {
                prop_assert_eq!(rows[0].fingerprint, 99);
                prop_assert_eq!(rows[0].count, few.len() as u64);
            }
        }
    }
}
