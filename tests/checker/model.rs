//! Objects whose values only grow, so that of two readings one is the older, and the least that a read must
//! show of each.
//!
//! A bound rises when a write was acknowledged, and is looked at before a read is sent: all that it says was
//! acknowledged before the read began. One session at a time writes a register, each time a greater number.
//! A counter or list is at least as large as the number of increments that were acknowledged; one that began
//! after others were acknowledged is above them.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A row with a number that is replaced. A trigger keeps a copy of it, and there is a view.
    Register,
    /// A row whose number is incremented.
    Counter,
    /// Rows that are inserted.
    List,
    /// The same in a table without transactions.
    Heap,
    /// Written one after the other with one number: these two in one table …
    First,
    Second,
    /// … and this in another one.
    Third,
}

/// Groups of those who see each other's writes: all, two accounts, three keys.
pub const GROUPS: usize = 6;
pub const ALL: usize = 0;
pub const ACCOUNTS: [usize; 2] = [1, 2];
pub const KEYS: [usize; 3] = [3, 4, 5];

/// Kind and row of each object. The first, second and third of a trio follow each other.
const OBJECTS: &[(Kind, u32)] = &[
    (Kind::Register, 1),
    (Kind::Register, 2),
    (Kind::Register, 3),
    (Kind::Counter, 1),
    (Kind::Counter, 2),
    (Kind::List, 1),
    (Kind::List, 2),
    (Kind::Heap, 1),
    (Kind::First, 1),
    (Kind::Second, 11),
    (Kind::Third, 1),
    (Kind::First, 2),
    (Kind::Second, 12),
    (Kind::Third, 2),
];

pub struct Object {
    pub kind: Kind,
    pub id: u32,
    /// The last number that was written; who writes holds it.
    last: Mutex<u64>,
    /// Increments that were acknowledged.
    increments: AtomicU64,
    /// What each group has had acknowledged.
    acknowledged: [AtomicU64; GROUPS],
}

impl Object {
    pub fn name(&self) -> String {
        format!("{:?} {}", self.kind, self.id)
    }

    pub fn is_incremented(&self) -> bool {
        matches!(self.kind, Kind::Counter | Kind::List | Kind::Heap)
    }
}

/// A write that has begun; `value` is the least that the object shows once it is done.
pub struct Writing<'a> {
    pub object: usize,
    pub value: u64,
    _turn: Option<MutexGuard<'a, u64>>,
}

pub struct Model {
    pub objects: Vec<Object>,
}

impl Model {
    /// All at 0, as in the tables.
    pub fn new() -> Self {
        let object = |(kind, id): &(Kind, u32)| Object {
            kind: *kind,
            id: *id,
            last: Mutex::new(0),
            increments: AtomicU64::new(0),
            acknowledged: Default::default(),
        };
        Self { objects: OBJECTS.iter().map(object).collect() }
    }

    /// Begins a write: of a register, once it is nobody else's turn. Several are begun in the order of
    /// their indices, before the first statement, so that no two sessions wait for each other.
    pub fn begin(&self, object: usize) -> Writing<'_> {
        let it = &self.objects[object];
        if it.is_incremented() {
            return Writing { object, value: it.increments.load(SeqCst) + 1, _turn: None };
        }
        let mut turn = it.last.lock().unwrap();
        *turn += 1;
        Writing { object, value: *turn, _turn: Some(turn) }
    }

    /// The write was acknowledged; these groups know of it from now on.
    pub fn acknowledge(&self, writing: &Writing<'_>, groups: &[usize]) {
        self.raise(writing.object, writing.value, groups);
        let it = &self.objects[writing.object];
        if it.is_incremented() {
            let all = it.increments.fetch_add(1, SeqCst) + 1;
            it.acknowledged[ALL].fetch_max(all, SeqCst);
        }
    }

    /// The other two of a trio have this number, too.
    pub fn raise(&self, object: usize, value: u64, groups: &[usize]) {
        for group in groups.iter().chain([&ALL]) {
            self.objects[object].acknowledged[*group].fetch_max(value, SeqCst);
        }
    }

    /// What a group has had acknowledged so far.
    pub fn acknowledged(&self, object: usize, group: usize) -> u64 {
        self.objects[object].acknowledged[group].load(SeqCst)
    }

    /// How far before this one those are that were written before it, with the same number.
    pub fn written_before(&self, object: usize, by_table: bool) -> &'static [usize] {
        match self.objects[object].kind {
            Kind::Second => &[1],
            Kind::Third if !by_table => &[1, 2],
            _ => &[],
        }
    }
}

#[test]
fn bounds_rise_with_what_is_acknowledged() {
    let model = Model::new();
    let counter = OBJECTS.iter().position(|(kind, _)| *kind == Kind::Counter).unwrap();
    let (one, other) = (model.begin(counter), model.begin(counter));
    assert_eq!((one.value, other.value), (1, 1), "neither knows of the other");
    model.acknowledge(&one, &[ACCOUNTS[0]]);
    model.acknowledge(&other, &[ACCOUNTS[1]]);
    assert_eq!(model.acknowledged(counter, ALL), 2);
    assert_eq!(model.acknowledged(counter, ACCOUNTS[1]), 1);
    assert_eq!(model.begin(counter).value, 3);
    let register = model.begin(0);
    assert_eq!((register.value, model.acknowledged(0, ALL)), (1, 0));
    model.acknowledge(&register, &[]);
    assert_eq!((model.acknowledged(0, ALL), model.acknowledged(0, KEYS[0])), (1, 0));
}
