//! Finding the byte that matters, eight at a time.
//!
//! Names and strings are most of a statement, and the lexer only wants to know where they end. Eight
//! bytes are looked at as one number; a string that goes on is left to `memchr`, whose start costs
//! more than most names are long.

use super::mode::ClientCharset;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES * 0x80;
/// Sets the bit that parts capitals from small letters.
const FOLD: u64 = ONES * 0x20;

/// Bytes of a string that are searched here before `memchr` is asked.
const SHORT: usize = 32;

/// What a byte begins.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// An operator, or a byte that no token begins with.
    Other,
    Space,
    Letter,
    Digit,
    Dollar,
    Quote,
    Backtick,
    Semicolon,
    OpenParen,
    CloseParen,
    Comma,
    Equals,
    Dot,
    At,
    Colon,
    Slash,
    Star,
    Dash,
    Hash,
    Backslash,
    Nul,
}

/// By byte.
pub(super) const CLASSES: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t'..=b'\r' => Class::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'$' => Class::Dollar,
            b'\'' | b'"' => Class::Quote,
            b'`' => Class::Backtick,
            b';' => Class::Semicolon,
            b'(' => Class::OpenParen,
            b')' => Class::CloseParen,
            b',' => Class::Comma,
            b'=' => Class::Equals,
            b'.' => Class::Dot,
            b'@' => Class::At,
            b':' => Class::Colon,
            b'/' => Class::Slash,
            b'*' => Class::Star,
            b'-' => Class::Dash,
            b'#' => Class::Hash,
            b'\\' => Class::Backslash,
            0 => Class::Nul,
            _ => Class::Other,
        };
        byte += 1;
    }
    table
};

/// Whether a byte may be part of an unquoted identifier.
#[inline]
pub(super) fn is_identifier(byte: u8) -> bool {
    matches!(CLASSES[byte as usize], Class::Letter | Class::Digit | Class::Dollar)
}

/// Whether a word ends before this byte, whatever follows. A dot may join it to another; zero, which
/// [`load`] gives behind the end, ends it.
#[inline(always)]
pub(super) fn ends_word(byte: u8) -> bool {
    const ENDS: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] =
                !matches!(CLASSES[byte], Class::Letter | Class::Digit | Class::Dollar | Class::Dot);
            byte += 1;
        }
        table
    };
    ENDS[byte as usize]
}

/// Tests count the bytes that are looked at, to hold that their number is linear in the length.
#[inline(always)]
pub(super) fn looked_at(_bytes: usize) {
    #[cfg(test)]
    work::add(_bytes);
}

#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local!(static BYTES: Cell<usize> = const { Cell::new(0) });

    pub(in crate::sql) fn add(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// What was counted since the last call.
    pub(in crate::sql) fn take() -> usize {
        BYTES.take()
    }
}

/// The eight bytes from `at` on, the first lowest; zeros behind the end.
#[inline(always)]
pub(super) fn load(text: &[u8], at: usize) -> u64 {
    looked_at(8);
    match text.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => load_last(text, at),
    }
}

/// As [`load`] where fewer than eight are left.
#[inline(never)]
fn load_last(text: &[u8], at: usize) -> u64 {
    let left = text.len().saturating_sub(at);
    match text.last_chunk() {
        Some(last) if left > 0 => u64::from_le_bytes(*last) >> (8 * (8 - left)),
        _ => load_few(text.get(at..).unwrap_or_default()),
    }
}

/// Up to seven bytes.
fn load_few(bytes: &[u8]) -> u64 {
    let (four, rest) = match bytes.split_first_chunk() {
        Some((four, rest)) => (u64::from(u32::from_le_bytes(*four)), rest),
        None => (0, bytes),
    };
    let few = match *rest {
        [a, b, c, ..] => u64::from(u32::from_le_bytes([a, b, c, 0])),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a] => u64::from(a),
        [] => 0,
    };
    if rest.len() < bytes.len() { four | few << 32 } else { few }
}

const fn each(byte: u8) -> u64 {
    ONES * byte as u64
}

/// The high bit of each byte that is zero. Bits above the lowest one set may lie.
const fn zeros(bytes: u64) -> u64 {
    bytes.wrapping_sub(ONES) & !bytes & HIGH
}

/// The high bit of each byte that is no letter in ASCII. Bits above the lowest one set may lie.
#[inline(always)]
const fn no_letters(eight: u64) -> u64 {
    let folded = eight | FOLD;
    // A sum reaches the next byte only from one beyond ASCII, which is no letter itself.
    let letters = folded.wrapping_add(each(0x80 - b'a')) & !folded.wrapping_add(each(0x7f - b'z'));
    !(letters & !eight) & HIGH
}

/// How many bits of the eight bytes are letters up to the first byte that is none, at most seven bytes
/// of them, and the byte behind.
#[inline(always)]
pub(super) fn short_word(eight: u64) -> (u32, u8) {
    up_to_seven(eight, no_letters(eight))
}

/// As [`short_word`] for letters and other bytes that have the bit of letters set, which costs less.
#[inline(always)]
pub(super) fn short_run(eight: u64) -> (u32, u8) {
    let bits = ((!eight >> 6) & ONES | 1 << 56).trailing_zeros();
    (bits, eight.wrapping_shr(bits) as u8)
}

/// As [`short_word`] for digits.
#[inline(always)]
pub(super) fn short_number(eight: u64) -> (u32, u8) {
    up_to_seven(eight, !digits(eight) & HIGH)
}

/// The bits below the lowest one in `ends`, in whole bytes, and the byte there; of the eighth if
/// there is none before.
#[inline(always)]
fn up_to_seven(eight: u64, ends: u64) -> (u32, u8) {
    let bits = (ends | 1 << 63).trailing_zeros() & !7;
    (bits, (eight >> bits) as u8)
}

/// The high bit of each byte that is a digit. Bits above the lowest one that is not set may lie.
#[inline(always)]
const fn digits(eight: u64) -> u64 {
    // As in `no_letters`: what is beyond ASCII is no digit.
    eight.wrapping_add(each(0x80 - b'0')) & !eight.wrapping_add(each(0x7f - b'9')) & !eight & HIGH
}

/// The high bit of each byte that is `_`, and of no other.
#[inline(always)]
const fn underscores(eight: u64) -> u64 {
    let other = eight ^ each(b'_');
    !((other & !HIGH).wrapping_add(!HIGH) | other) & HIGH
}

/// Where the letters, digits and `_` in ASCII from `at` on end.
#[inline]
pub(super) fn name_end(text: &[u8], mut at: usize) -> usize {
    loop {
        let eight = load(text, at);
        let ends = no_letters(eight) & !digits(eight) & !underscores(eight);
        if ends != 0 {
            return at + (ends.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
}

/// The two bytes from `at` on, zeros behind the end.
#[inline(always)]
pub(super) fn two(text: &[u8], at: usize) -> [u8; 2] {
    match text.get(at..).unwrap_or_default() {
        [first, second, ..] => [*first, *second],
        [first] => [*first, 0],
        [] => [0, 0],
    }
}

/// The first bits of eight bytes, at least 8 and in whole bytes, in the place of the last, with the case of letters folded. Of
/// identifier bytes in ASCII no two that differ otherwise become one.
#[inline(always)]
pub(super) const fn fold(eight: u64, bits: u32) -> u64 {
    (eight | FOLD).wrapping_shl(bits.wrapping_neg())
}

/// Where the identifier bytes from `at` on end, as far as they are of ASCII.
#[inline]
pub(super) fn identifier_end(text: &[u8], at: usize) -> usize {
    let mut end = name_end(text, at);
    while text.get(end) == Some(&b'$') {
        end = name_end(text, end + 1);
    }
    end
}

/// What ends the search for the end of a quoted token.
#[derive(Clone, Copy)]
pub(super) struct QuoteEnd {
    /// The quote, which is also what a backslash is taken for where it escapes nothing.
    quote: u8,
    escape: u8,
    /// The high bits, where a byte may be the first of several.
    high: u64,
}

impl QuoteEnd {
    pub(super) fn new(quote: u8, escapes: bool, charset: ClientCharset) -> Self {
        QuoteEnd {
            quote,
            escape: if escapes { b'\\' } else { quote },
            high: if charset.is_multi_byte() { HIGH } else { 0 },
        }
    }

    /// Where the first byte stands, from `at` on, that is the quote, a backslash that escapes, or the
    /// first of a character of several bytes; the length of the text if there is none.
    #[inline(always)]
    pub(super) fn find(self, text: &[u8], mut at: usize) -> usize {
        let long = at.saturating_add(SHORT);
        loop {
            let eight = load(text, at);
            let found = zeros(eight ^ each(self.quote))
                | zeros(eight ^ each(self.escape))
                | (eight & self.high);
            if found != 0 {
                return at + (found.trailing_zeros() / 8) as usize;
            }
            at += 8;
            if at >= text.len() {
                return text.len();
            }
            if at >= long && self.high == 0 {
                return self.find_far(text, at);
            }
        }
    }

    #[inline(never)]
    fn find_far(self, text: &[u8], at: usize) -> usize {
        let rest = text.get(at..).unwrap_or_default();
        let length = memchr::memchr2(self.quote, self.escape, rest).unwrap_or(rest.len());
        looked_at(length);
        at + length
    }
}

/// Which of the eight bytes is the first backtick.
#[inline(always)]
pub(super) fn backtick(eight: u64) -> Option<usize> {
    let found = zeros(eight ^ each(b'`'));
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

/// Where the next quote of this kind or backslash stands, if it is one of the next 16 bytes.
#[inline(always)]
pub(super) fn near_quote(text: &[u8], at: usize, quote: u8) -> Option<usize> {
    for at in [at, at + 8] {
        let eight = load(text, at);
        let found = zeros(eight ^ each(quote)) | zeros(eight ^ each(b'\\'));
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
    }
    None
}

/// Where `*/` stands from `at` on.
pub(super) fn comment_end(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let mut slashes = memchr::memchr_iter(b'/', rest);
    let found = slashes.find(|&slash| slash > 0 && rest.get(slash - 1) == Some(&b'*'));
    looked_at(found.unwrap_or(rest.len()));
    found.map(|slash| at + slash - 1)
}

/// Where the first of two bytes stands from `at` on.
pub(super) fn first_of(text: &[u8], at: usize, bytes: [u8; 2]) -> Option<usize> {
    let rest = text.get(at..)?;
    let found = memchr::memchr2(bytes[0], bytes[1], rest);
    looked_at(found.unwrap_or(rest.len()));
    found.map(|length| at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_where_letters_do() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut text = [b'a'; 8];
                text[place] = byte;
                let place = if byte.is_ascii_alphabetic() { 7 } else { place };
                let expected = (8 * place as u32, text[place]);
                assert_eq!(short_word(u64::from_le_bytes(text)), expected, "{text:?}");
                let expected = if byte < 0x80 && is_identifier(byte) { 8 } else { place };
                assert_eq!(identifier_end(&text, 0), expected, "{text:?}");
            }
            assert!(!(ends_word(byte) && is_identifier(byte)));
        }
    }

    #[test]
    fn ends_are_found_at_every_place() {
        for length in 0..80 {
            for place in 0..=length {
                let mut text = vec![b'a'; length];
                if let Some(byte) = text.get_mut(place) {
                    *byte = b'`';
                }
                let quote = QuoteEnd::new(b'`', false, ClientCharset::Utf8);
                for at in 0..=place.min(length) {
                    assert_eq!(quote.find(&text, at), place, "{length} {at}");
                    assert_eq!(identifier_end(&text, at), place, "{length} {at}");
                }
                for (byte, expected) in [(b'\\', length), (0xe0, length)] {
                    let mut text = text.clone();
                    text.iter_mut().skip(place).for_each(|it| *it = byte);
                    let find =
                        |escapes, charset| QuoteEnd::new(b'`', escapes, charset).find(&text, 0);
                    assert_eq!(find(false, ClientCharset::Utf8), expected);
                    assert_eq!(
                        find(byte == b'\\', ClientCharset::Gbk),
                        place,
                        "{length} {place} {byte}"
                    );
                }
            }
        }
    }

    #[test]
    fn eight_bytes_end_with_the_text() {
        let text: Vec<u8> = (1..=20).collect();
        for length in 0..=text.len() {
            let text = &text[..length];
            for at in 0..=length + 1 {
                let mut expected = [0; 8];
                let rest = text.get(at..).unwrap_or_default();
                let count = rest.len().min(8);
                expected[..count].copy_from_slice(&rest[..count]);
                assert_eq!(load(text, at), u64::from_le_bytes(expected), "{length} {at}");
            }
        }
    }
}
