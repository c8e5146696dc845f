//! The servers' own command-line tools do through lagwise what they do on a direct connection, on
//! both makes: dumps are equal and can be loaded, administration, checks, imports, and the client
//! on a terminal with its completion of names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::{Lab, Make, Proxy, package_dir, target_dir};

/// What a tool said and how it ended.
#[derive(PartialEq, Eq, Debug)]
struct Said {
    success: bool,
    out: String,
    err: String,
}

struct Tools {
    lab: Lab,
    proxy: Proxy,
    wrong: Vec<String>,
}

/// What a server says of itself and its moment is not compared.
type Mask = fn(&str) -> String;

fn nothing(text: &str) -> String {
    text.to_owned()
}

/// Numbers differ from one moment to the next.
fn numbers(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            // Columns are as wide as their values.
            ' ' | '-' if masked.ends_with(c) => {}
            _ => masked.push(c),
        }
    }
    masked
}

/// The first column of a table.
fn first_column(text: &str) -> String {
    let cells = text.lines().filter_map(|line| line.split('|').nth(1));
    cells.map(|cell| format!("{}\n", cell.trim())).collect()
}

/// The head of a table.
fn head(text: &str) -> String {
    text.lines().filter(|line| line.contains("| Id ")).map(numbers).collect()
}

impl Tools {
    fn start(make: Make) -> Self {
        let lab = Lab::start(make, 1);
        let proxy = Proxy::start(&lab, "");
        let tools = Self { lab, proxy, wrong: Vec::new() };
        let script = std::fs::read_to_string(package_dir().join("tests/tools/schema.sql")).unwrap();
        let made = tools.run(tools.lab.port(0), "mysql", &["shop"], &script);
        assert!(made.success, "{made:?}");
        tools.lab.wait_caught_up();
        tools
    }

    /// The arguments that every tool takes to log in.
    fn login(&self, port: u16) -> Vec<String> {
        let mut arguments = vec![
            "--no-defaults".to_owned(),
            "--protocol=tcp".to_owned(),
            "--host=127.0.0.1".to_owned(),
            format!("--port={port}"),
            "--user=admin".to_owned(),
        ];
        if self.lab.make == Make::MySql {
            arguments.push("--get-server-public-key".to_owned());
        }
        arguments
    }

    fn run(&self, port: u16, name: &str, arguments: &[&str], input: &str) -> Said {
        let mut command = Command::new(self.lab.tool(name));
        command.args(self.login(port)).args(arguments);
        finish(command, input)
    }

    /// Runs a tool on a direct connection, then through lagwise, and notes what differs.
    fn check(&mut self, name: &str, arguments: &[&str], mask: Mask) -> Said {
        self.check_with(name, arguments, "", mask)
    }

    fn check_with(&mut self, name: &str, arguments: &[&str], input: &str, mask: Mask) -> Said {
        let direct = self.run(self.lab.port(0), name, arguments, input);
        let proxied = self.run(self.proxy.port(), name, arguments, input);
        self.compare(&format!("{name} {}", arguments.join(" ")), direct, proxied, mask)
    }

    fn compare(&mut self, what: &str, direct: Said, proxied: Said, mask: Mask) -> Said {
        for (name, direct, proxied) in [
            ("output", mask(&direct.out), mask(&proxied.out)),
            ("errors", mask(&direct.err), mask(&proxied.err)),
            ("success", direct.success.to_string(), proxied.success.to_string()),
        ] {
            if direct != proxied {
                let lines = direct.lines().zip(proxied.lines());
                let first = lines.filter(|(a, b)| a != b).map(|(a, b)| format!("{a}\n{b}")).next();
                let whole = || format!("{direct}\n-- by lagwise:\n{proxied}");
                let first = first.unwrap_or_else(whole);
                self.wrong.push(format!("{what}: {name}\n{first}"));
            }
        }
        if !direct.success || direct.out.is_empty() {
            println!("{what} direct: {direct:?}");
        }
        proxied
    }

    /// The same, of a tool that must succeed and print something.
    fn check_works(&mut self, name: &str, arguments: &[&str], mask: Mask) -> Said {
        let said = self.check(name, arguments, mask);
        assert!(said.success && !mask(&said.out).is_empty(), "{name} {arguments:?}: {said:?}");
        said
    }

    fn finish(self) {
        assert!(self.wrong.is_empty(), "{}: {}", self.lab.make, self.wrong.join("\n\n"));
    }
}

fn finish(mut command: Command, input: &str) -> Said {
    let file = target_dir().join("lab").join(format!("input-{}", support::unique_name()));
    std::fs::write(&file, input).unwrap();
    let output = command
        .env("MYSQL_PWD", "admin_password")
        .stdin(std::fs::File::open(&file).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/test.sh"));
    std::fs::remove_file(&file).unwrap();
    Said {
        success: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Equal dumps, whatever the options; and what was dumped can be loaded.
fn dumps(tools: &mut Tools) {
    let source_data: &[&str] = match tools.lab.make {
        Make::MySql => &["--single-transaction", "--source-data=2", "shop"],
        Make::MariaDb => &["--single-transaction", "--master-data=2", "--gtid", "shop"],
    };
    for arguments in [
        &["--single-transaction", "shop"][..],
        &["--single-transaction", "--quick", "--routines", "--events", "--triggers", "--databases"],
        source_data,
        &["shop"],
        &["--lock-all-tables", "--databases", "shop"],
        &["--no-data", "--skip-lock-tables", "--skip-triggers", "shop"],
        &["--no-create-info", "--skip-extended-insert", "--hex-blob", "--complete-insert", "shop"],
        &["--xml", "shop", "items"],
        &["--compatible=ansi", "--order-by-primary", "--where=id < 9", "shop", "items"],
        &["--single-transaction", "shop", "no_such_table"],
        &["no_such_schema"],
    ] {
        let mut arguments: Vec<&str> = [&["--skip-dump-date"], arguments].concat();
        if arguments.last() == Some(&"--databases") {
            arguments.extend(["shop", "other"]);
        }
        let said = tools.check("mysqldump", &arguments, nothing);
        let is_error = arguments.iter().any(|argument| argument.starts_with("no_such"));
        assert_eq!(said.success, !is_error, "{arguments:?}: {}", said.err);
    }
    let mut arguments = vec!["--skip-dump-date", "--single-transaction", "shop"];
    if tools.lab.make == Make::MySql {
        // GTIDs that the server has cannot be loaded into it.
        arguments.insert(0, "--set-gtid-purged=OFF");
    }
    let dumped = tools.check_works("mysqldump", &arguments, nothing);
    for port in [tools.lab.port(0), tools.proxy.port()] {
        tools.lab.sql(0, "DROP DATABASE IF EXISTS copy; CREATE DATABASE copy");
        let loaded = tools.run(port, "mysql", &["copy"], &dumped.out);
        assert!(loaded.success, "{}", loaded.err);
        // The name of the schema stands in a comment.
        let mut of = |schema| {
            *arguments.last_mut().unwrap() = schema;
            let again = [&["--skip-comments"], &arguments[..]].concat();
            tools.run(port, "mysqldump", &again, "").out
        };
        let copy = of("copy");
        assert!(copy.contains("INSERT INTO `kinds`"), "{copy}");
        assert_eq!(copy, of("shop"));
    }
    tools.lab.sql(0, "DROP DATABASE copy");
}

fn administration(tools: &mut Tools) {
    tools.check_works("mysqladmin", &["ping"], nothing);
    tools.check_works("mysqladmin", &["status"], numbers);
    tools.check_works("mysqladmin", &["version"], versions);
    tools.check_works("mysqladmin", &["extended-status"], first_column);
    tools.check_works("mysqladmin", &["variables"], settings);
    tools.check_works("mysqladmin", &["processlist"], head);
    tools.check_works("mysqladmin", &["--verbose", "processlist"], head);
    for (arguments, success) in [
        (&["create", "made_by_tool"][..], true),
        (&["create", "shop"], false),
        (&["--force", "drop", "made_by_tool"], true),
        (&["flush-tables"], true),
        (&["flush-status"], true),
        (&["flush-logs"], true),
        (&["flush-privileges"], true),
        (&["reload"], true),
        (&["debug"], true),
        (&["kill", "999999"], false),
        (&["status", "ping"], true),
    ] {
        let direct = tools.run(tools.lab.port(0), "mysqladmin", arguments, "");
        if arguments == ["create", "made_by_tool"] {
            tools.lab.sql(0, "DROP DATABASE made_by_tool");
        } else if arguments[0] == "--force" {
            tools.lab.sql(0, "CREATE DATABASE made_by_tool");
        }
        let proxied = tools.run(tools.proxy.port(), "mysqladmin", arguments, "");
        assert_eq!(direct.success, success, "{arguments:?}: {direct:?}");
        tools.compare(&format!("mysqladmin {arguments:?}"), direct, proxied, numbers);
    }
}

/// The port, which is not the server's, and how long it runs.
fn versions(text: &str) -> String {
    text.lines().filter(|line| !line.contains("TCP")).map(|line| numbers(line) + "\n").collect()
}

/// Global settings, but for those that count.
fn settings(text: &str) -> String {
    let moving = ["gtid_", "timestamp", "rand_seed", "pseudo_", "binlog_snapshot"];
    let kept = |line: &&str| !moving.iter().any(|name| line.contains(name));
    text.lines().filter(kept).map(|line| format!("{line}\n")).collect()
}

fn checks_and_imports(tools: &mut Tools) {
    for arguments in [
        &["shop"][..],
        &["--analyze", "shop"],
        &["--optimize", "shop", "items"],
        &["--extended", "--databases", "shop", "other"],
        &["--check-upgrade", "shop"],
    ] {
        // What there is to do is done by the first.
        tools.run(tools.lab.port(0), "mysqlcheck", arguments, "");
        tools.check_works("mysqlcheck", arguments, nothing);
    }
    for arguments in [
        &[][..],
        &["shop"],
        &["shop", "items"],
        &["--count", "shop"],
        &["--verbose", "shop"],
        &["--keys", "shop", "orders"],
        &["sho%"],
    ] {
        tools.check_works("mysqlshow", arguments, nothing);
    }
    let folder = target_dir().join("lab").join(support::unique_name());
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("items.txt");
    std::fs::write(&file, "901\tit's; for update\t1.50\t7\n902\tb\\\\c\t2\t8\n").unwrap();
    let path = file.to_str().unwrap();
    let rows = "SELECT * FROM shop.items WHERE id > 900";
    for arguments in [&["--local", "--replace"][..], &["--local", "--ignore", "--lock-tables"]] {
        let arguments = [arguments, &["shop", path]].concat();
        tools.run(tools.lab.port(0), "mysqlimport", &arguments, "");
        tools.check_works("mysqlimport", &arguments, nothing);
        assert_eq!(tools.lab.sql(0, rows).lines().count(), 2, "{arguments:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The client in a pipe, as scripts use it.
fn client_in_a_pipe(tools: &mut Tools) {
    let input = "SELECT 1;\nUSE other\nSELECT DATABASE();\nuse shop;\nSELECT 1/0;\nSHOW WARNINGS;\n\
                 \\W\nSELECT 1/0;\n\\w\nINSERT INTO orders (item_id, quantity) VALUES (1, 1);\n\
                 SELECT ROW_COUNT(), LAST_INSERT_ID() > 0;\nDELETE FROM orders WHERE note IS NULL;\n\
                 delimiter //\nSELECT 2; SELECT 3//\ndelimiter ;\nno such statement;\nrehash\n\
                 SET @a = 5;\nSELECT @a;\nhelp 'no such topic'\n\\C utf8mb4\n\
                 SELECT @@character_set_client;\nSELECT name FROM items WHERE id = 3\\G\n";
    for arguments in [
        &["--force", "shop"][..],
        &["--force", "--table", "-vv", "--auto-rehash", "shop"],
        &["--force", "--safe-updates", "--xml", "--comments", "shop"],
        &["--batch", "--silent", "--init-command=SET @a = 7", "--execute=SELECT @a", "shop"],
    ] {
        tools.check_with("mysql", arguments, input, nothing);
    }
}

/// The client on a terminal: what it sends to complete names, and when the schema changes.
fn client_on_a_terminal(tools: &mut Tools) {
    let input = "use other\nrehash\nshow tables;\nuse shop\nselect count(*) from items;\n\
                 select name from items where id = 2 and sto\\> 5;\nselect 1/0;\nwarnings\nselect 1/0;\n\
                 nowarning\nconnect shop\nselect database();\nquit\n";
    let program = tools.lab.tool("mysql");
    let run = |port: u16| {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(PathBuf::from(package_dir()).join("tests/python/terminal.py")).arg(&program);
        command.args(tools.login(port)).args(["--auto-rehash", "--prompt=ready> ", "shop"]);
        finish(command, input)
    };
    let (direct, proxied) = (run(tools.lab.port(0)), run(tools.proxy.port()));
    assert!(direct.success && direct.out.contains("item"), "{direct:?}");
    tools.compare("the client on a terminal", direct, proxied, numbers);
}

fn run(make: Make) {
    let mut tools = Tools::start(make);
    dumps(&mut tools);
    administration(&mut tools);
    checks_and_imports(&mut tools);
    client_in_a_pipe(&mut tools);
    client_on_a_terminal(&mut tools);
    tools.finish();
}

#[test]
fn tools_of_mysql() {
    run(Make::MySql);
}

#[test]
fn tools_of_mariadb() {
    run(Make::MariaDb);
}
