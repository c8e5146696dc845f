//! What clients ask when they connect: harmless answers.

use std::time::{SystemTime, UNIX_EPOCH};

use x509_cert::der::DateTime;

use super::answer::Answer;
use super::login::SERVER_VERSION;

/// System variables that clients look at, with values that change nothing for them.
const VARIABLES: &[(&str, &str)] = &[
    ("auto_increment_increment", "1"),
    ("autocommit", "1"),
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_database", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_server", "utf8mb4"),
    ("collation_connection", "utf8mb4_general_ci"),
    ("collation_database", "utf8mb4_general_ci"),
    ("collation_server", "utf8mb4_general_ci"),
    ("init_connect", ""),
    ("interactive_timeout", "600"),
    ("license", "Apache-2.0"),
    ("lower_case_table_names", "0"),
    ("max_allowed_packet", "65536"),
    ("net_write_timeout", "600"),
    ("performance_schema", "0"),
    ("sql_mode", ""),
    ("system_time_zone", "UTC"),
    ("time_zone", "SYSTEM"),
    ("transaction_isolation", "REPEATABLE-READ"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("version", SERVER_VERSION),
    ("version_comment", "lagwise console"),
    ("wait_timeout", "600"),
];

/// The value of a system variable; NULL for one that is not known.
fn variable(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let name = name.trim_start_matches('@');
    let scopes = ["session.", "global.", "local."];
    let name = scopes.iter().find_map(|scope| name.strip_prefix(scope)).unwrap_or(name);
    let found = VARIABLES.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| (*value).to_owned())
}

/// SHOW VARIABLES: those whose name is like one of the patterns, all without a pattern.
pub fn variables(patterns: &[String]) -> Answer {
    let wanted = |name: &str| {
        patterns.is_empty() || patterns.iter().any(|it| like(name.as_bytes(), it.as_bytes()))
    };
    let found = VARIABLES.iter().filter(|(name, _)| wanted(name));
    let rows = found.map(|(name, value)| [name, value].map(|it| Some((*it).to_owned())).into());
    Answer::table(&["Variable_name", "Value"], rows.collect())
}

/// LIKE of a short name: `%` is anything, `_` one character, the case does not matter.
fn like(name: &[u8], pattern: &[u8]) -> bool {
    // Whether the pattern so far fits the first 0, 1, … bytes of the name.
    let mut fits = vec![false; name.len() + 1];
    if let Some(first) = fits.first_mut() {
        *first = true;
    }
    for &wanted in pattern {
        let before = fits.clone();
        let mut any = false;
        for (at, fit) in fits.iter_mut().enumerate() {
            let here = before.get(at).copied().unwrap_or(false);
            any |= here;
            let byte = at.checked_sub(1).and_then(|at| Some((*name.get(at)?, *before.get(at)?)));
            *fit = match (wanted, byte) {
                (b'%', _) => any,
                (b'_', Some((_, fitted))) => fitted,
                (_, Some((byte, fitted))) => fitted && byte.eq_ignore_ascii_case(&wanted),
                (_, None) => false,
            };
        }
        if !fits.contains(&true) {
            return false;
        }
    }
    fits.last() == Some(&true)
}

/// The time now in UTC, as MySQL writes it.
fn now() -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let now = DateTime::from_unix_duration(now).ok()?.to_string();
    Some(now.replace('T', " ").trim_end_matches('Z').to_owned())
}

/// One row of expressions, each with its name.
pub fn select(columns: &[(String, String)], user: &str, id: u32) -> Answer {
    let value = |expression: &str| {
        let bare: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
        let is_number = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit());
        match bare.to_ascii_lowercase().as_str() {
            "user()" | "current_user()" | "current_user" | "session_user()" => {
                Some(format!("{user}@console"))
            }
            "version()" => Some(SERVER_VERSION.to_owned()),
            "connection_id()" => Some(id.to_string()),
            "now()" | "current_timestamp()" | "current_timestamp" | "sysdate()" => now(),
            _ if is_number => Some(bare),
            _ => variable(&bare),
        }
    };
    let row = columns.iter().map(|(expression, _)| value(expression)).collect();
    Answer::Table(columns.iter().map(|(_, name)| name.clone()).collect(), vec![row])
}

/// Whether an expression is one that [`select`] knows how to answer.
pub fn is_known(expression: &str) -> bool {
    const FUNCTIONS: [&str; 12] = [
        "database()",
        "schema()",
        "user()",
        "current_user()",
        "current_user",
        "session_user()",
        "version()",
        "connection_id()",
        "now()",
        "current_timestamp()",
        "current_timestamp",
        "sysdate()",
    ];
    let bare: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@');
    let is_variable = bare.starts_with("@@") && bare.bytes().all(good);
    let is_number = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit());
    is_variable || is_number || FUNCTIONS.contains(&bare.to_ascii_lowercase().as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn like_as_the_servers_have_it() {
        for (name, pattern, want) in [
            ("version", "version", true),
            ("version", "VERSION", true),
            ("version_comment", "version", false),
            ("version_comment", "version%", true),
            ("version", "version%", true),
            ("sql_mode", "sql_mode", true),
            ("sqlxmode", "sql_mode", true),
            ("sql_mode", "%mode", true),
            ("sql_mode", "%o%e%", true),
            ("sql_mode", "%x%", false),
            ("sql_mode", "", false),
            ("a", "aa", false),
            ("", "%", true),
        ] {
            assert_eq!(like(name.as_bytes(), pattern.as_bytes()), want, "{name} {pattern}");
        }
        let Answer::Table(_, rows) = variables(&["char%".to_owned(), "none".to_owned()]) else {
            panic!("no table");
        };
        assert_eq!(rows.len(), 5);
        let now = now().unwrap();
        assert!(now.len() == 19 && now.starts_with("20") && !now.contains('T'), "{now}");
    }
}
