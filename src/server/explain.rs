//! Where a statement would run, and why: for `lagwise explain` and the console's EXPLAIN ROUTE.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::Config;
use crate::route::{Kept, Rule, SessionFacts, Target, is_server_schema};
use crate::session::TextPrepared;
use crate::sql::{Flags, LexMode, Make, Statement, TextPrepare, classify, text_prepare};

/// Target and reason of a statement of this user in this schema (either may be empty), some lines for a
/// person, and the same of each EXECUTE of one that PREPARE names.
pub fn explain(config: &Config, user: &str, schema: &str, text: &str) -> String {
    let sql = text.as_bytes();
    // EXECUTE IMMEDIATE is MariaDB's alone.
    let makes = [Make::default(), Make::MariaDb].map(|make| LexMode::utf8(make, 0));
    let [mode, mariadb] = &makes;
    let is_immediate =
        |mode| matches!(text_prepare(sql, mode), Some(TextPrepare::Immediate { .. }));
    let mode = if is_immediate(mariadb) { mariadb } else { mode };
    let mut known = TextPrepared::default();
    let (statement, outcome) = known.judge(classify(sql, mode), Some(sql), mode);
    let meant = statement.flags.contains(Flags::TEXT_PREPARED).then(|| known.text(sql, mode));
    let meant = meant.flatten().unwrap_or(sql.into());
    let mut out = explained(config, user, schema, statement, (sql, &meant));
    known.note(outcome, true, mode, Arc::default);
    if let Some(TextPrepare::Prepare { name, .. }) = text_prepare(sql, mode) {
        let execute = [b"EXECUTE `", &name[..], b"`"].concat();
        let (statement, _) = known.judge(classify(&execute, mode), Some(&execute), mode);
        let meant = known.text(&execute, mode).unwrap_or(execute[..].into());
        out.push_str("\nEach EXECUTE of it:\n");
        out.push_str(&explained(config, user, schema, statement, (&execute, &meant)));
    }
    out
}

/// Target, reason, the rule that spoke, and a sentence, for a statement of a new session: with its text,
/// and that of what it executes. What only the server or the session knows is left at its default: the
/// version (so that versioned comments count as unclear), `sql_mode`, and that replicas are `read_only`
/// as they should be.
fn explained(
    config: &Config,
    user: &str,
    schema: &str,
    mut statement: Statement,
    (text, meant): (&[u8], &[u8]),
) -> String {
    let mode = LexMode::utf8(Make::default(), 0);
    let policy = super::policy(config);
    let mut rules = policy.rules.of_user(user.as_bytes());
    let keeper = rules.keeper().map(|(index, _)| index);
    let found = keeper.or_else(|| rules.find(schema.as_bytes(), || Some(meant), &mode));
    let rule = found.and_then(|index| rules.get(index));
    let hint = statement.hint.filter(|_| policy.hints);
    let hinted = hint.and_then(|hint| hint.tag);
    let hinted = hinted.and_then(|tag| std::str::from_utf8(tag.of(text)).ok());
    let unknown = hinted.filter(|tag| !config.has_replica(Some(tag)));
    if unknown.is_some() {
        statement.hint = None;
    }
    let facts = SessionFacts {
        in_server_schema: is_server_schema(schema.as_bytes()),
        rule: rule.map(Rule::says).unwrap_or_default(),
        kept: keeper.map(|_| Kept { server_read_only: true }),
        ..SessionFacts::default()
    };
    let route = crate::route::decide(&statement, &facts, &policy);
    let tag = rule.and_then(|rule| rule.tag.as_deref()).or(hinted.filter(|_| unknown.is_none()));
    let mut out = format!("target  {}\n", route.target.as_str());
    // Writing to a String cannot fail.
    let _ = writeln!(out, "reason  {}", route.reason.as_str());
    if let Some(rule) = rule {
        let _ = writeln!(out, "rule    {}", rule.name);
    }
    if let Some(tag) = tag.filter(|_| route.target == Target::Replica) {
        let _ = writeln!(out, "tag     {tag}");
    }
    let _ = writeln!(out, "{}", route.reason.explain());
    if unknown.is_some() {
        out.push_str("Its hint is ignored: no replica has that tag.\n");
    }
    if route.target == Target::Replica && !config.has_replica(tag) {
        out.push_str(match (config.replicas().next(), keeper) {
            (_, Some(_)) => "There is no replica for it, so the client gets an error.\n",
            (None, None) => "There are no replicas, so the primary runs it.\n",
            (Some(_), None) => "Every replica has tags, so the primary runs it.\n",
        });
    }
    out
}
