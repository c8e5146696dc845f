//! Result sets of all kinds and sizes: the packets through lagwise are those of a direct
//! connection, byte by byte, by the text and the binary protocol, plain, over TLS and compressed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::Make;
use support::wire::{Options, Param, Step, World, caps};

const MIB_16: usize = 1 << 24;

fn q(sql: impl Into<Vec<u8>>) -> Step {
    Step::query(sql)
}

/// Column types, each with a value at its end.
fn columns(make: Make) -> Vec<(&'static str, &'static str)> {
    let mut columns = vec![
        ("TINYINT", "-128"),
        ("TINYINT UNSIGNED", "255"),
        ("BOOLEAN", "TRUE"),
        ("SMALLINT", "-32768"),
        ("MEDIUMINT", "8388607"),
        ("INT", "-2147483648"),
        ("INT UNSIGNED ZEROFILL", "42"),
        ("BIGINT", "-9223372036854775808"),
        ("BIGINT UNSIGNED", "18446744073709551615"),
        ("DECIMAL(65,30)", "-12345678901234567890.123456789"),
        ("FLOAT", "1.5e-10"),
        ("DOUBLE", "-1.7976931348623157e308"),
        ("BIT(1)", "b'1'"),
        ("BIT(64)", "b'1010101010101'"),
        ("DATE", "'2024-02-29'"),
        ("DATETIME", "'1000-01-01 00:00:00'"),
        ("DATETIME(6)", "'9999-12-31 23:59:59.999999'"),
        ("TIMESTAMP NULL", "'2001-02-03 04:05:06'"),
        ("TIMESTAMP(3) NULL", "'2001-02-03 04:05:06.789'"),
        ("TIME", "'-838:59:59'"),
        ("TIME(6)", "'12:00:00.000001'"),
        ("YEAR", "2155"),
        ("CHAR(10)", "'a  '"),
        ("CHAR(10) CHARACTER SET binary", "'b'"),
        ("VARCHAR(255)", "'é \u{20ac} \u{1f600}'"),
        ("VARCHAR(20) CHARACTER SET latin1", "'\u{e9}'"),
        ("VARCHAR(20) CHARACTER SET utf16", "'u'"),
        ("BINARY(4)", "0x00ff00ff"),
        ("VARBINARY(20)", "0xdeadbeef"),
        ("TINYBLOB", "'tb'"),
        ("BLOB", "0x00"),
        ("MEDIUMBLOB", "REPEAT('m', 70000)"),
        ("LONGBLOB", "''"),
        ("TINYTEXT", "REPEAT('t', 250)"),
        ("TEXT", "REPEAT('t', 251)"),
        ("MEDIUMTEXT", "REPEAT('t', 65536)"),
        ("LONGTEXT", "REPEAT('t', 65535)"),
        ("ENUM('a','b')", "'b'"),
        ("SET('a','b','c')", "'a,c'"),
        ("JSON", "'{\"a\": [1, null]}'"),
        ("GEOMETRY", "ST_GeomFromText('POINT(1 2)')"),
        ("POINT", "ST_GeomFromText('POINT(3 4)')"),
    ];
    match make {
        Make::MySql => columns.push(("VECTOR(3)", "TO_VECTOR('[1,2,3]')")),
        Make::MariaDb => columns.extend([("UUID", "UUID_v"), ("INET6", "'::1'")]),
    }
    columns
}

/// Every column type, NULLs included, by the text and the binary protocol.
fn types(make: Make) -> Vec<Step> {
    let columns = columns(make);
    let uuid = "'123e4567-e89b-12d3-a456-426655440000'";
    let names = |with: &dyn Fn(usize, &str, &str) -> String| {
        let all: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(index, (kind, value))| with(index, kind, value))
            .collect();
        all.join(", ")
    };
    let defined = names(&|index, kind, _| format!("c{index} {kind} NULL"));
    let values = names(&|_, _, value| value.replace("UUID_v", uuid));
    let nulls = names(&|_, _, _| "NULL".to_owned());
    vec![
        q("SET SESSION time_zone = '+00:00'"),
        q(format!("CREATE TABLE wire_types (id INT PRIMARY KEY, {defined})")),
        q(format!("INSERT INTO wire_types VALUES (1, {values})")),
        q(format!("INSERT INTO wire_types VALUES (2, {nulls})")),
        q("SELECT * FROM wire_types ORDER BY id"),
        q("SELECT * FROM wire_types WHERE id = 3"),
        Step::prepare("SELECT * FROM wire_types WHERE id >= ? ORDER BY id"),
        Step::execute(0, [Param::int(0)]),
        Step::execute_again(0, [Param::int(2)]),
        Step::execute_again(0, [Param::int(3)]),
        Step::open_cursor(0, [Param::int(0)]),
        Step::fetch(0, 1),
        Step::fetch(0, 5),
        q("SELECT NULL, 1, 'x', 1.5, 2e0, NOW() IS NULL, X'00', DATE'2020-01-01', TIME'01:02:03'"),
    ]
}

/// More columns than fit one byte, and reads that replicas serve.
fn shapes() -> Vec<Step> {
    let columns = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let digits = "(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
                   UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    let many = format!(
        "SELECT a.d + b.d * 10 + c.d * 100 + e.d * 1000 AS n, REPEAT('r', c.d * 20) FROM {digits} a,
         {digits} b, {digits} c, {digits} e ORDER BY n"
    );
    vec![
        q(format!("SELECT {}", columns(250))),
        q(format!("SELECT {}", columns(251))),
        q(format!("SELECT {}", columns(300))),
        q(format!("SELECT {}", columns(4000))),
        Step::prepare(&format!("SELECT {}", columns(300))),
        Step::execute(0, []),
        q(many.clone()),
        Step::prepare(&many),
        Step::execute(1, []),
        q("SELECT REPEAT('x', 100000)"),
        q("SELECT REPEAT('x', 65535), REPEAT('y', 65536)"),
    ]
}

/// Packets at and above the largest frame, both ways.
fn large() -> Vec<Step> {
    // A row of one value has its length in 4 or 9 bytes before it.
    let row = |len: usize| q(format!("SELECT REPEAT('x', {len})"));
    let query = |payload: usize| {
        let (head, tail) = ("SELECT LENGTH('", "')");
        let fill = payload - 1 - head.len() - tail.len();
        q([head.as_bytes(), &vec![b'q'; fill], tail.as_bytes()].concat())
    };
    vec![
        row(MIB_16 - 1 - 4 - 1),
        row(MIB_16 - 1 - 4),
        row(MIB_16 - 1 - 9),
        row(MIB_16 - 1),
        row(MIB_16),
        row(20 << 20),
        query(MIB_16 - 2),
        query(MIB_16 - 1),
        query(MIB_16),
        query(20 << 20),
        q("SELECT 'after'"),
        q("CREATE TABLE wire_big (id INT PRIMARY KEY, b LONGBLOB)"),
        // A text that is longer than what is held of other commands.
        Step::prepare(&format!("SELECT LENGTH('{}') + ?", "t".repeat(2 << 20))),
        Step::execute(0, [Param::int(1)]),
        Step::prepare("INSERT INTO wire_big VALUES (?, ?)"),
        Step::LongData { statement: 1, param: 1, data: vec![b'l'; 20 << 20] },
        Step::LongData { statement: 1, param: 1, data: vec![b'm'; 1 << 20] },
        Step::execute(1, [Param::int(1), Param::long()]),
        Step::prepare("SELECT id, LENGTH(b), MD5(b) IS NULL FROM wire_big"),
        q("SELECT id, LENGTH(b), b FROM wire_big"),
        q("SELECT 'after'"),
    ]
}

fn all(make: Make) {
    let world = World::start(make, &["max_allowed_packet=67108864"]);
    world.compare_all("types", &types(make));
    world.compare_all("shapes", &shapes());
    for capabilities in [0, caps::DEPRECATE_EOF | caps::SESSION_TRACK] {
        world.compare("large", &Options::new(capabilities), &large());
    }
    for capabilities in [caps::COMPRESS, caps::ZSTD | caps::DEPRECATE_EOF] {
        let options = Options::new(capabilities);
        world.compare("types, compressed", &options, &types(make));
        world.compare("shapes, compressed", &options, &shapes());
        world.compare("large, compressed", &options, &large());
    }
    let tls = Options { tls: true, ..Options::new(caps::SESSION_TRACK) };
    if make == Make::MySql {
        world.compare("types, TLS", &tls, &types(make));
        world.compare("large, TLS", &tls, &large());
        let both = Options { tls: true, ..Options::new(caps::COMPRESS) };
        world.compare("shapes, TLS and compressed", &both, &shapes());
    }
    world.finish();
}

#[test]
fn results_on_mysql() {
    all(Make::MySql);
}

#[test]
fn results_on_mariadb() {
    all(Make::MariaDb);
}
