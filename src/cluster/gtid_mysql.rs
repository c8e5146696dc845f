//! MySQL GTID sets, with the tags of 8.3 and later.
//!
//! Grammar: MySQL Reference Manual, "GTID Format and Storage": a set is a list of
//! `uuid[:tag]:interval[:interval]…`. Servers join the tags of one UUID
//! (`uuid:1-5:tag:1-3,\nuuid2:7`), and a tag reaches to the next tag or comma.
//!
//! Kept sorted and merged, so that the two hot questions (is this transaction in it, is that set
//! part of it) are binary searches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem;

use super::position::{ParseGtidError, Scanner};

/// Largest transaction number: a signed 64-bit integer on the server.
pub const MAX_GNO: u64 = i64::MAX as u64;
/// Longest tag, in characters.
const MAX_TAG: usize = 32;

/// Where transactions come from: the UUID of the server that first committed them, and the tag of
/// `gtid_next`, empty for most. Ordered as servers print them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    uuid: u128,
    tag: Box<str>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gtid {
    /// Who committed it first.
    pub source: Source,
    /// Its number there, from 1 to [`MAX_GNO`].
    pub gno: u64,
}

/// Transaction numbers `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    first: u64,
    last: u64,
}

/// A set of transactions, as in `@@global.gtid_executed`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidSet {
    /// Never an empty list; each list sorted, with a hole between any two neighbours.
    sources: BTreeMap<Source, Vec<Interval>>,
}

impl GtidSet {
    /// Parses the text form; white space between tokens and repeated commas are allowed, and
    /// intervals may come in any order and overlap.
    ///
    /// # Errors
    /// [`ParseGtidError`] when the text is too long or malformed.
    pub fn parse(text: &str) -> Result<GtidSet, ParseGtidError> {
        let mut scanner = Scanner::new(text)?;
        let mut set = GtidSet::default();
        loop {
            while scanner.eat(b',') {}
            if scanner.peek().is_none() {
                break;
            }
            set.parse_source(&mut scanner)?;
            if scanner.peek().is_some_and(|byte| byte != b',') {
                return Err(scanner.error("',' or the end"));
            }
        }
        for intervals in set.sources.values_mut() {
            normalize(intervals);
        }
        Ok(set)
    }

    /// Parses `@@global.gtid_owned`: each number has the thread that owns it behind it, `#12`.
    ///
    /// # Errors
    /// As [`GtidSet::parse`].
    pub fn parse_owned(text: &str) -> Result<GtidSet, ParseGtidError> {
        if !text.contains('#') {
            return GtidSet::parse(text);
        }
        let mut is_thread = false;
        let numbers = |c: &char| {
            is_thread = *c == '#' || is_thread && c.is_ascii_digit();
            !is_thread
        };
        GtidSet::parse(&text.chars().filter(numbers).collect::<String>())
    }

    /// One UUID with all that follows it up to the next comma; intervals are only collected.
    fn parse_source(&mut self, scanner: &mut Scanner<'_>) -> Result<(), ParseGtidError> {
        let uuid = parse_uuid(scanner)?;
        let mut source = Source { uuid, tag: "".into() };
        let mut intervals = Vec::new();
        // A UUID or a tag without an interval names no transaction: not something servers print.
        let mut complete = false;
        while scanner.eat(b':') {
            match scanner.peek() {
                Some(byte) if byte.is_ascii_digit() => {
                    intervals.push(parse_interval(scanner)?);
                    complete = true;
                }
                Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                    let tag = parse_tag(scanner)?;
                    self.collect(mem::replace(&mut source, Source { uuid, tag }), &mut intervals);
                    complete = false;
                }
                _ => return Err(scanner.error("an interval or a tag")),
            }
        }
        if !complete {
            return Err(scanner.error("':' and an interval"));
        }
        self.collect(source, &mut intervals);
        Ok(())
    }

    fn collect(&mut self, source: Source, intervals: &mut Vec<Interval>) {
        if !intervals.is_empty() {
            self.sources.entry(source).or_default().append(intervals);
        }
    }

    /// Whether the set holds no transaction.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// How many transactions the set holds; stops counting at `u64::MAX`.
    pub fn count(&self) -> u64 {
        self.sources
            .values()
            .flatten()
            .fold(0, |sum: u64, interval| sum.saturating_add(interval.last - interval.first + 1))
    }

    /// Whether every transaction of `other` is in this set.
    pub fn contains(&self, other: &GtidSet) -> bool {
        other.sources.iter().all(|(source, wanted)| {
            self.sources
                .get(source)
                .is_some_and(|held| wanted.iter().all(|interval| holds(held, *interval)))
        })
    }

    /// Whether one transaction is in this set.
    pub fn contains_gtid(&self, gtid: &Gtid) -> bool {
        let interval = Interval { first: gtid.gno, last: gtid.gno };
        self.sources.get(&gtid.source).is_some_and(|held| holds(held, interval))
    }

    /// Adds one transaction.
    pub fn insert(&mut self, gtid: Gtid) {
        let interval = Interval { first: gtid.gno, last: gtid.gno };
        insert(self.sources.entry(gtid.source).or_default(), interval);
    }

    /// Adds every transaction of `other`.
    pub fn union(&mut self, other: &GtidSet) {
        for (source, added) in &other.sources {
            let Some(held) = self.sources.get_mut(source) else {
                self.sources.insert(source.clone(), added.clone());
                continue;
            };
            match added.as_slice() {
                [one] => insert(held, *one),
                many => {
                    held.extend_from_slice(many);
                    normalize(held);
                }
            }
        }
    }

    /// The transactions of this set that are not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &GtidSet) -> GtidSet {
        let mut rest = GtidSet::default();
        for (source, held) in &self.sources {
            let taken = other.sources.get(source).map(Vec::as_slice).unwrap_or_default();
            let left = subtract(held, taken);
            if !left.is_empty() {
                rest.sources.insert(source.clone(), left);
            }
        }
        rest
    }

    /// What is in both.
    pub fn intersect(&self, other: &GtidSet) -> GtidSet {
        self.subtract(&self.subtract(other))
    }

    /// The servers that committed its transactions first.
    pub fn uuids(&self) -> impl Iterator<Item = u128> + '_ {
        self.sources.keys().map(|source| source.uuid)
    }

    /// The transactions that none of these servers committed first.
    #[must_use]
    pub fn without(mut self, uuids: &BTreeSet<u128>) -> GtidSet {
        self.sources.retain(|source, _| !uuids.contains(&source.uuid));
        self
    }

    /// Approximate size on the heap, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.sources
            .iter()
            .map(|(source, intervals)| {
                mem::size_of::<(Source, Vec<Interval>)>()
                    + source.tag.len()
                    + intervals.capacity() * mem::size_of::<Interval>()
            })
            .sum()
    }
}

/// Whether `interval` lies within one of `held`.
fn holds(held: &[Interval], interval: Interval) -> bool {
    let at = held.partition_point(|own| own.last < interval.first);
    held.get(at).is_some_and(|own| own.first <= interval.first && interval.last <= own.last)
}

/// Sorts and merges: neighbours that overlap or touch become one.
fn normalize(intervals: &mut Vec<Interval>) {
    intervals.sort_unstable();
    intervals.dedup_by(|next, kept| {
        // Numbers end at i64::MAX, so adding one cannot overflow.
        let joined = next.first <= kept.last + 1;
        if joined {
            kept.last = kept.last.max(next.last);
        }
        joined
    });
    intervals.shrink_to_fit();
}

/// Adds one interval to a normalized list.
fn insert(held: &mut Vec<Interval>, added: Interval) {
    // All that overlap or touch `added` become one with it.
    let from = held.partition_point(|own| own.last + 1 < added.first);
    let to = held.partition_point(|own| own.first <= added.last + 1);
    let merged = held.get(from..to).unwrap_or_default().iter().fold(added, |sum, own| Interval {
        first: sum.first.min(own.first),
        last: sum.last.max(own.last),
    });
    held.splice(from..to, [merged]);
}

/// What of `held` is not in `taken`; both normalized.
fn subtract(held: &[Interval], taken: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::new();
    for own in held {
        let mut first = own.first;
        let from = taken.partition_point(|taken| taken.last < own.first);
        for taken in taken.iter().skip(from).take_while(|taken| taken.first <= own.last) {
            if first < taken.first {
                left.push(Interval { first, last: taken.first - 1 });
            }
            first = taken.last + 1;
        }
        if first <= own.last {
            left.push(Interval { first, last: own.last });
        }
    }
    left
}

/// Reads a `server_uuid`; `None` if it is none.
pub fn parse_server_uuid(text: &str) -> Option<u128> {
    let mut scanner = Scanner::new(text).ok()?;
    let uuid = parse_uuid(&mut scanner).ok()?;
    scanner.peek().is_none().then_some(uuid)
}

/// `hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh`, in either case: the one form that servers print.
fn parse_uuid(scanner: &mut Scanner<'_>) -> Result<u128, ParseGtidError> {
    scanner.peek();
    let error = scanner.error("a UUID");
    let text = scanner.take_while(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if text.len() != 36 {
        return Err(error);
    }
    let mut uuid = 0;
    for (at, &byte) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return Err(error);
            }
        } else {
            let digit = char::from(byte).to_digit(16).ok_or(error)?;
            uuid = uuid << 4 | u128::from(digit);
        }
    }
    Ok(uuid)
}

/// `[a-z_][a-z0-9_]{0,31}`; servers fold capitals.
fn parse_tag(scanner: &mut Scanner<'_>) -> Result<Box<str>, ParseGtidError> {
    let error = scanner.error("a tag of at most 32 characters");
    let text = scanner.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if text.len() > MAX_TAG {
        return Err(error);
    }
    Ok(text.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect())
}

/// `m` or `m-n`.
fn parse_interval(scanner: &mut Scanner<'_>) -> Result<Interval, ParseGtidError> {
    let error = scanner.error("a transaction number from 1 to 9223372036854775807");
    let first = scanner.number(MAX_GNO, "a transaction number from 1 to 9223372036854775807")?;
    if first == 0 {
        return Err(error);
    }
    if !scanner.eat(b'-') {
        return Ok(Interval { first, last: first });
    }
    let last = scanner.number(MAX_GNO, "the interval's last number")?;
    if last < first {
        return Err(scanner.error("an interval that does not end before it begins"));
    }
    Ok(Interval { first, last })
}

impl Source {
    /// The source of a UUID's untagged transactions.
    pub fn untagged(uuid: u128) -> Source {
        Source { uuid, tag: "".into() }
    }

    fn fmt_uuid(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.uuid);
        for (at, digit) in hex.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                f.write_str("-")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for GtidSet {
    /// As servers print it: UUIDs in order, the tags of one UUID joined, sets apart by `,\n`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last_uuid = None;
        for (source, intervals) in &self.sources {
            if last_uuid != Some(source.uuid) {
                if last_uuid.is_some() {
                    f.write_str(",\n")?;
                }
                source.fmt_uuid(f)?;
                last_uuid = Some(source.uuid);
            }
            if !source.tag.is_empty() {
                write!(f, ":{}", source.tag)?;
            }
            for interval in intervals {
                write!(f, ":{}", interval.first)?;
                if interval.last > interval.first {
                    write!(f, "-{}", interval.last)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
