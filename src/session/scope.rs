//! Whose writes the session's reads must see, and the writes of its own that others must.
//!
//! A write is noted with its tables when it begins, and made known when the server has acknowledged it,
//! before its client is told. What a transaction writes is made known when that ends.

use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::context::{Context, Settings};
use super::job::{Job, Tried};
use crate::cluster::{Cluster, Floor};
use crate::config::Scope;
use crate::consistency::{Group, TableKey, Tables, Writes, may_change_definitions};
use crate::protocol::response::ResponseKind;
use crate::route::Transaction;
use crate::sql::{Flags, LexMode, Statement, StatementKind};

/// A transaction with statements of more keys than these counts as one of every key.
const MAX_GROUPS: usize = 64;
/// So many tables that were read on the primary are told apart in a session.
const MAX_SEEN: usize = 64;
/// A read for which the primary is asked (`consistency.scope = "cluster"`) takes a moment; this long is waited for that and for a replica, if
/// `consistency.wait` says nothing else.
pub(super) const CLUSTER_WAIT: std::time::Duration = std::time::Duration::from_millis(20);

/// What the session has written and not yet made known.
#[derive(Debug, Default)]
pub struct Unacknowledged {
    groups: Vec<Group>,
    tables: Tables,
}

impl Unacknowledged {
    fn add(&mut self, groups: &[Group], tables: &Tables) {
        for group in groups {
            if !self.groups.contains(group) {
                self.groups.push(*group);
            }
        }
        if self.groups.len() > MAX_GROUPS {
            self.groups = vec![Group::EVERY];
        }
        self.tables.extend(tables);
    }

    /// All of it is acknowledged from `now` on. It stays until the next statement begins: this one may have
    /// more results.
    pub fn acknowledge(&self, writes: &Writes, now: Instant) {
        writes.written(&self.groups, &self.tables, now);
    }

    fn clear(&mut self) {
        self.groups.clear();
        self.tables.clear();
    }
}

/// The tables that the session has read on the primary, each with the last time.
#[derive(Debug, Default)]
pub struct SeenTables {
    tables: Vec<(TableKey, Instant)>,
    /// More than are told apart.
    every: Option<Instant>,
    last: Option<Instant>,
}

impl SeenTables {
    /// These were read until `at`.
    pub fn read(&mut self, tables: &Tables, at: Instant) {
        self.last = Some(at);
        if tables.is_every() {
            self.every = Some(at);
        }
        for &key in tables.keys() {
            let is_new = match self.tables.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => {
                    known.1 = at;
                    false
                }
                None => true,
            };
            if is_new && self.tables.len() < MAX_SEEN {
                self.tables.push((key, at));
            } else if is_new {
                self.every = Some(at);
            }
        }
    }

    /// When one of these was read last.
    fn last_of(&self, tables: &Tables) -> Option<Instant> {
        if tables.is_every() {
            return self.last;
        }
        let is_among = |(key, _): &&(TableKey, Instant)| tables.keys().contains(key);
        self.tables.iter().filter(is_among).map(|(_, at)| *at).chain(self.every).max()
    }

    fn clear(&mut self) {
        self.tables.clear();
        (self.every, self.last) = (None, None);
    }
}

impl Session {
    /// Whether what a read must see is looked at by table, the session's own writes and reads included.
    pub(super) fn is_by_table(settings: &Settings) -> bool {
        settings.by_table && matches!(settings.scope, Scope::Account | Scope::Global)
    }

    /// Those with whom the statement has its writes in common.
    fn groups(&self, job: &Job<'_>, settings: &Settings) -> impl Iterator<Item = Group> + use<> {
        let of_scope = match settings.scope {
            Scope::Session | Scope::Cluster => None,
            Scope::Account => Some(Group::of_user(&self.login.credential.user)),
            Scope::Global => Some(Group::ALL),
        };
        let hint = job.statement.hint.filter(|_| settings.policy.hints);
        let key = hint.and_then(|hint| hint.key);
        let key = key.map(|key| Group::of_key(key.of(self.text_of(job).unwrap_or_default())));
        of_scope.into_iter().chain(key.or(self.key))
    }

    /// Whether the primary is asked for its position before a read: others write of whom lagwise, or this
    /// process of it, does not hear, and their writes must be seen.
    pub(super) fn asks_primary(&self, job: &Job<'_>, settings: &Settings) -> bool {
        settings.scope == Scope::Cluster
            || self.context.writes.has_others() && self.groups(job, settings).next().is_some()
    }

    /// Before a statement runs: says so, if it may change views, triggers and such.
    pub(super) fn begin_change(&self, job: &Job<'_>) -> Changing {
        if !job.statement.may_write() || job.kind == ResponseKind::Prepare {
            return Changing(None);
        }
        let is_call = job.statement.kind == StatementKind::Call;
        let changes =
            may_change_catalogue(&job.statement, || self.text_of(job), self.state.lex_mode())
                || is_call && self.context.writes.may_do_anything(&self.tables_of(job));
        if changes {
            self.context.writes.begin_change();
        }
        Changing(changes.then(|| Arc::clone(&self.context)))
    }

    /// Before a statement runs on the primary: notes what it may write.
    pub(super) fn note_writing(&mut self, job: &Job<'_>, settings: &Settings) {
        if self.state.transaction() != Transaction::OnPrimary {
            self.unacknowledged.clear();
        }
        if !writes_itself(&job.statement) {
            return;
        }
        let groups: Vec<Group> = self.groups(job, settings).collect();
        if groups.is_empty() {
            return;
        }
        let tables = match self.judged_text(job) {
            Some(text) if settings.by_table && job.incoming.is_whole() => {
                let (schema, mode) = self.read_under(job);
                let tables = Tables::written(&job.statement, &text, schema, mode);
                let is_call = job.statement.kind == StatementKind::Call;
                if is_call && self.context.writes.may_do_anything(&tables) {
                    Tables::every()
                } else {
                    tables
                }
            }
            _ => Tables::every(),
        };
        self.unacknowledged.add(&groups, &tables);
    }

    /// The tables that a statement may read.
    pub(super) fn tables_of(&self, job: &Job<'_>) -> Tables {
        match self.judged_text(job) {
            Some(text) => {
                let (schema, mode) = self.read_under(job);
                Tables::read(&job.statement, &text, schema, mode)
            }
            None => Tables::every(),
        }
    }

    /// Default schema and lexing of a statement's text: a prepared one's are those of its PREPARE.
    fn read_under(&self, job: &Job<'_>) -> (&[u8], &LexMode) {
        match job.statement_id.and_then(|id| self.prepared.get(id)) {
            Some(known) => (known.shared.parse_state.schema(), known.shared.lex_mode()),
            None => (self.state.schema().unwrap_or_default(), self.state.lex_mode()),
        }
    }

    /// Adds to `floor` what the writes of others ask for, and by table what was read on the primary.
    pub(super) fn scope_demand(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
        cluster: &Cluster,
        tried: &Tried,
        floor: &mut Floor,
    ) {
        if self.asks_primary(job, settings) {
            floor.others = tried.began;
        }
        let writes = &self.context.writes;
        let last = self.groups(job, settings).filter_map(|group| writes.last(group)).max();
        let is_pending = |at: &Instant| !cluster.replicas().iter().all(|it| it.has_all_before(*at));
        let last = last.filter(is_pending);
        let seen = self.seen_tables.last.filter(|at| settings.monotonic_reads && is_pending(at));
        if seen.is_none() && self.seen_tables.last.is_some() {
            self.seen_tables.clear();
        }
        if last.is_none() && seen.is_none() {
            return;
        }
        // Something is there that not every replica has: so much is worth a look at the text.
        let tables = if settings.by_table { self.tables_of(job) } else { Tables::every() };
        let of_tables = |group| self.context.writes.last_of(group, &tables);
        let others = last.and_then(|_| self.groups(job, settings).filter_map(of_tables).max());
        floor.others = floor.others.max(others);
        floor.seen = floor.seen.max(seen.and_then(|_| self.seen_tables.last_of(&tables)));
    }
}

/// While it lives, a statement runs that may change views, triggers and such.
pub(super) struct Changing(Option<Arc<Context>>);

impl Drop for Changing {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.writes.end_change();
        }
    }
}

/// Whether a statement may change what is written along with a table.
fn may_change_catalogue<'a>(
    statement: &Statement,
    text: impl FnOnce() -> Option<&'a [u8]>,
    mode: &LexMode,
) -> bool {
    use StatementKind::*;
    match statement.kind {
        Ddl => !statement.flags.intersects(Flags::TEMPORARY | Flags::CREATES_TEMPORARY_TABLE),
        Unknown | TextExecute => true,
        _ => {
            let is_unclear = statement.flags.contains(Flags::AMBIGUOUS)
                || statement.flags.contains(Flags::MULTI)
                    && text().is_none_or(|text| may_change_definitions(text, mode));
            statement.may_write() && is_unclear
        }
    }
}

/// Whether a statement may write something by itself, and not by ending what was begun before.
fn writes_itself(statement: &Statement) -> bool {
    let ends = matches!(statement.kind, StatementKind::Commit | StatementKind::Rollback);
    statement.may_write() && !ends
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tables(names: &[&str]) -> Tables {
        let mut tables = Tables::default();
        names.iter().for_each(|name| tables.add(TableKey::of(b"shop", name.as_bytes())));
        tables
    }

    #[test]
    fn seen_tables_are_told_apart_up_to_a_bound() {
        let (mut seen, start) = (SeenTables::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        seen.read(&tables(&["a", "b"]), at(1));
        seen.read(&tables(&["a"]), at(2));
        assert_eq!(seen.last_of(&tables(&["a"])), Some(at(2)));
        assert_eq!(seen.last_of(&tables(&["b", "c"])), Some(at(1)));
        assert_eq!(seen.last_of(&tables(&["c"])), None);
        assert_eq!(seen.last_of(&Tables::every()), Some(at(2)));
        for number in 0..MAX_SEEN {
            seen.read(&tables(&[&format!("t{number}")]), at(3));
        }
        assert_eq!(seen.last_of(&tables(&["c"])), Some(at(3)), "it may be one of them");
        seen.clear();
        assert_eq!(seen.last_of(&Tables::every()), None);
    }

    #[test]
    fn a_transaction_is_made_known_as_a_whole() {
        let start = Instant::now();
        let writes = Writes::new(start);
        writes.set_catalogue(0, Some(crate::consistency::Catalogue::default()));
        let (one, other) = (Group::of_key(b"1"), Group::of_key(b"2"));
        let mut pending = Unacknowledged::default();
        pending.add(&[one], &tables(&["a"]));
        pending.add(&[other], &tables(&["b"]));
        let first = start + Duration::from_millis(1);
        let before = |at: Option<Instant>| at.is_some_and(|at| at < first);
        assert!(before(writes.last(one)), "what was before the start is not known");
        pending.acknowledge(&writes, first);
        for group in [one, other] {
            assert_eq!(writes.last_of(group, &tables(&["a"])), Some(first));
            assert_eq!(writes.last_of(group, &tables(&["b"])), Some(first));
            assert!(before(writes.last_of(group, &tables(&["c"]))));
        }
        let later = first + Duration::from_millis(1);
        pending.clear();
        pending.acknowledge(&writes, later);
        assert!(writes.last(one) < Some(later), "nothing was written since");
        for number in 0..=MAX_GROUPS {
            pending.add(&[Group::of_key(&number.to_be_bytes())], &tables(&["a"]));
        }
        pending.acknowledge(&writes, later);
        assert_eq!(writes.last(Group::of_key(b"any")), Some(later));
    }

    #[test]
    fn what_another_process_wrote_may_be_anything() {
        let start = Instant::now();
        let writes = Writes::new(start);
        writes.set_catalogue(0, Some(crate::consistency::Catalogue::default()));
        assert!(!writes.has_others());
        writes.other_begins();
        writes.other_begins();
        let end = start + Duration::from_millis(1);
        writes.other_ended(end);
        assert!(writes.has_others(), "there is one more");
        writes.other_ended(end);
        assert!(!writes.has_others());
        assert_eq!(writes.last_of(Group::ALL, &tables(&["a"])), Some(end));
        assert_eq!(writes.last_of(Group::of_key(b"1"), &Tables::every()), Some(end));
        assert!(!writes.is_used(), "nobody here has written");
    }
}
