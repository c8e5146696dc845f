//! Values that must not leak: passwords, stored hashes, private keys.
//!
//! `Debug` shows `***`, there is no `Display`, and memory is wiped on drop. The comparison is an
//! ordinary one: it serves the diff of two configuration files and must not be used to check
//! what a client sent.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// Secret bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller must not keep a copy.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `SHA1(SHA1(password))`: what mysql_native_password stores and `native_hash` spells as `*` and
/// 40 hexadecimal digits. Enough to log in with, so as secret as the password.
#[derive(Clone, PartialEq, Eq)]
pub struct NativeHash(Zeroizing<[u8; 20]>);

impl NativeHash {
    /// Wraps a hash.
    pub fn new(hash: [u8; 20]) -> Self {
        Self(Zeroizing::new(hash))
    }

    /// Reads `*` and 40 hexadecimal digits, as in `mysql.user.authentication_string`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('*')?.as_bytes();
        if digits.len() != 40 {
            return None;
        }
        let mut hash = Zeroizing::new([0; 20]);
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self(hash))
    }

    /// The 20 bytes.
    pub fn expose(&self) -> &[u8; 20] {
        &self.0
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl fmt::Debug for NativeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A PEM file that was read together with the configuration, so that a reload sees the
/// certificate and its key as of one moment and a diff sees that they were renewed.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    /// Where it was read, for messages.
    pub path: PathBuf,
    /// Its contents.
    pub contents: Secret,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemFile({})", self.path.display())
    }
}
