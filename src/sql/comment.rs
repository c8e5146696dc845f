//! Comments, and the comments that are code.
//!
//! `/*! … */` is read by both servers, `/*!NNNNN … */` by servers of at least that version, and
//! `/*M!NNNNNN … */` by MariaDB alone (MySQL manual, "Comments"; MariaDB Knowledge Base, "Comment
//! Syntax"). MariaDB takes `/*!50700` to `/*!99999` for MySQL's and skips them.

use super::bytes;
use super::lexer::Lexer;
use super::mode::{ClientCharset, Make};

/// Whether the body of a version comment is code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Code,
    Comment,
    Either,
}

impl Lexer<'_> {
    /// `--`, of which the first dash is at `at`, begins a comment only before white space, a control
    /// character or the end.
    pub(super) fn is_dash_comment(&mut self, at: usize) -> bool {
        if self.byte(at + 1) != Some(b'-') {
            return false;
        }
        match self.byte(at + 2) {
            None | Some(0..=b' ' | 0x7f) => true,
            Some(0x80..) => {
                // A control character or a space in some character sets.
                self.ambiguous |= self.mode.charset != ClientCharset::Utf8;
                false
            }
            Some(_) => false,
        }
    }

    /// The end of the line.
    pub(super) fn line_comment(&mut self, at: usize) -> usize {
        let end = bytes::first_of(self.text, at, [b'\n', 0]).unwrap_or(self.text.len());
        // A NUL ends the comment, and what follows is code.
        self.ambiguous |= self.byte(end) == Some(0);
        end
    }

    /// The end of the comment at `at`, or of the head of one that is code; `leading` if no token
    /// stands before it.
    pub(super) fn block_comment(&mut self, at: usize, leading: bool) -> usize {
        // The servers disagree on what the first `*/` closes.
        self.ambiguous |= self.in_version_comment;
        let start = at + 2;
        match (self.byte(start), self.byte(start + 1)) {
            (Some(b'!'), _) => self.version_comment(start + 1, false),
            (Some(b'M'), Some(b'!')) if self.mode.make == Make::MariaDb => {
                self.version_comment(start + 2, true)
            }
            (Some(b'+'), _) => self.optimizer_hint(start + 1),
            _ => {
                let after = self.after_comment(start);
                if leading && self.hint.is_none() {
                    let end = after.saturating_sub(2).max(start);
                    let ours = super::hint::is_ours(self.bytes(start, end));
                    self.hint = ours.then_some((start, end));
                }
                after
            }
        }
    }

    /// Behind the next `*/`.
    fn after_comment(&mut self, at: usize) -> usize {
        let end = bytes::comment_end(self.text, at);
        self.ambiguous |= end.is_none();
        end.map_or(self.text.len(), |end| end + 2)
    }

    /// Behind the `*/` that ends the body of a version comment; a comment inside is of the body.
    fn after_skipped_body(&mut self, mut at: usize) -> usize {
        while let Some(byte) = self.byte(at) {
            bytes::looked_at(1);
            match (byte, self.byte(at + 1)) {
                (b'*', Some(b'/')) => return at + 2,
                (b'/', Some(b'*')) => at = self.after_comment(at + 2),
                _ => at += 1,
            }
        }
        self.ambiguous = true;
        at
    }

    /// From behind `/*!` or `/*M!`: the beginning of a body that is code, or the end of one that is
    /// none.
    fn version_comment(&mut self, at: usize, maria_only: bool) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        if digits < 5 {
            self.in_version_comment = true;
            return at;
        }
        let number = |count: usize| {
            rest.iter().take(count).fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'))
        };
        let body = self.version_body(number(digits), maria_only);
        // MySQL of old read five digits only.
        let five = self.version_body(number(5), maria_only);
        self.ambiguous |= five != body && self.mode.make == Make::MySql;
        self.ambiguous |= body == Body::Either;
        if body == Body::Comment {
            return self.after_skipped_body(at + digits);
        }
        self.in_version_comment = true;
        at + digits
    }

    fn version_body(&self, version: u32, maria_only: bool) -> Body {
        let server = self.mode.server_version;
        match self.mode.make {
            Make::MariaDb if maria_only => {}
            // Galera builds read this one as code.
            Make::MariaDb if version == 99_997 => return Body::Either,
            Make::MariaDb if (50_700..=99_999).contains(&version) => return Body::Comment,
            _ => {}
        }
        if server == 0 {
            Body::Either
        } else if version <= server {
            Body::Code
        } else {
            Body::Comment
        }
    }

    /// Behind the `*/` of `/*+ … */`, from behind the `+`. Hints change plans and variables of the one
    /// statement, never whether it writes; but names in them may be quoted, and then `*/` inside quotes
    /// does not end the hint.
    fn optimizer_hint(&mut self, start: usize) -> usize {
        let end = self.after_comment(start);
        let mut open: Option<u8> = None;
        for &byte in self.bytes(start, end) {
            match open {
                Some(quote) if byte == quote => open = None,
                None if matches!(byte, b'`' | b'"' | b'\'') => open = Some(byte),
                _ => {}
            }
        }
        bytes::looked_at(end - start);
        self.ambiguous |= open.is_some();
        end
    }
}
