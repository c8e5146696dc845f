//! Every answer in `docs/http.md` has the shape of a real one.

use serde_json::Value;

use crate::raw::Client;
use crate::support::{Lab, Make, Proxy, eventually_some};

const DOCUMENT: &str = include_str!("../../docs/http.md");

/// Objects whose keys are names of servers, reasons and the like.
const MAPS: [&str; 3] = ["lag_ms", "used_by", "details"];

/// What differs between the shapes of two values, by path.
fn differences(path: &str, shown: &Value, real: &Value, found: &mut Vec<String>) {
    let is_map = MAPS.iter().any(|map| path.ends_with(&format!(".{map}")));
    match (shown, real) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(shown), Value::Object(real)) if is_map => {
            for value in shown.values() {
                for real in real.values() {
                    differences(&format!("{path}.*"), value, real, found);
                }
            }
        }
        (Value::Object(shown), Value::Object(real)) => {
            for (key, value) in shown {
                match real.get(key) {
                    Some(real) => differences(&format!("{path}.{key}"), value, real, found),
                    None => found.push(format!("{path}.{key} is shown, and is not there")),
                }
            }
            let missing = real.keys().filter(|key| !shown.contains_key(*key));
            found.extend(missing.map(|key| format!("{path}.{key} is not shown")));
        }
        (Value::Array(shown), Value::Array(real)) => {
            if real.is_empty() {
                found.push(format!("{path} is empty"));
            }
            for real in real {
                differences(&format!("{path}[]"), &shown[0], real, found);
            }
        }
        (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => {}
        _ => found.push(format!("{path}: {shown} is shown, {real} is there")),
    }
}

#[test]
fn answers_are_as_documented() {
    let lab = Lab::start(Make::MariaDb, 1);
    let proxy = Proxy::start(&lab, "");
    let mut client = Client::app(proxy.port());
    client.run("CREATE TEMPORARY TABLE held (id INT)");
    let mut seen = 0;
    for section in DOCUMENT.split("\n## GET ").skip(1) {
        let path = section.lines().next().unwrap();
        let shown = section.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
        let shown: Value = serde_json::from_str(shown).unwrap();
        let real = eventually_some(&format!("{path} has something"), || {
            client.run("SELECT COUNT(*) FROM items");
            let (status, text) = proxy.http(path)?;
            assert_eq!(status, 200, "{path}: {text}");
            (!text.contains("[]")).then(|| serde_json::from_str::<Value>(&text).unwrap())
        });
        let mut found = Vec::new();
        differences(path, &shown, &real, &mut found);
        assert!(found.is_empty(), "{}\n{real}", found.join("\n"));
        seen += 1;
    }
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `/"));
    let paths: Vec<_> = rows.map(|row| format!("/{}", row.split('`').next().unwrap())).collect();
    assert_eq!((seen, paths.len()), (7, 10), "{paths:?}");
    for path in paths.iter().filter(|path| *path != "/") {
        assert_eq!(proxy.http(path).unwrap().0, 200, "{path}");
    }
    // Those after a number are the rest.
    let after = |path: &str| serde_json::from_str::<Value>(&proxy.http(path).unwrap().1).unwrap();
    let events = after("/events")["events"].as_array().unwrap().clone();
    let last = events.last().unwrap()["seq"].as_u64().unwrap();
    assert_eq!(last, events.len() as u64, "none has been dropped");
    let rest = after(&format!("/events?after={}", last - 1));
    assert_eq!(rest["events"].as_array().unwrap()[0], events[events.len() - 1]);
    let queries = after("/queries?limit=1")["queries"].as_array().unwrap().clone();
    assert_eq!(queries.len(), 1);
    let all = after("/queries")["queries"].as_array().unwrap().clone();
    assert!(all.len() > 1, "{all:?}");
    let text = |query: &Value| query["text"] == "SELECT COUNT ( * ) FROM `items`";
    let counted = all.iter().find(|query| text(query)).unwrap();
    assert!(counted["count"].as_u64().unwrap() >= 1, "{counted}");
    assert_eq!(counted["errors"], 0);
}
