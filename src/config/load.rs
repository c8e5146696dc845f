//! Reading `proxy.toml` from disk: the one place of this module that does I/O.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Config, ConfigError, ConfigErrors, Secret, sources, validate};

/// Looks up an environment variable; `None` if it is unset or not Unicode.
pub type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads a file that the configuration names.
pub type ReadFile<'a> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'a;

/// Largest file that is read: anything bigger is not what the key means (`/dev/zero`, a dump).
const MAX_FILE: u64 = 4 << 20;

impl Config {
    /// Reads and validates the file at `path`, and the files and environment variables that it
    /// names. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let unreadable = |problem: String| {
            let (key, allowed) = (String::new(), String::new());
            ConfigErrors(vec![ConfigError { path: path.into(), line: None, key, problem, allowed }])
        };
        let bytes =
            read_bounded(path).map_err(|error| unreadable(format!("cannot read: {error}")))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|error| unreadable(format!("is not UTF-8: {error}")))?;
        Self::parse(text, path, &|name| std::env::var(name).ok(), &read_bounded)
    }

    /// Validates `text` as the contents of `path`: the pure core of [`Config::load`], which is
    /// given the environment and the file system.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn parse(
        text: &str,
        path: &Path,
        variable: &Variable<'_>,
        read_file: &ReadFile<'_>,
    ) -> Result<Self, ConfigErrors> {
        validate::config(text, path, variable, read_file)
    }

    /// Those of [`Config::secret_files`] that every user of this machine may read. A file whose
    /// permissions cannot be told is left out.
    pub fn exposed_secret_files(&self) -> Vec<&PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let exposed = |path: &&PathBuf| {
            std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
        };
        self.secret_files.iter().filter(exposed).collect()
    }
}

/// Reads a password's file again, as `password_file` does.
///
/// # Errors
/// It cannot be read, or holds no password; for people.
pub fn read_password(path: &Path) -> Result<Secret, String> {
    let contents = read_bounded(path).map(Zeroizing::new);
    let contents = contents.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    sources::password_in(path, &contents)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let size = File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if size as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    Ok(bytes)
}
