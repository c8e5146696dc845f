//! A session never reads older data than it wrote: with replicas that lag by a second, and with
//! replicas that apply nothing, on both makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::time::{Duration, Instant};

use raw::{Client, Fail, Row};
use support::{Lab, Make, Proxy, eventually};

const SCHEMA: &str = "
    CREATE TABLE note (id INT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO note VALUES (1, 0);
    CREATE TABLE heap (id INT PRIMARY KEY) ENGINE=MyISAM;
    INSERT INTO heap VALUES (1);
    CREATE PROCEDURE set_note(n INT) UPDATE note SET v = n WHERE id = 1;
    CREATE PROCEDURE fail_after(n INT) BEGIN
      UPDATE note SET v = n WHERE id = 1; SIGNAL SQLSTATE '45000'; END;
    CREATE FUNCTION bump(n INT) RETURNS INT MODIFIES SQL DATA DETERMINISTIC
      BEGIN UPDATE note SET v = n WHERE id = 1; RETURN n; END";

/// Says what was last written, and which server says so: `place` differs from server to server.
const NOTE_AND_PLACE: &str = "SELECT v, server FROM note, place WHERE id = 1";

/// What [`NOTE_AND_PLACE`] says.
fn note_and_place(client: &mut Client) -> (u32, u32) {
    let row = client.run(NOTE_AND_PLACE).remove(0);
    let number = |at: usize| row[at].as_ref().unwrap().parse().unwrap();
    (number(0), number(1))
}

fn root(lab: &Lab, server: usize) -> Client {
    let login = raw::Login::of("root", "");
    Client::connect_unix(&lab.socket(server), login).unwrap_or_else(|fail| panic!("root: {fail}"))
}

/// How a write is made; `{n}` is a number that no write before had.
enum Write {
    /// Texts, one after the other.
    Text(&'static [&'static str]),
    /// One prepared statement.
    Binary(&'static str),
    /// A text that must fail with this error.
    Fails(u16, &'static str),
    /// A text, and then COM_RESET_CONNECTION.
    ThenReset(&'static str),
}

/// A write, and the question whose answer is `n` once it is seen.
struct Case {
    write: Write,
    read: &'static str,
}

const NOTE: &str = "SELECT CAST(v AS CHAR) FROM note WHERE id = 1";

const fn note(write: Write) -> Case {
    Case { write, read: NOTE }
}

use Write::{Binary, Fails, Text, ThenReset};

const CASES: &[Case] = &[
    note(Text(&["UPDATE note SET v = {n} WHERE id = 1"])),
    note(Text(&["REPLACE INTO note VALUES (1, {n})"])),
    note(Binary("UPDATE note SET v = {n} WHERE id = 1")),
    note(Text(&["BEGIN", "UPDATE note SET v = {n} WHERE id = 1", "COMMIT"])),
    note(Text(&[
        "START TRANSACTION",
        "SAVEPOINT a",
        "UPDATE note SET v = {n}",
        "RELEASE SAVEPOINT a",
        "COMMIT",
    ])),
    note(Text(&["SET autocommit = 0", "UPDATE note SET v = {n}", "COMMIT", "SET autocommit = 1"])),
    // Commits what was open.
    note(Text(&["SET autocommit = 0", "UPDATE note SET v = {n}", "SET autocommit = 1"])),
    note(Text(&["BEGIN", "UPDATE note SET v = {n}", "BEGIN", "ROLLBACK"])),
    note(Text(&["BEGIN", "UPDATE note SET v = {n}", "CREATE TABLE implicit{n} (id INT)"])),
    note(Text(&["BEGIN; UPDATE note SET v = {n}; COMMIT; SELECT 1"])),
    note(Text(&["SELECT 1; UPDATE note SET v = {n}"])),
    note(Fails(1146, "UPDATE note SET v = {n}; SELECT * FROM absent")),
    note(Text(&["CALL set_note({n})"])),
    note(Binary("CALL set_note({n})")),
    note(Fails(1644, "CALL fail_after({n})")),
    note(Text(&["SELECT bump({n})"])),
    note(Text(&["DO bump({n})"])),
    note(Text(&["PREPARE s FROM 'UPDATE note SET v = {n}'", "EXECUTE s", "DEALLOCATE PREPARE s"])),
    note(Text(&[
        "XA START 'x{n}'",
        "UPDATE note SET v = {n}",
        "XA END 'x{n}'",
        "XA COMMIT 'x{n}' ONE PHASE",
    ])),
    note(Text(&["/* a comment */ UPDATE note, (SELECT {n} AS n) AS d SET v = d.n"])),
    note(ThenReset("UPDATE note SET v = {n}")),
    // The first row stays, in a table without transactions.
    Case {
        write: Fails(1062, "INSERT INTO heap VALUES ({n}), (1)"),
        read: "SELECT CAST(id AS CHAR) FROM heap WHERE id = {n}",
    },
    Case {
        write: Text(&["CREATE TABLE ddl{n} (id INT)"]),
        read: "SELECT CAST(COUNT(*) + {n} AS CHAR) FROM ddl{n}",
    },
    Case {
        write: Text(&["CREATE TABLE ctas{n} AS SELECT {n} AS id"]),
        read: "SELECT CAST(id AS CHAR) FROM ctas{n}",
    },
];

/// Ways to read.
type Read = fn(&mut Client, &str) -> Result<Vec<Row>, Fail>;
const READS: &[(&str, Read)] = &[
    ("text", |client, sql| client.query(sql)),
    ("binary", |client, sql| client.execute(sql)),
    ("READ ONLY transaction", |client, sql| {
        client.query("START TRANSACTION READ ONLY")?;
        let rows = client.query(sql);
        client.query("COMMIT")?;
        rows
    }),
];

fn write(client: &mut Client, how: &Write, n: u32) -> Result<(), String> {
    let fill = |text: &str| text.replace("{n}", &n.to_string());
    let said = |text: &str, fail: Fail| Err(format!("{text}: {fail}"));
    match how {
        Write::Text(texts) => {
            for text in *texts {
                client.query(&fill(text)).or_else(|fail| said(text, fail).map(|()| vec![]))?;
            }
        }
        Write::Binary(text) => {
            client.execute(&fill(text)).or_else(|fail| said(text, fail).map(|()| vec![]))?;
        }
        Write::Fails(code, text) => match client.query(&fill(text)) {
            Err(fail) if fail.code() == *code => {}
            Err(fail) => return said(text, fail),
            Ok(_) => return Err(format!("{text}: succeeds")),
        },
        Write::ThenReset(text) => {
            client.query(&fill(text)).or_else(|fail| said(text, fail).map(|()| vec![]))?;
            client.simple(0x1f, &[]).or_else(|fail| said("reset", fail))?;
        }
    }
    Ok(())
}

/// One write and a read of each kind; returns what was wrong.
fn check(client: &mut Client, case: &Case, n: u32) -> Vec<String> {
    let label = match &case.write {
        Write::Text(texts) => texts.join("; "),
        Write::Binary(text) | Write::Fails(_, text) | Write::ThenReset(text) => (*text).to_owned(),
    };
    if let Err(error) = write(client, &case.write, n) {
        return vec![error];
    }
    let sql = case.read.replace("{n}", &n.to_string());
    let mut wrong = Vec::new();
    for (kind, read) in READS {
        match read(client, &sql).map(|rows| rows.last().cloned()) {
            Ok(Some(row)) if row[0] == Some(n.to_string()) => {}
            Ok(row) => wrong.push(format!("{label}: {kind} read {row:?}, want {n}")),
            Err(fail) => wrong.push(format!("{label}: {kind} read: {fail}")),
        }
    }
    wrong
}

fn all_cases(proxy: &Proxy, n: &mut u32) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in CASES {
        // A session of its own has no pin from the case before; a kept one has one to add to.
        let mut fresh = Client::app(proxy.port());
        for _ in 0..2 {
            *n += 1;
            wrong.extend(check(&mut fresh, case, *n));
        }
    }
    wrong
}

/// What takes privileges: GTIDs of the session's own making, and a file.
fn unusual_writes(lab: &Lab, proxy: &Proxy, n: &mut u32) -> Vec<String> {
    let update = |n: u32| format!("UPDATE note SET v = {n} WHERE id = 1");
    let file = lab.server_dir(0).join("tmp/note.txt");
    let load = format!("LOAD DATA INFILE '{}' REPLACE INTO TABLE note", file.display());
    let mut writes: Vec<Vec<String>> = Vec::new();
    let gtid = format!("SET gtid_next = '3e11fa47-71ca-11e1-9e33-c80aa9429562:{n}'");
    let settings = match lab.make {
        Make::MySql => [gtid, "SET gtid_next = 'AUTOMATIC'".to_owned()],
        Make::MariaDb => ["SET gtid_domain_id = 7", "SET server_id = 77"].map(str::to_owned),
    };
    for (number, set) in (*n + 1..).zip(settings) {
        writes.push(vec![set, update(number), "DO 0".to_owned()]);
    }
    writes.push(vec![load]);
    let mut wrong = Vec::new();
    for texts in writes {
        *n += 1;
        std::fs::write(&file, format!("1\t{n}\n")).unwrap();
        let login = raw::Login::of("admin", "admin_password");
        let mut client = Client::connect(proxy.port(), login).unwrap();
        client.run("USE shop");
        texts.iter().for_each(|text| drop(client.run(text)));
        for (kind, read) in READS {
            let row = read(&mut client, NOTE).unwrap().remove(0);
            if row[0] != Some(n.to_string()) {
                wrong.push(format!("{texts:?}: {kind} read {row:?}, want {n}"));
            }
        }
    }
    wrong
}

/// The applier stands still: only a proxy that knows it must can be right, again and again.
fn with_a_stopped_applier(lab: &Lab, proxy: &Proxy, n: &mut u32) {
    *n += 1;
    lab.sql(0, &format!("UPDATE shop.note SET v = {n}"));
    let old = *n;
    lab.wait_caught_up();
    (1..lab.count()).for_each(|server| lab.stop_applier(server));
    let mut wrong = all_cases(proxy, n);
    wrong.extend(unusual_writes(lab, proxy, n));
    let (seen, server) = note_and_place(&mut Client::app(proxy.port()));
    (1..lab.count()).for_each(|server| lab.start_applier(server));
    assert!(server > 0, "others still read from replicas, or nothing was proven");
    assert_eq!(seen, old, "the replicas were behind all the time");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    lab.wait_caught_up();
}

/// The replicas come by every write a second late, while the session goes on.
fn with_delayed_replicas(lab: &Lab, proxy: &Proxy, n: &mut u32) {
    (1..lab.count()).for_each(|server| lab.set_source_delay(server, 1));
    let mut wrong = all_cases(proxy, n);
    wrong.extend(unusual_writes(lab, proxy, n));
    // A session that pauses comes back to the replicas, and still sees what it wrote.
    let mut client = Client::app(proxy.port());
    let mut stale = Vec::new();
    for _ in 0..3 {
        *n += 1;
        client.run(&format!("UPDATE note SET v = {n}"));
        let wrote = Instant::now();
        assert_eq!(note_and_place(&mut client), (*n, 0), "no replica can have it yet");
        eventually("reads of the session go to a replica again", || {
            let (seen, server) = note_and_place(&mut client);
            if seen != *n {
                stale.push(format!("{seen} at {:?}, want {n}", wrote.elapsed()));
            }
            server > 0
        });
        println!("{}: back on a replica after {:?}", lab.make, wrote.elapsed());
    }
    (1..lab.count()).for_each(|server| lab.set_source_delay(server, 0));
    assert!(wrong.is_empty() && stale.is_empty(), "{}\n{stale:?}", wrong.join("\n"));
    lab.wait_caught_up();
}

/// A session goes back to the replica as soon as that has its write, however seldom servers are asked
/// else.
fn pins_end_with_replication(lab: &Lab, n: &mut u32) {
    const INTERVAL: Duration = Duration::from_secs(4);
    const CONFIG: &str = "[monitor]\nuser = \"monitor\"\npassword = \"monitor_password\"\n\
                          check_interval = \"4s\"\nup_after = 1";
    let proxy = Proxy::start(lab, CONFIG);
    proxy.wait_probed();
    let mut client = Client::app(proxy.port());
    eventually("the replica takes reads", || note_and_place(&mut client).1 != 0);
    // Of a write with a GTID, and of one that has none.
    for fails in [false, true, false, true] {
        *n += 1;
        client.run(&format!("UPDATE note SET v = {n} WHERE id = 1"));
        if fails {
            client.query("INSERT INTO note VALUES (1, 1)").unwrap_err();
        }
        let begin = Instant::now();
        loop {
            let (v, server) = note_and_place(&mut client);
            assert_eq!(v, *n);
            if server != 0 {
                break;
            }
            assert!(begin.elapsed() < INTERVAL / 4, "{}: still on the primary", lab.make);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What a session has read, it never sees undone: not when its replica is replaced by one that is
/// behind, and not after a read on the primary.
fn reads_are_monotonic(lab: &Lab, n: &mut u32) {
    const TWO: &str = "[routing]\nmax_lag = \"1h\"\nlag_tolerance = \"1h\"\n\
                       [[rule]]\nuser = \"other\"\nread_only = true\n[pool]\ncheckout_timeout = \"20s\"\n";
    let off = format!("{TWO}[consistency]\nmonotonic_reads = false");
    let proxy = Proxy::start(lab, TWO);
    eventually("both replicas take reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 3.0
    });
    lab.wait_caught_up();
    lab.stop_applier(2);
    *n += 1;
    lab.sql(0, &format!("UPDATE shop.note SET v = {n}"));
    assert!(lab.applied(1, &lab.position(), 10));
    // Sessions that have read from the first replica, and one that has read from the primary.
    let readers = || {
        let mut on_first = Vec::new();
        while on_first.len() < 3 {
            let mut client = Client::app(proxy.port());
            if note_and_place(&mut client) == (*n, 1) {
                on_first.push(client);
            }
        }
        let mut on_primary = Client::app(proxy.port());
        let row = on_primary.run(&format!("/* lagwise: primary */ {NOTE_AND_PLACE}")).remove(0);
        assert_eq!(row, [Some(n.to_string()), Some("0".to_owned())]);
        on_first.push(on_primary);
        on_first
    };
    let (mut with, mut without) = (readers(), readers());
    // One that a rule keeps on replicas.
    let kept = || {
        let login = raw::Login::of("other", "other_password");
        let mut client = Client::connect(proxy.port(), login).unwrap();
        client.run("USE shop");
        (note_and_place(&mut client) == (*n, 1)).then_some(client)
    };
    let mut kept = std::iter::from_fn(|| Some(kept())).flatten().next().unwrap();
    lab.shut_down(1);
    for client in &mut with {
        for _ in 0..10 {
            assert_eq!(note_and_place(client), (*n, 0), "{}", lab.make);
        }
    }
    assert!(proxy.metrics().sum("lagwise_queries_total", &[("reason", "pinned_seen")]) >= 30.0);
    assert!(proxy.reload(&off));
    for client in &mut without {
        assert_eq!(note_and_place(client), (*n - 1, 2), "or nothing was proven");
    }
    std::thread::scope(|scope| {
        assert!(proxy.reload(TWO));
        let read = scope.spawn(|| note_and_place(&mut kept));
        eventually("it waits", || proxy.metrics().value("lagwise_waiting_reads") == 1.0);
        lab.start_applier(2);
        assert_eq!(read.join().unwrap(), (*n, 2), "it waits for a replica that is not behind");
    });
    lab.restart(1);
    lab.wait_caught_up();
    assert!(proxy.reload(TWO));
    // One that never pauses comes back to the replicas all the same.
    let client = &mut with[3];
    let begin = Instant::now();
    eventually("a session that has read on the primary reads from a replica", || {
        note_and_place(client).1 != 0
    });
    println!("{}: back after {:?}", lab.make, begin.elapsed());
}

/// With `wait`, a read after a write waits for the replica, which has it a second later.
fn reads_wait_for_the_replica(lab: &Lab, n: &mut u32) {
    let proxy = Proxy::start(lab, "[consistency]\nwait = \"5s\"\n[routing]\nmax_lag = \"1h\"");
    eventually("replicas take reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 3.0
    });
    (1..lab.count()).for_each(|server| lab.set_source_delay(server, 1));
    let write_and_read = |n: u32, fails: bool| {
        let mut client = Client::app(proxy.port());
        client.run(&format!("UPDATE note SET v = {n}"));
        if fails {
            client.query("INSERT INTO note VALUES (1, 1)").unwrap_err();
        }
        let wrote = Instant::now();
        let (seen, server) = note_and_place(&mut client);
        assert_eq!(seen, n);
        assert_ne!(server, 0, "{}: after {:?}", lab.make, wrote.elapsed());
        wrote.elapsed()
    };
    // Of a write with a GTID, and of one that has none.
    for fails in [false, true] {
        *n += 1;
        let waited = write_and_read(*n, fails);
        println!("{}: waited {waited:?}", lab.make);
        assert!(waited < Duration::from_secs(4), "{waited:?}");
    }
    // Many wait as long as one.
    *n += 1;
    let base = *n;
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| write_and_read(base, false));
        }
    });
    // When it is in vain, the primary answers in time.
    assert!(proxy.reload("[consistency]\nwait = \"100ms\"\n[routing]\nmax_lag = \"1h\""));
    (1..lab.count()).for_each(|server| lab.stop_applier(server));
    *n += 1;
    let mut client = Client::app(proxy.port());
    client.run(&format!("UPDATE note SET v = {n}"));
    let wrote = Instant::now();
    assert_eq!(note_and_place(&mut client), (*n, 0));
    assert!(wrote.elapsed() >= Duration::from_millis(100), "{:?}", wrote.elapsed());
    (1..lab.count()).for_each(|server| {
        lab.start_applier(server);
        lab.set_source_delay(server, 0);
    });
    lab.wait_caught_up();
}

/// `pin = "session"`: to its end. `pin = "500ms"`: for that long, and no longer.
fn other_pins(lab: &Lab, n: &mut u32) {
    let server_of = |client: &mut Client| note_and_place(client).1;
    let proxy = Proxy::start(lab, "[consistency]\npin = \"session\"");
    let mut client = Client::app(proxy.port());
    eventually("reads go to a replica", || server_of(&mut client) != 0);
    *n += 1;
    client.run(&format!("UPDATE note SET v = {n}"));
    lab.wait_caught_up();
    let until = Instant::now() + Duration::from_millis(700);
    while Instant::now() < until {
        assert_eq!(server_of(&mut client), 0);
    }
    assert_ne!(server_of(&mut Client::app(proxy.port())), 0, "others are not pinned");

    // Also when the replicas have it at once, and also when they do not.
    let by_time = "[consistency]\npin = \"500ms\"\nmonotonic_reads = ";
    assert!(proxy.reload(&format!("{by_time}false")));
    (1..lab.count()).for_each(|server| lab.stop_applier(server));
    let mut client = Client::app(proxy.port());
    let old = client.value(NOTE);
    *n += 1;
    let begun = Instant::now();
    client.run(&format!("UPDATE note SET v = {n}"));
    let done = Instant::now();
    assert_eq!(client.value(NOTE), n.to_string());
    eventually("the pin ends", || server_of(&mut client) != 0);
    let lasted = (done.elapsed(), begun.elapsed());
    assert!(lasted.1 >= Duration::from_millis(500), "{lasted:?}");
    assert!(lasted.0 < Duration::from_secs(3), "{lasted:?}");
    assert_eq!(client.value(NOTE), old, "as documented, a time does not protect");
    // What it has read on the primary meanwhile, it is still shown.
    assert!(proxy.reload(&format!("{by_time}true")));
    let mut client = Client::app(proxy.port());
    client.run(&format!("UPDATE note SET v = {n} + 1"));
    *n += 1;
    let done = Instant::now();
    while done.elapsed() < Duration::from_millis(700) {
        assert_eq!(client.value(NOTE), n.to_string());
    }
    (1..lab.count()).for_each(|server| lab.start_applier(server));
}

fn run(make: Make) {
    let lab = Lab::start(make, 2);
    if make == Make::MySql {
        lab.sql(0, "SET GLOBAL log_bin_trust_function_creators = 1");
    }
    root(&lab, 0).run(SCHEMA);
    lab.name_places();
    let mut n = 1;
    let proxy = Proxy::start(&lab, "[routing]\nmax_lag = \"1h\"\nlag_tolerance = \"1s\"");
    eventually("both replicas take reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 3.0
    });
    for (name, part) in [
        ("stopped", with_a_stopped_applier as fn(&Lab, &Proxy, &mut u32)),
        ("delayed", with_delayed_replicas),
    ] {
        let start = Instant::now();
        part(&lab, &proxy, &mut n);
        println!("{make}: {name}: {:?}", start.elapsed());
    }
    pins_end_with_replication(&lab, &mut n);
    reads_are_monotonic(&lab, &mut n);
    reads_wait_for_the_replica(&lab, &mut n);
    other_pins(&lab, &mut n);
}

#[test]
fn sessions_read_their_writes_on_mysql() {
    run(Make::MySql);
}

#[test]
fn sessions_read_their_writes_on_mariadb() {
    run(Make::MariaDb);
}
