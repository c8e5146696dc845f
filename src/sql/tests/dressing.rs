//! The same statement in other clothes: keywords in another case, more white space, comments between
//! any two tokens. Every row of every table is dressed so (`check` and its kin do it).

use super::super::lexer::{Lexer, Token};
use super::super::words::Word;
use super::*;

/// All that the servers take for white space, alone and together, and plain comments.
const GAPS: &[&str] = &[
    " ",
    "\t",
    "\n",
    "\r",
    "\u{b}",
    "\u{c}",
    " \r\n\t ",
    "/**/",
    "/* FOR UPDATE; ' \" ` */",
    " /* -- # */ ",
    "/***/",
    "/*/ INTO @a */",
    "-- DELETE FROM \" '\n",
    "--\n",
    "--\t/*\n",
    "# x ` ' /*\n",
    "#\n",
];
/// Those of the gaps that are white space alone.
const WHITE: usize = 7;

/// What a statement is, without the places of names and hints in the text. `route::decide` sees no
/// more than this, so that what is equal here has one target and one reason.
pub(super) fn essence(statement: &Statement) -> (StatementKind, Flags, Vec<(u64, u64)>, String) {
    let names = statement.unknown_functions().map(|name| (name.hash, name.qualified)).collect();
    let hint = statement.hint.map(|hint| Hint {
        tag: hint.tag.map(|_| Span { start: 0, length: 0 }),
        key: hint.key.map(|_| Span { start: 0, length: 0 }),
        ..hint
    });
    (statement.kind, statement.flags, names, format!("{hint:?}"))
}

/// A text as its tokens and what stands before each and at the end.
struct Pieces<'a> {
    tokens: Vec<(Word, &'a [u8])>,
    gaps: Vec<&'a [u8]>,
}

impl<'a> Pieces<'a> {
    fn of(sql: &'a [u8], mode: &LexMode) -> Self {
        let mut lexer = Lexer::new(sql, mode);
        let (mut tokens, mut gaps) = (Vec::new(), Vec::new());
        let mut last = Token::NONE;
        loop {
            let token = lexer.next(last);
            gaps.push(&sql[last.end()..token.start()]);
            if token.word == Word::End {
                return Pieces { tokens, gaps };
            }
            tokens.push((token.word, lexer.slice(token)));
            last = token;
        }
    }

    /// Whether nothing may come between the token of this index and the one before it: a name and its
    /// parenthesis, a dot and its name, two dashes.
    fn is_joint(&self, index: usize) -> bool {
        let Some(&(before, text)) = index.checked_sub(1).and_then(|index| self.tokens.get(index))
        else {
            return false;
        };
        let here = self.tokens.get(index).map_or(Word::End, |token| token.0);
        self.gaps[index].is_empty()
            && ((before.is_name() && here == Word::OpenParen)
                || before == Word::Dot
                || here == Word::Dot
                || text == b"-")
    }
}

/// The text with gaps between any two of its tokens, and with the case of its words changed.
pub(crate) fn dress(sql: &[u8], mode: &LexMode, random: &mut fastrand::Rng) -> Vec<u8> {
    let pieces = Pieces::of(sql, mode);
    // In the body of a version comment a comment is of another meaning.
    let versions = sql.windows(3).any(|it| it == b"/*!") || sql.windows(4).any(|it| it == b"/*M!");
    let gaps = if versions { &GAPS[..WHITE] } else { GAPS };
    let mut dressed = Vec::new();
    for (index, gap) in pieces.gaps.iter().enumerate() {
        let end = index == pieces.tokens.len();
        let extra = (0..random.usize(0..3)).map(|_| gaps[random.usize(0..gaps.len())].as_bytes());
        let extra: Vec<u8> = extra.flatten().copied().collect();
        // At the end a comment may be open; at the beginning a hint may stand.
        match random.bool() || index == 0 {
            _ if pieces.is_joint(index) => dressed.extend_from_slice(gap),
            true if !end || gap.is_empty() => {
                dressed.extend_from_slice(gap);
                dressed.extend(extra);
            }
            _ => {
                dressed.extend(extra);
                dressed.extend_from_slice(gap);
            }
        }
        let Some(&(word, text)) = pieces.tokens.get(index) else { break };
        let plain = word >= Word::Qualified
            && word.is_name()
            && !text.starts_with(b"0")
            && !text.contains(&b'`');
        match (plain, random.u8(0..3)) {
            (true, 0) => dressed.extend(text.to_ascii_uppercase()),
            (true, 1) => dressed.extend(text.to_ascii_lowercase()),
            (true, _) => dressed.extend(text.iter().map(|byte| match random.bool() {
                true => byte.to_ascii_uppercase(),
                false => byte.to_ascii_lowercase(),
            })),
            _ => dressed.extend_from_slice(text),
        }
    }
    dressed
}

/// Holds that nothing is allocated meanwhile.
#[track_caller]
pub(crate) fn without_allocation<T>(what: impl FnOnce() -> T) -> T {
    let mut value = None;
    let counted = allocation_counter::measure(|| value = Some(what()));
    assert_eq!(counted.count_total, 0, "allocated {counted:?}");
    value.unwrap()
}

/// Holds that the text is what it is in any dress. Of an ambiguous one nothing is known, not even where
/// its strings end.
#[track_caller]
pub(crate) fn check_dressed(sql: &[u8], mode: &LexMode) {
    let expected = essence(&without_allocation(|| classify(sql, mode)));
    if expected.1.contains(Flags::AMBIGUOUS) {
        return;
    }
    let seed = sql.iter().fold(7, |sum: u64, &byte| sum.wrapping_mul(31) + u64::from(byte));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..24 {
        let dressed = dress(sql, mode, &mut random);
        let found = essence(&classify(&dressed, mode));
        let text = String::from_utf8_lossy(&dressed);
        assert_eq!(found, expected, "{}\nas\n{text}\n{mode:?}", String::from_utf8_lossy(sql));
    }
}

#[test]
fn a_dress_changes_the_text() {
    let sql = b"SELECT COUNT(*), t.a FROM t WHERE b=1--1 -- end";
    let mut random = fastrand::Rng::with_seed(1);
    let dressed: std::collections::HashSet<_> =
        (0..100).map(|_| dress(sql, &MYSQL, &mut random)).collect();
    assert!(dressed.len() > 95);
    let all: Vec<u8> = dressed.into_iter().flatten().collect();
    for gap in GAPS {
        assert!(all.windows(gap.len()).any(|it| it == gap.as_bytes()), "{gap:?}");
    }
    for kept in ["ount(", "T.A", "--1", "-- end"] {
        assert!(all.windows(kept.len()).any(|it| it == kept.as_bytes()), "{kept:?}");
    }
}

#[test]
#[should_panic = "allocated"]
fn an_allocation_is_seen() {
    without_allocation(|| vec![1]);
}
