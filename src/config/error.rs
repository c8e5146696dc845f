//! What is wrong with a configuration file: all of it, each with line, key and what is allowed.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong. Shown as `path:line: key: problem; allowed: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file.
    pub path: PathBuf,
    /// 1-based; `None` only if the file could not be read at all. A key that is missing has the
    /// line of the table that it belongs to.
    pub line: Option<usize>,
    /// Dotted name, such as `monitor.user`; empty if there is none.
    pub key: String,
    /// What is wrong. Never holds a secret.
    pub problem: String,
    /// What would be right; may be empty.
    pub allowed: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.problem)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of lines; at least one error. Shown one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A value of the file as a message shows it: in quotes, escaped, and no longer than a line.
/// Never for the value of a key that holds a secret.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
