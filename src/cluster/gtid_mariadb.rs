//! MariaDB GTID positions.
//!
//! MariaDB numbers the transactions of a replication domain in one sequence, whichever server
//! commits them, so the last transaction of a domain stands for all before it (MariaDB
//! documentation, "Global Transaction ID"). A position is one GTID `domain-server-sequence` for
//! each domain; the server id says who committed that transaction and takes no part in the order.
//!
//! The one case where the number alone deceives is a replica that was written to by itself: its
//! own `0-2-101` says nothing about the primary's `0-1-101`. That is why a replica's position is
//! not read from `gtid_current_pos`, see [`applied`], and why [`GtidState`] keeps the servers
//! apart.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;

use super::position::{ParseGtidError, Scanner};

/// The last transaction of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    server_id: u32,
    seq_no: u64,
}

/// The last transaction of each domain, as in `@@global.gtid_slave_pos`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidPosition {
    domains: BTreeMap<u32, Last>,
}

impl GtidPosition {
    /// Parses `0-1-100,1-2-30`; white space between tokens is allowed. When a domain occurs twice
    /// its highest sequence number wins, so `@@gtid_binlog_state` parses to its position.
    ///
    /// # Errors
    /// [`ParseGtidError`] when the text is too long or malformed.
    pub fn parse(text: &str) -> Result<GtidPosition, ParseGtidError> {
        let mut position = GtidPosition::default();
        parse_list(text, |domain_id, last| position.insert(domain_id, last))?;
        Ok(position)
    }

    fn insert(&mut self, domain_id: u32, last: Last) {
        let held = self.domains.entry(domain_id).or_insert(last);
        if last.seq_no > held.seq_no {
            *held = last;
        }
    }

    /// Whether no transaction is held.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// Whether this position is at or past `other` in every domain of `other`.
    pub fn contains(&self, other: &GtidPosition) -> bool {
        other.domains.iter().all(|(domain_id, wanted)| {
            self.domains.get(domain_id).is_some_and(|held| held.seq_no >= wanted.seq_no)
        })
    }

    /// Moves on to `other` in every domain where that is further.
    pub fn union(&mut self, other: &GtidPosition) {
        for (domain_id, last) in &other.domains {
            self.insert(*domain_id, *last);
        }
    }

    /// Whether it has a domain of which `primary` knows nothing: there is another source.
    pub fn has_other_domains(&self, primary: &GtidState) -> bool {
        let known = |domain_id: &u32| {
            primary.servers.range((*domain_id, 0)..=(*domain_id, u32::MAX)).next().is_some()
        };
        !self.domains.keys().all(known)
    }

    /// Approximate size on the heap, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.domains.len() * mem::size_of::<(u32, Last)>()
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (domain_id, last)) in self.domains.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{domain_id}-{}-{}", last.server_id, last.seq_no)?;
        }
        Ok(())
    }
}

/// The last transaction of each server in each domain, as in `@@global.gtid_binlog_state`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidState {
    servers: BTreeMap<(u32, u32), u64>,
}

impl GtidState {
    /// Parses the same list as a position, keeping every server.
    ///
    /// # Errors
    /// [`ParseGtidError`] when the text is too long or malformed.
    pub fn parse(text: &str) -> Result<GtidState, ParseGtidError> {
        let mut state = GtidState::default();
        parse_list(text, |domain_id, last| state.insert(domain_id, last))?;
        Ok(state)
    }

    fn insert(&mut self, domain_id: u32, last: Last) {
        let held = self.servers.entry((domain_id, last.server_id)).or_default();
        *held = last.seq_no.max(*held);
    }

    /// Adds what a position says about the servers it names.
    pub fn add(&mut self, position: &GtidPosition) {
        for (domain_id, last) in &position.domains {
            self.insert(*domain_id, *last);
        }
    }

    /// Whether a transaction that `server_id` committed is known here, by a later or the same one
    /// of that very server.
    fn knows(&self, domain_id: u32, server_id: u32, seq_no: u64) -> bool {
        self.servers.get(&(domain_id, server_id)).is_some_and(|known| *known >= seq_no)
    }

    /// The transactions that `server_id` committed by itself (its own entries here) and that
    /// `primary` has never seen.
    pub fn errant(&self, server_id: u32, primary: &GtidState) -> GtidPosition {
        let mut errant = GtidPosition::default();
        for (&(domain_id, committed_by), &seq_no) in &self.servers {
            if committed_by == server_id && !primary.knows(domain_id, server_id, seq_no) {
                errant.insert(domain_id, Last { server_id, seq_no });
            }
        }
        errant
    }
}

/// What a replica has applied, from three of its variables and what its primary knows.
///
/// `gtid_slave_pos` alone says what came by replication, after it was committed. It is blind to
/// what the replica wrote while it was a primary itself, which matters where each server has its
/// own domain: without it a former primary could never catch up in its own domain. The server's
/// own mixture `gtid_current_pos` adds those transactions, but also any that someone wrote to the
/// replica by mistake, and then claims the primary's transactions of the same numbers. So a
/// transaction of the replica's own (by `gtid_binlog_pos` and `server_id`) counts only if the
/// primary knows it. `gtid_binlog_pos` in whole would be wrong as well: with `log_slave_updates` it
/// moves before the transaction is visible to readers.
pub fn applied(
    slave_pos: &GtidPosition,
    binlog_pos: &GtidPosition,
    server_id: u32,
    primary: Option<&GtidState>,
) -> GtidPosition {
    let mut applied = slave_pos.clone();
    for (domain_id, last) in &binlog_pos.domains {
        let known = primary.is_some_and(|state| state.knows(*domain_id, server_id, last.seq_no));
        if last.server_id == server_id && known {
            applied.insert(*domain_id, *last);
        }
    }
    applied
}

/// Reads `domain-server-sequence`, comma-separated.
fn parse_list(text: &str, mut each: impl FnMut(u32, Last)) -> Result<(), ParseGtidError> {
    let mut scanner = Scanner::new(text)?;
    loop {
        while scanner.eat(b',') {}
        if scanner.peek().is_none() {
            return Ok(());
        }
        let domain_id = parse_id(&mut scanner, "a domain id")?;
        if !scanner.eat(b'-') {
            return Err(scanner.error("'-' and a server id"));
        }
        let server_id = parse_id(&mut scanner, "a server id")?;
        if !scanner.eat(b'-') {
            return Err(scanner.error("'-' and a sequence number"));
        }
        let seq_no = scanner.number(u64::MAX, "a sequence number")?;
        each(domain_id, Last { server_id, seq_no });
        if scanner.peek().is_some_and(|byte| byte != b',') {
            return Err(scanner.error("',' or the end"));
        }
    }
}

fn parse_id(scanner: &mut Scanner<'_>, expected: &'static str) -> Result<u32, ParseGtidError> {
    let error = scanner.error(expected);
    let value = scanner.number(u64::from(u32::MAX), expected)?;
    u32::try_from(value).map_err(|_| error)
}

#[cfg(test)]
mod tests;
