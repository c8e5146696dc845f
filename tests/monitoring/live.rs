//! A Prometheus with the rules looks at a lagwise before real servers.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

use crate::dashboard::expressions;
use crate::files::promtool;
use crate::raw::Client;
use crate::server::{Prometheus, http};
use crate::support::{Lab, Make, Proxy, eventually, free_port, target_dir, unique_name};

const TOKEN: &str = "0123456789abcdef";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A new certificate and its key in this folder.
fn certify(folder: &Path, days: u32) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = (SystemTime::now() + days * DAY).into();
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("cert"), cert.pem()).unwrap();
    std::fs::write(folder.join("key"), key.serialize_pem()).unwrap();
}

/// Certificate, key and token in this folder, and the configuration that names them.
fn configuration(folder: &Path, http_port: u16) -> String {
    certify(folder, 10);
    std::fs::write(folder.join("token"), TOKEN).unwrap();
    let path = |name| folder.join(name);
    format!(
        "[client_tls]\ncert_file = {:?}\nkey_file = {:?}\n\
         [http]\nlisten = \"127.0.0.1:{http_port}\"\ntoken_file = {:?}\n",
        path("cert"),
        path("key"),
        path("token")
    )
}

/// Reads, writes, and a client that breaks off, until every panel shows what there is to show.
fn every_panel_shows_something(prometheus: &Prometheus, proxy: &Proxy) {
    let mut client = Client::app(proxy.port());
    for (title, expression) in expressions("10s") {
        // What is listed only while it is not as it should be.
        let may_be_empty = expression.ends_with(" > 0");
        eventually(&format!("{title} has data: {expression}"), || {
            client.run("UPDATE items SET id = id WHERE id = 1");
            client.run("SELECT COUNT(*) FROM items");
            drop(TcpStream::connect(("127.0.0.1", proxy.port())));
            let values = prometheus.query(&expression);
            may_be_empty || values.iter().any(|value| !value.is_nan())
        });
    }
}

#[test]
fn prometheus_sees_what_happens() {
    let folder = target_dir().join("lab").join(format!("watched-{}", unique_name()));
    std::fs::create_dir_all(&folder).unwrap();
    let http_port = free_port();
    let config = configuration(&folder, http_port);
    // First, as it takes seconds before it looks at anything.
    let prometheus = Prometheus::start(http_port, &folder.join("token"));
    let lab = Lab::start(Make::MySql, 1);
    let mut proxy = Proxy::start_unready_at(&lab, &config, http_port);
    proxy.wait_ready();
    eventually("lagwise is scraped", || prometheus.query("up{job=\"lagwise\"}") == [1.0]);
    every_panel_shows_something(&prometheus, &proxy);

    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    let (status, text) = http(http_port, "GET", "/metrics", &header, "").unwrap();
    assert_eq!(status, 200, "{text}");
    assert_eq!(promtool(&["check", "metrics"], &text), "", "it is content without a word");

    // The certificate, and nothing else.
    let summary = "The certificate that lagwise shows to clients ends soon.";
    let expiring = [["LagwiseCertificateExpiring", "firing", summary].map(str::to_owned)];
    eventually("the certificate's alert is all", || prometheus.alerts() == expiring);

    let good = std::fs::read_to_string(proxy.config_path()).unwrap();
    std::fs::write(proxy.config_path(), "nonsense = 1").unwrap();
    proxy.signal("HUP");
    let firing = Some("firing".to_owned());
    eventually("a failed reload is seen", || prometheus.state("LagwiseReloadFailed") == firing);
    std::fs::write(proxy.config_path(), good).unwrap();
    proxy.signal("HUP");
    eventually("a good reload ends it", || prometheus.alerts() == expiring);
    certify(&folder, 100);
    proxy.signal("HUP");
    eventually("a renewed certificate ends that", || prometheus.alerts().is_empty());

    lab.shut_down(1);
    let pending = Some("pending".to_owned());
    eventually("no replica, for less than a minute", || {
        prometheus.state("LagwiseNoEligibleReplica") == pending
            && prometheus.state("LagwiseReplicaNotServing") == pending
    });
    let down = "lagwise_server_health{state=\"down\"} == 1";
    eventually("the dashboard has it", || prometheus.query(down) == [1.0]);
    lab.restart(1);
    eventually("the replica is back", || prometheus.alerts().is_empty());

    proxy.terminate();
    let pending = Some("pending".to_owned());
    eventually("lagwise is gone", || prometheus.state("LagwiseDown") == pending);
    drop(prometheus);
    let _ = std::fs::remove_dir_all(&folder);
}
