//! Scripts as texts: what a failure prints, and what the list of regressions holds.
//!
//! One action a line, `|` before those that go on the pipeline of the line above. Bytes beyond
//! ASCII, backslashes, and spaces within a word are `\xNN`.

use std::fmt::{self, Display, Formatter, Write};

use crate::script::{Action, CAPS, How, Replicas, Script, Value};

/// Bytes as text.
struct Escaped<'a>(&'a [u8], bool);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, &byte) in self.0.iter().enumerate() {
            let plain = (b' '..=b'~').contains(&byte) && byte != b'\\';
            // Spaces at the end of a line would not be seen.
            let space = byte != b' ' || !self.1 && at + 1 < self.0.len();
            if plain && space {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn line(bytes: &[u8]) -> Escaped<'_> {
    Escaped(bytes, false)
}

/// Nothing is a word as well.
fn word(bytes: &[u8]) -> Escaped<'_> {
    Escaped(if bytes.is_empty() { b"-" } else { bytes }, true)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => write!(f, "null"),
            Self::Int(value) => write!(f, "int:{value}"),
            Self::Double(value) => write!(f, "double:{value}"),
            Self::Text(value) => write!(f, "text:{}", Escaped(value, true)),
            Self::Long => write!(f, "long"),
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(sql) => write!(f, "query {}", line(sql)),
            Self::File { content, sql } => write!(f, "file {} {}", word(content), line(sql)),
            Self::Prepare { number, sql } => write!(f, "prepare {number} {}", line(sql)),
            Self::Execute { number, how, values } => {
                let name = match how {
                    How::Types => "execute",
                    How::Again => "execute_again",
                    How::Cursor => "execute_cursor",
                };
                write!(f, "{name} {number}")?;
                values.iter().try_for_each(|value| write!(f, " {value}"))
            }
            Self::LongData { number, param, data } => {
                write!(f, "long_data {number} {param} {}", word(data))
            }
            Self::Fetch { number, rows } => write!(f, "fetch {number} {rows}"),
            Self::Reset { number } => write!(f, "reset {number}"),
            Self::Close { number } => write!(f, "close {number}"),
            Self::InitDb(schema) => write!(f, "init_db {}", word(schema)),
            Self::FieldList { table, pattern } => {
                write!(f, "field_list {} {}", word(table), word(pattern))
            }
            Self::Command(payload) => write!(f, "command {}", hex(payload)),
            Self::ChangeUser { user, schema, charset } => {
                write!(f, "change_user {user} {} {charset}", word(schema))
            }
            Self::Wait => write!(f, "wait"),
            Self::Pipeline(actions) => {
                for (index, action) in actions.iter().enumerate() {
                    write!(f, "{}{action}", if index == 0 { "" } else { "\n| " })?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.charset)?;
        for (capability, name) in CAPS {
            if self.caps & capability != 0 {
                write!(f, " {name}")?;
            }
        }
        writeln!(f, "\nreplicas {}", self.replicas.name())?;
        self.actions.iter().try_for_each(|action| writeln!(f, "{action}"))
    }
}

/// Reads one script; says which line is wrong.
pub fn parse(text: &str) -> Result<Script, String> {
    let mut script =
        Script { caps: 0, charset: 45, replicas: Replicas::Racing, actions: Vec::new() };
    for text in text.lines().map(str::trim_end).filter(|text| !text.starts_with('#')) {
        parse_line(text, &mut script).ok_or_else(|| format!("not understood: {text}"))?;
    }
    Ok(script)
}

fn parse_line(text: &str, script: &mut Script) -> Option<()> {
    let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
    match head {
        "client" => {
            let mut words = rest.split(' ');
            script.charset = words.next()?.parse().ok()?;
            for name in words {
                script.caps |= CAPS.iter().find(|(_, known)| *known == name)?.0;
            }
        }
        "replicas" => {
            script.replicas = Replicas::ALL.into_iter().find(|known| known.name() == rest)?;
        }
        "|" => {
            let action = parse_action(rest)?;
            match script.actions.pop()? {
                Action::Pipeline(mut actions) => {
                    actions.push(action);
                    script.actions.push(Action::Pipeline(actions));
                }
                first => script.actions.push(Action::Pipeline(vec![first, action])),
            }
        }
        _ => script.actions.push(parse_action(text)?),
    }
    Some(())
}

fn parse_action(text: &str) -> Option<Action> {
    let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = first.parse();
    Some(match head {
        "query" => Action::Query(unescape(rest)?),
        "file" => Action::File { content: parse_word(first)?, sql: unescape(second)? },
        "prepare" => Action::Prepare { number: number.ok()?, sql: unescape(second)? },
        "execute" | "execute_again" | "execute_cursor" => {
            let how = match head {
                "execute" => How::Types,
                "execute_again" => How::Again,
                _ => How::Cursor,
            };
            let words = second.split(' ').filter(|word| !word.is_empty());
            let values = words.map(parse_value).collect::<Option<_>>()?;
            Action::Execute { number: number.ok()?, how, values }
        }
        "long_data" => {
            let (param, data) = second.split_once(' ')?;
            let (param, data) = (param.parse().ok()?, parse_word(data)?);
            Action::LongData { number: number.ok()?, param, data }
        }
        "fetch" => Action::Fetch { number: number.ok()?, rows: second.parse().ok()? },
        "reset" => Action::Reset { number: number.ok()? },
        "close" => Action::Close { number: number.ok()? },
        "init_db" => Action::InitDb(parse_word(first)?),
        "field_list" => {
            Action::FieldList { table: parse_word(first)?, pattern: parse_word(second)? }
        }
        "command" => Action::Command(parse_hex(rest)?),
        "change_user" => {
            let (schema, charset) = second.split_once(' ')?;
            let (schema, charset) = (parse_word(schema)?, charset.parse().ok()?);
            Action::ChangeUser { user: first.to_owned(), schema, charset }
        }
        "wait" => Action::Wait,
        _ => return None,
    })
}

fn parse_value(text: &str) -> Option<Value> {
    let (kind, value) = text.split_once(':').unwrap_or((text, ""));
    Some(match kind {
        "null" => Value::Null,
        "int" => Value::Int(value.parse().ok()?),
        "double" => Value::Double(value.parse().ok()?),
        "text" => Value::Text(unescape(value)?),
        "long" => Value::Long,
        _ => return None,
    })
}

fn parse_word(text: &str) -> Option<Vec<u8>> {
    if text == "-" { Some(Vec::new()) } else { unescape(text) }
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = |at: usize| text.get(at..at + 2);
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(digits(at)?, 16).ok()).collect()
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split("\\x");
    let mut out = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        out.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        out.extend_from_slice(&piece.as_bytes()[2..]);
    }
    Some(out)
}
