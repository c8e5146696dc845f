//! What each statement shows and does, and for whom.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::raw::{Client, Login};
use super::support::{Lab, Make, Proxy, eventually, free_port};
use super::{ask, at_port, start};

const DOCUMENT: &str = include_str!("../../docs/console.md");

/// The clients of both makes.
fn clients(lab: &Lab) -> [PathBuf; 2] {
    [lab.client(), "mariadb".into()]
}

/// The rows that a client shows with `--batch`, the names of the columns first.
fn rows(client: &Path, port: u16, user: &str, statement: &str) -> Vec<Vec<String>> {
    let shown =
        ask(client, &at_port(port), user, &["--batch", "--comments", "--execute", statement]);
    let shown = shown.unwrap_or_else(|error| panic!("{}: {statement}: {error}", client.display()));
    shown.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The value of a column in the row whose first column is this.
#[track_caller]
fn value(rows: &[Vec<String>], of: &str, column: &str) -> String {
    let place = rows[0].iter().position(|name| name == column).unwrap();
    let row = rows.iter().find(|row| row[0] == of).unwrap_or_else(|| panic!("{of}: {rows:?}"));
    row[place].clone()
}

fn servers(lab: &Lab, client: &Path, port: u16) {
    eventually("the replica gets work", || {
        let rows = rows(client, port, "watch", "SHOW SERVERS");
        value(&rows, &lab.address(1), "eligible") == "yes"
    });
    let rows = rows(client, port, "watch", "show servers");
    assert_eq!(rows.len(), 3, "{rows:?}");
    for (server, role) in [(0, "primary"), (1, "replica")] {
        let name = lab.address(server);
        let of = |column| value(&rows, &name, column);
        assert_eq!((of("address"), of("role").as_str()), (name.clone(), role));
        assert_eq!((of("health"), of("drained")), ("up".to_owned(), "no".to_owned()));
        assert_eq!((of("eligible"), of("reason")), ("yes".to_owned(), "NULL".to_owned()));
    }
    assert_eq!(value(&rows, &lab.address(0), "lag_ms"), "NULL");
    assert!(value(&rows, &lab.address(1), "lag_ms").parse::<u64>().is_ok(), "{rows:?}");
    // MySQL's client has taken no commands of its own from a batch since 9.
    let form = match client.ends_with("mariadb") {
        true => &["-e", "SHOW SERVERS\\G"][..],
        false => &["--vertical", "-e", "SHOW SERVERS"],
    };
    let upright = ask(client, &at_port(port), "watch", form).unwrap();
    assert!(upright.contains("2. row") && upright.contains("role: replica"), "{upright}");
}

fn sessions(lab: &Lab, proxy: &Proxy, client: &Path, port: u16) {
    let mut app = Client::app(proxy.port());
    app.run("BEGIN");
    app.run("UPDATE items SET id = id WHERE id = 1");
    let found = rows(client, port, "watch", "SHOW SESSIONS");
    assert_eq!(found.len(), 2, "one of the proxy's, none of the console's: {found:?}");
    let id = app.id.to_string();
    let of = |column| value(&found, &id, column);
    assert_eq!((of("user"), of("state")), ("app".to_owned(), "idle".to_owned()));
    assert_eq!((of("held_by"), of("primary")), ("transaction".to_owned(), lab.address(0)));
    let pools = rows(client, port, "watch", "SHOW POOLS");
    assert_eq!(value(&pools, &lab.address(0), "used_by"), "transaction 1");
    assert_eq!(value(&pools, &lab.address(0), "sessions"), "1");
    app.run("ROLLBACK");
    // A replica that applies nothing keeps who wrote on the primary.
    lab.stop_applier(1);
    app.run("UPDATE items SET stock = stock + 1 WHERE id = 1");
    let found = rows(client, port, "watch", "SHOW SESSIONS");
    assert_eq!(value(&found, &id, "pinned_by"), "write");
    let until = value(&found, &id, "pinned_until");
    let written = lab.sql(0, "SELECT @@GLOBAL.gtid_executed");
    let (server, _) = written.trim().split_once(':').unwrap();
    assert!(until.starts_with(&format!("a replica has {server}:")), "{until}");
    lab.start_applier(1);
    eventually("the pin is over", || {
        let found = rows(client, port, "watch", "SHOW SESSIONS");
        value(&found, &id, "pinned_until") == "NULL"
    });
}

/// DRAIN and UNDRAIN for the one, and 1227 for the other.
fn changes(lab: &Lab, client: &Path, port: u16) {
    let (primary, replica) = (lab.address(0), lab.address(1));
    let shown_as_drained =
        |server: &str| value(&rows(client, port, "watch", "SHOW SERVERS"), server, "drained");
    let is_drained = || shown_as_drained(&replica);
    let ask = |user: &str, text: &str| ask(client, &at_port(port), user, &["-e", text]);
    let error = ask("watch", &format!("DRAIN {replica}")).unwrap_err();
    assert!(error.contains("ERROR 1227 (42000)"), "{error}");
    assert_eq!(is_drained(), "no");
    ask("admin", &format!("DRAIN '{replica}'")).unwrap();
    assert_eq!(is_drained(), "yes");
    ask("admin", &format!("undrain {replica};")).unwrap();
    assert_eq!(is_drained(), "no");
    let error = ask("admin", "DRAIN nowhere").unwrap_err();
    assert!(error.contains("ERROR 1477") && error.contains(&replica), "{error}");
    ask("admin", &format!("DRAIN {primary}")).unwrap();
    assert_eq!(shown_as_drained(&primary), "yes");
    ask("admin", &format!("UNDRAIN {primary}")).unwrap();
    assert_eq!(shown_as_drained(&primary), "no");
    let error = ask("admin", "DELETE FROM t").unwrap_err();
    assert!(error.contains("ERROR 1064 (42000)") && error.contains("SHOW SERVERS"), "{error}");
}

/// What is in force, with no secret in it, and where a statement goes.
fn looks(lab: &Lab, proxy: &Proxy, client: &Path, port: u16) {
    let config = rows(client, port, "watch", "SHOW CONFIG");
    assert_eq!(value(&config, "monitor.user", "value"), "monitor");
    assert_eq!(value(&config, "monitor.password", "value"), "***");
    assert_eq!(value(&config, "console.user.admin.password", "value"), "***");
    assert_eq!(value(&config, "routing.zone", "value"), "NULL");
    assert_eq!(value(&config, &format!("server.{}.role", lab.address(1)), "value"), "replica");
    let all = config.concat().concat();
    for secret in ["monitor_password", "watch_password", "admin_password"] {
        assert!(!all.contains(secret), "{all}");
    }

    for statement in ["SELECT 1", "/* lagwise: primary */ SELECT 1", "DELETE FROM t"] {
        let asked = format!("EXPLAIN ROUTE FOR app IN shop {statement}");
        let shown = rows(client, port, "watch", &asked).concat()[1..].join("\n");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lagwise"));
        command.args(["explain", "--user", "app", "--schema", "shop", "--config"]);
        let printed = command.arg(proxy.config_path()).arg(statement).output().unwrap().stdout;
        assert_eq!(shown, String::from_utf8(printed).unwrap().trim_end(), "{statement}");
    }

    Client::app(proxy.port()).run("UPDATE items SET id = id WHERE id = 1");
    let metrics = proxy.metrics();
    let routes = rows(client, port, "watch", "SHOW ROUTES");
    assert!(routes.len() > 1, "{routes:?}");
    for row in &routes[1..] {
        let labels = [("target", row[0].as_str()), ("reason", row[1].as_str())];
        let counted = metrics.sum("lagwise_queries_total", &labels);
        assert_eq!(row[2], counted.to_string(), "{row:?}");
    }
}

/// SHOW QUERIES and RESET STATISTICS.
fn queries(proxy: &Proxy, client: &Path, port: u16) {
    let shown = |more: &str| rows(client, port, "watch", &format!("SHOW QUERIES {more}"));
    let reset = || ask(client, &at_port(port), "admin", &["-e", "RESET STATISTICS"]);
    let refused = ask(client, &at_port(port), "watch", &["-e", "RESET STATISTICS"]).unwrap_err();
    assert!(refused.contains("ERROR 1227"), "{refused}");
    let mut app = Client::app(proxy.port());
    app.run("SELECT COUNT(*) FROM items");
    reset().unwrap();
    assert!(shown("").is_empty());
    for id in 1..=3 {
        app.run(&format!("SELECT name FROM items WHERE id = {id}"));
    }
    let (id, _) = app.prepare("SELECT name FROM items WHERE id = 7").unwrap();
    app.execute_id(id).unwrap();
    app.run("UPDATE items SET id = id WHERE id IN (1, 2)");
    app.run("UPDATE items SET id = id WHERE id IN (3)");
    app.query("SELECT nothing FROM items").unwrap_err();
    let all = shown("");
    let row = |digest: &str| {
        let row = all.iter().find(|row| row.last().is_some_and(|text| text == digest));
        let row = row.unwrap_or_else(|| panic!("{digest}: {all:?}"));
        let names = &all[0];
        move |column: &str| row[names.iter().position(|name| name == column).unwrap()].clone()
    };
    let read = row("SELECT NAME FROM `items` WHERE `id` = ?");
    let told = ["schema", "count", "errors", "rows", "replica_percent", "reason"].map(&read);
    assert_eq!(told, ["shop", "4", "0", "4", "100.0", "read"]);
    let times = ["p50_ms", "p95_ms", "p99_ms", "max_ms", "total_ms"];
    let times = times.map(|column| read(column).parse::<f64>().unwrap());
    assert!(times[0] > 0.0 && times.is_sorted(), "{times:?}");
    assert!(read("bytes").parse::<u64>().unwrap() > 4 * 50, "{}", read("bytes"));
    let write = row("UPDATE `items` SET `id` = `id` WHERE `id` IN (...)");
    let told = ["count", "errors", "rows", "replica_percent", "reason"].map(&write);
    assert_eq!(told, ["2", "0", "0", "0.0", "write"]);
    let wrong = row("SELECT `nothing` FROM `items`");
    assert_eq!(["count", "errors", "rows"].map(&wrong), ["1", "1", "0"]);
    assert_eq!(shown("LIMIT 2")[..], all[..3]);
    reset().unwrap();
    assert!(shown("").is_empty());
}

/// SHOW SLOW, and the log's line.
fn slow(lab: &Lab, proxy: &Proxy, client: &Path, port: u16) {
    let before = proxy.log().matches("slow statement").count();
    let mut app = Client::app(proxy.port());
    app.run("DO SLEEP(1.1)");
    app.run("SELECT SLEEP(1.1), 'a secret'");
    let shown = rows(client, port, "watch", "SHOW SLOW LIMIT 1");
    assert_eq!(shown.len(), 2, "{shown:?}");
    let of =
        |column: &str| shown[1][shown[0].iter().position(|name| name == column).unwrap()].clone();
    assert_eq!(of("session"), app.id.to_string());
    let told = ["user", "schema", "server", "attempts", "rows", "error"].map(of);
    assert_eq!(told, ["app", "shop", &lab.address(1), "1", "1", "no"]);
    assert_eq!(of("statement"), "SELECT `SLEEP` (?) , ?");
    let ms = |column: &str| of(column).parse::<f64>().unwrap();
    // The clock is read after the statement is sent: on a busy machine some of it counts as sync_ms.
    assert!(ms("sync_ms") + ms("server_ms") >= 1100.0, "{shown:?}");
    assert!(ms("server_ms") <= ms("first_byte_ms"), "{shown:?}");
    assert!(ms("first_byte_ms") <= ms("total_ms") && ms("seconds_ago") >= 0.0, "{shown:?}");
    assert!(ms("wait_ms") + ms("queue_ms") + ms("sync_ms") < ms("total_ms"), "{shown:?}");
    let log = proxy.log();
    assert_eq!(log.matches("slow statement").count(), before + 2, "{log}");
    let line = log.lines().rev().find(|line| line.contains("slow statement")).unwrap();
    assert!(line.contains("WARN") && line.contains("SELECT `SLEEP` (?) , ?"), "{line}");
    assert!(!log.contains("a secret"), "{log}");
    ask(client, &at_port(port), "admin", &["-e", "RESET STATISTICS"]).unwrap();
    assert!(rows(client, port, "watch", "SHOW SLOW").is_empty());
}

/// KILL and RELOAD.
fn orders(proxy: &Proxy, client: &Path, port: u16) {
    let ask = |user: &str, text: &str| ask(client, &at_port(port), user, &["--batch", "-e", text]);
    let mut app = Client::app(proxy.port());
    app.run("SELECT COUNT(*) FROM items");
    let kill = format!("KILL {}", app.id);
    assert!(ask("watch", &kill).unwrap_err().contains("ERROR 1227"));
    app.run("SELECT COUNT(*) FROM items");
    ask("admin", &kill).unwrap();
    eventually("the session is gone", || ask("watch", "SHOW SESSIONS").unwrap().is_empty());
    assert!(app.query("SELECT COUNT(*) FROM items").is_err());
    assert!(ask("admin", &kill).unwrap_err().contains("ERROR 1094"));

    assert!(ask("watch", "RELOAD").unwrap_err().contains("ERROR 1227"));
    assert_eq!(ask("admin", "RELOAD").unwrap(), "", "nothing has changed");
    let path = proxy.config_path();
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, before.clone() + "[log]\nlevel = \"debug\"\n").unwrap();
    assert_eq!(ask("admin", "RELOAD").unwrap(), "changed\nlog.level: info -> debug\n");
    assert!(ask("watch", "SHOW CONFIG").unwrap().contains("log.level\tdebug\n"));
    std::fs::write(&path, before.clone() + "[log]\nlevel = \"loud\"\n").unwrap();
    let error = ask("admin", "RELOAD").unwrap_err();
    assert!(error.contains("ERROR 1105") && error.contains("log.level"), "{error}");
    assert!(ask("watch", "SHOW CONFIG").unwrap().contains("log.level\tdebug\n"));
    std::fs::write(&path, before).unwrap();
    ask("admin", "RELOAD").unwrap();
}

/// What the document shows runs, and it shows every statement that HELP lists.
fn documented(lab: &Lab, proxy: &Proxy, client: &Path, port: u16) {
    let blocks = DOCUMENT.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut shown: Vec<String> = Vec::new();
    for statement in blocks.flat_map(str::lines) {
        let app = statement.starts_with("KILL").then(|| Client::app(proxy.port()));
        let id = app.as_ref().map_or(String::new(), |app| app.id.to_string());
        let text = statement.replace("'10.0.0.2:3306'", &format!("'{}'", lab.address(1)));
        let text = text.replace("KILL 2147483649", &format!("KILL {id}"));
        let outcome = ask(client, &at_port(port), "admin", &["-e", &text]);
        outcome.unwrap_or_else(|error| panic!("{statement}: {error}"));
        shown.push(statement.to_owned());
    }
    let help = rows(client, port, "watch", "HELP");
    assert!(help.len() > 5, "{help:?}");
    for row in &help[1..] {
        let fixed = row[0].split(|c: char| !(c.is_ascii_uppercase() || c == ' ')).next().unwrap();
        let fixed = fixed.trim();
        assert!(shown.iter().any(|text| text.starts_with(fixed)), "not documented: {fixed}");
    }
}

/// PDO and mysqli, with what they send when they connect.
fn php(port: u16) {
    let script = format!(
        r#"$o = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::MYSQL_ATTR_INIT_COMMAND => "SET NAMES utf8mb4"];
        $p = new PDO("mysql:host=127.0.0.1;port={port};charset=utf8mb4", "watch", "watch_password", $o);
        foreach ($p->query("SHOW SERVERS") as $row) echo $row["role"], "\n";
        $m = new mysqli("127.0.0.1", "watch", "watch_password", "", {port});
        $m->set_charset("utf8mb4");
        echo count($m->query("SHOW SERVERS")->fetch_all()), "\n";"#
    );
    let done = Command::new("php").args(["-r", &script]).output().unwrap();
    let (said, wrong) = (String::from_utf8(done.stdout), String::from_utf8(done.stderr));
    assert_eq!(said.unwrap(), "primary\nreplica\n2\n", "{wrong:?}");
}

/// What clients ask by themselves.
fn noise(port: u16) {
    let login = Login { schema: None, ..Login::of("watch", "watch_password") };
    let mut client = Client::connect(port, login).unwrap();
    assert!(client.version.contains("lagwise"), "{}", client.version);
    for nothing in ["SET NAMES utf8mb4", "/* ping */", "USE shop", "SET autocommit=1"] {
        assert!(client.run(nothing).is_empty(), "{nothing}");
    }
    for list in ["SHOW WARNINGS", "SHOW DATABASES", "SHOW FULL TABLES", "SHOW VARIABLES LIKE 'x'"] {
        assert!(client.run(list).is_empty(), "{list}");
    }
    assert_eq!(client.value("SELECT @@version_comment LIMIT 1"), "lagwise console");
    assert_eq!(client.value("SELECT USER()"), "watch@console");
    assert_eq!(client.run("SELECT DATABASE()"), [[None]]);
    assert_eq!(client.value("SELECT @@max_allowed_packet"), "65536");
    assert_eq!(client.run("SHOW SESSION VARIABLES LIKE 'wait_timeout'").len(), 1);
    assert!(client.run("SHOW VARIABLES").len() > 20);
    assert_eq!(client.value("SELECT NOW()").len(), 19);
    assert_eq!(client.value("SELECT 1 FROM DUAL"), "1");
    for none in ["SELECT * FROM information_schema.tables", "SHOW GRANTS"] {
        assert!(client.run(none).is_empty(), "{none}");
    }
    // As DBeaver sends it.
    let route = client.run("/* ApplicationName=DBeaver */ EXPLAIN ROUTE SELECT 1");
    assert_eq!(route.len(), 3, "{route:?}");
    assert_eq!(client.query("SELECT * FROM t").unwrap_err().code(), 1064);
    // A prepared statement, and a ping after the error.
    assert_eq!(client.simple(0x16, b"SHOW SERVERS").unwrap_err().code(), 1047);
    client.simple(0x0e, b"").unwrap();
}

#[test]
fn every_statement_from_every_client() {
    let lab = Lab::start(Make::MySql, 1);
    let port = free_port();
    let proxy = start(&lab, &format!("127.0.0.1:{port}"));
    for client in clients(&lab) {
        servers(&lab, &client, port);
        sessions(&lab, &proxy, &client, port);
        changes(&lab, &client, port);
        looks(&lab, &proxy, &client, port);
        queries(&proxy, &client, port);
        slow(&lab, &proxy, &client, port);
        orders(&proxy, &client, port);
    }
    documented(&lab, &proxy, &lab.client(), port);
    noise(port);
    php(port);
    assert!(!proxy.log().contains("_password"), "no secret is logged");
}
