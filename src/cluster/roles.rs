//! Who takes the writes: whether the primary does just now, and, where the configuration leaves that to
//! observation (`primary = "auto"`), which server it is. Pure: time is an argument.
//!
//! Nothing is promoted here. Whoever promotes a server (a DBA, orchestrator, Group Replication, a cloud's
//! own failover) turns its `read_only` off, which is what is looked for:
//!
//! - *Planned.* The primary turned read-only. Writes are held until another server is writable and has
//!   every transaction that the primary had.
//! - *Unplanned.* The primary is down, or does not answer any more, and another server, seen read-only
//!   before, is writable. What it lacks is lost already; that is said, and it is followed nevertheless.
//! - *Two.* While the primary answers that it is writable, no other server gets a write.
//!
//! That a server is writable says little by itself: many replicas are, by neglect. So it counts only of one
//! that was seen to turn writable between two probes of one connection (a restart may have turned it
//! back), or that replicates from nobody and has all that the primary had.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::health::Health;
use super::member::{MemberId, MemberStatus};
use super::position::Position;

/// How long a primary that does not say that it is writable is waited for once another server has turned
/// writable: two probes of the default `check_interval`.
const CONFIRM: Duration = Duration::from_millis(500);

/// Why statements for the primary are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// It does not answer.
    Down,
    /// It has turned read-only; another is about to take over.
    ReadOnly,
    /// Which server it is, is not known yet, or not to be told.
    Undecided,
    /// It is drained, so that another can take over: what would begin to write there waits.
    Drained,
}

impl Hold {
    /// The values of the metric's label.
    pub const NAMES: &'static [&'static str] = &["down", "read_only", "undecided", "drained"];

    /// The word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Hold::Down => "down",
            Hold::ReadOnly => "read_only",
            Hold::Undecided => "undecided",
            Hold::Drained => "drained",
        }
    }
}

/// What a server says of its replication, as far as it has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It has no channel.
    None,
    /// It has channels, and nothing runs in any.
    Stopped,
    /// Something runs.
    Running,
}

/// A server as this decision sees it.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Which.
    pub id: MemberId,
    /// May be the primary by the configuration.
    pub candidate: bool,
    /// What is known of it.
    pub status: &'a MemberStatus,
}

impl Seen<'_> {
    fn is_writable(&self) -> bool {
        let writable = self.status.read_only.is_some_and(|it| !it.read_only);
        self.status.health == Health::Up && writable
    }

    fn is_read_only(&self) -> bool {
        self.status.read_only.is_some_and(|it| it.read_only)
    }
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// The primary from now on; `None` while that is not known.
    pub primary: Option<MemberId>,
    /// Why statements for it wait, if they do.
    pub hold: Option<Hold>,
    /// The new primary lacks transactions that the old one was seen to have.
    pub lacks: bool,
    /// Writable servers that are not the primary, and might be taken for it.
    pub rivals: Vec<MemberId>,
}

/// What is remembered from probe to probe.
#[derive(Debug, Default)]
pub struct Roles {
    servers: BTreeMap<MemberId, Memory>,
    /// What the primary was last seen to have.
    last: Option<(MemberId, Arc<Position>)>,
}

#[derive(Debug, Default)]
struct Memory {
    /// By the last probe, if that was good.
    read_only: Option<bool>,
    /// When it was first seen writable after it had been seen read-only.
    turned_at: Option<Instant>,
    /// When the same could first be said of a server that replicates from nobody.
    alone_since: Option<Instant>,
}

impl Roles {
    /// Takes in what a probe has brought. `was_answered`: it is new, and came over the connection of the
    /// probe before.
    pub fn observe(
        &mut self,
        id: MemberId,
        status: &MemberStatus,
        was_answered: bool,
        is_primary: bool,
    ) {
        let memory = self.servers.entry(id).or_default();
        if !was_answered {
            memory.read_only = None;
            return;
        }
        let now = status.read_only.map(|it| it.read_only);
        match (memory.read_only, now) {
            (Some(true), Some(false)) => memory.turned_at = status.asked_at,
            (_, Some(true) | None) => memory.turned_at = None,
            _ => {}
        }
        memory.read_only = now;
        let is_alone = now == Some(false)
            && matches!(status.replication, Some(Replication::None | Replication::Stopped));
        memory.alone_since = memory.alone_since.or(status.asked_at).filter(|_| is_alone);
        if is_primary && let Some(position) = &status.position {
            self.last = Some((id, Arc::clone(position)));
        }
    }

    /// Forgets servers that are gone.
    pub fn retain(&mut self, is_there: impl Fn(MemberId) -> bool) {
        self.servers.retain(|id, _| is_there(*id));
        self.last.take_if(|(id, _)| !is_there(*id));
    }

    /// Who is the primary, where `current` was.
    pub fn decide(
        &self,
        servers: &[Seen<'_>],
        current: Option<MemberId>,
        now: Instant,
    ) -> Decision {
        match current.and_then(|id| servers.iter().find(|seen| seen.id == id)) {
            Some(current) => self.next(servers, current, now),
            None => first(servers),
        }
    }

    fn next(&self, servers: &[Seen<'_>], current: &Seen<'_>, now: Instant) -> Decision {
        let status = current.status;
        let keep =
            |hold, rivals| Decision { primary: Some(current.id), hold, lacks: false, rivals };
        let mut promoted: Vec<Promoted> = servers
            .iter()
            .filter(|seen| seen.id != current.id && seen.candidate && seen.is_writable())
            .filter_map(|seen| self.promoted(seen, current.id))
            .collect();
        // Those that have everything first; of several the one that was there first.
        promoted.sort_by_key(|it| (it.has_all != Some(true), it.since));
        let first_since = promoted.iter().map(|it| it.since).min();
        if status.health == Health::Down {
            return match promoted.first() {
                Some(best) => best.follow(),
                None => keep(Some(Hold::Down), Vec::new()),
            };
        }
        if current.is_read_only() {
            let fit = promoted.iter().find(|it| it.has_all.unwrap_or(it.turned));
            // Something must be done about those that lack something: nobody takes writes meanwhile.
            let lacking = promoted.iter().filter(|it| it.turned && it.has_all == Some(false));
            let rivals = lacking.map(|it| it.id).collect();
            return fit.map_or_else(|| keep(Some(Hold::ReadOnly), rivals), Promoted::follow);
        }
        let Some(first_since) = first_since else { return keep(None, Vec::new()) };
        let is_confirmed = status.asked_at.is_some_and(|asked| asked > first_since);
        if !is_confirmed
            && now.saturating_duration_since(first_since) >= CONFIRM
            && let Some(best) = promoted.iter().find(|it| it.turned)
        {
            return best.follow();
        }
        // Before it is confirmed, the next probe may well say that it has made way.
        let rivals = promoted.iter().filter(|_| is_confirmed);
        keep(None, rivals.map(|it| it.id).collect())
    }

    /// What speaks for a writable server's having been promoted, if anything does.
    fn promoted(&self, seen: &Seen<'_>, current: MemberId) -> Option<Promoted> {
        let memory = self.servers.get(&seen.id)?;
        let last = self.last.as_ref().filter(|(id, _)| *id == current).map(|(_, last)| last);
        let own = seen.status.position.as_ref();
        let has_all = own.zip(last).and_then(|(own, last)| {
            let same = std::mem::discriminant(&**own) == std::mem::discriminant(&**last);
            same.then(|| own.contains(last))
        });
        let turned = memory.turned_at.is_some();
        let since = match memory.turned_at {
            Some(at) => at,
            None => memory.alone_since.filter(|_| has_all == Some(true))?,
        };
        Some(Promoted { id: seen.id, since, turned, has_all })
    }
}

/// A server that somebody seems to have promoted.
#[derive(Debug)]
struct Promoted {
    id: MemberId,
    since: Instant,
    /// It was seen to turn writable.
    turned: bool,
    /// Whether it has everything that the primary was seen to have, if that can be told.
    has_all: Option<bool>,
}

impl Promoted {
    fn follow(&self) -> Decision {
        let lacks = self.has_all == Some(false);
        Decision { primary: Some(self.id), hold: None, lacks, rivals: Vec::new() }
    }
}

/// Who is the primary when lagwise starts: the only writable server, or the only one of several that
/// replicates from nobody. Where a server is down, the writable one must be such in any case: it may be a
/// replica of that one.
fn first(servers: &[Seen<'_>]) -> Decision {
    let undecided =
        |rivals| Decision { primary: None, hold: Some(Hold::Undecided), lacks: false, rivals };
    let candidates = || servers.iter().filter(|seen| seen.candidate);
    if candidates().any(|seen| seen.status.health == Health::Starting) {
        return undecided(Vec::new());
    }
    let choose = |seen: &Seen<'_>| Decision { primary: Some(seen.id), ..Decision::default() };
    let writable: Vec<&Seen<'_>> = candidates().filter(|seen| seen.is_writable()).collect();
    let alone = |seen: &&&Seen<'_>| {
        matches!(seen.status.replication, Some(Replication::None | Replication::Stopped))
    };
    let mut sources = writable.iter().filter(alone);
    match (writable.as_slice(), sources.next(), sources.next()) {
        ([only], ..) if candidates().all(|seen| seen.is_writable() || seen.is_read_only_now()) => {
            choose(only)
        }
        (_, Some(only), None) => choose(only),
        ([] | [_], ..) => undecided(Vec::new()),
        _ => undecided(writable.iter().map(|seen| seen.id).collect()),
    }
}

impl Seen<'_> {
    /// It answers, and says that it is read-only.
    fn is_read_only_now(&self) -> bool {
        self.status.health == Health::Up && self.is_read_only()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
