//! Tokens of the common sorts, cut from the bytes they begin with.
//!
//! Nearly all of a statement are plain names, words, short texts, commas and placeholders. They are
//! cut from a window of fixed length, so that its bytes are checked for being there once a token, and
//! not at each look. What is none of these, or goes on in a way that is seldom (bytes beyond ASCII,
//! escapes, names of three parts), is left to the [lexer](super::lexer), which would cut these as
//! well, with the same result; a property test holds that.

use super::bytes::{self, CLASSES, Class, fold, name_end};
use super::lexer::Lexer;
use super::mode::Make;
use super::variables;
use super::words::Word;

/// Bytes that are at hand for one token. Two names of up to 16 bytes in backticks, the dot between
/// them, the space before and what stands behind take 38.
const WINDOW: usize = 64;

/// The bit that letters have, and digits, spaces and most signs have not.
const LETTER: u8 = 0x40;

/// The bytes that a token begins with, zeros behind the end of the text.
type Window = [u8; WINDOW];

/// The end of a text, and zeros, so that there is a window at each place of it.
#[derive(Clone)]
pub(super) struct Tail {
    bytes: [u8; 2 * WINDOW],
    from: usize,
}

impl Tail {
    #[inline(always)]
    pub(super) fn of(text: &[u8]) -> Self {
        let from = text.len().saturating_sub(WINDOW);
        let mut bytes = [0; 2 * WINDOW];
        for (place, byte) in bytes.iter_mut().zip(text.get(from..).unwrap_or_default()) {
            *place = *byte;
        }
        Tail { bytes, from }
    }

    #[inline(always)]
    fn window(&self, at: u32) -> &Window {
        let behind =
            self.bytes.get((at as usize).saturating_sub(self.from)..).and_then(<[u8]>::first_chunk);
        behind.unwrap_or(&[0; WINDOW])
    }
}

impl Lexer<'_> {
    /// Kind, start and end of the token behind `from`, where one of the kind `last` ends, if it is of
    /// a common sort.
    #[inline(always)]
    pub(super) fn plain(&self, from: u32, last: Word) -> Option<(Word, u32, u32)> {
        let window = match window(self.text, from) {
            Some(window) => window,
            None => self.tail.window(from),
        };
        // Two branches and no sum: the processor guesses which, and need not wait for the byte before
        // it loads those behind it. The way from token to token is all that takes time here.
        if window[0] == b' ' {
            self.cut::<1>(window, from, last)
        } else {
            self.cut::<0>(window, from, last)
        }
    }

    /// As [`Lexer::plain`], behind so many spaces that the window begins with.
    #[inline(always)]
    fn cut<const SKIPPED: usize>(
        &self,
        window: &Window,
        from: u32,
        last: Word,
    ) -> Option<(Word, u32, u32)> {
        let at = from + SKIPPED as u32;
        // Zeros, and so no token, behind the end.
        let eight = eight_of(window, SKIPPED);
        let first = eight as u8;
        if first == b'`' {
            let (word, name, end) = self.plain_quoted(window, SKIPPED)?;
            if variables::may_be_server_schema(name - SKIPPED) {
                let name = window.get(SKIPPED..name).unwrap_or_default();
                self.note_schema(name);
            }
            return Some((word, at, from + end as u32));
        }
        if first & LETTER != 0 && last != Word::Dot {
            return match plain_word(eight) {
                Some((word, length)) => Some((word, at, at + length)),
                None => self.plain_name(at),
            };
        }
        let word = match CLASSES[first as usize] {
            Class::Digit => {
                let (bits, next) = bytes::short_number(eight);
                return bytes::ends_word(next).then_some((Word::Number, at, at + bits / 8));
            }
            Class::Quote => return self.plain_text(at),
            Class::Comma => Word::Comma,
            Class::Other => Word::Other,
            Class::Star if !self.in_version_comment => Word::Other,
            Class::Equals => Word::Equals,
            Class::OpenParen => Word::OpenParen,
            Class::CloseParen => Word::CloseParen,
            _ => return None,
        };
        Some((word, at, at + 1))
    }

    /// The identifier in backticks at `at`, or two with a dot between, if they are short and plain:
    /// the kind, the end of the first, and the end of both.
    #[inline(always)]
    fn plain_quoted(&self, window: &Window, at: usize) -> Option<(Word, usize, usize)> {
        let first = near_backtick(window, at + 1)? + 1;
        if self.mode.charset.is_multi_byte() {
            return None;
        }
        match window[first % WINDOW] {
            b'`' => None,
            b'.' if window[(first + 1) % WINDOW] == b'`' => {
                let end = near_backtick(window, first + 2)? + 1;
                let goes_on = matches!(window[end % WINDOW], b'.' | b'`');
                (!goes_on).then_some((Word::Qualified, first, end))
            }
            b'.' => None,
            _ => Some((Word::Quoted, first, first)),
        }
    }

    /// The word at `at` of letters, digits and `_` in ASCII, or two with a dot between.
    #[inline(never)]
    fn plain_name(&self, start: u32) -> Option<(Word, u32, u32)> {
        let at = start as usize;
        let dot = name_end(self.text, at);
        if dot == at {
            return None;
        }
        match bytes::two(self.text, dot) {
            [b'.', next] => match CLASSES[next as usize] {
                Class::Letter => {}
                Class::Digit | Class::Dollar | Class::Backtick => return None,
                _ => return Some((Word::find(self.text, at, dot), start, dot as u32)),
            },
            [b'$' | 0x80.., _] => return None,
            _ => return Some((Word::find(self.text, at, dot), start, dot as u32)),
        }
        let end = name_end(self.text, dot + 1);
        // The names of MariaDB's sequence functions are of this length.
        let sequence = self.mode.make == Make::MariaDb && end - dot == ".nextval".len();
        if sequence || matches!(self.byte(end), Some(b'.' | b'$' | 0x80..)) {
            return None;
        }
        self.note_schema(self.bytes(at, dot));
        Some((Word::Qualified, start, end as u32))
    }

    /// The string literal at `at`, if it is short and plain.
    #[inline(never)]
    fn plain_text(&self, start: u32) -> Option<(Word, u32, u32)> {
        let at = start as usize;
        let quote = self.byte(at)?;
        if self.mode.charset.is_multi_byte() || (quote == b'"' && self.mode.ansi_quotes) {
            return None;
        }
        let end = bytes::near_quote(self.text, at + 1, quote)?;
        let [found, next] = bytes::two(self.text, end);
        (found == quote && next != quote).then_some((Word::Text, start, end as u32 + 1))
    }
}

/// The window at a place of a text that is not near its end.
#[inline(always)]
fn window(text: &[u8], at: u32) -> Option<&Window> {
    let at = at as usize;
    text.get(at..at + WINDOW)?.first_chunk()
}

/// Eight bytes of a window, from one of its first 32 on.
#[inline(always)]
fn eight_of(window: &Window, at: usize) -> u64 {
    bytes::looked_at(8);
    // The mask, which changes nothing, spares a comparison.
    let eight = window[at % 32..].first_chunk();
    eight.map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// The word that eight bytes begin with, and its length, if it is nothing but up to seven letters.
#[inline(always)]
fn plain_word(eight: u64) -> Option<(Word, u32)> {
    let (bits, next) = bytes::short_run(eight);
    if !bytes::ends_word(next) {
        return None;
    }
    let word = match Word::find_short(fold(eight, bits)) {
        // What is known is of letters.
        Some(word) => word,
        None if bytes::short_word(eight).0 == bits => Word::None,
        None => return None,
    };
    Some((word, bits / 8))
}

/// Where the next backtick stands, if it is one of the next 16 bytes.
#[inline(always)]
fn near_backtick(window: &Window, at: usize) -> Option<usize> {
    bytes::backtick(eight_of(window, at))
        .map(|place| at + place)
        .or_else(|| bytes::backtick(eight_of(window, at + 8)).map(|place| at + 8 + place))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lexer::Token;
    use super::super::mode::{ClientCharset, LexMode};
    use super::*;

    /// Pieces that touch each other in any order.
    const PIECES: &[&str] = &[
        " ",
        "  ",
        "\t",
        "a",
        "Ab",
        "from",
        "select",
        "between",
        "customer",
        "created_at",
        "_",
        "$",
        "1",
        "12345678",
        "1.5",
        "0x1f",
        "1e",
        "é",
        "\u{a0}",
        "`",
        "``",
        "`a`",
        "`sys`",
        "`mysql`",
        "`orders`",
        "`customer_id`",
        "`a name of many bytes, more than 16`",
        "'",
        "''",
        "'a'",
        "'it\\'s'",
        "'some text'",
        "\"",
        "\"a\"",
        "\"mysql\"",
        "\\",
        ".",
        ",",
        "=",
        "(",
        ")",
        "*",
        "*/",
        "/*",
        "/*!",
        "/*! ",
        "--",
        "-- ",
        "#",
        "\n",
        "?",
        "@",
        "@@a",
        ":=",
        ";",
        "|",
        "{",
        "~",
        "^",
        "[",
        "\0",
        "mysql",
        "sys",
        "information_schema",
        "nextval",
        "currval",
        "update",
        "insert",
        "for",
        "lock",
        "in",
        "sql_calc_found_rows",
        "current_user",
    ];

    fn mode() -> impl Strategy<Value = LexMode> {
        let charset = prop::sample::select(vec![
            ClientCharset::AsciiSafe,
            ClientCharset::Utf8,
            ClientCharset::Gbk,
            ClientCharset::Sjis,
        ]);
        (any::<[bool; 3]>(), charset).prop_map(
            |([ansi_quotes, no_backslash_escapes, maria], charset)| {
                let make = if maria { Make::MariaDb } else { Make::MySql };
                let version = if maria { 101_119 } else { 90_704 };
                LexMode {
                    ansi_quotes,
                    no_backslash_escapes,
                    charset,
                    ..LexMode::utf8(make, version)
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn a_plain_token_is_the_one_that_the_lexer_cuts(
            pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40),
            byte in any::<u8>(),
            place in any::<prop::sample::Index>(),
            mode in mode(),
        ) {
            let mut text = pieces.concat().into_bytes();
            if !text.is_empty() {
                let place = place.index(text.len());
                text[place] = byte;
            }
            let mut lexer = Lexer::new(&text, &mode);
            let mut last = Token::NONE;
            loop {
                let state = |lexer: &Lexer<'_>| {
                    let marks = (lexer.ambiguous, lexer.in_version_comment, lexer.sequence_member);
                    (marks, lexer.hint, lexer.server_schema.get())
                };
                let plain = lexer.clone();
                let (word, _, end) = last.parts();
                let found = plain.plain(end, word);
                last = lexer.next(last);
                if let Some(found) = found {
                    prop_assert_eq!(found, last.parts(), "{:?}", String::from_utf8_lossy(&text));
                    prop_assert_eq!(state(&plain), state(&lexer), "{:?}", String::from_utf8_lossy(&text));
                }
                if last.word == Word::End {
                    break;
                }
            }
        }
    }
}
