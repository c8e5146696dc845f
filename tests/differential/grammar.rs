//! SQL by rules: `<name>` in a text is replaced by one of the rule's alternatives, at random.
//!
//! An alternative that begins with `mysql:` or `mariadb:` is for that make only. `<int>`, `<small>`,
//! `<num>` and `<str>` are values, which a prepared statement may take as parameters; `<lit>`,
//! `<word>` and `<bytes>` (not ASCII, in some character set) are always literals.

use crate::rules;
use crate::script::Value;
use crate::support::Make;

/// Rules that call themselves end here.
const MAX_DEPTH: u32 = 12;

/// A statement as text, and the values of its parameters.
pub struct Sql {
    pub text: Vec<u8>,
    pub values: Vec<Value>,
}

pub struct Grammar<'a> {
    pub random: &'a mut fastrand::Rng,
    pub make: Make,
    /// Values become parameters as often as not.
    pub with_params: bool,
}

impl Grammar<'_> {
    /// A text with all its rules replaced.
    pub fn expand(&mut self, template: &str) -> Sql {
        let mut sql = Sql { text: Vec::new(), values: Vec::new() };
        self.expand_into(template, MAX_DEPTH, &mut sql);
        sql
    }

    fn expand_into(&mut self, template: &str, depth: u32, sql: &mut Sql) {
        let mut rest = template;
        while let Some(at) = rest.find('<') {
            let (before, after) = rest.split_at(at);
            sql.text.extend(before.bytes());
            let name = after[1..].split_once('>').map(|(name, _)| name);
            match name.filter(|name| is_name(name)) {
                Some(name) => {
                    self.replace(name, depth, sql);
                    rest = &after[name.len() + 2..];
                }
                None => {
                    sql.text.push(b'<');
                    rest = &after[1..];
                }
            }
        }
        sql.text.extend(rest.bytes());
    }

    fn replace(&mut self, name: &str, depth: u32, sql: &mut Sql) {
        let value = match name {
            "int" => Value::Int(self.integer()),
            "small" => Value::Int(self.random.i64(1..=7)),
            "num" => Value::Double(f64::from(self.random.i32(-40..400)) / 4.0),
            "str" => Value::Text(self.word().into_bytes()),
            "lit" => return sql.text.push(self.random.u8(b'0'..=b'9')),
            "word" => return sql.text.extend(self.word().bytes()),
            "bytes" => return sql.text.extend(self.bytes()),
            _ => {
                let chosen = self.choose(name, depth == 0);
                return self.expand_into(chosen, depth.saturating_sub(1), sql);
            }
        };
        if self.with_params && self.random.bool() {
            sql.text.push(b'?');
            let null = self.random.u8(0..20) == 0;
            sql.values.push(if null { Value::Null } else { value });
            return;
        }
        let literal = match &value {
            Value::Int(value) => value.to_string(),
            Value::Double(value) => format!("{value:?}"),
            Value::Text(value) => format!("'{}'", String::from_utf8_lossy(value)),
            Value::Null | Value::Long => "NULL".to_owned(),
        };
        sql.text.extend(literal.bytes());
    }

    /// An alternative of a rule; its first, when it must end.
    fn choose(&mut self, name: &str, end: bool) -> &'static str {
        let alternatives = rules::alternatives(name);
        let (own, others) = match self.make {
            Make::MySql => ("mysql:", "mariadb:"),
            Make::MariaDb => ("mariadb:", "mysql:"),
        };
        let fit: Vec<&str> =
            alternatives.iter().filter(|text| !text.starts_with(others)).copied().collect();
        let chosen = if end { fit[0] } else { fit[self.random.usize(..fit.len())] };
        chosen.strip_prefix(own).unwrap_or(chosen)
    }

    fn integer(&mut self) -> i64 {
        match self.random.u8(0..10) {
            0 => -1,
            1 => 0,
            2 => 2_147_483_647,
            _ => self.random.i64(1..30),
        }
    }

    /// Few enough that some are there already.
    fn word(&mut self) -> String {
        const WORDS: &[&str] =
            &["a", "b", "c", "d", "e", "f", "gg", "hh", "ii", "jj", "kk", "1", "7x", "", "A"];
        WORDS[self.random.usize(..WORDS.len())].to_owned()
    }

    /// Text that means something else in each character set; none ends a literal too early in the
    /// one that it is of.
    fn bytes(&mut self) -> &'static [u8] {
        const BYTES: &[&[u8]] = &[
            b"\xc3\xa9",
            b"\xe9",
            b"z\xf0\x9f\x9a\xb2",
            b"\xb5\xc4",
            b"\xff\x41",
            b"\xe5\x90\x8d",
        ];
        BYTES[self.random.usize(..BYTES.len())]
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
