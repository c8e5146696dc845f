//! The dashboard: what Grafana needs in it, and nothing that lagwise does not export.

use serde_json::Value;

use crate::files::{check_metrics, read};

fn dashboard() -> Value {
    serde_json::from_str(&read("contrib/grafana/lagwise.json")).unwrap()
}

/// The panels that show something, not the rows between them.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// Title and expression of all that it shows, with Grafana's variables as these.
pub fn expressions(interval: &str) -> Vec<(String, String)> {
    let dashboard = dashboard();
    let mut found = Vec::new();
    for panel in panels(&dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression.replace("$__rate_interval", interval);
            let expression = expression.replace("\"$instance\"", "\".+\"");
            assert!(!expression.contains('$'), "a variable that is not known here: {expression}");
            found.push((panel["title"].as_str().unwrap().to_owned(), expression));
        }
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

#[test]
fn panels_are_whole() {
    let dashboard = dashboard();
    assert_eq!((&dashboard["uid"], &dashboard["title"]), (&"lagwise".into(), &"lagwise".into()));
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    assert!(dashboard["id"].is_null(), "an import gives it one");
    let ids: Vec<_> = dashboard["panels"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert!(ids.iter().enumerate().all(|(at, id)| !ids[..at].contains(id)), "{ids:?}");
    let mut places = Vec::new();
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(panel["description"].as_str().is_some_and(|it| it.ends_with('.')), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        for source in
            targets.iter().map(|target| &target["datasource"]).chain([&panel["datasource"]])
        {
            assert_eq!(source["uid"], "${datasource}", "{title}");
        }
        let place = ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap());
        let [x, y, w, h] = place;
        let is_apart =
            |[a, b, c, d]: &[u64; 4]| x + w <= *a || a + c <= x || y + h <= *b || b + d <= y;
        assert!(x + w <= 24 && places.iter().all(is_apart), "{title} covers another");
        places.push(place);
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "instance"]);
}

#[test]
fn what_the_panels_name_is_exported() {
    check_metrics(&read("contrib/grafana/lagwise.json"), 40);
}
