//! What an application asks of lagwise in a leading comment:
//! `/* lagwise: replica, tag=reporting, max_lag=2s */ SELECT …`.
//!
//! Directives are parted by commas or white space. A hint that is not understood whole is ignored
//! whole, and the statement says so ([`super::Flags::BAD_HINT`]), so that a misspelt hint shows in a
//! counter and never half applies. A hint is advice within the promises: it cannot send a write to a
//! replica nor make a session read older data than it wrote.

/// A piece of the statement's text, so that a [`Hint`] stays `Copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub length: u32,
}

impl Span {
    /// The bytes of the span in the text that was classified; empty for another, shorter text.
    pub fn of(self, sql: &[u8]) -> &[u8] {
        let start = self.start as usize;
        sql.get(start..start + self.length as usize).unwrap_or_default()
    }
}

/// The side that a hint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintTarget {
    /// `primary`
    Primary,
    /// `replica`
    Replica,
}

/// What a leading comment asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// `primary` or `replica`.
    pub target: Option<HintTarget>,
    /// `tag=name`: only replicas that carry this tag. 1 to 64 of `A-Z a-z 0-9 _ . -`.
    pub tag: Option<Span>,
    /// `max_lag=250ms|2s|1m`: only replicas with at most this lag, in milliseconds.
    pub max_lag_ms: Option<u32>,
    /// `key=value`: the consistency key of the read or write. 1 to 128 printable ASCII bytes.
    pub key: Option<Span>,
    /// `trace`: the client wants to see the route.
    pub trace: bool,
}

const LONGEST_TAG: usize = 64;
const LONGEST_KEY: usize = 128;
const PREFIX: &[u8] = b"lagwise:";

/// Whether the body of a comment speaks to lagwise.
pub(super) fn is_ours(body: &[u8]) -> bool {
    body.trim_ascii_start().get(..PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(PREFIX))
}

/// Reads the comment body `sql[start..end]`; `None` if any part of it is not understood.
pub(super) fn parse(sql: &[u8], start: usize, end: usize) -> Option<Hint> {
    let body = sql.get(start..end)?;
    let skipped = body.len() - body.trim_ascii_start().len() + PREFIX.len();
    let mut hint = Hint::default();
    let mut count = 0;
    let mut at = skipped;
    while let Some(&byte) = body.get(at) {
        if byte == b',' || byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let rest = body.get(at..)?;
        let length = rest
            .iter()
            .position(|&byte| byte == b',' || byte.is_ascii_whitespace())
            .unwrap_or(rest.len());
        hint.apply(rest.get(..length)?, start + at)?;
        count += 1;
        at += length;
    }
    (count > 0).then_some(hint)
}

impl Hint {
    /// Takes one directive; `None` if it is unknown, malformed or given twice.
    fn apply(&mut self, directive: &[u8], offset: usize) -> Option<()> {
        let equals = directive.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(equals) => (directive.get(..equals)?, directive.get(equals + 1..)),
            None => (directive, None),
        };
        let span = |value: &[u8]| {
            let start = u32::try_from(offset + name.len() + 1).ok()?;
            Some(Span { start, length: u32::try_from(value.len()).ok()? })
        };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        match value {
            None if is("primary") => once(&mut self.target, HintTarget::Primary),
            None if is("replica") => once(&mut self.target, HintTarget::Replica),
            None if is("trace") => {
                self.trace = true;
                Some(())
            }
            Some(value) if is("tag") && is_tag(value) => once(&mut self.tag, span(value)?),
            Some(value) if is("key") && is_key(value) => once(&mut self.key, span(value)?),
            Some(value) if is("max_lag") => once(&mut self.max_lag_ms, milliseconds(value)?),
            _ => None,
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn is_tag(value: &[u8]) -> bool {
    (1..=LONGEST_TAG).contains(&value.len())
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

fn is_key(value: &[u8]) -> bool {
    (1..=LONGEST_KEY).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

/// `250ms`, `2s`, `1m`: at most eight digits, no sign, no fraction.
fn milliseconds(value: &[u8]) -> Option<u32> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=8).contains(&digits) {
        return None;
    }
    let number =
        value.iter().take(digits).fold(0u32, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    let unit = match value.get(digits..)? {
        b"ms" => 1,
        b"s" => 1_000,
        b"m" => 60_000,
        _ => return None,
    };
    number.checked_mul(unit)
}
