//! Who comes in, by what, and how much.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::raw::{Client, Login, tcp};
use super::support::{Lab, Make, eventually, free_port, target_dir, unique_name};
use super::{ask, at_port, config, start};

fn code(port: u16, user: &str, password: &str) -> u16 {
    let login = Login { schema: None, ..Login::of(user, password) };
    Client::connect(port, login).err().map_or(0, |fail| fail.code())
}

/// Clients send the beginning of TLS right behind their request for it; now and then both arrive at once.
fn tls_begins_at_once(port: u16) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "lagwise".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    // SSLRequest: PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH.
    let mut hello = vec![32, 0, 0, 1];
    hello.extend_from_slice(&(1_u32 << 9 | 1 << 11 | 1 << 15 | 1 << 19).to_le_bytes());
    hello.extend_from_slice(&[0, 0, 0, 1, 45]);
    hello.extend_from_slice(&[0; 23]);
    tls.write_tls(&mut hello).unwrap();
    let mut stream = tcp(port);
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    stream.read_exact(&mut vec![0; head[0].into()]).unwrap();
    stream.write_all(&hello).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("lagwise goes on with TLS");
    assert_eq!(answer, [22], "a handshake record");
}

#[test]
fn accounts_and_bounds() {
    let lab = Lab::start(Make::MariaDb, 0);
    let port = free_port();
    let proxy = start(&lab, &format!("127.0.0.1:{port}"));
    assert_eq!(code(port, "watch", "watch_password"), 0);
    tls_begins_at_once(port);
    for (user, password) in [
        ("watch", "admin_password"),
        ("watch", ""),
        ("nobody", "x"),
        ("app", "app_password"),
        ("", ""),
    ] {
        assert_eq!(code(port, user, password), 1045, "{user} {password}");
    }
    let native = Login { schema: None, ..Login::of("watch", "watch_password").old_native() };
    assert!(Client::connect(port, native).is_ok(), "from before pluggable authentication");
    let native = Login { schema: None, ..Login::of("watch", "wrong").old_native() };
    assert_eq!(Client::connect(port, native).err().unwrap().code(), 1045);

    // Seventeen at once.
    let login = Login { schema: None, ..Login::of("watch", "watch_password") };
    let mut inside = Vec::new();
    eventually("all places are free again, and taken", || {
        inside.clear();
        inside.extend((0..16).map_while(|_| Client::connect(port, login).ok()));
        inside.len() == 16
    });
    assert_eq!(code(port, "watch", "watch_password"), 1040);
    let long = format!("SELECT {}", "1".repeat(64 << 10));
    assert_eq!(inside[0].query(&long).unwrap_err().code(), 1153);
    assert!(inside[0].query("HELP").is_err(), "the connection has ended");
    drop(inside);
    eventually("there is room again", || code(port, "watch", "watch_password") == 0);

    // A reload exchanges the accounts, and keeps the address.
    let other = config(&format!("127.0.0.1:{port}")).replace("watch_password", "new_password");
    assert!(proxy.reload(&other));
    assert_eq!(code(port, "watch", "watch_password"), 1045);
    assert_eq!(code(port, "watch", "new_password"), 0);
    let error = ask("mariadb".as_ref(), &at_port(port), "watch", &["-e", "HELP"]).unwrap_err();
    assert!(error.contains("ERROR 1045 (28000)"), "{error}");
}

#[test]
fn a_unix_socket() {
    let lab = Lab::start(Make::MariaDb, 0);
    let path = target_dir().join("lab").join(format!("c{}", unique_name()));
    let mut proxy = start(&lab, &format!("unix:{}", path.display()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "not for others");
    let to = [format!("--socket={}", path.display())];
    let shown = ask("mariadb".as_ref(), &to, "watch", &["-e", "SHOW SERVERS"]).unwrap();
    assert!(shown.contains(&lab.address(0)), "{shown}");
    proxy.terminate();
    assert!(!path.exists(), "its file goes with it");
}
