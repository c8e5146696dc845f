//! Which statements are the same but for their values: their digests.
//!
//! MySQL's Performance Schema counts statements by a *digest*: the text with `?` in the place of each
//! value, lists of values as one, names in backticks, keywords in capitals (MySQL manual, "Performance
//! Schema Statement Digests and Sampling"; `sql/sql_digest.cc`). lagwise counts by the same, so that a row
//! of its own is found again in `events_statements_summary_by_digest`: [`digest_text`] gives that text.
//!
//! For every statement that runs there is [`fingerprint`], a number that is the same where the text is:
//! it takes the same steps ([`Pieces`]) and needs no table of keywords, no memory and a few nanoseconds a
//! token. It tells no case of letters apart and no quoted name from another, which digests of MySQL do.
//!
//! Most texts that run are one that ran before with other values: [`shape`] tells that of plain ones, and
//! what it tells apart costs no more than to look at each byte once.
//!
//! Two things are left out of the text that MySQL has: optimizer hints, which are comments to the lexer,
//! and the digest of MySQL 9 is of one statement, while a text of several is one here.

mod keywords;
mod pieces;
mod shape;
mod text;

#[cfg(test)]
mod tests;

pub use shape::shape;
pub use text::{digest_keywords, digest_text};

use super::lexer::Lexer;
use super::mode::LexMode;
use pieces::{Kind, Piece, Pieces, Sink};

/// The number of all statements that have the same digest.
///
/// Takes any bytes, and time in proportion to their number. What lies behind [`MAX_PIECES`] makes no
/// difference. Not for defence: who wants to can make two statements of one number.
pub fn fingerprint(sql: &[u8], mode: &LexMode) -> u64 {
    Pieces::new(Lexer::new(sql, mode), Hash(SEED)).run().0
}

/// Longest digest, in pieces: names, keywords, values, punctuation. Between 2 KiB and 6 KiB of text, where
/// MySQL by default keeps 1 KiB (`max_digest_length`).
pub const MAX_PIECES: usize = 512;

const SEED: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

struct Hash(u64);

impl Hash {
    #[inline(always)]
    fn mix(&mut self, value: u64) {
        let wide = u128::from(self.0 ^ value) * u128::from(FACTOR);
        self.0 = wide as u64 ^ (wide >> 64) as u64;
    }
}

impl Sink for Hash {
    #[inline]
    fn put(&mut self, piece: Piece, text: &[u8]) {
        const CAPITALS: u64 = 0x2020_2020_2020_2020;
        match piece.kind {
            Kind::Name | Kind::Word => {
                let mut chunks = text.chunks_exact(8);
                for chunk in chunks.by_ref() {
                    let bytes = chunk.try_into().unwrap_or_default();
                    self.mix(u64::from_le_bytes(bytes) | CAPITALS);
                }
                let rest =
                    chunks.remainder().iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
                self.mix(rest | CAPITALS);
                self.mix(text.len() as u64);
            }
            kind => {
                let operator = text.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
                self.mix((kind as u64) << 32 | operator);
            }
        }
    }
}
