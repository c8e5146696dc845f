//! Values that stand outside of `proxy.toml`: passwords in files or in the environment, and PEM
//! files.
//!
//! Relative paths start at the folder of the configuration file, so that they mean the same
//! wherever lagwise is started.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::quoted;
use super::file::Table;
use super::load::{ReadFile, Variable};
use super::{NativeHash, PemFile, Secret};

/// Longest password: what caching_sha2_password takes on a MySQL server.
const MAX_PASSWORD: usize = 256;

/// Looks values up, and remembers which files hold secrets.
pub(super) struct Sources<'a> {
    pub config_path: &'a Path,
    pub variable: &'a Variable<'a>,
    pub read_file: &'a ReadFile<'a>,
    pub secret_files: RefCell<Vec<PathBuf>>,
}

/// What a PEM file must hold.
#[derive(Clone, Copy)]
pub(super) enum PemKind {
    Certificate,
    PrivateKey,
}

impl Sources<'_> {
    /// The password of `table`: from exactly one of `password`, `password_file` and
    /// `password_env`. `None`: there is none, or it was in error.
    pub fn password(&self, table: &Table<'_>) -> Option<Secret> {
        let keys = ["password", "password_file", "password_env"];
        self.secret(table, keys, PASSWORD_FORM, &password)
    }

    /// Where the password of `table` is read, if it is in a file.
    pub fn password_file(&self, table: &Table<'_>) -> Option<PathBuf> {
        let is_good = table.has("password_file") && !table.has_errors("password_file");
        let found = is_good.then(|| table.parsed("password_file", "", |name| self.resolve(name)));
        found.flatten().map(|path| path.value)
    }

    /// The token of `table`: as [`Sources::password`], from `token`, `token_file` or `token_env`.
    pub fn token(&self, table: &Table<'_>) -> Option<Secret> {
        self.secret(table, ["token", "token_file", "token_env"], TOKEN_FORM, &token)
    }

    fn secret(
        &self,
        table: &Table<'_>,
        [inline, file, env]: [&str; 3],
        form: &str,
        check: &impl Fn(&[u8]) -> Result<Secret, String>,
    ) -> Option<Secret> {
        let inline = table.parsed(inline, form, |text| check(text.as_bytes()));
        if inline.is_some() {
            self.holds_secret(self.config_path.to_path_buf());
        }
        let file = table.parsed(file, "the path of a file", |name| {
            let path = self.resolve(name)?;
            let contents = self.read(&path)?;
            let secret = check(only_line(&path, &contents)?)?;
            self.holds_secret(path);
            Ok(secret)
        });
        let env = table.parsed(env, "the name of an environment variable", |name| {
            let value = (self.variable)(name).map(Zeroizing::new);
            let value = value.filter(|value| !value.is_empty());
            let value = value.ok_or("names a variable that is unset, empty or not UTF-8")?;
            check(value.as_bytes())
        });
        inline.or(file).or(env).map(|found| found.value)
    }

    /// The `native_hash` of `table`.
    pub fn native_hash(&self, table: &Table<'_>) -> Option<NativeHash> {
        let found = table.parsed("native_hash", "\"*\" and 40 hexadecimal digits", |text| {
            NativeHash::parse(text).ok_or_else(|| "is not of that form".to_owned())
        })?;
        self.holds_secret(self.config_path.to_path_buf());
        Some(found.value)
    }

    /// The PEM file that `key` names.
    pub fn pem(&self, table: &Table<'_>, key: &str, kind: PemKind) -> Option<PemFile> {
        let (label, allowed) = match kind {
            PemKind::Certificate => ("CERTIFICATE", CERTIFICATE_FORM),
            PemKind::PrivateKey => ("PRIVATE KEY", PRIVATE_KEY_FORM),
        };
        let found = table.parsed(key, allowed, |name| {
            let path = self.resolve(name)?;
            let contents = self.read(&path)?;
            let text = String::from_utf8_lossy(&contents);
            let begins = text.lines().filter(|line| line.starts_with("-----BEGIN "));
            let mut labels = begins.filter(|line| line.contains(label)).peekable();
            if labels.peek().is_none() {
                return Err(format!("{} holds no {label} in PEM form", path.display()));
            }
            if labels.any(|line| line.contains("ENCRYPTED")) || text.contains("Proc-Type: 4,ENC") {
                return Err(format!("{} holds an encrypted key", path.display()));
            }
            Ok(PemFile { path, contents: Secret::new(contents.to_vec()) })
        })?;
        if matches!(kind, PemKind::PrivateKey) {
            self.holds_secret(found.value.path.clone());
        }
        Some(found.value)
    }

    fn resolve(&self, name: &str) -> Result<PathBuf, String> {
        if name.is_empty() || name.contains('\0') {
            return Err(format!("{} is no path", quoted(name)));
        }
        Ok(self.config_path.parent().unwrap_or(Path::new("")).join(name))
    }

    fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
        let contents = (self.read_file)(path).map(Zeroizing::new);
        contents.map_err(|error| format!("cannot read {}: {error}", path.display()))
    }

    fn holds_secret(&self, path: PathBuf) {
        let mut files = self.secret_files.borrow_mut();
        if !files.contains(&path) {
            files.push(path);
        }
    }
}

/// A password as it stands in a file.
pub(super) fn password_in(path: &Path, contents: &[u8]) -> Result<Secret, String> {
    password(only_line(path, contents)?)
}

/// The one line of a file that holds a secret.
fn only_line<'a>(path: &Path, contents: &'a [u8]) -> Result<&'a [u8], String> {
    let line = contents.strip_suffix(b"\n").unwrap_or(contents);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    if line.contains(&b'\n') {
        return Err(format!("{} holds more than one line", path.display()));
    }
    Ok(line)
}

/// What a key for certificates may be, for messages.
pub(super) const CERTIFICATE_FORM: &str = "the path of a PEM file with certificates";
/// What a key for a private key may be, for messages.
pub(super) const PRIVATE_KEY_FORM: &str = "the path of a PEM file with an unencrypted private key";

const PASSWORD_FORM: &str = "a string of at most 256 bytes without NUL";

fn password(bytes: &[u8]) -> Result<Secret, String> {
    if bytes.len() > MAX_PASSWORD {
        return Err(format!("the password has {} bytes, more than {MAX_PASSWORD}", bytes.len()));
    }
    if bytes.contains(&0) {
        return Err("the password holds a NUL byte".to_owned());
    }
    Ok(Secret::new(bytes))
}

/// What RFC 6750 lets follow `Bearer`.
const TOKEN_FORM: &str = "16 to 256 characters out of A-Z a-z 0-9 - . _ ~ + / =";

fn token(bytes: &[u8]) -> Result<Secret, String> {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if (16..=256).contains(&bytes.len()) && bytes.iter().all(good) {
        Ok(Secret::new(bytes))
    } else {
        Err(format!("is of {} bytes, or holds others than these", bytes.len()))
    }
}
