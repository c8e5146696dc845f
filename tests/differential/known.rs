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
    let writes = ["INSERT", "UPDATE", "DELETE", "REPLACE"].iter().any(|word| label.contains(word));
    let packet = |line: Option<&str>, side: &str| {
        let line = line.unwrap_or_default().trim().strip_prefix(side)?.trim();
        line.split_once("len 7 OK or row @0 ").map(|(_, bytes)| bytes.to_owned())
    };
    let (direct, proxied) = (packet(lines.nth(1), "direct:"), packet(lines.next(), "lagwise:"));
    let untold = direct.and_then(|bytes| Some(bytes.strip_suffix(r"\00\00")?.to_owned()));
    let told = proxied.and_then(|bytes| Some(bytes.strip_suffix(r"\01\00")?.to_owned()));
    writes && untold.is_some() && untold == told
}

/// Whether a script's first difference is one of them.
pub fn is_known(difference: &str) -> bool {
    difference.starts_with(BOTH_COUNTS) || is_of_combined_engines(difference)
}
