//! What else changes when a table is written to: by triggers, foreign keys and what they call, and in the
//! views that read it.
//!
//! The servers describe all of that as text, and text names every table that it is about
//! ([`crate::sql::table_names`]); so each definition is a set of names, and what a write may change is what
//! can be reached from its table: forwards by what is written along with it, then backwards to the views.
//! Again too much and never too little. What has no text to read (a routine that the monitor may not see,
//! dynamic SQL) may change every table; a view whose definition is not to be had changes with every table.

use std::collections::{HashMap, HashSet};

use super::tables::{TableKey, Tables, says_any};
use crate::sql::{LexMode, NameHash, table_names};

/// A definition that says one of these may do what its text does not name, or change other definitions.
const DYNAMIC: [&str; 7] = ["prepare", "execute", "create", "alter", "drop", "rename", "truncate"];

/// Something that the servers' catalogue describes. Names are as the server tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// A table of whatever kind.
    Table {
        /// Its schema.
        schema: Vec<u8>,
        /// Its name.
        name: Vec<u8>,
    },
    /// A trigger.
    Trigger {
        /// Schema of trigger and table.
        schema: Vec<u8>,
        /// The table.
        table: Vec<u8>,
        /// What it does.
        body: Option<Vec<u8>>,
        /// `"` begins a name in it.
        ansi_quotes: bool,
    },
    /// A procedure or function.
    Routine {
        /// Its schema.
        schema: Vec<u8>,
        /// Its name.
        name: Vec<u8>,
        /// What it does; `None` if the monitor may not see it.
        body: Option<Vec<u8>>,
        /// `"` begins a name in it.
        ansi_quotes: bool,
    },
    /// A foreign key that changes the child's rows when the parent's change.
    ForeignKey {
        /// The parent's schema and name.
        parent: (Vec<u8>, Vec<u8>),
        /// The child's schema and name.
        child: (Vec<u8>, Vec<u8>),
    },
    /// A view.
    View {
        /// Its schema.
        schema: Vec<u8>,
        /// Its name.
        name: Vec<u8>,
        /// The query; `None` if the monitor may not see it.
        query: Option<Vec<u8>>,
    },
}

/// See the module's documentation. The default knows of nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// What a write to this may write to besides.
    along: HashMap<TableKey, Names>,
    /// The views that read this.
    views: HashMap<TableKey, HashSet<TableKey>>,
    /// Procedures and functions.
    routines: HashSet<TableKey>,
    /// Views that may read anything.
    opaque: HashSet<TableKey>,
}

/// What a definition is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    keys: HashSet<TableKey>,
    /// It may be about anything.
    any: bool,
}

impl Names {
    /// Without words and columns: names that only look like those of something.
    fn that_are(mut self, known: &HashSet<TableKey>) -> Self {
        self.keys.retain(|key| known.contains(key));
        self
    }
}

impl Catalogue {
    /// What these definitions say.
    pub fn new(definitions: impl IntoIterator<Item = Definition>) -> Self {
        let mut catalogue = Self::default();
        let mut queries: HashMap<TableKey, Names> = HashMap::new();
        let mut known = HashSet::new();
        for definition in definitions {
            match definition {
                Definition::Table { schema, name } => {
                    known.insert(TableKey::of(&schema, &name));
                }
                Definition::Trigger { schema, table, body, ansi_quotes } => {
                    let names = names(body.as_deref(), &schema, ansi_quotes);
                    catalogue.add(TableKey::of(&schema, &table), names);
                }
                Definition::Routine { schema, name, body, ansi_quotes } => {
                    let key = TableKey::of(&schema, &name);
                    catalogue.routines.insert(key);
                    catalogue.add(key, names(body.as_deref(), &schema, ansi_quotes));
                }
                Definition::ForeignKey { parent, child } => {
                    let keys = HashSet::from([TableKey::of(&child.0, &child.1)]);
                    let parent = TableKey::of(&parent.0, &parent.1);
                    catalogue.add(parent, Names { keys, any: false });
                }
                Definition::View { schema, name, query } => {
                    let names = names(query.as_deref(), &schema, false);
                    queries.insert(TableKey::of(&schema, &name), names);
                }
            }
        }
        known.extend(&catalogue.routines);
        known.extend(queries.keys());
        let queries = queries.into_iter().map(|(view, names)| (view, names.that_are(&known)));
        let queries = queries.collect();
        let along = std::mem::take(&mut catalogue.along).into_iter();
        catalogue.along = along.map(|(key, names)| (key, names.that_are(&known))).collect();
        catalogue.add_views(queries);
        catalogue
    }

    fn add(&mut self, key: TableKey, names: Names) {
        let along = self.along.entry(key).or_default();
        along.keys.extend(names.keys);
        along.any |= names.any;
    }

    /// A write to a view writes to its tables; and it changes with them, and with what the functions read
    /// that it calls.
    fn add_views(&mut self, queries: HashMap<TableKey, Names>) {
        for (view, names) in queries {
            let mut reads = names.keys.clone();
            let mut rest: Vec<TableKey> = reads.iter().copied().collect();
            let mut any = names.any;
            while let Some(key) = rest.pop() {
                let routine = self.along.get(&key).filter(|_| self.routines.contains(&key));
                let Some(body) = routine else { continue };
                any |= body.any;
                rest.extend(body.keys.iter().copied().filter(|key| reads.insert(*key)));
            }
            if any {
                self.opaque.insert(view);
            }
            for table in reads {
                self.views.entry(table).or_default().insert(view);
            }
            self.add(view, names);
        }
    }

    /// Adds to what a statement writes what changes with that.
    pub fn complete(&self, tables: &mut Tables) {
        let called = tables.beside().iter().filter(|key| self.routines.contains(*key));
        let mut rest: Vec<TableKey> = tables.keys().iter().chain(called).copied().collect();
        let mut reached: HashSet<TableKey> = rest.iter().copied().collect();
        while let Some(key) = rest.pop() {
            let Some(along) = self.along.get(&key) else { continue };
            if along.any {
                return *tables = Tables::every();
            }
            rest.extend(along.keys.iter().copied().filter(|key| reached.insert(*key)));
        }
        let mut rest: Vec<TableKey> = reached.iter().copied().collect();
        while let Some(key) = rest.pop() {
            let Some(views) = self.views.get(&key) else { continue };
            rest.extend(views.iter().copied().filter(|view| reached.insert(*view)));
        }
        reached.into_iter().for_each(|key| tables.add(key));
    }

    /// Whether one of these is a procedure that is known, so that what a CALL does is.
    pub fn knows_routine_among(&self, tables: &Tables) -> bool {
        tables.keys().iter().any(|key| self.routines.contains(key))
    }

    /// Whether one of these is a view that may read anything.
    pub fn has_opaque_among(&self, tables: &Tables) -> bool {
        !self.opaque.is_empty() && tables.keys().iter().any(|key| self.opaque.contains(key))
    }
}

/// What a text names in a schema; anything, if there is none or it cannot be told.
fn names(text: Option<&[u8]>, schema: &[u8], ansi_quotes: bool) -> Names {
    let mut names = Names::default();
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Names { any: true, ..names };
    };
    let (default, mode) = (NameHash::of(schema), LexMode { ansi_quotes, ..LexMode::default() });
    let clear = table_names(text, &mode, |schema, name| {
        names.keys.insert(TableKey::new(schema.unwrap_or(default), name));
    });
    names.any = clear.is_err() || says_any(text, &mode, &DYNAMIC);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::classify;

    fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn trigger(table: &str, body: &str) -> Definition {
        let (schema, table, body) = (bytes("shop"), bytes(table), Some(bytes(body)));
        Definition::Trigger { schema, table, body, ansi_quotes: false }
    }

    fn routine(name: &str, body: Option<&str>) -> Definition {
        let (schema, name, body) = (bytes("shop"), bytes(name), body.map(bytes));
        Definition::Routine { schema, name, body, ansi_quotes: false }
    }

    fn view(name: &str, query: Option<&str>) -> Definition {
        Definition::View { schema: bytes("shop"), name: bytes(name), query: query.map(bytes) }
    }

    fn cascade(parent: &str, child: &str) -> Definition {
        let table = |name: &str| (bytes("shop"), bytes(name));
        Definition::ForeignKey { parent: table(parent), child: table(child) }
    }

    fn table(name: &str) -> Definition {
        Definition::Table { schema: bytes("shop"), name: bytes(name) }
    }

    fn tables(names: &[&str]) -> Tables {
        let mut tables = Tables::default();
        names.iter().for_each(|name| tables.add(TableKey::of(b"shop", name.as_bytes())));
        tables
    }

    /// Of these names, those that a write to `table` may change.
    fn changed(catalogue: &Catalogue, table: &str, among: &[&str]) -> Option<Vec<String>> {
        let mut written = tables(&[table]);
        catalogue.complete(&mut written);
        let is_written =
            |name: &&&str| written.keys().contains(&TableKey::of(b"shop", name.as_bytes()));
        let named = among.iter().filter(is_written).map(ToString::to_string).collect();
        (!written.is_every()).then_some(named)
    }

    #[test]
    fn what_changes_with_a_table() {
        let base = ["users", "orders", "audit", "counter", "products"].map(table);
        let catalogue = Catalogue::new(base.into_iter().chain([
            trigger("orders", "BEGIN INSERT INTO audit VALUES (NEW.id); CALL count_up(); END"),
            routine("count_up", Some("UPDATE `counter` SET n = n + 1")),
            cascade("users", "orders"),
            view("open_orders", Some("select `shop`.`orders`.`id` AS `id` from `shop`.`orders`")),
            view("late", Some("select `id` from `shop`.`open_orders`")),
            view("stock", Some("select 1 from `shop`.`products`")),
            view("total", Some("select `shop`.`sum_up`() AS `s`")),
            routine("sum_up", Some("RETURN (SELECT SUM(n) FROM counter)")),
        ]));
        let all = [
            "users",
            "orders",
            "audit",
            "counter",
            "products",
            "open_orders",
            "late",
            "stock",
            "total",
        ];
        let check = |table: &str, want: &[&str]| {
            let want = want.iter().map(ToString::to_string).collect();
            assert_eq!(changed(&catalogue, table, &all), Some(want), "{table}");
        };
        check("products", &["products", "stock"]);
        check("counter", &["counter", "total"]);
        let orders = ["orders", "audit", "counter", "open_orders", "late", "total"];
        check("orders", &orders);
        check("users", &[&["users"][..], &orders].concat());
        // A view that is written to.
        check("stock", &["products", "stock"]);
        // A function that is called in a write to another table.
        let (sql, mode) = (b"INSERT INTO products VALUES (count_up(1))", LexMode::default());
        let mut written = Tables::written(&classify(sql, &mode), sql, b"shop", &mode);
        catalogue.complete(&mut written);
        for (name, want) in
            [("products", true), ("counter", true), ("total", true), ("users", false)]
        {
            let key = TableKey::of(b"shop", name.as_bytes());
            assert_eq!(written.keys().contains(&key), want, "{name}");
        }
        assert!(catalogue.knows_routine_among(&tables(&["x", "count_up"])));
        assert!(!catalogue.knows_routine_among(&tables(&["orders"])));
    }

    #[test]
    fn what_cannot_be_read_may_be_anything() {
        let catalogue = Catalogue::new([
            trigger("a", "CALL dynamic()"),
            routine("dynamic", Some("BEGIN PREPARE s FROM @x; EXECUTE s; END")),
            trigger("b", "CALL hidden()"),
            routine("hidden", None),
            trigger("c", "SET @x = 'open"),
            view("closed", None),
            view("calls", Some("select `shop`.`hidden`() AS `x`")),
        ]);
        for table in ["a", "b", "c", "hidden"] {
            assert_eq!(changed(&catalogue, table, &[]), None, "{table}");
        }
        assert_eq!(changed(&catalogue, "d", &["d"]), Some(vec!["d".to_owned()]));
        assert!(catalogue.has_opaque_among(&tables(&["d", "closed"])));
        assert!(catalogue.has_opaque_among(&tables(&["calls"])));
        assert!(!catalogue.has_opaque_among(&tables(&["d"])));
    }
}
