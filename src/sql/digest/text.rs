//! The text of a digest, as MySQL writes it.

use super::super::lexer::Lexer;
use super::super::mode::LexMode;
use super::keywords::{FUNCTIONS, KEYWORDS, SYNONYMS};
use super::pieces::{Kind, Piece, Pieces, Sink};

/// The text of a statement's digest: at most [`super::MAX_PIECES`] pieces, and `...` where it goes on.
///
/// Keywords are those of MySQL 9.7 (`information_schema.KEYWORDS`), whatever the server is. Not for every
/// statement that runs, as it looks up each word and takes memory: [`super::fingerprint`] is.
pub fn digest_text(sql: &[u8], mode: &LexMode) -> String {
    let mut text = Pieces::new(Lexer::new(sql, mode), Text::default()).run();
    text.flush(None);
    text.out
}

/// The words that a digest has in capitals.
pub fn digest_keywords() -> &'static [&'static str] {
    KEYWORDS
}

#[derive(Default)]
struct Text {
    out: String,
    /// A word that is a keyword only if a parenthesis touches it, and where it ends.
    pending: Option<(String, u32)>,
}

impl Sink for Text {
    fn put(&mut self, piece: Piece, text: &[u8]) {
        let is_open = matches!(piece.kind, Kind::Open | Kind::Row | Kind::WideRow);
        self.flush(is_open.then_some(piece.start));
        match piece.kind {
            Kind::Name => self.name(text),
            Kind::Word => self.word(&String::from_utf8_lossy(text), piece.end),
            Kind::Place => self.add(&String::from_utf8_lossy(text)),
            Kind::Variable => self.add("@?"),
            Kind::Charset => self.add("(_charset)"),
            Kind::Operator if text == b"<>" => self.add("!="),
            Kind::Operator | Kind::Sign => self.add(&String::from_utf8_lossy(text)),
            Kind::Open => self.add("("),
            Kind::Close => self.add(")"),
            Kind::Comma => self.add(","),
            Kind::Value => self.add("?"),
            Kind::Values => self.add("?, ..."),
            Kind::Row => self.add("(?)"),
            Kind::Rows => self.add("(?) /* , ... */"),
            Kind::WideRow | Kind::InList => self.add("(...)"),
            Kind::WideRows => self.add("(...) /* , ... */"),
            Kind::Cut => self.add("..."),
        }
    }
}

impl Text {
    fn add(&mut self, text: &str) {
        // No space behind those of variables.
        if !self.out.is_empty() && !self.out.ends_with('@') {
            self.out.push(' ');
        }
        self.out.push_str(text);
    }

    fn name(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).replace("``", "`");
        self.add(&format!("`{name}`"));
    }

    fn word(&mut self, word: &str, end: u32) {
        let upper = word.to_ascii_uppercase();
        if KEYWORDS.binary_search(&upper.as_str()).is_ok() {
            self.add(synonym(&upper));
        } else if FUNCTIONS.binary_search(&upper.as_str()).is_ok() {
            self.pending = Some((word.to_owned(), end));
        } else {
            self.name(word.as_bytes());
        }
    }

    /// Writes the word that waits for what follows: a parenthesis that begins at `open`, perhaps.
    fn flush(&mut self, open: Option<u32>) {
        let Some((word, end)) = self.pending.take() else { return };
        if open == Some(end) {
            self.add(synonym(&word.to_ascii_uppercase()));
        } else {
            self.name(word.as_bytes());
        }
    }
}

/// MySQL writes one of several words that mean the same.
fn synonym(word: &str) -> &str {
    SYNONYMS.iter().find(|(said, _)| *said == word).map_or(word, |(_, written)| written)
}
