//! Every table of a query is found, whatever the query is made of.

use std::fmt::Write;

use fastrand::Rng;

use super::*;

/// Makes queries by the grammar of `query_expression` and `table_reference` that both servers have, and
/// keeps account of the tables that it has put in.
struct Queries {
    rng: Rng,
    text: String,
    used: Vec<(Option<String>, String)>,
    depth: usize,
}

impl Queries {
    fn say(&mut self, text: &str) {
        self.text.push_str(text);
        let space = [" ", "  ", "\n", " /* x, y */ ", "/* FROM z */"];
        self.text.push_str(space[self.rng.usize(..space.len())]);
    }

    /// One of these.
    fn pick(&mut self, choices: &[&str]) {
        let choice = choices[self.rng.usize(..choices.len())];
        self.say(choice);
    }

    fn times(&mut self, most: usize, between: &str, each: impl Fn(&mut Self)) {
        for number in 0..=self.rng.usize(..most) {
            if number > 0 {
                self.say(between);
            }
            each(self);
        }
    }

    fn within(&mut self, open: &str, inner: impl Fn(&mut Self), close: &str) {
        self.say(open);
        inner(self);
        self.say(close);
    }

    /// A number below `count`, or 0 where the query is deep enough.
    fn choice(&mut self, count: usize) -> usize {
        if self.depth > 6 { 0 } else { self.rng.usize(..count) }
    }

    fn table(&mut self) {
        let name = format!("t{}", self.rng.u8(..20));
        let schema = self.rng.bool().then(|| format!("s{}", self.rng.u8(..3)));
        let mut said = String::new();
        for part in schema.iter().chain([&name]) {
            let dots = [".", " . ", ". "];
            let dot = if said.is_empty() { "" } else { dots[self.rng.usize(..dots.len())] };
            match self.rng.u8(..3) {
                0 => write!(said, "{dot}`{part}`").unwrap(),
                1 => write!(said, "{dot}{}", part.to_uppercase()).unwrap(),
                _ => write!(said, "{dot}{part}").unwrap(),
            }
        }
        self.say(&said);
        self.used.push((schema, name));
        match self.rng.u8(..6) {
            0 => self.say("PARTITION (p0, p1)"),
            1 => self.say("AS x"),
            2 => self.say("y"),
            3 => self.say("USE INDEX (i, j)"),
            _ => {}
        }
    }

    fn reference(&mut self) {
        self.depth += 1;
        match self.choice(8) {
            0..=3 => self.table(),
            4 => self.within("(", |it| it.times(3, ",", Self::reference), ")"),
            5 => self.within("(", Self::query, ") AS d"),
            6 => self.within("LATERAL (", Self::query, ") AS e (a, b)"),
            _ => {
                self.reference();
                self.pick(&[
                    "JOIN",
                    "LEFT OUTER JOIN",
                    "STRAIGHT_JOIN",
                    "NATURAL JOIN",
                    "CROSS JOIN",
                ]);
                self.reference();
                if self.rng.bool() {
                    self.pick(&["ON (a = f(b, c))", "USING (a, b)", "ON a IN (1, 2)"]);
                }
            }
        }
        self.depth -= 1;
    }

    fn expression(&mut self) {
        self.depth += 1;
        match self.choice(7) {
            0 => self.pick(&["a", "x.b", "1", "'from q, r'", "NULL", "IF(a, b, c)"]),
            1 => self.say("EXTRACT(DAY FROM a)"),
            2 => self.within("(", Self::query, ")"),
            3 => self.within("EXISTS (", Self::query, ")"),
            4 => self.within("COALESCE(1, (", Self::query, "), 2)"),
            5 => self.within("a IN (", Self::query, ")"),
            _ => self.within("(", |it| it.times(2, "+", Self::expression), ")"),
        }
        self.depth -= 1;
    }

    fn query(&mut self) {
        self.depth += 1;
        match self.choice(8) {
            7 => {
                self.say("WITH");
                self.times(2, ",", |it| it.within("c AS (", Self::query, ")"));
                self.select();
            }
            6 => {
                self.within("(", Self::query, ")");
                self.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
                self.select();
            }
            5 => {
                self.say("TABLE");
                let (name, before) = ("t0", self.used.len());
                self.say(name);
                self.used.insert(before, (None, name.to_owned()));
            }
            _ => self.select(),
        }
        self.depth -= 1;
    }

    fn select(&mut self) {
        self.pick(&["SELECT", "SELECT DISTINCT", "SELECT SQL_NO_CACHE", "SELECT STRAIGHT_JOIN"]);
        self.times(3, ",", Self::expression);
        if self.rng.u8(..8) == 0 {
            return;
        }
        self.say("FROM");
        self.times(3, ",", Self::reference);
        for (clause, between) in
            [("WHERE", "AND"), ("GROUP BY", ","), ("HAVING", "OR"), ("ORDER BY", ",")]
        {
            if self.rng.u8(..3) == 0 {
                self.say(clause);
                self.times(2, between, Self::expression);
            }
        }
        if self.rng.u8(..4) == 0 {
            self.say("LIMIT 1, 2");
        }
    }
}

#[test]
fn every_table_of_a_query_is_found() {
    let (mut tables, mut found_in_all) = (0, 0);
    for seed in 0..2_000 {
        let rng = Rng::with_seed(seed);
        let mut made = Queries { rng, text: String::new(), used: Vec::new(), depth: 0 };
        made.query();
        let (mut read, mut named) = (Vec::new(), Vec::new());
        let (text, mode) = (made.text.as_bytes(), LexMode::default());
        read_tables(text, &mode, |schema, name| read.push((schema, name))).unwrap();
        table_names(text, &mode, |schema, name| named.push((schema, name))).unwrap();
        for (schema, name) in &made.used {
            let hash = |name: &String| NameHash::of(name.as_bytes());
            let table = (schema.as_ref().map(hash), hash(name));
            assert!(read.contains(&table), "seed {seed}: {schema:?} {name} in {}", made.text);
            assert!(named.contains(&table), "seed {seed}: {schema:?} {name} in {}", made.text);
        }
        assert!(read.iter().all(|table| named.contains(table)), "seed {seed}: {}", made.text);
        tables += made.used.len();
        found_in_all += read.len();
    }
    assert!(tables > 2_000, "{tables}");
    // Too many are found, and not beyond measure.
    assert!(found_in_all < tables * 3, "{found_in_all} for {tables}");
}
