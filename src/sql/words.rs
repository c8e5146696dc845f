//! The words that the classifier tells apart, found in constant time without folding case first.
//!
//! [`hash`] looks at the length and four bytes; the tables are laid out at compile time. Functions
//! have a table of their own (`functions.rs`) because nearly every word of a statement is looked up
//! here, and only those before a parenthesis there.

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
    ($($variant:ident $name:literal)*) => {
        /// What a token is: a byte or literal of some sort, a word without meaning to routing, or a
        /// keyword. One enum of one byte for all, so that a token fits into two registers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(super) enum Word {
            /// Past the last byte.
            End,
            Semicolon,
            /// A quoted identifier, quotes included.
            Quoted,
            /// Names joined by dots without white space, quoted or not: ``shop.`orders` ``.
            Qualified,
            /// A string literal, quotes included.
            Text,
            Number,
            /// `@name`, whole.
            UserVariable,
            /// `@@name` or `@@scope.name`, whole.
            SystemVariable,
            /// `:=`
            Assign,
            OpenParen,
            CloseParen,
            Comma,
            Dot,
            Equals,
            /// Any other byte.
            Other,
            /// An unquoted name, or a keyword of no meaning here.
            None,
            $($variant),*
        }

        const WORDS: &[Word] = &[Word::None, $(Word::$variant),*];
        const NAMES: &[&str] = &["", $($name),*];
    };
}

words! {
    All "all" Alter "alter" Analyze "analyze" And "and" As "as" Backup "backup" Begin "begin"
    Binlog "binlog" Cache "cache" Call "call" Chain "chain" Change "change" Char "char"
    Character "character" Charset "charset" Check "check" Checksum "checksum" Clone "clone"
    Columns "columns" Commit "commit" Connection "connection" Consistent "consistent"
    Create "create" CurrentRole "current_role" CurrentUser "current_user" Data "data"
    Database "database" Databases "databases" Deallocate "deallocate" Default "default"
    Delete "delete" Desc "desc" Describe "describe" Diagnostics "diagnostics" Do "do" Drop "drop"
    Errors "errors" Event "event" Execute "execute" Explain "explain" Extended "extended"
    Fields "fields" Flush "flush" For "for" Format "format" From "from" Full "full" Function "function"
    Get "get" Global "global" Grant "grant" Handler "handler" Help "help" Import "import" In "in"
    InformationSchema "information_schema" Insert "insert" Install "install" Into "into" Kill "kill"
    Lastval "lastval" Load "load" Local "local" Lock "lock" Mysql "mysql" Names "names" Next "next"
    NoWriteToBinlog "no_write_to_binlog" Only "only" Optimize "optimize" Or "or"
    Package "package" Partitions "partitions" Password "password"
    PerformanceSchema "performance_schema" Persist "persist" PersistOnly "persist_only"
    Prepare "prepare" Previous "previous" Procedure "procedure" Purge "purge" Query "query"
    Read "read" Recursive "recursive" Release "release" Rename "rename" Repair "repair"
    Replace "replace" Reset "reset" Resignal "resignal" Resource "resource" Restart "restart"
    Revoke "revoke" Role "role" Rollback "rollback" Savepoint "savepoint" Schema "schema"
    Schemas "schemas" Select "select" Session "session" Set "set" Share "share" Show "show"
    Shutdown "shutdown" Signal "signal" Snapshot "snapshot"
    SqlCalcFoundRows "sql_calc_found_rows" Start "start" Statement "statement" Stop "stop"
    Sys "sys" Table "table" Tables "tables" Temporary "temporary" To "to"
    Transaction "transaction" Trigger "trigger" Truncate "truncate" Uninstall "uninstall"
    Unlock "unlock" Update "update" Use "use" User "user" Value "value" Values "values" View "view"
    Warnings "warnings" With "with" Work "work" Write "write" Xa "xa" Xml "xml"
}

const SIZE: usize = 1024;
const TABLE: [u8; SIZE] = build();

const fn build() -> [u8; SIZE] {
    let mut table = [0u8; SIZE];
    let mut index = 1;
    while index < NAMES.len() {
        let mut slot = hash(NAMES[index].as_bytes()) % SIZE;
        while table[slot] != 0 {
            slot = (slot + 1) % SIZE;
        }
        table[slot] = index as u8;
        index += 1;
    }
    table
}

/// Names as they are compared: length, then bytes with 0x20 set, which folds the case of letters and
/// confuses no two bytes that occur in identifiers and in these names.
const FOLDED: [(u8, [u8; LONGEST]); NAMES.len()] = {
    let mut folded = [(0, [0; LONGEST]); NAMES.len()];
    let mut index = 0;
    while index < NAMES.len() {
        let name = NAMES[index].as_bytes();
        folded[index].0 = name.len() as u8;
        let mut at = 0;
        while at < name.len() {
            folded[index].1[at] = name[at] | 0x20;
            at += 1;
        }
        index += 1;
    }
    folded
};

const LONGEST: usize = 19;

impl Word {
    /// The word that the identifier `text` spells in any case.
    #[inline]
    pub(super) fn find(text: &[u8]) -> Word {
        let mut slot = hash(text) % SIZE;
        loop {
            let index = TABLE[slot] as usize;
            if index == 0 {
                return Word::None;
            }
            let (length, name) = &FOLDED[index];
            if *length as usize == text.len()
                && text.iter().zip(name).all(|(&byte, &known)| byte | 0x20 == known)
            {
                return WORDS[index];
            }
            slot = (slot + 1) % SIZE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case() {
        for (index, name) in NAMES.iter().enumerate().skip(1) {
            for spelled in [name.to_string(), name.to_uppercase()] {
                assert_eq!(Word::find(spelled.as_bytes()), WORDS[index], "{spelled}");
            }
            assert_eq!(Word::find(format!("{name}x").as_bytes()), Word::None);
        }
        assert_eq!(Word::find(b""), Word::None);
        assert!(NAMES.len() < 200, "the table's slots are u8 and must stay sparse");
    }
}
