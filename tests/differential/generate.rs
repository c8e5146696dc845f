//! Makes scripts from seeds.
//!
//! A script is made of scenes, each one or a few actions of one feature. Of all features, a script
//! uses a few, more or less often: what holds a session to its primary must not be in all of them,
//! or nothing would ever run on a replica. What an earlier scene has left open (a transaction, a
//! prepared statement) a later one may go on with.

use crate::grammar::{Grammar, Sql};
use crate::prepared::Slots;
use crate::script::{Action, CAPS, Replicas, Script};
use crate::support::Make;
use crate::support::wire::caps;

/// What a script may be about, and how often a script is.
const FEATURES: &[(u32, Feature)] = &[
    (10, Feature::Write),
    (6, Feature::Transaction),
    (3, Feature::Autocommit),
    (3, Feature::Characteristics),
    (3, Feature::Charset),
    (4, Feature::Variables),
    (3, Feature::Schema),
    (2, Feature::Rule("user_variable", "user_variable_seen")),
    (1, Feature::Rule("temporary", "temporary")),
    (5, Feature::Rule("diagnostics", "diagnostics")),
    (1, Feature::Rule("user_lock", "user_lock")),
    (1, Feature::LockTables),
    (2, Feature::Rule("routine", "routine")),
    (6, Feature::Prepared),
    (5, Feature::Named),
    (2, Feature::Rule("ddl", "made")),
    (2, Feature::Rule("multi", "multi")),
    (2, Feature::Rule("bad_read", "bad_write")),
    (3, Feature::Connection),
    (1, Feature::Xa),
    (1, Feature::Rule("sequence", "sequence")),
    (1, Feature::Rule("set_statement", "set_statement")),
    (1, Feature::Rule("handler", "handler")),
    (1, Feature::LoadData),
    (2, Feature::Pipeline),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    /// The first rule and, as often, the second.
    Rule(&'static str, &'static str),
    Write,
    Transaction,
    Autocommit,
    Characteristics,
    Charset,
    Variables,
    Schema,
    LockTables,
    Prepared,
    Named,
    Connection,
    Xa,
    LoadData,
    Pipeline,
}

/// The script of a seed.
pub fn script(seed: u64, make: Make) -> Script {
    let mut random = fastrand::Rng::with_seed(seed);
    let replicas = Replicas::ALL[(seed % 3) as usize];
    let capabilities = choose_caps(&mut random, make);
    let charset = [45, 45, 45, 33, 8, 224][random.usize(..6)];
    let mut maker = Maker {
        random,
        make,
        features: Vec::new(),
        in_transaction: false,
        tables_locked: false,
        slots: Slots::default(),
        actions: Vec::new(),
    };
    maker.choose_features();
    let length = maker.random.usize(8..26);
    while maker.actions.len() < length {
        maker.scene();
        if replicas == Replicas::Awaited && maker.random.u8(0..6) == 0 {
            maker.actions.push(Action::Wait);
        }
    }
    maker.finish();
    Script { caps: capabilities, charset, replicas, actions: maker.actions }
}

fn choose_caps(random: &mut fastrand::Rng, make: Make) -> u64 {
    CAPS.iter()
        .map(|(capability, _)| *capability)
        .filter(|capability| match *capability {
            caps::FOUND_ROWS => random.u8(0..4) == 0,
            caps::MULTI_STATEMENTS => random.u8(0..4) != 0,
            caps::QUERY_ATTRIBUTES => make == Make::MySql && random.u8(0..3) == 0,
            // A client of MariaDB's own has both.
            caps::MARIADB_METADATA | caps::MARIADB_BULK => false,
            _ => random.bool(),
        })
        .sum()
}

/// A script that is being made.
pub struct Maker {
    pub random: fastrand::Rng,
    pub make: Make,
    features: Vec<Feature>,
    in_transaction: bool,
    tables_locked: bool,
    pub slots: Slots,
    pub actions: Vec<Action>,
}

impl Maker {
    /// Two to five, and sometimes everything.
    fn choose_features(&mut self) {
        let total: u32 = FEATURES.iter().map(|(weight, _)| weight).sum();
        for _ in 0..self.random.usize(2..=5) {
            let mut at = self.random.u32(..total);
            for (weight, feature) in FEATURES {
                if at < *weight {
                    self.features.push(*feature);
                    break;
                }
                at -= weight;
            }
        }
        if self.random.u8(0..16) == 0 {
            self.features = FEATURES.iter().map(|(_, feature)| *feature).collect();
        }
    }

    /// What a rule makes, with or without parameters.
    pub fn expand(&mut self, template: &str, with_params: bool) -> Sql {
        Grammar { random: &mut self.random, make: self.make, with_params }.expand(template)
    }

    /// A statement of a rule as text.
    pub fn query(&mut self, template: &str) -> Action {
        Action::Query(self.expand(template, false).text)
    }

    fn push_query(&mut self, template: &str) {
        let action = self.query(template);
        self.actions.push(action);
    }

    pub fn chance(&mut self, one_in: u32) -> bool {
        self.random.u32(..one_in) == 0
    }

    fn scene(&mut self) {
        let ends = if self.tables_locked { 4 } else { 6 };
        if (self.in_transaction || self.tables_locked) && self.chance(ends) {
            return self.end();
        }
        if self.chance(2) {
            return self.push_query("<read>");
        }
        let feature = self.features[self.random.usize(..self.features.len())];
        match feature {
            Feature::Rule(first, second) => {
                let rule = if self.random.bool() { first } else { second };
                self.push_query(&format!("<{rule}>"));
            }
            Feature::Write => self.push_query("<write>"),
            Feature::Transaction => self.transaction(),
            Feature::Autocommit => self.push_query("<autocommit>"),
            Feature::Characteristics => {
                let rules = ["<characteristics>", "<begin>", "<isolation>", "<end>", "<write>"];
                let rule = rules[self.random.usize(..rules.len())];
                self.in_transaction |= rule == "<begin>";
                self.push_query(rule);
            }
            Feature::Charset => self.push_query_of(&["<charset>", "<charset_seen>"]),
            Feature::Variables => self.push_query_of(&["<variable>", "<variable_seen>"]),
            Feature::Schema => self.schema(),
            Feature::LockTables => {
                self.tables_locked = true;
                self.push_query_of(&["<lock_tables>", "<write>"]);
            }
            Feature::Prepared => self.prepared(),
            Feature::Named => self.named(),
            Feature::Connection => self.connection(),
            Feature::Xa => self.xa(),
            Feature::LoadData => self.load_data(),
            Feature::Pipeline => self.pipeline(),
        }
    }

    fn push_query_of(&mut self, templates: &[&str]) {
        let template = templates[self.random.usize(..templates.len())];
        self.push_query(template);
    }

    /// Ends what is open.
    fn end(&mut self) {
        if self.tables_locked && self.random.bool() {
            self.tables_locked = false;
            return self.push_query("UNLOCK TABLES");
        }
        self.in_transaction = false;
        self.push_query("<end>");
    }

    fn transaction(&mut self) {
        if !self.in_transaction || self.chance(12) {
            self.in_transaction = true;
            return self.push_query("<begin>");
        }
        match self.random.u8(0..10) {
            0..=3 => self.push_query("<write>"),
            4..=6 => self.push_query("<savepoint>"),
            7 if self.chance(3) => self.push_query("<completion>"),
            7 => self.push_query("<ddl>"),
            _ => self.end(),
        }
    }

    fn schema(&mut self) {
        let schemas: [&[u8]; 4] = [b"{s}", b"{o}", b"{s}", b"no_such_schema"];
        let action = match self.random.u8(0..4) {
            0 | 1 => self.query("<use>"),
            2 => self.query("SELECT DATABASE(), COUNT(*) FROM ta"),
            _ => Action::InitDb(schemas[self.random.usize(..schemas.len())].to_vec()),
        };
        self.actions.push(action);
    }

    fn connection(&mut self) {
        let action = match self.random.u8(0..10) {
            0 | 1 => Action::Command(vec![0x0e]),
            2 | 3 => Action::Command(vec![0x1f]),
            4 => Action::Command(vec![0x1b, self.random.u8(0..=1), 0]),
            5 => self.query("<multi>"),
            6 => Action::FieldList { table: b"ta".to_vec(), pattern: Vec::new() },
            7 => Action::FieldList { table: b"no_such".to_vec(), pattern: b"%".to_vec() },
            8 => Action::Command(vec![0x0d]),
            _ => {
                let user = if self.random.bool() { "app" } else { "other" };
                let schema = [&b"{s}"[..], b"{o}", b"", b"{s}"][self.random.usize(..4)].to_vec();
                let charset = [45, 8, 33][self.random.usize(..3)];
                Action::ChangeUser { user: user.to_owned(), schema, charset }
            }
        };
        if matches!(&action, Action::Command(payload) if payload[..] == [0x1f])
            || matches!(action, Action::ChangeUser { .. })
        {
            self.in_transaction = false;
            self.tables_locked = false;
            self.slots.forget_all();
        }
        self.actions.push(action);
    }

    /// From begin to end, with something in between, or one command out of order.
    fn xa(&mut self) {
        if self.chance(4) {
            return self.push_query("<xa>");
        }
        let ends: &[&[&str]] = &[
            &["XA END '{x}'", "XA COMMIT '{x}' ONE PHASE"],
            &["XA END '{x}'", "XA PREPARE '{x}'", "XA COMMIT '{x}'"],
            &["XA END '{x}'", "XA PREPARE '{x}'", "XA ROLLBACK '{x}'"],
            &["XA END '{x}'", "XA ROLLBACK '{x}'"],
            &["COMMIT", "XA END '{x}'", "SELECT 1", "XA ROLLBACK '{x}'"],
        ];
        self.push_query("XA START '{x}'");
        for _ in 0..self.random.u8(0..3) {
            self.push_query_of(&["<read>", "<write>"]);
        }
        let end = ends[self.random.usize(..ends.len())];
        end.iter().for_each(|text| self.push_query(text));
    }

    fn load_data(&mut self) {
        let contents: [&[u8]; 4] =
            [b"11,1\n12,2\n", b"", b"1,9\n13,x\n14,5,more\n", b"21,1\n22,2\n23,3\n24,4\n"];
        let tables = ["tb", "tb", "no_such"];
        let content = contents[self.random.usize(..contents.len())].to_vec();
        let table = tables[self.random.usize(..tables.len())];
        let sql = format!(
            "LOAD DATA LOCAL INFILE 'f' INTO TABLE {table} FIELDS TERMINATED BY ',' (id, a)"
        );
        self.actions.push(Action::File { content, sql: sql.into_bytes() });
    }

    fn pipeline(&mut self) {
        let mut actions = Vec::new();
        for _ in 0..self.random.u8(2..=5) {
            actions.push(match self.random.u8(0..8) {
                0..=3 => self.query("<read>"),
                4 => self.query("<write>"),
                5 => self.query("<variable>"),
                6 => self.query("<variable_seen>"),
                _ => Action::Command(vec![0x0e]),
            });
        }
        self.actions.push(Action::Pipeline(actions));
    }

    /// A few looks at what was done, and rarely an end of the server's own.
    fn finish(&mut self) {
        if self.in_transaction && self.chance(2) {
            self.end();
        }
        self.push_query("SELECT * FROM ta ORDER BY id");
        self.push_query("SELECT id, a, note FROM tb ORDER BY id");
        if self.chance(20) {
            self.push_query("<release>");
        }
    }
}
