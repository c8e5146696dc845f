//! Writes, in all the ways there are.

use crate::model::{Kind, Writing};
use crate::raw::Fail;
use crate::session::Session;
use crate::statements::Way;
use crate::tally::add;

/// Errors that a step provokes: a key that is taken, and SIGNAL.
const PROVOKED: [u16; 2] = [1062, 1644];

impl<'a> Session<'a> {
    /// The server has said OK.
    pub fn acknowledge(&mut self, writing: &Writing<'_>, group: Option<usize>) {
        add(&self.round.tally.writes);
        self.round.model.acknowledge(writing, group.as_slice());
        self.own[writing.object] = self.own[writing.object].max(writing.value);
    }

    /// One object, by one step.
    pub fn write_once(&mut self) -> Result<(), Fail> {
        let model = self.round.model;
        let is_trio = |kind| matches!(kind, Kind::First | Kind::Second | Kind::Third);
        let object = loop {
            let object = self.random.usize(..model.objects.len());
            if !is_trio(model.objects[object].kind) {
                break object;
            }
        };
        let kind = model.objects[object].kind;
        let ways: Vec<Way> = Way::ALL
            .into_iter()
            .filter(|way| way.suits(kind) && (way.is_clear() || !self.round.mode.clear))
            .collect();
        let way = ways[self.random.usize(..ways.len())];
        let (hint, group) = self.group();
        let writing = model.begin(object);
        self.write_by(way, &writing, &hint)?;
        self.acknowledge(&writing, group);
        Ok(())
    }

    fn write_by(&mut self, way: Way, writing: &Writing<'_>, hint: &str) -> Result<(), Fail> {
        let (it, n) = (&self.round.model.objects[writing.object], writing.value);
        let sql = it.write(n);
        let texts: Vec<String> = match way {
            Way::Text => vec![format!("{hint}{sql}")],
            Way::Call => vec![format!("{hint}{}", it.call(n))],
            Way::Binary => return self.execute(&format!("{hint}{sql}"), false).map(drop),
            Way::BinaryCall => {
                return self.execute(&format!("{hint}{}", it.call(n)), false).map(drop);
            }
            Way::View => {
                vec![format!("{hint}UPDATE register_view SET v = {n} WHERE id = {}", it.id)]
            }
            Way::Commit => vec!["BEGIN".into(), format!("{hint}{sql}"), "COMMIT".into()],
            Way::AutocommitOff => vec![
                "SET autocommit = 0".into(),
                format!("{hint}{sql}"),
                if n.is_multiple_of(2) { "COMMIT".into() } else { "SELECT 1".into() },
                "SET autocommit = 1".into(),
            ],
            Way::ThenReset => {
                self.query(&format!("{hint}{sql}"))?;
                return self.reset();
            }
            Way::FailingCall => {
                let sql = format!("{hint}CALL fail_register({}, {n})", it.id);
                return self.provoke(&sql);
            }
            Way::FailingInsert => {
                // The first row stays.
                let sql = format!(
                    "{hint}INSERT INTO heap (id, list, v) VALUES (NULL, {}, {n}), (1, 0, 0)",
                    it.id
                );
                return self.provoke(&sql);
            }
            Way::SeveralFail => {
                return self.provoke(&format!("{hint}{sql}; INSERT INTO taken VALUES (1, 1)"));
            }
            Way::Several => vec![format!("{hint}SELECT 1; {sql}")],
            Way::SeveralCommit => vec![format!("{hint}BEGIN; {sql}; COMMIT; SELECT 1")],
            Way::TextPrepare => vec![
                format!("PREPARE s FROM '{sql}'"),
                format!("{hint}EXECUTE s"),
                "DEALLOCATE PREPARE s".into(),
            ],
            Way::Function => vec![format!("{hint}SELECT bump({}, {n})", it.id)],
        };
        texts.iter().try_for_each(|text| self.query(text).map(drop))
    }

    /// A statement that fails once it has written.
    fn provoke(&mut self, sql: &str) -> Result<(), Fail> {
        match self.query(sql) {
            Err(fail) if PROVOKED.contains(&fail.code()) => Ok(()),
            Err(fail) => Err(fail),
            Ok(_) => panic!("{sql} succeeds"),
        }
    }

    /// Some objects in one transaction, which may be rolled back, with reads in between.
    pub fn write_in_transaction(&mut self) -> Result<(), Fail> {
        let model = self.round.model;
        let in_transactions = |kind| matches!(kind, Kind::Register | Kind::Counter | Kind::List);
        let mut chosen: Vec<usize> = (0..model.objects.len())
            .filter(|object| in_transactions(model.objects[*object].kind))
            .collect();
        let count = self.random.usize(1..4);
        while chosen.len() > count {
            chosen.remove(self.random.usize(..chosen.len()));
        }
        let (hint, group) = self.group();
        let writings: Vec<Writing<'_>> = chosen.iter().map(|object| model.begin(*object)).collect();
        let others = self.others_now(group);
        self.query("BEGIN")?;
        for (at, writing) in writings.iter().enumerate() {
            // One that is not written in it, or not yet: what is undone was never there.
            let to_read = match self.random.u8(0..6) {
                0 => Some(writing.object),
                1 | 2 => Some(self.random.usize(..model.objects.len())),
                _ => None,
            };
            if let Some(object) = to_read.filter(|object| !chosen[..at].contains(object)) {
                self.read_object(object, &hint, &others)?;
            }
            let sql = model.objects[writing.object].write(writing.value);
            match (at + self.random.usize(..4)) % 4 {
                0 => self.execute(&format!("{hint}{sql}"), false)?,
                1 => {
                    let call = model.objects[writing.object].call(writing.value);
                    self.query(&format!("{hint}{call}"))?
                }
                _ => self.query(&format!("{hint}{sql}"))?,
            };
        }
        if self.random.u8(0..5) == 0 {
            self.query("ROLLBACK")?;
            return Ok(());
        }
        self.query("COMMIT")?;
        for writing in &writings {
            self.acknowledge(writing, group);
        }
        Ok(())
    }

    /// Three rows, one after the other, with one number.
    pub fn write_trio(&mut self) -> Result<(), Fail> {
        let model = self.round.model;
        let firsts: Vec<usize> = (0..model.objects.len())
            .filter(|object| model.objects[*object].kind == Kind::First)
            .collect();
        let first = firsts[self.random.usize(..firsts.len())];
        let (hint, group) = self.group();
        let in_one = self.random.bool();
        let writing = model.begin(first);
        if in_one {
            self.query("BEGIN")?;
        }
        for object in first..first + 3 {
            let sql = model.objects[object].write(writing.value);
            self.query(&format!("{hint}{sql}"))?;
            if !in_one {
                self.wrote_of_trio(object, &writing, group);
            }
        }
        if in_one {
            self.query("COMMIT")?;
            (first..first + 3).for_each(|object| self.wrote_of_trio(object, &writing, group));
        }
        Ok(())
    }

    fn wrote_of_trio(&mut self, object: usize, writing: &Writing<'_>, group: Option<usize>) {
        add(&self.round.tally.writes);
        self.round.model.raise(object, writing.value, group.as_slice());
        self.own[object] = self.own[object].max(writing.value);
    }
}
