//! What is dangerous in a text that is called a read, found by the plainest means.
//!
//! Written from the servers' manuals and without a look at lagwise's own lexer, with vectors of pieces
//! and strings of words, so that the two do not share an error.

use lagwise::sql::{LexMode, Make};

/// A piece of a text: what is neither white space nor a comment.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// An unquoted word that may be a keyword, in small letters.
    Word(String),
    /// A name that is no keyword: quoted, or part of a qualified one; in small letters.
    Name(String),
    /// A literal.
    Literal,
    /// `@name`.
    UserVariable,
    /// `@@name`.
    SystemVariable,
    /// `:=`.
    Assign,
    /// Any other byte.
    Byte(u8),
}

/// Nothing can be said of the text: a quote or a comment is open at its end, or the servers differ.
#[derive(Debug)]
pub struct Unclear;

const WHITE: &[u8] = b" \t\n\x0b\x0c\r";

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

struct Cutter<'a> {
    sql: &'a [u8],
    mode: &'a LexMode,
    at: usize,
    /// In the body of a version comment.
    in_body: bool,
    pieces: Vec<Piece>,
}

/// Cuts a text of one of the character sets in which ASCII is ASCII.
pub fn cut(sql: &[u8], mode: &LexMode) -> Result<Vec<Piece>, Unclear> {
    let mut cutter = Cutter { sql, mode, at: 0, in_body: false, pieces: Vec::new() };
    while cutter.at < sql.len() {
        cutter.piece()?;
    }
    if cutter.in_body { Err(Unclear) } else { Ok(cutter.pieces) }
}

impl Cutter<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.sql.get(self.at + ahead).copied().unwrap_or(b' ')
    }

    fn push(&mut self, length: usize, piece: Piece) -> Result<(), Unclear> {
        self.at += length;
        self.pieces.push(piece);
        Ok(())
    }

    fn piece(&mut self) -> Result<(), Unclear> {
        let byte = self.byte(0);
        match byte {
            // The servers end a text before a NUL behind which only white space stands.
            0 if self.sql[self.at + 1..].iter().all(|byte| WHITE.contains(byte)) => {
                self.at += 1;
                Ok(())
            }
            0 => Err(Unclear),
            _ if WHITE.contains(&byte) => {
                self.at += 1;
                Ok(())
            }
            b'#' => self.line(),
            b'-' if self.byte(1) == b'-' && (self.byte(2) <= b' ' || self.byte(2) == 0x7f) => {
                self.line()
            }
            b'/' if self.byte(1) == b'*' => self.comment(),
            b'*' if self.byte(1) == b'/' && self.in_body => {
                self.in_body = false;
                self.at += 2;
                Ok(())
            }
            b'\'' | b'"' | b'`' => self.quoted(byte),
            b'@' => self.variable(),
            b':' if self.byte(1) == b'=' => self.push(2, Piece::Assign),
            b'\\' if self.byte(1) == b'N' => self.push(2, Piece::Literal),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_ascii_digit() => {
                self.at += 1;
                self.fraction()
            }
            b'.' if in_name(self.byte(1)) => {
                self.at += 1;
                self.pieces.push(Piece::Byte(b'.'));
                self.name(true)
            }
            _ if in_name(byte) => self.name(false),
            _ => self.push(1, Piece::Byte(byte)),
        }
    }

    fn line(&mut self) -> Result<(), Unclear> {
        while self.at < self.sql.len() && self.sql[self.at] != b'\n' {
            if self.sql[self.at] == 0 {
                return Err(Unclear);
            }
            self.at += 1;
        }
        Ok(())
    }

    fn end_of_comment(&self, from: usize) -> Result<usize, Unclear> {
        let rest = self.sql.get(from..).ok_or(Unclear)?;
        rest.windows(2).position(|pair| pair == b"*/").map(|at| from + at + 2).ok_or(Unclear)
    }

    fn comment(&mut self) -> Result<(), Unclear> {
        if self.in_body {
            return Err(Unclear);
        }
        let maria = self.mode.make == Make::MariaDb;
        let head = match (self.byte(2), self.byte(3)) {
            (b'!', _) => 3,
            (b'M', b'!') if maria => 4,
            _ => {
                self.at = self.end_of_comment(self.at + 2)?;
                return Ok(());
            }
        };
        let digits: String = (head..head + 6)
            .map(|at| self.byte(at) as char)
            .take_while(char::is_ascii_digit)
            .collect();
        if digits.len() < 5 {
            self.in_body = true;
            self.at += head;
            return Ok(());
        }
        let version: u32 = digits.parse().map_err(|_| Unclear)?;
        let five: u32 = digits[..5].parse().map_err(|_| Unclear)?;
        let server = self.mode.server_version;
        if server == 0 || (maria && version == 99_997 && head == 3) {
            return Err(Unclear);
        }
        if !maria && (version <= server) != (five <= server) {
            return Err(Unclear);
        }
        let foreign = maria && head == 3 && (50_700..=99_999).contains(&version);
        self.at += head + digits.len();
        if version <= server && !foreign {
            self.in_body = true;
            return Ok(());
        }
        // The body is none, comments in it included.
        loop {
            let rest = self.sql.get(self.at..).ok_or(Unclear)?;
            if rest.starts_with(b"*/") {
                self.at += 2;
                return Ok(());
            }
            if rest.starts_with(b"/*") {
                self.at = self.end_of_comment(self.at + 2)?;
            } else if rest.is_empty() {
                return Err(Unclear);
            } else {
                self.at += 1;
            }
        }
    }

    /// The bytes in the quotes that open at hand.
    fn in_quotes(&mut self, quote: u8) -> Result<String, Unclear> {
        let text = quote == b'\'' || (quote == b'"' && !self.mode.ansi_quotes);
        let escapes = text && !self.mode.no_backslash_escapes;
        let mut inner = Vec::new();
        self.at += 1;
        loop {
            let &byte = self.sql.get(self.at).ok_or(Unclear)?;
            self.at += 1;
            if byte == b'\\' && escapes {
                self.at += 1;
            } else if byte != quote {
                inner.push(byte);
            } else if self.sql.get(self.at) == Some(&quote) {
                inner.push(byte);
                self.at += 1;
            } else {
                return Ok(String::from_utf8_lossy(&inner).to_ascii_lowercase());
            }
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<(), Unclear> {
        let inner = self.in_quotes(quote)?;
        let name = quote == b'`' || (quote == b'"' && self.mode.ansi_quotes);
        self.push(0, if name { Piece::Name(inner) } else { Piece::Literal })
    }

    fn variable(&mut self) -> Result<(), Unclear> {
        let system = self.byte(1) == b'@';
        self.at += if system { 2 } else { 1 };
        loop {
            match self.byte(0) {
                quote @ (b'\'' | b'"' | b'`') => {
                    self.in_quotes(quote)?;
                }
                byte if in_name(byte) => self.at += 1,
                b'.' => self.at += 1,
                _ => break,
            }
        }
        self.push(0, if system { Piece::SystemVariable } else { Piece::UserVariable })
    }

    fn digits(&mut self) {
        while self.byte(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<(), Unclear> {
        let start = self.at;
        self.digits();
        match self.byte(0) {
            b'.' => {
                self.at += 1;
                self.fraction()
            }
            b'e' | b'E' => {
                let sign = usize::from(matches!(self.byte(1), b'+' | b'-'));
                if self.byte(1 + sign).is_ascii_digit() {
                    self.at += 1 + sign;
                    self.digits();
                    self.push(0, Piece::Literal)
                } else {
                    self.at = start;
                    self.name(true)
                }
            }
            byte if in_name(byte) => {
                self.at = start;
                self.name(true)
            }
            _ => self.push(0, Piece::Literal),
        }
    }

    /// The rest of a number from behind its point.
    fn fraction(&mut self) -> Result<(), Unclear> {
        self.digits();
        if matches!(self.byte(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(1), b'+' | b'-'));
            if !self.byte(1 + sign).is_ascii_digit() {
                return Err(Unclear);
            }
            self.at += 1 + sign;
            self.digits();
        }
        self.push(0, Piece::Literal)
    }

    fn name(&mut self, member: bool) -> Result<(), Unclear> {
        if self.byte(0) == b'$' && !member {
            return Err(Unclear);
        }
        let start = self.at;
        while in_name(self.byte(0)) {
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.sql[start..self.at]).to_ascii_lowercase();
        let qualifies = self.byte(0) == b'.' && in_name(self.byte(1));
        let piece = if member || qualifies { Piece::Name(text) } else { Piece::Word(text) };
        self.pieces.push(piece);
        if qualifies {
            self.at += 1;
            self.pieces.push(Piece::Byte(b'.'));
            return self.name(true);
        }
        Ok(())
    }
}

/// What a statement that only reads may begin with.
const VERBS: &[&str] = &[
    "select", "table", "values", "with", "explain", "describe", "desc", "analyze", "show",
    "checksum", "help", "start",
];

/// Words that no question holds unquoted; of two of them functions have the names.
const WRITES: &[&str] = &[
    "update", "delete", "insert", "replace", "create", "alter", "drop", "call", "load", "grant",
    "revoke", "rename", "into", "lock",
];

/// Functions whose answer lives on the primary's connection, or that write.
const FUNCTIONS: &[&str] = &[
    "get_lock",
    "release_lock",
    "release_all_locks",
    "is_free_lock",
    "is_used_lock",
    "nextval",
    "lastval",
    "setval",
    "last_insert_id",
    "row_count",
    "found_rows",
    "connection_id",
];

/// What is dangerous in the text on a replica; `None` if nothing.
pub fn danger(sql: &[u8], mode: &LexMode) -> Option<String> {
    let Ok(pieces) = cut(sql, mode) else { return Some("unclear".to_owned()) };
    pieces.split(|piece| *piece == Piece::Byte(b';')).find_map(danger_in)
}

fn word(piece: Option<&Piece>) -> &str {
    match piece {
        Some(Piece::Word(word)) => word,
        _ => "",
    }
}

/// Where the statement begins that EXPLAIN explains; the end if it describes a table.
fn explained(pieces: &[Piece]) -> usize {
    let mut at = 1;
    loop {
        at += match word(pieces.get(at)) {
            "extended" | "partitions" | "analyze" => 1,
            "format" if pieces.get(at + 1) == Some(&Piece::Byte(b'=')) => 3,
            "for" => 3,
            "select" | "table" | "values" | "with" | "insert" | "replace" | "update" | "delete"
            | "into" => return at,
            _ if pieces.get(at) == Some(&Piece::Byte(b'(')) => return at,
            _ => return pieces.len(),
        };
    }
}

/// What is dangerous in one statement.
fn danger_in(pieces: &[Piece]) -> Option<String> {
    let start = pieces.iter().position(|piece| *piece != Piece::Byte(b'('))?;
    let pieces = &pieces[start..];
    let verb = word(pieces.first());
    if !VERBS.contains(&verb) {
        return Some(format!("begins with {:?}", pieces.first()));
    }
    let from = match verb {
        "show" | "checksum" | "help" | "start" => pieces.len(),
        "explain" | "describe" | "desc" | "analyze" => explained(pieces),
        _ => 0,
    };
    for (index, piece) in pieces.iter().enumerate() {
        let next = pieces.get(index + 1);
        let calls = next == Some(&Piece::Byte(b'('));
        let found = match piece {
            Piece::UserVariable | Piece::Assign => true,
            Piece::Word(name) | Piece::Name(name)
                if calls && FUNCTIONS.contains(&name.as_str()) =>
            {
                true
            }
            Piece::Word(name) if index >= from => match name.as_str() {
                "insert" | "replace" => !calls,
                "for" => ["update", "share"].contains(&word(next)),
                "value" => {
                    let before = index.checked_sub(1).and_then(|index| pieces.get(index));
                    ["next", "previous"].contains(&word(before)) && word(next) == "for"
                }
                name => WRITES.contains(&name),
            },
            _ => false,
        };
        if found {
            return Some(format!("{piece:?} {next:?}"));
        }
    }
    None
}
