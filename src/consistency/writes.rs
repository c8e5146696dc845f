//! The writes of all sessions that others must see.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::catalogue::Catalogue;
use super::group::Group;
use super::stamps::Stamps;
use super::tables::Tables;

/// Names for what is no table.
const ANY_WRITE: u64 = 1;
const EVERY_TABLE: u64 = 2;

/// See the module's documentation.
#[derive(Debug)]
pub struct Writes {
    stamps: Stamps,
    /// What is known of views, triggers and such, and how many changes of it there had been before it was
    /// read; nothing where the monitor may not read it.
    catalogue: ArcSwapOption<(u64, Catalogue)>,
    /// Beginnings and ends of statements that may change the catalogue.
    changes: AtomicU64,
    /// Such statements that are running.
    changing: AtomicU64,
    changed: Notify,
    is_used: AtomicBool,
    /// Other processes that serve clients of the same lagwise: see [`Writes::other_begins`].
    others: AtomicUsize,
}

impl Writes {
    /// Whatever was written before `now` is not known here: it counts as written then, by everybody and to
    /// everything.
    pub fn new(now: Instant) -> Self {
        let writes = Self {
            stamps: Stamps::new(now),
            catalogue: ArcSwapOption::empty(),
            changes: AtomicU64::new(0),
            changing: AtomicU64::new(0),
            changed: Notify::new(),
            is_used: AtomicBool::new(false),
            others: AtomicUsize::new(0),
        };
        writes.unknown_until(now);
        writes
    }

    /// Anybody may have written anything until `now`.
    fn unknown_until(&self, now: Instant) {
        self.stamps.write(Group::EVERY, EVERY_TABLE, now);
        self.stamps.write(Group::EVERY, ANY_WRITE, now);
    }

    /// Another process serves clients from now on, or may do so: what is written there is not known here.
    pub fn other_begins(&self) {
        self.others.fetch_add(1, Ordering::SeqCst);
    }

    /// That process has ended by `now`.
    pub fn other_ended(&self, now: Instant) {
        // First: whoever sees that it has ended finds what it may have written.
        self.unknown_until(now);
        self.others.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether the primary is to be asked what was written, because others write whom this process does
    /// not hear of.
    #[inline]
    pub fn has_others(&self) -> bool {
        self.others.load(Ordering::SeqCst) > 0
    }

    /// Something was written to these tables, and is acknowledged from `now` on. `tables` are those that
    /// the statements named; what changes with them is added.
    pub fn written(&self, groups: &[Group], tables: &Tables, now: Instant) {
        if groups.is_empty() {
            return;
        }
        if !self.is_used.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
        }
        let tables = self.complete(tables);
        for &group in groups {
            if tables.is_every() {
                self.stamps.write(group, EVERY_TABLE, now);
            }
            tables.keys().iter().for_each(|key| self.stamps.write(group, key.0, now));
            // Last: whoever sees this finds the others.
            self.stamps.write(group, ANY_WRITE, now);
        }
    }

    /// These with all that changes along with them: what they say, others may say as well.
    pub fn complete(&self, tables: &Tables) -> Tables {
        if tables.is_every() {
            return Tables::every();
        }
        match &*self.catalogue.load() {
            Some(known) if self.is_current(known.0) => {
                let mut all = tables.clone();
                known.1.complete(&mut all);
                all
            }
            _ => Tables::every(),
        }
    }

    /// When something was last written in the group, whatever it was.
    pub fn last(&self, group: Group) -> Option<Instant> {
        self.stamps.last(group, ANY_WRITE).max(self.stamps.last(Group::EVERY, ANY_WRITE))
    }

    /// When one of these tables was last written in the group.
    pub fn last_of(&self, group: Group, tables: &Tables) -> Option<Instant> {
        let anything = || {
            let known = self.catalogue.load();
            known.as_ref().is_none_or(|known| known.1.has_opaque_among(tables))
        };
        if tables.is_every() || anything() {
            return self.last(group);
        }
        let last = |group| {
            let every = self.stamps.last(group, EVERY_TABLE);
            tables.keys().iter().filter_map(|key| self.stamps.last(group, key.0)).chain(every).max()
        };
        last(group).max(last(Group::EVERY))
    }

    /// Whether it is not known what a CALL that names these does.
    pub fn may_do_anything(&self, tables: &Tables) -> bool {
        let known = self.catalogue.load();
        let is_known = known
            .as_ref()
            .is_some_and(|known| self.is_current(known.0) && known.1.knows_routine_among(tables));
        !is_known || self.complete(tables).is_every()
    }

    /// A statement begins that may change views, triggers and such; until the guard is dropped and the
    /// catalogue was read after that, every write counts as one to every table.
    pub fn begin_change(&self) {
        self.changing.fetch_add(1, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The statement has ended, however it did.
    pub fn end_change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.changing.fetch_sub(1, Ordering::SeqCst);
        // Nobody is woken for what nobody uses.
        if self.is_used() {
            self.changed.notify_one();
        }
    }

    fn is_current(&self, as_of: u64) -> bool {
        self.changing.load(Ordering::SeqCst) == 0 && self.changes.load(Ordering::SeqCst) == as_of
    }

    /// Whether anybody has written where others must see it.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Returns when the catalogue is to be read (again) because of what was done through lagwise.
    pub fn catalogue_changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// What [`Writes::set_catalogue`] must be told: take it before the catalogue is read.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The catalogue was read after there had been so many changes; `None`: it cannot be.
    pub fn set_catalogue(&self, changes: u64, catalogue: Option<Catalogue>) {
        self.catalogue.store(catalogue.map(|catalogue| std::sync::Arc::new((changes, catalogue))));
    }
}
