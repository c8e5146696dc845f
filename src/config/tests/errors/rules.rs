//! Errors of `[[rule]]`: rules that do nothing, cannot match, or contradict themselves.

use super::appended;

/// Two tagged replicas; the rules begin at line 9.
fn with_tags(rules: &str, expected: &[&str]) {
    let servers = "[[server]]\naddress = \"10.0.0.2:3306\"\ntags = [\"bi\", \"etl\"]\n";
    appended(&format!("{servers}{rules}"), expected);
}

const CONDITIONS: &str = "allowed: at least one of user, schema and statement";
const EFFECTS: &str = "allowed: at least one of target, tag, max_lag and read_only";
const LESS: &str = "allowed: put the rule that matches less above the other";

#[test]
fn a_rule_has_a_condition_and_an_effect() {
    with_tags(
        "[[rule]]\n",
        &[
            &format!("9: rule.user: missing; {CONDITIONS}"),
            &format!("9: rule.target: missing; {EFFECTS}"),
        ],
    );
    with_tags("[[rule]]\nuser = \"a\"\n", &[&format!("9: rule.target: missing; {EFFECTS}")]);
    with_tags("[[rule]]\ntag = \"bi\"\n", &[&format!("9: rule.user: missing; {CONDITIONS}")]);
    with_tags(
        "[[rule]]\nuser = \"a\"\nread_only = false\n",
        &["11: rule.read_only: false does nothing; allowed: true, or another effect with it"],
    );
    with_tags(
        "[[rule]]\nuser = []\ntag = \"bi\"\n",
        &["10: rule.user: is empty; allowed: at least one, or leave the key out"],
    );
}

#[test]
fn values() {
    let read = "allowed: the first words of a statement, such as \"select * from big_report\", up \
                to 1000 bytes, or an array of such";
    let rule =
        |statement: &str| format!("[[rule]]\nstatement = {statement}\ntarget = \"primary\"\n");
    let check = |statement: &str, problem: &str| {
        with_tags(&rule(statement), &[&format!("10: rule.statement: {problem}; {read}")]);
    };
    check("\" ; \"", "\" ; \" holds no word of a statement");
    check("\"SELECT 1; SELECT 2\"", "\"SELECT 1; SELECT 2\" holds more than one statement");
    check(
        "\"SELECT 'a\"",
        "\"SELECT 'a\" is not read alike by all servers, such as an open quote or comment",
    );
    with_tags(
        "[[rule]]\nuser = \"a\"\ntag = \"reporting\"\n",
        &["11: rule.tag: no replica has the tag \"reporting\"; allowed: \"bi\", \"etl\""],
    );
    appended(
        "[[rule]]\nuser = \"a\"\ntag = \"bi\"\n",
        &["8: rule.tag: no replica has the tag \"bi\"; allowed: tags of a [[server]] first"],
    );
    with_tags(
        "[[rule]]\nuser = \"a\"\ntarget = \"bi\"\n",
        &["11: rule.target: \"bi\" is unknown; allowed: \"primary\", \"replica\""],
    );
    with_tags(
        "[[rule]]\nname = \"x\"\nuser = \"a\"\ntag = \"bi\"\n\
         [[rule]]\nname = \"x\"\nuser = \"b\"\ntag = \"bi\"\n",
        &["14: rule.name: \"x\" is the name of two rules; allowed: a name of its own for each"],
    );
}

#[test]
fn contradictions() {
    let both = "cannot be had with target = \"primary\"; allowed: target = \"replica\" with it, or \
                leave one of the two out";
    with_tags(
        "[[rule]]\nuser = \"a\"\ntarget = \"primary\"\ntag = \"bi\"\nmax_lag = \"1s\"\nread_only = true\n",
        &[
            &format!("12: rule.tag: {both}"),
            &format!("13: rule.max_lag: {both}"),
            &format!("14: rule.read_only: {both}"),
        ],
    );
}

/// Two rules, the second of which begins at line 12 with its first key in 13.
fn second(first: &str, second: &str, expected: &[&str]) {
    let rules = format!("[[rule]]\n{first}\ntag = \"bi\"\n[[rule]]\n{second}\ntag = \"bi\"\n");
    with_tags(&rules, expected);
}

#[test]
fn a_rule_that_an_earlier_one_hides() {
    let hidden = "never matches: rule \"rule-1\" above catches all of it";
    for (one, two, key) in [
        ("user = \"a\"", "user = \"a\"", "user"),
        ("user = [\"a\", \"b\"]", "user = \"b\"", "user"),
        ("user = \"a\"", "user = \"a\"\nschema = \"s\"", "schema"),
        ("schema = \"S\"", "schema = \"s\"\nuser = \"a\"", "schema"),
        ("statement = \"SELECT\"", "statement = \"select * from t\"", "statement"),
        ("statement = \"SELECT\"", "statement = [\"select 1\"]\nuser = \"a\"", "statement"),
    ] {
        let line = 13 + usize::from(two.lines().next().unwrap().split(' ').next() != Some(key));
        second(one, two, &[&format!("{line}: rule.{key}: {hidden}; {LESS}")]);
    }
    for (one, two) in [
        ("user = \"a\"", "user = \"A\""),
        ("user = \"b\"", "user = [\"a\", \"b\"]"),
        ("user = \"a\"\nschema = \"s\"", "user = \"a\""),
        ("user = \"a\"", "schema = \"s\""),
        ("statement = \"select * from t\"", "statement = \"SELECT\""),
        ("statement = \"SELECT\"", "statement = [\"select 1\", \"SHOW\"]"),
    ] {
        second(one, two, &[]);
    }
}

#[test]
fn a_rule_for_sessions_that_another_keeps_on_replicas() {
    let keeps = "never matches: rule \"rule-2\" keeps the whole sessions of its users on replicas; \
                 allowed: leave one of the two out";
    second(
        "user = \"a\"\nschema = \"s\"",
        "user = [\"a\", \"b\"]\nread_only = true",
        &[&format!("11: rule.schema: {keeps}")],
    );
    for (one, two) in [
        ("user = [\"a\", \"c\"]\nschema = \"s\"", "user = [\"a\", \"b\"]\nread_only = true"),
        ("schema = \"s\"", "user = [\"a\", \"b\"]\nread_only = true"),
        ("user = \"a\"\nschema = \"s\"", "user = \"a\"\nstatement = \"SELECT\"\nread_only = true"),
    ] {
        second(one, two, &[]);
    }
}
