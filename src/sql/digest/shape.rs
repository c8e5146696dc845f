//! What a plain text is but for its numbers and strings, for a fraction of what its digest costs.

use super::{Hash, SEED};

/// A number that is the same only for texts of one [`fingerprint`](super::fingerprint), in any mode that
/// the same server and client have: the bytes but for numbers and strings that stand where a value does.
///
/// `None` for texts that would have to be read as the lexer does: with comments, double quotes,
/// backslashes, variables, or letters beyond ASCII. Two texts of one fingerprint may well have two shapes;
/// it serves to find a fingerprint that is known already. Takes time in proportion to the text.
pub fn shape(sql: &[u8]) -> Option<u64> {
    let mut shape = Shape { hash: Hash(SEED), chunk: 0, length: 0 };
    let mut at = 0;
    // The byte before that is no white space, and whether numbers may be places of an ORDER BY.
    let (mut before, mut by_was_said) = (b' ', false);
    while let Some(&byte) = sql.get(at) {
        let start = at;
        at += 1;
        match class(byte) {
            Class::Space => {
                shape.put(byte);
                continue;
            }
            Class::Plain => shape.put(byte),
            Class::Letter | Class::Digit => {
                at += length_of_word(sql.get(at..)?);
                let word = sql.get(start..at)?;
                let is_value = class(byte) == Class::Digit
                    && word.iter().all(u8::is_ascii_digit)
                    && matches!(sql.get(at), None | Some(b' ' | b'\n' | b',' | b')' | b';'))
                    && stands_for_a_value(before, by_was_said);
                if is_value {
                    shape.put(VALUE);
                } else {
                    word.iter().for_each(|byte| shape.put(*byte));
                    by_was_said |= word.eq_ignore_ascii_case(b"by");
                }
            }
            Class::Quote => {
                at += end_of_string(sql.get(at..)?)?;
                shape.put(VALUE);
            }
            Class::Backtick => {
                at += sql.get(at..)?.iter().position(|byte| *byte == b'`')? + 1;
                let name = sql.get(start..at)?;
                if !name.is_ascii() || name.contains(&b'\\') {
                    return None;
                }
                name.iter().for_each(|byte| shape.put(*byte));
            }
            Class::Unclear => return None,
        }
        before = byte;
    }
    Some(shape.end())
}

/// In the place of a value: no byte that is hashed as it is.
const VALUE: u8 = 0xff;

/// The digits of a sign's number, and of a place in ORDER BY, are part of what a digest looks at.
fn stands_for_a_value(before: u8, by_was_said: bool) -> bool {
    match before {
        b'=' | b'<' | b'>' => true,
        b'(' | b',' => !by_was_said,
        // Behind a word: LIMIT 10.
        _ => class(before) == Class::Letter && !by_was_said,
    }
}

fn length_of_word(text: &[u8]) -> usize {
    let is_end = |byte: &u8| !matches!(class(*byte), Class::Letter | Class::Digit);
    text.iter().position(is_end).unwrap_or(text.len())
}

/// Behind the opening quote, up to behind the closing one. Nothing if there is none, or what is between is
/// not the same in every character set and mode.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| matches!(byte, b'\'' | b'\\') || !byte.is_ascii())?;
    (text.get(end) == Some(&b'\'')).then_some(end + 1)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Digit,
    /// Punctuation that means the same whatever is next to it.
    Plain,
    Quote,
    Backtick,
    /// May begin a comment, or what reads otherwise by mode.
    Unclear,
}

#[inline(always)]
fn class(byte: u8) -> Class {
    const CLASSES: [Class; 256] = {
        let mut classes = [Class::Unclear; 256];
        let mut byte = 0;
        while byte < 256 {
            classes[byte] = match byte as u8 {
                b' ' | b'\n' => Class::Space,
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Letter,
                b'0'..=b'9' => Class::Digit,
                b',' | b'.' | b'=' | b'(' | b')' | b'*' | b'<' | b'>' | b'+' | b'?' | b';' => {
                    Class::Plain
                }
                b'\'' => Class::Quote,
                b'`' => Class::Backtick,
                _ => Class::Unclear,
            };
            byte += 1;
        }
        classes
    };
    CLASSES[byte as usize]
}

/// Eight bytes at a time.
struct Shape {
    hash: Hash,
    chunk: u64,
    length: u64,
}

impl Shape {
    #[inline(always)]
    fn put(&mut self, byte: u8) {
        self.chunk = self.chunk << 8 | u64::from(byte);
        self.length += 1;
        if self.length.is_multiple_of(8) {
            self.hash.mix(self.chunk);
        }
    }

    fn end(mut self) -> u64 {
        self.hash.mix(self.chunk);
        self.hash.mix(self.length);
        self.hash.0
    }
}
