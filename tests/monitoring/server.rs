//! A real Prometheus, which ends with the value that holds it, and is asked over HTTP.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::files::program;
use crate::support::{eventually, free_port, package_dir, target_dir, unique_name};

/// Asks for a page on 127.0.0.1: status and body. HTTP/1.0, so that the body is what it is.
pub fn http(
    port: u16,
    method: &str,
    path: &str,
    header: &str,
    body: &str,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.0\r\n{header}Content-Length: {length}\r\n\r\n");
    stream.write_all((request + body).as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

pub struct Prometheus {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Prometheus {
    /// One that looks at lagwise's endpoints four times a second, and has the rules.
    pub fn start(target: u16, token_file: &Path) -> Self {
        let folder = target_dir().join("lab").join(format!("prometheus-{}", unique_name()));
        std::fs::create_dir_all(&folder).unwrap();
        let rules = package_dir().join("contrib/prometheus/lagwise.rules.yml");
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs:\n\
             - job_name: lagwise\n\
             \x20 authorization: {{credentials_file: {token_file:?}}}\n\
             \x20 static_configs: [{{targets: [\"127.0.0.1:{target}\"]}}]\n"
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let log = File::create(folder.join("log")).unwrap();
        let child = Command::new(program("prometheus"))
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self { child, folder, port };
        eventually("Prometheus is ready", || {
            http(port, "GET", "/-/ready", "", "").is_some_and(|(status, _)| status == 200)
        });
        prometheus
    }

    /// What the API says under `path`; panics with the reason if it says no.
    fn ask(&self, path: &str, body: &str) -> Value {
        let header = "Content-Type: application/x-www-form-urlencoded\r\n";
        let method = if body.is_empty() { "GET" } else { "POST" };
        let (_, text) = http(self.port, method, path, header, body).expect("Prometheus answers");
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{body}: {text}");
        answer["data"].take()
    }

    /// The values of an expression now.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let bytes = expression.bytes().map(|byte| format!("%{byte:02x}"));
        let data = self.ask("/api/v1/query", &format!("query={}", bytes.collect::<String>()));
        let samples = data["result"].as_array().unwrap_or_else(|| panic!("{expression}: {data}"));
        samples.iter().map(|it| it["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Alerts that are pending or firing: name, state, summary.
    pub fn alerts(&self) -> Vec<[String; 3]> {
        let data = self.ask("/api/v1/alerts", "");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alerts = data["alerts"].as_array().unwrap().iter().map(|alert| {
            let name = text(&alert["labels"]["alertname"]);
            [name, text(&alert["state"]), text(&alert["annotations"]["summary"])]
        });
        alerts.collect()
    }

    /// The state of an alert; `None`: it is neither pending nor firing.
    pub fn state(&self, alert: &str) -> Option<String> {
        self.alerts().into_iter().find(|[name, ..]| name == alert).map(|[_, state, _]| state)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("---- log of Prometheus\n{log}---- end of log");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
