//! Reads, each held against what it must show.

use crate::model::{ALL, Kind};
use crate::modes::{Others, Wrong};
use crate::raw::{Fail, Row};
use crate::session::{Entrance, Session};
use crate::statements::Source;
use crate::tally::add;

/// What a read of an object must show, as it was before the read was sent.
#[derive(Clone, Copy)]
pub struct Bounds {
    own: u64,
    seen: u64,
    others: u64,
}

impl Session<'_> {
    /// What a statement or transaction that begins now must show of each object.
    pub fn others_now(&self, group: Option<usize>) -> Vec<u64> {
        let model = self.round.model;
        let objects = 0..model.objects.len();
        let group = match self.round.mode.others {
            _ if self.entrance != Entrance::Proxy => None,
            Others::Nobody => None,
            Others::Everybody => Some(ALL),
            Others::Account | Others::Key => group,
        };
        match group {
            Some(group) => objects.map(|object| model.acknowledged(object, group)).collect(),
            None => vec![0; objects.len()],
        }
    }

    fn bounds(&self, object: usize, others: &[u64]) -> Bounds {
        Bounds { own: self.own[object], seen: self.seen[object], others: others[object] }
    }

    fn any_object(&mut self) -> usize {
        self.random.usize(..self.round.model.objects.len())
    }

    fn any_source(&mut self, object: usize) -> Source {
        match self.round.model.objects[object].kind {
            Kind::Register => [Source::Table, Source::View, Source::Mirror][self.random.usize(..3)],
            _ => Source::Table,
        }
    }

    /// One read outside transactions.
    pub fn read_once(&mut self) -> Result<(), Fail> {
        let (hint, group) = self.group();
        let object = self.any_object();
        let others = self.others_now(group);
        let it = &self.round.model.objects[object];
        match self.random.u8(0..20) {
            0 if it.kind == Kind::Register => {
                let sql = format!("{hint}CALL read_register({})", it.id);
                self.read_by(&[object], &others, false, |session| session.query(&sql))
            }
            1 if !self.round.mode.clear => {
                let second = self.any_object();
                let one = it.read(Source::Table);
                let other = self.round.model.objects[second].read(Source::Table);
                let sql = format!("{hint}{one}; {other}");
                self.read_by(&[object, second], &others, false, |session| session.query(&sql))
            }
            _ => self.read_object(object, &hint, &others),
        }
    }

    /// One SELECT, by text or binary.
    pub fn read_object(&mut self, object: usize, hint: &str, others: &[u64]) -> Result<(), Fail> {
        let source = self.any_source(object);
        let sql = format!("{hint}{}", self.round.model.objects[object].read(source));
        // A copy is in another table: by table nothing is promised of the two together.
        let apart = source == Source::Mirror && self.round.mode.by_table;
        match self.random.u8(0..4) {
            0 => self.read_by(&[object], others, apart, |session| session.execute(&sql, true)),
            1 => self.read_by(&[object], others, apart, |session| session.execute(&sql, false)),
            _ => self.read_by(&[object], others, apart, |session| session.query(&sql)),
        }
    }

    /// Some reads in a READ ONLY transaction, which shows what was there when it began.
    pub fn read_in_transaction(&mut self) -> Result<(), Fail> {
        let (hint, group) = self.group();
        let others = self.others_now(group);
        if let Err(fail) = self.query(&format!("{hint}START TRANSACTION READ ONLY")) {
            self.excuse(&fail);
            return Ok(());
        }
        for _ in 0..self.random.usize(1..4) {
            let object = self.any_object();
            if let Err(fail) = self.read_object(object, &hint, &others) {
                // The replica that it is on may have ended.
                self.excuse(&fail);
                return Ok(());
            }
        }
        if let Err(fail) = self.query("COMMIT") {
            self.excuse(&fail);
        }
        Ok(())
    }

    /// A statement that shows these objects, a row each; `apart` from what was read before.
    fn read_by(
        &mut self,
        objects: &[usize],
        others: &[u64],
        apart: bool,
        read: impl FnOnce(&mut Self) -> Result<Vec<Row>, Fail>,
    ) -> Result<(), Fail> {
        let mut bounds: Vec<Bounds> =
            objects.iter().map(|object| self.bounds(*object, others)).collect();
        if apart {
            bounds.iter_mut().for_each(|bounds| bounds.seen = 0);
        }
        let began = self.now();
        let rows = read(self)?;
        assert_eq!(rows.len(), objects.len(), "{rows:?}\n{}", self.describe());
        for ((object, bounds), row) in objects.iter().zip(&bounds).zip(&rows) {
            let number = |at: usize| -> u64 { row[at].as_ref().unwrap().parse().unwrap() };
            self.check(*object, *bounds, number(0), number(1), began);
            if !apart {
                self.saw(*object, number(0));
            }
        }
        Ok(())
    }

    fn check(&mut self, object: usize, bounds: Bounds, value: u64, server: u64, began: u128) {
        let tally = self.round.tally;
        add(&tally.reads);
        if server > 0 {
            add(&tally.on_replicas);
        }
        let now = self.now();
        let name = self.round.model.objects[object].name();
        self.note(&format!("  -> {name} is {value}, says server {server}"));
        for (wrong, least) in [
            (Wrong::OwnStale, bounds.own),
            (Wrong::BackInTime, bounds.seen),
            (Wrong::OthersStale, bounds.others),
        ] {
            if value < least {
                tally.note(wrong, || {
                    format!(
                        "{}: {name} is {value} on server {server}, at least {least} was due; read \
                         from {began} to {now}\n{}",
                        wrong.name(),
                        self.describe()
                    )
                });
            }
        }
    }

    /// It has been shown this, and all that was written before.
    fn saw(&mut self, object: usize, value: u64) {
        let by_table = self.round.mode.by_table && self.entrance == Entrance::Proxy;
        for back in self.round.model.written_before(object, by_table).iter().chain(&[0]) {
            let seen = object - back;
            self.seen[seen] = self.seen[seen].max(value);
        }
    }
}
