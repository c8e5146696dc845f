//! What is asked of the console: a few statements of its own, and what clients send by themselves.

use super::noise;

/// Every statement of the console's own: its form, what it does, and whether it changes something.
pub const HELP: &[(&str, &str, bool)] = &[
    ("SHOW SERVERS", "the servers: role, health, lag, and whether they get work", false),
    ("SHOW POOLS", "the connections to each server, and what uses them", false),
    ("SHOW SESSIONS", "who is connected, and what keeps which server connection", false),
    ("SHOW ROUTES", "statements so far by where they ran and why", false),
    ("SHOW QUERIES [LIMIT n]", "statements by digest, the most time first", false),
    ("SHOW SLOW [LIMIT n]", "the last slow statements, the newest first", false),
    ("SHOW CONFIG", "the configuration in force", false),
    ("EXPLAIN ROUTE [FOR user] [IN schema] statement", "where it would run, and why", false),
    ("SHOW HELP", "this list; HELP is the same", false),
    ("DRAIN server", "take a replica out for maintenance", true),
    ("UNDRAIN server", "put it back", true),
    ("KILL id", "end a session", true),
    ("RELOAD", "read the configuration again, all of it or nothing", true),
    ("RESET STATISTICS", "begin SHOW QUERIES and SHOW SLOW anew", true),
];

/// Words of a statement; what is longer is no statement of ours.
const MAX_WORDS: usize = 64;

/// Names that one SHOW VARIABLES may ask for.
const MAX_PATTERNS: usize = 32;

/// What holds the servers' own tables.
const OWN_SCHEMAS: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Nothing to do, as SET.
    Nothing,
    /// A SELECT of variables and such: expressions, and the names of their columns.
    Select(Vec<(String, String)>),
    /// A list with these columns that is always empty here.
    ShowEmpty(&'static [&'static str]),
    /// SHOW VARIABLES: those like one of these patterns, all without any.
    ShowVariables(Vec<String>),
    /// A SELECT from the servers' own tables, all empty here: the names of its columns.
    SelectNone(Vec<String>),
    /// HELP
    Help,
    /// SHOW SERVERS
    Servers,
    /// SHOW POOLS
    Pools,
    /// SHOW SESSIONS
    Sessions,
    /// SHOW ROUTES
    Routes,
    /// SHOW QUERIES: so many.
    Queries(usize),
    /// SHOW SLOW: so many.
    Slow(usize),
    /// SHOW CONFIG
    Config,
    /// EXPLAIN ROUTE
    ExplainRoute {
        /// Whose statement; empty: of nobody whom a rule names.
        user: String,
        /// In which schema; empty: in none.
        schema: String,
        /// As it was sent, comments included, which may be hints.
        statement: String,
    },
    /// KILL: the session's id.
    Kill(u32),
    /// RELOAD
    Reload,
    /// RESET STATISTICS
    ResetStatistics,
    /// DRAIN and UNDRAIN
    Drain {
        /// Name of the server.
        server: String,
        /// Out, or back in.
        drained: bool,
    },
}

impl Statement {
    /// Whether it changes something.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Drain { .. } | Self::Kill(_) | Self::Reload | Self::ResetStatistics)
    }
}

/// Reads one statement.
///
/// # Errors
/// What is wrong with it, in words for a person.
pub fn parse(text: &str) -> Result<Statement, String> {
    if let Some(statement) = explain_route(text) {
        return statement;
    }
    let words = words(text)?;
    let upper: Vec<String> = words.iter().map(Word::keyword).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    Ok(match upper.as_slice() {
        [] => Statement::Nothing,
        ["SET" | "USE" | "BEGIN" | "COMMIT" | "ROLLBACK", ..] | ["START", "TRANSACTION", ..] => {
            Statement::Nothing
        }
        ["HELP"] | ["SHOW", "HELP"] => Statement::Help,
        ["SHOW", "SERVERS"] => Statement::Servers,
        ["SHOW", "POOLS"] => Statement::Pools,
        ["SHOW", "SESSIONS"] => Statement::Sessions,
        ["SHOW", "ROUTES"] => Statement::Routes,
        ["SHOW", "QUERIES"] => Statement::Queries(usize::MAX),
        ["SHOW", "QUERIES", "LIMIT", count] => Statement::Queries(limit(count)?),
        ["SHOW", "SLOW"] => Statement::Slow(usize::MAX),
        ["SHOW", "SLOW", "LIMIT", count] => Statement::Slow(limit(count)?),
        ["SHOW", "CONFIG"] => Statement::Config,
        ["RELOAD"] => Statement::Reload,
        ["RESET", "STATISTICS"] => Statement::ResetStatistics,
        ["KILL", id] | ["KILL", "CONNECTION", id] => {
            Statement::Kill(id.parse().map_err(|_| "KILL needs the id of a session".to_owned())?)
        }
        [verb @ ("DRAIN" | "UNDRAIN"), _] => {
            let server = words.into_iter().nth(1).map(|word| word.text).unwrap_or_default();
            Statement::Drain { server, drained: *verb == "DRAIN" }
        }
        ["SHOW", "VARIABLES", ..] | ["SHOW", "GLOBAL" | "SESSION" | "LOCAL", "VARIABLES", ..] => {
            let patterns = words.into_iter().filter(|word| word.is_quoted);
            Statement::ShowVariables(patterns.map(|word| word.text).take(MAX_PATTERNS).collect())
        }
        ["SHOW", rest @ ..] => empty_list(rest).ok_or_else(|| unknown(text))?,
        ["SELECT", ..] => {
            let found = select(text).or_else(|| select_none(text, &words));
            found.ok_or_else(|| unknown(text))?
        }
        _ => return Err(unknown(text)),
    })
}

/// The number behind LIMIT.
fn limit(count: &str) -> Result<usize, String> {
    count.parse().map_err(|_| "LIMIT needs a number".to_owned())
}

/// EXPLAIN ROUTE, whose statement is taken as it is. `None`: it is another statement.
fn explain_route(text: &str) -> Option<Result<Statement, String>> {
    let mut text = text.trim_start();
    // Some clients begin each statement with who they are.
    while let Some(comment) = text.strip_prefix("/*") {
        text = comment.split_once("*/")?.1.trim_start();
    }
    let rest = after_word(after_word(text, "EXPLAIN")?, "ROUTE")?;
    let (user, rest) = clause(rest, "FOR");
    let (schema, rest) = clause(rest, "IN");
    let statement = rest.trim().trim_end_matches(';').to_owned();
    if statement.is_empty() {
        return Some(Err("EXPLAIN ROUTE needs a statement".to_owned()));
    }
    Some(Ok(Statement::ExplainRoute { user, schema, statement }))
}

/// What follows a word at the beginning of a text.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (found, rest) = text.trim_start().split_at_checked(word.len())?;
    let ends = rest.chars().next().is_none_or(|c| c.is_whitespace() || "'\"`/".contains(c));
    (found.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

/// The name that follows a word, in quotes or without, and the rest; nothing without that word.
fn clause<'a>(text: &'a str, word: &str) -> (String, &'a str) {
    let Some(rest) = after_word(text, word).map(str::trim_start) else {
        return (String::new(), text);
    };
    let (name, rest) = match rest.chars().next().filter(|c| "'\"`".contains(*c)) {
        Some(quote) => {
            let inner = rest.get(1..).unwrap_or_default();
            inner.split_once(quote).unwrap_or((inner, ""))
        }
        None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
    };
    (name.to_owned(), rest)
}

/// What clients ask for that does not exist here.
fn empty_list(words: &[&str]) -> Option<Statement> {
    let words = match words {
        ["FULL" | "SESSION" | "GLOBAL", rest @ ..] => rest,
        words => words,
    };
    let columns: &'static [&'static str] = match *words.first()? {
        "WARNINGS" | "ERRORS" => &["Level", "Code", "Message"],
        "DATABASES" | "SCHEMAS" => &["Database"],
        "TABLES" => &["Tables", "Table_type"],
        "STATUS" => &["Variable_name", "Value"],
        "COLLATION" => &["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen"],
        "CHARACTER" | "CHARSET" => &["Charset", "Description", "Default collation", "Maxlen"],
        "ENGINES" | "STORAGE" => &["Engine", "Support", "Comment"],
        "PLUGINS" => &["Name", "Status", "Type", "Library", "License"],
        "GRANTS" => &["Grants"],
        "PRIVILEGES" => &["Privilege", "Context", "Comment"],
        "EVENTS" | "FUNCTION" | "PROCEDURE" => &["Db", "Name", "Type"],
        "PROCESSLIST" => &["Id", "User", "Host", "db", "Command", "Time", "State", "Info"],
        _ => return None,
    };
    Some(Statement::ShowEmpty(columns))
}

fn unknown(text: &str) -> String {
    let near: String = text.trim().chars().take(60).collect();
    let forms: Vec<_> = HELP.iter().map(|(form, ..)| *form).collect();
    format!("the console does not know '{near}'; there are: {}", forms.join(", "))
}

/// A word, or what stands in quotes.
#[derive(Debug)]
struct Word {
    text: String,
    is_quoted: bool,
}

impl Word {
    /// In capitals; of what is quoted nothing that is a keyword.
    fn keyword(&self) -> String {
        if self.is_quoted { String::new() } else { self.text.to_ascii_uppercase() }
    }
}

/// The text without comments.
fn bare(text: &str) -> Result<String, String> {
    let (mut out, mut rest, mut quote) = (String::new(), text, None);
    while let Some(c) = rest.chars().next() {
        let len = c.len_utf8();
        let skip = match quote {
            Some(open) => {
                if c == open {
                    quote = None;
                }
                None
            }
            None if rest.starts_with("/*") => {
                let end = rest.get(2..).and_then(|rest| rest.find("*/"));
                Some(end.ok_or("a comment without its end")? + 4)
            }
            None if c == '#' || rest.starts_with("-- ") => {
                Some(rest.find('\n').unwrap_or(rest.len()))
            }
            None => {
                if matches!(c, '\'' | '"' | '`') {
                    quote = Some(c);
                }
                None
            }
        };
        match skip {
            Some(_) => out.push(' '),
            None => out.push(c),
        }
        rest = rest.get(skip.unwrap_or(len)..).unwrap_or_default();
    }
    if quote.is_some() {
        return Err("a quote without its end".to_owned());
    }
    Ok(out.trim().trim_end_matches([';', '\0']).trim().to_owned())
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let text = bare(text)?;
    let (mut words, mut rest) = (Vec::new(), text.as_str());
    while let Some(c) = rest.chars().next().filter(|_| words.len() < MAX_WORDS) {
        let is_quoted = matches!(c, '\'' | '"' | '`');
        let (word, after) = if is_quoted {
            let inner = rest.get(1..).unwrap_or_default();
            inner.split_once(c).unwrap_or((inner, ""))
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "'\"`".contains(c));
            rest.split_at(end.unwrap_or(rest.len()))
        };
        words.push(Word { text: word.to_owned(), is_quoted });
        rest = after.trim_start();
    }
    Ok(words)
}

/// A SELECT of what [`noise`] can answer: expressions with or without AS, and LIMIT.
fn select(text: &str) -> Option<Statement> {
    let text = bare(text).ok()?;
    let list = text.get("SELECT".len()..)?;
    let lower = list.to_ascii_lowercase();
    let list = lower.rfind(" limit ").map_or(list, |at| list.get(..at).unwrap_or(list));
    let lower = list.trim_end().to_ascii_lowercase();
    let end = lower.strip_suffix(" from dual").map_or(list.len(), str::len);
    let list = list.get(..end).unwrap_or(list);
    let mut columns = Vec::new();
    for item in list.split(',') {
        let words: Vec<&str> = item.split_whitespace().collect();
        let (expression, name) = match words.as_slice() {
            [expression] => (*expression, *expression),
            [expression, name] => (*expression, *name),
            [expression, r#as, name] if r#as.eq_ignore_ascii_case("as") => (*expression, *name),
            _ => return None,
        };
        if !noise::is_known(expression) {
            return None;
        }
        columns.push((expression.to_owned(), name.trim_matches(['`', '\'', '"']).to_owned()));
    }
    Some(Statement::Select(columns))
}

/// A SELECT from tables that each server has and the console has not: a tool that looks there finds
/// nothing, and goes on. The columns are called as well as that can be told without reading SQL.
fn select_none(text: &str, words: &[Word]) -> Option<Statement> {
    let from = words.iter().position(|word| word.keyword() == "FROM")?;
    let table = words.get(from + 1)?.text.to_ascii_lowercase();
    let schema = table.split('.').next().unwrap_or_default();
    if !OWN_SCHEMAS.contains(&schema) {
        return None;
    }
    let text = bare(text).ok()?;
    let list = text.get("SELECT".len()..text.to_ascii_uppercase().find("FROM")?)?;
    let name = |item: &str| {
        let last = item.split_whitespace().last().unwrap_or("?");
        let last = last.rsplit('.').next().unwrap_or(last);
        last.trim_matches(['`', '\'', '"']).to_owned()
    };
    Some(Statement::SelectNone(list.split(',').take(MAX_WORDS).map(name).collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let drain = |server: &str, drained| Statement::Drain { server: server.to_owned(), drained };
        for (text, want) in [
            ("", Statement::Nothing),
            ("/* ping */ ;", Statement::Nothing),
            ("/*!40101 SET NAMES utf8 */", Statement::Nothing),
            ("set names utf8mb4", Statement::Nothing),
            ("show servers", Statement::Servers),
            ("  SHOW\n/* all */ Servers ; ", Statement::Servers),
            ("-- what is there?\nSHOW POOLS;", Statement::Pools),
            ("# x\nshow sessions", Statement::Sessions),
            ("help", Statement::Help),
            ("DRAIN 10.0.0.2:3306", drain("10.0.0.2:3306", true)),
            ("undrain `a b`;", drain("a b", false)),
            ("drain'x'", drain("x", true)),
            ("DRAIN 'a /* b'", drain("a /* b", true)),
            ("SHOW WARNINGS", Statement::ShowEmpty(&["Level", "Code", "Message"])),
            ("SHOW DATABASES", Statement::ShowEmpty(&["Database"])),
            (
                "select @@version_comment limit 1",
                Statement::Select(vec![("@@version_comment".into(), "@@version_comment".into())]),
            ),
            (
                "SELECT @@session.autocommit AS a, DATABASE()",
                Statement::Select(vec![
                    ("@@session.autocommit".into(), "a".into()),
                    ("DATABASE()".into(), "DATABASE()".into()),
                ]),
            ),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        let none = |columns: &[&str]| {
            Statement::SelectNone(columns.iter().map(|&name| name.to_owned()).collect())
        };
        let variables = |names: &[&str]| {
            Statement::ShowVariables(names.iter().map(|&name| name.to_owned()).collect())
        };
        for (text, want) in [
            ("SELECT * FROM information_schema.TABLES t WHERE t.x = 'from'", none(&["*"])),
            (
                "select t.`TABLE_NAME`, COUNT(*) AS n from `information_schema`.`tables`",
                none(&["TABLE_NAME", "n"]),
            ),
            ("SELECT User FROM mysql.user", none(&["User"])),
            ("SHOW VARIABLES", variables(&[])),
            ("SHOW SESSION VARIABLES LIKE 'sql_mode'", variables(&["sql_mode"])),
            ("show global variables where Variable_name in ('a', 'b')", variables(&["a", "b"])),
            ("SELECT 1 FROM DUAL", Statement::Select(vec![("1".into(), "1".into())])),
            ("SELECT NOW()", Statement::Select(vec![("NOW()".into(), "NOW()".into())])),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for bad in [
            "SELECT * FROM t",
            "SELECT * FROM information_schema_of_mine.t",
            "SELECT 'FROM' FROM mysqlx.t",
            "SELECT 1 FROM t",
            "DRAIN",
            "DRAIN a b",
            "SHOW",
            "SHOW 'SERVERS'",
            "/* open",
            "DRAIN 'x",
            "\u{e9}",
            "SELECT",
            "SELECT ,",
            "SHOW SERVERS x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let error = parse("DELETE FROM t").unwrap_err();
        assert!(error.contains("DELETE FROM t") && error.contains("SHOW SERVERS"), "{error}");
    }

    #[test]
    fn explain_route_takes_the_rest_as_it_is() {
        for (text, user, schema, statement) in [
            ("EXPLAIN ROUTE SELECT 1;", "", "", "SELECT 1"),
            (
                "explain  route/* lagwise: primary */ SELECT 1",
                "",
                "",
                "/* lagwise: primary */ SELECT 1",
            ),
            ("EXPLAIN ROUTE FOR bi SELECT ';'", "bi", "", "SELECT ';'"),
            ("EXPLAIN ROUTE FOR 'a b' IN `s` (SELECT 1)", "a b", "s", "(SELECT 1)"),
            ("EXPLAIN ROUTE IN s FORGET", "", "s", "FORGET"),
            ("/* ApplicationName=x */ /**/ explain route SELECT 1", "", "", "SELECT 1"),
        ] {
            let [user, schema, statement] = [user, schema, statement].map(str::to_owned);
            let want = Statement::ExplainRoute { user, schema, statement };
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for bad in ["EXPLAIN ROUTE", "EXPLAIN ROUTE FOR x", "EXPLAIN SELECT 1", "KILL x", "KILL"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("KILL 7"), Ok(Statement::Kill(7)));
    }

    #[test]
    fn what_changes_something_is_told() {
        for (form, _, is_change) in HELP {
            let form = form.replace("KILL id", "KILL 1").replace("[LIMIT n]", "LIMIT 5");
            let form = form.as_str();
            assert_eq!(
                parse(form).map(|statement| statement.is_change()),
                Ok(*is_change),
                "{form}"
            );
        }
    }
}
