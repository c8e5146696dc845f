//! The HTTP side: who may look, and what is refused.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::support::{DEADLINE, Lab, Make, Proxy};

const TOKEN: &str = "token.of.the.scraper";
const OTHER: &str = "another-token-later";

/// The status and the whole answer to a request with these further header lines.
fn ask(proxy: &Proxy, request: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.http_port())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    // A server that refuses before it has read all may reset.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), answer)
}

#[test]
fn tokens_and_what_is_unknown() {
    let lab = Lab::start(Make::MariaDb, 0);
    let folder = lab.server_dir(0);
    let file = folder.join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let port = crate::support::free_port();
    let extra =
        |listen: &str| format!("[http]\nlisten = \"{listen}:{port}\"\ntoken_file = {file:?}\n");
    let mut proxy = Proxy::start_unready_at(&lab, &extra("127.0.0.1"), port);
    proxy.wait_ready();
    let with = |token: &str| format!("Authorization: Bearer {token}\r\n");

    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&proxy, &format!("GET {path}"), "").0, 200, "{path} asks for nothing");
    }
    for path in ["/metrics", "/sessions", "/", "/nothing", "/healthz/", "//metrics", "/metrics?x"] {
        let want = match path {
            "/metrics" | "/sessions" | "/metrics?x" => 200,
            _ => 404,
        };
        let (status, answer) = ask(&proxy, &format!("GET {path}"), "");
        assert_eq!(status, 401, "{path}");
        assert!(answer.to_lowercase().contains("www-authenticate: bearer"), "{answer}");
        assert_eq!(ask(&proxy, &format!("GET {path}"), &with("wrong.wrong.wrong.wrong")).0, 401);
        assert_eq!(ask(&proxy, &format!("GET {path}"), &with(TOKEN)).0, want, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"] {
        let (status, answer) = ask(&proxy, &format!("{method} /metrics"), &with(TOKEN));
        assert_eq!(status, 405, "{method}: {answer}");
        assert_eq!(ask(&proxy, &format!("{method} /healthz"), "").0, 405, "{method}");
    }
    let long = format!("{}X: {}\r\n", with(TOKEN), "x".repeat(20_000));
    assert_eq!(ask(&proxy, "GET /metrics", &long).0, 431, "a header over its bound");
    let body = format!("{}Content-Length: 99999999999\r\n", with(TOKEN));
    assert_eq!(ask(&proxy, "GET /metrics", &body).0, 200, "a body is not waited for");

    // A reload brings another; one that is no good leaves the old one whole.
    std::fs::write(&file, OTHER).unwrap();
    assert_eq!(ask(&proxy, "GET /metrics", &with(OTHER)).0, 401, "not before the reload");
    proxy.signal("HUP");
    proxy.wait_log("http.token: changed");
    assert_eq!(ask(&proxy, "GET /metrics", &with(OTHER)).0, 200);
    assert_eq!(ask(&proxy, "GET /metrics", &with(TOKEN)).0, 401);
    std::fs::write(&file, "short").unwrap();
    proxy.signal("HUP");
    proxy.wait_log("http.token_file: is of 5 bytes");
    assert_eq!(ask(&proxy, "GET /metrics", &with(OTHER)).0, 200);
    let log = proxy.log();
    assert!(!log.contains(TOKEN) && !log.contains(OTHER) && !log.contains("short"), "{log}");
    assert!(!log.contains("need no token"), "{log}");
}

#[test]
fn other_hosts_without_a_token_are_a_warning() {
    let lab = Lab::start(Make::MariaDb, 0);
    let port = crate::support::free_port();
    let listen = format!("[http]\nlisten = \"0.0.0.0:{port}\"\n");
    let mut proxy = Proxy::start_unready_at(&lab, &listen, port);
    proxy.wait_ready();
    proxy.wait_log("other hosts may reach [http] and need no token");
}
