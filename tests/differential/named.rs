//! Scenes with statements of PREPARE … FROM.

use crate::generate::Maker;
use crate::script::{Action, Value};
use crate::support::Make;

/// Names, two of which are one.
const NAMES: [&str; 3] = ["q", "r", "`Q`"];

/// What is prepared as a literal.
const TEXTS: &[&str] = &[
    "<read>",
    "<read>",
    "<read>",
    "<read>",
    "SELECT id, s FROM ta WHERE id <= <int> ORDER BY id",
    "SELECT DATABASE(), COUNT(*), 'x' || 'y' FROM ta",
    "<write>",
    "<made>",
    "<preparable>",
    "<variable>",
    "<charset>",
    "SELECT id, ROW_COUNT() AS r FROM ta WHERE id = 1",
];

impl Maker {
    pub fn named(&mut self) {
        let name = NAMES[self.random.usize(..NAMES.len())];
        match self.random.u8(0..12) {
            0..=3 => self.prepare_named(name),
            4 | 5 => self.push(format!("EXECUTE {name}").into_bytes()),
            6 => {
                let action = self.query("<text_prepare>");
                self.actions.push(action);
            }
            7 => self.push(format!("DEALLOCATE PREPARE {name}").into_bytes()),
            8 => {
                let action = self.query("<write>");
                self.actions.push(action);
            }
            9 if self.make == Make::MariaDb => {
                let sql = self.expand("<read>", true);
                let mut text = b"EXECUTE IMMEDIATE ".to_vec();
                text.extend(literal(&sql.text));
                text.extend(using(&sql.values));
                self.push(text);
            }
            _ => self.push(format!("EXECUTE {name}").into_bytes()),
        }
    }

    /// Prepares, and executes some times.
    fn prepare_named(&mut self, name: &str) {
        let template = TEXTS[self.random.usize(..TEXTS.len())];
        let with_params = self.chance(3);
        let sql = self.expand(template, with_params);
        let mut prepare = format!("PREPARE {name} FROM ").into_bytes();
        prepare.extend(literal(&sql.text));
        self.push(prepare);
        let literals = self.make == Make::MariaDb && self.chance(2);
        for _ in 0..self.random.u8(0..4) {
            let mut execute = format!("EXECUTE {name}").into_bytes();
            if literals || sql.values.is_empty() {
                execute.extend(using(&sql.values));
            } else {
                let names: Vec<String> =
                    (0..sql.values.len()).map(|number| format!("@v{number}")).collect();
                let mut set = b"SET ".to_vec();
                for (name, value) in names.iter().zip(&sql.values) {
                    let comma: &[u8] = if set.len() > 4 { b", " } else { b"" };
                    set.extend([comma, name.as_bytes(), b" = ", &written(value)].concat());
                }
                self.push(set);
                execute.extend(format!(" USING {}", names.join(", ")).into_bytes());
            }
            self.push(execute);
            match self.random.u8(0..6) {
                0 => {
                    let action = self.query("<read>");
                    self.actions.push(action);
                }
                1 => {
                    let action = self.query("<variable>");
                    self.actions.push(action);
                }
                2 => self.push(b"SHOW WARNINGS".to_vec()),
                _ => {}
            }
        }
    }

    fn push(&mut self, sql: Vec<u8>) {
        self.actions.push(Action::Query(sql));
    }
}

fn literal(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for &byte in text {
        out.extend(if byte == b'\'' { vec![byte, byte] } else { vec![byte] });
    }
    out.push(b'\'');
    out
}

fn written(value: &Value) -> Vec<u8> {
    match value {
        Value::Int(value) => value.to_string().into_bytes(),
        Value::Double(value) => format!("{value:?}").into_bytes(),
        Value::Text(text) => literal(text),
        Value::Null | Value::Long => b"NULL".to_vec(),
    }
}

/// USING with literals, which MariaDB takes.
fn using(values: &[Value]) -> Vec<u8> {
    let values: Vec<Vec<u8>> = values.iter().map(written).collect();
    if values.is_empty() { Vec::new() } else { [b" USING ", &values.join(&b", "[..])[..]].concat() }
}
