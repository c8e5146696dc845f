//! Durations, sizes, addresses and secrets by themselves.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::units::{format_duration, format_size, parse_duration, parse_size};
use super::super::*;

#[test]
fn durations() {
    let check = |text: &str, expected: Option<u64>| {
        assert_eq!(parse_duration(text).map(|d| d.as_millis() as u64), expected, "{text:?}");
    };
    check("250ms", Some(250));
    check("10s", Some(10_000));
    check("1m", Some(60_000));
    check("2h", Some(7_200_000));
    check("1d", Some(86_400_000));
    check("0s", Some(0));
    check("007s", Some(7_000));
    for bad in
        ["", "10", "s", "1.5s", "-1s", "+1s", "1 s", " 1s", "1s ", "1S", "1M", "1m30s", "1us", "١s"]
    {
        check(bad, None);
    }
    check("99999999999999999999s", None);
    check("18446744073709551615d", None);
}

#[test]
fn sizes() {
    let check =
        |text: &str, expected: Option<u64>| assert_eq!(parse_size(text), expected, "{text}");
    check("0B", Some(0));
    check("64KiB", Some(65_536));
    check("16MiB", Some(16 << 20));
    check("1GiB", Some(1 << 30));
    for bad in ["", "64", "64K", "64KB", "64kib", "1.5GiB", "GiB", "99999999999GiB"] {
        check(bad, None);
    }
}

#[test]
fn shown_in_the_largest_exact_unit() {
    let shown = [0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 172_800_000]
        .map(|ms| format_duration(Duration::from_millis(ms)));
    assert_eq!(shown, ["0s", "1ms", "999ms", "1s", "1500ms", "1m", "61s", "1h", "2d"]);
    let shown = [0, 1, 1024, 1025, 16 << 20, 3 << 30].map(format_size);
    assert_eq!(shown, ["0B", "1B", "1KiB", "1025B", "16MiB", "3GiB"]);
}

#[test]
fn server_addresses() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let found = text.parse::<ServerAddress>().map(|address| address.to_string());
        assert_eq!(found.as_deref().map_err(ToString::to_string), expected.map_err(str::to_owned));
    };
    for (text, shown) in [
        ("10.0.0.1:3306", "10.0.0.1:3306"),
        ("db-1.Example_2.com.:1", "db-1.example_2.com.:1"),
        ("[::1]:65535", "[::1]:65535"),
        ("[2001:DB8:0::0:1]:3306", "[2001:db8::1]:3306"),
        ("unix:/run/my sql.sock", "unix:/run/my sql.sock"),
    ] {
        check(text, Ok(shown));
    }
    let no_host = "has a host that is neither a name nor an IP address";
    let long_label = format!("{}:3306", "a".repeat(64));
    let long_name = format!("{}a:3306", "abc.".repeat(64));
    let long_path = format!("unix:/{}", "a".repeat(107));
    for (text, error) in [
        ("", "has no port"),
        ("db", "has no port"),
        ("db:", "has no port"),
        ("db:mysql", "has no port"),
        ("db:+3306", "has no port"),
        ("[::1]", "is an IPv6 address without brackets"),
        ("[::1:3306", "is an IPv6 address without brackets"),
        ("[x", "has no port"),
        ("[x:1", "has no port"),
        ("db:65536", "has a port above 65535"),
        ("db:0", "names port 0"),
        ("::1:3306", "is an IPv6 address without brackets"),
        ("[db]:3306", "has something else than an IPv6 address in its brackets"),
        ("[10.0.0.1]:3306", "has something else than an IPv6 address in its brackets"),
        (":3306", no_host),
        ("10.0.0:3306", no_host),
        ("10.0.0.256:3306", no_host),
        ("a..b:3306", no_host),
        ("d b:3306", no_host),
        ("db\0:3306", no_host),
        ("dé:3306", no_host),
        (&long_label, no_host),
        (&long_name, no_host),
        ("unix:", "has a path that is not absolute"),
        ("unix:run/x", "has a path that is not absolute"),
        ("unix:/a\0", "has a path that holds a NUL"),
        (&long_path, "has a path over 107 bytes, too long for a Unix socket"),
    ] {
        check(text, Err(error));
    }
    check(&long_path[..long_path.len() - 1], Ok(&long_path[..long_path.len() - 1]));
}

#[test]
fn listen_addresses() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let found = text.parse::<ListenAddress>().map(|address| address.to_string());
        assert_eq!(found.as_deref().map_err(ToString::to_string), expected.map_err(str::to_owned));
    };
    for text in ["0.0.0.0:3307", "[::]:3307", "127.0.0.1:0", "unix:/run/lagwise.sock"] {
        check(text, Ok(text));
    }
    check("localhost:3307", Err("does not begin with an IP address"));
    check("[127.0.0.1]:3307", Err("does not begin with an IP address"));
    check(":3307", Err("names no address to listen on"));
    check("*:3307", Err("does not begin with an IP address"));
    check("0.0.0.0", Err("has no port"));
    check(":::3307", Err("is an IPv6 address without brackets"));
    check("unix:x", Err("has a path that is not absolute"));
}

#[test]
fn loops_are_recognised() {
    let check = |server: &str, listener: &str, expected: bool| {
        let server: ServerAddress = server.parse().unwrap();
        assert_eq!(server.reaches(&listener.parse().unwrap()), expected, "{server} {listener}");
    };
    check("127.0.0.1:3307", "127.0.0.1:3307", true);
    check("127.0.0.1:3307", "0.0.0.0:3307", true);
    check("127.9.9.9:3307", "0.0.0.0:3307", true);
    check("[::1]:3307", "[::]:3307", true);
    check("localhost:3307", "0.0.0.0:3307", true);
    check("localhost:3307", "127.0.0.1:3307", true);
    check("10.0.0.1:3307", "10.0.0.1:3307", true);
    check("unix:/a", "unix:/a", true);
    check("unix:/a", "unix:/b", false);
    check("unix:/a", "127.0.0.1:3307", false);
    check("127.0.0.1:3306", "127.0.0.1:3307", false);
    check("127.0.0.1:3307", "[::]:3307", false);
    check("10.0.0.1:3307", "0.0.0.0:3307", false);
    check("10.0.0.1:3307", "10.0.0.2:3307", false);
    check("localhost:3307", "10.0.0.2:3307", false);
    check("db:3307", "0.0.0.0:3307", false);
}

#[test]
fn native_hashes() {
    let hash = NativeHash::parse("*00ff10aBCD0000000000000000000000000000E9").unwrap();
    assert_eq!(hash.expose()[..5], [0, 0xff, 0x10, 0xab, 0xcd]);
    assert_eq!(hash.expose()[19], 0xe9);
    let g = format!("*{}", "g".repeat(40));
    let plus = format!("*{}", "+1".repeat(20));
    let (short, long) = (format!("*{}", "0".repeat(39)), format!("*{}", "0".repeat(41)));
    let wide = format!("*{}", "é".repeat(20));
    for bad in ["", "*", &"0".repeat(40), &g, &plus, &short, &long, &wide] {
        assert_eq!(NativeHash::parse(bad), None, "{bad}");
    }
}

#[test]
fn words_are_told_apart() {
    fn check<T: Word + PartialEq + std::fmt::Debug>() {
        let words: HashSet<&str> = T::ALL.iter().map(|value| value.word()).collect();
        assert_eq!(words.len(), T::ALL.len());
        for value in T::ALL {
            assert_eq!(T::from_word(value.word()), Some(*value));
            assert_eq!(T::from_word(&value.word().to_uppercase()), None);
        }
    }
    check::<Role>();
    check::<ServerTlsMode>();
    check::<TlsVerify>();
    check::<AuthPlugin>();
    check::<ClientTlsMode>();
    check::<LogLevel>();
    check::<LogFormat>();
    check::<LogSql>();
}

proptest! {
    #[test]
    fn durations_come_back(ms in any::<u64>()) {
        let duration = Duration::from_millis(ms);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
    }

    #[test]
    fn sizes_come_back(bytes in any::<u64>()) {
        prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
    }

    #[test]
    fn addresses_that_are_read_come_back(text in "[\\[\\]:a.0-9%unix/]{0,12}(:[0-9]{1,5})?") {
        if let Ok(address) = text.parse::<ServerAddress>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
        if let Ok(address) = text.parse::<ListenAddress>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
