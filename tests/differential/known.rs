//! Differences whose causes are known and not mended yet. Each line goes when its cause does; a run
//! says how many scripts it took for one of these.

use crate::script::Script;

/// Whether the first difference of a script is one of them.
pub fn is_known(script: &Script, difference: &str) -> bool {
    let label = difference.split("\n  ").next().unwrap_or_default();
    let labelled = |words: &[&str]| words.iter().any(|word| label.contains(word));
    let named =
        |word: &[u8]| script.texts().iter().any(|it| it.windows(word.len()).any(|w| w == word));
    let one_shot = ["SET TRANSACTION", "@@transaction_", "@@tx_"];
    // Counts of rows and warnings that a connection keeps of an older statement than the last.
    labelled(&["FOUND_ROWS", "ROW_COUNT", "query CALL"])
        || labelled(&["WARNINGS", "ERRORS", "warning_count", "DIAGNOSTICS"])
        || label.starts_with("execute") && named(b"SHOW WARNINGS")
        || labelled(&["command 0e", "command 1b", "init_db"])
        // GET DIAGNOSTICS after a read on a replica sets its variables there.
        || labelled(&["SELECT @c"])
        // A statement without a transaction is thought to use SET TRANSACTION up.
        || difference.contains("ERR 1792") && one_shot.iter().any(|word| named(word.as_bytes()))
}
