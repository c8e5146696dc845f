//! Differences whose causes are known and not mended yet, or are the server's own. A run says how many
//! scripts it took for one of these.
//!
//! FOUND_ROWS() and ROW_COUNT() asked in one statement may be about two statements that ran on two
//! servers. No connection has both values then, and to bring the one takes the other away, if it is more
//! than 1. So FOUND_ROWS() is brought before the write, but for a session's first such question without
//! SQL_CALC_FOUND_ROWS, of which nothing tells before. Neither does a CALL tell whether it ran a query.

/// Asked by name, as the generator does, so that nothing else is taken for it.
const BOTH_COUNTS: &str = "query SELECT FOUND_ROWS() AS f, ROW_COUNT() AS r\n";

/// MySQL warns of combining storage engines (6414) at the first write to InnoDB after one to MyISAM,
/// but for a read between that cleared it, which ran on a replica.
fn is_of_combined_engines(difference: &str) -> bool {
    let mut lines = difference.lines();
    let label = lines.next().unwrap_or_default();
    let writes = ["INSERT", "UPDATE", "DELETE", "REPLACE", "execute"];
    let packet = |line: Option<&str>, side: &str| {
        let line = line.unwrap_or_default().trim().strip_prefix(side)?.trim();
        line.split_once("OK or row @0 ").map(|(_, bytes)| bytes.to_owned())
    };
    let (direct, proxied) = (packet(lines.nth(1), "direct:"), packet(lines.next(), "lagwise:"));
    // The number of warnings ends the packet, or stands before the text of an UPDATE.
    let one_more = |bytes: &str| match bytes.split_once(r"\00\00\00(") {
        Some((head, text)) => {
            let text = text.replace("Warnings: 0", "Warnings: 1");
            Some([head, r"\00\01\00(", &text].concat())
        }
        None => Some([bytes.strip_suffix(r"\00\00")?, r"\01\00"].concat()),
    };
    let told = direct.and_then(|bytes| one_more(&bytes));
    writes.iter().any(|word| label.contains(word)) && told.is_some() && told == proxied
}

/// Whether a script's first difference is one of them.
pub fn is_known(difference: &str) -> bool {
    difference.starts_with(BOTH_COUNTS) || is_of_combined_engines(difference)
}

#[test]
fn a_warning_of_combined_engines_is_known() {
    let check = |label: &str, direct: &str, lagwise: &str, want| {
        let line =
            |side: &str, bytes: &str| format!("    {side} seq 1 len 48 OK or row @0 {bytes}");
        let lines =
            [label, "  packet 0 of 1", &line("direct: ", direct), &line("lagwise:", lagwise)];
        assert_eq!(is_known(&lines.join("\n")), want, "{label}: {direct}, {lagwise}");
    };
    let one = r#"\00\01\00"\00\01\00(Rows matched: 1  Changed: 0  Warnings: 1"#;
    let none = r#"\00\01\00"\00\00\00(Rows matched: 1  Changed: 0  Warnings: 0"#;
    check("execute 2 int:6", none, one, true);
    check("execute 2 int:6", one, none, false);
    check("query SELECT 1", none, one, false);
    check(
        "query INSERT INTO t VALUES (1)",
        r"\00\01\00\02\00\00\00",
        r"\00\01\00\02\00\01\00",
        true,
    );
    check(
        "query INSERT INTO t VALUES (1)",
        r"\00\01\00\02\00\00\00",
        r"\00\01\00\02\00\02\00",
        false,
    );
}
