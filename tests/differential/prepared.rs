//! Scenes with binary prepared statements.

use crate::generate::Maker;
use crate::script::{Action, How, Value};
use crate::support::Make;

/// Statement numbers of a script; one more is never prepared.
const NUMBERS: usize = 4;

/// What a number stands for.
#[derive(Clone, Debug, Default)]
struct Slot {
    values: Vec<Value>,
    typed: bool,
    /// MySQL 9.7 crashes when a cursor is opened on an EXPLAIN, MariaDB 10.11 on a DELETE …
    /// RETURNING and its kin.
    crashes: bool,
    /// It had a cursor. MySQL 9.7 confuses a plain execution after that with it: columns are
    /// described otherwise, and the end of the rows may never come.
    had_cursor: bool,
}

/// The prepared statements of a script, by number.
#[derive(Debug, Default)]
pub struct Slots([Option<Slot>; NUMBERS]);

impl Slots {
    /// The connection was reset.
    pub fn forget_all(&mut self) {
        self.0 = Default::default();
    }
}

impl Maker {
    pub fn prepared(&mut self) {
        let number = self.random.usize(..NUMBERS);
        if self.chance(40) {
            // A statement that does not exist.
            let values = Vec::new();
            let how = How::Types;
            return self.actions.push(Action::Execute { number: NUMBERS, how, values });
        }
        let Some(slot) = self.slots.0[number].clone() else { return self.prepare(number) };
        let action = match self.random.u8(0..20) {
            0..=9 if slot.had_cursor && self.make == Make::MySql => {
                return self.cursor(number, slot);
            }
            0..=9 => return self.execute(number, slot),
            10..=12 if !slot.crashes => return self.cursor(number, slot),
            10..=12 => return self.execute(number, slot),
            13 | 14 if !slot.had_cursor => return self.long_data(number, &slot),
            13 | 14 => return self.cursor(number, slot),
            15 => Action::Reset { number },
            16 => Action::Fetch { number, rows: self.random.u32(1..4) },
            17 => {
                self.slots.0[number] = None;
                Action::Close { number }
            }
            18 => self.query("<write>"),
            _ => return self.prepare(number),
        };
        self.actions.push(action);
    }

    /// Prepares, and most of the time executes at once.
    fn prepare(&mut self, number: usize) {
        let templates =
            ["<read>", "<read>", "<read>", "<write>", "<write>", "<made>", "<preparable>"];
        let template = templates[self.random.usize(..templates.len())];
        let sql = self.expand(template, true);
        let crashes = sql.text.starts_with(b"EXPLAIN")
            || sql.text.windows(9).any(|word| word == b"RETURNING");
        self.actions.push(Action::Prepare { number, sql: sql.text });
        let slot = Slot { values: sql.values, typed: false, crashes, had_cursor: false };
        self.slots.0[number] = Some(slot.clone());
        if !self.chance(4) {
            self.execute(number, slot);
        }
    }

    /// Executes with values like those before, or of another type.
    fn execute(&mut self, number: usize, mut slot: Slot) {
        let mut how = if slot.typed && self.random.bool() { How::Again } else { How::Types };
        if self.chance(60) {
            how = How::Again;
        }
        let mut values = Vec::new();
        for value in &slot.values {
            values.push(self.vary(value, how));
        }
        if how == How::Types {
            slot.typed = true;
            slot.values.clone_from(&values);
        }
        self.slots.0[number] = Some(slot);
        self.actions.push(Action::Execute { number, how, values });
    }

    /// Another value; of the same type where the type is not sent.
    fn vary(&mut self, value: &Value, how: How) -> Value {
        let typed = how != How::Again;
        match value {
            Value::Int(_) if typed && self.chance(8) => Value::Text(b"3".to_vec()),
            Value::Int(_) => Value::Int(self.random.i64(1..12)),
            Value::Double(value) => Value::Double(value + 0.5),
            Value::Text(_) if typed && self.chance(8) => Value::Null,
            Value::Text(text) => Value::Text(text.clone()),
            Value::Null | Value::Long if typed => Value::Int(self.random.i64(1..6)),
            Value::Null | Value::Long => Value::Null,
        }
    }

    fn cursor(&mut self, number: usize, mut slot: Slot) {
        let values = slot.values.clone();
        slot.typed = true;
        slot.had_cursor = true;
        self.slots.0[number] = Some(slot);
        self.actions.push(Action::Execute { number, how: How::Cursor, values });
        for _ in 0..self.random.u8(0..4) {
            let action = match self.random.u8(0..6) {
                0 => self.query("<read>"),
                1 => self.query("<write>"),
                _ => Action::Fetch { number, rows: self.random.u32(1..4) },
            };
            self.actions.push(action);
        }
    }

    fn long_data(&mut self, number: usize, slot: &Slot) {
        let texts = slot.values.iter().position(|value| matches!(value, Value::Text(_)));
        let Some(param) = texts else { return };
        for _ in 0..self.random.u8(1..3) {
            let data = vec![b'l'; self.random.usize(0..12)];
            self.actions.push(Action::LongData { number, param: param as u16, data });
        }
        match self.random.u8(0..5) {
            0 => self.actions.push(Action::Reset { number }),
            1 => {
                let action = self.query("<read>");
                self.actions.push(action);
            }
            _ => {}
        }
        let mut values = slot.values.clone();
        if !self.chance(4) {
            values[param] = Value::Long;
        }
        self.actions.push(Action::Execute { number, how: How::Types, values });
    }
}
