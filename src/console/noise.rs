//! What clients ask when they connect: harmless answers.

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
            _ if is_number => Some(bare),
            _ => variable(&bare),
        }
    };
    let row = columns.iter().map(|(expression, _)| value(expression)).collect();
    Answer::Table(columns.iter().map(|(_, name)| name.clone()).collect(), vec![row])
}

/// Whether an expression is one that [`select`] knows how to answer.
pub fn is_known(expression: &str) -> bool {
    const FUNCTIONS: [&str; 8] = [
        "database()",
        "schema()",
        "user()",
        "current_user()",
        "current_user",
        "session_user()",
        "version()",
        "connection_id()",
    ];
    let bare: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@');
    let is_variable = bare.starts_with("@@") && bare.bytes().all(good);
    let is_number = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit());
    is_variable || is_number || FUNCTIONS.contains(&bare.to_ascii_lowercase().as_str())
}
