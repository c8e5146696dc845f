//! Comments, and the comments that are code.
//!
//! `/*! … */` is read by both servers, `/*!NNNNN … */` by servers of at least that version, and
//! `/*M!NNNNNN … */` by MariaDB alone (MySQL manual, "Comments"; MariaDB Knowledge Base, "Comment
//! Syntax"). MariaDB takes `/*!50700` to `/*!99999` for MySQL's and skips them.

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
    /// `--` begins a comment only before white space, a control character or the end.
    pub(super) fn is_dash_comment(&mut self) -> bool {
        if self.peek(1) != Some(b'-') {
            return false;
        }
        match self.peek(2) {
            None | Some(0..=b' ' | 0x7f) => true,
            Some(0x80..) => {
                // A control character or a space in some character sets.
                self.ambiguous |= self.mode.charset != ClientCharset::Utf8;
                false
            }
            Some(_) => false,
        }
    }

    /// Moves to the end of the line.
    pub(super) fn line_comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n' || byte == 0);
        // A NUL ends the comment, and what follows is code.
        self.ambiguous |= length.is_some_and(|length| rest.get(length) == Some(&0));
        self.at = length.map_or(self.text.len(), |length| self.at + length);
    }

    /// Moves past a comment, or into the body of one that is code.
    pub(super) fn block_comment(&mut self) {
        // The servers disagree on what the first `*/` closes.
        self.ambiguous |= self.in_version_comment;
        let start = self.at + 2;
        match (self.peek(2), self.peek(3)) {
            (Some(b'!'), _) => {
                self.at += 3;
                self.version_comment(false);
            }
            (Some(b'M'), Some(b'!')) if self.mode.make == Make::MariaDb => {
                self.at += 4;
                self.version_comment(true);
            }
            (Some(b'+'), _) => {
                self.at += 3;
                self.optimizer_hint();
            }
            _ => {
                self.at += 2;
                self.skip_to_comment_end(0);
                if self.leading && self.hint.is_none() {
                    let end = self.at.saturating_sub(2).max(start);
                    let body = self.text.get(start..end).unwrap_or_default();
                    self.hint = super::hint::is_ours(body).then_some((start, end));
                }
            }
        }
    }

    /// Moves past the next `*/`; comments inside count up to `depth` deep.
    fn skip_to_comment_end(&mut self, depth: u32) {
        while let Some(byte) = self.peek(0) {
            if byte == b'*' && self.peek(1) == Some(b'/') {
                self.at += 2;
                return;
            }
            if byte == b'/' && self.peek(1) == Some(b'*') && depth > 0 {
                self.at += 2;
                self.skip_to_comment_end(depth - 1);
            } else {
                self.at += 1;
            }
        }
        self.ambiguous = true;
    }

    /// After `/*!` or `/*M!`.
    fn version_comment(&mut self, maria_only: bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        if digits < 5 {
            self.in_version_comment = true;
            return;
        }
        let number = |count: usize| {
            rest.iter().take(count).fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'))
        };
        let body = self.version_body(number(digits), maria_only);
        // MySQL of old read five digits only.
        let five = self.version_body(number(5), maria_only);
        self.ambiguous |= five != body && self.mode.make == Make::MySql;
        self.ambiguous |= body == Body::Either;
        self.at += digits;
        if body == Body::Comment {
            self.skip_to_comment_end(1);
        } else {
            self.in_version_comment = true;
        }
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

    /// Moves past `/*+ … */`. Hints change plans and variables of the one statement, never whether it
    /// writes; but names in them may be quoted, and then `*/` inside quotes does not end the hint.
    fn optimizer_hint(&mut self) {
        let start = self.at;
        self.skip_to_comment_end(0);
        let mut open: Option<u8> = None;
        for &byte in self.text.get(start..self.at).unwrap_or_default() {
            match open {
                Some(quote) if byte == quote => open = None,
                None if matches!(byte, b'`' | b'"' | b'\'') => open = Some(byte),
                _ => {}
            }
        }
        self.ambiguous |= open.is_some();
    }
}
