//! `[[rule]]`: what the operator settles about routing, and what cannot be meant.
//!
//! A rule that does nothing, contradicts itself, or stands behind one that catches all that it
//! would match is refused: whoever wrote it believes that it has an effect.

use super::error::quoted;
use super::file::{Located, Table};
use super::servers::{WORD_FORM, word};
use super::units::format_duration;
use super::validate::{DAY, MS, USER_FORM, user_name};
use super::{Role, RuleConfig, RuleTarget, ServerConfig};
use crate::sql::Prefix;

const MAX_RULES: usize = 1000;
/// Users, schemas or statements of one rule.
const MAX_LISTED: usize = 100;
/// Longest statement prefix, in bytes.
const MAX_PREFIX: usize = 1000;

/// Keys of which a rule has at least one.
const CONDITIONS: [&str; 3] = ["user", "schema", "statement"];
/// Keys of which a rule has at least one.
const EFFECTS: [&str; 4] = ["target", "tag", "max_lag", "read_only"];

const SCHEMA_FORM: &str = "1 to 64 characters";
const STATEMENT_FORM: &str =
    "the first words of a statement, such as \"select * from big_report\", up to 1000 bytes";

/// Reads all rules; `servers` have the tags that there are.
pub(super) fn read(root: &Table<'_>, servers: &[ServerConfig]) -> Vec<RuleConfig> {
    let tables = root.tables("rule", MAX_RULES);
    let rules: Vec<RuleConfig> =
        tables.iter().enumerate().map(|(index, table)| read_one(table, index + 1)).collect();
    for (table, rule) in tables.iter().zip(&rules) {
        check_sense(table, rule);
        check_tag(table, rule, servers);
    }
    // Of a list with errors in it, only the rest is there.
    let readable =
        tables.first().is_none_or(|table| !CONDITIONS.iter().any(|key| table.has_errors(key)));
    if readable {
        check_reach(&tables, &rules);
    }
    rules
}

fn read_one(table: &Table<'_>, number: usize) -> RuleConfig {
    let values = |list: Option<Vec<Located<String>>>| {
        list.into_iter().flatten().map(|found| found.value).collect()
    };
    let name = table.parsed("name", WORD_FORM, |text| word(text, b"._-"));
    let users = table.list("user", MAX_LISTED, USER_FORM, user_name);
    let schemas = table.list("schema", MAX_LISTED, SCHEMA_FORM, |text| {
        if (1..=64).contains(&text.chars().count()) && !text.contains('\0') {
            Ok(text.to_owned())
        } else {
            Err(format!("{} is no schema", quoted(text)))
        }
    });
    let statements = table.list("statement", MAX_LISTED, STATEMENT_FORM, |text| {
        if text.len() > MAX_PREFIX {
            return Err(format!("{} has {} bytes", quoted(text), text.len()));
        }
        Prefix::parse(text).map_err(|error| format!("{} {error}", quoted(text)))?;
        Ok(text.to_owned())
    });
    let tag = table.parsed("tag", WORD_FORM, |text| word(text, b"._-"));
    for (key, list) in [("user", &users), ("schema", &schemas), ("statement", &statements)] {
        if list.as_ref().is_some_and(Vec::is_empty) && !table.has_errors(key) {
            table.error(key, "is empty", "at least one, or leave the key out");
        }
    }
    RuleConfig {
        name: name.map_or_else(|| format!("rule-{number}"), |found| found.value),
        users: values(users),
        schemas: values(schemas),
        statements: values(statements),
        target: table.word("target"),
        tag: tag.map(|found| found.value),
        max_lag: table.duration("max_lag", MS..=DAY),
        read_only: table.boolean("read_only").unwrap_or(false),
    }
}

fn check_sense(table: &Table<'_>, rule: &RuleConfig) {
    if !CONDITIONS.iter().any(|key| table.has(key)) {
        table.error("user", "missing", "at least one of user, schema and statement");
    }
    if !EFFECTS.iter().any(|key| table.has(key)) {
        table.error("target", "missing", "at least one of target, tag, max_lag and read_only");
    }
    if rule.target == Some(RuleTarget::Primary) {
        let problem = "cannot be had with target = \"primary\"";
        let allowed = "target = \"replica\" with it, or leave one of the two out";
        for (key, is_given) in [
            ("tag", rule.tag.is_some()),
            ("max_lag", rule.max_lag.is_some()),
            ("read_only", rule.read_only),
        ] {
            if is_given {
                table.error(key, problem, allowed);
            }
        }
    }
    if table.has("read_only")
        && !rule.read_only
        && EFFECTS.iter().filter(|key| table.has(key)).count() == 1
        && !table.has_errors("read_only")
    {
        table.error("read_only", "false does nothing", "true, or another effect with it");
    }
}

fn check_tag(table: &Table<'_>, rule: &RuleConfig, servers: &[ServerConfig]) {
    let Some(tag) = &rule.tag else { return };
    let mut tags: Vec<&str> = servers
        .iter()
        .filter(|server| server.role == Role::Replica)
        .flat_map(|server| server.tags.iter().map(String::as_str))
        .collect();
    if tags.contains(&tag.as_str()) {
        return;
    }
    tags.sort_unstable();
    tags.dedup();
    let known = tags.iter().map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ");
    let allowed = if known.is_empty() { "tags of a [[server]] first".to_owned() } else { known };
    table.error("tag", format!("no replica has the tag \"{tag}\""), &allowed);
}

/// Names are unique, and each rule can match something.
fn check_reach(tables: &[Table<'_>], rules: &[RuleConfig]) {
    let conditions: Vec<Conditions<'_>> = rules.iter().map(Conditions::of).collect();
    for (index, (table, rule)) in tables.iter().zip(rules).enumerate() {
        let above = rules.iter().zip(&conditions).take(index);
        if above.clone().any(|(other, _)| other.name == rule.name) {
            let problem = format!("\"{}\" is the name of two rules", rule.name);
            table.error("name", problem, "a name of its own for each");
        }
        let Some(own) = conditions.get(index) else { continue };
        let key = own.strictest();
        for (other, _) in above.filter(|(_, other)| other.catch_all_of(own)).take(1) {
            let problem = format!("never matches: rule \"{}\" above catches all of it", other.name);
            table.error(key, problem, "put the rule that matches less above the other");
        }
        let below = rules.iter().zip(&conditions).skip(index + 1);
        for (other, _) in below.filter(|(other, theirs)| theirs.keep_users_of(other, own)).take(1) {
            let problem = format!(
                "never matches: rule \"{}\" keeps the whole sessions of its users on replicas",
                other.name
            );
            table.error(key, problem, "leave one of the two out");
        }
    }
}

/// When a rule matches.
struct Conditions<'a> {
    users: &'a [String],
    schemas: &'a [String],
    statements: Vec<Prefix>,
}

impl<'a> Conditions<'a> {
    fn of(rule: &'a RuleConfig) -> Self {
        let statements = rule.statements.iter().filter_map(|text| Prefix::parse(text).ok());
        Self { users: &rule.users, schemas: &rule.schemas, statements: statements.collect() }
    }

    /// The key at which an error about all of them points.
    fn strictest(&self) -> &'static str {
        if !self.statements.is_empty() {
            "statement"
        } else if !self.schemas.is_empty() {
            "schema"
        } else {
            "user"
        }
    }

    /// Whether every statement that `other` would match is matched by these.
    fn catch_all_of(&self, other: &Conditions<'_>) -> bool {
        within(other.users, self.users, |a, b| a == b)
            && within(other.schemas, self.schemas, |a, b| a.eq_ignore_ascii_case(b))
            && within(&other.statements, &self.statements, |a, b| b.covers(a))
    }

    /// Whether these are of a `rule` that keeps the sessions of all users of `other` on replicas,
    /// whatever rule stands above it.
    fn keep_users_of(&self, rule: &RuleConfig, other: &Conditions<'_>) -> bool {
        rule.read_only
            && self.schemas.is_empty()
            && self.statements.is_empty()
            && !self.users.is_empty()
            && within(other.users, self.users, |a, b| a == b)
    }
}

/// Whether all that `narrow` lets through is let through by `wide`; an empty list lets all through.
fn within<T>(narrow: &[T], wide: &[T], is_within: impl Fn(&T, &T) -> bool) -> bool {
    let all = |narrow: &[T]| narrow.iter().all(|a| wide.iter().any(|b| is_within(a, b)));
    wide.is_empty() || !narrow.is_empty() && all(narrow)
}

impl RuleConfig {
    /// The rule in one line, as a person would say it.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (what, list) in
            [("user", &self.users), ("schema", &self.schemas), ("statement", &self.statements)]
        {
            if !list.is_empty() {
                if !text.is_empty() {
                    text.push_str(", ");
                }
                text.push_str(&format!("{what} {}", list.join(" or ")));
            }
        }
        let mut effects = Vec::new();
        match (self.target, &self.tag) {
            (Some(target), Some(tag)) => effects.push(format!("{target} with tag {tag}")),
            (Some(target), None) => effects.push(target.to_string()),
            (None, Some(tag)) => effects.push(format!("tag {tag}")),
            (None, None) => {}
        }
        if let Some(max_lag) = self.max_lag {
            effects.push(format!("max_lag {}", format_duration(max_lag)));
        }
        if self.read_only {
            effects.push("read only".to_owned());
        }
        format!("{text} -> {}", effects.join(", "))
    }
}
