//! The words that the classifier tells apart, found in constant time.
//!
//! A word is known by eight of its bytes, read as one number, which the lexer has at hand anyway; the
//! table is laid out at compile time so that one look suffices. Functions have a table of their own
//! (`functions.rs`) because nearly every word of a statement is looked up here, and only those before
//! a parenthesis there.

use super::bytes::{fold, load};

/// Mixes length and four bytes of a word, ASCII case ignored.
pub(super) const fn hash(word: &[u8]) -> usize {
    let n = word.len();
    if n == 0 {
        return 0;
    }
    let second = if n > 1 { word[1] } else { 0 };
    let packed = (word[0] as u32 | 0x20)
        | (second as u32 | 0x20) << 8
        | (word[n / 2] as u32 | 0x20) << 16
        | (word[n - 1] as u32 | 0x20) << 24;
    let mixed = packed.wrapping_mul(0x9e37_79b1) ^ (n as u32).wrapping_mul(0x85eb_ca6b);
    (mixed.wrapping_mul(0xc2b2_ae35) >> 16) as usize
}

macro_rules! words {
    (
        quiet { $($quiet:ident $quiet_name:literal)* }
        reserved { $($reserved:ident $reserved_name:literal)* }
        loud { $($loud:ident $loud_name:literal)* }
    ) => {
        /// What a token is: a byte or literal of some sort, a word without meaning to routing, or a
        /// keyword. One enum of one byte for all, so that a token fits into two registers.
        ///
        /// In the order of the enum names stand together, and so do reserved words, and the tokens that
        /// are loud: that mean something wherever they stand, or as parentheses may.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(super) enum Word {
            /// A string literal, quotes included.
            Text,
            Number,
            CloseParen,
            Comma,
            Dot,
            Equals,
            /// Any other byte.
            Other,
            /// A quoted identifier, quotes included.
            Quoted,
            /// Names joined by dots without white space, quoted or not: ``shop.`orders` ``.
            Qualified,
            /// An unquoted name, or a keyword of no meaning here. Some such keywords are frequent and
            /// among the words all the same: what is known costs less.
            None,
            $($quiet,)*
            $($reserved,)*
            $($loud,)*
            OpenParen,
            /// `@name`, whole.
            UserVariable,
            /// `@@name` or `@@scope.name`, whole.
            SystemVariable,
            /// `:=`
            Assign,
            Semicolon,
            /// Past the last byte.
            End,
        }

        const WORDS: &[Word] =
            &[Word::None, $(Word::$quiet,)* $(Word::$reserved,)* $(Word::$loud),*];
        const NAMES: &[&str] = &["", $($quiet_name,)* $($reserved_name,)* $($loud_name),*];
        const FIRST_RESERVED: Word = [$(Word::$reserved),*][0];
        const FIRST_LOUD: Word = [$(Word::$loud),*][0];
    };
}

words! {
quiet {
    Analyze "analyze" Backup "backup" Begin "begin" Binlog "binlog" By "by" Cache "cache"
    Chain "chain" Change "change" Char "char" Character "character" Charset "charset" Check "check"
    Checksum "checksum" Clone "clone" Columns "columns" Commit "commit" Connection "connection"
    Consistent "consistent" Data "data" Database "database" Databases "databases"
    Deallocate "deallocate" Default "default" Describe "describe" Diagnostics "diagnostics" Do "do"
    Errors "errors" Event "event" Execute "execute" Extended "extended" Fields "fields"
    Flush "flush" Format "format" From "from" Full "full" Function "function" Get "get"
    Global "global" Group "group" Handler "handler" Help "help" Import "import" Inner "inner"
    Install "install" Is "is" Join "join" Lastval "lastval" Left "left" Like "like" Limit "limit"
    Local "local" Names "names" Next "next" NoWriteToBinlog "no_write_to_binlog" Not "not"
    Null "null" On "on" Only "only" Optimize "optimize" Order "order" Package "package"
    Partitions "partitions" Password "password" Persist "persist" PersistOnly "persist_only"
    Prepare "prepare" Previous "previous" Procedure "procedure" Purge "purge" Query "query"
    Read "read" Recursive "recursive" Release "release" Repair "repair" Reset "reset"
    Resignal "resignal" Resource "resource" Restart "restart" Role "role" Rollback "rollback"
    Savepoint "savepoint" Schema "schema" Schemas "schemas" Session "session" Show "show"
    Shutdown "shutdown" Signal "signal" Snapshot "snapshot" Start "start" Statement "statement"
    Stop "stop" Tables "tables" Transaction "transaction" Trigger "trigger" Truncate "truncate"
    Uninstall "uninstall" Unlock "unlock" User "user" Value "value" View "view" Warnings "warnings"
    Where "where" Work "work" Write "write" Xa "xa" Xml "xml"
}
reserved {
    All "all" And "and" As "as" Desc "desc" Explain "explain" In "in" Or "or" Select "select"
    Set "set" Table "table" To "to" Use "use" Values "values" With "with"
}
loud {
    Alter "alter" Call "call" Create "create" CurrentRole "current_role" CurrentUser "current_user"
    Delete "delete" Drop "drop" For "for" Grant "grant" InformationSchema "information_schema"
    Insert "insert" Into "into" Kill "kill" Load "load" Lock "lock" Mysql "mysql"
    PerformanceSchema "performance_schema" Rename "rename" Replace "replace" Revoke "revoke"
    Share "share" SqlCalcFoundRows "sql_calc_found_rows" Sys "sys" Temporary "temporary"
    Update "update"
}
}

/// Words of up to eight bytes are known by these bytes as one number, longer ones by a mixture of
/// their first and last eight; no two are mixed into one slot, by choice of the factor.
const SLOTS: usize = 2048;
const EIGHT: usize = 8;
const LONGEST: usize = 19;

const fn slot(key: u64, factor: u64) -> usize {
    (key.wrapping_mul(factor) >> (64 - SLOTS.ilog2())) as usize % SLOTS
}

/// The highest bit is set in no key of a short word.
const fn mix(first: u64, last: u64) -> u64 {
    (first ^ last.rotate_left(23)) | 1 << 63
}

/// Up to eight bytes of a name from `from` on, as [`fold`] gives them.
const fn folded(name: &[u8], from: usize) -> u64 {
    let mut eight = 0;
    let mut at = 0;
    while at < EIGHT && from + at < name.len() {
        eight |= (name[from + at] as u64) << (8 * at);
        at += 1;
    }
    fold(eight, 8 * at as u32)
}

/// By word, zero for those without a name.
const KEYS: [u64; 256] = {
    let mut keys = [0; 256];
    let mut index = 1;
    while index < NAMES.len() {
        let name = NAMES[index].as_bytes();
        assert!(name.len() <= LONGEST);
        keys[WORDS[index] as usize] = if name.len() <= EIGHT {
            folded(name, 0)
        } else {
            mix(folded(name, 0), folded(name, name.len() - EIGHT))
        };
        index += 1;
    }
    keys
};

/// By word of more than eight bytes, its first and last eight as [`fold`] gives them.
static ENDS_OF: [(u64, u64); 256] = {
    let mut ends = [(0, 0); 256];
    let mut index = 1;
    while index < NAMES.len() {
        let name = NAMES[index].as_bytes();
        if name.len() > EIGHT {
            ends[WORDS[index] as usize] = (folded(name, 0), folded(name, name.len() - EIGHT));
        }
        index += 1;
    }
    ends
};

/// The factor, and the word by slot, [`Word::None`] where there is none.
const TABLE: (u64, [Word; SLOTS]) = {
    let mut factor = 0x9e37_79b9_7f4a_7c15u64;
    'search: loop {
        let mut table = [Word::None; SLOTS];
        let mut index = 1;
        while index < WORDS.len() {
            let word = WORDS[index];
            let slot = slot(KEYS[word as usize], factor);
            if table[slot] as u8 != Word::None as u8 {
                factor = factor.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(2);
                continue 'search;
            }
            table[slot] = word;
            index += 1;
        }
        break (factor, table);
    }
};

const FACTOR: u64 = TABLE.0;
static BY_SLOT: [Word; SLOTS] = TABLE.1;
static KEY_OF: [u64; 256] = KEYS;

impl Word {
    /// The word that an identifier of up to eight bytes spells, given these as [`super::bytes::fold`]
    /// makes them; [`None`] if it is no word that is known.
    #[inline(always)]
    pub(super) fn find_short(key: u64) -> Option<Word> {
        let word = BY_SLOT[slot(key, FACTOR)];
        (KEY_OF[word as usize] == key).then_some(word)
    }

    /// The word that the identifier from `start` to `end` of a text spells in any case.
    pub(super) fn find(text: &[u8], start: usize, end: usize) -> Word {
        let length = end.saturating_sub(start);
        if !(1..=LONGEST).contains(&length) {
            return Word::None;
        }
        let first = load(text, start);
        if length <= EIGHT {
            return Word::find_short(fold(first, 8 * length as u32)).unwrap_or(Word::None);
        }
        let last = load(text, end - EIGHT);
        let ends = (fold(first, 64), fold(last, 64));
        let word = BY_SLOT[slot(mix(ends.0, ends.1), FACTOR)];
        if ENDS_OF[word as usize] != ends {
            return Word::None;
        }
        let known = NAMES.get((word as usize).wrapping_sub(Word::None as usize));
        let known = known.map_or(&[][..], |known| known.as_bytes());
        // Of up to twice eight bytes, all have been compared.
        let is = known.len() == length
            && (length <= 2 * EIGHT
                || known.eq_ignore_ascii_case(text.get(start..end).unwrap_or_default()));
        if is { word } else { Word::None }
    }

    /// Whether it is a name, quoted or not, or a keyword.
    #[inline(always)]
    pub(super) fn is_name(self) -> bool {
        self >= Word::Quoted && self < Word::OpenParen
    }

    /// Whether it means something wherever it stands, ends the statement, or opens a parenthesis,
    /// which means something behind a name.
    #[inline(always)]
    pub(super) fn is_loud(self) -> bool {
        self >= FIRST_LOUD
    }

    /// Whether a parenthesis behind it surely calls nothing: a reserved word of both servers in every
    /// version.
    #[inline(always)]
    pub(super) fn is_reserved(self) -> bool {
        (FIRST_RESERVED..FIRST_LOUD).contains(&self) || self == Word::Into
    }
}

#[cfg(test)]
mod tests {
    use super::super::functions::{self, Class};
    use super::super::mode::{LexMode, Make};
    use super::*;

    fn find(text: &str) -> Word {
        Word::find(text.as_bytes(), 0, text.len())
    }

    /// The place among [`WORDS`] of the word that a text spells.
    fn find_index(text: &str) -> usize {
        let found = find(text);
        WORDS.iter().position(|word| *word == found).unwrap_or(0)
    }

    #[test]
    fn every_word_is_found_in_any_case() {
        for (index, name) in NAMES.iter().enumerate().skip(1) {
            for spelled in [name.to_string(), name.to_uppercase()] {
                assert_eq!(find(&spelled), WORDS[index], "{spelled}");
            }
            for other in [format!("{name}x"), format!("x{name}"), name[1..].to_string()] {
                let known = NAMES.iter().position(|name| *name == other).unwrap_or(0);
                assert_eq!(find(&other), WORDS[known], "{other}");
            }
        }
        for name in &NAMES[1..] {
            for at in 0..name.len() {
                let mut other = name.to_string();
                other.replace_range(at..=at, if &name[at..=at] == "z" { "q" } else { "z" });
                assert_ne!(NAMES[find_index(&other)], *name, "{other}");
            }
        }
        assert!(NAMES.len() < 256, "an index is of one byte");
    }

    #[test]
    fn reserved_words_are_keywords_of_every_server() {
        let mut reserved = 0;
        for (word, name) in WORDS.iter().zip(NAMES).filter(|(word, _)| word.is_reserved()) {
            for make in [Make::MySql, Make::MariaDb] {
                for server_version in [0, 50_700, 80_000, 101_119, 999_999] {
                    let mode = LexMode { make, server_version, ..LexMode::default() };
                    let class = functions::class(name.as_bytes(), false, &mode);
                    assert_eq!(class, Class::Keyword, "{word:?} {mode:?}");
                }
            }
            reserved += 1;
        }
        assert!(reserved > 10);
    }

    #[test]
    fn names_and_loud_words_stand_together() {
        for word in WORDS {
            assert!(word.is_name(), "{word:?}");
        }
        for word in [Word::Quoted, Word::Qualified] {
            assert!(word.is_name() && !word.is_loud());
        }
        for word in [Word::Text, Word::Number, Word::CloseParen, Word::Dot, Word::Other] {
            assert!(!word.is_name() && !word.is_loud());
        }
        for word in
            [Word::OpenParen, Word::UserVariable, Word::SystemVariable, Word::Assign, Word::End]
        {
            assert!(!word.is_name() && word.is_loud());
        }
        assert!(Word::Into.is_loud() && !Word::None.is_loud() && !Word::Select.is_loud());
    }
}
