//! The TOML tree with the line of every value, read key by key.
//!
//! A [`Table`] is asked for its keys one after another. A value of the wrong type or out of
//! bounds is noted in the [`Document`] and its default is returned, so that reading goes on and
//! every error of a file comes out at once; [`Document::finish`] then adds the keys that nobody
//! asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::quoted;
use super::units::{self, DURATION_FORM, SIZE_FORM};
use super::{ConfigError, ConfigErrors, Word};

/// A parsed file and what was found wrong with it so far.
pub(super) struct Document<'i> {
    path: PathBuf,
    text: &'i str,
    root: Spanned<DeTable<'i>>,
    errors: RefCell<Vec<ConfigError>>,
    /// Dotted names of all keys that were asked for: the known keys.
    asked: RefCell<BTreeSet<String>>,
}

/// A value together with where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<T> {
    pub value: T,
    /// Byte offset in the file.
    pub offset: usize,
}

impl<'i> Document<'i> {
    /// Parses; errors are those of TOML's own syntax.
    pub fn parse(text: &'i str, path: &Path) -> Result<Self, ConfigErrors> {
        let (root, syntax_errors) = DeTable::parse_recoverable(text);
        let document = Self {
            path: path.to_path_buf(),
            text,
            root,
            errors: RefCell::default(),
            asked: RefCell::default(),
        };
        for error in &syntax_errors {
            // Only `message`: what `Display` adds is the line itself, which may hold a password.
            let offset = error.span().map_or(text.len(), |span| span.start);
            document.error(offset, &key_on_line(text, offset), error.message(), SYNTAX_FORM);
        }
        if syntax_errors.is_empty() { Ok(document) } else { Err(document.sorted_errors()) }
    }

    /// The keys before the first table.
    pub fn root(&self) -> Table<'_> {
        Table { document: self, prefix: String::new(), items: Some(self.root.get_ref()), offset: 0 }
    }

    /// Notes an error.
    pub fn error(&self, offset: usize, key: &str, problem: impl Into<String>, allowed: &str) {
        let before = self.text.as_bytes().iter().take(offset);
        self.errors.borrow_mut().push(ConfigError {
            path: self.path.clone(),
            line: Some(1 + before.filter(|byte| **byte == b'\n').count()),
            key: key.to_owned(),
            problem: problem.into(),
            allowed: allowed.to_owned(),
        });
    }

    /// Adds an error for each key that nobody asked for, and tells whether the file is good.
    pub fn finish(self) -> Result<(), ConfigErrors> {
        self.refuse_unknown(self.root.get_ref(), "");
        if self.errors.borrow().is_empty() { Ok(()) } else { Err(self.sorted_errors()) }
    }

    /// Dotted names of all keys that were asked for so far.
    pub fn known_keys(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    fn sorted_errors(self) -> ConfigErrors {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.line);
        ConfigErrors(errors)
    }

    fn refuse_unknown(&self, table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            if !self.asked.borrow().contains(&name) {
                let (problem, allowed) = self.advice(prefix, key.get_ref());
                // A quoted key may be anything, a terminal's escape sequence included.
                let shown = format!("{prefix}{}", key.get_ref().escape_debug());
                self.error(key.span().start, &shown, problem, &allowed);
                continue;
            }
            let prefix = format!("{name}.");
            if !self.asked.borrow().iter().any(|known| known.starts_with(&prefix)) {
                continue; // not a table by rights, which has been said
            }
            match value.get_ref() {
                DeValue::Table(inner) => self.refuse_unknown(inner, &prefix),
                DeValue::Array(list) => {
                    for inner in list.iter().filter_map(|entry| entry.get_ref().as_table()) {
                        self.refuse_unknown(inner, &prefix);
                    }
                }
                _ => {}
            }
        }
    }

    /// Problem and allowed keys for an unknown one: the nearest key of the same table, or else
    /// the table in which a key of this name is known.
    fn advice(&self, prefix: &str, key: &str) -> (String, String) {
        let asked = self.asked.borrow();
        let siblings: Vec<&str> = asked
            .iter()
            .filter_map(|name| name.strip_prefix(prefix))
            .filter(|name| !name.contains('.'))
            .collect();
        let nearest = siblings
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, key), known))
            .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
            .min();
        // A key that slipped below a [table] is the common case, so the top goes first.
        let elsewhere = asked.iter().filter(|name| name.rsplit('.').next() == Some(key));
        let elsewhere = elsewhere.min_by_key(|name| name.contains('.'));
        let problem = match (nearest, elsewhere) {
            (Some((_, known)), _) => format!("unknown key; did you mean \"{known}\"?"),
            (None, Some(name)) if name.contains('.') => {
                format!("unknown key; did you mean \"{name}\"?")
            }
            (None, Some(_)) => "unknown key here; it belongs above the first [table]".to_owned(),
            (None, None) => "unknown key".to_owned(),
        };
        (problem, siblings.join(", "))
    }
}

/// What a line of the file may be, for an error of syntax.
const SYNTAX_FORM: &str = "TOML: [table], or key = value with text in quotes";

/// The key of the line that holds `offset`, under the last `[table]` above it.
fn key_on_line(text: &str, offset: usize) -> String {
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let (above, rest) = text.split_at_checked(start).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let is_name = |name: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        !name.is_empty() && name.bytes().all(good)
    };
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_name(key));
    let head = above.lines().rev().find_map(|line| {
        let name = line.trim().strip_prefix('[')?.strip_suffix(']')?;
        Some(name.trim_matches(['[', ']']).trim()).filter(|name| is_name(name))
    });
    match (head, key) {
        (Some(head), Some(key)) => format!("{head}.{key}"),
        (None, Some(key)) => key.to_owned(),
        (_, None) => "syntax".to_owned(),
    }
}

/// One table, which may be missing: then every key in it is.
pub(super) struct Table<'a> {
    document: &'a Document<'a>,
    prefix: String,
    items: Option<&'a DeTable<'a>>,
    offset: usize,
}

impl<'a> Table<'a> {
    /// Whether the file has this table.
    pub fn is_present(&self) -> bool {
        self.items.is_some()
    }

    /// The dotted name of a key of this table.
    pub fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether an error was noted for the key.
    pub fn has_errors(&self, key: &str) -> bool {
        let name = self.name(key);
        self.document.errors.borrow().iter().any(|error| error.key == name)
    }

    /// Notes an error at the key, or at the table if the key is missing.
    pub fn error(&self, key: &str, problem: impl Into<String>, allowed: &str) {
        let offset = self.get(key).map_or(self.offset, |found| found.offset);
        self.document.error(offset, &self.name(key), problem, allowed);
    }

    /// Notes an error at a value of the key.
    pub fn error_at(&self, offset: usize, key: &str, problem: impl Into<String>, allowed: &str) {
        self.document.error(offset, &self.name(key), problem, allowed);
    }

    fn get(&self, key: &str) -> Option<Located<&'a DeValue<'a>>> {
        self.document.asked.borrow_mut().insert(self.name(key));
        let found = self.items?.get(key)?;
        Some(Located { value: found.get_ref(), offset: found.span().start })
    }

    fn wrong_type(&self, key: &str, found: Located<&DeValue<'_>>, wanted: &str, allowed: &str) {
        let is = found.value.type_str();
        let article = if is.starts_with(['a', 'i']) { "an" } else { "a" };
        self.error_at(found.offset, key, format!("is {article} {is}, not {wanted}"), allowed);
    }

    /// A string that `read` understands; `read` says what is wrong with it otherwise.
    pub fn parsed<T>(
        &self,
        key: &str,
        allowed: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Located<T>> {
        self.item(key, self.get(key)?, allowed, &read)
    }

    fn item<T>(
        &self,
        key: &str,
        found: Located<&DeValue<'_>>,
        allowed: &str,
        read: &impl Fn(&str) -> Result<T, String>,
    ) -> Option<Located<T>> {
        let Some(text) = found.value.as_str() else {
            self.wrong_type(key, found, "a string", allowed);
            return None;
        };
        match read(text) {
            Ok(value) => Some(Located { value, offset: found.offset }),
            Err(problem) => {
                self.error_at(found.offset, key, problem, allowed);
                None
            }
        }
    }

    /// An array of at most `most` strings that `read` understands, or such a string by itself.
    /// `None` if the key is missing.
    pub fn list<T>(
        &self,
        key: &str,
        most: usize,
        allowed: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<Located<T>>> {
        let found = self.get(key)?;
        let Some(array) = found.value.as_array() else {
            let allowed = format!("{allowed}, or an array of such");
            return Some(self.item(key, found, &allowed, &read).into_iter().collect());
        };
        if array.len() > most {
            self.error(key, format!("has {} entries", array.len()), &format!("at most {most}"));
        }
        let items = array.iter().filter_map(|entry| {
            let entry = Located { value: entry.get_ref(), offset: entry.span().start };
            self.item(key, entry, allowed, &read)
        });
        Some(items.collect())
    }

    /// One of the words of `T`.
    pub fn word<T: Word>(&self, key: &str) -> Option<T> {
        let words: Vec<String> =
            T::ALL.iter().map(|value| format!("\"{}\"", value.word())).collect();
        let read =
            |text: &str| T::from_word(text).ok_or_else(|| format!("{} is unknown", quoted(text)));
        self.parsed(key, &words.join(", "), read).map(|found| found.value)
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        let found = self.get(key)?;
        if found.value.as_bool().is_none() {
            self.wrong_type(key, found, "a boolean", "true, false");
        }
        found.value.as_bool()
    }

    /// A whole number within `range`.
    pub fn integer(&self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let found = self.get(key)?;
        let allowed = format!("{} to {}", range.start(), range.end());
        let Some(number) = found.value.as_integer() else {
            self.wrong_type(key, found, "an integer", &allowed);
            return None;
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok();
        if value.is_none_or(|value| !range.contains(&value)) {
            self.error(key, format!("{number} is out of range"), &allowed);
            return None;
        }
        value
    }

    /// A duration within `range`.
    pub fn duration(&self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let [least, most] = [*range.start(), *range.end()].map(units::format_duration);
        let allowed = format!("{least} to {most}: {DURATION_FORM}");
        let found = self.parsed(key, &allowed, |text| {
            let value = units::parse_duration(text)
                .ok_or_else(|| format!("{} is no duration", quoted(text)))?;
            if range.contains(&value) {
                Ok(value)
            } else {
                Err(format!("{} is out of range", quoted(text)))
            }
        });
        found.map(|found| found.value)
    }

    /// A size in bytes within `range`.
    pub fn size(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let [least, most] = [*range.start(), *range.end()].map(units::format_size);
        let allowed = format!("{least} to {most}: {SIZE_FORM}");
        let found = self.parsed(key, &allowed, |text| {
            let value =
                units::parse_size(text).ok_or_else(|| format!("{} is no size", quoted(text)))?;
            if range.contains(&value) {
                Ok(value)
            } else {
                Err(format!("{} is out of range", quoted(text)))
            }
        });
        found.map(|found| found.value)
    }

    /// A table within this one; if it is missing, errors in it point to the end of the file.
    pub fn table(&self, key: &str) -> Table<'a> {
        let found = self.get(key);
        if let Some(found) = found
            && !found.value.is_table()
        {
            self.wrong_type(key, found, "a table", &format!("[{}]", self.name(key)));
        }
        self.inner(key, found.and_then(|f| f.value.as_table()), found.map(|f| f.offset))
    }

    /// Each of an array of tables.
    pub fn tables(&self, key: &str, most: usize) -> Vec<Table<'a>> {
        let Some(found) = self.get(key) else { return Vec::new() };
        let allowed = format!("at most {most} tables [[{}]]", self.name(key));
        let Some(array) = found.value.as_array() else {
            self.wrong_type(key, found, "an array of tables", &allowed);
            return Vec::new();
        };
        if array.len() > most {
            self.error(key, format!("there are {}", array.len()), &allowed);
        }
        let mut tables = Vec::new();
        for entry in array.iter() {
            let offset = entry.span().start;
            match entry.get_ref().as_table() {
                Some(table) => tables.push(self.inner(key, Some(table), Some(offset))),
                None => {
                    let entry = Located { value: entry.get_ref(), offset };
                    self.wrong_type(key, entry, "a table", &allowed);
                }
            }
        }
        tables
    }

    fn inner(&self, key: &str, items: Option<&'a DeTable<'a>>, offset: Option<usize>) -> Table<'a> {
        let prefix = format!("{}.", self.name(key));
        let offset = offset.unwrap_or(self.document.text.trim_end().len());
        Table { document: self.document, prefix, items, offset }
    }
}
