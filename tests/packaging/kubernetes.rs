//! The Kubernetes example fits together, and its configuration is good.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{Folder, run};
use crate::support::{Lab, Make, Proxy, eventually, package_dir, signal};

/// The documents of the manifest, by kind.
fn manifest() -> Vec<(String, Value)> {
    let read = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let path = package_dir().join("packaging/kubernetes/lagwise.yaml");
    let documents = run(Command::new("python3").args(["-c", read]).arg(path));
    let documents: Vec<Value> = serde_json::from_str(&documents).unwrap();
    documents.into_iter().map(|it| (it["kind"].as_str().unwrap().to_owned(), it)).collect()
}

fn of_kind<'a>(manifest: &'a [(String, Value)], kind: &str) -> &'a Value {
    let mut found = manifest.iter().filter(|(it, _)| it == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "two of {kind}");
    &one.1
}

#[test]
fn the_manifest_fits_together() {
    let manifest = manifest();
    let pod = &of_kind(&manifest, "Deployment")["spec"]["template"];
    let labels = &pod["metadata"]["labels"];
    let deployment = of_kind(&manifest, "Deployment");
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&of_kind(&manifest, "Service")["spec"]["selector"], labels);
    for kind in ["PodDisruptionBudget", "ServiceMonitor"] {
        assert_eq!(&of_kind(&manifest, kind)["spec"]["selector"]["matchLabels"], labels, "{kind}");
    }
    // A ServiceMonitor looks at the labels of the Service, not of the pods.
    assert_eq!(&of_kind(&manifest, "Service")["metadata"]["labels"], labels);

    let [lagwise, reload] = &pod["spec"]["containers"].as_array().unwrap()[..] else {
        panic!("lagwise and its sidecar")
    };
    let names: Vec<&Value> =
        lagwise["ports"].as_array().unwrap().iter().map(|port| &port["name"]).collect();
    for port in of_kind(&manifest, "Service")["spec"]["ports"].as_array().unwrap() {
        assert!(names.contains(&&port["targetPort"]), "{port}");
    }
    for probe in ["readinessProbe", "livenessProbe"] {
        assert_eq!(lagwise[probe]["httpGet"]["port"], "http");
    }
    assert_eq!(reload["volumeMounts"], lagwise["volumeMounts"]);
    let version = format!("lagwise:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!((&lagwise["image"], &reload["image"]), (&version.clone().into(), &version.into()));
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    for mount in lagwise["volumeMounts"].as_array().unwrap() {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
    assert_eq!(
        volumes[0]["configMap"]["name"],
        of_kind(&manifest, "ConfigMap")["metadata"]["name"]
    );
}

#[test]
fn its_configuration_is_good() {
    let manifest = manifest();
    let text = of_kind(&manifest, "ConfigMap")["data"]["proxy.toml"].as_str().unwrap().to_owned();
    let folder = Folder::new("configmap");
    std::fs::write(folder.0.join("password"), "secret\n").unwrap();
    let mounted = "/run/secrets/monitor/password";
    assert!(text.contains(mounted));
    let text = text.replace(mounted, folder.0.join("password").to_str().unwrap());
    let path = folder.0.join("proxy.toml");
    std::fs::write(&path, &text).unwrap();
    let lagwise = env!("CARGO_BIN_EXE_lagwise");
    let printed = run(Command::new(lagwise).arg("check").arg("--config").arg(&path));
    assert!(printed.contains(" is good.\n"), "{printed}");

    let config = lagwise::config::Config::load(&path).unwrap();
    let pod = &of_kind(&manifest, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let port = |name: &str| {
        let ports = container["ports"].as_array().unwrap();
        let found = ports.iter().find(|port| port["name"] == name).unwrap();
        found["containerPort"].as_u64().unwrap()
    };
    assert_eq!(u64::from(config.http.unwrap().listen.port()), port("http"));
    assert!(printed.contains(&format!(":{}\n", port("mysql"))), "{printed}");
    let stop = container["lifecycle"]["preStop"]["exec"]["command"][1].as_str().unwrap();
    let needed = config.drain_timeout.as_secs() + stop.parse::<u64>().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > needed);
}

/// Puts the link that Kubernetes changes at its place.
fn point(link: &Path, target: &str) {
    let fresh = link.with_file_name("fresh");
    std::os::unix::fs::symlink(target, &fresh).unwrap();
    std::fs::rename(fresh, link).unwrap();
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            signal(self.0.id(), "TERM");
        }
        let _ = self.0.wait();
    }
}

#[test]
fn the_sidecar_has_a_changed_configuration_read() {
    let manifest = manifest();
    let sidecar = &of_kind(&manifest, "Deployment")["spec"]["template"]["spec"]["containers"][1];
    let script = sidecar["command"][2].as_str().unwrap();
    let lab = Lab::start(Make::MariaDb, 0);
    let proxy = Proxy::start(&lab, "");
    let folder = Folder::new("sidecar");
    for volume in ["lagwise", "monitor"] {
        std::fs::create_dir_all(folder.0.join(volume)).unwrap();
        point(&folder.0.join(volume).join("..data"), "one");
    }
    // In the pod only lagwise itself has this path, and here it has another; the time is for people.
    let mut script = script.replace("sleep 5", "sleep 0.1");
    for (there, here) in [("/etc/lagwise/", "lagwise/"), ("/run/secrets/monitor/", "monitor/")] {
        assert!(script.contains(there), "{there} in {script}");
        script = script.replace(there, &format!("{}/{here}", folder.0.display()));
    }
    assert!(script.contains("/proc/[0-9]*/cmdline") && script.contains("^/usr/bin/lagwise"));
    let script = script
        .replace("/proc/[0-9]*/cmdline", &format!("/proc/{}/cmdline", proxy.pid()))
        .replace("^/usr/bin/lagwise", &format!("^{}", env!("CARGO_BIN_EXE_lagwise")));
    // What it says is waited for: so that comes to an end in any case.
    let mut command = Command::new("timeout");
    command.args(["60", "/bin/sh", "-c"]).arg(script).stdout(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let mut said = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut next = || said.next().expect("the sidecar runs").unwrap();
    assert_eq!(next(), "watching");
    for (volume, times) in [("lagwise", 1), ("monitor", 2)] {
        point(&folder.0.join(volume).join("..data"), "two");
        assert_eq!(next(), "changed: sent SIGHUP");
        let reloads = "lagwise_reloads_total{result=\"ok\"}";
        eventually("it is read again", || proxy.metrics().value(reloads) as u64 == times);
    }
}
