//! Whole files: what they come to, and what is said about the bad ones.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::validate::known_keys;
use super::*;

/// The five lines of the README, and as small as a configuration gets.
const MINIMAL: &str = r#"listen = "0.0.0.0:3307"
primary = "10.0.0.1:3306"
replicas = ["10.0.0.2:3306", "10.0.0.3:3306"]
monitor.user = "monitor"
monitor.password_env = "MONITOR_PASSWORD"
"#;

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    let variable = |name: &str| match name {
        "MONITOR_PASSWORD" => Some("from the environment".to_owned()),
        _ => None,
    };
    Config::parse(text, Path::new("etc/p.toml"), &variable, &read_file)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let contents: &[u8] = match path.to_str() {
        Some("etc/password") => b"s3cret\n",
        Some("etc/crlf") => b"s3cret\r\n",
        Some("etc/empty") => b"\n",
        Some("etc/two") => b"a\nb\n",
        Some("/abs/cert.pem") => b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        Some("/abs/key.pem") => b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
        Some("/abs/locked.pem") => b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n",
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(contents.to_vec())
}

#[test]
fn minimal_file_has_the_defaults() {
    let config = parse(MINIMAL).expect("minimal");
    assert_eq!(config.servers.len(), 3);
    assert_eq!(config.primary().expect("primary").address.to_string(), "10.0.0.1:3306");
    assert_eq!(config.replicas().count(), 2);
    assert_eq!(config.monitor.password.expose(), b"from the environment");
    assert_eq!(config.login_timeout, Duration::from_secs(10));
    assert_eq!(config.http, None);
    assert_eq!(config.secret_files, Vec::<PathBuf>::new());
}

#[test]
fn keys() {
    let keys: BTreeSet<String> = known_keys();
    assert!(keys.contains("server.tls.mode"), "{keys:?}");
}
