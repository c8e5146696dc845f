//! `[console]`: the SQL console, and its own accounts.

use super::error::quoted;
use super::file::Table;
use super::sources::Sources;
use super::validate::{PASSWORD_KEYS, USER_FORM, credential, user_name};
use super::{Credential, ListenAddress, Secret, address};

const MAX_USERS: usize = 100;

word_enum! {
    /// `role`: what an account of the console may do.
    pub enum ConsoleRole {
        /// Look.
        Read = "read",
        /// Look, and change something.
        Admin = "admin",
    }
}

/// `[console]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsoleConfig {
    /// `listen`: where it is; `None`: there is none. Restart.
    pub listen: Option<ListenAddress>,
    /// `[[console.user]]`: no two of the same name, at most 100, and one at least if it listens.
    pub users: Vec<ConsoleUser>,
}

/// `[[console.user]]`: an account of the console, which no server knows.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsoleUser {
    /// `name`.
    pub name: String,
    /// `password`, `password_file` or `password_env`; not empty.
    pub password: Secret,
    /// `role`.
    pub role: ConsoleRole,
}

/// Reads `[console]`.
pub(super) fn read(table: &Table<'_>, sources: &Sources<'_>) -> ConsoleConfig {
    let listen = table.parsed("listen", address::LISTEN_FORM, |text| {
        text.parse().map_err(|error| format!("{} {error}", quoted(text)))
    });
    let listen = listen.map(|listen| listen.value);
    let mut users: Vec<ConsoleUser> = Vec::new();
    let tables = table.tables("user", MAX_USERS);
    for table in &tables {
        let name = table.parsed("name", USER_FORM, user_name).map(|name| name.value);
        if !table.has("name") {
            table.error("name", "missing", USER_FORM);
        }
        let role = table.word("role");
        if !table.has("role") {
            table.error("role", "missing", "\"read\", \"admin\"");
        }
        let password = match credential(table, sources, PASSWORD_KEYS) {
            Some(Credential::Password(password)) if password.expose().is_empty() => {
                table.error("password", "is empty", "a password");
                None
            }
            Some(Credential::Password(password)) => Some(password),
            Some(Credential::NativeHash(_)) | None => None,
        };
        let (Some(name), Some(role), Some(password)) = (name, role, password) else { continue };
        if users.iter().any(|user| user.name == name) {
            table.error("name", format!("{} is there twice", quoted(&name)), "each user once");
            continue;
        }
        users.push(ConsoleUser { name, password, role });
    }
    if listen.is_some() && tables.is_empty() {
        table.error("user", "missing: nobody could log in", "one [[console.user]] at least");
    }
    ConsoleConfig { listen, users }
}
