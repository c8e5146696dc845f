//! The endpoints over real sockets: what is served, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::logging::TopologyEvent;
use crate::metrics::LabelSets;

const LABELS: LabelSets = LabelSets {
    targets: &["primary"],
    reasons: &["read"],
    commands: &["query"],
    pin_causes: &[],
    holds: &[],
    reject_causes: &[],
    error_kinds: &[],
};

struct Answer(Mutex<Result<(), String>>);

impl Readiness for Answer {
    fn ready(&self) -> Result<(), String> {
        self.0.lock().unwrap().clone()
    }
}

/// One server, which is no primary.
#[derive(Default)]
struct Drainable(std::sync::atomic::AtomicBool);

impl ServerStates for Drainable {
    fn servers(&self) -> Vec<ServerState> {
        vec![ServerState {
            name: "unix:/run/db".to_owned(),
            address: "unix:/run/db".to_owned(),
            role: "replica".into(),
            health: "up".into(),
            lag_ms: Some(12),
            lag_form: Some("measured".into()),
            eligible: true,
            excluded: None,
            drained: self.0.load(std::sync::atomic::Ordering::Relaxed),
            connections: 0,
            running: 0,
            used_by: Default::default(),
        }]
    }

    fn set_drained(&self, name: &str, drained: bool) -> Result<(), DrainRefusal> {
        match name {
            "unix:/run/db" => self.0.store(drained, std::sync::atomic::Ordering::Relaxed),
            "primary" => return Err(DrainRefusal::Refused("no".to_owned())),
            _ => return Err(DrainRefusal::Unknown),
        }
        Ok(())
    }
}

/// A session before its login, one with all that can be, and more than are asked for.
struct Listed;

impl SessionSource for Listed {
    fn sessions(&self, max: usize) -> Sessions {
        let at_login = Session {
            id: 0x8000_0000,
            user: None,
            client: None,
            state: "login",
            held_by: None,
            pinned: None,
            connections: Connections::default(),
        };
        let connection =
            |server: &str, thread_id| Some(Connection { server: server.to_owned(), thread_id });
        let full = Session {
            id: 0x8000_0001,
            user: Some("o'\"app\"".to_owned()),
            client: Some("[2001:db8::1]:5000".parse().unwrap()),
            state: "idle",
            held_by: Some("temporary_table"),
            pinned: Some(Pinned { by: "write", until: "in 7 ms".to_owned() }),
            connections: Connections {
                primary: connection("db-1", 7),
                replica: connection("db-2", 8),
            },
        };
        Sessions { total: max + 1, truncated: true, sessions: vec![at_login, full] }
    }
}

/// A running endpoint; everything it starts ends with the test's runtime.
struct Server {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    token: Token,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// One event.
fn topology() -> TopologyEvents {
    let topology = TopologyEvents::default();
    topology.push(TopologyEvent {
        at_ms: 7,
        level: "error",
        server: Some("db-2".to_owned()),
        text: "server is down".to_owned(),
        details: [("cause", "gone".to_owned())].into(),
    });
    topology
}

async fn start(ready: Result<(), String>, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::new(LABELS, 1, "0.0.0", SystemTime::now()).unwrap();
    let readiness = Arc::new(Answer(Mutex::new(ready)));
    let sessions = Arc::new(Listed);
    let token = Token::default();
    let state = AdminState {
        metrics: metrics.clone(),
        readiness,
        sessions,
        servers: Arc::new(Drainable::default()),
        history: Arc::default(),
        topology: topology(),
        token: token.clone(),
        is_local: true,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve_with(listener, state, stopped, limits));
    Server { address, metrics, token, stop, task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` and reads until the server closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }
}

/// Far more than any test needs, far less than the default bounds of the server under test.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything until the end of the stream, which must come; a reset counts as an end.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = timeout(PATIENCE, stream.read(&mut chunk)).await.expect("an end") {
        bytes.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8(bytes).unwrap()
}

/// One complete response without a body of its own on a connection that stays open.
async fn read_response(stream: &mut TcpStream, ending: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(ending.as_bytes()) {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

fn split(response: &str) -> (&str, &str, &str) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
    let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    (status, headers, body)
}

/// `method path` gives `status` with `header` among the headers and exactly `body`.
async fn check(
    ready: Result<(), String>,
    method_path: &str,
    status: &str,
    header: &str,
    body: &str,
) {
    let server = start(ready, Limits::default()).await;
    let request = format!("{method_path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let response = server.exchange(&request).await;
    let (got_status, headers, got_body) = split(&response);
    assert_eq!(got_status, format!("HTTP/1.1 {status}"), "{method_path}");
    assert!(headers.lines().any(|line| line == header), "{method_path}: {headers}");
    assert_eq!(got_body, body, "{method_path}");
}

const TEXT: &str = "content-type: text/plain; charset=utf-8";
const JSON: &str = "content-type: application/json";

#[tokio::test]
async fn the_small_endpoints() {
    let no = || Err("draining: \"r\\1\"\n".to_owned());
    let not_ready = "{\"ready\":false,\"reason\":\"draining: \\\"r\\\\1\\\"\\n\"}\n";
    let not_found = "not found: try /metrics, /healthz, /readyz, /status, /history, /events, \
                     /queries, /sessions or /servers, or / in a browser\n";
    check(Ok(()), "GET /healthz", "200 OK", TEXT, "ok\n").await;
    check(no(), "GET /healthz", "200 OK", TEXT, "ok\n").await;
    check(Ok(()), "GET /readyz", "200 OK", JSON, "{\"ready\":true}\n").await;
    check(no(), "GET /readyz", "503 Service Unavailable", JSON, not_ready).await;
    check(Ok(()), "HEAD /healthz", "200 OK", "content-length: 3", "").await;
    check(no(), "HEAD /readyz", "503 Service Unavailable", JSON, "").await;
    let servers = concat!(
        r#"[{"name":"unix:/run/db","address":"unix:/run/db","role":"replica","health":"up","#,
        r#""lag_ms":12,"lag_form":"measured","eligible":true,"excluded":null,"drained":false,"#,
        r#""connections":0,"running":0,"used_by":{}}]"#,
        "\n"
    );
    check(Ok(()), "GET /servers", "200 OK", JSON, servers).await;
    let status = |ready: &str| {
        let server = servers.trim_end_matches('\n');
        format!(
            "{{\"version\":\"0.0.0\",\"uptime_seconds\":0,{ready},\"sessions\":0,\
             \"statements\":{{\"primary\":0,\"replica\":0,\"none\":0}},\
             \"servers\":{server}}}\n"
        )
    };
    let is_ready = status(r#""ready":true,"reason":null"#);
    let is_not = status(r#""ready":false,"reason":"draining: \"r\\1\"\n""#);
    check(Ok(()), "GET /status", "200 OK", JSON, &is_ready).await;
    check(no(), "GET /status", "200 OK", JSON, &is_not).await;
    let sessions = concat!(
        r#"{"total":10001,"truncated":true,"sessions":["#,
        r#"{"id":2147483648,"user":null,"client":null,"state":"login","held_by":null,"pinned":null,"#,
        r#""connections":{"primary":null,"replica":null}},"#,
        r#"{"id":2147483649,"user":"o'\"app\"","client":"[2001:db8::1]:5000","state":"idle","#,
        r#""held_by":"temporary_table","pinned":{"by":"write","until":"in 7 ms"},"connections":{"#,
        r#""primary":{"server":"db-1","thread_id":7},"#,
        r#""replica":{"server":"db-2","thread_id":8}}}]}"#,
        "\n"
    );
    check(Ok(()), "GET /sessions", "200 OK", JSON, sessions).await;
    check(no(), "HEAD /sessions", "200 OK", JSON, "").await;
    check_history().await;
    check(Ok(()), "GET /queries?limit=3", "200 OK", JSON, "{\"queries\":[]}\n").await;
    check(Ok(()), "GET /", "404 Not Found", TEXT, not_found).await;
    check(Ok(()), "GET /metrics/", "404 Not Found", TEXT, not_found).await;
    check(Ok(()), "GET /../etc/passwd", "404 Not Found", TEXT, not_found).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let request = format!("{method} /metrics");
        let body = "GET and HEAD only\n";
        check(Ok(()), &request, "405 Method Not Allowed", "allow: GET, HEAD", body).await;
    }
    for path in ["/servers/a/drain", "/servers/a/undrain"] {
        let request = format!("GET {path}");
        check(Ok(()), &request, "405 Method Not Allowed", "allow: POST", "POST only\n").await;
    }
}

async fn check_history() {
    let server = start(Ok(()), Limits::default()).await;
    let started = server.metrics.started_ms();
    let history = format!(
        "{{\"started_ms\":{started},\"interval_ms\":2000,\"max_lag_ms\":0,\"samples\":[]}}\n"
    );
    let event = concat!(
        r#"{"seq":1,"at_ms":7,"level":"error","server":"db-2","text":"server is down","#,
        r#""details":{"cause":"gone"}}"#
    );
    for (path, body) in [
        ("/history", history),
        ("/events", format!("{{\"started_ms\":{started},\"events\":[{event}]}}\n")),
        ("/events?after=1", format!("{{\"started_ms\":{started},\"events\":[]}}\n")),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let response = server.exchange(&request).await;
        assert_eq!(split(&response).2, body, "{path}");
    }
}

#[tokio::test]
async fn browsers_get_the_page_with_or_without_a_token() {
    let server = start(Ok(()), Limits::default()).await;
    server.token.set(Some(b"0123456789abcdef"));
    let accept = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    let ask = |line: &str, accept: &str| {
        format!("{line} HTTP/1.1\r\nHost: x\r\n{accept}\r\nConnection: close\r\n\r\n")
    };
    let response = server.exchange(&ask("GET /", accept)).await;
    let (status, headers, body) = split(&response);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains("content-type: text/html; charset=utf-8"), "{headers}");
    assert!(headers.contains("content-security-policy: default-src 'none'; "), "{headers}");
    assert!(body.starts_with("<!doctype html>") && body.ends_with("</html>\n"));
    // Nothing else is open to it.
    for line in ["GET /status", "GET /history", "GET /events", "POST /", "GET //"] {
        let response = server.exchange(&ask(line, accept)).await;
        assert!(response.starts_with("HTTP/1.1 401 "), "{line}: {response}");
    }
    let response = server.exchange(&ask("GET /", "Accept: */*")).await;
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
}

#[tokio::test]
async fn metrics_are_the_rendered_ones() {
    let server = start(Ok(()), Limits::default()).await;
    server.metrics.local().query(0, 0);
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let response = server.exchange(request).await;
    let (status, headers, body) = split(&response);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    assert!(body.contains("\nlagwise_queries_total{target=\"primary\",reason=\"read\"} 1\n"));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = start(Ok(()), Limits::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let response = read_response(&mut stream, "ok\n").await;
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    }
}

#[tokio::test]
async fn garbage_and_oversized_headers_are_refused() {
    let server = start(Ok(()), Limits::default()).await;
    let garbage = server.exchange("\u{1}\u{2}\u{3} nonsense\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage:?}");
    let long = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    let mut stream = server.connect().await;
    // The server may close before it has taken everything.
    let _ = stream.write_all(long.as_bytes()).await;
    let refused = read_to_end(&mut stream).await;
    assert!(!refused.contains("200 OK"), "{refused:?}");
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(150));
    let refused = server.exchange(&many).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused:?}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = start(Ok(()), limits).await;
    for start in ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let response = server.exchange(start).await;
        assert!(!response.contains("200"), "{start:?} {response:?}");
    }
    // Idling after an answer ends the same way.
    let response = server.exchange("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(response.ends_with("ok\n"), "{response:?}");
}

#[tokio::test]
async fn connections_over_the_bound_wait_for_a_place() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = start(Ok(()), limits).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_response(&mut first, "ok\n").await;
    let mut second = server.connect().await;
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let waiting = timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(waiting.is_err(), "served over the bound: {waiting:?}");
    drop(first);
    let response = read_response(&mut second, "ok\n").await;
    assert!(response.contains("200 OK"), "{response}");
}

#[tokio::test]
async fn a_connection_ends_at_its_age() {
    let limits = Limits { max_age: Duration::from_millis(50), ..Limits::default() };
    let server = start(Ok(()), limits).await;
    let response = server.exchange("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(response.ends_with("ok\n"), "{response:?}");
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_the_listener() {
    let server = start(Ok(()), Limits::default()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_response(&mut idle, "ok\n").await;
    server.stop.send(()).unwrap();
    timeout(PATIENCE, server.task).await.expect("serve returns").unwrap();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_stuck_client_does_not_hold_the_shutdown_up() {
    let limits = Limits { grace: Duration::from_millis(50), ..Limits::default() };
    let server = start(Ok(()), limits).await;
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let mut other = server.connect().await;
    other.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // Its answer shows that the stuck one, accepted before it, is being served too.
    read_response(&mut other, "ok\n").await;
    server.stop.send(()).unwrap();
    timeout(PATIENCE, server.task).await.expect("serve returns").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_drained_by_the_command() {
    let server = start(Ok(()), Limits::default()).await;
    let http = server.address;
    let asked = tokio::task::spawn_blocking(move || {
        let running = client::Running { http, token: None };
        let drain = |name: &str| running.drain(name, Duration::ZERO, |_| {});
        drain("unix:/run/db").unwrap();
        running.undrain("unix:/run/db").unwrap();
        [drain("primary"), drain("other")].map(|refused| refused.unwrap_err().to_string())
    });
    let refused = asked.await.unwrap();
    assert_eq!(refused, ["primary: no", "there is no server \"other\": unix:/run/db"]);
    // A page in a browser on the same host cannot say the header.
    let mut stream = server.connect().await;
    let request = b"POST /servers/primary/drain HTTP/1.0\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 403 "), "{answer}");
}
